"""Slices of a volume and where their voxels are on the screen: the geometry of a pane, without Qt and napari.

Conventions
-----------
* Arrays have axes `DISPLAY_AXES`; "voxel" means voxel coordinates of the displayed grid, integers at voxel centres.
* "mm" are voxel x spacing along the grid's own axes, so an oblique grid is shown as it was scanned; they are not world
  coordinates.
* Pixels are (x, y) from the top left corner of the pane, y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

#: Shorter side (mm) of the view of one lesion: the lesion large, and enough around it to know where one is. At most
#: this share of the volume's longest side, for volumes that are small themselves.
_CLOSE_UP_MM, _CLOSE_UP_SHARE = 90.0, 0.6

#: The least that a pane shows (mm): a small lesion fills it.
_LEAST_MM = 12.0

#: A view is taken to show the whole slice when it shows this share of it: napari leaves a margin, a reader may trim it.
_WHOLE = 0.9

#: Half the gap of the crosshair: what lies at its centre is to be seen (mm, and at least pixels).
_GAP_MM, _GAP_PIXELS = 7.0, 12.0

#: The crosshair also leaves the edges (pixels) to the letters of the body's sides.
_EDGE_PIXELS = 32.0

#: Lengths (mm) of scale bars.
_BARS_MM = (1, 2, 5, 10, 20, 50, 100)


class Orientation(NamedTuple):
    """How slices of one orientation are shown.

    Parameters
    ----------
    order : (3,) int
        Array axis that is sliced, then the displayed ones: vertical, horizontal.
    up : bool
        Whether the vertical axis grows upwards.
    letters : str
        Sides of the body at the left, right, top and bottom of the picture.
    """

    order: tuple[int, int, int]
    up: bool
    letters: str

    @property
    def axis(self) -> int:
        """Array axis that is sliced."""
        return self.order[0]

    @property
    def vertical(self) -> int:
        """Array axis that runs down the picture, or up."""
        return self.order[1]

    @property
    def horizontal(self) -> int:
        """Array axis that runs to the right."""
        return self.order[2]


#: All three are radiological: the patient's left, or the back of the head, is on the right-hand side.
ORIENTATIONS: dict[str, Orientation] = {
    "axial": Orientation((0, 1, 2), False, "RLAP"),
    "coronal": Orientation((1, 0, 2), True, "RLSI"),
    "sagittal": Orientation((2, 0, 1), True, "APSI"),
}


class Content(NamedTuple):
    """What a pane shows: slices of one orientation of one sequence."""

    orientation: str
    sequence: str


def companions(views: str, orientation: str, sequence: str, sequences: Sequence[str]) -> tuple[Content, ...]:
    """Return what the panes show beside a canvas with this orientation and sequence.

    Parameters
    ----------
    views : str
        "planes" for the other orientations, "sequences" for the other sequences, "" for nothing.
    orientation, sequence : str
        What the canvas shows.
    sequences : sequence of str
        Of the case; with only one, its planes are shown instead.

    Examples
    --------
    >>> [pane.orientation for pane in companions("planes", "axial", "FLAIR", ["FLAIR", "T1w"])]
    ['coronal', 'sagittal']
    >>> [pane.sequence for pane in companions("sequences", "axial", "FLAIR", ["FLAIR", "T1w"])]
    ['T1w']
    """
    if not views or sequence not in sequences:
        return ()
    if views == "sequences" and len(sequences) > 1:
        return tuple(Content(orientation, name) for name in sequences if name != sequence)
    return tuple(Content(name, sequence) for name in ORIENTATIONS if name != orientation)


def slice_of(data: NDArray[np.generic], orientation: Orientation, index: int) -> NDArray[np.generic]:
    """Return a slice as it is seen: (rows, columns), the first row at the top. A view; nothing is copied.

    Examples
    --------
    >>> data = np.arange(8).reshape(2, 2, 2)
    >>> slice_of(data, ORIENTATIONS["coronal"], 0).tolist()
    [[4, 5], [0, 1]]
    """
    picture: NDArray[np.generic] = np.moveaxis(data, orientation.axis, 0)[index]
    return picture[::-1] if orientation.up else picture


def reach_mm(margin_mm: float, spacing_mm: float) -> float:
    """Return how far (mm) before and behind a slice points belong to it.

    At least half a slice, so that every point is on one: however thick the slices, and however small the margin.
    """
    return max(float(margin_mm), 0.5 * float(spacing_mm) * (1 + 1e-6))


def nearest_voxel(voxel: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the voxel (3,) that a place is in, or the nearest one of the grid."""
    return np.clip(np.round(np.asarray(voxel, dtype=float)), 0, np.array(shape) - 1).astype(np.intp)


