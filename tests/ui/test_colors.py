"""Colours of the dock on both themes, and those of existence for readers who are colour-blind."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QFrame, QLabel

from napari_lesion_points.ui.colors import DARK, LIGHT, Tint, contrast, retint, tint_of, tinted
from napari_lesion_points.ui.layers import EXISTENCE_COLORS
from napari_lesion_points.ui.session import TABS

#: What dichromats see, linear sRGB to linear sRGB (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN = {
    "all colours": np.eye(3).tolist(),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize(("tint", "theme"), [(DARK, "dark"), (LIGHT, "light")])
def test_text_stands_out_on_every_background(tint: Tint, theme: str) -> None:
    colors = get_theme(theme)
    backgrounds = [colors.background.as_hex(format="long"), colors.foreground.as_hex(format="long"), tint.sheet]
    for name, color in asdict(tint).items():
        if name not in ("frame", "sheet"):
            for background in backgrounds:
                assert contrast(color, background) >= 4.5, (name, background)
    assert contrast(colors.text.as_hex(format="long"), tint.sheet) >= 7


def test_contrast_is_that_of_known_pairs() -> None:
    assert contrast("#ff0000", "#ffffff") == pytest.approx(3.998, abs=0.001)  # published for red on white
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)  # the lightest grey that passes


@pytest.mark.parametrize("name", EXISTENCE_COLORS)
@pytest.mark.parametrize("eyes", SEEN)
def test_existence_gets_lighter_all_the_way_whatever_colours_one_sees(name: str, eyes: str) -> None:
    shown = EXISTENCE_COLORS[name].map(np.linspace(0, 1, 21))[:, :3]
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    luminance = np.clip(linear @ np.array(SEEN[eyes]).T, 0, 1) @ np.array([0.2126, 0.7152, 0.0722])
    lightness = 116 * np.cbrt(luminance) - 16
    assert np.all(np.diff(lightness) > 0)
    assert lightness[-1] - lightness[0] > 45


def test_a_tinted_widget_and_what_is_in_it_follow_the_theme(qtbot: Any) -> None:
    frame = QFrame()
    label = QLabel("text", frame)
    qtbot.addWidget(frame)
    tinted(label, "QLabel {{ color: {muted}; }}")
    for text, tint in (("white", DARK), ("black", LIGHT)):
        palette = frame.palette()
        palette.setColor(palette.ColorRole.WindowText, QColor(text))
        frame.setPalette(palette)
        retint(frame)
        assert tint_of(frame) == tint
        assert label.styleSheet() == f"QLabel {{ color: {tint.muted}; }}"


def test_the_dock_follows_naparis_theme(reading: Any) -> None:
    dock = reading.dock
    for theme, tint in (("light", LIGHT), ("dark", DARK)):
        reading.viewer.theme = theme
        reading.until(lambda tint=tint: tint.muted in dock.predict.findChildren(QLabel, "legend")[0].styleSheet())
        assert tint_of(dock) == tint
        assert reading.viewer.canvas.background_color[:3].tolist() == [0, 0, 0]  # images are read on black
        if folder := os.environ.get("PICTURES"):
            for tab in TABS:
                dock.show_tab(tab)
                reading.qtbot.wait(150)
                reading.viewer.screenshot(str(Path(folder) / f"{theme}-{tab}.png"), canvas_only=False, flash=False)
            dock.key_sheet.toggle()
            reading.viewer.screenshot(str(Path(folder) / f"{theme}-keys.png"), canvas_only=False, flash=False)
            dock.key_sheet.toggle()


def test_the_sheet_of_keys_is_written_when_it_is_asked_for(reading: Any) -> None:
    sheet = reading.dock.key_sheet
    assert not sheet.findChildren(QLabel)
    sheet.toggle()
    written = sheet.findChildren(QLabel)
    assert written
    sheet.toggle()
    sheet.toggle()
    assert sheet.findChildren(QLabel) == written
