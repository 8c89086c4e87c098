"""How far readers agree: on where lesions are, and on what they say of the same candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.matching import match_points
from napari_lesion_points.core.metrics import DetectionFigures

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class PointAgreement:
    """Lesions that two readers found; add those of several cases to pool them.

    Parameters
    ----------
    matched, only_first, only_second : int
        Lesions of both readers, and of one alone.
    distances_mm : float
        Sum of the distances between the two points of each matched lesion.
    """

    matched: int = 0
    only_first: int = 0
    only_second: int = 0
    distances_mm: float = 0.0

    @property
    def f1(self) -> float:
        """F1 of either reader against the other, the same both ways; 1 where both found nothing."""
        return DetectionFigures(self.matched, self.only_first, self.only_second).f1

    @property
    def mean_distance_mm(self) -> float:
        """Mean distance between the two points of a matched lesion; NaN without any."""
        return self.distances_mm / self.matched if self.matched else float("nan")

    def __add__(self, other: PointAgreement) -> PointAgreement:
        return PointAgreement(
            self.matched + other.matched,
            self.only_first + other.only_first,
            self.only_second + other.only_second,
            self.distances_mm + other.distances_mm,
        )


def compare_points(first: ArrayLike, second: ArrayLike, tolerance_mm: float) -> PointAgreement:
    """Match the points of two readers of one case, one to one (see `match_points`).

    Parameters
    ----------
    first, second : (N, 3) and (M, 3) float
        World mm.
    tolerance_mm : float
        Greatest distance of a match.

    Examples
    --------
    >>> compare_points([[0, 0, 0], [50, 0, 0]], [[0, 0, 3]], tolerance_mm=6)
    PointAgreement(matched=1, only_first=1, only_second=0, distances_mm=3.0)
    """
    matching = match_points(first, second, tolerance_mm)
    return PointAgreement(
        len(matching.pairs),
        len(matching.unmatched_predicted),
        len(matching.unmatched_truth),
        float(matching.distances_mm.sum()),
    )


def cohen_kappa(first: ArrayLike, second: ArrayLike) -> float:
    """Return Cohen's kappa of two raters (Educ Psychol Meas 20:37, 1960): agreement beyond chance, 1 at most.

    Chance is that of raters who keep their own habits: each with the shares of the answers that they gave.

    Parameters
    ----------
    first, second : (N,) of anything that can be compared
        The answers to the same N questions.

    Returns
    -------
    float
        NaN without questions, and when both always gave one and the same answer, which chance would do as well.

    Raises
    ------
    ValueError
        If the two have not answered equally many.

    Examples
    --------
    >>> cohen_kappa([1, 1, 0, 0], [1, 0, 0, 0])
    0.5
    """
    one, two = np.asarray(first), np.asarray(second)
    if one.ndim != 1 or one.shape != two.shape:
        raise ValueError(f"answers have shapes {one.shape} and {two.shape}; expected (N,) twice.")
    answers = np.union1d(one, two)
    chance = sum(float(np.mean(one == answer) * np.mean(two == answer)) for answer in answers)
    return _beyond(float(np.mean(one == two)), chance) if len(one) else float("nan")


def fleiss_kappa(counts: ArrayLike) -> float:
    """Return Fleiss' kappa of several raters (Psychol Bull 76:378, 1971): agreement beyond chance, 1 at most.

    Chance is that of raters who all have the shares of the answers given by all together; with two raters it is
    therefore not Cohen's (but Scott's pi).

    Parameters
    ----------
    counts : (N, K) int
        How many raters gave each of K answers to each of N questions; every row has the same sum, 2 or more.

    Returns
    -------
    float
        NaN without questions, and when all always gave one and the same answer.

    Raises
    ------
    ValueError
        If a question was answered by more raters than another, or by fewer than two.

    Examples
    --------
    Three raters, two answers, four questions, of which one splits them:

    >>> round(fleiss_kappa([[3, 0], [0, 3], [0, 3], [2, 1]]), 3)
    0.657
    """
    table = np.asarray(counts, dtype=float)
    if table.size == 0:
        return float("nan")
    raters = table.sum(axis=1)
    if raters[0] < 2 or not np.all(raters == raters[0]):
        raise ValueError(f"questions have {sorted(set(raters))} answers; expected the same number, 2 or more.")
    pairs = (table * (table - 1)).sum(axis=1) / (raters * (raters - 1))
    chance = float(((table.sum(axis=0) / table.sum()) ** 2).sum())
    return _beyond(float(pairs.mean()), chance)


def _beyond(observed: float, chance: float) -> float:
    return (observed - chance) / (1 - chance) if chance < 1 else float("nan")
