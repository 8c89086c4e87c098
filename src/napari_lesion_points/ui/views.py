"""All views of a session beside the canvas itself: the panes, the crosshair, and the mouse that moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_lesion_points.ui.arrangement import Arrangement
from napari_lesion_points.ui.canvas import Crosshair
from napari_lesion_points.ui.navigation import Navigator
from napari_lesion_points.ui.panes import PanesPanel
from napari_lesion_points.ui.pointing import Pointer
from napari_lesion_points.ui.preferences import preferences
from napari_lesion_points.ui.session import VIEWS

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.screen import Screen


class Views:
    """Puts the panes into the window when the state says so, and the crosshair on the canvas with them.

    Parameters
    ----------
    controller : Controller
        Of the session.
    beside : QWidget
        A widget of the same window. With the first case, panes appear if that window has room for them.
    """

    def __init__(self, controller: Controller, beside: QWidget) -> None:
        self.navigator = Navigator(controller)
        self.panel = PanesPanel(self.navigator)
        self._arrangement = Arrangement(controller.viewer, self.panel)
        self._crosshair = Crosshair(controller.viewer)
        self._pointer = Pointer(controller, self.navigator)
        self._controller = controller
        self._beside = beside
        self._offered = False
        self._arrangement.closed_by_user.connect(lambda: self.navigator.set_views(""))
        controller.changed.connect(self._on_changed)

    def close(self) -> None:
        """Take everything away."""
        self._controller.changed.disconnect(self._on_changed)
        self._pointer.close()
        self._crosshair.close()
        self._arrangement.close()
        self.navigator.close()

    def _on_changed(self, screen: Screen) -> None:
        shown = self._controller.shown
        if shown is not None and not self._offered:
            self._offered = True
            if self._arrangement.roomy(self._beside):
                QTimer.singleShot(0, self._offer)  # not in the middle of telling all what has changed
        wanted = bool(screen.state.views) and shown is not None
        if wanted != self._arrangement.visible:
            (self._arrangement.show if wanted else self._arrangement.hide)()
        self._crosshair.show(shown if wanted else None)

    def _offer(self) -> None:
        wanted = preferences().views
        if not self._controller.closed and not self._controller.state.views and wanted in VIEWS:
            self.navigator.set_views(wanted)
