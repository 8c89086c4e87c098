"""Candidates that are not one lesion each: split one into two, or merge two into one.

Both are a moved candidate: there is a lesion, but not where the model put it. Both are one change, and one undo.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_lesion_points.core.matching import SAME_LESION_MM
from napari_lesion_points.core.records import Change, LesionPoint, Verdict
from napari_lesion_points.workflow.review import annotated, judged, lesions_change, stem_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lesion_points.store.study import Study

    World = tuple[float, float, float]

#: Points farther apart than this are not offered for merging: few lesions of the kind that one clicks are longer.
MERGE_MM = 10.0


def split_change(study: Study, candidate: LesionPoint, first: World, second: World) -> Change:
    """Return the change that makes two lesions of a candidate, at two places (world mm).

    A place within `SAME_LESION_MM` of another annotation is that lesion, and gets none of its own.

    Raises
    ------
    ValueError
        If the two are no farther apart than points of one lesion are.
    """
    if not can_be_two(first, second):
        raise ValueError(
            f"{first} and {second} are within {SAME_LESION_MM} mm: one lesion. Move the candidate instead."
        )
    return lesions_change(study, candidate, Verdict.MOVED, (first, second), "split")


def can_be_two(first: World, second: World) -> bool:
    """Whether two places (world mm) are farther apart than points of one lesion are."""
    return math.dist(first, second) > SAME_LESION_MM


def merge_partners(
    study: Study, candidate: LesionPoint, min_existence: float = 0.0, within_mm: float = MERGE_MM
) -> tuple[LesionPoint, ...]:
    """Return what a candidate can be merged with, the nearest first; none is an empty tuple.

    That is the annotations of its case which do not stem from it, and the undecided candidates that lie on none.

    Parameters
    ----------
    study, candidate
        See `verdict_change`.
    min_existence : float
        Less probable candidates are left out.
    within_mm : float
        So is what is farther away.
    """
    others = [c for c in study.candidates(candidate.case) if c.id != candidate.id]
    waiting = [c for c in others if not c.verdict.decided and c.existence >= min_existence]
    known = {c.id for c in annotated(study, waiting)}
    points = [a for a in study.annotations(candidate.case) if a.id not in stem_ids(candidate)]
    points += [c for c in waiting if c.id not in known]
    near = [(math.dist(p.world, candidate.world), k) for k, p in enumerate(points)]
    return tuple(points[k] for distance, k in sorted(near) if distance <= within_mm)


def merge_change(study: Study, candidate: LesionPoint, partner: LesionPoint) -> Change:
    """Return the change that makes one lesion of a candidate and another candidate, or an annotation.

    The lesion is at their common centre (`common_centre`). An annotation moves there and keeps its id and origin; of
    two candidates, the lesion stems from the first. Candidates that take part are moved.

    Parameters
    ----------
    study, candidate
        See `verdict_change`.
    partner : LesionPoint
        One of `merge_partners`. If it is not stored like that any more, the study refuses the change.
    """
    centre = common_centre((candidate, partner))
    candidates = {c.id: c for c in study.candidates(candidate.case)}
    is_annotation = partner.id not in candidates or any(a.id == partner.id for a in study.annotations(candidate.case))
    change = lesions_change(study, candidate, Verdict.MOVED, [] if is_annotation else [centre], "merge")
    edits, verdicts = dict(change.annotations), dict(change.candidates)
    if is_annotation:
        verdict = Verdict.MOVED if partner.verdict else partner.verdict
        edits[partner.id] = (partner, replace(partner, world=centre, verdict=verdict))
    if partner.id in candidates:
        before = candidates[partner.id] if is_annotation else partner
        verdicts[partner.id] = (before, judged(study, before, Verdict.MOVED))
    return replace(change, annotations=edits, candidates=verdicts)


def common_centre(points: Sequence[LesionPoint]) -> World:
    """Return the centre of points, world mm: weighted by their masses, or the mean where one has none.

    Examples
    --------
    >>> one, other = LesionPoint("sub-01", (0, 0, 0), mass=0.9), LesionPoint("sub-01", (4, 0, 0), mass=0.3)
    >>> common_centre((one, other)), common_centre((one, replace(other, mass=math.nan)))
    ((1.0, 0.0, 0.0), (2.0, 0.0, 0.0))
    """
    weights = [p.mass for p in points]
    if not all(weight > 0 for weight in weights):  # NaN is none, too
        weights = [1.0] * len(points)
    x, y, z = (
        math.fsum(w * p.world[axis] for w, p in zip(weights, points, strict=True)) / math.fsum(weights)
        for axis in range(3)
    )
    return x, y, z
