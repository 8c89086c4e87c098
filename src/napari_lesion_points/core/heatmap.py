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
    for center in np.asarray(centers_vox, dtype=float).reshape(-1, 3):
        add_gaussian(heatmap, center, sigma, 1.0)
    return heatmap


def add_gaussian(heatmap: NDArray[np.float32], center_vox: Array, sigma_vox: Array, mass: float) -> tuple[slice, ...]:
    """Add `mass` times a Gaussian to `heatmap` in place; return the slices that changed (empty ones if none)."""
    reach = REACH_SIGMAS * sigma_vox
    shape = np.array(heatmap.shape)
    start = np.clip(np.floor(center_vox - reach), 0, shape).astype(int)
    stop = np.clip(np.ceil(center_vox + reach) + 1, 0, shape).astype(int)
    where = tuple(slice(int(a), max(int(a), int(b))) for a, b in zip(start, stop, strict=True))
    x, y, z = (
        gaussian_1d(np.arange(s.start, s.stop), c, w) for s, c, w in zip(where, center_vox, sigma_vox, strict=True)
    )
    heatmap[where] += (mass * x[:, None, None] * y[:, None] * z).astype(np.float32)
    return where


def gaussian_1d(at: NDArray[np.int_], center: float, sigma: float) -> Array:
    """Unit-mass normal density at voxel centres `at` (n,), along one axis."""
    density: Array = np.exp(-0.5 * ((at - center) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    return density
