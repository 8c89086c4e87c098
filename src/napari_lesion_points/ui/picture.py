"""Paints a pane: a slice in its window, the heatmap over it, points, crosshair, letters of the sides and a scale bar.

Slices are painted as images of one byte per voxel with a table of 256 colours, which Qt scales: a few milliseconds, and
no OpenGL. They are painted apart from what lies over them, which changes more often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QImage, QPainter, QPen, QPolygonF

from napari_lesion_points.ui.planes import View, crosshair, scale_bar_mm, slice_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lesion_points.ui.windowing import Limits

_LETTER = QColor("#ffd54f")
_TEXT = QColor("#e8eaf0")
_SHADE = QColor(0, 0, 0, 150)

#: Opacity of points that are in the margin before and behind the slice, and not on it.
_BESIDE = 0.5


@dataclass(frozen=True, eq=False)
class Sheet:
    """A volume to paint a slice of.

    Parameters
    ----------
    data : (I, J, K) array
        On the displayed grid.
    limits : (float, float)
        Intensities of the first and the last colour.
    colors : (256, 4) uint8
        RGBA.
    smooth : bool
        Interpolate between voxels.
    """

    data: NDArray[np.generic]
    limits: Limits
    colors: NDArray[np.uint8]
    smooth: bool = True

    def looks_like(self, other: Sheet) -> bool:
        """Whether every slice of it looks the same as the other's."""
        return (
            self.data is other.data
            and (self.limits, self.smooth) == (other.limits, other.smooth)
            and np.array_equal(self.colors, other.colors)
        )


@dataclass(frozen=True)
class Mark:
    """A point to paint.

    Parameters
    ----------
    at : (3,) float
        Voxel coordinates of the displayed grid.
    symbol : str
        "star", "x", "diamond" or "square"; a ring for any other.
    diameter_mm : float
        Its size.
    face, border : (4,) int
        RGBA, 0 to 255.
    text : str
        Beside it.
    selected, beside : bool
        Whether it is selected; whether it lies before or behind the slice.
    """

    at: tuple[float, float, float]
    symbol: str
    diameter_mm: float
    face: tuple[int, int, int, int]
    border: tuple[int, int, int, int]
    text: str = ""
    selected: bool = False
    beside: bool = False


@dataclass(frozen=True, eq=False)
class Picture:
    """All that a pane shows.

    Parameters
    ----------
    view : View
        Where things are.
    index : int
        Of the slice.
    title : str
        Above it.
    sheets : tuple of Sheet
        From below.
    marks : tuple of Mark
        Points on the slice.
    place : (3,) float
        Voxel where the crosshair is.
    accent : (4,) int
        RGBA of crosshair and selection.
    """

    view: View
    index: int
    title: str
    sheets: tuple[Sheet, ...]
    marks: tuple[Mark, ...]
    place: tuple[float, float, float]
    accent: tuple[int, int, int, int]

    def has_slice_of(self, other: Picture) -> bool:
        """Whether `paint_slice` paints the same for both."""
        return (
            (self.view, self.index, len(self.sheets)) == (other.view, other.index, len(other.sheets))
            and all(mine.looks_like(its) for mine, its in zip(self.sheets, other.sheets, strict=True))
        )  # fmt: skip


def paint_slice(painter: QPainter, picture: Picture) -> None:
    """Paint the slice of a pane of the picture's size, at the origin."""
    width, height = picture.view.size
    painter.fillRect(QRectF(0, 0, width, height), QColor("black"))
    target = QRectF(*picture.view.rectangle())
    for sheet in picture.sheets:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, sheet.smooth)
        painter.drawImage(target, slice_image(sheet, picture.view, picture.index))


