"""Reviewing candidates: which to look at next, and what a verdict changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_lesion_points.core.matching import SAME_LESION_MM, match_points
from napari_lesion_points.core.records import CONSENSUS, CaseState, Change, LesionPoint, Order, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lesion_points.store.study import Study

    World = tuple[float, float, float]


def review_queue(
    study: Study,
    cases: Sequence[str] | None = None,
    min_existence: float = 0.1,
    order: Order = Order.UNCERTAIN,
    *,
    asking: Verdict = Verdict.NONE,
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
    asking : Verdict
        `Verdict.UNSURE` for those that were put aside instead of those without a verdict.
    """
    scope: Sequence[str | None] = (None,) if cases is None else cases
    pool = [c for case in scope for c in study.candidates(case)]
    known = _known(pool, [a for case in scope for a in study.annotations(case)])
    waiting = [c for c in pool if c.verdict is asking and c.existence >= min_existence and c.id not in known]
    if order is Order.PROBABLE:
        return tuple(sorted(waiting, key=lambda c: -c.existence))
    waiting.sort(key=lambda c: -c.entropy)
    if order is Order.CASE:
        places = {case: k for k, case in enumerate(study.case_names)}
        waiting.sort(key=lambda c: places[c.case])
    return tuple(waiting)


def left_out(study: Study, case: str) -> tuple[LesionPoint, ...]:
    """Candidates of a case that teach a training nothing: neither that there is a lesion nor that there is none.

    They are those without a verdict, until the case is done, and those that a reader put aside, also afterwards.
    """
    waiting = () if study.state(case) is CaseState.DONE else review_queue(study, [case])
    return waiting + review_queue(study, [case], 0.0, asking=Verdict.UNSURE)


def verdict_change(study: Study, candidate: LesionPoint, verdict: Verdict, world: World | None = None) -> Change:
    """Return the change that a verdict makes: to the candidate, and to the annotation it becomes.

    An accepted candidate becomes an annotation where it is, a moved one at `world`, unless another annotation lies
    within `SAME_LESION_MM`: that is the lesion. A rejected one, one that is put aside, or one whose verdict is taken
    back, is no annotation. The annotation has the candidate's id, so a verdict given twice, or changed, never leaves
    two. In the consensus it is the consensus's, whoever decides.

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
    places = [world or candidate.world] if verdict in (Verdict.ACCEPTED, Verdict.MOVED) else []
    return lesions_change(study, candidate, verdict, places, verdict.value or "no verdict")


def lesions_change(
    study: Study, candidate: LesionPoint, verdict: Verdict, places: Sequence[World], label: str
) -> Change:
    """Return the change by which a candidate gets a verdict, and the lesions that stem from it are these.

    Parameters
    ----------
    study, candidate, verdict
        See `verdict_change`.
    places : sequence of (x, y, z)
        World mm; at most two. What had stemmed from the candidate and is not among them is no annotation any more.
    label : str
        Of the change.
    """
    stored = {a.id: a for a in study.annotations(candidate.case)}
    own = stem_ids(candidate)
    others = [a.world for a in stored.values() if a.id not in own]
    taken = set(match_points(places, others, SAME_LESION_MM).pairs[:, 0].tolist())
    after = judged(study, candidate, verdict)
    wanted = {
        name: replace(after, id=name, world=world, reader=CONSENSUS if study.reading == CONSENSUS else after.reader)
        for k, (name, world) in enumerate(zip(own, places, strict=False))
        if k not in taken
    }
    edits = {n: (stored.get(n), wanted.get(n)) for n in own if stored.get(n) != wanted.get(n)}
    return Change(candidate.case, label, edits, {candidate.id: (candidate, after)})


def judged(study: Study, candidate: LesionPoint, verdict: Verdict) -> LesionPoint:
    """Return a candidate with a verdict of the study's reader."""
    return replace(candidate, verdict=verdict, reader=study.reader if verdict else "")


def stem_ids(candidate: LesionPoint) -> tuple[str, str]:
    """Ids of the annotations that can stem from a candidate: one, and the second when it is split.

    They are made from the candidate's, so a verdict that is changed finds them again.
    """
    return candidate.id, f"{candidate.id}-2"


def annotated(study: Study, candidates: Sequence[LesionPoint]) -> list[LesionPoint]:
    """Return those candidates, of one case, whose lesions are annotated."""
    if not candidates:
        return []
    known = _known(candidates, study.annotations(candidates[0].case))
    return [c for c in candidates if c.id in known]


def _known(candidates: Sequence[LesionPoint], annotations: Sequence[LesionPoint]) -> set[str]:
    """Return the ids of those candidates whose lesions are annotated, case by case."""
    proposed, known = _by_case(candidates), set()
    for case, placed in _by_case(annotations).items():
        found = proposed.get(case, [])
        pairs = match_points([c.world for c in found], [a.world for a in placed], SAME_LESION_MM).pairs
        known |= {found[i].id for i in pairs[:, 0]}
    return known


def _by_case(points: Sequence[LesionPoint]) -> dict[str, list[LesionPoint]]:
    groups: dict[str, list[LesionPoint]] = {}
    for point in points:
        groups.setdefault(point.case, []).append(point)
    return groups
