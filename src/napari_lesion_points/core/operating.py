"""The operating threshold for a wished sensitivity or precision, where only some candidates have been judged.

A candidate counts with what was said of it: 1 for a lesion, 0 for none. One that nobody has judged counts with the
probability that it is a lesion, which a map learns from those that were judged (`calibration`). That is fair as long as
what is judged first depends on nothing but existence, as it does in a queue ordered by existence or its entropy: among
candidates of equal existence, the judged are then like the others.

1. `choose_threshold` goes through the hundredths, which is how fine the slider of existence is.
2. `bootstrap_operating` draws patients anew, learns the map anew, and throws a coin for each candidate not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    #: Probability of being a lesion of every candidate, (N,), when each judged one counts so often, (N,).
    Learn = Callable[[Array], Array]


class Goal(StrEnum):
    """What an operating threshold is wished for."""

    SENSITIVITY = "sensitivity"  # the share of the lesions that are shown
    PRECISION = "precision"  # the share of what is shown that are lesions


@dataclass(frozen=True, eq=False)
class JudgedCandidates:
    """Candidates of some patients, judged in part.

    Parameters
    ----------
    existence : (N,) float
        In [0, 1], on the scale of the threshold.
    outcome : (N,) float
        1 for a lesion, 0 for none, NaN where nobody has judged.
    owner : (N,) int
        Index of each candidate's patient, whatever the session.
    missed : (P,) int
        Lesions of each patient that have no candidate, as far as they are known.

    Raises
    ------
    ValueError
        If the lengths do not fit together.
    """

    existence: Array
    outcome: Array
    owner: NDArray[np.int64]
    missed: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check once."""
        lengths = {len(self.existence), len(self.outcome), len(self.owner)}
        if len(lengths) > 1 or (len(self.owner) and self.owner.max() >= len(self.missed)):
            raise ValueError(
                f"existence, outcome and owner have {len(self.existence)}, {len(self.outcome)} and {len(self.owner)} "
                f"values for {len(self.missed)} patients; expected one of each for every candidate."
            )

    @property
    def judged(self) -> NDArray[np.bool_]:
        """(N,) which candidates were judged."""
        return ~np.isnan(self.outcome)

    def filled(self, probability: Array) -> Array:
        """(N,) the outcome where it is known, else this probability."""
        return np.where(self.judged, self.outcome, probability)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what to expect of it; NaN where there is nothing to divide by."""

    threshold: float
    sensitivity: float
    precision: float


def operating_point(candidates: JudgedCandidates, probability: Array, threshold: float) -> OperatingPoint:
    """Return the sensitivity and precision to expect at a threshold (itself included).

    Parameters
    ----------
    candidates : JudgedCandidates
        Of all cases.
    probability : (N,) float
        That each is a lesion; counts where nobody has judged.
    threshold : float
        Of existence.

    Examples
    --------
    >>> some = JudgedCandidates(np.array([0.9, 0.6, 0.2]), np.array([1, np.nan, 0]), np.zeros(3, int), np.array([1]))
    >>> operating_point(some, np.array([0.9, 0.5, 0.2]), 0.5)
    OperatingPoint(threshold=0.5, sensitivity=0.6, precision=0.75)
    """
    weight, shown = candidates.filled(probability), candidates.existence >= threshold
    lesions = weight.sum() + candidates.missed.sum()
    found = weight[shown].sum()
    return OperatingPoint(threshold, _ratio(found, lesions), _ratio(found, shown.sum()))


def choose_threshold(
    candidates: JudgedCandidates, probability: Array, goal: Goal, wished: float
) -> tuple[OperatingPoint, bool]:
    """Return the hundredth that reaches a wished figure and costs the least of the other one, and whether it does.

    For a sensitivity that is the highest threshold, for a precision the lowest. If none reaches it, the nearest is
    returned: the one of the best figure, of several the highest for a sensitivity, the lowest for a precision.
    """
    points = [operating_point(candidates, probability, percent / 100) for percent in range(1, 100)]
    figures = np.array([getattr(point, str(goal)) for point in points])
    if np.isnan(figures).all():
        return points[0], False
    target = min(wished, np.nanmax(figures))
    reaching = np.flatnonzero(figures >= target)
    chosen = reaching[-1] if goal is Goal.SENSITIVITY else reaching[0]
    return points[chosen], bool(figures[chosen] >= wished)


def bootstrap_operating(
    candidates: JudgedCandidates,
    learn: Learn,
    threshold: float,
    *,
    confidence: float = 0.95,
    samples: int = 200,
    seed: int = 0,
) -> dict[Goal, tuple[float, float]]:
    """Return intervals of sensitivity and precision at a threshold (Efron's percentiles, by patient).

    Parameters
    ----------
    candidates : JudgedCandidates
        Of at least one patient.
    learn : callable
        Probabilities when each candidate counts so often; called once for each sample.
    threshold : float
        Of existence.
    confidence, samples, seed
        Of the bootstrap. A few hundred samples tell the hundredths that are shown.
    """
    patients = len(candidates.missed)
    random = np.random.default_rng(seed)
    shown = candidates.existence >= threshold
    figures = []
    for _ in range(samples):
        times = np.bincount(random.integers(patients, size=patients), minlength=patients).astype(float)
        each = times[candidates.owner]
        coins = random.random(len(each)) < learn(each)
        weight = each * candidates.filled(coins.astype(float))
        found = weight[shown].sum()
        figures.append(
            (_ratio(found, weight.sum() + times @ candidates.missed), _ratio(found, each[shown].sum()))
        )  # fmt: skip
    quantiles = [(1 - confidence) / 2, (1 + confidence) / 2]
    intervals = {}
    for goal, values in zip(Goal, np.array(figures).T, strict=True):
        known = values[~np.isnan(values)]
        low, high = np.quantile(known, quantiles) if len(known) else (np.nan, np.nan)
        intervals[goal] = (float(low), float(high))
    return intervals


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
