"""Draws how often candidates of similar existence are lesions: bins with counts and intervals, and the map learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_lesion_points.ui.colors import tint_of
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari_lesion_points.workflow.study_calibration import Assessment

_HEIGHT = 150
_MARGIN = 30, 16, 10, 30  # left, above, right, below: room for the words
_LINE = 41  # points of the curve of the map


class ReliabilityPlot(QWidget):
    """Existence against the share that are lesions. Painted by Qt, so no plotting library is loaded for it."""

    def __init__(self) -> None:
        super().__init__()
        self.assessment: Assessment | None = None
        self.setMinimumHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            _(
                "Judged candidates of similar existence: how many (number), the share that are lesions, and its 95 % "
                "interval.\nOn the diagonal, existence is right. Dashed: what existence would become when recalibrated."
            )
        )

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return a height that fits into the tab."""
        return QSize(300, _HEIGHT)

    def show_assessment(self, assessment: Assessment | None) -> None:
        """Draw another one."""
        self.assessment = assessment
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw axes, bins and map."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text, tint = self.palette().color(QPalette.ColorRole.WindowText), tint_of(self)
        left, above, right, below = _MARGIN
        box = QRectF(left, above, self.width() - left - right, self.height() - above - below)
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(QPen(QColor(tint.frame), 1))
        painter.drawRect(box)
        painter.drawLine(box.bottomLeft(), box.topRight())
        painter.setPen(text)
        for value in (0.0, 0.5, 1.0):
            x, y = box.left() + value * box.width(), box.bottom() - value * box.height()
            painter.drawText(QRectF(x - 20, box.bottom() + 1, 40, 13), Qt.AlignmentFlag.AlignCenter, f"{value:g}")
            painter.drawText(QRectF(0, y - 7, left - 4, 14), Qt.AlignmentFlag.AlignRight, f"{value:g}")
        center = Qt.AlignmentFlag.AlignCenter
        painter.drawText(QRectF(box.left(), box.bottom() + 14, box.width(), 14), center, _("existence"))
        above_it = _("share that are lesions, and how many were judged")
        painter.drawText(QRectF(0, 0, self.width(), 14), center, above_it)
        if self.assessment is not None:
            if self.assessment.recalibration is not None:
                _paint_map(painter, box, self.assessment, QColor(tint.figure))
            _paint_bins(painter, box, self.assessment, QColor(tint.info), text)
        painter.end()


def _paint_bins(painter: QPainter, box: QRectF, found: Assessment, color: QColor, text: QColor) -> None:
    """Draw the share, its interval and the number of each bin that has any."""
    bins = zip(found.curve.existence, found.curve.fraction_true, found.curve.counts, found.intervals, strict=True)
    for existence, share, count, (low, high) in bins:
        if not count:
            continue
        at = _place(box, existence, share)
        painter.setPen(QPen(color, 2))
        painter.drawLine(_place(box, existence, low), _place(box, existence, high))
        painter.setBrush(color)
        painter.drawEllipse(at, 3.5, 3.5)
        painter.setPen(text)
        beside = at.x() + 6 if at.x() + 30 < box.right() else at.x() - 32
        across = Qt.AlignmentFlag.AlignLeft if beside > at.x() else Qt.AlignmentFlag.AlignRight
        painter.drawText(QRectF(beside, at.y() - 7, 26, 14), across | Qt.AlignmentFlag.AlignVCenter, str(count))


def _paint_map(painter: QPainter, box: QRectF, found: Assessment, color: QColor) -> None:
    """Draw what existence would become."""
    before, after = found.before_and_after(np.linspace(0, 1, _LINE))
    painter.setPen(QPen(color, 1.5, Qt.PenStyle.DashLine))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPolyline(QPolygonF([_place(box, x, y) for x, y in zip(before, after, strict=True)]))


def _place(box: QRectF, x: float, y: float) -> QPointF:
    return QPointF(box.left() + float(x) * box.width(), box.bottom() - float(y) * box.height())
