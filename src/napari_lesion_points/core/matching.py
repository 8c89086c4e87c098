"""One-to-one matching of predicted points to true ones.

Distances are in mm. A pair farther apart than the tolerance is impossible and is kept out of the assignment, so that it
cannot take the place of a pair that is possible. Among the assignments with the most pairs, the one with the smallest
total distance is chosen. `assign_then_discard` is the paper's way, for comparison with its figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


#: Points this near are of one lesion: a click is 1 or 2 mm off, and so is a fit. Lesions that a reader tells apart are
#: farther from one another.
SAME_LESION_MM = 3.0

#: Points farther apart than this are not matched, unless one says otherwise.
TOLERANCE_MM = 6.0


@dataclass(frozen=True, eq=False)
class Matching:
    """Matches, and what is left over.

    Parameters
    ----------
    pairs : (P, 2) int
        Index of a predicted point and of its true point, by ascending predicted index.
    distances_mm : (P,) float
        Distance of each pair.
    unmatched_predicted, unmatched_truth : (F,) int
        Indices of the false positives and of the false negatives, ascending.
    """

    pairs: NDArray[np.int64]
    distances_mm: NDArray[np.float64]
    unmatched_predicted: NDArray[np.int64]
    unmatched_truth: NDArray[np.int64]


#: `match_points` or `assign_then_discard`.
Matcher = Callable[["ArrayLike", "ArrayLike", float], Matching]


def distances_mm(predicted: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Return the (N, M) distances between world points (N, 3) and (M, 3), either of which may be empty.

    Raises
    ------
    ValueError
        If a coordinate is not finite.
    """
    distances: NDArray[np.float64] = cdist(_points(predicted, "predicted"), _points(truth, "truth"))
    return distances


def match_points(predicted: ArrayLike, truth: ArrayLike, tolerance_mm: float) -> Matching:
    """Match predicted to true points, one to one.

    Parameters
    ----------
    predicted : (N, 3) float
        World mm.
    truth : (M, 3) float
        World mm.
    tolerance_mm : float
        Greatest distance of a pair, itself included.

    Returns
    -------
    Matching
        With no pairs when either side is empty.

    Raises
    ------
    ValueError
        If a coordinate or the tolerance is not finite, or the tolerance is negative.

    Examples
    --------
    The first prediction is nearest to the first truth, yet leaves it to the second, which has no other:

    >>> match_points([[0, 0, 1], [0, 0, -4]], [[0, 0, 0], [0, 0, 5]], tolerance_mm=4).pairs
    array([[0, 1],
           [1, 0]])
    """
    distances, possible = _within(predicted, truth, tolerance_mm)
    # One impossible pair costs more than all possible pairs together, so the cheapest assignment has the most of them.
    impossible = tolerance_mm * (min(distances.shape) + 1) + 1
    return _kept(np.where(possible, distances, impossible), distances, possible)


def assign_then_discard(predicted: ArrayLike, truth: ArrayLike, tolerance_mm: float) -> Matching:
    """Match as the paper does (4.1): assign all points at the least total distance, then discard the far pairs.

    A far pair can keep its members from partners within tolerance, so this finds at most as many pairs as
    `match_points`, whose parameters, result and errors it has. Each discarded pair leaves a false positive and a false
    negative.

    Examples
    --------
    The least total distance pairs each with the point 5.5 mm away, which is too far; 4.5 mm would not have been:

    >>> predicted, truth = [[0, 0, 0], [10, 0, 0]], [[5.5, 0, 0], [15.5, 0, 0]]
    >>> len(assign_then_discard(predicted, truth, 5).pairs), len(match_points(predicted, truth, 5).pairs)
    (0, 1)
    """
    distances, possible = _within(predicted, truth, tolerance_mm)
    return _kept(distances, distances, possible)


def _within(
    predicted: ArrayLike, truth: ArrayLike, tolerance_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the (N, M) distances, and which of them are within the tolerance."""
    if not 0 <= tolerance_mm < np.inf:
        raise ValueError(f"tolerance_mm is {tolerance_mm}; expected a finite distance of at least 0 mm.")
    distances = distances_mm(predicted, truth)
    return distances, distances <= tolerance_mm


def _kept(costs: NDArray[np.float64], distances: NDArray[np.float64], possible: NDArray[np.bool_]) -> Matching:
    """Return the possible pairs of the cheapest assignment."""
    rows, columns = linear_sum_assignment(costs)
    kept = possible[rows, columns]
    rows, columns = rows[kept].astype(np.int64), columns[kept].astype(np.int64)
    return Matching(
        np.stack([rows, columns], axis=1),
        distances[rows, columns],
        np.setdiff1d(np.arange(distances.shape[0]), rows),
        np.setdiff1d(np.arange(distances.shape[1]), columns),
    )


def _points(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """(N, 3) finite floats; no points in any shape give (0, 3)."""
    points = np.asarray(values, dtype=float)
    if points.size == 0:
        return np.empty((0, 3))
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"{name} has shape {points.shape}; expected (N, 3).")
    broken = ~np.isfinite(points).all(axis=1)
    if broken.any():
        raise ValueError(f"{name} holds a point that is not finite: {points[broken][0]}.")
    return points
