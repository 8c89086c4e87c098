"""A panel below the canvas that opens and closes as the state says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy import compat
from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow

from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari import Viewer

    from napari_lesion_points.ui.candidates_panel import CandidatesPanel
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.screen import Screen

DOCK_NAME = _("Candidates")


class Drawer(QObject):
    """Docks the list of candidates under the canvas while it is wanted.

    Parameters
    ----------
    controller : Controller
        Of the session.
    panel : CandidatesPanel
        What is in the drawer.
    """

    def __init__(self, controller: Controller, panel: CandidatesPanel) -> None:
        super().__init__()
        self._controller = controller
        self._viewer: Viewer = controller.viewer
        self._panel = panel
        self._dock: QDockWidget | None = None
        self._corner: Qt.DockWidgetArea | None = None
        self._acting = False
        panel.removed.connect(self._removed)
        controller.changed.connect(self._on_changed)

    @property
    def visible(self) -> bool:
        """Whether the panel is in the window."""
        return self._dock is not None and not self._dock.isHidden()

    def close(self) -> None:
        """Take the panel away for good; nothing is left to do when its window is gone."""
        self._controller.changed.disconnect(self._on_changed)
        dock, self._dock = self._dock, None
        if dock is not None and compat.isalive(dock):  # type: ignore[no-untyped-call]
            self._acting = True
            self._give_back_corner(dock)
            self._viewer.window.remove_dock_widget(dock)

    def _on_changed(self, __: Screen) -> None:
        screen = self._controller.screen  # not the one announced: whoever heard of it before may have changed more
        if screen.listing != self.visible:
            (self._show if screen.listing else self._hide)()
        if screen.listing:
            self._panel.show_screen(screen)

    def _show(self) -> None:
        self._acting = True
        if self._dock is None:
            self._dock = self._viewer.window.add_dock_widget(
                self._panel, name=DOCK_NAME, area="bottom", add_vertical_stretch=False
            )
            self._dock.toggleViewAction().toggled.connect(self._toggled)
        self._dock.show()
        window = self._dock.window()
        if isinstance(window, QMainWindow):
            self._corner = window.corner(Qt.Corner.BottomRightCorner)
            window.setCorner(
                Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea
            )  # the review stays whole
            window.resizeDocks([self._dock], [self._panel.sizeHint().height()], Qt.Orientation.Vertical)
        self._acting = False

    def _hide(self) -> None:
        self._acting = True
        if self._dock is not None:
            self._dock.hide()
            self._give_back_corner(self._dock)
        self._acting = False

    def _give_back_corner(self, dock: QDockWidget) -> None:
        window = dock.window()
        if isinstance(window, QMainWindow) and self._corner is not None:
            window.setCorner(Qt.Corner.BottomRightCorner, self._corner)
        self._corner = None

    def _toggled(self, shown: bool) -> None:
        if not shown and not self._acting:
            self._controller.update(listing=False)

    def _removed(self) -> None:
        """Go on without the dock that napari's close button destroys; the panel itself stays."""
        if self._dock is not None and not self._acting:
            self._dock = None
            self._controller.update(listing=False)
