"""Live curves of a training: loss, and F1 and calibration error on the validation cases."""

from __future__ import annotations

from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QPalette, QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_lesion_points.ui.colors import tint_of
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Drawing takes about 30 ms; more often than this (ms) would make the window slow.
_REDRAW_MS = 500


@cache
def load_matplotlib() -> None:
    """Load matplotlib and its fonts by drawing something. Meant for a worker, so that the first curve keeps nobody.

    Done before there is anything to draw: matplotlib draws in one thread at a time. Its Qt part is left to the thread
    of the window, which loads it in some milliseconds: classes of Qt are made there only.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    figure.add_subplot().set_xlabel(_("minutes"))
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]


class TrainingCurves(QWidget):
    """A plot that grows while training runs. It is drawn while it can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.loss: list[tuple[float, float]] = []
        self.validation: list[tuple[float, float, float]] = []
        self.validated_on = _("validation")
        self._canvas: Any = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.setMinimumHeight(130)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REDRAW_MS)
        self._timer.timeout.connect(self.draw)

    def take(self, event: Any) -> None:
        """Add a `LossPoint` or `Validation`; None starts anew."""
        if event is None:
            self.loss, self.validation = [], []
        elif hasattr(event, "loss"):
            self.loss.append((event.minutes, event.loss))
        else:
            self.validation.append((event.minutes, event.f1, event.ece))
            self.validated_on = _("on training cases") if event.on_training_cases else _("validation")
        self._draw_soon()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw what came while nobody looked."""
        super().showEvent(event)
        self._draw_soon()

    def _draw_soon(self) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def draw(self) -> None:
        """Draw what has come so far."""
        if not self.loss and not self.validation and self._canvas is None:
            return
        if self._canvas is None:
            self._make_canvas()
        text, tint = self.palette().color(QPalette.ColorRole.WindowText).name(), tint_of(self)
        figure = self._canvas.figure
        figure.clear()
        left = figure.add_subplot()
        right = left.twinx()
        if self.loss:
            minutes, losses = zip(*self.loss, strict=True)
            left.plot(minutes, losses, color=tint.loss, linewidth=0.5, alpha=0.4)
            left.plot(minutes, smoothed(losses), color=tint.loss, linewidth=1.2)
        if self.validation:
            minutes, f1, ece = zip(*self.validation, strict=True)
            right.plot(minutes, f1, color=tint.figure, marker="o", markersize=3, label=f"F1 {f1[-1]:.2f}")
            right.plot(
                minutes, ece, color=tint.gap, marker="s", markersize=3, linestyle="--", label=f"ECE {ece[-1]:.2f}"
            )
            legend = right.legend(loc="upper center", ncols=2, fontsize=7, frameon=False, bbox_to_anchor=(0.5, 1.2))
            for entry in legend.get_texts():
                entry.set_color(text)
        right.set_ylim(0, 1)
        left.set_xlabel(_("minutes"), fontsize=7, color=text)
        left.set_ylabel(_("loss"), fontsize=7, color=tint.loss)
        right.set_ylabel(self.validated_on, fontsize=7, color=tint.figure)
        for axes in (left, right):
            axes.set_facecolor("none")
            axes.tick_params(labelsize=7, colors=text)
            for spine in axes.spines.values():
                spine.set_color(tint.frame)
        self._canvas.draw_idle()

    def _make_canvas(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained")
        figure.patch.set_alpha(0)
        self._canvas = FigureCanvasQTAgg(figure)  # type: ignore[no-untyped-call]
        self._canvas.setStyleSheet("background: transparent;")
        self._layout.addWidget(self._canvas)


def smoothed(values: Sequence[float], share: float = 0.1) -> list[float]:
    """Return the exponential average of what came so far, each new value counting `share`.

    Examples
    --------
    >>> smoothed([4.0, 2.0, 2.0], share=0.5)
    [4.0, 3.0, 2.5]
    """
    return list(accumulate(values, lambda mean, value: mean + share * (value - mean)))
