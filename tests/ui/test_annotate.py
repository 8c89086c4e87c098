"""Clicking lesions, with real mouse events and keys: what is stored is where the click was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_lesion_points.core.records import SHARED, CaseState, Change, LesionPoint, Origin
from napari_lesion_points.errors import BusyError, StudyError
from napari_lesion_points.ui.loading import Heatmap

from .conftest import world

#: Voxel coordinates (of the files) of a lesion off every centre, so that a swapped or flipped axis shows.
LESION = (30.0, 18.0, 9.0)

LEFT, RIGHT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier


def pixel_mm(hand: Any) -> float:
    """How far a click can be off because it hits a whole pixel (mm)."""
    return 0.75 / float(hand.viewer.scene.camera.zoom)


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_a_click_stores_the_world_point_under_it(reading: Any, orientation: str) -> None:
    reading.dock.annotate.views[orientation].click()
    reading.qtbot.wait(50)
    lesion = world(LESION)
    reading.slice_to(lesion)
    reading.click(lesion)
    assert len(reading.stored) == 1
    np.testing.assert_allclose(reading.stored[0], lesion, atol=pixel_mm(reading))
    assert reading.controller.study.state("sub-01") is CaseState.IN_PROGRESS
    assert reading.dock.annotate.table.rowCount() == 1


def test_orientation_is_radiological(reading: Any) -> None:
    left, right, front, back = (world(v) for v in ((4, 25, 7), (40, 25, 7), (22, 45, 7), (22, 5, 7)))
    assert left[0] > right[0]  # voxel 4 of an LAS file is the patient's right
    assert reading.pixel(left).x() < reading.pixel(right).x()
    assert reading.pixel(front).y() < reading.pixel(back).y()
    reading.controller.set_orientation("coronal")
    top, bottom = world((22, 25, 12)), world((22, 25, 1))
    assert reading.pixel(top).y() < reading.pixel(bottom).y()


def test_a_click_outside_adds_nothing_and_says_so(reading: Any) -> None:
    reading.click(QPoint(5, 5))
    assert reading.stored == []
    assert len(reading.controller.editor.layer.data) == 0
    assert "outside" in reading.dock.message.label.text()


def test_drag_moves_and_a_slip_does_not(reading: Any) -> None:
    lesion, target = world(LESION), world((24.0, 26.0, 9.0))
    reading.slice_to(lesion)
    reading.click(lesion)
    first = reading.stored[0]
    at = reading.pixel(lesion)
    reading.drag(at, at + QPoint(2, 1))
    assert reading.stored == [first]
    reading.drag(at, reading.pixel(target))
    assert len(reading.stored) == 1
    np.testing.assert_allclose(reading.stored[0], target, atol=2 * pixel_mm(reading))
    reading.dock.annotate.tools["select"].click()
    reading.drag(reading.pixel(target), at)
    np.testing.assert_allclose(reading.stored[0], lesion, atol=3 * pixel_mm(reading))


@pytest.mark.parametrize("tool", ["add", "select"])
def test_a_drag_that_another_case_overtakes_changes_neither(reading: Any, tool: str) -> None:
    study, elsewhere = reading.controller.study, [world((20.0, 20, 9)), world((12.0, 30, 9))]
    study.apply(Change.adding(*(LesionPoint("sub-02", p) for p in elsewhere)))
    lesion = world(LESION)
    reading.slice_to(lesion)
    reading.click(lesion)
    reading.click(world((15.0, 30, 9)))
    stored = reading.stored
    reading.dock.annotate.tools[tool].click()
    start = reading.pixel(lesion)
    reading.move(start)
    QTest.mousePress(reading.canvas, LEFT, NONE, start)
    reading.move(start + QPoint(20, 10), LEFT)
    moved = reading.controller.shown.to_world(reading.controller.editor.layer.data)
    assert np.abs(moved - stored).max() > 1
    reading.controller.select_case("sub-02")
    reading.until(lambda: reading.controller.state.shown == "sub-02")
    reading.move(start + QPoint(40, 20), LEFT)
    QTest.mouseRelease(reading.canvas, LEFT, NONE, start + QPoint(40, 20))
    reading.qtbot.wait(20)
    assert [p.world for p in study.annotations("sub-01")] == stored
    assert reading.stored == elsewhere
    np.testing.assert_allclose(reading.controller.shown.to_world(reading.controller.editor.layer.data), elsewhere)
    reading.controller.set_tool("add")
    reading.click(world((30.0, 30, 9)))
    assert len(reading.stored) == 3


def test_a_click_that_another_case_overtakes_adds_to_neither(reading: Any) -> None:
    lesion = world(LESION)
    reading.slice_to(lesion)
    at = reading.pixel(lesion)
    reading.move(at)
    QTest.mousePress(reading.canvas, LEFT, NONE, at)
    reading.controller.select_case("sub-02")
    reading.until(lambda: reading.controller.state.shown == "sub-02")
    QTest.mouseRelease(reading.canvas, LEFT, NONE, at)
    reading.qtbot.wait(20)
    assert reading.controller.study.annotations() == ()
    assert "nothing was changed" in reading.dock.message.label.text()
    reading.slice_to(lesion)
    reading.click(lesion)
    assert len(reading.stored) == 1


def test_clicks_count_after_two_buttons_were_down_at_once(reading: Any) -> None:
    lesion = world(LESION)
    reading.slice_to(lesion)
    reading.click(lesion)
    at, empty = reading.pixel(lesion), reading.pixel(world((15.0, 30, 9)))
    QTest.mousePress(reading.canvas, RIGHT, NONE, empty)
    QTest.mousePress(reading.canvas, LEFT, NONE, at)
    QTest.mouseRelease(reading.canvas, LEFT, NONE, at)
    QTest.mouseRelease(reading.canvas, RIGHT, NONE, empty)
    assert len(reading.stored) == 1
    reading.click(empty)
    assert len(reading.stored) == 2


def test_a_drag_that_another_button_ends_is_taken_back(reading: Any) -> None:
    lesion = world(LESION)
    reading.slice_to(lesion)
    reading.click(lesion)
    (stored,) = reading.stored
    at = reading.pixel(lesion)
    QTest.mousePress(reading.canvas, LEFT, NONE, at)
    reading.move(at + QPoint(30, 0), LEFT)
    QTest.mousePress(reading.canvas, RIGHT, NONE, at + QPoint(30, 0))
    QTest.mouseRelease(reading.canvas, RIGHT, NONE, at + QPoint(30, 0))
    QTest.mouseRelease(reading.canvas, LEFT, NONE, at + QPoint(30, 0))
    assert reading.stored == [stored]
    layer = reading.controller.editor.layer
    np.testing.assert_allclose(reading.controller.shown.to_world(layer.data), [stored], atol=1e-6)


def test_a_click_on_a_point_selects_it_and_adds_none(reading: Any) -> None:
    lesion = world(LESION)
    reading.slice_to(lesion)
    reading.click(lesion)
    reading.controller.editor.layer.selected_data = set()
    reading.click(lesion)
    assert len(reading.stored) == 1
    assert len(reading.controller.editor.layer.data) == 1
    assert set(reading.controller.editor.layer.selected_data) == {0}


def test_delete_undo_and_redo_by_key(reading: Any) -> None:
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    lesion, other = world(LESION), world((15.0, 30.0, 9.0))
    reading.slice_to(lesion)
    reading.click(lesion)
    reading.click(other)
    first, second = reading.stored
    reading.key(Qt.Key.Key_Delete)
    assert reading.stored == [first]
    reading.key(Qt.Key.Key_Z, control)
    assert reading.stored == [first, second]
    reading.key(Qt.Key.Key_Z, control)
    assert reading.stored == [first]
    reading.key(Qt.Key.Key_Z, control)
    assert reading.stored == []
    assert len(reading.controller.editor.layer.data) == 0
    reading.key(Qt.Key.Key_Z, control | shift)
    reading.key(Qt.Key.Key_Z, control | shift)
    assert reading.stored == [first, second]
    np.testing.assert_allclose(
        reading.controller.shown.to_world(reading.controller.editor.layer.data), [first, second], atol=1e-6
    )
    reading.key(Qt.Key.Key_Z, control | shift)
    reading.key(Qt.Key.Key_Z, control | shift)
    assert reading.stored == [first]  # the deletion again, and then nothing is left to redo
    assert "Nothing to redo" in reading.dock.message.label.text()


def test_what_the_database_refuses_is_taken_back(reading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise StudyError("the disk is full. Free some space.")

    monkeypatch.setattr(reading.controller.study, "apply", refuse)
    reading.slice_to(world(LESION))
    reading.click(world(LESION))
    assert len(reading.controller.editor.layer.data) == 0
    assert "the disk is full" in reading.dock.message.label.text()
    assert reading.controller.state.undo_label == ""


def test_points_show_on_neighbouring_slices_within_the_margin(reading: Any) -> None:
    lesion = world(LESION)
    reading.slice_to(lesion)
    reading.click(lesion)
    reading.slice_to(world((30.0, 18.0, 10.0)))
    layer, view = reading.controller.editor.layer, reading.viewer.dims
    at = layer.data[0] * reading.controller.shown.grid.spacing
    at[0] = view.point[0]
    assert layer.get_value(at, view_direction=None, dims_displayed=[1, 2], world=True) is None  # 4 mm away; 3 mm shown
    reading.dock.annotate.margin.setValue(5)
    reading.qtbot.wait(20)
    assert layer.get_value(at, view_direction=None, dims_displayed=[1, 2], world=True) == 0


def test_the_list_of_points_jumps(reading: Any) -> None:
    lesion = world(LESION)
    reading.slice_to(lesion)
    reading.click(lesion)
    reading.slice_to(world((30.0, 18.0, 2.0)))
    reading.dock.annotate.table.cellClicked.emit(0, 1)
    assert reading.viewer.dims.current_step[0] == 9


def test_keys_cycle_sequences_and_views(reading: Any) -> None:
    assert reading.controller.state.sequence == "FLAIR"
    reading.key(Qt.Key.Key_C)
    assert [layer.visible for layer in reading.controller.scene.images.values()] == [False, True]
    reading.key(Qt.Key.Key_X)
    assert reading.viewer.dims.order == (1, 0, 2)


def test_a_neighbour_can_be_clicked_inside_the_circle_of_a_point(reading: Any) -> None:
    lesion = world(LESION)
    reading.slice_to(lesion)
    reading.click(lesion)
    reading.click(world((30.0, 21.0, 9.0)))  # 3 mm away; the circle's radius is 5 mm
    assert len(reading.stored) == 2


def test_clicks_in_3d_place_nothing_and_say_so(reading: Any) -> None:
    reading.slice_to(world(LESION))
    reading.click(world(LESION))
    stored = reading.stored
    reading.viewer.dims.ndisplay = 3
    layer = reading.controller.editor.layer
    layer.add([[5.0, 20.0, 20.0]])
    assert reading.stored == stored
    assert len(layer.data) == 1
    assert "2D view" in reading.dock.message.label.text()


def test_new_candidates_change_neither_tool_nor_active_layer(reading: Any) -> None:
    reading.dock.annotate.tools["select"].click()
    lesions = reading.controller.editor.layer
    found = LesionPoint("sub-01", world(LESION), "n", 0.6, 0.6, 0.97, Origin.MODEL)
    reading.controller.study.add_candidates("sub-01", [found], "model", 2.0)
    heatmap = Heatmap(reading.controller.shown.volumes["FLAIR"], 1.0)
    reading.controller.set_heat_opacity(0.3)
    reading.controller.refresh()
    reading.controller._replace_heatmap(reading.controller.shown, heatmap)
    assert reading.controller.scene.candidates is not None
    assert reading.controller.scene.heatmap.opacity == 0.3
    assert reading.viewer.layers.selection.active is lesions
    assert str(lesions.mode) == "select"


def test_a_bare_image_ends_with_tab_and_case_and_the_tool_stays_in_hand(reading: Any) -> None:
    lesions, tools = reading.controller.scene.lesions, reading.dock.annotate.tools
    reading.dock.show_tab("Review")
    reading.key(Qt.Key.Key_D)
    assert not lesions.visible
    reading.dock.show_tab("Annotate")
    assert lesions.visible
    reading.slice_to(world(LESION))
    reading.click(world(LESION))
    assert len(reading.stored) == 1
    reading.key(Qt.Key.Key_D)
    assert not lesions.visible
    reading.key(Qt.Key.Key_PageDown)
    reading.until(lambda: reading.controller.state.shown == "sub-02")
    reading.qtbot.wait(50)
    assert lesions.visible
    reading.click(world(LESION))
    assert len(reading.stored) == 1
    tools["select"].click()
    reading.key(Qt.Key.Key_D)
    reading.key(Qt.Key.Key_D)
    assert (lesions.visible, str(lesions.mode)) == (True, "select")
    reading.key(Qt.Key.Key_D)
    tools["add"].click()  # shows what it is for
    reading.key(Qt.Key.Key_D)
    assert (lesions.visible, str(lesions.mode)) == (True, "add")


def test_a_click_stays_on_screen_when_it_is_stored_but_cannot_be_read_again(
    reading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, message = reading.controller.study, reading.dock.message.label
    lesion, other = world(LESION), world((15.0, 30.0, 9.0))
    reading.slice_to(lesion)
    reading.click(lesion)

    def busy(*_: Any) -> Any:
        raise BusyError("study.sqlite: another program is writing to it. Try again in a moment.")

    with monkeypatch.context() as patch:
        patch.setattr(type(study), "annotations", busy)
        reading.click(other)
        assert "Stored, but not read again: study.sqlite" in message.text()
        assert len(reading.controller.editor.layer.data) == 2
    assert len(reading.stored) == 2
    reading.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(reading.stored) == 1


def test_an_edit_that_somebody_else_overtook_shows_theirs_and_can_be_made_again(reading: Any) -> None:
    control, message = Qt.KeyboardModifier.ControlModifier, reading.dock.message.label
    lesion, theirs, target = world(LESION), world((24.0, 26.0, 9.0)), world((15.0, 30.0, 9.0))
    reading.slice_to(lesion)
    reading.click(lesion)
    other = reading.controller.study.of(SHARED, "otto")
    other.apply(Change.moving(other.annotations("sub-01")[0], theirs))
    reading.drag(reading.pixel(lesion), reading.pixel(target))
    assert reading.stored == [theirs]
    assert "Somebody else changed it" in message.text()
    np.testing.assert_allclose(reading.controller.shown.to_world(reading.controller.editor.layer.data), [theirs])
    reading.dock.annotate.tools["select"].click()
    reading.drag(reading.pixel(theirs), reading.pixel(target))
    np.testing.assert_allclose(reading.stored, [target], atol=2 * pixel_mm(reading))
    reading.key(Qt.Key.Key_Z, control)
    assert reading.stored == [theirs]
    reading.key(Qt.Key.Key_Z, control)  # the click, which theirs has overtaken
    assert reading.stored == [theirs]
    assert "dropped" in message.text()
    assert not reading.dock.annotate.undo.isEnabled()
    reading.key(Qt.Key.Key_Z, control)
    assert "Nothing to undo" in message.text()