def close_up_mm(shape: ArrayLike, spacing: ArrayLike) -> float:
    """Return how much (mm) the shorter side of a view of one lesion shows, in a grid of this shape and spacing (3,).

    Examples
    --------
    >>> close_up_mm((182, 218, 182), (1.0, 1.0, 1.0))
    90.0
    """
    longest = float((np.asarray(shape) * np.asarray(spacing, dtype=float)).max())
    return min(_CLOSE_UP_MM, _CLOSE_UP_SHARE * longest)


def shows_whole(extent_mm: ArrayLike, canvas: ArrayLike, zoom: float) -> bool:
    """Whether a canvas (height, width: pixels) at a zoom (pixels per mm) shows all of a slice (height, width: mm)."""
    seen = np.asarray(canvas, dtype=float) / zoom
    return bool((seen >= _WHOLE * np.asarray(extent_mm, dtype=float)).all())


def scale_bar_mm(zoom: float, longest: float) -> int:
    """Return the length (mm) of the longest round scale bar of at most `longest` pixels; 1 if none fits.

    Examples
    --------
    >>> scale_bar_mm(4.0, 100)
    20
    """
    return max((mm for mm in _BARS_MM if mm * zoom <= longest), default=_BARS_MM[0])


def crosshair(
    x: float, y: float, size: tuple[float, float], zoom: float
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the four lines, ((x, y), (x, y)) in pixels, that point at a pixel from the edges of a picture.

    Parameters
    ----------
    x, y : float
        What they point at; they stop short of it, so that it can be seen.
    size : (float, float)
        Width and height of the picture. A line that would lie outside of it has no length.
    zoom : float
        Pixels per mm.
    """
    width, height = size
    gap = max(_GAP_MM * zoom, _GAP_PIXELS)

    def halves(at: float, long: float, inside: bool) -> list[tuple[float, float]]:
        ends = ((_EDGE_PIXELS, min(at - gap, long - _EDGE_PIXELS)), (max(at + gap, _EDGE_PIXELS), long - _EDGE_PIXELS))
        return [(a, b) if inside and a < b else (0.0, 0.0) for a, b in ends]

    across = halves(x, width, 0 <= y <= height)
    down = halves(y, height, 0 <= x <= width)
    return [((a, y), (b, y)) for a, b in across] + [((x, a), (x, b)) for a, b in down]


def tiling(count: int, width: float, height: float) -> tuple[int, int]:
    """Return the (rows, columns) that give `count` panes on a rectangle the largest shorter side; fewer columns win.

    Examples
    --------
    >>> tiling(2, 330, 700), tiling(2, 700, 300), tiling(0, 1, 1)
    ((2, 1), (1, 2), (1, 1))
    """
    best = (max(count, 1), 1)
    for columns in range(1, count + 1):
        rows = -(-count // columns)
        if min(width / columns, height / rows) > min(width / best[1], height / best[0]):
            best = (rows, columns)
    return best


@dataclass(frozen=True)
class Focus:
    """What the panes look at.

    Parameters
    ----------
    center : (3,) float
        Voxel in the middle of the panes, unless they show everything.
    field_mm : float or None
        Length of a pane's shorter side; None shows whole slices.
    """

    center: tuple[float, float, float]
    field_mm: float | None = None

    def at(self, voxel: ArrayLike, close_up_mm: float | None) -> Focus:
        """Look at a voxel; whole slices give way to `close_up_mm`, if that is given."""
        return Focus(_triple(voxel), close_up_mm if self.field_mm is None else self.field_mm)

    def following(self, place: ArrayLike, spacing: ArrayLike) -> Focus:
        """Stay, unless a place (voxel) has left what is in view; then look at it."""
        if self.field_mm is None:
            return self
        away = np.abs(np.asarray(place, dtype=float) - self.center) * np.asarray(spacing, dtype=float)
        return self if away.max() < 0.45 * self.field_mm else Focus(_triple(place), self.field_mm)

    def zoomed(self, factor: float, place: ArrayLike, extent_mm: float) -> Focus:
        """Show `factor` times as large, around a place (voxel); whole slices when that is more than `extent_mm`."""
        field = (extent_mm if self.field_mm is None else self.field_mm) / factor
        return Focus(_triple(place), None if field >= extent_mm else max(field, _LEAST_MM))


@dataclass(frozen=True)
class View:
    """A pane that shows a slice: where each voxel is in it.

    Parameters
    ----------
    orientation : Orientation
        Which slices.
    shape : (3,) int
        Of the displayed grid.
    spacing : (3,) float
        mm per voxel.
    size : (2,) float
        Width and height in pixels.
    focus : Focus
        What is in the middle, and how much is seen.
    """

    orientation: Orientation
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    size: tuple[float, float]
    focus: Focus

    @property
    def zoom(self) -> float:
        """Pixels per mm."""
        if self.focus.field_mm is not None:
            return max(min(self.size), 1.0) / self.focus.field_mm
        height, width = (
            self.shape[a] * self.spacing[a] for a in (self.orientation.vertical, self.orientation.horizontal)
        )
        return max(min(self.size[0] / width, self.size[1] / height), 1e-6)

    @property
    def center(self) -> Array:
        """(3,) float, voxel in the middle of the pane."""
        if self.focus.field_mm is None:
            return (np.array(self.shape) - 1) / 2
        return np.array(self.focus.center)

    def to_pixels(self, voxels: ArrayLike) -> Array:
        """Voxels (N, 3) to pixels (N, 2); the sliced axis does not matter."""
        away = (np.asarray(voxels, dtype=float).reshape(-1, 3) - self.center) * self.spacing * self.zoom
        down = away[:, self.orientation.vertical] * (-1 if self.orientation.up else 1)
        return np.stack([self.size[0] / 2 + away[:, self.orientation.horizontal], self.size[1] / 2 + down], axis=1)

    def to_voxel(self, x: float, y: float, index: float) -> Array:
        """Pixel to voxel (3,) on slice `index`; it may lie outside of the grid."""
        steps = np.array(self.spacing) * self.zoom
        voxel = self.center.copy()
        voxel[self.orientation.axis] = index
        voxel[self.orientation.horizontal] += (x - self.size[0] / 2) / steps[self.orientation.horizontal]
        down = (y - self.size[1] / 2) / steps[self.orientation.vertical]
        voxel[self.orientation.vertical] += -down if self.orientation.up else down
        return voxel

    def rectangle(self) -> tuple[float, float, float, float]:
        """Where the whole slice is: x, y, width, height in pixels, with the outer halves of its border voxels."""
        first, last = np.full(3, -0.5), np.array(self.shape) - 0.5
        (x0, y0), (x1, y1) = self.to_pixels([first, last])
        return float(min(x0, x1)), float(min(y0, y1)), float(abs(x1 - x0)), float(abs(y1 - y0))


def _triple(voxel: ArrayLike) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in np.asarray(voxel, dtype=float))
    return x, y, z
