"""What is known of a lesion point, and how it changes.

A point is an *annotation* (a reader's) or a *candidate* (a model's). Both are the same record, kept in different
tables, so that a prediction can never overwrite what a person placed. A change is a set of points before and after; its
inverse is its undo.

A *reading* is one set of annotations, verdicts, case states and notes: the shared one, that everybody works on; a blind
reader's own, which has the reader's name; or the consensus.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The reading that everybody works on who does not read blind.
SHARED = "shared"
#: The reading in which the differences of others are resolved.
CONSENSUS = "consensus"


class Origin(StrEnum):
    """Where a point came from."""

    HUMAN = "human"  # clicked
    MASK = "mask"  # centre of a component of a lesion mask
    IMPORTED = "imported"  # read from a points file
    MODEL = "model"  # fitted to a predicted heatmap; stays so when a reader accepts or moves it


class Verdict(StrEnum):
    """What a reader said of a candidate; NONE until reviewed."""

    NONE = ""
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    MOVED = "moved"
    UNSURE = "unsure"  # put aside: looked at, not decided

    @property
    def lesion(self) -> bool | None:
        """Whether it says that there is a lesion; None if it leaves that open."""
        if self in (Verdict.NONE, Verdict.UNSURE):
            return None
        return self is not Verdict.REJECTED

    @property
    def decided(self) -> bool:
        """Whether it says that there is a lesion, or that there is none.

        Examples
        --------
        >>> [verdict.name for verdict in Verdict if verdict.decided]
        ['ACCEPTED', 'REJECTED', 'MOVED']
        """
        return self.lesion is not None


class Order(StrEnum):
    """What comes first in a review of candidates.

    A verdict on a candidate of existence p changes the expected number of lesions by 1 - p or by p, on average by
    2 p (1 - p), which grows with the entropy: what is most uncertain also changes the count most.
    """

    UNCERTAIN = "most uncertain"
    PROBABLE = "most probable"
    CASE = "case by case"  # in the study's order, the most uncertain of each first: fewest changes of images


class CaseState(StrEnum):
    """How far the reading of a case is. DONE with no annotations means: read, no lesions."""

    NEW = "new"
    IN_PROGRESS = "in progress"
    DONE = "done"


@dataclass(frozen=True, eq=False)
class LesionPoint:
    """One lesion point. Two are equal when all their fields are, NaN being equal to NaN.

    Parameters
    ----------
    case : str
        Case identifier, for example "sub-07".
    world : (x, y, z)
        World mm, RAS+.
    id : str
        Unique for ever; a new UUID unless given.
    existence, mass, entropy : float
        Existence probability in [0, 1], fitted mass, binary entropy (bits). NaN for points no model proposed.
    origin, verdict, reader, created_utc
        Provenance. `created_utc` is ISO 8601 with seconds and "+00:00".
    """

    case: str
    world: tuple[float, float, float]
    id: str = ""
    existence: float = math.nan
    mass: float = math.nan
    entropy: float = math.nan
    origin: Origin = Origin.HUMAN
    verdict: Verdict = Verdict.NONE
    reader: str = ""
    created_utc: str = ""

    def __post_init__(self) -> None:
        """Fill in identity and time, and make the coordinates plain floats."""
        x, y, z = (float(c) for c in self.world)
        object.__setattr__(self, "world", (x, y, z))
        object.__setattr__(self, "id", self.id or uuid.uuid4().hex)
        object.__setattr__(self, "created_utc", self.created_utc or utc_now())

    def __eq__(self, other: object) -> bool:
        """Compare field by field; what is not known equals what is not known."""
        return self._fields() == other._fields() if isinstance(other, LesionPoint) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def _fields(self) -> tuple[object, ...]:
        return tuple(None if isinstance(v, float) and math.isnan(v) else v for v in vars(self).values())

    def moved(self, world: tuple[float, float, float]) -> LesionPoint:
        """Return the same point elsewhere."""
        return replace(self, world=world)


@dataclass(frozen=True)
class Change:
    """One edit by a reader: what some records of a case were before, and are after.

    `annotations` maps an id to its (before, after); None means absent. `candidates` likewise, for verdicts only: a
    candidate is never created or removed by a reader. `state` is (before, after) of the case, or None when untouched;
    `note` likewise of the text that a reader keeps with the case.

    Examples
    --------
    >>> point = LesionPoint("sub-01", (1, 2, 3), id="a", created_utc="2026-01-01T00:00:00+00:00")
    >>> add = Change.adding(point)
    >>> add.inverse().annotations["a"] == (point, None)
    True
    """

    case: str
    label: str
    annotations: dict[str, tuple[LesionPoint | None, LesionPoint | None]]
    candidates: dict[str, tuple[LesionPoint, LesionPoint]]
    state: tuple[CaseState, CaseState] | None = None
    note: tuple[str, str] | None = None

    @classmethod
    def adding(cls, *points: LesionPoint, label: str = "add") -> Change:
        """Return the change that adds points (at least one, all of one case)."""
        return cls(points[0].case, label, {p.id: (None, p) for p in points}, {})

    @classmethod
    def deleting(cls, *points: LesionPoint) -> Change:
        """Return the change that removes points (at least one, all of one case)."""
        return cls(points[0].case, "delete", {p.id: (p, None) for p in points}, {})

    @classmethod
    def moving(cls, before: LesionPoint, world: tuple[float, float, float]) -> Change:
        """Return the change that moves one annotation to world mm."""
        return cls(before.case, "move", {before.id: (before, before.moved(world))}, {})

    def made_of(self, annotations: Sequence[LesionPoint]) -> tuple[LesionPoint, ...]:
        """Return what the case's annotations are after this change.

        Examples
        --------
        >>> one, two = LesionPoint("sub-01", (1, 2, 3)), LesionPoint("sub-01", (4, 5, 6))
        >>> [p.world for p in Change.moving(one, (7, 8, 9)).made_of([one, two])]
        [(7.0, 8.0, 9.0), (4.0, 5.0, 6.0)]
        >>> Change.adding(two).made_of([one]) == (one, two), Change.deleting(one).made_of([one, two]) == (two,)
        (True, True)
        """
        after = {p.id: p for p in annotations} | {name: point for name, (_, point) in self.annotations.items()}
        return tuple(point for point in after.values() if point is not None)

    def inverse(self) -> Change:
        """Return the change that undoes this one."""
        return Change(
            self.case,
            self.label,
            {k: (after, before) for k, (before, after) in self.annotations.items()},
            {k: (after, before) for k, (before, after) in self.candidates.items()},
            self.state and (self.state[1], self.state[0]),
            self.note and (self.note[1], self.note[0]),
        )


@dataclass(frozen=True)
class Place:
    """Where a reader stopped.

    Parameters
    ----------
    case : str
        The case on screen.
    world : (x, y, z)
        World mm, RAS+, where the slices of the three orientations cross.
    zoom : float
        Of the view: screen pixels per mm; 0 when it shows the whole slice.
    queue_position : int
        How many candidates of the review queue without a verdict came before the one under review.
    middle : (x, y, z), optional
        World mm, RAS+, in the middle of the view; by default `world`.
    orientation, tab : str
        What was in front; "" where that is not known.
    candidate : str
        Id of the candidate under review, or "".
    all_cases : bool
        Whether the queue was that of all cases.
    order : str
        The queue's order, a value of `Order`; "" where that is not known.
    """

    case: str
    world: tuple[float, float, float]
    zoom: float = 0.0
    queue_position: int = 0
    middle: tuple[float, float, float] | None = None
    orientation: str = ""
    tab: str = ""
    candidate: str = ""
    all_cases: bool = False
    order: str = ""


def patient_of(case: str) -> str:
    """Return whose session a case is; a case that is no session is a patient of its own.

    Examples
    --------
    >>> patient_of("sub-01_ses-2"), patient_of("Patient 7")
    ('sub-01', 'Patient 7')
    """
    return case.partition("_ses-")[0]


def patient_numbers(cases: Iterable[str]) -> list[int]:
    """Return the number of each case's patient; patients are numbered from 0 on as they come.

    Examples
    --------
    >>> patient_numbers(["sub-03_ses-1", "sub-01", "sub-03_ses-2"])
    [0, 1, 0]
    """
    numbers: dict[str, int] = {}
    return [numbers.setdefault(patient_of(case), len(numbers)) for case in cases]


def utc_now() -> str:
    """Return the time now as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
