"""How many lesions a case has, from the existence probabilities of its candidates (paper's reference 17).

If candidates exist independently of one another, the number of those that do is Poisson-binomial. Candidates know
nothing of a lesion that none of them stands for: it is counted by nobody, so on cases with such lesions the true number
lies above the interval more often than the interval's confidence says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class LesionCount:
    """Expected number of lesions, and the shortest central interval that holds the true one so often as asked."""

    expected: float
    low: int
    high: int


def count_distribution(existence: ArrayLike) -> NDArray[np.float64]:
    """Return the probability of each number of lesions, from 0 to that of the candidates: (N + 1,) float.

    Exact, by adding one candidate after the other.

    Parameters
    ----------
    existence : (N,) float
        In [0, 1].

    Examples
    --------
    >>> count_distribution([0.5, 0.5]).tolist()
    [0.25, 0.5, 0.25]
    """
    probabilities = np.asarray(existence, dtype=float).ravel()
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(f"existence is {probabilities}; expected probabilities in [0, 1].")
    distribution = np.zeros(len(probabilities) + 1)
    distribution[0] = 1.0
    for n, p in enumerate(probabilities, start=1):
        distribution[1 : n + 1] = (1 - p) * distribution[1 : n + 1] + p * distribution[:n]
        distribution[0] *= 1 - p
    return distribution


def lesion_count(existence: ArrayLike, confidence: float = 0.9) -> LesionCount:
    """Return the expected number of lesions and an interval that holds it with at least this probability.

    At most (1 - confidence) / 2 lies on either side of the interval.

    Examples
    --------
    >>> lesion_count([0.99, 0.9, 0.5, 0.1])
    LesionCount(expected=2.49, low=2, high=3)
    """
    distribution = count_distribution(existence)
    cumulative, tail = np.cumsum(distribution), (1 - confidence) / 2
    low = int(np.searchsorted(cumulative, tail, side="right"))
    high = int(np.searchsorted(cumulative, 1 - tail, side="left"))
    expected = float(np.round(np.asarray(existence, dtype=float).sum(), 12))
    return LesionCount(expected, min(low, high), min(high, len(distribution) - 1))


def count_coverage(existence: Sequence[ArrayLike], counts: Sequence[int], confidence: float = 0.9) -> float:
    """Return the share of cases whose interval holds the true number; NaN without cases.

    Numbers are whole, so the intervals hold at least what was asked: even perfect probabilities give a share above
    `confidence`, the more so the fewer uncertain candidates a case has.

    Parameters
    ----------
    existence : sequence of (N,) float
        Of the candidates of each case.
    counts : sequence of int
        True number of each case. With the candidates that are lesions, the share tells whether existence is
        calibrated; with all lesions, those without a candidate included, it is what a user meets.
    confidence : float
        Of the intervals; see `lesion_count`.

    Examples
    --------
    >>> count_coverage([[0.99, 0.9, 0.5, 0.1], [0.99]], [2, 0])
    0.5
    """
    intervals = [lesion_count(e, confidence) for e in existence]
    held = [i.low <= n <= i.high for i, n in zip(intervals, counts, strict=True)]
    return float(np.mean(held)) if held else float("nan")
