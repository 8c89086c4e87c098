"""From a case's volumes to what a network sees: one orientation, one spacing, standardised, cropped to the foreground.

Training and prediction go through the same function, so that a model meets a new case exactly as it met those it
learned from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.geometry import NETWORK_AXES, Grid, Volume
from napari_lesion_points.core.intensity import bounding_box, foreground_mask, standardise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

#: Voxels are not finer than sigma divided by this: the paper's widest Gaussian has 1.5 voxels, and finer ones multiply
#: the time to learn and to predict without adding to what a Gaussian of that width can tell.
FINEST_SIGMA_VOX = 1.5

_MARGIN_VOX = 4  # background kept around the foreground, so that a lesion at its edge has a surrounding


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """A case as a network sees it.

    Parameters
    ----------
    case : str
        Case identifier.
    images : (C, I, J, K) float16
        Standardised sequences; float16 halves the memory of a training set and is finer than the noise.
    foreground : (I, J, K) bool
        Where lesions are looked for.
    grid : Grid
        Placement of these arrays in the world.
    points_world : (N, 3) float
        Annotations, world mm; (0, 3) for a case without lesions or whose lesions are not known.
    unknown_world : (M, 3) float
        Places, world mm, that may be lesions or not: nobody has judged them. Training leaves them out.
    judged_world : (K, 3) float
        Places, world mm, that somebody has judged, besides the annotations: there is no lesion unless one is annotated.
    believed : (I, J, K) float16, optional
        Heatmap that a model draws in a case that nobody has finished: the target away from what was judged.
    target : (I, J, K) float16, optional
        What the network is to draw, in [0, 1], where that is no heatmap of the points.
    """

    case: str
    images: NDArray[np.float16]
    foreground: NDArray[np.bool_]
    grid: Grid
    points_world: NDArray[np.float64]
    unknown_world: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    judged_world: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    believed: NDArray[np.float16] | None = None
    target: NDArray[np.float16] | None = None


def network_spacing(grids: Sequence[Grid], sigma_mm: float) -> tuple[float, float, float]:
    """Choose the spacing (mm, in the network's axis order) for cases on these grids: their median, if not too fine."""
    spacings = [grid.reoriented(NETWORK_AXES).spacing for grid in grids]
    i, j, k = np.maximum(np.median(spacings, axis=0), sigma_mm / FINEST_SIGMA_VOX).round(3)
    return float(i), float(j), float(k)


def prepare_input(
    case: str, volumes: Iterable[Volume], spacing_mm: ArrayLike, points_world: ArrayLike = ()
) -> NetworkInput:
    """Reorient, resample, standardise and crop a case.

    Volumes are taken one at a time and not kept, so that an iterator that reads them holds one in memory.

    Parameters
    ----------
    case : str
        Case identifier.
    volumes : iterable of Volume
        The sequences in the model's order, all on one grid; at least one.
    spacing_mm : (3,) float
        Voxel size the network works in, in its own axis order (RAS).
    points_world : (N, 3) float
        Annotations, world mm.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    arrays: list[NDArray[np.float32]] = []
    for volume in volumes:
        turned = volume.reoriented(NETWORK_AXES)
        if not arrays:
            grid = turned.grid
            if not np.allclose(grid.spacing, spacing, rtol=0.02):
                grid = grid.with_spacing(spacing)
        arrays.append(turned.resampled(grid).data.astype(np.float32, copy=False))
        del volume, turned  # before the next one is read
    mask = foreground_mask(arrays)
    box = bounding_box(mask, _MARGIN_VOX)
    foreground = mask[box].copy()
    images = np.empty((len(arrays), *foreground.shape), np.float16)
    for image in images:
        image[...] = standardise(arrays.pop(0)[box], foreground)
    points = np.asarray(points_world, dtype=float).reshape(-1, 3)
    return NetworkInput(case, images, foreground, grid.cropped(box), points)
