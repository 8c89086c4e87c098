"""The panel that simulates a study: a button, a thread, a study on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_lesion_points.store.cases import find_cases
from napari_lesion_points.ui.simulate_panel import SimulatePanel

if TYPE_CHECKING:
    from pathlib import Path

    from pytestqt.qtbot import QtBot


def make_panel(qtbot: QtBot, folder: Path) -> SimulatePanel:
    panel = SimulatePanel()
    qtbot.addWidget(panel.native)
    panel.folder.value, panel.cases.value = folder, 1
    return panel


def test_the_button_writes_a_study(qtbot: QtBot, tmp_path: Path) -> None:
    panel = make_panel(qtbot, tmp_path / "study")
    panel.button.native.click()
    assert not panel.button.enabled
    qtbot.waitUntil(lambda: panel.button.enabled, timeout=60_000)
    assert "Written to" in panel.message.value
    assert [files.case for files in find_cases(tmp_path / "study")] == ["sub-0001"]


def test_a_folder_with_files_is_refused_and_said(qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    panel = make_panel(qtbot, tmp_path)
    panel.button.native.click()
    qtbot.waitUntil(lambda: panel.button.enabled, timeout=60_000)
    assert str(tmp_path) in panel.message.value
    assert (tmp_path / "mine.txt").read_text() == "keep"
