"""A small study of anisotropic LAS images, a viewer with the dock, and a reader with a mouse and keys."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import LesionPoint, Origin
from napari_lesion_points.ui.dock import LesionPointsDock
from napari_lesion_points.ui.planes import ORIENTATIONS

CASES = ("sub-01", "sub-02", "sub-03")
SHAPE = (44, 50, 14)
SPACING = np.array([1.25, 1.0, 4.0])
#: LAS: x of the world runs against the first array axis, as in many scanners' files.
AFFINE = np.array([[-1.25, 0, 0, 31.0], [0, 1.0, 0, -24.0], [0, 0, 4.0, -20.0], [0, 0, 0, 1.0]])


def world(voxel: tuple[float, float, float]) -> tuple[float, float, float]:
    """World mm of voxel coordinates of the files, by the affine alone."""
    x, y, z = (AFFINE @ np.array([*voxel, 1.0]))[:3]
    return float(x), float(y), float(z)


def candidate(case: str, name: str, voxel: tuple[float, float, float], existence: float) -> LesionPoint:
    """A candidate that a model found at voxel coordinates of the files."""
    entropy = float(binary_entropy(existence))
    return LesionPoint(case, world(voxel), name, existence, existence, entropy, Origin.MODEL)


@pytest.fixture(scope="session", autouse=True)
def _nobodys_preferences(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Settings of no user: those of whoever runs the tests are neither read nor written."""
    from napari import settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "_CFG_PATH", str(tmp_path_factory.mktemp("preferences") / "settings.yaml"))
        settings._clear_plugin_settings_cache()
        yield


@pytest.fixture(autouse=True)
def _garbage_waits_for_the_end_of_a_test() -> Iterator[None]:
    """Widgets of a test are not destroyed amid the next one, in any thread: napari's fixture collects at the end."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three cases with FLAIR and T1w: an ellipsoid in noise."""
    root = tmp_path / "study"
    random = np.random.default_rng(3)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    head = (np.linalg.norm(at, axis=0) < 0.9).astype(np.float32)
    for case in CASES:
        (root / case / "anat").mkdir(parents=True)
        for sequence in ("FLAIR", "T1w"):
            data = (100 * head + random.normal(0, 3, SHAPE)).astype(np.float32)
            nib.save(nib.Nifti1Image(data, AFFINE), root / case / "anat" / f"{case}_{sequence}.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "t", "BIDSVersion": "1.9.0"}', encoding="utf-8")
    return root


class Hand:
    """A reader's mouse and keyboard on the window of one dock."""

    def __init__(self, qtbot: Any, viewer: Any, dock: LesionPointsDock) -> None:
        self.qtbot, self.viewer, self.dock = qtbot, viewer, dock
        self.controller = dock.controller

    @property
    def canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.native

    def pixel(self, at_world: tuple[float, float, float]) -> QPoint:
        """Where a world point is on the canvas, from the camera alone."""
        camera = self.viewer.scene.camera
        shown = self.controller.shown
        layer_mm = shown.grid.to_voxel([at_world])[0] * shown.grid.spacing
        vertical, horizontal = self.viewer.dims.order[1:]
        up = ORIENTATIONS[self.controller.state.orientation][1]
        dy = (layer_mm[vertical] - camera.center[1]) * camera.zoom * (-1 if up else 1)
        dx = (layer_mm[horizontal] - camera.center[2]) * camera.zoom
        return QPoint(round(self.canvas.width() / 2 + dx), round(self.canvas.height() / 2 + dy))

    def slice_to(self, at_world: tuple[float, float, float]) -> None:
        """Show the slice through a world point, without moving the camera in the plane."""
        shown = self.controller.shown
        axis = self.viewer.dims.order[0]
        at = round(shown.grid.to_voxel([at_world])[0][axis])
        self.viewer.dims.set_current_step(axis, at)
        self.qtbot.wait(20)

    def click(self, at: QPoint | tuple[float, float, float]) -> None:
        pixel = at if isinstance(at, QPoint) else self.pixel(at)
        self.move(pixel)
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, pixel)
        self.qtbot.wait(20)

    def move(self, to: QPoint, button: Qt.MouseButton = Qt.MouseButton.NoButton, widget: Any = None) -> None:
        """Move the mouse, with a button down perhaps; QTest moves the system's pointer, which can come too late."""
        widget, at, none = widget or self.canvas, QPointF(to), Qt.KeyboardModifier.NoModifier
        self.qtbot.wait(20)  # vispy drops what follows in quick succession
        event = QMouseEvent(
            QEvent.Type.MouseMove, at, widget.mapToGlobal(at), Qt.MouseButton.NoButton, button, none
        )  # fmt: skip
        QApplication.sendEvent(widget, event)
        self.qtbot.wait(20)  # and napari waits a little

    def drag(
        self, start: QPoint, end: QPoint, button: Qt.MouseButton = Qt.MouseButton.LeftButton, widget: Any = None
    ) -> None:
        widget, none = widget or self.canvas, Qt.KeyboardModifier.NoModifier
        self.move(start, widget=widget)
        QTest.mousePress(widget, button, none, start)
        for step in (0.3, 0.7, 1.0):
            self.move(start + (end - start) * step, button, widget)
        QTest.mouseRelease(widget, button, none, end)
        self.qtbot.wait(20)

    def key(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.canvas, key, modifier)
        self.qtbot.wait(20)

    def until(self, condition: Callable[[], bool], timeout_ms: int = 20_000) -> None:
        self.qtbot.waitUntil(condition, timeout=timeout_ms)

    def open(self, root: Path, store: Path | None = None, case: str = "") -> None:
        before = self.controller.study
        self.controller.open_study(root, store, "maria", case)
        self.until(lambda: self.controller.study is not before or self.controller.state.notice.level == "error")
        assert self.controller.study is not before, self.controller.state.notice
        self.until(lambda: self.controller.screen.case_ready and not self.controller.state.loading)
        self.qtbot.wait(50)

    def show_tab(self, name: str) -> None:
        """Bring a tab to the front; what it lists is there."""
        self.dock.show_tab(name)
        self.until(lambda: not self.dock.jobs.listing)

    @property
    def stored(self) -> list[tuple[float, float, float]]:
        """Points of the case on screen as the database has them."""
        return [p.world for p in self.controller.study.annotations(self.controller.state.shown)]


@pytest.fixture
def hand(make_napari_viewer: Callable[..., Any], qtbot: Any) -> Iterator[Hand]:
    """A shown viewer with the dock, and a hand on it."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 760)
    dock = LesionPointsDock(viewer)
    viewer.window.add_dock_widget(dock, name="Lesion points", area="right", add_vertical_stretch=False)
    qtbot.wait(100)
    end = dock.close_session
    yield Hand(qtbot, viewer, dock)
    end()


@pytest.fixture
def reading(hand: Hand, dataset: Path) -> Hand:
    """The hand with the study open on its first case."""
    hand.open(dataset)
    return hand
