"""Lesion candidates from a heatmap by fitting Gaussians one after the other (paper 3.2, Fig. 1).

Coordinates are voxels, array axis order. A candidate's mass is the fitted integral (unbounded); its existence
probability is the mass clipped to [0, 1]. sigma is known and fixed: it is the one the network was trained with.

1. Locate the global maximum of what is left of the heatmap.
2. Fit mass * N(centre, sigma) by least squares in a window of three sigma around it (7 x 7 x 7 for sigma = 1),
   starting from the maximum and the window's sum.
3. Subtract the fitted Gaussian.
4. Repeat until a fitted mass falls under `min_existence` or `max_candidates` peaks were examined.

The fit is Levenberg-Marquardt on four numbers. Because a Gaussian with fixed axes is a product of three 1D functions,
every inner product of the normal equations is a product of 1D sums, and the data enter through one contraction per
axis. The global maximum is kept per block of voxels; subtracting a Gaussian renews only the blocks it touches. So the
cost is one pass over the volume plus a small window per candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.heatmap import add_gaussian, gaussian_1d
from napari_lesion_points.core.metrics import binary_entropy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

WINDOW_SIGMAS = 3.0  # window half-width; gives the paper's 7 voxels for sigma = 1
_BLOCK = 16  # edge of the blocks whose maxima are kept; 8 to 32 cost about the same
_MAX_ITERATIONS = 50  # half of the fits take 6 or less, 99 % of those amid crowded neighbours 37 or less
_STEP_TOLERANCE = 1e-5  # voxels, and relative mass


class FitFlag(IntFlag):
    """What to know about a fit; 0 means nothing unusual."""

    OK = 0
    BORDER = 1  # the window was cut by the border of the volume
    NOT_FINITE = 2  # the window held NaN or infinite voxels, which counted as 0
    FAILED = 4  # no converged fit near the peak: centre is the peak voxel, mass the window's sum


@dataclass(frozen=True, eq=False)
class Candidates:
    """Fitted lesions in order of detection.

    Parameters
    ----------
    centers_vox : (K, 3) float
        Voxel coordinates.
    mass : (K,) float
        Fitted integral; can exceed 1.
    window_sum : (K,) float
        The "unfitted" mass: sum of the heatmap in the window, before the fit.
    flags : (K,) int
        `FitFlag` values.
    """

    centers_vox: Array
    mass: Array
    window_sum: Array
    flags: NDArray[np.int_]

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.mass)

    @property
    def existence(self) -> Array:
        """(K,) existence probability: the mass, clipped to [0, 1]."""
        return np.clip(self.mass, 0.0, 1.0)

    @property
    def entropy(self) -> Array:
        """(K,) binary entropy of the existence probability, in bits."""
        return binary_entropy(self.existence)


def fit_gaussians(
    heatmap: ArrayLike,
    sigma_vox: ArrayLike,
    *,
    min_existence: float = 0.1,
    max_candidates: int = 100,
) -> Candidates:
    """Find lesion candidates in a heatmap (paper 3.2).

    Parameters
    ----------
    heatmap : (I, J, K) array
        Predicted heatmap, mass per voxel. Voxels that are not finite count as 0.
    sigma_vox : float or (3,) float
        Standard deviation of the Gaussians in voxels, per axis; positive.
    min_existence : float
        The search ends with the first fit whose mass is lower.
    max_candidates : int
        At most so many peaks are examined.

    Returns
    -------
    Candidates
        In order of detection, none with a mass under `min_existence`. Empty for a heatmap that is empty, constant or
        nowhere finite. A peak whose fit fails is flagged, kept with its window's sum as mass when that reaches
        `min_existence`, and its window is excluded from further search: no peak is tried twice.

    Raises
    ------
    ValueError
        If the heatmap is not 3D, sigma is not positive and finite, or another number is negative.

    Examples
    --------
    >>> from napari_lesion_points.core.heatmap import draw_gaussians
    >>> found = fit_gaussians(0.8 * draw_gaussians((20, 20, 20), [[9.3, 10.0, 7.6]], 1.0), 1.0)
    >>> found.centers_vox.round(3), found.mass.round(3)
    (array([[ 9.3, 10. ,  7.6]]), array([0.8]))
    """
    volume = np.asarray(heatmap)
    if volume.ndim != 3:
        raise ValueError(f"heatmap has shape {volume.shape}; expected three axes.")
    sigma = np.broadcast_to(np.asarray(sigma_vox, dtype=float), 3)
    if not (np.isfinite(sigma).all() and (sigma > 0).all()):
        raise ValueError(f"sigma_vox is {sigma_vox}; expected positive numbers.")
    if not 0 <= min_existence < np.inf:
        raise ValueError(f"min_existence is {min_existence}; expected 0 or more.")
    if max_candidates < 0:
        raise ValueError(f"max_candidates is {max_candidates}; expected 0 or more.")
    radius = np.ceil(WINDOW_SIGMAS * sigma - 1e-9).astype(int)

    rest = _Residual(volume)
    found: list[_Fit] = []
    for _ in range(max_candidates):
        peak, height = rest.maximum()
        if not height > rest.floor:
            break
        fit = _fit_peak(rest, peak, sigma, radius)
        if fit.flags & FitFlag.FAILED:
            rest.exclude(peak, radius)
            if fit.mass < min_existence:
                continue
        elif fit.mass < min_existence:
            break
        else:
            rest.subtract(fit.center, sigma, fit.mass)
        found.append(fit)
    return Candidates(
        np.array([f.center for f in found], dtype=float).reshape(-1, 3),
        np.array([f.mass for f in found], dtype=float),
        np.array([f.window_sum for f in found], dtype=float),
        np.array([f.flags for f in found], dtype=int),
    )


@dataclass(frozen=True, eq=False)
class _Fit:
    center: Array
    mass: float
    window_sum: float
    flags: int


class _Residual:
    """A heatmap from which Gaussians are taken away, with the maximum of each block of voxels kept up to date."""

    def __init__(self, volume: NDArray[np.generic]) -> None:
        self.shape = volume.shape
        blocks = tuple(-(-n // _BLOCK) for n in self.shape)
        self._padded = np.full([b * _BLOCK for b in blocks], -np.inf, np.float32)
        self.values = self._padded[tuple(slice(n) for n in self.shape)]
        self.values[...] = volume
        finite = np.isfinite(self.values)
        self.not_finite = None if finite.all() else ~finite
        if self.not_finite is not None:
            self.values[self.not_finite] = 0
        #: Nothing at or under this value is a peak: a constant heatmap has none, nor has a negative one.
        self.floor = max(float(self.values.min()), 0.0) if self.values.size else np.inf
        self._block_max = np.full(blocks, -np.inf, np.float32)
        self._renew(tuple(slice(0, n) for n in self.shape))

    def maximum(self) -> tuple[NDArray[np.int_], float]:
        """Voxel and value of the global maximum; -inf for an empty volume."""
        if not self._block_max.size:
            return np.zeros(3, int), -np.inf
        block = np.array(np.unravel_index(self._block_max.argmax(), self._block_max.shape)) * _BLOCK
        inside = self._padded[tuple(slice(b, b + _BLOCK) for b in block)]
        peak = block + np.unravel_index(inside.argmax(), inside.shape)
        return peak, float(self._padded[tuple(peak)])

    def subtract(self, center: Array, sigma: Array, mass: float) -> None:
        self._renew(add_gaussian(self.values, center, sigma, -mass))

    def exclude(self, peak: NDArray[np.int_], radius: NDArray[np.int_]) -> None:
        where = self.window(peak, radius)
        self.values[where] = np.minimum(self.values[where], self.floor)
        self._renew(where)

    def window(self, peak: NDArray[np.int_], radius: NDArray[np.int_]) -> tuple[slice, ...]:
        return tuple(
            slice(max(int(p - r), 0), min(int(p + r) + 1, n)) for p, r, n in zip(peak, radius, self.shape, strict=True)
        )

    def _renew(self, where: tuple[slice, ...]) -> None:
        if any(s.stop <= s.start for s in where):
            return
        blocks = tuple(slice(s.start // _BLOCK, -(-s.stop // _BLOCK)) for s in where)
        voxels = self._padded[tuple(slice(b.start * _BLOCK, b.stop * _BLOCK) for b in blocks)]
        i, j, k = (b.stop - b.start for b in blocks)
        self._block_max[blocks] = voxels.reshape(i, _BLOCK, j, _BLOCK, k, _BLOCK).max(axis=(1, 3, 5))


def _fit_peak(rest: _Residual, peak: NDArray[np.int_], sigma: Array, radius: NDArray[np.int_]) -> _Fit:
    where = rest.window(peak, radius)
    data = rest.values[where].astype(float)
    window_sum = float(data.sum())
    flags = FitFlag.OK
    if data.shape != tuple(2 * radius + 1):
        flags |= FitFlag.BORDER
    if rest.not_finite is not None and rest.not_finite[where].any():
        flags |= FitFlag.NOT_FINITE
    fitted = _least_squares([np.arange(s.start, s.stop) for s in where], data, peak.astype(float), window_sum, sigma)
    if fitted is None or (np.abs(fitted[0] - peak) > radius).any() or np.ptp(data) == 0:
        return _Fit(peak.astype(float), window_sum, window_sum, flags | FitFlag.FAILED)
    return _Fit(fitted[0], fitted[1], window_sum, flags)


def _least_squares(
    at: list[NDArray[np.int_]], data: Array, center: Array, mass: float, sigma: Array
) -> tuple[Array, float] | None:
    """Minimise |data - mass * N(center, sigma)|^2 over centre and mass.

    None when it does not converge to a finite peak. `at` are the window's voxel indices along each axis; along an axis
    of a single voxel the centre cannot be known, and stays.
    """
    free = np.flatnonzero([*(a.size > 1 for a in at), True])
    damping, raise_by = 1e-3, 2.0
    state = _normal_equations(at, data, center, mass, sigma)
    for _ in range(_MAX_ITERATIONS):
        cost, gradient, normal = state
        diagonal = np.diag(normal)
        if not np.isfinite(cost) or not (diagonal[free] > 0).all():
            return None  # the Gaussian has left the window, or the mass vanished
        step = np.zeros(4)
        step[free] = np.linalg.solve((normal + np.diag(damping * diagonal))[np.ix_(free, free)], gradient[free])
        new_center, new_mass = center + step[:3], mass + step[3]
        new_state = _normal_equations(at, data, new_center, new_mass, sigma)
        if new_state[0] <= cost:
            # A neighbour in the window makes undamped steps too long, again and again. So the damping follows how
            # much of the promised descent came true (Nielsen 1999): after a good step it falls to a third, after a
            # poor one it rises.
            promised = float(step @ (damping * diagonal * step + gradient))
            kept = (cost - new_state[0]) / promised if promised > 0 else 1.0
            damping, raise_by = damping * max(1 / 3, 1 - (2 * kept - 1) ** 3), 2.0
            center, mass, state = new_center, new_mass, new_state
            if np.abs(step[:3]).max() < _STEP_TOLERANCE and abs(step[3]) < _STEP_TOLERANCE * abs(mass):
                return center, float(mass)
        elif damping > 1e8:
            return center, float(mass)  # no descent in any direction: a minimum to machine precision
        else:
            damping, raise_by = damping * raise_by, 2 * raise_by
    return None


def _normal_equations(
    at: list[NDArray[np.int_]], data: Array, center: Array, mass: float, sigma: Array
) -> tuple[float, Array, Array]:
    """Cost (up to the constant |data|^2), negative gradient (4,) and Gauss-Newton matrix (4, 4), centre first."""
    with np.errstate(all="ignore"):  # far from the window everything is 0 / 0, which the caller sees
        e = [gaussian_1d(a, c, s) for a, c, s in zip(at, center, sigma, strict=True)]
        d = [f * (a - c) / s**2 for f, a, c, s in zip(e, at, center, sigma, strict=True)]  # derivative by the centre
        ee = np.array([f @ f for f in e])
        ed = np.array([f @ g for f, g in zip(e, d, strict=True)])
        dd = np.array([g @ g for g in d])
        plane, plane_d = data @ e[2], data @ d[2]
        line = plane @ e[1]
        overlap = e[0] @ line
        overlap_d = np.array([d[0] @ line, e[0] @ (plane @ d[1]), e[0] @ (plane_d @ e[1])])

        norm = ee.prod()
        ratio = ed / ee
        normal = np.empty((4, 4))
        normal[:3, :3] = mass**2 * norm * np.outer(ratio, ratio)
        np.fill_diagonal(normal[:3, :3], mass**2 * norm * dd / ee)
        normal[:3, 3] = normal[3, :3] = mass * norm * ratio
        normal[3, 3] = norm
        gradient = np.append(mass * overlap_d - mass**2 * norm * ratio, overlap - mass * norm)
        return float(mass**2 * norm - 2 * mass * overlap), gradient, normal
