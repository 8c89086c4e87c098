"""Settings in napari's Preferences: declared in the manifest, shown by napari, read back by the window."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from npe2 import PluginManifest

import napari_lesion_points
from napari_lesion_points.ui.layers import EXISTENCE_COLORS
from napari_lesion_points.ui.preferences import PLUGIN, Preferences, preferences
from napari_lesion_points.ui.session import VIEWS

MANIFEST = Path(napari_lesion_points.__file__).parent / "napari.yaml"


@pytest.fixture
def registered(plugin_settings: None, npe2pm: Any) -> Any:
    """Settings of this test alone, with our manifest and no other."""
    from napari.settings import get_plugin_settings

    npe2pm.register(PluginManifest.from_file(MANIFEST))
    return get_plugin_settings(PLUGIN).lesion_points


def test_what_nobody_has_set_is_what_the_manifest_says(registered: Any) -> None:
    assert preferences() == Preferences()
    properties = PluginManifest.from_file(MANIFEST).contributions.configurations["lesion_points"].properties
    assert {name: one.default for name, one in properties.items()} == vars(Preferences())
    assert set(properties["existence_colors"].enum) == set(EXISTENCE_COLORS)
    assert set(properties["views"].enum) == {view or "none" for view in VIEWS}


def test_what_is_set_is_read_back_and_kept(registered: Any, tmp_path: Path) -> None:
    registered.reader, registered.margin_mm, registered.views = "Dr. A", 5.0, "sequences"
    assert preferences() == Preferences(reader="Dr. A", margin_mm=5.0, views="sequences")
    assert "Dr. A" in (tmp_path / f"{PLUGIN}.yaml").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not one of the allowed"):
        registered.existence_colors = "jet"


def test_where_napari_does_not_know_the_plugin_the_defaults_hold(plugin_settings: None) -> None:
    assert preferences() == Preferences()


def test_naparis_preferences_show_them(registered: Any, make_napari_viewer: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QLabel, QListWidget

    dialog = make_napari_viewer(show=True).window._open_preferences_dialog()
    texts = {label.text() for label in dialog.findChildren(QLabel)}
    pages = dialog.findChildren(QListWidget)[0]
    assert "Lesion points" in {pages.item(row).text() for row in range(pages.count())}
    if folder := os.environ.get("PICTURES"):
        pages.setCurrentRow(pages.count() - 1)
        qtbot.wait(300)
        dialog.grab().save(str(Path(folder) / "preferences.png"))
    manifest = PluginManifest.from_file(MANIFEST)
    properties = manifest.contributions.configurations["lesion_points"].properties
    assert {one.title for one in properties.values()} <= texts
    dialog.close()


def test_the_window_begins_with_them(registered: Any, make_napari_viewer: Any) -> None:
    from napari_lesion_points.ui.dock import LesionPointsDock

    registered.margin_mm, registered.minutes = 7.0, 12.0
    dock = LesionPointsDock(make_napari_viewer())
    assert dock.controller.state.margin_mm == 7.0
    assert dock.train.budget.value() == 12.0
    dock.close_session()
    dock.deleteLater()
