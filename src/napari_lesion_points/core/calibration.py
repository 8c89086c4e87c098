"""Recalibration: a map from a network's existence probabilities to how often candidates of such existence are true.

A fitted mass is too low where the network is not sure of the place: it draws a wide spot, and a Gaussian of fixed sigma
takes only a part of it. Validation cases tell by how much. The map is that of beta calibration (Kull, Silva Filho and
Flach 2017), logit(p') = a ln(p) - b ln(1 - p) + c; the identity is one (a = b = 1, c = 0), and order is kept.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

_NEAREST = 0.01  # probabilities are kept so far from 0 and 1: their logarithm would outweigh all other candidates
_LEAST_SLOPE = 0.05  # of a and b, so that the order is kept
_STEPS = 50  # Newton's method needs about six
_PRECISE = 1e-9  # of a, b and c: far below what is shown


@dataclass(frozen=True)
class Recalibration:
    """The map of beta calibration; without arguments, the identity."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __call__(self, existence: ArrayLike) -> Array:
        """Map existence probabilities, (N,) float in [0, 1].

        Examples
        --------
        >>> Recalibration(c=2.0)([0.0, 0.3, 1.0]).round(2).tolist()
        [0.07, 0.76, 1.0]
        """
        p = np.asarray(existence, dtype=float)
        if self == Recalibration():
            return p
        return np.asarray(expit(_terms(p) @ astuple(self)))

    def inverse(self, probability: float) -> float:
        """Return the existence that is mapped to a probability; 0 or 1 where none is so low or so high.

        Examples
        --------
        >>> round(Recalibration(c=2.0).inverse(0.76), 2), Recalibration(c=2.0).inverse(0.01)
        (0.3, 0.0)
        """
        if self == Recalibration():
            return probability
        low, high = self([0.0, 1.0])
        if probability <= low:
            return 0.0
        return 1.0 if probability >= high else float(brentq(lambda p: float(self(p)) - probability, 0.0, 1.0))


#: What to expect of a, b and c before any case is seen, and how far trainings differ from it. From four networks, of 10
#: and 80 cases and 2 to 10 minutes, on 100 simulated patients that served for nothing else.
_EXPECTED = Recalibration(1.0, 1.0, 0.4)
_SPREAD = 0.1, 0.1, 0.2


def fit_recalibration(
    existence: ArrayLike,
    is_true: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    expected: Recalibration = _EXPECTED,
    spread: tuple[float, float, float] = _SPREAD,
) -> Recalibration:
    """Learn the map from candidates whose truth is known.

    The most probable parameters, given a normal prior for each: the few dozen candidates of the usual validation set
    say little for themselves, and many hundreds overrule it.

    Parameters
    ----------
    existence : (N,) float
        In [0, 1].
    is_true : (N,) bool
        Whether each is a lesion.
    weights : (N,) float, optional
        How often each counts; by default once.
    expected : Recalibration
        The map that no candidate at all gives.
    spread : (3,) float
        Standard deviations of a, b and c around those of `expected`, before any candidate is seen.
    """
    terms, signs = _terms(np.asarray(existence, dtype=float)), np.where(np.asarray(is_true, dtype=bool), 1.0, -1.0)
    times = np.ones(len(signs)) if weights is None else np.asarray(weights, dtype=float)
    middle, width = np.array(astuple(expected)), np.array(spread)

    def cost(parameters: Array) -> tuple[float, Array, Array]:
        margin = signs * (terms @ parameters)
        off = (parameters - middle) / width
        wrong = times * expit(-margin)
        slope = off / width - (wrong * signs) @ terms
        curvature = (terms * (wrong * expit(margin))[:, None]).T @ terms + np.diag(width**-2.0)
        return float(times @ np.logaddexp(0, -margin) + 0.5 * off @ off), slope, curvature

    a, b, c = _minimum(cost, middle, np.array([_LEAST_SLOPE, _LEAST_SLOPE, -np.inf]))
    return Recalibration(float(a), float(b), float(c))


def _minimum(cost: Callable[[Array], tuple[float, Array, Array]], start: Array, least: Array) -> Array:
    """Minimise a strictly convex function of a few parameters that have lower bounds.

    Newton's method, projected onto the bounds (Bertsekas 1982): parameters that a bound holds back are left out of the
    step, and a step that does not lower the cost enough (Armijo) is halved. SciPy's L-BFGS-B wakes all threads of its
    linear algebra for three numbers, which takes a hundred times as long on a busy computer.
    """
    at = np.maximum(start, least)
    value, slope, curvature = cost(at)
    for _ in range(_STEPS):
        free = (at > least) | (slope < 0)
        step = np.zeros_like(at)
        step[free] = -np.linalg.solve(curvature[np.ix_(free, free)], slope[free])
        for halvings in range(_STEPS):
            there = np.maximum(at + step * 0.5**halvings, least)
            found = cost(there)
            if found[0] <= value + 1e-4 * slope @ (there - at):
                break
        else:
            return at  # no step is short enough to lower what rounding errors hide
        moved = np.abs(there - at).max()
        at, (value, slope, curvature) = there, found
        if moved < _PRECISE:
            break
    return at


def _terms(existence: Array) -> Array:
    """(N, 3) what a, b and c are multiplied with."""
    p = np.clip(existence, _NEAREST, 1 - _NEAREST)
    return np.stack([np.log(p), -np.log1p(-p), np.ones_like(p)], axis=-1)
