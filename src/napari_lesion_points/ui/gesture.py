"""What the next click on the image means for the candidate under review: the state of moving, splitting and merging.

Nothing here touches Qt, napari or files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari_lesion_points.core.records import LesionPoint

    World = tuple[float, float, float]

#: Sides (mm) of the squares around what is clicked already, and around what the candidate would be merged with: outside
#: of all markers.
_MARK_MM = 3.0
_PARTNER_MM = 12.0


class Kind(StrEnum):
    """What is being done to the candidate."""

    MOVE = "move"
    SPLIT = "split"
    MERGE = "merge"


@dataclass(frozen=True)
class Gesture:
    """A gesture that is not complete yet.

    Parameters
    ----------
    kind : Kind
        Of what.
    marks : tuple of (x, y, z)
        Where the reader has clicked so far, world mm; for a split only.
    partners : tuple of LesionPoint
        What the candidate can be merged with, the nearest first; `chosen` is the index of the one proposed.
    """

    kind: Kind = Kind.MOVE
    marks: tuple[World, ...] = ()
    partners: tuple[LesionPoint, ...] = ()
    chosen: int = 0

    @property
    def partner(self) -> LesionPoint | None:
        """What the candidate would be merged with."""
        return self.partners[self.chosen] if self.partners else None

    @property
    def boxes(self) -> tuple[tuple[World, float], ...]:
        """What to draw a square around: world mm, and the square's side in mm."""
        around = ((self.partner.world, _PARTNER_MM),) if self.partner else ()
        return (*((mark, _MARK_MM) for mark in self.marks), *around)

    def next_partner(self) -> Gesture:
        """Propose the next one, and the nearest again after the last."""
        return replace(self, chosen=(self.chosen + 1) % max(len(self.partners), 1))

    def words(self, current: LesionPoint) -> str:
        """Say what to do next.

        Examples
        --------
        >>> from napari_lesion_points.core.records import LesionPoint
        >>> one, other = LesionPoint("sub-01", (0, 0, 0)), LesionPoint("sub-01", (4, 0, 0), existence=0.43)
        >>> Gesture(Kind.SPLIT, marks=((0, 0, 0),)).words(one)
        'Two lesions: click the centre of the second (Esc leaves all as it was).'
        >>> Gesture(Kind.MERGE, partners=(other,)).words(one)
        'One lesion with the candidate of existence 0.43, 4.0 mm away? J or a click merges; Esc leaves both.'
        """
        if self.kind is Kind.MOVE:
            return _("Click where the lesion's centre is (Esc or M again to leave it).")
        if self.kind is Kind.SPLIT:
            if self.marks:
                return _("Two lesions: click the centre of the second (Esc leaves all as it was).")
            return _("Two lesions: click the centre of the first (Esc leaves all as it was).")
        if self.partner is None:
            return ""
        known = not math.isnan(self.partner.existence) and not self.partner.verdict.decided
        if known:
            question = _("One lesion with the candidate of existence {existence:.2f}, {distance:.1f} mm away?")
        else:
            question = _("One lesion with the annotated lesion, {distance:.1f} mm away?")
        if len(self.partners) > 1:
            keys = _("J or a click merges; N for the next of {count}; Esc leaves both.")
        else:
            keys = _("J or a click merges; Esc leaves both.")
        away_mm = math.dist(self.partner.world, current.world)
        asked = question.format(existence=self.partner.existence, distance=away_mm)
        return f"{asked} {keys.format(count=len(self.partners))}"
