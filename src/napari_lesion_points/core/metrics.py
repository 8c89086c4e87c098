"""How good detections are: F1, precision, recall, the operating threshold, calibration and uncertainty.

A candidate counts as a detection when its existence is at least the threshold. Within a case, detections and true
lesions are matched one to one within a tolerance (`matching`); counts are added over cases before any ratio is taken,
so that every lesion weighs the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import entr

from napari_lesion_points.core.matching import Matcher, distances_mm, match_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

#: F1 values are no different when closer than this many standard errors, those of a proportion of the lesions.
_TIE_ERRORS = 0.8
_EXPECTED_F1, _EXPECTED_BY = 0.65, 10.0  # of a first model; lesions that this counts as much as
_CHANCE = 1.5
_GREATEST_TIE = 0.05  # of a handful of lesions, which would make a plateau of everything


@dataclass(frozen=True, eq=False)
class CaseDetections:
    """Candidates and truth of one case.

    Parameters
    ----------
    case : str
        Case identifier.
    centers_world : (N, 3) float
        Candidates, world mm.
    existence : (N,) float
        Existence probability of each, in [0, 1].
    truth_world : (M, 3) float
        True lesions, world mm.

    Raises
    ------
    ValueError
        If there is not one existence in [0, 1] for each candidate.
    """

    case: str
    centers_world: Array
    existence: Array
    truth_world: Array

    def __post_init__(self) -> None:
        """Check once."""
        existence = np.asarray(self.existence, dtype=float)
        if existence.shape != (len(self.centers_world),):
            raise ValueError(
                f"{self.case}: {len(self.centers_world)} candidates, existence of shape {existence.shape}."
            )
        _check_probabilities(existence, f"{self.case}: existence")
        object.__setattr__(self, "existence", existence)


@dataclass(frozen=True)
class DetectionFigures:
    """True positives, false positives and false negatives, and the ratios made of them.

    A ratio of nothing to nothing is 1 when there was nothing to find and nothing was found, else 0: a model that finds
    nothing where there are lesions earns no precision for it.

    Examples
    --------
    >>> DetectionFigures(tp=3, fp=1, fn=2).f1
    0.6666666666666666
    >>> DetectionFigures(0, 0, 0).f1, DetectionFigures(0, 0, 5).precision
    (1.0, 0.0)
    """

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """Share of the detections that are lesions."""
        return self._share_of(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the lesions that are detected."""
        return self._share_of(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return self._share_of(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def _share_of(self, part: int, whole: int) -> float:
        """`part / whole`; for an empty whole, whether there was neither error nor anything to find."""
        return part / whole if whole else float(self.fp == self.fn == 0)


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """How often candidates of similar existence are true.

    Parameters
    ----------
    existence : (B,) float
        Mean existence of the candidates in each bin; NaN in an empty bin.
    fraction_true : (B,) float
        Share of them that are lesions; NaN in an empty bin.
    counts : (B,) int
        Candidates per bin.
    """

    existence: Array
    fraction_true: Array
    counts: NDArray[np.int64]


def binary_entropy(probability: ArrayLike) -> Array:
    """Uncertainty of yes-or-no events, in bits: 0 for certain ones, 1 at probability one half.

    Parameters
    ----------
    probability : (...) float
        In [0, 1]; NaN gives NaN.

    Returns
    -------
    (...) float

    Raises
    ------
    ValueError
        If a probability lies outside [0, 1].

    Examples
    --------
    >>> binary_entropy([0, 0.5, 1]).tolist()
    [0.0, 1.0, 0.0]
    """
    p = np.asarray(probability, dtype=float)
    _check_probabilities(p[~np.isnan(p)], "probability")
    return np.asarray((entr(p) + entr(1 - p)) / np.log(2))


def figures_at(
    cases: Sequence[CaseDetections], threshold: float, tolerance_mm: float, match: Matcher = match_points
) -> DetectionFigures:
    """Count detections of all cases at one threshold (of existence, itself included), matched in one of two ways."""
    tp = detections = lesions = 0
    for c in cases:
        detected = np.asarray(c.centers_world)[c.existence >= threshold]
        tp += len(match(detected, c.truth_world, tolerance_mm).pairs)
        detections += len(detected)
        lesions += len(c.truth_world)
    return DetectionFigures(tp, detections - tp, lesions - tp)


def best_threshold(cases: Sequence[CaseDetections], tolerance_mm: float) -> tuple[float, DetectionFigures]:
    """Find the threshold with the highest F1.

    Every set of detections that a threshold can select is tried, from none to all.

    Parameters
    ----------
    cases : sequence of CaseDetections
        May be empty, as may each.
    tolerance_mm : float
        Greatest distance of a match.

    Returns
    -------
    threshold : float
        Midway to the next lower existence, so that it carries over to other cases; of equally good thresholds, the
        highest. Above all candidates when detecting nothing is best.
    figures : DetectionFigures
        What `figures_at` returns for it.
    """
    existence, is_true = pooled_outcomes(cases, tolerance_mm)
    order = np.argsort(-existence)
    lesions = sum(len(c.truth_world) for c in cases)
    tp = np.concatenate([[0], np.cumsum(is_true[order], dtype=int)])  # by number of detections, from none to all
    levels = np.concatenate([[np.nextafter(1, 2)], existence[order], [-1]])  # guarded by values that none has
    selectable = np.flatnonzero(levels[:-1] > levels[1:])  # no threshold parts candidates of equal existence
    options = [DetectionFigures(int(tp[n]), int(n - tp[n]), int(lesions - tp[n])) for n in selectable]
    best = int(np.argmax([figures.f1 for figures in options]))  # the first of equals has the highest threshold
    n = selectable[best]
    return _between(levels[n], max(levels[n + 1], 0.0)), options[best]


def operating_threshold(cases: Sequence[CaseDetections], tolerance_mm: float) -> tuple[float, DetectionFigures]:
    """Find a threshold for new cases: the middle of those whose F1 is as good as the best, to within chance.

    The single best threshold of a few dozen lesions is at the mercy of one of them; what lies amid equally good ones is
    not. Thresholds 0.05, 0.10, ... 0.95 are tried.

    Returns
    -------
    threshold : float
    figures : DetectionFigures
        At that threshold.
    """
    return plateau([(percent / 100, figures_at(cases, percent / 100, tolerance_mm)) for percent in range(5, 100, 5)])


def calibrated_threshold(cases: Sequence[CaseDetections], tolerance_mm: float) -> tuple[float, DetectionFigures]:
    """Return the threshold nearest to half the F1 that can be expected of calibrated existence, and the figures there.

    If existence is the probability that a candidate is a lesion, F1 is greatest at the threshold of half that greatest
    F1 (Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", ECML 2014). What
    is expected begins with `_EXPECTED_F1`, which counts as much as `_EXPECTED_BY` lesions, and ends with the best F1 of
    these cases: so no single lesion decides. Where existence is not what it says, a threshold that is worse than the
    best beyond chance (`_CHANCE` standard errors) is not taken.

    Parameters
    ----------
    cases : sequence of CaseDetections
        Validation cases, their existence recalibrated.
    tolerance_mm : float
        Greatest distance of a match.
    """
    tried = [(percent / 100, figures_at(cases, percent / 100, tolerance_mm)) for percent in range(5, 100, 5)]
    best = max(figures.f1 for _, figures in tried)
    lesions = sum(len(c.truth_world) for c in cases)
    expected = (lesions * best + _EXPECTED_BY * _EXPECTED_F1) / (lesions + _EXPECTED_BY)
    chance = _CHANCE * (expected * (1 - expected) / max(lesions, 1)) ** 0.5
    good = [pair for pair in tried if pair[1].f1 >= best - chance]
    return min(good, key=lambda pair: abs(pair[0] - expected / 2))


def plateau(tried: Sequence[tuple[float, DetectionFigures]]) -> tuple[float, DetectionFigures]:
    """Return the middle one of the thresholds whose F1 is as good as the best, to within `_TIE_ERRORS`."""
    best = max(figures.f1 for _, figures in tried)
    lesions = max(tried[0][1].tp + tried[0][1].fn, 1)
    tie = min(_TIE_ERRORS * (best * (1 - best) / lesions) ** 0.5, _GREATEST_TIE)
    good = [pair for pair in tried if pair[1].f1 >= best - tie]
    return good[(len(good) - 1) // 2]


def pooled_outcomes(cases: Sequence[CaseDetections], tolerance_mm: float) -> tuple[Array, NDArray[np.bool_]]:
    """Existence of all candidates of all cases, and whether each is a lesion, for calibration.

    Of candidates that rival for a lesion, that of the highest existence is it: the one that is there at every threshold
    at which any of them is. So of the candidates above any threshold, as many are lesions as `figures_at` says.

    Returns
    -------
    existence : (N,) float
    is_true : (N,) bool
    """
    is_true = np.concatenate([np.empty(0, bool), *(_new_pairs(c, tolerance_mm) for c in cases)])
    return np.concatenate([np.empty(0), *(c.existence for c in cases)]), is_true


def froc(cases: Sequence[CaseDetections], tolerance_mm: float) -> tuple[Array, Array]:
    """Return the free-response curve: false positives per case and recall, as the threshold falls.

    Returns
    -------
    false_positives, recall : (T,) float
        Ascending, from no detection to all; recall is NaN where there are no lesions.

    Raises
    ------
    ValueError
        If there is no case.
    """
    if not cases:
        raise ValueError("a curve needs at least one case.")
    existence, is_true = pooled_outcomes(cases, tolerance_mm)
    order = np.argsort(-existence)
    tp = np.concatenate([[0], np.cumsum(is_true[order], dtype=int)])
    levels = np.concatenate([[np.inf], existence[order], [-1.0]])
    at = np.flatnonzero(levels[:-1] > levels[1:])  # no threshold parts candidates of equal existence
    lesions = sum(len(c.truth_world) for c in cases)
    return (at - tp[at]) / len(cases), tp[at] / (lesions or np.nan)


def recall_by_size(
    cases: Sequence[CaseDetections],
    sizes: Sequence[ArrayLike],
    threshold: float,
    tolerance_mm: float,
    bins: Sequence[tuple[float, float]] = ((3, 10), (11, 50), (51, np.inf)),
) -> list[tuple[int, int]]:
    """Count the lesions found, and all of them, by size: the paper's small, medium and large by default.

    Parameters
    ----------
    cases : sequence of CaseDetections
        Candidates and truth.
    sizes : sequence of (M,) int
        Voxels of each true lesion, by case.
    threshold, tolerance_mm
        See `figures_at`.
    bins : sequence of (float, float)
        Smallest and largest size of each class, both included.

    Returns
    -------
    list of (int, int)
        Found and all lesions of each class.
    """
    counts = np.zeros((len(bins), 2), int)
    for c, own in zip(cases, sizes, strict=True):
        own_sizes, found = np.asarray(own), np.zeros(len(c.truth_world), bool)
        detected = np.asarray(c.centers_world)[c.existence >= threshold]
        found[match_points(detected, c.truth_world, tolerance_mm).pairs[:, 1]] = True
        for k, (low, high) in enumerate(bins):
            some = (own_sizes >= low) & (own_sizes <= high)
            counts[k] += (found & some).sum(), some.sum()
    return [(int(a), int(b)) for a, b in counts]


def reliability_curve(existence: ArrayLike, is_true: ArrayLike, bins: int = 10) -> ReliabilityCurve:
    """Bin candidates by existence into `bins` bins of equal width over [0, 1].

    Parameters
    ----------
    existence : (N,) float
        In [0, 1]. A value on an edge belongs to the upper bin, 1 to the last.
    is_true : (N,) bool
        Whether each candidate is a lesion.
    bins : int
        Their number; ten is the paper's.

    Raises
    ------
    ValueError
        If the arrays differ in length or an existence lies outside [0, 1].
    """
    p, true = np.asarray(existence, dtype=float).ravel(), np.asarray(is_true, dtype=float).ravel()
    if p.size != true.size:
        raise ValueError(f"existence has {p.size} values and is_true {true.size}; expected one for each candidate.")
    _check_probabilities(p, "existence")
    which = np.minimum((p * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    divisor = np.where(counts > 0, counts, np.nan)
    means = [np.bincount(which, weights=values, minlength=bins) / divisor for values in (p, true)]
    return ReliabilityCurve(means[0], means[1], counts)


def expected_calibration_error(existence: ArrayLike, is_true: ArrayLike, bins: int = 10) -> tuple[float, float]:
    """Gap between existence and the share that is true: mean over candidates and maximum over bins (ECE, MCE).

    Parameters are those of `reliability_curve`. Without candidates there is no gap to speak of: (NaN, NaN).

    Examples
    --------
    >>> expected_calibration_error([0.75, 0.75, 0.25, 0.25], [True, True, False, False])
    (0.25, 0.25)
    """
    curve = reliability_curve(existence, is_true, bins)
    filled = curve.counts > 0
    if not filled.any():
        return float("nan"), float("nan")
    gaps = np.abs(curve.existence - curve.fraction_true)[filled]
    return float(np.average(gaps, weights=curve.counts[filled])), float(gaps.max())


def _new_pairs(case: CaseDetections, tolerance_mm: float) -> NDArray[np.bool_]:
    """(N,) whether each candidate, joining those of higher existence, lets one more lesion be matched.

    Sets of candidates that can be matched at once form a transversal matroid (Edmonds and Fulkerson, 1965), so the
    heaviest such set, with weights that fall with existence, holds as many of any leading candidates as can be matched.
    One assignment thus counts the true positives of all thresholds.
    """
    possible = distances_mm(case.centers_world, case.truth_world) <= tolerance_mm
    weights = np.argsort(np.argsort(case.existence)) + 1
    rows, columns = linear_sum_assignment(np.where(possible, weights[:, None], 0), maximize=True)
    new = np.zeros(len(weights), dtype=bool)
    new[rows[possible[rows, columns]]] = True
    return new


def _between(upper: float, lower: float) -> float:
    """Return the threshold midway that admits `upper` and not `lower`, even for neighbouring floats."""
    middle = (upper + lower) / 2
    return float(middle if middle > lower else upper)


def _check_probabilities(values: Array, name: str) -> None:
    outside = values[~((values >= 0) & (values <= 1))]
    if outside.size:
        raise ValueError(f"{name} is {outside[0]}; expected a probability in [0, 1].")
