"""The list of candidates: its columns, and which rows it shows in which order.

Nothing here touches Qt, napari or files.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from napari_lesion_points.core.records import LesionPoint, Verdict
from napari_lesion_points.ui.translation import _

#: A verdict in the list, with the marker that it has in the image.
WORDS = {
    Verdict.NONE: _("○ waiting"),
    Verdict.UNSURE: _("□ unsure"),
    Verdict.ACCEPTED: _("★ accepted"),
    Verdict.MOVED: _("◆ moved"),
    Verdict.REJECTED: _("✕ rejected"),
}


class Row(NamedTuple):
    """A candidate, and its number in the order of detection in its case, from 1."""

    number: int
    point: LesionPoint


class Column(NamedTuple):
    """A column: its title and what it means, a cell's text, and what rows are sorted by."""

    title: str
    tip: str
    text: Callable[[Row], str]
    key: Callable[[Row], Any]


def _side(axis: int, plus: str, minus: str) -> Column:
    """Make the column of a coordinate, mm, with the side of the body that it is on."""
    return Column(
        f"{plus}–{minus}",
        _("World mm"),
        lambda row: f"{plus if row.point.world[axis] >= 0 else minus} {abs(row.point.world[axis]):.1f}",
        lambda row: row.point.world[axis],
    )


COLUMNS = (
    Column(_("Case"), _("Case"), lambda row: row.point.case, lambda row: row.point.case),
    Column("#", _("Order of detection in its case"), lambda row: str(row.number), lambda row: row.number),
    Column(
        _("Existence"),
        _("Probability that it is a lesion"),
        lambda row: f"{row.point.existence:.2f}",
        lambda row: _last_if_unknown(row.point.existence),
    ),
    Column(
        _("Entropy"),
        _("How uncertain that is, 0 to 1 bit"),
        lambda row: f"{row.point.entropy:.2f}",
        lambda row: _last_if_unknown(row.point.entropy),
    ),
    Column(
        _("Verdict"), _("What was said of it"), lambda row: WORDS[row.point.verdict], lambda row: str(row.point.verdict)
    ),
    _side(0, "R", "L"),
    _side(1, "A", "P"),
    _side(2, "S", "I"),
    Column(_("Reader"), _("Who gave the verdict"), lambda row: row.point.reader, lambda row: row.point.reader.lower()),
)


@dataclass(frozen=True)
class Listing:
    """What is chosen of the candidates.

    Parameters
    ----------
    text : str
        Only rows that have all of these words in case, verdict or reader, whatever their case.
    verdict : Verdict or None
        Only rows with this verdict.
    min_existence : float
        Less probable candidates are left out.
    column : int
        Index into `COLUMNS` to sort by; -1 keeps the order of detection.
    descending : bool
        The other way round; rows that are equal stay in the order of detection.
    """

    text: str = ""
    verdict: Verdict | None = None
    min_existence: float = 0.0
    column: int = -1
    descending: bool = False

    def rows(self, points: Sequence[LesionPoint]) -> tuple[Row, ...]:
        """Return the rows to show.

        Parameters
        ----------
        points : sequence of LesionPoint
            Candidates, those of a case in their order of detection.

        Examples
        --------
        >>> some = [LesionPoint("sub-01", (0, 0, z), existence=p) for z, p in enumerate((0.2, 0.9, 0.4))]
        >>> [row.number for row in Listing(min_existence=0.3, column=2).rows(some)]
        [3, 2]
        """
        seen: Counter[str] = Counter()
        rows = []
        words = self.text.lower().split()
        for point in points:
            seen[point.case] += 1
            if point.existence < self.min_existence or self.verdict not in (None, point.verdict):
                continue
            if words:
                said = f"{point.case} {WORDS[point.verdict]} {point.reader}".lower()
                if not all(word in said for word in words):
                    continue
            rows.append(Row(seen[point.case], point))
        if self.column >= 0:
            rows.sort(key=COLUMNS[self.column].key, reverse=self.descending)
        return tuple(rows)


def _last_if_unknown(figure: float) -> float:
    """Return a figure to sort by, NaN being less than all others."""
    return -math.inf if math.isnan(figure) else figure
