"""Small controls, used with real keys in the dock."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest


def test_an_existence_can_be_typed(reading: Any) -> None:
    reading.dock.show_tab("Review")
    number = reading.dock.review.existence.number
    QTest.mouseClick(number.lineEdit(), Qt.MouseButton.LeftButton)
    QTest.keyClick(number, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(number, "0.35")
    QTest.keyClick(number, Qt.Key.Key_Return)
    assert number.value() == 0.35
    assert reading.controller.state.threshold == 0.35
