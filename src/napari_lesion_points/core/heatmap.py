"""Target heatmaps: one unit-mass Gaussian per lesion point, whatever the lesion's size (paper 3.1).

Masses are per voxel: summing a heatmap over all voxels gives the number of lesions, on any grid. Gaussians are
evaluated at voxel centres along each axis and multiplied, which is what the fit in `core.fitting` assumes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

#: Smallest standard deviation along an axis, in voxels. A narrower Gaussian falls between the voxels of a thick-slice
#: grid: at 0.5 the sampled mass errs by at most 1.5 % wherever the centre lies, at 0.35 by 18 %.
MIN_SIGMA_VOX = 0.5

#: Gaussians are drawn and subtracted within this many standard deviations; beyond lies less than 1e-6 of the mass.
REACH_SIGMAS = 5.0


def sigma_in_voxels(sigma_mm: float, spacing: ArrayLike) -> Array:
    """Return the standard deviation per array axis (3,), in voxels, at least `MIN_SIGMA_VOX`.

    Parameters
    ----------
    sigma_mm : float
        Standard deviation in mm.
    spacing : (3,) float
        mm per voxel in array axis order.

    Examples
    --------
    >>> sigma_in_voxels(2.0, [1.0, 1.0, 5.0])
    array([2. , 2. , 0.5])
    """
    sigma: Array = np.maximum(sigma_mm / np.asarray(spacing, dtype=float), MIN_SIGMA_VOX)
    return sigma


def peak_height(sigma_vox: ArrayLike) -> float:
    """Return the value of a unit-mass Gaussian at its centre, per voxel.

    Examples
    --------
    >>> round(peak_height([1.0, 1.0, 1.0]), 4)
    0.0635
    """
    return float(1 / np.prod(np.sqrt(2 * np.pi) * np.broadcast_to(np.asarray(sigma_vox, dtype=float), 3)))


def draw_gaussians(shape: tuple[int, int, int], centers_vox: ArrayLike, sigma_vox: ArrayLike) -> NDArray[np.float32]:
    """Sum of unit-mass Gaussians on a grid: the target heatmap H of the paper.

    Parameters
    ----------
    shape : (3,) int
        Shape of the heatmap.
    centers_vox : (N, 3) float
        Voxel coordinates; centres outside the grid contribute the part that reaches into it. (0, 3) gives zeros.
    sigma_vox : float or (3,) float
        Standard deviation in voxels.

    Returns
    -------
    (I, J, K) float32
        Sums to N when every centre lies at least `REACH_SIGMAS` inside the border.
    """
    heatmap = np.zeros(shape, np.float32)
    sigma = np.broadcast_to(np.asarray(sigma_vox, dtype=float), 3)
    centers = np.asarray(centers_vox, dtype=float).reshape(-1, 3)
    add_gaussians(heatmap, centers, sigma, np.ones(len(centers)))
    return heatmap


def add_gaussians(
    heatmap: NDArray[np.float32], centers_vox: Array, sigma_vox: Array, mass: Array
) -> list[tuple[slice, ...]]:
    """Add (N,) masses times Gaussians at (N, 3) centres in place; return the boxes that changed (some may be empty)."""
    reach = REACH_SIGMAS * sigma_vox
    start = np.clip(np.floor(centers_vox - reach), 0, heatmap.shape).astype(int)
    stop = np.clip(np.ceil(centers_vox + reach) + 1, start, heatmap.shape).astype(int)
    at = start[..., None] + np.arange((stop - start).max(initial=0))
    density = gaussian_1d(at, centers_vox[..., None], sigma_vox[:, None])
    density[:, 0] *= mass[:, None]
    boxes = [tuple(map(slice, a, b)) for a, b in zip(start.tolist(), stop.tolist(), strict=True)]
    for (x, y, z), (i, j, k), box in zip(density.astype(np.float32), (stop - start).tolist(), boxes, strict=True):
        heatmap[box] += (x[:i, None] * y[:j])[..., None] * z[:k]
    return boxes


def gaussian_1d(at: NDArray[np.int_], center: Array | float, sigma: Array | float) -> Array:
    """Unit-mass normal density at voxel centres `at` (..., n), along one axis each."""
    away = (at - center) / sigma
    density: Array = np.exp(-0.5 * away * away) / (np.sqrt(2 * np.pi) * sigma)
    return density