def paint_over(painter: QPainter, picture: Picture) -> None:
    """Paint what lies over the slice."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    accent = QColor(*picture.accent)
    for mark in picture.marks:
        _paint_mark(painter, mark, picture.view, accent)
    x, y = picture.view.to_pixels([picture.place])[0]
    painter.setPen(QPen(accent, 1))
    for start, end in crosshair(float(x), float(y), picture.view.size, picture.view.zoom):
        painter.drawLine(QPointF(*start), QPointF(*end))
    _paint_scale_bar(painter, picture.view)
    _paint_words(painter, picture)


def slice_image(sheet: Sheet, view: View, index: int) -> QImage:
    """Return a slice as an image of one pixel per voxel, the first row at the top."""
    values = np.asarray(slice_of(sheet.data, view.orientation, index), dtype=np.float32)
    low, high = sheet.limits
    levels = ((values - np.float32(low)) * np.float32(255 / (high - low))).clip(0, 255).astype(np.uint8)
    levels = np.ascontiguousarray(levels)
    rows, columns = levels.shape
    image = QImage(levels.data, columns, rows, columns, QImage.Format.Format_Indexed8).copy()  # not numpy's memory
    image.setColorTable([(a << 24) | (r << 16) | (g << 8) | b for r, g, b, a in sheet.colors.tolist()])
    return image


def _paint_mark(painter: QPainter, mark: Mark, view: View, accent: QColor) -> None:
    x, y = view.to_pixels([mark.at])[0]
    radius = max(mark.diameter_mm * view.zoom / 2, 4.0)
    middle = QPointF(x, y)
    face, border = QColor(*mark.face), QColor(*mark.border)
    painter.save()
    painter.setOpacity(_BESIDE if mark.beside else 1.0)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if mark.selected:
        painter.setPen(QPen(accent, 2))
        painter.drawEllipse(middle, radius + 3, radius + 3)
    if mark.symbol == "square":
        painter.setPen(QPen(border, 2.5))
        painter.drawRect(QRectF(x - radius, y - radius, 2 * radius, 2 * radius))
    elif mark.symbol not in ("star", "x", "diamond"):
        painter.setPen(QPen(border, 2.5))
        painter.drawEllipse(middle, radius, radius)
    elif mark.symbol == "x":
        for color, thickness in ((border, 5), (face, 2)):
            painter.setPen(QPen(color, thickness))
            for sign in (-1, 1):
                reach = QPointF(0.7 * radius, 0.7 * radius * sign)
                painter.drawLine(middle - reach, middle + reach)
    else:
        corners = 10 if mark.symbol == "star" else 4
        turns = -np.pi / 2 + np.arange(corners) * 2 * np.pi / corners
        far = np.where(np.arange(corners) % 2, 0.45 if mark.symbol == "star" else 1.0, 1.0) * radius
        painter.setPen(QPen(border, 1.5))
        painter.setBrush(face)
        painter.drawPolygon(
            QPolygonF([QPointF(x + r * np.cos(t), y + r * np.sin(t)) for r, t in zip(far, turns, strict=True)])
        )
    if mark.text and not mark.beside:
        _write(painter, mark.text, QPointF(x + radius + 5, y - radius / 2), _TEXT, Qt.AlignmentFlag.AlignLeft, 10)
    painter.restore()


def _paint_scale_bar(painter: QPainter, view: View) -> None:
    width, height = view.size
    mm = scale_bar_mm(view.zoom, 0.35 * width)
    right, y, long = width - 10, height - 8, mm * view.zoom
    painter.setPen(QPen(_TEXT, 2))
    painter.drawLine(QPointF(right - long, y), QPointF(right, y))
    for x in (right - long, right):
        painter.drawLine(QPointF(x, y - 3), QPointF(x, y + 3))
    _write(painter, f"{mm} mm", QPointF(right, y - 12), _TEXT, Qt.AlignmentFlag.AlignRight, 10)


def _paint_words(painter: QPainter, picture: Picture) -> None:
    width, height = picture.view.size
    left, right, top, bottom = tuple(picture.view.orientation.letters)
    center = Qt.AlignmentFlag.AlignHCenter
    for letter, x, y, align in (
        (left, 5, height / 2, Qt.AlignmentFlag.AlignLeft), (right, width - 5, height / 2, Qt.AlignmentFlag.AlignRight),
        (top, width / 2, 10, center), (bottom, width / 2, height - 11, center),
    ):  # fmt: skip
        _write(painter, letter, QPointF(x, y), _LETTER, align, 13)
    _write(painter, picture.title, QPointF(5, 10), _TEXT, Qt.AlignmentFlag.AlignLeft, 11)


def _write(painter: QPainter, text: str, at: QPointF, color: QColor, align: Qt.AlignmentFlag, size: int) -> None:
    """Write on a shade, vertically centred at a point: left of it, right of it, or around it."""
    font = QFont(painter.font())
    font.setPixelSize(size)
    painter.setFont(font)
    metrics = painter.fontMetrics()
    width, height = metrics.horizontalAdvance(text), metrics.height()
    shift = {Qt.AlignmentFlag.AlignLeft: 0.0, Qt.AlignmentFlag.AlignRight: width}.get(align, width / 2)
    box = QRectF(at.x() - shift - 2, at.y() - height / 2, width + 4, height)
    painter.fillRect(box, _SHADE)
    painter.setPen(color)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
