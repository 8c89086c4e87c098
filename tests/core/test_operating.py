"""Operating thresholds against a slow walk through all candidates, and against what is known of coins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom

from napari_lesion_points.core.operating import (
    Goal,
    JudgedCandidates,
    bootstrap_operating,
    choose_threshold,
)

Some = tuple[JudgedCandidates, np.ndarray]


def some(seed: int, count: int = 60, cases: int = 5, known: float = 0.6) -> Some:
    """Candidates with existence in hundredths (ties, and values on thresholds), judged in part."""
    rng = np.random.default_rng(seed)
    existence = rng.integers(5, 100, count) / 100
    outcome = np.where(rng.random(count) < known, rng.random(count) < existence, np.nan)
    candidates = JudgedCandidates(existence, outcome, rng.integers(cases, size=count), rng.integers(0, 3, cases))
    return candidates, np.clip(existence * 0.9, 0, 1)


def slow(candidates: JudgedCandidates, probability: np.ndarray, threshold: float) -> tuple[float, float]:
    found = shown = 0.0
    lesions = float(sum(candidates.missed))
    for existence, outcome, p in zip(candidates.existence, candidates.outcome, probability, strict=True):
        expected = p if math.isnan(outcome) else outcome
        lesions += expected
        if existence >= threshold:
            shown += 1
            found += expected
    return found / lesions if lesions else math.nan, found / shown if shown else math.nan


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("wished", [0.3, 0.75, 0.9])
def test_a_threshold_is_that_of_trying_all(seed: int, goal: Goal, wished: float) -> None:
    candidates, probability = some(seed)
    point, reached = choose_threshold(candidates, probability, goal, wished)
    assert_allclose([point.sensitivity, point.precision], slow(candidates, probability, point.threshold))
    which = list(Goal).index(goal)
    reaching = [k for k in range(1, 100) if slow(candidates, probability, k / 100)[which] >= wished]
    assert reached == bool(reaching)
    if reaching:
        assert point.threshold == (max(reaching) if goal is Goal.SENSITIVITY else min(reaching)) / 100


def test_what_cannot_be_reached_gives_the_nearest() -> None:
    candidates = JudgedCandidates(np.array([0.9, 0.5]), np.array([1.0, 0.0]), np.zeros(2, int), np.array([2]))
    point, reached = choose_threshold(candidates, candidates.outcome, Goal.SENSITIVITY, 0.9)
    assert (reached, point.threshold, point.sensitivity) == (False, 0.9, pytest.approx(1 / 3))
    nothing = JudgedCandidates(np.empty(0), np.empty(0), np.empty(0, int), np.array([0]))
    point, reached = choose_threshold(nothing, np.empty(0), Goal.PRECISION, 0.5)
    assert not reached
    assert math.isnan(point.precision)


def test_intervals_are_those_of_resampled_patients() -> None:
    candidates, probability = some(7, known=1.0)
    found = bootstrap_operating(candidates, lambda _: probability, 0.5, samples=50, seed=3)
    rng, figures = np.random.default_rng(3), []
    for _ in range(50):
        drawn = rng.integers(5, size=5)
        rng.random(60)  # coins, of which none is needed
        rows = np.concatenate([np.flatnonzero(candidates.owner == case) for case in drawn])
        again = JudgedCandidates(
            candidates.existence[rows], candidates.outcome[rows], np.zeros(len(rows), int), candidates.missed[drawn]
        )
        figures.append(slow(again, probability[rows], 0.5))
    for goal, values in zip(Goal, np.array(figures).T, strict=True):
        assert_allclose(found[goal], np.quantile(values, [0.025, 0.975]))


def test_what_is_not_judged_widens_the_interval_as_coins_do() -> None:
    count, p = 200, 0.3
    candidates = JudgedCandidates(np.full(count, 0.6), np.full(count, np.nan), np.zeros(count, int), np.array([0]))
    low, high = bootstrap_operating(candidates, lambda _: np.full(count, p), 0.5, samples=2000)[Goal.PRECISION]
    assert_allclose([low, high], binom.ppf([0.025, 0.975], count, p) / count, atol=0.01)


def test_lengths_must_fit() -> None:
    with pytest.raises(ValueError, match="expected one of each"):
        JudgedCandidates(np.zeros(2), np.zeros(2), np.array([0, 3]), np.zeros(1, int))
