"""Panes, crosshair, windows and heatmap with real mouse and key events in a window; slices are 4 mm thick."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_lesion_points.core.geometry import Volume
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import LesionPoint, Origin
from napari_lesion_points.ui.loading import Heatmap

from .conftest import world

NONE, CONTROL = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


@pytest.fixture
def viewing(hand: Any, dataset: Any) -> Any:
    """Two candidates under review in a window with room for panes."""
    hand.viewer.window.resize(1366, 768)
    hand.qtbot.wait(50)
    hand.open(dataset)
    found = [("a", (20, 20, 4), 0.55), ("b", (30, 30, 9.4), 0.75)]
    hand.controller.study.add_candidates(
        "sub-01",
        [LesionPoint("sub-01", world(v), n, p, p, float(binary_entropy(p)), Origin.MODEL) for n, v, p in found],
        "model", 2.0,
    )  # fmt: skip
    hand.controller.refresh()
    hand.dock.show_tab("Review")
    hand.qtbot.wait(100)
    return hand


def panes(hand: Any) -> list[Any]:
    return [pane for pane in hand.dock.views.panel.panes if pane.isVisible()]


def voxel(hand: Any) -> list[int]:
    """Where the crosshair is, in the file's voxels (LAS)."""
    s, p, left = (round(float(v)) for v in hand.dock.views.navigator.place)
    return [left, 49 - p, s]


def pane_pixel(hand: Any, pane: Any, at_world: tuple[float, float, float]) -> QPoint:
    view = hand.dock.views.navigator.view(pane.content, (pane.width(), pane.height()))
    x, y = view.to_pixels(hand.controller.shown.to_layer([at_world]))[0]
    return QPoint(round(x), round(y))


def wheel(hand: Any, widget: Any, notches: int, modifier: Qt.KeyboardModifier = NONE) -> None:
    at = QPointF(widget.rect().center())
    event = QWheelEvent(
        at, widget.mapToGlobal(at), QPoint(), QPoint(0, 120 * notches), Qt.MouseButton.NoButton, modifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)
    hand.qtbot.wait(20)


def drag(hand: Any, widget: Any, button: Qt.MouseButton, by: QPoint) -> None:
    """Drag from the middle of a widget."""
    start = widget.rect().center()
    hand.drag(start, start + by, button, widget)


def docks(hand: Any) -> set[str]:
    found = hand.viewer.window._qt_window.findChildren(QDockWidget)
    return {dock.objectName() for dock in found if not dock.isHidden()}


def limits(hand: Any, sequence: str = "FLAIR") -> tuple[float, float]:
    low, high = hand.controller.scene.images[sequence].contrast_limits
    return float(low), float(high)


def points(hand: Any) -> tuple[Any, ...]:
    study = hand.controller.study
    return tuple(p.id for p in study.annotations("sub-01")), tuple(p.verdict for p in study.candidates("sub-01"))


def test_the_other_planes_are_there_at_the_lesion_zoomed_to_it(viewing: Any) -> None:
    assert [pane.content.orientation for pane in panes(viewing)] == ["coronal", "sagittal"]
    assert voxel(viewing) == [20, 20, 4]
    assert viewing.viewer.scene.camera.zoom * 0.6 * 56 == pytest.approx(min(viewing.viewer.canvas.size))
    for pane in panes(viewing):
        middle = pane.rect().center()
        assert (pane_pixel(viewing, pane, world((20, 20, 4))) - middle).manhattanLength() <= 2
        assert min(pane.width(), pane.height()) > 250
    assert viewing.canvas.width() > 500


def test_what_the_pane_paints_is_the_slice_with_the_candidate_on_it(viewing: Any) -> None:
    pane = panes(viewing)[0]
    at = pane_pixel(viewing, pane, world((20, 20, 4)))
    view = viewing.dock.views.navigator.view(pane.content, (pane.width(), pane.height()))
    picture = pane.grab().toImage()
    inside, outside = QColor(picture.pixel(at)), QColor(picture.pixel(2, pane.height() - 40))
    low, high = limits(viewing)
    grey = 255 * (viewing.controller.shown.volumes["FLAIR"].data[4, 29, 20] - low) / (high - low)
    assert inside.red() == inside.green() == inside.blue()  # the image, in the middle of ring and crosshair
    assert inside.red() == pytest.approx(np.clip(grey, 0, 255), abs=20)
    assert outside.red() == outside.green() == outside.blue() < 50  # air
    ring = at + QPoint(1, 1) * (4 * view.zoom * 0.7071)
    around = [QColor(picture.pixel(ring + QPoint(step, step))) for step in (-3, -2, -1, 0)]
    assert max(color.red() - color.green() for color in around) > 60


