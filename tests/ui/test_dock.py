"""The dock as a whole: quick, without torch, tidy when it goes, and fit for a small screen."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from napari_lesion_points.store.study import Study

_OPEN_DOCK = """
import sys, time
from pathlib import Path
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=False)
started = time.perf_counter()
_, dock = viewer.window.add_plugin_dock_widget("napari-lesion-points", "Lesion points")
print(round(time.perf_counter() - started, 3))
print([name for name in ("torch", "matplotlib.pyplot", "sqlalchemy") if name in sys.modules])
dock.controller.open_study(Path(sys.argv[1]))
while not dock.controller.screen.case_ready:
    QApplication.processEvents()
viewer.layers["Lesions"].add([7, 20, 20])
viewer.layers["Lesions"].add([7, -20, 20])
print(len(viewer.layers["Lesions"].data), "torch" in sys.modules)
viewer.close()
QApplication.processEvents()
"""


def test_napari_opens_the_dock_at_once_without_torch_and_closing_the_viewer_ends_all(dataset: Path) -> None:
    """Through the manifest, as a user does: napari passes a proxy of its viewer."""
    command = [sys.executable, "-c", textwrap.dedent(_OPEN_DOCK), str(dataset)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stderr
    seconds, loaded, after = answer.stdout.strip().splitlines()[-3:]
    assert loaded == "[]"
    assert float(seconds) < 2.0  # 0.2 s on a free machine; this one may be busy
    assert after == "1 False"
    with Study.open(dataset) as study:
        assert len(study.annotations("sub-01")) == 1


def test_every_panel_fits_into_380_pixels(reading: Any) -> None:
    for panel in (reading.dock.cases, *reading.dock._panels):
        assert panel.minimumSizeHint().width() <= 380, type(panel).__name__


def test_keys_are_gone_when_the_dock_is(reading: Any) -> None:
    reading.dock.show_tab("Review")
    assert len(reading.viewer.keymap) >= 13
    reading.dock.close_session()
    assert not reading.viewer.keymap
    assert all(not layer.keymap for layer in reading.viewer.layers)
    assert not [name for name in reading.viewer.canvas.overlays if "lesion" in name]
    assert not [f for f in reading.viewer.mouse_drag_callbacks if "lesion" in getattr(f, "__module__", "")]


def test_two_viewers_have_two_sessions(reading: Any, make_napari_viewer: Any, dataset: Any) -> None:
    from napari_lesion_points.ui.dock import LesionPointsDock

    other = LesionPointsDock(make_napari_viewer())
    assert other.controller.study is None
    assert other.controller.state.root == ""
    assert reading.controller.study is not None
    other.close_session()
    other.deleteLater()


def test_shortcuts_work_when_the_dock_has_the_keyboard(reading: Any) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    reading.viewer.window._qt_window.activateWindow()
    reading.dock.cases.table.setFocus()
    reading.qtbot.wait(50)
    if not reading.dock.cases.table.hasFocus():
        pytest.skip("no window manager gives the focus here")
    QTest.keyClick(reading.dock.cases.table, Qt.Key.Key_C)
    assert reading.controller.state.sequence == "T1w"


def test_the_sample_patient_is_a_valid_contribution() -> None:
    pytest.importorskip("nilearn")
    from napari.layers import Layer

    from napari_lesion_points.ui.contributions import simulated_patient

    layers = [Layer.create(*entry) for entry in simulated_patient()]
    assert layers[-1].name == "True lesions"
    assert layers[-2].name == "FLAIR"
    assert len(layers[-1].data) >= 2
