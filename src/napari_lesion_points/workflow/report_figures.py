"""The figures of a report, as SVG in data URIs: a page that holds them needs no other file.

Colours are Okabe and Ito's, which the colour-blind can tell apart; shapes differ, too. matplotlib is loaded when the
first one is drawn, without its global state, so that threads may draw.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lesion_points.core.intervals import share_interval
from napari_lesion_points.core.metrics import reliability_curve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lesion_points.core.counts import LesionCount

    Array = NDArray[np.float64]

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#8a8f98"
_TEXT, _GRID = "#30343b", "#e3e6ea"
_SIZE_IN = 4.5, 3.3


def froc_figure(curve: Sequence[tuple[float, float]], operating: tuple[float, float]) -> str:
    """Draw recall against false positives per case, with the operating point."""
    figure, axes = _axes("false positives per case", "recall")
    x, y = np.array(curve).T
    axes.step(x, y, where="post", color=BLUE, linewidth=1.6)
    axes.plot(*operating, "o", color=VERMILION, markersize=7, label="at the threshold", zorder=3)
    axes.set_xlim(-0.02 * max(x[-1], 1), max(x[-1], 1) * 1.04)
    axes.set_ylim(0, 1.04)
    axes.legend(loc="lower right", frameon=False, fontsize=8, labelcolor=_TEXT)
    return _uri(figure)


def reliability_figure(existence: Array, is_true: NDArray[np.bool_], masses: Array | None) -> str:
    """Draw the share of true candidates against existence, with the number of candidates per bin.

    `masses`, if given, are those before recalibration, clipped to [0, 1].
    """
    figure, (axes, bars) = _stacked("existence", "share that are lesions")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    if masses is not None:
        before = reliability_curve(masses, is_true)
        axes.plot(before.existence, before.fraction_true, "s", color=GREY, markerfacecolor="white", markersize=5,
                  label="fitted mass, before recalibration")  # fmt: skip
    curve = reliability_curve(existence, is_true)
    filled = curve.counts > 0
    x, y, n = curve.existence[filled], curve.fraction_true[filled], curve.counts[filled]
    low, high = _share_intervals(np.round(y * n).astype(int), n)
    errors = np.clip([y - low, high - y], 0, None)
    axes.errorbar(x, y, errors, fmt="o", color=BLUE, markersize=5.5, linewidth=1, capsize=2, label="existence")
    axes.set_ylim(-0.03, 1.03)
    axes.legend(loc="lower right", frameon=False, fontsize=8, labelcolor=_TEXT)
    middles = (np.arange(len(curve.counts)) + 0.5) / len(curve.counts)
    bars.bar(middles, curve.counts, 0.09, color=BLUE, alpha=0.35)
    for at, count in zip(middles, curve.counts.tolist(), strict=True):
        bars.annotate(str(count), (at, count), (0, 1), textcoords="offset points", ha="center", fontsize=7, color=_TEXT)
    bars.set_xlim(0, 1)
    bars.set_ylim(0, 1.45 * max(curve.counts.max(), 1))
    bars.set_yticks([])
    bars.set_ylabel("candidates", fontsize=8, color=_TEXT)
    return _uri(figure)


def retention_figure(curve: Sequence[tuple[float, float]]) -> str:
    """Draw the accuracy of the least uncertain candidates against their share."""
    figure, axes = _axes("least uncertain candidates kept, %", "decided rightly, %")
    share, accuracy = 100 * np.array(curve).T
    axes.plot(share, accuracy, "o-", color=BLUE, linewidth=1.4, markersize=5)
    axes.set_xlim(0, 104)
    axes.set_ylim(min(np.floor(np.nanmin(accuracy) / 10) * 10, 90) - 2, 101)
    return _uri(figure)


def size_figure(names: Sequence[str], found: Sequence[tuple[int, int]]) -> str:
    """Draw the recall of classes of lesions: found and all of each."""
    figure, axes = _axes("size of the lesion, voxels", "recall")
    hits, all_ = np.array(found).T
    recall = hits / np.maximum(all_, 1)
    low, high = _share_intervals(hits, all_)
    at = np.arange(len(names))
    axes.bar(at, recall, 0.55, color=BLUE, alpha=0.35)
    axes.errorbar(at, recall, np.clip([recall - low, high - recall], 0, None), fmt="o", color=BLUE, capsize=3)
    axes.set_xticks(at, [f"{name}\n{a} of {b}" for name, (a, b) in zip(names, found, strict=True)])
    axes.set_ylim(0, 1.04)
    return _uri(figure)


def count_figure(true: Sequence[int], counts: Sequence[LesionCount]) -> str:
    """Draw predicted against true number of lesions per case, with the interval of each; cases side by side."""
    figure, axes = _axes("lesions of the case", "lesions predicted", width_in=9.2)
    number = np.array(true)
    order = np.lexsort((np.array([c.expected for c in counts]), number))
    _, first, group = np.unique(number[order], return_index=True, return_counts=True)
    places = np.concatenate([(np.arange(n) + 0.5) / n - 0.5 for n in group]) * 0.7
    low, high = np.array([[counts[i].low, counts[i].high] for i in order]).T
    expected = np.array([counts[i].expected for i in order])
    held = (low <= number[order]) & (number[order] <= high)
    at = number[order] + places
    top = max(high.max(), number.max()) + 1
    for n in number[order][first]:
        axes.plot([n - 0.42, n + 0.42], [n, n], color=GREY, linewidth=1.2, zorder=1)
    for some, color, marker, label in (
        (held, BLUE, "o", "cases whose 90 % interval holds the true number"),
        (~held, VERMILION, "D", "cases whose interval does not"),
    ):
        axes.vlines(at[some], low[some], high[some], color=color, linewidth=1.4, alpha=0.6)
        axes.plot(at[some], expected[some], marker, color=color, markersize=4, label=f"{label}: {some.sum()}")
    axes.set_xlim(-0.7, number.max() + 0.7)
    axes.set_ylim(-0.5, top)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left", frameon=False, fontsize=8, labelcolor=_TEXT)
    return _uri(figure)


def _share_intervals(hits: NDArray[np.int_], all_: NDArray[np.int_]) -> tuple[Array, Array]:
    """Return the ends, (N,) each, of the 95 % intervals of shares; see `share_interval`."""
    ends = [share_interval(int(k), int(n)) for k, n in zip(hits, all_, strict=True)]
    low, high = np.array(ends).reshape(-1, 2).T
    return low, high


def _axes(x: str, y: str, width_in: float = _SIZE_IN[0]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, _SIZE_IN[1]), layout="constrained")
    axes = figure.add_subplot()
    _style(axes, x, y)
    return figure, axes


def _stacked(x: str, y: str) -> tuple[Any, tuple[Any, Any]]:
    """Return a figure with tall axes over flat ones that share x."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _style(upper, "", y)
    _style(lower, x, "")
    return figure, (upper, lower)


def _style(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=9, color=_TEXT)
    axes.set_ylabel(y, fontsize=9, color=_TEXT)
    axes.tick_params(labelsize=8, colors=_TEXT, length=3)
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b7bcc4")


def _uri(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
