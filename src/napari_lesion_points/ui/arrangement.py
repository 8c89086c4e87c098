"""Where the panes are in the window: in place of napari's list of layers, which comes back when they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy import compat
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari import Viewer

    from napari_lesion_points.ui.panes import PanesPanel

DOCK_NAME = _("Views")

#: napari's own docks at the left, by their object names.
_NAPARI_DOCKS = ("layer list", "layer controls")

#: The smallest window (pixels) that shows panes without being asked to.
_ROOMY = 1280, 700


class Arrangement(QObject):
    """Docks a panel at the left of the canvas and takes it away.

    Attributes
    ----------
    closed_by_user : Signal()
        The panel was closed by its own button, or from napari's menu.
    """

    closed_by_user = Signal()

    def __init__(self, viewer: Viewer, panel: PanesPanel) -> None:
        super().__init__()
        self._viewer = viewer
        self._panel = panel
        self._dock: QDockWidget | None = None
        self._window: QWidget | None = None
        self._hidden: list[tuple[QDockWidget, int]] = []
        self._acting = False
        panel.removed.connect(self._removed)

    @property
    def visible(self) -> bool:
        """Whether the panel is in the window."""
        return self._dock is not None and not self._dock.isHidden()

    def roomy(self, beside: QWidget) -> bool:
        """Whether the window that holds a widget has room for the panes."""
        window = beside.window()
        return isinstance(window, QMainWindow) and window.width() >= _ROOMY[0] and window.height() >= _ROOMY[1]

    def show(self) -> None:
        """Put the panel into the window, in place of napari's docks at the left."""
        if self.visible:
            return
        self._acting = True
        if self._dock is None:
            self._dock = self._viewer.window.add_dock_widget(
                self._panel, name=DOCK_NAME, area="left", add_vertical_stretch=False
            )
            self._dock.toggleViewAction().toggled.connect(self._toggled)
        self._window = window = self._dock.window()
        self._hidden = [
            (dock, dock.height()) for dock in window.findChildren(QDockWidget)
            if dock.objectName() in _NAPARI_DOCKS and not dock.isHidden()
        ]  # fmt: skip
        for dock, __ in self._hidden:
            dock.hide()
        self._dock.show()
        if isinstance(window, QMainWindow):
            window.resizeDocks([self._dock], [self._panel.sizeHint().width()], Qt.Orientation.Horizontal)
        self._acting = False

    def hide(self) -> None:
        """Take the panel out of sight, and bring back what was there."""
        self._acting = True
        if self._dock is not None:
            self._dock.hide()
        for dock, __ in self._hidden:
            dock.show()
        window = self._hidden[0][0].window() if self._hidden else None
        if isinstance(window, QMainWindow):
            docks, heights = zip(*self._hidden, strict=True)
            window.resizeDocks(list(docks), list(heights), Qt.Orientation.Vertical)
        self._hidden = []
        self._acting = False

    def close(self) -> None:
        """Take the panel away for good; nothing is left to do when its window is gone."""
        dock, self._dock = self._dock, None
        if dock is not None and _alive(dock) and _alive(self._window):
            self._acting = True
            dock.hide()
            self.hide()
            self._viewer.window.remove_dock_widget(dock)
        self._hidden, self._window = [], None  # a reference would keep the window alive

    def _toggled(self, shown: bool) -> None:
        if not shown and not self._acting:
            self.hide()
            self.closed_by_user.emit()

    def _removed(self) -> None:
        """Go on without the dock that napari's close button destroys; the panel itself stays."""
        if self._dock is not None:
            self._dock = None
            self.hide()
            self.closed_by_user.emit()


def _alive(widget: QWidget | None) -> bool:
    """Whether Qt still has a widget."""
    return widget is not None and bool(compat.isalive(widget))  # type: ignore[no-untyped-call]
