"""Touching candidates, fitted again together.

One after the other, each Gaussian takes what belongs to its neighbour: of two lesions two sigma apart the first fit
gets a mass of 1.6 and lies between them, and a third appears. Here the members of a group enter in the order of their
height in what is left, and with each all are fitted again. Coordinates are voxels, array axis order.

1. Candidates are one group if they are linked by distances under `_TOUCHING`.
2. Start with the box around the group, without the other candidates.
3. The highest voxel of what is left of it joins the group; all members are fitted together.
4. Repeat, until the newcomer makes a member too small or comes too near to one; it is sent away.
5. Keep this only if it explains the box. A network's doubt is a wide blob, which is no sum of Gaussians: parted among
   several, a certain lesion would become some uncertain ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import pdist

from napari_lesion_points.core.heatmap import add_gaussians, peak_height
from napari_lesion_points.core.least_squares import Boxes, least_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_TOUCHING = 6.0  # sigma; farther apart, neighbours change each other's mass by less than 1 %
_TOO_NEAR = 1.75  # sigma; two Gaussians nearer than 2 have a single peak, and so has a wide blob
_EXPLAINED = 0.99  # of the sum of squares; groups in a trained network's predictions reach 0.96 in the median
_MOST = 8  # members; a larger group is no pair or triple of lesions, and its box is most of the brain


def refit_touching(
    heatmap: NDArray[np.float32], centers: Array, mass: Array, sigma: Array, *, min_mass: float, background: bool
) -> tuple[Array, Array, NDArray[np.int_]]:
    """Fit groups of touching candidates again.

    A group may come out with fewer candidates, or with one more: where two lesions make one peak, a fit to both can
    leave less of each than the search would find.

    Parameters
    ----------
    heatmap : (I, J, K) float32
        Finite.
    centers : (N, 3) float
    mass : (N,) float
    sigma : (3,) float
        In voxels.
    min_mass : float
        No member of a group has less.
    background : bool
        Whether a constant is fitted to each box, too.

    Returns
    -------
    centers : (M, 3) float
    mass : (M,) float
    source : (M,) int
        The candidate in whose place each is; they stay in order.
    """
    parts = [(centers[:0], mass[:0], np.empty(0, dtype=int))]
    for group in _groups(centers / sigma):
        low = np.maximum(np.floor(centers[group].min(axis=0) - 3 * sigma), 0).astype(int)
        high = np.minimum(np.ceil(centers[group].max(axis=0) + 3 * sigma) + 1, heatmap.shape).astype(int)
        data = heatmap[tuple(map(slice, low, np.maximum(low, high)))].copy()
        others = np.delete(np.arange(len(mass)), group)
        add_gaussians(data, centers[others] - low, sigma, -mass[others])
        together = (
            _fit_together(data, len(group) + 1, sigma, min_mass, background)
            if data.size and len(group) <= _MOST
            else None
        )
        if together is None:
            parts.append((centers[group], mass[group], group))
        else:
            parts.append((together[0] + low, together[1], np.resize(group, len(together[1]))))
    found = [np.concatenate(part) for part in zip(*parts, strict=True)]
    order = np.argsort(found[2], kind="stable")
    return found[0][order], found[1][order], found[2][order]


def _groups(points: Array) -> list[NDArray[np.int_]]:
    """Return groups of points linked by short distances, as ascending indices."""
    linked = np.linalg.norm(points[:, None] - points, axis=2) < _TOUCHING
    while (wider := linked @ linked).sum() > linked.sum():
        linked = wider
    return [np.flatnonzero(row) for row in np.unique(linked, axis=0)]


def _fit_together(
    data: NDArray[np.float32], most: int, sigma: Array, min_mass: float, background: bool
) -> tuple[Array, Array] | None:
    """Return centres (K, 3) and masses (K,) of at most so many Gaussians in a box; None if they do not explain it."""
    scale = float(data.max())
    if scale <= 0:
        return None
    data, min_mass = data / np.float32(scale), min_mass / scale
    at, shape = np.arange(max(data.shape)), np.array(data.shape)
    boxes = Boxes(data[None].astype(float), np.broadcast_to(at, (1, 3, at.size)), (at < shape[:, None])[None])
    least = (1 - _EXPLAINED) * float((boxes.data**2).sum())
    centers, mass, left, best = np.empty((0, 3)), np.empty(0), data, None
    for _ in range(most):
        peak = np.array(np.unravel_index(left.argmax(), left.shape))
        start = max(float(left[tuple(peak)]) / peak_height(sigma), min_mass)  # a window's sum would hold neighbours
        fitted, masses, cost, converged = least_squares(
            boxes, np.vstack([centers, peak])[None], np.append(mass, start)[None], sigma, background=background
        )
        centers, mass = fitted[0], masses[0]
        near = (pdist(centers / sigma) < _TOO_NEAR).any()
        if near or (mass < min_mass).any() or (centers < -0.5).any() or (centers > shape - 0.5).any():
            break
        if converged[0] and cost[0] <= least:
            best = centers, mass * scale
        left = data.copy()
        add_gaussians(left, centers, sigma, -mass)
    return best
