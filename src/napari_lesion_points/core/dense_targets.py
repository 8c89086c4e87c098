"""The labels that the paper compares its heatmap with: distance maps around points, Euclidean and geodesic.

Both fall from 1 at a point to 0 at a distance of `reach_mm`, as (1 - distance / reach) ** decay (van Wijnen et al.
2019, the paper's reference 9); `decay` is the paper's p. The geodesic distance grows faster where the image changes: a
step costs its length times 1 + weight * gradient, so that a map stops at the edge of a lesion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float32]

#: Farthest that a map reaches, mm, and the cost of a change by one standard deviation per mm.
REACH_MM = 12.0
GRADIENT_WEIGHT = 4.0


def euclidean_map(
    shape: tuple[int, int, int], centers_vox: ArrayLike, spacing_mm: ArrayLike, decay: float, reach_mm: float = REACH_MM
) -> Array:
    """Return the Euclidean distance map of points.

    Parameters
    ----------
    shape : (3,) int
        Of the map.
    centers_vox : (N, 3) float
        Voxel coordinates. Without any, the map is 0.
    spacing_mm : (3,) float
        Voxel size.
    decay : float
        The paper's p: above 1 the map is a spike, below a dome.
    reach_mm : float
        Distance at which it is 0.

    Returns
    -------
    (I, J, K) float32
        In [0, 1].
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    result = np.zeros(shape, np.float32)
    for center in np.asarray(centers_vox, dtype=float).reshape(-1, 3):
        box = _around(shape, center, reach_mm / spacing)
        squares = [((np.arange(b.start, b.stop) - c) * s) ** 2 for b, c, s in zip(box, center, spacing, strict=True)]
        x, y, z = squares
        distance = np.sqrt(x[:, None, None] + y[:, None] + z)
        np.maximum(result[box], _falling(distance, decay, reach_mm), out=result[box])
    return result


def geodesic_map(
    images: NDArray[np.floating],
    centers_vox: ArrayLike,
    spacing_mm: ArrayLike,
    decay: float,
    reach_mm: float = REACH_MM,
    weight: float = GRADIENT_WEIGHT,
) -> Array:
    """Return the geodesic distance map of points in the images of a case.

    The shortest paths are scikit-image's: between neighbouring voxels, diagonals included, a step costs its length in
    mm times the mean of both voxels' costs.

    Parameters
    ----------
    images : (C, I, J, K) float
        Standardised intensities of the sequences; their gradients count as one of the root of their mean square.
    centers_vox, spacing_mm, decay, reach_mm
        See `euclidean_map`. Points outside the images count as at their border.
    weight : float
        Cost of a gradient of 1 per mm.

    Returns
    -------
    (I, J, K) float32
        In [0, 1].
    """
    from skimage.graph import MCP_Geometric

    spacing = np.asarray(spacing_mm, dtype=float)
    shape = images.shape[1:]
    result = np.zeros(shape, np.float32)
    centers = np.asarray(centers_vox, dtype=float).reshape(-1, 3)
    for center in np.clip(np.rint(centers), 0, np.array(shape) - 1).astype(int):
        box = _around(shape, center, reach_mm / spacing)
        part = images[(slice(None), *box)].astype(float)
        slopes = [ndimage.gaussian_filter1d(part, 0.5, axis=a + 1, order=1) / s for a, s in enumerate(spacing)]
        cost = 1 + weight * np.sqrt(sum(s**2 for s in slopes).mean(axis=0))
        paths = MCP_Geometric(cost, sampling=tuple(spacing))
        start = tuple(int(c) - b.start for c, b in zip(center, box, strict=True))
        distance, _ = paths.find_costs([start])
        np.maximum(result[box], _falling(distance, decay, reach_mm), out=result[box])
    return result


def _around(shape: tuple[int, ...], center: NDArray[np.floating], reach_vox: NDArray[np.floating]) -> tuple[slice, ...]:
    low = np.clip(np.floor(center - reach_vox), 0, shape).astype(int)
    high = np.clip(np.ceil(center + reach_vox) + 1, low, shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _falling(distance: NDArray[np.floating], decay: float, reach_mm: float) -> Array:
    left = np.clip(1 - np.minimum(distance, reach_mm) / reach_mm, 0, 1)
    falling: Array = (left**decay).astype(np.float32)
    return falling