def test_a_click_in_a_pane_moves_the_crosshair_of_all_and_places_nothing(viewing: Any) -> None:
    before = points(viewing)
    coronal, sagittal = panes(viewing)
    QTest.mouseClick(coronal, LEFT, NONE, pane_pixel(viewing, coronal, world((26, 20, 7))))
    viewing.qtbot.wait(20)
    assert voxel(viewing) == [26, 20, 7]
    assert viewing.viewer.dims.current_step[0] == 7
    QTest.mouseClick(sagittal, LEFT, NONE, pane_pixel(viewing, sagittal, world((26, 31, 5))))
    assert voxel(viewing) == [26, 31, 5]
    for tab, key in (("Review", Qt.Key.Key_M), ("Annotate", None)):
        viewing.dock.show_tab(tab)
        if key is not None:
            viewing.key(key)
        QTest.mouseClick(coronal, LEFT, NONE, QPoint(100, 100))
    assert points(viewing) == before


def test_a_click_on_the_canvas_takes_the_crosshair_along(viewing: Any) -> None:
    viewing.click(world((25, 22, 4)))
    assert voxel(viewing) == [25, 22, 4]
    viewing.dock.show_tab("Annotate")
    viewing.click(world((23, 24, 4)))
    assert len(viewing.stored) == 1
    assert voxel(viewing) == [23, 24, 4]


def test_the_wheel_goes_through_slices_and_with_control_zooms(viewing: Any) -> None:
    coronal = panes(viewing)[0]
    wheel(viewing, coronal, 2)
    assert voxel(viewing) == [20, 22, 4]  # towards anterior
    field = viewing.dock.views.navigator.focus.field_mm
    wheel(viewing, coronal, 1, CONTROL)
    assert viewing.dock.views.navigator.focus.field_mm < field
    assert voxel(viewing) == [20, 22, 4]
    viewing.viewer.dims.set_current_step(0, 6)
    assert voxel(viewing) == [20, 22, 6]


def test_the_canvas_follows_a_crosshair_that_would_be_out_of_sight(viewing: Any) -> None:
    viewing.viewer.scene.camera.zoom = 40
    coronal = panes(viewing)[0]
    QTest.mouseClick(coronal, LEFT, NONE, pane_pixel(viewing, coronal, world((38, 20, 4))))
    assert viewing.viewer.scene.camera.center[-1] == pytest.approx(38 * 1.25)


def test_a_double_click_swaps_pane_and_canvas(viewing: Any) -> None:
    zoom = viewing.viewer.scene.camera.zoom
    coronal = panes(viewing)[0]
    QTest.mouseDClick(coronal, LEFT, NONE, coronal.rect().center())
    viewing.qtbot.wait(50)
    assert viewing.controller.state.orientation == "coronal"
    assert [pane.content.orientation for pane in panes(viewing)] == ["axial", "sagittal"]
    assert viewing.viewer.scene.camera.zoom == pytest.approx(zoom)
    offset = viewing.pixel(world((20, 20, 4))) - viewing.canvas.rect().center()
    assert offset.manhattanLength() <= 3


def test_one_key_goes_from_planes_to_sequences_to_none(viewing: Any) -> None:
    assert "layer list" not in docks(viewing)
    viewing.key(Qt.Key.Key_V)
    assert [pane.content for pane in panes(viewing)] == [("axial", "T1w")]
    viewing.key(Qt.Key.Key_C)
    assert [pane.content.sequence for pane in panes(viewing)] == ["FLAIR"]
    viewing.key(Qt.Key.Key_V)
    assert panes(viewing) == []
    assert {"layer list", "layer controls"} <= docks(viewing)
    viewing.key(Qt.Key.Key_V)
    assert len(panes(viewing)) == 2


