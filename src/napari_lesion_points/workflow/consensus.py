"""Consensus of two readers: where they agree it is theirs, and where they differ somebody decides.

The consensus is a reading of its own (see `core.records`). What the two agree in becomes its annotations; the points
that they differ in become its candidates, which are accepted or rejected like a model's: one verdict settles a
difference, can be undone, and is in the history with the name of who gave it. The two readings are never changed.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_lesion_points.core.matching import SAME_LESION_MM, TOLERANCE_MM, match_points
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import CONSENSUS, CaseState, Change, LesionPoint, Verdict
from napari_lesion_points.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_lesion_points.store.study import Study

#: Ids of what two readers agree in are made of those of their points, so that it is added once.
_AGREED = uuid.UUID("0d3a2a1e-4b53-4b0f-8a55-4a1a7a6f1f0b")

#: Label of the change that removes what rests on points that are gone.
_OUTDATED = "outdated"


class Keep(StrEnum):
    """How a difference is settled."""

    FIRST = "keep the first reader's"
    SECOND = "keep the second reader's"
    BOTH = "keep both"
    NONE = "keep none"


@dataclass(frozen=True)
class Difference:
    """What two readers differ in: a lesion that one alone has, or one that they put in different places.

    Parameters
    ----------
    first, second : LesionPoint or None
        The points of either, as candidates of the consensus; at most one is None.
    """

    first: LesionPoint | None
    second: LesionPoint | None

    @property
    def points(self) -> tuple[LesionPoint, ...]:
        """Those there are, the first reader's before the second's."""
        return tuple(point for point in (self.first, self.second) if point)

    @property
    def settled(self) -> bool:
        """Whether somebody has decided."""
        return all(point.verdict.decided for point in self.points)


def differences(
    study: Study, first: str, second: str, case: str, tolerance_mm: float = TOLERANCE_MM
) -> tuple[Difference, ...]:
    """Compare two readings of a case, bring the consensus up to date, and return where they differ.

    Points of the two within `SAME_LESION_MM` are agreed in: the place between them becomes an annotation of the
    consensus, once. A case in which both are done and agree in everything is then done. Asked again, nothing is added
    twice and decisions stay, but for points that a reader has changed since: those moved wait again, and what rests
    on a point that is gone, or on an agreement that is none any more, is taken out of the consensus.

    Parameters
    ----------
    study : Study
        Open in any reading; who decides is its reader.
    first, second : str
        Names of the two readings.
    case : str
        The case, begun by both.
    tolerance_mm : float
        Points farther apart are of different lesions.

    Returns
    -------
    tuple of Difference
        In the order of the first reader's points, then the second's; empty when they agree.

    Raises
    ------
    StudyError
        If the two are one, or one of them has not begun the case.
    """
    if first == second:
        raise StudyError(f"a consensus is of two readers; {first!r} was named twice.")
    case = study.files_of(case).case
    readings, consensus = (study.of(first), study.of(second)), study.of(CONSENSUS)
    states = [reading.state(case) for reading in readings]
    if CaseState.NEW in states:
        name = (first, second)[states.index(CaseState.NEW)]
        raise StudyError(f"{name} has not begun {case}; a consensus needs both. Let {name} read it first.")
    ours, theirs = (reading.annotations(case) for reading in readings)
    matching = match_points([p.world for p in ours], [p.world for p in theirs], tolerance_mm)
    partner = {int(i): int(j) for i, j in matching.pairs}
    agreed = {int(i) for (i, _), d in zip(matching.pairs, matching.distances_mm, strict=True) if d <= SAME_LESION_MM}

    known = {c.id: c for c in consensus.candidates(case)}
    found = []
    for i, point in enumerate(ours):
        if i not in agreed:
            other = theirs[partner[i]] if i in partner else None
            found.append(
                Difference(_proposed(first, point, known, other), other and _proposed(second, other, known, point))
            )
    found += [Difference(None, _proposed(second, theirs[j], known, None)) for j in matching.unmatched_truth]
    proposed = [point for difference in found for point in difference.points]
    if {c.id: c for c in proposed} != known:
        consensus.add_differences(case, proposed, f"{first}, {second}")

    pairs = {_agreed_id(ours[i].id, theirs[partner[i]].id): (ours[i], theirs[partner[i]]) for i in sorted(agreed)}
    resting = _ever_resting_on(readings, case) - {*pairs, *(point.id for point in proposed)}
    ended = CaseState.DONE if not found and set(states) == {CaseState.DONE} else None
    if not all(difference.settled for difference in found) and consensus.state(case) is CaseState.DONE:
        ended = CaseState.IN_PROGRESS  # a reader has gone on since
    _bring_up_to_date(consensus, case, pairs, resting, ended)
    return tuple(found)


def begin_consensus(
    study: Study, first: str, second: str, tolerance_mm: float = TOLERANCE_MM
) -> Iterator[tuple[str, tuple[Difference, ...]]]:
    """Yield each case that both have begun, and where they differ in it (see `differences`).

    Raises
    ------
    StudyError
        If there is no such case.
    """
    begun = [{s.case for s in study.of(name).summary() if s.state is not CaseState.NEW} for name in (first, second)]
    cases = [case for case in study.case_names if case in begun[0] & begun[1]]
    if not cases:
        raise StudyError(f"no case has been begun by both {first} and {second}; there is nothing to compare yet.")
    for case in cases:
        yield case, differences(study, first, second, case, tolerance_mm)


def settlement(study: Study, difference: Difference, keep: Keep) -> Change:
    """Return the change, to be applied to the consensus, that decides a difference, once or anew.

    To keep a reader's is to follow that reader: where they have no point, there is no lesion.
    """
    points = difference.points
    case = points[0].case
    kept = {
        Keep.FIRST: [difference.first],
        Keep.SECOND: [difference.second],
        Keep.BOTH: [difference.first, difference.second],
        Keep.NONE: [],
    }[keep]
    stored = {a.id: a for a in study.of(CONSENSUS).annotations(case)}
    edits, verdicts = {}, {}
    for point in points:
        verdict = Verdict.ACCEPTED if point in kept else Verdict.REJECTED
        judged = replace(point, verdict=verdict, reader=study.reader)
        wanted = replace(judged, reader=CONSENSUS) if point in kept else None
        verdicts[point.id] = (point, judged)
        if stored.get(point.id) != wanted:
            edits[point.id] = (stored.get(point.id), wanted)
    return Change(case, keep.value, edits, verdicts)


def _proposed(
    reading: str, point: LesionPoint, known: dict[str, LesionPoint], other: LesionPoint | None
) -> LesionPoint:
    """Return a reader's point as a candidate, with the verdict that it has; existence is the share of readers."""
    share = 1.0 if other else 0.5
    proposal = replace(
        point, id=f"{reading}:{point.id}", existence=share, mass=float("nan"), entropy=float(binary_entropy(share)),
        verdict=Verdict.NONE, reader=reading,
    )  # fmt: skip
    before = known.get(proposal.id)
    same = before is not None and replace(before, verdict=Verdict.NONE, reader=reading) == proposal
    return before if before is not None and same else proposal


