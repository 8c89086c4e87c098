"""The list of candidates, without a window."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import LesionPoint, Origin, Verdict
from napari_lesion_points.ui.candidates_panel import CandidateModel
from napari_lesion_points.ui.listing import COLUMNS, WORDS, Listing


def candidate(case: str, name: str, existence: float, verdict: Verdict = Verdict.NONE, reader: str = "") -> LesionPoint:
    entropy = float(binary_entropy(existence))
    world = (10 * existence - 5, -3.0, 2.0)
    return LesionPoint(case, world, name, existence, existence, entropy, Origin.MODEL, verdict, reader)


SOME = (
    candidate("sub-02", "a", 0.9, Verdict.ACCEPTED, "Maria"),
    candidate("sub-01", "b", 0.5),
    candidate("sub-02", "c", 0.2, Verdict.UNSURE, "ada"),
    candidate("sub-01", "d", 0.7, Verdict.REJECTED, "ada"),
)
TITLES = [column.title for column in COLUMNS]


def ids(listing: Listing) -> str:
    return "".join(row.point.id for row in listing.rows(SOME))


def test_every_verdict_has_a_word() -> None:
    assert set(WORDS) == set(Verdict)


def test_candidates_are_numbered_in_their_case() -> None:
    assert [row.number for row in Listing().rows(SOME)] == [1, 1, 2, 2]
    assert [row.number for row in Listing(min_existence=0.6).rows(SOME)] == [1, 2]


@pytest.mark.parametrize(
    ("title", "order"),
    [
        ("Case", "bdac"), ("#", "abcd"), ("Existence", "cbda"), ("Entropy", "acdb"), ("Verdict", "badc"),
        ("R–L", "cbda"), ("A–P", "abcd"), ("S–I", "abcd"), ("Reader", "bcda"),
    ],
)  # fmt: skip
def test_any_column_sorts_and_equals_keep_their_order(title: str, order: str) -> None:
    column = TITLES.index(title)
    assert ids(Listing(column=column)) == order
    key = COLUMNS[column].key
    down = Listing(column=column, descending=True).rows(SOME)
    assert list(down) == sorted(Listing().rows(SOME), key=key, reverse=True)


@pytest.mark.parametrize(
    ("listing", "left"),
    [
        (Listing(text="SUB-01"), "bd"), (Listing(text="ada uns"), "c"), (Listing(text="nobody"), ""),
        (Listing(verdict=Verdict.NONE), "b"), (Listing(verdict=Verdict.ACCEPTED), "a"),
        (Listing(min_existence=0.5), "abd"), (Listing("ada", Verdict.REJECTED, 0.6, 0), "d"),
    ],
)  # fmt: skip
def test_rows_are_filtered_by_words_verdict_and_existence(listing: Listing, left: str) -> None:
    assert ids(listing) == left


def test_an_unknown_existence_does_not_upset_the_order() -> None:
    unknown = replace(SOME[1], id="n", existence=float("nan"))
    rows = Listing(column=TITLES.index("Existence"), descending=True).rows((unknown, *SOME))
    assert [row.point.id for row in rows] == ["a", "d", "b", "c", "n"]


def test_the_model_shows_the_rows_and_where_each_candidate_is() -> None:
    model = CandidateModel()
    model.show(SOME, min_existence=0.5)
    assert (model.rowCount(), model.columnCount()) == (3, len(COLUMNS))
    cells = [model.data(model.index(0, column)) for column in range(len(COLUMNS))]
    assert cells == ["sub-02", "1", "0.90", "0.47", "★ accepted", "R 4.0", "P 3.0", "S 2.0", "Maria"]
    horizontal = Qt.Orientation.Horizontal
    assert [model.headerData(column, horizontal) for column in range(len(COLUMNS))] == TITLES
    assert "sorts" in model.headerData(0, horizontal, Qt.ItemDataRole.ToolTipRole)
    model.sort(TITLES.index("Existence"), Qt.SortOrder.AscendingOrder)
    assert [model.row_of(name) for name in "abcd"] == [2, 0, -1, 1]
    assert model.candidate(2).id == "a"


def test_a_verdict_changes_cells_and_not_rows(qtbot: object) -> None:
    model = CandidateModel()
    model.show(SOME)
    resets, changes = [], []
    model.modelReset.connect(lambda: resets.append(1))
    model.dataChanged.connect(lambda *_: changes.append(1))
    judged = (SOME[0], replace(SOME[1], verdict=Verdict.MOVED, reader="ada"), *SOME[2:])
    model.show(judged)
    assert (len(resets), len(changes)) == (0, 1)
    assert model.data(model.index(1, 4)) == "◆ moved"
    model.show(judged)
    assert (len(resets), len(changes)) == (0, 1)
    model.choose(verdict=Verdict.MOVED)
    assert (len(resets), model.rowCount()) == (1, 1)


def test_a_thousand_candidates_sort_and_filter_in_a_moment(rng: np.random.Generator) -> None:
    """Against a plain sort of as many numbers, so that a slow machine is no failure."""
    values = rng.uniform(0.1, 1, 1000)
    many = tuple(candidate(f"sub-{k % 40:02}", f"c{k}", float(p)) for k, p in enumerate(values))
    model = CandidateModel()
    model.show(many)

    def seconds(act: object) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            act()  # type: ignore[operator]
            times.append(time.perf_counter() - start)
        return min(times)

    listing = Listing("sub", None, 0.2, 2)
    assert seconds(lambda: listing.rows(many)) < 100 * seconds(lambda: sorted(values.tolist()))
    model.sort(2, Qt.SortOrder.DescendingOrder)
    assert [model.candidate(k).existence for k in range(1000)] == sorted(values.tolist(), reverse=True)
