"""The panes beside the canvas: the other planes through the crosshair, or the other sequences at the same place.

A left click or drag in a pane moves the crosshair and never places a point; the wheel goes through slices; the wheel
with Ctrl zooms all panes; a drag with the right button changes the window; a double click swaps pane and canvas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QPointF, QSize, Qt, Signal
from qtpy.QtGui import QMouseEvent, QPainter, QPaintEvent, QPixmap, QResizeEvent, QWheelEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_lesion_points.ui.controls import button, row
from napari_lesion_points.ui.picture import Picture, paint_over, paint_slice
from napari_lesion_points.ui.planes import ORIENTATIONS, Content, tiling
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari_lesion_points.ui.navigation import Navigator

#: What the wheel reports for one notch.
_NOTCH = 120

#: How much larger a notch makes the panes.
_ZOOM = 1.2

_TIP = _(
    "Click or drag: move the crosshair. Wheel: slices; Ctrl+wheel: zoom.\n"
    "Drag with the right button: window (right: wider, up: brighter). Double click: show this on the canvas."
)


class Pane(QWidget):
    """One slice."""

    def __init__(self, navigator: Navigator) -> None:
        super().__init__()
        self.content: Content | None = None
        self._navigator = navigator
        self._last: QPointF | None = None
        self._turned = 0
        self._painted: tuple[Picture, QPixmap] | None = None
        self.setMinimumSize(90, 90)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setToolTip(_TIP)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw what the navigator says is to be seen."""
        picture = self.content and self._navigator.picture(self.content, (self.width(), self.height()))
        painter = QPainter(self)
        if picture:
            painter.drawPixmap(0, 0, self._slice(picture))
            paint_over(painter, picture)
        else:
            painter.fillRect(self.rect(), Qt.GlobalColor.black)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Begin a drag; a left one takes the crosshair along at once."""
        self._last = event.position()
        if event.button() == Qt.MouseButton.LeftButton:
            self._point(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Go on with a drag."""
        if self.content is None or self._last is None:
            return
        moved, self._last = event.position() - self._last, event.position()
        if event.buttons() & Qt.MouseButton.RightButton:
            self._navigator.drag_window(self.content.sequence, moved.x(), -moved.y())
        elif event.buttons() & Qt.MouseButton.LeftButton:
            self._point(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """End a drag."""
        self._last = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt's name)
        """Show on the canvas what is shown here."""
        if self.content is not None and event.button() == Qt.MouseButton.LeftButton:
            self._navigator.bring(self.content)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 (Qt's name)
        """Go through slices, or zoom with Ctrl; touchpads turn by parts of a notch."""
        self._turned += event.angleDelta().y()
        notches, self._turned = int(self._turned / _NOTCH), self._turned - int(self._turned / _NOTCH) * _NOTCH
        event.accept()
        if self.content is None or not notches:
            return
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._navigator.zoom(_ZOOM**notches)
        else:
            self._navigator.step(self.content.orientation, -notches)

    def _slice(self, picture: Picture) -> QPixmap:
        """Return the slice painted, and keep it: while the canvas scrolls, only what lies over it changes."""
        ratio = self.devicePixelRatioF()
        known, pixmap = self._painted or (None, QPixmap())
        if known is None or pixmap.devicePixelRatioF() != ratio or not picture.has_slice_of(known):
            pixmap = QPixmap(self.size() * ratio)
            pixmap.setDevicePixelRatio(ratio)
            painter = QPainter(pixmap)
            paint_slice(painter, picture)
            painter.end()
            self._painted = picture, pixmap
        return pixmap

    def _point(self, at: QPointF) -> None:
        view = self.content and self._navigator.view(self.content, (self.width(), self.height()))
        if view and self.content is not None:
            index = self._navigator.place[ORIENTATIONS[self.content.orientation].axis]
            self._navigator.go(view.to_voxel(at.x(), at.y(), index))


class PanesPanel(QWidget):
    """The panes, and the choice of what they show.

    Attributes
    ----------
    removed : Signal()
        It was taken out of the window.
    """

    removed = Signal()

    def __init__(self, navigator: Navigator) -> None:
        super().__init__()
        self._navigator = navigator
        self._tiles: tuple[int, int] = (0, 0)
        self.panes: list[Pane] = []
        self.planes = button(_("Planes"), lambda: navigator.set_views("planes"), _("The two other planes (V)"), True)
        self.sequences = button(
            _("Sequences"),
            lambda: navigator.set_views("sequences"),
            _("The other sequences at the same place (V)"),
            True,
        )
        self.next_window = button(
            _("Window (W)"), navigator.next_window, _("Next window of the sequence on the canvas")
        )
        self.setMinimumWidth(200)
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        choice = row(self.planes, self.sequences, QLabel(), self.next_window)
        choice.setStretch(2, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(4)
        layout.addLayout(choice)
        layout.addLayout(self._grid, 1)
        navigator.changed.connect(self.show_now)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return a width that leaves the canvas the larger part of a small laptop's screen."""
        return QSize(330, 640)

    def show_now(self) -> None:
        """Draw what is to be seen now, unless nobody can see it."""
        if not self.isVisible():
            return
        contents = self._navigator.contents
        planes = len({content.orientation for content in contents}) > 1
        self.planes.setChecked(planes)
        self.sequences.setChecked(bool(contents) and not planes)
        while len(self.panes) < len(contents):
            self.panes.append(Pane(self._navigator))
        self._lay_out(len(contents))
        for pane, content in zip(self.panes, contents, strict=False):
            pane.content = content
            pane.update()

    def event(self, event: QEvent) -> bool:
        """Tell when napari's button has closed the panel for good; a window that goes as a whole does not."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.removed.emit()
        return bool(super().event(event))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 (Qt's name)
        """Lay the panes out anew."""
        super().resizeEvent(event)
        self.show_now()

    def showEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Draw what has changed while nothing could be seen."""
        self.show_now()

    def _lay_out(self, count: int) -> None:
        __, columns = tiling(count, self.width() or 1, self.height() or 1)  # the grid's own are those before a resize
        if (count, columns) == self._tiles:
            return
        self._tiles = (count, columns)
        for number, pane in enumerate(self.panes):
            self._grid.removeWidget(pane)
            pane.setVisible(number < count)
            if number < count:
                self._grid.addWidget(pane, number // columns, number % columns)
