"""How well two masks agree, voxel by voxel: the Dice coefficient, which is the F1 of voxels (a segmentation's F1).

Voxels are counted, and counts of several cases added up before the ratio is taken: a case with much lesion weighs more
than one with little, and a case without any counts by what was drawn in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Overlap:
    """Voxels in both masks, in the drawn one only, and in the true one only. Overlaps of cases are added to pool them.

    Examples
    --------
    >>> (Overlap(3, 1, 2) + Overlap(0, 0, 0)).dice
    0.6666666666666666
    >>> Overlap(0, 0, 0).dice, Overlap(0, 4, 0).dice
    (1.0, 0.0)
    """

    both: int
    drawn_only: int
    true_only: int

    def __add__(self, other: Overlap) -> Overlap:
        """Count both cases."""
        return Overlap(self.both + other.both, self.drawn_only + other.drawn_only, self.true_only + other.true_only)

    @property
    def dice(self) -> float:
        """Twice the common voxels over the sum of both masks; 1 when both are empty."""
        total = 2 * self.both + self.drawn_only + self.true_only
        return 2 * self.both / total if total else 1.0


def overlap(drawn: ArrayLike, truth: ArrayLike) -> Overlap:
    """Count the voxels of two masks of the same shape; what is not 0 is inside.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    a, b = np.asarray(drawn) != 0, np.asarray(truth) != 0
    if a.shape != b.shape:
        raise ValueError(f"masks of shape {a.shape} and {b.shape}; expected the same.")
    both = int(np.count_nonzero(a & b))
    return Overlap(both, int(np.count_nonzero(a)) - both, int(np.count_nonzero(b)) - both)


def overlap_by_threshold(
    values: NDArray[np.floating], truth: NDArray[np.bool_], thresholds: Sequence[float]
) -> tuple[Overlap, ...]:
    """Return the overlap of `values >= t` with the truth for each threshold t (ascending), in one pass over the voxels.

    Parameters
    ----------
    values : (I, J, K) float
        What a network drew.
    truth : (I, J, K) bool
        The true mask.
    thresholds : sequence of float
        Ascending.
    """
    passed = np.searchsorted(np.asarray(thresholds, dtype=values.dtype), values.ravel(), side="right")
    n = len(thresholds)
    inside = np.bincount(passed[truth.ravel()], minlength=n + 1)
    drawn = np.bincount(passed, minlength=n + 1)[::-1].cumsum()[::-1][1:]
    both = inside[::-1].cumsum()[::-1][1:]
    true = int(inside.sum())
    return tuple(Overlap(int(b), int(d - b), int(true - b)) for b, d in zip(both, drawn, strict=True))


def best_dice(cases: Sequence[Sequence[Overlap]], thresholds: Sequence[float]) -> tuple[float, float]:
    """Return the threshold with the highest Dice over all cases, the lowest of equals, and that Dice.

    Parameters
    ----------
    cases : sequence of sequences of Overlap
        Per case, one overlap per threshold; at least one case.
    thresholds : sequence of float
        As given to `overlap_by_threshold`.
    """
    pooled = [sum(column, Overlap(0, 0, 0)) for column in zip(*cases, strict=True)]
    best = max(range(len(thresholds)), key=lambda i: pooled[i].dice)
    return thresholds[best], pooled[best].dice
