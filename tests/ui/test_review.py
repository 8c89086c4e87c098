"""Candidates on screen, the existence slider, and the review by key, with real events."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_lesion_points.core.events import CasePredicted
from napari_lesion_points.core.records import SHARED, Origin, Verdict
from napari_lesion_points.errors import StudyError
from napari_lesion_points.ui import reviewing as reviewing_module
from napari_lesion_points.workflow.review import verdict_change

from .conftest import candidate, world


@pytest.fixture
def reviewing(reading: Any) -> Any:
    """Three candidates in the case on screen and one in the next."""
    study = reading.controller.study
    found = [("a", (20, 20, 4), 0.95), ("b", (30, 30, 9), 0.55), ("c", (12, 25, 7), 0.2)]
    study.add_candidates("sub-01", [candidate("sub-01", *one) for one in found], "model", 2.0)
    study.add_candidates("sub-02", [candidate("sub-02", "d", (25, 25, 5), 0.45)], "model", 2.0)
    reading.controller.refresh()
    reading.dock.show_tab("Review")
    reading.qtbot.wait(50)
    return reading


def verdicts(hand: Any, case: str = "sub-01") -> dict[str, Verdict]:
    return {p.id: p.verdict for p in hand.controller.study.candidates(case)}


def current(hand: Any) -> str:
    found = hand.controller.screen.current
    return found.id if found else ""


def test_the_most_uncertain_comes_first_and_the_view_is_there(reviewing: Any) -> None:
    assert [p.id for p in reviewing.controller.state.queue] == ["b", "c", "a"]
    assert reviewing.viewer.dims.current_step[0] == 9
    middle = QPoint(reviewing.canvas.width() // 2, reviewing.canvas.height() // 2)
    offset = reviewing.pixel(world((30, 30, 9))) - middle
    assert abs(offset.x()) <= 1
    assert abs(offset.y()) <= 1
    assert reviewing.dock.review.count.text() == "3 of 3 left"


def test_one_key_each_for_accept_reject_skip_and_back(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_A)
    assert current(reviewing) == "c"
    reviewing.key(Qt.Key.Key_S)
    assert current(reviewing) == "a"
    reviewing.key(Qt.Key.Key_B)
    reviewing.key(Qt.Key.Key_R)
    assert verdicts(reviewing) == {"a": Verdict.NONE, "b": Verdict.ACCEPTED, "c": Verdict.REJECTED}
    assert reviewing.dock.review.count.text() == "1 of 3 left"
    stored = reviewing.controller.study.annotations("sub-01")
    assert [(p.id, p.origin, p.reader) for p in stored] == [("b", Origin.MODEL, "maria")]
    np.testing.assert_allclose(stored[0].world, world((30, 30, 9)))
    layer = reviewing.controller.scene.candidates
    assert [str(s) for s in layer.symbol] == ["disc", "star", "x"]
    assert list(layer.features["verdict"]) == ["", "accepted", "rejected"]


def test_move_takes_the_next_click(reviewing: Any) -> None:
    target = world((33.0, 27.0, 9.0))
    reviewing.key(Qt.Key.Key_M)
    assert "Click where" in reviewing.dock.review.hint.text()
    reviewing.click(QPoint(3, 3))
    assert "outside" in reviewing.dock.message.label.text()
    reviewing.click(target)
    assert verdicts(reviewing)["b"] is Verdict.MOVED
    point = reviewing.controller.study.annotations("sub-01")[0]
    np.testing.assert_allclose(point.world, target, atol=0.75 / reviewing.viewer.scene.camera.zoom)
    np.testing.assert_allclose(reviewing.controller.study.candidates("sub-01")[1].world, world((30, 30, 9)))
    assert current(reviewing) == "c"


def test_escape_and_other_clicks_leave_a_candidate_alone(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_M)
    reviewing.key(Qt.Key.Key_Escape)
    reviewing.click(world((33.0, 27.0, 9.0)))
    assert set(verdicts(reviewing).values()) == {Verdict.NONE}
    assert reviewing.controller.study.annotations("sub-01") == ()


def test_a_verdict_can_be_undone_redone_and_changed(reviewing: Any) -> None:
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    reviewing.key(Qt.Key.Key_A)
    reviewing.key(Qt.Key.Key_Z, control)
    assert set(verdicts(reviewing).values()) == {Verdict.NONE}
    assert reviewing.controller.study.annotations("sub-01") == ()
    assert current(reviewing) == "b"
    reviewing.key(Qt.Key.Key_Z, control | shift)
    assert verdicts(reviewing)["b"] is Verdict.ACCEPTED
    reviewing.key(Qt.Key.Key_R)
    assert verdicts(reviewing)["b"] is Verdict.REJECTED
    assert reviewing.controller.study.annotations("sub-01") == ()


def test_the_queue_of_all_cases_opens_the_case_it_needs(reviewing: Any) -> None:
    reviewing.dock.review.all_cases.click()
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    assert [p.id for p in reviewing.controller.state.queue] == ["b", "d", "c", "a"]
    reviewing.key(Qt.Key.Key_A)
    reviewing.until(lambda: reviewing.controller.screen.can_judge and current(reviewing) == "d")
    assert reviewing.controller.state.shown == "sub-02"
    assert reviewing.viewer.dims.current_step[0] == 5
    reviewing.key(Qt.Key.Key_A)
    assert verdicts(reviewing, "sub-02") == {"d": Verdict.ACCEPTED}
    reviewing.until(lambda: reviewing.controller.state.shown == "sub-01")
    reviewing.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    reviewing.until(lambda: reviewing.controller.screen.can_judge)
    assert current(reviewing) == "d"
    assert verdicts(reviewing, "sub-02") == {"d": Verdict.NONE}


def test_a_verdict_given_while_all_cases_are_read_is_kept(reviewing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read, given = reviewing_module._read, threading.Event()

    def slow(*args: Any) -> Any:
        found = read(*args)
        assert given.wait(10)
        return found

    monkeypatch.setattr(reviewing_module, "_read", slow)
    reviewing.dock.review.all_cases.click()
    assert reviewing.dock.review.all_cases.isChecked()
    assert reviewing.controller.state.notice.text == "Reading the candidates of all cases …"
    reviewing.key(Qt.Key.Key_A)  # the window answers meanwhile
    assert verdicts(reviewing)["b"] is Verdict.ACCEPTED
    given.set()
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    state = reviewing.controller.state
    assert {p.id: p.verdict for p in state.queue}["b"] is Verdict.ACCEPTED
    assert {p.id: p.verdict for p in state.proposed} == verdicts(reviewing) | verdicts(reviewing, "sub-02")
    assert reviewing.dock.review.count.text().startswith("3 of 4 left")


def test_all_cases_that_cannot_be_read_leave_the_queue_as_it_was(
    reviewing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise StudyError("The database cannot be read.")

    monkeypatch.setattr(reviewing_module, "_read", broken)
    reviewing.dock.review.all_cases.click()
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    assert reviewing.dock.review.this_case.isChecked()
    assert reviewing.controller.state.notice.text == "The database cannot be read."
    assert [p.id for p in reviewing.controller.state.queue] == ["b", "c", "a"]


def test_a_queue_of_all_cases_is_made_again_when_others_predicted_meanwhile(reviewing: Any) -> None:
    reviewing.dock.review.all_cases.click()
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    reviewing.dock.show_tab("Annotate")
    reviewing.dock.show_tab("Review")
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    assert [p.id for p in reviewing.controller.state.queue] == ["b", "d", "c", "a"]  # still valid: kept
    reviewing.dock.show_tab("Annotate")
    newer = [candidate("sub-02", "e", (25, 25, 5), 0.5)]
    reviewing.controller.study.add_candidates("sub-02", newer, "newer model", 2.0)
    reviewing.dock.show_tab("Review")
    reviewing.until(lambda: [p.id for p in reviewing.controller.state.queue] == ["e", "b", "c", "a"])


def test_the_end_of_the_queue_is_said(reviewing: Any) -> None:
    for _ in range(3):
        reviewing.key(Qt.Key.Key_A)
    assert reviewing.dock.review.title.text() == "End of the queue"
    assert reviewing.dock.review.details.text().startswith("All reviewed.")
    assert not reviewing.dock.review.accept.isEnabled()
    reviewing.key(Qt.Key.Key_A)
    assert reviewing.dock.review.count.text() == "0 of 3 left"


def test_what_was_skipped_is_not_called_reviewed(reviewing: Any) -> None:
    for key in (Qt.Key.Key_A, Qt.Key.Key_S, Qt.Key.Key_S):
        reviewing.key(key)
    assert reviewing.dock.review.details.text().startswith("2 skipped, without a verdict")
    assert reviewing.dock.review.count.text() == "2 of 3 left"
    reviewing.dock.review.refresh.click()
    assert reviewing.dock.review.title.text().startswith("sub-01 · existence")


def test_review_keys_mean_nothing_in_other_tabs(reviewing: Any) -> None:
    reviewing.show_tab("Predict")
    reviewing.key(Qt.Key.Key_R)
    reviewing.key(Qt.Key.Key_A)
    assert set(verdicts(reviewing).values()) == {Verdict.NONE}


def test_candidates_cannot_be_dragged_or_deleted(reviewing: Any) -> None:
    layer = reviewing.controller.scene.candidates
    assert not layer.editable
    before = layer.data.copy()
    at = reviewing.pixel(world((30, 30, 9)))
    reviewing.drag(at, at + QPoint(40, 0))
    reviewing.key(Qt.Key.Key_Delete)
    np.testing.assert_array_equal(layer.data, before)


def test_the_slider_filters_at_once_and_the_queue_follows(reviewing: Any) -> None:
    reviewing.dock.review.existence.slider.setValue(50)
    assert list(reviewing.controller.scene.candidates.shown) == [True, True, False]
    reviewing.until(lambda: len(reviewing.controller.state.queue) == 2)
    reviewing.dock.review.existence.slider.setValue(0)
    assert reviewing.controller.scene.candidates.shown.all()


def test_a_thousand_candidates_are_filtered_without_delay(reading: Any, rng: np.random.Generator) -> None:
    many = [
        candidate("sub-01", f"c{i}", tuple(rng.uniform(2, 12, 3)), float(p))
        for i, p in enumerate(rng.uniform(0.1, 1, 1000))
    ]
    reading.controller.study.add_candidates("sub-01", many, "model", 2.0)
    reading.controller.refresh()
    reading.show_tab("Predict")
    reading.qtbot.wait(50)
    started = time.perf_counter()
    for value in (20, 40, 60, 80):
        reading.dock.predict.existence.slider.setValue(value)
    each_s = (time.perf_counter() - started) / 4
    assert reading.controller.scene.candidates.shown.sum() == sum(p.existence >= 0.8 for p in many)
    assert each_s < 0.25


def test_candidates_read_without_colour(reviewing: Any) -> None:
    layer = reviewing.controller.scene.candidates
    assert list(layer.text.values) == ["0.95", "0.55", "0.20"]
    assert layer.border_contrast_limits == (0, 1)
    assert layer.border_colorbar.visible


def test_the_queue_of_this_case_follows_the_case(reviewing: Any) -> None:
    reviewing.controller.select_case("sub-02")
    reviewing.qtbot.waitUntil(lambda: reviewing.controller.screen.can_judge, timeout=10_000)
    assert current(reviewing) == "d"
    reviewing.show_tab("Predict")
    reviewing.controller.select_case("sub-01")
    reviewing.dock.show_tab("Review")
    reviewing.qtbot.waitUntil(lambda: reviewing.controller.screen.can_judge, timeout=10_000)
    assert current(reviewing) == "b"


def test_a_slice_without_lesions_shows_none(reviewing: Any) -> None:
    layer = next(layer for layer in reviewing.viewer.layers if layer.name == "Lesions")
    assert layer.canvas_size_limits[0] == 0  # napari draws an invisible point there, which a smallest size would show


def test_the_queue_follows_a_new_prediction(reviewing: Any) -> None:
    reviewing.controller.study.add_candidates("sub-01", [candidate("sub-01", "n", (20, 20, 4), 0.6)], "model", 2.0)
    found = reviewing.controller.study.candidates("sub-01")
    reviewing.dock.jobs.replay("Predicting", [CasePredicted("sub-01", "", found, 2.0)])
    assert [p.id for p in reviewing.controller.state.queue] == ["n"]
    reviewing.until(lambda: reviewing.controller.screen.can_judge)
    reviewing.key(Qt.Key.Key_A)
    assert verdicts(reviewing) == {"n": Verdict.ACCEPTED}


def test_a_stale_queue_is_made_again_when_the_tab_is_entered(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_A)
    reviewing.show_tab("Predict")
    reviewing.dock.show_tab("Review")
    assert current(reviewing) == "c"  # still valid, so the place in it is kept
    reviewing.show_tab("Predict")
    reviewing.controller.study.add_candidates("sub-01", [candidate("sub-01", "n", (20, 20, 4), 0.6)], "model", 2.0)
    reviewing.dock.show_tab("Review")
    assert [p.id for p in reviewing.controller.state.queue] == ["n"]


def press_blind(hand: Any) -> None:
    blind = hand.dock.cases.blind
    QTest.mouseClick(blind, Qt.MouseButton.LeftButton, pos=QPoint(8, blind.height() // 2))


def test_another_reading_of_the_same_case_has_its_own_queue(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_A)
    shared = reviewing.controller.study
    press_blind(reviewing)
    reviewing.until(lambda: reviewing.controller.study is not shared and reviewing.controller.screen.can_judge)
    assert [p.id for p in reviewing.controller.state.queue] == ["b", "c", "a"]
    reviewing.key(Qt.Key.Key_R)
    assert reviewing.controller.study.reading == "maria"
    assert verdicts(reviewing)["b"] is Verdict.REJECTED
    press_blind(reviewing)
    reviewing.until(lambda: reviewing.controller.state.reading == SHARED and reviewing.controller.screen.can_judge)
    assert [p.id for p in reviewing.controller.state.queue] == ["c", "a"]
    assert verdicts(reviewing)["b"] is Verdict.ACCEPTED


def test_a_case_whose_candidates_cannot_be_read_has_no_queue(reviewing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise StudyError("The database cannot be read.")

    monkeypatch.setattr(reviewing_module, "_read", broken)
    reviewing.controller.select_case("sub-02")
    reviewing.until(lambda: reviewing.controller.state.shown == "sub-02")
    reviewing.qtbot.wait(50)
    assert reviewing.controller.state.notice.text == "The database cannot be read."
    assert (reviewing.controller.state.wanted, reviewing.controller.state.queue) == ("sub-02", ())


def test_a_verdict_counts_only_for_what_has_been_shown(reviewing: Any) -> None:
    for _ in range(2):  # the second comes before the view has moved
        QTest.keyClick(reviewing.canvas, Qt.Key.Key_A)
    assert current(reviewing) == "c"
    assert not reviewing.dock.review.accept.isEnabled()
    assert verdicts(reviewing) == {"a": Verdict.NONE, "b": Verdict.ACCEPTED, "c": Verdict.NONE}
    reviewing.until(reviewing.dock.review.accept.isEnabled)
    assert reviewing.viewer.dims.current_step[0] == 7
    reviewing.key(Qt.Key.Key_A)
    assert verdicts(reviewing)["c"] is Verdict.ACCEPTED


def test_back_in_its_case_the_candidate_under_review_is_shown_again(reviewing: Any) -> None:
    reviewing.dock.show_tab("Annotate")
    for case in ("sub-02", "sub-01"):
        reviewing.controller.select_case(case)
        reviewing.until(lambda case=case: reviewing.controller.state.shown == case)
    reviewing.slice_to(world((30, 30, 2)))
    reviewing.dock.show_tab("Review")
    reviewing.until(lambda: reviewing.controller.screen.can_judge)
    assert current(reviewing) == "b"
    assert reviewing.viewer.dims.current_step[0] == 9


def test_a_key_that_is_held_judges_once(reviewing: Any) -> None:
    table, none = reviewing.dock.cases.table, Qt.KeyboardModifier.NoModifier
    reviewing.viewer.window._qt_window.activateWindow()
    table.setFocus()
    reviewing.qtbot.wait(50)
    if not table.hasFocus():
        pytest.skip("no window manager gives the focus here")
    for repeated in (False, True, True):
        QTest.simulateEvent(table, True, Qt.Key.Key_A.value, none, "a", repeated)
        reviewing.qtbot.wait(50)
    assert verdicts(reviewing) == {"a": Verdict.NONE, "b": Verdict.ACCEPTED, "c": Verdict.NONE}
    QTest.simulateEvent(table, False, Qt.Key.Key_A.value, none, "a", False)
    QTest.keyClick(table, Qt.Key.Key_A)
    reviewing.qtbot.wait(50)
    assert verdicts(reviewing)["c"] is Verdict.ACCEPTED


def test_the_queue_follows_the_slider_of_the_predict_tab(reviewing: Any) -> None:
    reviewing.show_tab("Predict")
    reviewing.dock.predict.existence.slider.setValue(50)
    reviewing.dock.show_tab("Review")
    assert [p.id for p in reviewing.controller.state.queue] == ["b", "a"]
    reviewing.dock.review.all_cases.click()
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    reviewing.show_tab("Predict")
    reviewing.dock.predict.existence.slider.setValue(40)
    reviewing.dock.show_tab("Review")
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    assert [p.id for p in reviewing.controller.state.queue] == ["b", "d", "a"]


def test_a_verdict_that_somebody_else_overtook_is_theirs_and_the_next_is_asked(reviewing: Any) -> None:
    other = reviewing.controller.study.of(SHARED, "otto")
    seen = {c.id: c for c in other.candidates("sub-01")}
    reviewing.key(Qt.Key.Key_S)
    other.apply(verdict_change(other, seen["c"], Verdict.REJECTED))
    reviewing.key(Qt.Key.Key_A)
    assert "Somebody else changed it" in reviewing.dock.message.label.text()
    assert verdicts(reviewing)["c"] is Verdict.REJECTED
    assert list(reviewing.controller.scene.candidates.features["verdict"]) == ["", "", "rejected"]
    assert [p.id for p in reviewing.controller.state.queue] == ["b", "a"]
    assert current(reviewing) == "a"  # what was skipped stays so
    reviewing.key(Qt.Key.Key_A)
    assert verdicts(reviewing) == {"a": Verdict.ACCEPTED, "b": Verdict.NONE, "c": Verdict.REJECTED}


def test_an_overtaken_verdict_is_said_while_all_cases_are_read_again(reviewing: Any) -> None:
    reviewing.dock.review.all_cases.click()
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    other = reviewing.controller.study.of(SHARED, "otto")
    other.apply(verdict_change(other, other.candidates("sub-01")[1], Verdict.REJECTED))
    reviewing.key(Qt.Key.Key_A)
    reviewing.until(lambda: not reviewing.dock.desk.reading)
    assert "Somebody else changed it" in reviewing.dock.message.label.text()
    assert [p.id for p in reviewing.controller.state.queue] == ["d", "c", "a"]
    reviewing.until(lambda: reviewing.controller.screen.can_judge)
    assert current(reviewing) == "d"


def test_another_reading_of_the_same_case_has_its_queue_at_once(reviewing: Any) -> None:
    reviewing.key(Qt.Key.Key_A)
    reviewing.dock.cases.blind.click()
    reviewing.until(lambda: reviewing.controller.state.reading == "maria" and reviewing.controller.screen.case_ready)
    assert [p.id for p in reviewing.controller.state.queue] == ["b", "c", "a"]
    assert reviewing.dock.review.count.text() == "3 of 3 left"