def test_panes_closed_in_the_window_are_closed_for_the_session_and_come_back(viewing: Any) -> None:
    dock = viewing.dock.views.panel.parent()
    dock.close()
    viewing.qtbot.wait(20)
    assert viewing.controller.state.views == ""
    assert "layer list" in docks(viewing)
    viewing.key(Qt.Key.Key_V)
    assert len(panes(viewing)) == 2
    viewing.dock.views.panel.parent().destroyOnClose()  # napari's button that closes a panel for good
    viewing.qtbot.wait(50)
    assert viewing.controller.state.views == ""
    viewing.key(Qt.Key.Key_V)
    assert len(panes(viewing)) == 2


def test_the_next_case_keeps_the_panes(viewing: Any) -> None:
    viewing.key(Qt.Key.Key_V)
    viewing.controller.select_case("sub-02")
    viewing.until(lambda: viewing.controller.screen.case_ready and not viewing.controller.state.loading)
    viewing.qtbot.wait(50)
    assert [pane.content.sequence for pane in panes(viewing)] == ["T1w"]
    assert viewing.dock.views.navigator.focus.field_mm is None


def test_the_end_of_the_session_leaves_napari_as_it_was(viewing: Any) -> None:
    viewing.dock.close_session()
    assert "Views" not in docks(viewing)
    assert {"layer list", "layer controls"} <= docks(viewing)
    assert not [name for name in viewing.viewer.canvas.overlays if "lesion" in name]


_CLOSE_WINDOW = """
import sys
from pathlib import Path
from qtpy.QtWidgets import QApplication
from napari_lesion_points.ui import staging
from napari_lesion_points.ui.app import open_window
window = open_window(Path(sys.argv[1]))
staging.resize(window)
staging.show_case(window)
print(window.dock.views.panel.isVisible())
window.viewer.close()
QApplication.processEvents()
print(window.dock.controller.closed)
"""


