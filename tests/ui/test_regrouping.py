"""Unsure, split, merge, and the list of candidates, with real mouse and key events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_lesion_points.core.records import Change, LesionPoint, Origin, Verdict
from napari_lesion_points.ui.listing import COLUMNS

from .conftest import candidate, world

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
PLACES = {"a": (20, 20, 4), "b": (30, 30, 9), "c": (33, 36, 9), "e": (12, 25, 7)}


@pytest.fixture
def reviewing(reading: Any) -> Any:
    """Four candidates in the case on screen, b and c 7.1 mm from each other, and one in the next; b comes first."""
    study = reading.controller.study
    existence = {"a": 0.95, "b": 0.55, "c": 0.4, "e": 0.2}
    study.add_candidates("sub-01", [candidate("sub-01", n, PLACES[n], p) for n, p in existence.items()], "model", 2.0)
    study.add_candidates("sub-02", [candidate("sub-02", "d", (25, 25, 5), 0.45)], "model", 2.0)
    reading.controller.refresh()
    reading.dock.show_tab("Review")
    reading.qtbot.wait(50)
    return reading


def verdicts(hand: Any, case: str = "sub-01") -> dict[str, str]:
    return {p.id: str(p.verdict) for p in hand.controller.study.candidates(case) if p.verdict}


def current(hand: Any) -> str:
    found = hand.controller.screen.current
    return found.id if found else ""


def near(hand: Any, point: tuple[float, float, float]) -> Any:
    return pytest.approx(point, abs=1.0 / hand.viewer.scene.camera.zoom)


def boxes(hand: Any) -> list[tuple[QPoint, float]]:
    """Middle and side, in pixels, of the squares that are drawn on the canvas."""
    found = [o for name, o in hand.viewer.canvas.overlays.items() if name.startswith("lesion_points_box") and o.visible]
    return [
        (QPoint(round((o.position[0][1] + o.position[1][1]) / 2), round((o.position[0][0] + o.position[1][0]) / 2)),
         o.position[1][0] - o.position[0][0])
        for o in found
    ]  # fmt: skip


def cells(hand: Any, title: str) -> list[str]:
    model = hand.dock.candidates.model
    column = [column.title for column in COLUMNS].index(title)
    return [model.data(model.index(row, column)) for row in range(model.rowCount())]


def selected(hand: Any) -> str:
    rows = hand.dock.candidates.table.selectionModel().selectedRows()
    return hand.dock.candidates.model.candidate(rows[0].row()).id if rows else ""


def click_row(hand: Any, number: int) -> None:
    table = hand.dock.candidates.table
    at = table.visualRect(hand.dock.candidates.model.index(number, 0)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    hand.qtbot.wait(30)


# unsure --------------------------------------------------------------------------------------------------------------


def test_unsure_puts_aside_is_counted_and_comes_back_on_demand(reviewing: Any) -> None:
    panel = reviewing.dock.review
    assert not panel.again.isVisible()
    reviewing.key(Qt.Key.Key_U)
    assert (verdicts(reviewing), current(reviewing)) == ({"b": "unsure"}, "c")
    assert panel.count.text() == "3 of 4 left, 1 unsure"
    assert panel.again.isVisible()
    assert reviewing.controller.study.annotations("sub-01") == ()
    layer = reviewing.controller.scene.candidates
    assert [str(s) for s in layer.symbol] == ["disc", "square", "disc", "disc"]
    for _ in range(3):
        reviewing.key(Qt.Key.Key_R)
    assert "1 put aside as unsure" in panel.details.text()
    reviewing.key(Qt.Key.Key_U, SHIFT)
    assert (current(reviewing), panel.count.text()) == ("b", "1 of 1 unsure left")
    assert panel.again.isChecked()
    history = len(reviewing.controller.study.history("sub-01"))
    reviewing.key(Qt.Key.Key_U)  # still unsure: nothing new is said
    assert len(reviewing.controller.study.history("sub-01")) == history
    reviewing.key(Qt.Key.Key_B)
    reviewing.key(Qt.Key.Key_A)
    assert verdicts(reviewing)["b"] == "accepted"
    assert panel.count.text() == "0 of 1 unsure left"
    reviewing.key(Qt.Key.Key_Z, CONTROL)
    assert (verdicts(reviewing)["b"], current(reviewing)) == ("unsure", "b")
    panel.again.click()
    assert not panel.again.isChecked()
    assert panel.count.text() == "0 of 4 left, 1 unsure"


# split ---------------------------------------------------------------------------------------------------------------


def test_split_takes_two_clicks_and_one_undo(reviewing: Any) -> None:
    first, second = world((28.0, 28.0, 9.0)), world((32.0, 31.0, 9.0))
    reviewing.key(Qt.Key.Key_T)
    assert reviewing.dock.review.split.isChecked()
    assert "centre of the first" in reviewing.dock.review.hint.text()
    reviewing.click(QPoint(3, 3))
    assert "outside" in reviewing.dock.message.label.text()
    reviewing.click(first)
    assert "centre of the second" in reviewing.dock.review.hint.text()
    [(middle, _)] = boxes(reviewing)
    assert (middle - reviewing.pixel(first)).manhattanLength() <= 2
    reviewing.click(world((28.5, 28.5, 9.0)))
    assert "too close" in reviewing.dock.message.label.text()
    assert verdicts(reviewing) == {}
    reviewing.click(second)
    assert (verdicts(reviewing), current(reviewing), boxes(reviewing)) == ({"b": "moved"}, "c", [])
    points = reviewing.controller.study.annotations("sub-01")
    assert [p.world for p in points] == [near(reviewing, first), near(reviewing, second)]
    assert len(reviewing.controller.scene.lesions.data) == 2
    assert reviewing.controller.study.history("sub-01")[-1].change.label == "split"
    reviewing.key(Qt.Key.Key_Z, CONTROL)
    assert (verdicts(reviewing), reviewing.stored, current(reviewing)) == ({}, [], "b")
    assert len(reviewing.controller.scene.lesions.data) == 0
    reviewing.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert len(reviewing.stored) == 2


@pytest.mark.parametrize("key", [Qt.Key.Key_Escape, Qt.Key.Key_T])
def test_a_split_that_is_left_changes_nothing(reviewing: Any, key: Qt.Key) -> None:
    reviewing.key(Qt.Key.Key_T)
    reviewing.click(world((28.0, 28.0, 9.0)))
    reviewing.key(key)
    assert boxes(reviewing) == []
    reviewing.click(world((10.0, 40.0, 9.0)))
    assert (verdicts(reviewing), reviewing.stored, current(reviewing)) == ({}, [], "b")
    assert reviewing.controller.study.history("sub-01") == ()


# merge ---------------------------------------------------------------------------------------------------------------


def test_merge_proposes_the_nearest_and_the_same_key_merges(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_J)
    assert "existence 0.40, 7.1 mm away" in reviewing.dock.review.hint.text()
    [(middle, side)] = boxes(reviewing)
    assert (middle - reviewing.pixel(world(PLACES["c"]))).manhattanLength() <= 2
    assert side == pytest.approx(12 * reviewing.viewer.scene.camera.zoom)
    assert verdicts(reviewing) == {}
    reviewing.key(Qt.Key.Key_J)
    assert verdicts(reviewing) == {"b": "moved", "c": "moved"}
    centre = tuple(np.average([world(PLACES["b"]), world(PLACES["c"])], axis=0, weights=[0.55, 0.4]))
    assert reviewing.stored == [pytest.approx(centre)]
    assert current(reviewing) == "e"  # c is reviewed, too
    assert reviewing.dock.review.count.text() == "2 of 4 left"
    reviewing.key(Qt.Key.Key_Z, CONTROL)
    assert (verdicts(reviewing), reviewing.stored, current(reviewing)) == ({}, [], "b")


def test_merge_with_another_neighbour_by_key_or_click(reviewing: Any) -> None:
    hand = LesionPoint("sub-01", world((24.0, 33.0, 9.0)), "by hand", reader="bob")  # 8.1 mm from b
    reviewing.controller.study.apply(Change.adding(hand))
    reviewing.controller.show_stored("")
    reviewing.key(Qt.Key.Key_J)
    reviewing.key(Qt.Key.Key_N)
    assert "the annotated lesion, 8.1 mm away" in reviewing.dock.review.hint.text()
    reviewing.key(Qt.Key.Key_N)
    assert "existence 0.40" in reviewing.dock.review.hint.text()
    reviewing.click(world((30.0, 20.0, 9.0)))
    assert "Nothing to merge with" in reviewing.dock.message.label.text()
    reviewing.click(hand.world)
    centre = tuple((np.array(hand.world) + world(PLACES["b"])) / 2)
    [moved] = reviewing.controller.study.annotations("sub-01")
    assert (moved.id, moved.origin, moved.reader) == ("by hand", Origin.HUMAN, "bob")
    assert moved.world == pytest.approx(centre)
    assert verdicts(reviewing) == {"b": "moved"}


def test_where_nothing_is_near_there_is_nothing_to_merge(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_J)
    reviewing.key(Qt.Key.Key_Escape)
    assert (boxes(reviewing), verdicts(reviewing)) == ([], {})
    for _ in range(3):
        reviewing.key(Qt.Key.Key_S)
    assert current(reviewing) == "a"
    reviewing.key(Qt.Key.Key_J)
    assert "nothing to merge" in reviewing.dock.message.label.text()
    assert not reviewing.controller.state.placing


# the list ------------------------------------------------------------------------------------------------------------


def test_the_list_opens_by_key_and_closes_with_the_tab(reviewing: Any) -> None:
    drawer = reviewing.dock.drawer
    assert not drawer.visible
    reviewing.key(Qt.Key.Key_L)
    assert drawer.visible
    assert reviewing.dock.review.listing.isChecked()
    assert cells(reviewing, "Existence") == ["0.95", "0.55", "0.40", "0.20"]
    assert selected(reviewing) == "b"
    reviewing.show_tab("Predict")
    assert not drawer.visible
    reviewing.dock.show_tab("Review")
    assert drawer.visible
    reviewing.key(Qt.Key.Key_L)
    assert not drawer.visible
    reviewing.dock.review.listing.click()
    assert drawer.visible
    drawer._dock.close()  # by its own button
    assert not reviewing.controller.state.listing
    reviewing.key(Qt.Key.Key_L)
    assert drawer.visible


def test_a_row_goes_to_its_lesion_and_the_row_follows_the_review(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_L)
    click_row(reviewing, 3)
    assert (current(reviewing), selected(reviewing)) == ("e", "e")
    assert reviewing.viewer.dims.current_step[0] == PLACES["e"][2]
    reviewing.key(Qt.Key.Key_R)  # the keys stay those of the review
    assert verdicts(reviewing) == {"e": "rejected"}
    assert cells(reviewing, "Verdict")[3] == "✕ rejected"
    assert selected(reviewing) == current(reviewing) == "a"
    click_row(reviewing, 3)  # one that is judged can be judged anew
    assert current(reviewing) == "e"
    reviewing.key(Qt.Key.Key_A)
    assert verdicts(reviewing) == {"e": "accepted"}


def test_a_candidate_that_was_judged_before_joins_the_queue(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_R)
    reviewing.dock.desk.rebuild()
    assert [p.id for p in reviewing.controller.state.queue] == ["c", "e", "a"]
    reviewing.key(Qt.Key.Key_L)
    click_row(reviewing, 1)
    assert (current(reviewing), reviewing.dock.review.count.text()) == ("b", "3 of 4 left")
    reviewing.key(Qt.Key.Key_A)
    assert (verdicts(reviewing), current(reviewing)) == ({"b": "accepted"}, "c")
    assert reviewing.dock.review.count.text() == "3 of 4 left"


def test_a_click_on_a_candidate_in_the_image_selects_its_row(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_L)
    reviewing.click(world((33.2, 36.0, 9.0)))
    reviewing.qtbot.wait(50)
    assert (current(reviewing), selected(reviewing), verdicts(reviewing)) == ("c", "c", {})
    reviewing.click(world((20.0, 40.0, 9.0)))  # no candidate there
    reviewing.qtbot.wait(50)
    assert current(reviewing) == "c"


def test_the_list_sorts_and_filters_by_its_controls(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_U)
    reviewing.key(Qt.Key.Key_L)
    panel = reviewing.dock.candidates
    header = panel.table.horizontalHeader()
    at = QPoint(header.sectionViewportPosition(2) + 10, header.height() // 2)
    for order in (["0.20", "0.40", "0.55", "0.95"], ["0.95", "0.55", "0.40", "0.20"]):
        QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
        assert cells(reviewing, "Existence") == order
    panel.verdict.setCurrentIndex(panel.verdict.findData(Verdict.UNSURE))
    panel.verdict.activated.emit(panel.verdict.currentIndex())
    assert cells(reviewing, "Existence") == ["0.55"]
    panel.verdict.setCurrentIndex(0)
    panel.verdict.activated.emit(0)
    QTest.keyClicks(panel.text, "maria unsure")
    assert cells(reviewing, "Reader") == ["maria"]
    assert panel.count.text() == "1 of 4"
    panel.text.clear()
    panel.existence.slider.setValue(50)
    assert cells(reviewing, "Existence") == ["0.95", "0.55"]


def test_the_list_has_all_cases_when_the_review_has(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_L)
    reviewing.dock.review.all_cases.click()
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    assert cells(reviewing, "Case") == ["sub-01"] * 4 + ["sub-02"]
    click_row(reviewing, 4)
    reviewing.until(lambda: reviewing.controller.screen.can_judge)
    assert (reviewing.controller.state.shown, current(reviewing), selected(reviewing)) == ("sub-02", "d", "d")
    assert reviewing.dock.review.accept.isEnabled()  # also when the case was in memory, and there at once
    reviewing.dock.review.this_case.click()
    assert cells(reviewing, "Case") == ["sub-02"]


def test_a_thousand_candidates_are_listed_as_one_is(reading: Any, rng: np.random.Generator) -> None:
    """A verdict with the list open takes little longer than without it."""
    many = [
        replace(candidate("sub-01", f"c{i}", tuple(rng.uniform(2, 12, 3)), float(p)), id=f"c{i}")
        for i, p in enumerate(rng.uniform(0.1, 1, 1000))
    ]
    reading.controller.study.add_candidates("sub-01", many, "model", 2.0)
    reading.controller.refresh()
    reading.dock.show_tab("Review")
    reading.key(Qt.Key.Key_L)
    model = reading.dock.candidates.model
    assert model.rowCount() == 1000
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    for _ in range(3):
        reading.key(Qt.Key.Key_S)
        assert selected(reading) == current(reading)
    assert resets == []  # nothing was laid out anew
