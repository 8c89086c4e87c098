"""A reader's hand on the window: mouse, wheel and key events sent through Qt, every one of them counted.

Places are world mm; where one is on the canvas follows from the camera alone, so that what the window makes of a click
is not what told where to click.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_lesion_points.ui.planes import ORIENTATIONS, nearest_voxel
from napari_lesion_points.ui.session import TABS

if TYPE_CHECKING:
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QDoubleSpinBox

    from napari_lesion_points.core.geometry import Grid
    from napari_lesion_points.ui.app import Window

World = tuple[float, float, float]

#: Between two actions (ms), as fast as a wheel is turned.
STEP_MS = 50

_TIMEOUT_S = 120.0
_NOTCH = 120  # what a wheel reports for one


@dataclass(frozen=True)
class Effort:
    """What a reader has done so far.

    Parameters
    ----------
    keys, clicks, wheel : int
        Keys pressed, clicks, notches of the wheel.
    homings : int
        How often the hand went from the mouse to the keyboard, or back.
    decisions : int
        How often the reader had to think: a lesion placed, a verdict given.
    """

    keys: int = 0
    clicks: int = 0
    wheel: int = 0
    homings: int = 0
    decisions: int = 0

    def plus(self, other: Effort) -> Effort:
        """Return both together."""
        mine = asdict(self)
        return Effort(**{name: mine[name] + count for name, count in asdict(other).items()})

    @property
    def seconds(self) -> float:
        """How long a practised reader takes, by the keystroke-level model.

        Card, Moran and Newell (1980), The keystroke-level model for user performance time with interactive systems,
        Communications of the ACM 23(7): a key 0.2 s (an average skilled typist), pointing with the mouse 1.1 s and
        pressing its button as a key, moving the hand between mouse and keyboard 0.4 s, thinking 1.35 s. The model
        knows no wheel; a notch is taken for a key.
        """
        pressed = 0.2 * (self.keys + self.clicks + self.wheel)
        return pressed + 1.1 * self.clicks + 0.4 * self.homings + 1.35 * self.decisions


class Hand:
    """Works on one window.

    Attributes
    ----------
    effort : Effort
        What it has done.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.controller = window.dock.controller
        self.effort = Effort()
        self._at = ""

    @property
    def canvas(self) -> Any:
        """The canvas of napari."""
        return self.window.viewer.window._qt_viewer.canvas.native

    def rest(self, ms: int = STEP_MS) -> None:
        """Let the window work."""
        from qtpy.QtCore import QEventLoop, QTimer

        loop = QEventLoop()
        QTimer.singleShot(ms, loop.quit)
        loop.exec()

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = _TIMEOUT_S) -> None:
        """Wait for the window, whose event loop runs on; RuntimeError, naming `what`, when it takes too long."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"waited {timeout_s:g} s for {what}, in vain.")
            self.rest(10)
        self.rest()

    def decide(self) -> None:
        """Think."""
        self.effort = replace(self.effort, decisions=self.effort.decisions + 1)

    # keyboard --------------------------------------------------------------------------------------------------------

    def key(self, key: Qt.Key, control: bool = False, on: Any = None) -> None:
        """Press a key on the canvas, or on a widget that has the keyboard."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        held = Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
        self._count("keyboard", keys=1)
        QTest.keyClick(self.canvas if on is None else on, key, held)
        self.rest()

    def write(self, box: QDoubleSpinBox, value: float) -> None:
        """Go to a number by mouse and write another, unless it is there already."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        if box.value() == value:
            return
        self.click(box.lineEdit())
        self.key(Qt.Key.Key_A, control=True, on=box)
        for letter in box.textFromValue(value):
            self._count("keyboard", keys=1)
            QTest.keyClicks(box, letter)
        self.key(Qt.Key.Key_Return, on=box)
        if abs(box.value() - value) > 1e-6:
            raise RuntimeError(f"{value} was written, and the window has {box.value()}.")

    def choose(self, box: QComboBox, index: int) -> None:
        """Choose an entry of a list with the arrow keys, unless it is chosen already."""
        from qtpy.QtCore import Qt

        while box.currentIndex() != index:
            before = box.currentIndex()
            self.key(Qt.Key.Key_Down if before < index else Qt.Key.Key_Up, on=box)
            if box.currentIndex() == before:
                raise RuntimeError(f"the list with {box.currentText()!r} does not go on.")

    # mouse -----------------------------------------------------------------------------------------------------------

    def click(self, widget: Any, at: QPoint | None = None) -> None:
        """Click a widget in its middle, or at a pixel of it."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        at = widget.rect().center() if at is None else at
        self._count("mouse", clicks=1)
        QTest.mouseMove(widget, at)
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=at)
        self.rest()

    def press(self, button: QAbstractButton) -> None:
        """Click a button; RuntimeError when it cannot be pressed now."""
        if not (button.isVisible() and button.isEnabled()):
            raise RuntimeError(f"the button {button.text()!r} cannot be pressed: {self.controller.state.notice.text}")
        self.click(button)

    def tab(self, name: str) -> None:
        """Bring a tab to the front, unless it is there."""
        if self.controller.state.tab != name:
            bar = self.window.dock.tabs.tabBar()
            self.click(bar, bar.tabRect(TABS.index(name)).center())

    def place(self, world: World) -> None:
        """Go to the slice of a place with the wheel, and click it."""
        self.scroll(self.slice_of(world) - self.slice)
        self.click(self.canvas, self.pixel(world))

    def scroll(self, slices: int) -> None:
        """Go so many slices on in the image, a notch of the wheel each."""
        for _ in range(abs(slices)):
            before = self.slice
            self._notch(-1 if slices > 0 else 1)
            if self.slice == before:
                raise RuntimeError(f"the wheel stops at slice {before}.")

    # the canvas ------------------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """Grid of the case on screen."""
        if self.controller.shown is None:
            raise RuntimeError("no case is on screen.")
        return self.controller.shown.grid

    @property
    def slice(self) -> int:
        """Which slice the canvas shows."""
        dims = self.window.viewer.dims
        return int(dims.current_step[dims.order[0]])

    def slice_of(self, world: World) -> int:
        """Slice of the canvas that a place is in, or the nearest one."""
        axis = self.window.viewer.dims.order[0]
        return int(nearest_voxel(self.grid.to_voxel([world])[0], self.grid.shape)[axis])

    def pixel(self, world: World) -> QPoint:
        """Where a place is on the canvas; RuntimeError when that is outside of it."""
        from qtpy.QtCore import QPoint

        camera, grid = self.window.viewer.scene.camera, self.grid
        shown = ORIENTATIONS[self.controller.state.orientation]
        away = grid.to_voxel([world])[0] * grid.spacing
        down = (away[shown.vertical] - camera.center[1]) * camera.zoom * (-1 if shown.up else 1)
        right = (away[shown.horizontal] - camera.center[2]) * camera.zoom
        at = QPoint(round(self.canvas.width() / 2 + right), round(self.canvas.height() / 2 + down))
        if not self.canvas.rect().contains(at):
            raise RuntimeError(f"{world} is not on the canvas.")
        return at

    def _notch(self, up: int) -> None:
        from qtpy.QtCore import QPoint, QPointF, Qt
        from qtpy.QtGui import QWheelEvent
        from qtpy.QtWidgets import QApplication

        canvas = self.canvas
        at = QPointF(canvas.rect().center())
        event = QWheelEvent(
            at, canvas.mapToGlobal(at), QPoint(), QPoint(0, _NOTCH * up), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.ControlModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        self._count("mouse", wheel=1)
        QApplication.sendEvent(canvas, event)
        self.rest()

    def _count(self, device: str, **more: int) -> None:
        moved = int(self._at not in ("", device))
        self._at = device
        self.effort = self.effort.plus(Effort(homings=moved, **more))
