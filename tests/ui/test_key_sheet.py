"""The sheet of keys."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel


def test_a_key_or_a_button_shows_all_keys_and_a_click_hides_them(reading: Any) -> None:
    sheet = reading.dock.key_sheet
    assert not sheet.isVisible()
    reading.dock.cases.help.click()
    reading.qtbot.wait(20)
    assert sheet.isVisible()
    shown = {label.text() for label in sheet.findChildren(QLabel)}
    assert {key for keys in reading.dock.keys.in_words().values() for key in keys} <= shown
    assert {"Everywhere", "Review", "Readers", "accept: a lesion", "Ctrl+Z", "Ctrl+R", "Ctrl+wheel"} <= shown
    window = reading.dock.window()
    assert window.rect().contains(sheet.geometry())
    QTest.mouseClick(sheet, Qt.MouseButton.LeftButton)
    assert not sheet.isVisible()
    reading.viewer.window._qt_window.activateWindow()
    reading.dock.cases.table.setFocus()
    reading.qtbot.wait(50)
    if not reading.dock.cases.table.hasFocus():
        pytest.skip("no window manager gives the focus here")
    for key in (Qt.Key.Key_Question, Qt.Key.Key_F1):
        before = sheet.isVisible()
        QTest.keyClick(reading.dock.cases.table, key)
        reading.qtbot.wait(50)
        assert sheet.isVisible() != before, key