def test_a_window_closed_with_its_panes_ends_in_peace(dataset: Any) -> None:
    command = [sys.executable, "-c", _CLOSE_WINDOW, str(dataset)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["True", "True"], answer.stderr
    assert "Error" not in answer.stderr


def test_a_small_window_shows_no_panes_unasked(reading: Any) -> None:
    assert reading.viewer.window._qt_window.width() < 1280
    assert panes(reading) == []
    reading.key(Qt.Key.Key_V)
    assert len(panes(reading)) == 2


@pytest.mark.parametrize("tab", ["Annotate", "Review"])
def test_the_right_button_drags_the_window_and_nothing_else(viewing: Any, tab: str) -> None:
    viewing.dock.show_tab(tab)
    viewing.click(world((22, 22, 4)))
    before, zoom, center, stored = limits(viewing), viewing.viewer.scene.camera.zoom, voxel(viewing), points(viewing)
    drag(viewing, viewing.canvas, RIGHT, QPoint(0, -60))
    low, high = limits(viewing)
    assert low < before[0]
    assert high < before[1]
    assert high - low == pytest.approx(before[1] - before[0])
    QTest.mouseClick(viewing.canvas, RIGHT, NONE, viewing.pixel(world((18, 18, 4))))
    drag(viewing, panes(viewing)[0], RIGHT, QPoint(60, 0))
    assert limits(viewing)[1] - limits(viewing)[0] > 1.1 * (high - low)
    assert (viewing.viewer.scene.camera.zoom, voxel(viewing), points(viewing)) == (zoom, center, stored)
    assert viewing.viewer.canvas.overlays["lesion_points_title"].text == "FLAIR · own"


def test_the_right_button_moves_no_selected_point(viewing: Any) -> None:
    viewing.dock.show_tab("Annotate")
    viewing.click(world((20, 20, 4)))
    middle = viewing.stored
    viewing.key(Qt.Key.Key_3)
    viewing.controller.editor.layer.selected_data = {0}
    drag(viewing, viewing.canvas, RIGHT, QPoint(50, 30))
    assert viewing.stored == middle
    np.testing.assert_allclose(
        viewing.controller.editor.layer.data, viewing.controller.shown.to_layer(middle), atol=1e-6
    )


def test_a_key_steps_through_the_windows_of_a_sequence(viewing: Any) -> None:
    presets = viewing.controller.shown.windows["FLAIR"]
    for name in ("lesion", "narrow", "wide", "auto"):
        viewing.key(Qt.Key.Key_W)
        assert limits(viewing) == pytest.approx(presets[name])
    viewing.key(Qt.Key.Key_W)
    viewing.controller.select_case("sub-02")
    viewing.until(lambda: viewing.controller.screen.case_ready and not viewing.controller.state.loading)
    assert limits(viewing) == pytest.approx(viewing.controller.shown.windows["FLAIR"]["lesion"])
    assert limits(viewing, "T1w") == pytest.approx(viewing.controller.shown.windows["T1w"]["auto"])


def test_keys_fade_the_heatmap_and_bare_the_image(viewing: Any) -> None:
    shown, scene = viewing.controller.shown, viewing.controller.scene
    values = np.ones(shown.grid.shape, np.float32)
    viewing.controller._replace_heatmap(shown, Heatmap(Volume(values, shown.grid), 1.0))
    pane = panes(viewing)[0]
    at = pane_pixel(viewing, pane, world((20, 20, 4)))

    def tint() -> int:
        viewing.qtbot.wait(20)
        color = QColor(pane.grab().toImage().pixel(at))
        return color.red() - color.blue()

    tints = [tint()]
    for opacity in (0.5, 0.25, 0.0, 1.0):
        viewing.key(Qt.Key.Key_F)
        assert scene.heatmap.opacity == pytest.approx(opacity)
        tints.append(tint())
    assert tints[4] > tints[0] > tints[1] > tints[2] > tints[3] == 0
    viewing.key(Qt.Key.Key_H)
    assert tint() == 0
    viewing.key(Qt.Key.Key_H)
    assert tint() > 0
    viewing.key(Qt.Key.Key_D)
    assert not any(layer.visible for layer in (scene.heatmap, scene.candidates, scene.lesions))
    viewing.key(Qt.Key.Key_S)  # the next candidate: nobody judges what they cannot see
    assert scene.heatmap.visible
    assert scene.candidates.visible


def test_the_slider_of_the_heatmap_follows_the_key(viewing: Any) -> None:
    shown, slider = viewing.controller.shown, viewing.dock.predict.opacity
    viewing.controller._replace_heatmap(shown, Heatmap(Volume(np.ones(shown.grid.shape, np.float32), shown.grid), 1.0))
    viewing.key(Qt.Key.Key_F)
    viewing.show_tab("Predict")
    assert slider.value() == 50
    viewing.key(Qt.Key.Key_F)
    assert slider.value() == 25
    QTest.keyClick(slider, Qt.Key.Key_Right)
    assert viewing.controller.scene.heatmap.opacity == pytest.approx(0.26)


def test_napari_does_what_the_sheet_of_keys_says_of_it(viewing: Any) -> None:
    viewer = viewing.viewer
    viewer.reset_view()
    whole, at = viewer.scene.camera.zoom, viewer.dims.current_step
    wheel(viewing, viewing.canvas, 3)
    assert viewer.scene.camera.zoom > whole
    assert viewer.dims.current_step == at
    zoom = viewer.scene.camera.zoom
    wheel(viewing, viewing.canvas, 1, CONTROL)
    assert abs(viewer.dims.current_step[0] - at[0]) == 1
    assert viewer.scene.camera.zoom == zoom
    viewing.key(Qt.Key.Key_R, CONTROL)
    assert viewer.scene.camera.zoom == pytest.approx(whole)


def test_thick_slices_hide_no_point(viewing: Any) -> None:
    """The second candidate lies 1.6 mm from the nearest slice, of 4 mm, with a margin of nothing."""
    viewing.controller.set_margin(0.0)
    viewing.key(Qt.Key.Key_S)
    layer = viewing.controller.scene.candidates
    assert viewing.viewer.dims.current_step[0] == 9
    assert [round(float(p), 3) for p in layer._view_data[:, -1]] == [30.0]
    navigator = viewing.dock.views.navigator
    for pane in panes(viewing):
        picture = navigator.picture(pane.content, (300.0, 300.0))
        assert [mark.text for mark in picture.marks] == ["0.75"]
    viewing.controller.set_margin(8.0)
    viewing.viewer.dims.set_current_step(0, 8)  # 5.6 mm from it
    assert 30.0 in np.round(layer._view_data[:, -1], 3)
    viewing.viewer.dims.set_current_step(0, 7)  # 9.6 mm
    assert 30.0 not in np.round(layer._view_data[:, -1], 3)
