"""Lesion candidates from a heatmap by fitting Gaussians one after the other (paper 3.2, Fig. 1).

Coordinates are voxels, array axis order. A candidate's mass is the fitted integral (unbounded); its existence
probability is the mass clipped to [0, 1]. sigma is known and fixed: it is the one the network was trained with.

1. Locate the global maximum of what is left of the heatmap.
2. Fit mass * N(centre, sigma) by least squares in a window of three sigma around it (7 x 7 x 7 for sigma = 1),
   starting from the maximum and the window's sum. A window cut by the border holds fewer voxels and the same Gaussian.
3. Subtract the fitted Gaussian.
4. Repeat until a fitted mass falls under `min_existence` or `max_candidates` peaks were examined.

What is done to one peak changes no window but those near. So all peaks that nothing higher is near are taken at once
(`residual`), fitted at once (`least_squares`), and put in order afterwards. As subtracting only lowers, that is the
order of their heights: the result is that of the steps one after the other, at the cost of a few passes over the
volume and a small window per candidate.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from napari_lesion_points.core.heatmap import REACH_SIGMAS, peak_height
from napari_lesion_points.core.joint_fit import refit_touching
from napari_lesion_points.core.least_squares import Boxes, least_squares
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.residual import Residual

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int_]

WINDOW_SIGMAS = 3.0  # window half-width; gives the paper's 7 voxels for sigma = 1
_LEAST_EXPLAINED = 0.01  # of a peak's height; taking away less than that would find the same peak again and again
_AT_ONCE = 128  # peaks
_AT_ONCE_VOXELS = 1_000_000  # in their windows, which bounds the memory for a large sigma


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
        The paper's "unfitted" mass: sum of the window at that moment, before the fit and without the Gaussians that
        were fitted to higher peaks and subtracted. A window cut by the border has fewer voxels.
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
    def unfitted_existence(self) -> Array:
        """(K,) existence probability without fitting, for comparison: the window's sum, clipped to [0, 1]."""
        return np.clip(self.window_sum, 0.0, 1.0)

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
    joint: bool = False,
    background: bool = False,
) -> Candidates:
    """Find lesion candidates in a heatmap (paper 3.2).

    Parameters
    ----------
    heatmap : (I, J, K) array
        Predicted heatmap, mass per voxel. Voxels that are not finite, or too large for float32, count as 0.
    sigma_vox : float or (3,) float
        Standard deviation of the Gaussians in voxels, per axis; positive.
    min_existence : float
        The search ends with the first fit whose mass is lower.
    max_candidates : int
        At most so many peaks are examined.
    joint : bool
        Fit touching candidates again, together (`joint_fit`). It gives lesions 2 to 4 sigma apart their masses; on a
        trained network's predictions, where hardly any touch, it changes nothing for the better.
    background : bool
        Fit a constant in each window, too. A floor under the heatmap would otherwise add to the masses.

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

    found = _one_by_one(Residual(volume), sigma, min_existence, max_candidates, background)
    if joint:
        centers, mass, source = refit_touching(
            Residual(volume).values, found.centers, found.mass, sigma, min_mass=min_existence, background=background
        )
        found = found[source]
        flags = np.where(mass == found.mass, found.flags, found.flags & ~int(FitFlag.FAILED))
        found = replace(found, centers=centers, mass=mass, flags=flags)
    return Candidates(found.centers, found.mass, found.window_sum, found.flags)


@dataclass(frozen=True, eq=False)
class _Fits:
    """Fitted peaks."""

    peaks: Indices  # (N, 3) voxels
    heights: Array  # (N,)
    centers: Array  # (N, 3)
    mass: Array  # (N,)
    window_sum: Array  # (N,)
    flags: Indices  # (N,)

    @property
    def failed(self) -> NDArray[np.bool_]:
        return (self.flags & FitFlag.FAILED) > 0

    def __getitem__(self, which: NDArray[np.generic] | slice) -> _Fits:
        return _Fits(*(getattr(self, f.name)[which] for f in fields(self)))

    @classmethod
    def joined(cls, parts: list[_Fits]) -> _Fits:
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def _one_by_one(rest: Residual, sigma: Array, min_existence: float, max_candidates: int, background: bool) -> _Fits:
    """Fit peaks in the order of their heights, and take them away from `rest`; see the module's steps."""
    radius = np.ceil(np.minimum(WINDOW_SIGMAS * sigma, rest.shape) - 1e-9).astype(int)
    # A fitted centre lies in the window around its peak, and what is subtracted reaches further.
    reach = 2 * radius + REACH_SIGMAS * sigma + 1
    # A Gaussian of the least mass is as high as this in the voxel nearest to its centre: lower peaks can wait.
    visible = min_existence * peak_height(sigma) * float(np.exp(-0.5 * ((0.5 / sigma) ** 2).sum()))
    most = int(np.clip(_AT_ONCE_VOXELS // (2 * radius + 1).prod(), 1, _AT_ONCE))
    none, nothing = np.empty((0, 3), dtype=int), np.empty(0)
    parts = [_Fits(none, nothing, none.astype(float), nothing, nothing, none[:, 0])]
    examined, stop = nothing, rest.floor
    while max_candidates:
        peaks, heights = rest.peaks(stop, max(visible, stop), reach, most)
        if not len(peaks):
            break
        fits = _fit_peaks(rest, peaks, heights, sigma, radius, min_existence, background)
        too_small = ~fits.failed & (fits.mass < min_existence)
        taken = ~fits.failed & ~too_small
        rest.subtract(fits.centers[taken], sigma, fits.mass[taken])
        rest.exclude(peaks[fits.failed], radius)
        parts.append(fits)
        # Nothing lower than the first mass that is too small is examined, nor than the last peak that counts.
        examined = np.sort(np.append(examined, heights))[-max_candidates:]
        last = examined[0] if len(examined) == max_candidates else -np.inf
        stop = max(stop, last, heights[too_small].max(initial=-np.inf))
    fits = _Fits.joined(parts)
    fits = fits[np.lexsort((*fits.peaks.T[::-1], -fits.heights))[:max_candidates]]
    ends = np.flatnonzero(~fits.failed & (fits.mass < min_existence))
    fits = fits[: ends[0]] if len(ends) else fits
    return fits[fits.mass >= min_existence]


def _fit_peaks(
    rest: Residual,
    peaks: Indices,
    heights: Array,
    sigma: Array,
    radius: Indices,
    min_existence: float,
    background: bool,
) -> _Fits:
    size = np.minimum(2 * radius + 1, rest.shape)
    start = np.clip(peaks - radius, 0, rest.shape - size)  # at the border, a window holds some voxels that do not count
    along = np.arange(size.max(initial=0))
    at = start[..., None] + along
    inside = (np.abs(at - peaks[..., None]) <= radius[:, None]) & (along < size[:, None])
    sides = inside.sum(axis=2)
    cut = sides < 2 * radius + 1
    flags = np.where(cut.any(axis=1), FitFlag.BORDER, FitFlag.OK)
    data = sliding_window_view(rest.values, size)[tuple(start.T)].astype(float)
    if cut.any() or rest.broken is not None:
        i, j, k = (inside[:, axis, :n] for axis, n in enumerate(size))
        counts = i[:, :, None, None] & j[:, None, :, None] & k[:, None, None]
        data *= counts
        if rest.broken is not None:
            broken = counts & sliding_window_view(rest.broken, size)[tuple(start.T)]
            flags |= np.where(broken.any(axis=(1, 2, 3)), FitFlag.NOT_FINITE, FitFlag.OK)
    window_sum = data.sum(axis=(1, 2, 3))
    centers, mass, _, converged = least_squares(  # of heights near 1
        Boxes(data / heights[:, None, None, None], at, inside),
        peaks[:, None].astype(float),
        (window_sum / heights)[:, None],
        sigma,
        background=background,
    )
    centers, mass = centers[:, 0], mass[:, 0] * heights
    constant = window_sum >= heights * sides.prod(axis=1) * (1 - 1e-12)  # to rounding; nothing in it is a peak
    explained = mass * peak_height(sigma) * np.exp(-0.5 * (((peaks - centers) / sigma) ** 2).sum(axis=1))
    endless = (mass >= min_existence) & (explained < _LEAST_EXPLAINED * heights)
    failed = ~converged | constant | endless | (np.abs(centers - peaks) > radius).any(axis=1)
    return _Fits(
        peaks,
        heights,
        np.where(failed[:, None], peaks, centers),
        np.where(failed, window_sum, mass),
        window_sum,
        (flags | np.where(failed, FitFlag.FAILED, FitFlag.OK)).astype(int),
    )
