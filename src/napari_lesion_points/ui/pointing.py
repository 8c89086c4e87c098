"""The mouse on napari's canvas, beside what the tool in hand does.

A click takes the crosshair along, and a drag with the right button changes the window. napari would zoom with it; here,
only the wheel does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from napari import Viewer

    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.navigation import Navigator

_LEFT, _RIGHT = 1, 2

#: A press and release farther apart than this (pixels) is a drag.
CLICK_PIXELS = 5.0


class Pointer:
    """Listens to the mouse on the canvas of one session."""

    def __init__(self, controller: Controller, navigator: Navigator) -> None:
        self._controller = controller
        self._navigator = navigator
        self._callbacks = controller.viewer.mouse_drag_callbacks
        self._callbacks.append(self._drag)

    def close(self) -> None:
        """Stop listening."""
        if self._drag in self._callbacks:
            self._callbacks.remove(self._drag)

    def _drag(self, viewer: Viewer, event: Any) -> Iterator[None]:
        shown = self._controller.shown
        if shown is None or viewer.dims.ndisplay == 3 or event.modifiers:
            return
        if event.button == _RIGHT:
            yield from self._window(event)
        elif event.button == _LEFT and not self._controller.state.placing:
            pressed = np.array(event.pos)
            yield
            while event.type == "mouse_move":
                yield
            if np.linalg.norm(np.array(event.pos) - pressed) <= CLICK_PIXELS:
                at = np.asarray(event.position, dtype=float) / shown.grid.spacing
                QTimer.singleShot(0, lambda: self._go(shown, at))  # after what the tool does with the click

    def _go(self, shown: Any, at: Any) -> None:
        if not self._controller.closed and self._controller.shown is shown:
            self._navigator.go(at)

    def _window(self, event: Any) -> Iterator[None]:
        """Change the window as the mouse moves."""
        event.handled = True
        last = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            event.handled = True
            right, down = np.array(event.pos) - last
            last = np.array(event.pos)
            self._navigator.drag_window(self._controller.state.sequence, float(right), float(-down))
            yield
        event.handled = True
