"""The paper's detection, written down literally: what `core.fitting` must agree with, and what it is timed against."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import multivariate_normal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def one_after_the_other(
    heatmap: NDArray[np.float32], sigma: Array, *, whole_grid: bool, min_existence: float = 0.1, most: int = 100
) -> tuple[Array, Array]:
    """Return centres (N, 3) and masses (N,) by global maximum, curve_fit in a window, and subtraction, in turn.

    Parameters
    ----------
    heatmap : (I, J, K) float32
        Mass per voxel.
    sigma : (3,) float
        In voxels.
    whole_grid : bool
        For each lesion, list the coordinates of all voxels, one after the other, and evaluate a density at all of them,
        as the published code does. Otherwise each Gaussian is a product of three 1D functions.
    min_existence : float
        The search ends with the first fit whose mass is lower.
    most : int
        At most so many peaks are examined.
    """
    rest = heatmap.astype(float)
    radius = np.ceil(3 * sigma).astype(int)
    centers, masses = [], []
    for _ in range(most):
        peak = np.unravel_index(rest.argmax(), rest.shape)
        box = tuple(slice(max(p - r, 0), min(p + r + 1, n)) for p, r, n in zip(peak, radius, rest.shape, strict=True))
        at = np.stack([axis.ravel() for axis in np.mgrid[box]])
        values = rest[box].ravel()

        def gaussian(at: Array, x: float, y: float, z: float, mass: float) -> Array:
            away = (at - np.array([[x], [y], [z]])) / sigma[:, None]
            density: Array = mass * np.exp(-0.5 * (away**2).sum(axis=0)) / np.prod(np.sqrt(2 * np.pi) * sigma)
            return density

        try:
            fitted, _ = curve_fit(gaussian, at, values, p0=[*peak, values.sum()])
            failed = bool((np.abs(fitted[:3] - peak) > radius).any())
        except RuntimeError:  # it did not converge
            failed = True
        if failed:  # of this the paper says nothing; ours keeps such a peak if its window's sum is no less
            rest[box] = np.minimum(rest[box], 0)
            fitted = np.array([*peak, values.sum()])
            if fitted[3] < min_existence:
                continue
        elif fitted[3] < min_existence:
            break
        elif whole_grid:
            voxels = np.empty((rest.size, 3))
            for row, voxel in enumerate(itertools.product(*map(range, rest.shape))):
                voxels[row] = voxel
            rest -= fitted[3] * multivariate_normal.pdf(voxels, fitted[:3], np.diag(sigma**2)).reshape(rest.shape)
        else:
            x, y, z = (
                np.exp(-0.5 * ((np.arange(n) - c) / s) ** 2) / (np.sqrt(2 * np.pi) * s)
                for n, c, s in zip(rest.shape, fitted[:3], sigma, strict=True)
            )
            rest -= fitted[3] * x[:, None, None] * y[:, None] * z
        centers.append(fitted[:3])
        masses.append(fitted[3])
    return np.array(centers).reshape(-1, 3), np.array(masses)
