"""Reviewing candidates: which to look at next, and what a verdict changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_lesion_points.core.matching import SAME_LESION_MM, match_points
from napari_lesion_points.core.records import CONSENSUS, Change, LesionPoint, Order, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lesion_points.store.study import Study


def review_queue(
    study: Study,
    cases: Sequence[str] | None = None,
    min_existence: float = 0.1,
    order: Order = Order.UNCERTAIN,
) -> tuple[LesionPoint, ...]:
    """Candidates without a verdict, in the order asked for; ties in order of detection.

    Those of lesions that are annotated already (matched one to one within `SAME_LESION_MM`) are left out.

    Parameters
    ----------
    study : Study
        Whose newest candidates to review.
    cases : sequence of str, optional
        Only these; by default all.
    min_existence : float
        Less probable candidates are left out.
    order : Order
        What comes first.
    """
    pool = study.candidates() if cases is None else [c for case in cases for c in study.candidates(case)]
    known = {c.id for case in {c.case for c in pool} for c in _annotated(study, [c for c in pool if c.case == case])}
    waiting = [c for c in pool if c.verdict is Verdict.NONE and c.existence >= min_existence and c.id not in known]
    if order is Order.PROBABLE:
        return tuple(sorted(waiting, key=lambda c: -c.existence))
    waiting.sort(key=lambda c: -c.entropy)
    if order is Order.CASE:
        waiting.sort(key=lambda c: study.case_names.index(c.case))
    return tuple(waiting)


def verdict_change(
    study: Study, candidate: LesionPoint, verdict: Verdict, world: tuple[float, float, float] | None = None
) -> Change:
    """Return the change that a verdict makes: to the candidate, and to the annotation it becomes.

    An accepted candidate becomes an annotation where it is, a moved one at `world`, unless another annotation lies
    within `SAME_LESION_MM`: that is the lesion. A rejected one, or one whose verdict is taken back, is no annotation.
    The annotation has the candidate's id, so a verdict given twice, or changed, never leaves two. In the consensus it
    is the consensus's, whoever decides.

    Parameters
    ----------
    study : Study
        Whose candidate it is; the change starts from what is stored.
    candidate : LesionPoint
        As stored.
    verdict : Verdict
        What the reader said.
    world : (x, y, z), optional
        Where the lesion is, world mm; needed for `Verdict.MOVED` only.

    Raises
    ------
    ValueError
        If MOVED comes without a place, or another verdict with one.
    """
    if (verdict is Verdict.MOVED) != (world is not None):
        raise ValueError(f"verdict {verdict.value!r} with world {world}: a place belongs to a moved candidate, only.")
    annotations = study.annotations(candidate.case)
    stored = next((a for a in annotations if a.id == candidate.id), None)
    others = [a.world for a in annotations if a.id != candidate.id]
    judged = replace(candidate, verdict=verdict, reader=study.reader if verdict else "")
    wanted = replace(judged, world=world or candidate.world) if verdict in (Verdict.ACCEPTED, Verdict.MOVED) else None
    if wanted and study.reading == CONSENSUS:
        wanted = replace(wanted, reader=CONSENSUS)
    if wanted and len(match_points([wanted.world], others, SAME_LESION_MM).pairs):
        wanted = None
    edits = {} if stored == wanted else {candidate.id: (stored, wanted)}
    return Change(candidate.case, verdict.value or "no verdict", edits, {candidate.id: (candidate, judged)})


def _annotated(study: Study, candidates: Sequence[LesionPoint]) -> list[LesionPoint]:
    """Return those candidates of one case whose lesions are annotated."""
    annotations = study.annotations(candidates[0].case)
    pairs = match_points([c.world for c in candidates], [a.world for a in annotations], SAME_LESION_MM).pairs
    return [candidates[i] for i in pairs[:, 0]]
