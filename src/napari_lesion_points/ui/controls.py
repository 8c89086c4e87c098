"""Small controls that several panels share: buttons with keys, the existence slider, elided paths, the message line."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QFontMetrics, QResizeEvent
from qtpy.QtWidgets import (
    QApplication,
    QDoubleSpinBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSlider,
    QWidget,
)

from napari_lesion_points.ui.colors import tinted
from napari_lesion_points.ui.session import Notice
from napari_lesion_points.ui.translation import _

#: Steps of the existence slider: hundredths, as fine as its label.
_STEPS = 100

#: A message by its level.
_NOTICES = {"info": "{text}", "warning": _("Note: {text}"), "error": _("Error: {text}")}


def button(text: str, clicked: Callable[[], None], tip: str = "", checkable: bool = False) -> QPushButton:
    """Make a push button that never takes the keyboard away from the image.

    From a line that is being written in it does, so that what was written counts before the button acts.
    """
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setCheckable(checkable)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.clicked.connect(lambda __=False: _press(clicked))
    return made


def _press(act: Callable[[], None]) -> None:
    line = QApplication.focusWidget()
    if isinstance(line, QLineEdit):
        line.clearFocus()  # its editing is finished by that
    act()


def row(*widgets: QWidget, spacing: int = 4) -> QHBoxLayout:
    """Lay widgets out side by side."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for widget in widgets:
        layout.addWidget(widget, int(isinstance(widget, ElidedLabel)))
    return layout


def caption(text: str) -> QLabel:
    """Make a small heading."""
    label = QLabel(text)
    label.setStyleSheet("font-weight: bold; margin-top: 4px;")
    return label


def wrapped(text: str = "") -> QLabel:
    """Make a label that breaks its lines and may grow."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def legend() -> QLabel:
    """Make the legend of the markers in the image."""
    label = wrapped(
        _(
            "○ waiting  □ unsure  ★ accepted  ◆ moved  ✕ rejected\n"
            "Colour and number: existence, as in the colour bar.\n"
            "○ cyan: a lesion, placed or accepted by a reader."
        )
    )
    label.setObjectName("legend")
    tinted(label, "color: {muted};")
    return label


class ElidedLabel(QLabel):
    """A path or name that is shortened in its middle to the room there is; the tip has all of it."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._full = ""
        self.setMinimumWidth(40)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.set_full(text)

    def set_full(self, text: str, tip: str = "") -> None:
        """Show this text."""
        self._full = text
        self.setToolTip(tip or text)
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 (Qt's name)
        """Shorten anew."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        metrics = QFontMetrics(self.font())
        self.setText(metrics.elidedText(self._full, Qt.TextElideMode.ElideMiddle, max(self.width() - 4, 20)))


class ExistenceSlider(QWidget):
    """Slider and number of the lowest existence shown, 0 to 1."""

    moved = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.slider.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.number = QDoubleSpinBox()
        self.number.setRange(0, 1)
        self.number.setDecimals(2)
        self.number.setSingleStep(0.05)
        self.number.setFixedWidth(64)
        self.number.setKeyboardTracking(False)  # or the first digit typed would be shown as a whole number already
        tip = _("Candidates below this existence probability are hidden. Filters at once; nothing is fitted again.")
        self.setToolTip(tip)
        layout = row(QLabel(_("Existence ≥")), self.slider, self.number)
        self.setLayout(layout)
        self.slider.valueChanged.connect(lambda value: self.moved.emit(value / _STEPS))
        self.number.valueChanged.connect(lambda value: self.moved.emit(float(value)))

    def set_value(self, value: float) -> None:
        """Show a value without reporting it."""
        with QSignalBlocker(self.slider), QSignalBlocker(self.number):
            self.slider.setValue(round(value * _STEPS))
            self.number.setValue(value)


class MessageLine(QFrame):
    """The line at the bottom of the dock: what happened, and what to do."""

    def __init__(self) -> None:
        super().__init__()
        self.label = wrapped()
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 4, 4)
        layout.addWidget(self.label)
        self.setMinimumHeight(44)
        self.setMaximumHeight(96)
        self.level = ""
        self.show_notice(Notice(), "")

    def show_notice(self, notice: Notice, hint: str) -> None:
        """Show a message, or the hint when there is none."""
        text = _NOTICES[notice.level].format(text=notice.text) if notice.text else hint
        if text != self.label.text():
            self.label.setText(text)
            self.label.setToolTip(text)
        if notice.level != self.level:
            self.level = notice.level
            tinted(self, f"MessageLine {{{{ border: none; border-left: 4px solid {{{notice.level}}}; }}}}")


class Section(QFrame):
    """A frame whose wheel events do not change the numbers that the pointer passes over."""

    def guard(self, *widgets: QWidget) -> None:
        """Ignore the wheel over these widgets unless they have the focus."""
        for widget in widgets:
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            widget.installEventFilter(self)

    def eventFilter(self, watched: QWidget, event: QEvent) -> bool:  # type: ignore[override]  # noqa: N802 (Qt's name)
        """Let the panel scroll instead."""
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False
