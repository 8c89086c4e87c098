"""A reader who scrolls, clicks, undoes and changes cases as fast as a wheel is turned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import props
from benchmarks.heartbeat import Heartbeat

if TYPE_CHECKING:
    from napari_lesion_points.ui.app import Window

STEP_MS = 50  # between two actions


class HurriedReader:
    """A reader in a hurry, and the heartbeat beside: what one did last is what the other's gap is put down to.

    Ten rounds of wheel turns with a click that adds a lesion in each, every other one undone; then the existence slider
    of the Review tab; then another case; and so on.
    """

    def __init__(self, window: Window) -> None:
        from qtpy.QtCore import QTimer

        self._window = window
        self._random = np.random.default_rng(5)
        self._script = self._endless()
        self.actions: list[tuple[str, float]] = []
        self._heart = Heartbeat(self._on_gap)
        self._step = QTimer()
        self._step.timeout.connect(self._act)

    def __enter__(self) -> None:
        """Begin."""
        self._heart.__enter__()
        self._step.start(STEP_MS)

    def __exit__(self, *_: object) -> None:
        """End."""
        self._heart.__exit__()
        self._step.stop()

    def figures(self) -> dict[str, Any]:
        """Return percentiles of the gaps, of the stall after each action, and the worst of each kind of action."""
        worst: dict[str, float] = {}
        for name, ms in self.actions:
            worst[name] = max(worst.get(name, 0.0), ms)
        return {
            "p99": float(np.percentile(self._heart.gaps, 99)),
            "worst": max(self._heart.gaps),
            "actions": len(self.actions),
            "p99_actions": float(np.percentile([ms for _, ms in self.actions], 99)),
            "worst_by_action": dict(sorted(worst.items(), key=lambda item: -item[1])),
        }

    def _on_gap(self, gap: float) -> None:
        if self.actions:
            name, so_far = self.actions[-1]
            self.actions[-1] = name, max(so_far, gap)

    def _act(self) -> None:
        name, act = next(self._script)
        self.actions.append((name, 0.0))
        act()

    def _endless(self) -> Iterator[tuple[str, Callable[[], object]]]:
        from qtpy.QtTest import QTest

        dock = self._window.dock
        controller = dock.controller
        while True:
            yield "tab", lambda: dock.show_tab("Annotate")
            for turn in range(10):
                for _ in range(8):
                    yield "scroll", partial(self._wheel, 1 if turn % 4 < 2 else -1)
                at = self._somewhere()
                yield "press", partial(self._button, QTest.mousePress, at)
                yield "release", partial(self._button, QTest.mouseRelease, at)
                if turn % 2:
                    yield "undo", self._undo
            yield "tab", lambda: dock.show_tab("Review")
            for value in (20, 35, 50, 65, 50, 35, 20, 10):
                yield "slider", partial(dock.review.existence.slider.setValue, value)
            names = [s.case for s in controller.state.cases]
            row = (names.index(controller.state.wanted) + 1) % len(names)
            yield "case", partial(props.choose, self._window, row)
            while controller.state.loading:
                yield "case", lambda: None

    def _canvas(self) -> Any:
        return self._window.viewer.window._qt_viewer.canvas.native

    def _wheel(self, steps: int) -> None:
        from qtpy.QtCore import QPoint, QPointF, Qt
        from qtpy.QtGui import QWheelEvent
        from qtpy.QtWidgets import QApplication

        canvas = self._canvas()
        at = QPointF(canvas.rect().center())
        event = QWheelEvent(
            at, canvas.mapToGlobal(at), QPoint(), QPoint(0, 120 * steps), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.ControlModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(canvas, event)

    def _somewhere(self) -> Any:
        from qtpy.QtCore import QPoint

        canvas = self._canvas()
        x, y = (self._random.uniform(-0.15, 0.15, 2) * canvas.height()).round()
        return canvas.rect().center() + QPoint(int(x), int(y))

    def _button(self, act: Callable[..., None], at: Any) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.mouseMove(self._canvas(), at)
        act(self._canvas(), Qt.MouseButton.LeftButton, pos=at)

    def _undo(self) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.keyClick(self._canvas(), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