def _agreed_id(first: str, second: str) -> str:
    return uuid.uuid5(_AGREED, f"{first} {second}").hex


def _ever_resting_on(readings: tuple[Study, Study], case: str) -> set[str]:
    """Return the ids of all that a consensus can hold of what two readers ever placed in a case."""
    ours, theirs = ({i for edit in r.history(case) for i in edit.change.annotations} for r in readings)
    alone = {f"{r.reading}:{i}" for r, ids in zip(readings, (ours, theirs), strict=True) for i in ids}
    return alone | {_agreed_id(i, j) for i in ours for j in theirs}


def _bring_up_to_date(
    consensus: Study,
    case: str,
    pairs: dict[str, tuple[LesionPoint, LesionPoint]],
    resting: set[str],
    ended: CaseState | None,
) -> None:
    """Annotate what two readers agree in, unless somebody took it away again; remove what rests on nothing now.

    `ended` is the state that the case is to be in, None if that of now.
    """
    last = {
        point_id: (edit.change.label, after)
        for edit in consensus.history(case)
        for point_id, (_, after) in edit.change.annotations.items()
    }
    new = []
    for point_id, (one, other) in pairs.items():
        label, after = last.get(point_id, (_OUTDATED, None))
        if after is None and label == _OUTDATED:
            x, y, z = ((a + b) / 2 for a, b in zip(one.world, other.world, strict=True))
            new.append(LesionPoint(case, (x, y, z), point_id, origin=one.origin, verdict=one.verdict, reader=CONSENSUS))
    old = [a for a in consensus.annotations(case) if a.id in resting]
    state = consensus.state(case)
    ending = (state, ended) if ended and state is not ended else None
    changes = []
    if old:
        changes.append(Change(case, _OUTDATED, {a.id: (a, None) for a in old}, {}))
    if new or ending:
        changes.append(Change(case, "agreed", {p.id: (None, p) for p in new}, {}, ending))
    if changes:
        consensus.apply(*changes)
