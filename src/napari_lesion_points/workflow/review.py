"""Reviewing candidates: which to look at next, and what a verdict changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_lesion_points.core.records import Change, LesionPoint, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lesion_points.store.study import Study


def review_queue(
    study: Study, cases: Sequence[str] | None = None, min_existence: float = 0.1
) -> tuple[LesionPoint, ...]:
    """Candidates without a verdict, most uncertain (entropy of existence) first; ties in order of detection.

    Parameters
    ----------
    study : Study
        Whose newest candidates to review.
    cases : sequence of str, optional
        Only these; by default all.
    min_existence : float
        Less probable candidates are left out.
    """
    pool = study.candidates() if cases is None else [c for case in cases for c in study.candidates(case)]
    waiting = [c for c in pool if c.verdict is Verdict.NONE and c.existence >= min_existence]
    return tuple(sorted(waiting, key=lambda c: -c.entropy))


def verdict_change(
    study: Study, candidate: LesionPoint, verdict: Verdict, world: tuple[float, float, float] | None = None
) -> Change:
    """Return the change that a verdict makes: to the candidate, and to the annotation it becomes.

    An accepted candidate becomes an annotation where it is, a moved one at `world`; a rejected one, or one whose
    verdict is taken back, is no annotation. The annotation has the candidate's id, so a verdict given twice, or
    changed, never leaves two.

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
    stored = next((a for a in study.annotations(candidate.case) if a.id == candidate.id), None)
    judged = replace(candidate, verdict=verdict, reader=study.reader if verdict else "")
    wanted = replace(judged, world=world or candidate.world) if verdict in (Verdict.ACCEPTED, Verdict.MOVED) else None
    annotations = {} if stored == wanted else {candidate.id: (stored, wanted)}
    return Change(candidate.case, verdict.value or "no verdict", annotations, {candidate.id: (candidate, judged)})
