"""The number of lesions against the enumeration of all ways in which candidates exist."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import binom

from napari_lesion_points.core.counts import count_coverage, count_distribution, lesion_count


def enumerated(existence: list[float]) -> np.ndarray:
    distribution = np.zeros(len(existence) + 1)
    for which in product([0, 1], repeat=len(existence)):
        distribution[sum(which)] += np.prod([p if w else 1 - p for w, p in zip(which, existence, strict=True)])
    return distribution


@given(st.lists(st.floats(0, 1), max_size=8))
def test_the_distribution_is_that_of_all_ways(existence: list[float]) -> None:
    assert_allclose(count_distribution(existence), enumerated(existence), atol=1e-12)


def test_equal_probabilities_give_the_binomial() -> None:
    assert_allclose(count_distribution(np.full(200, 0.03)), binom.pmf(np.arange(201), 200, 0.03), atol=1e-12)


@given(st.lists(st.floats(0, 1), max_size=10), st.sampled_from([0.5, 0.9, 0.99]))
def test_the_interval_holds_as_much_as_asked_and_no_end_is_needless(existence: list[float], confidence: float) -> None:
    count, distribution = lesion_count(existence, confidence), count_distribution(existence)
    assert count.expected == pytest.approx(sum(existence))
    assert 0 <= count.low <= count.high <= len(existence)
    assert distribution[count.low : count.high + 1].sum() >= confidence - 1e-9
    tail = (1 - confidence) / 2
    assert distribution[: count.low].sum() <= tail + 1e-9
    assert distribution[count.high + 1 :].sum() <= tail + 1e-9
    if count.low < count.high:
        assert distribution[: count.low + 1].sum() > tail - 1e-9
        assert distribution[count.high :].sum() > tail - 1e-9


def test_no_candidates_are_no_lesions() -> None:
    assert lesion_count([]) == lesion_count([0.0, 0.0]).__class__(0.0, 0, 0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        count_distribution([1.2])


@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_intervals_of_true_probabilities_cover_as_often_as_their_mass_says(confidence: float) -> None:
    # Each case's own chance of being covered is known, so the share of many cases is, too, up to sampling.
    rng = np.random.default_rng(5)
    existence = [rng.uniform(0, 1, rng.integers(0, 9)) for _ in range(2000)]
    counts = [int((rng.random(len(e)) < e).sum()) for e in existence]
    intervals = [lesion_count(e, confidence) for e in existence]
    chances = [count_distribution(e)[i.low : i.high + 1].sum() for e, i in zip(existence, intervals, strict=True)]
    least, most = binom.ppf([1e-4, 1 - 1e-4], len(counts), np.mean(chances)) / len(counts)
    covered = count_coverage(existence, counts, confidence)
    assert least <= covered <= most
    assert covered > confidence
    too_sure = [e**3 for e in existence]
    assert count_coverage(too_sure, counts, confidence) < least


def test_lesions_without_a_candidate_are_outside_of_what_candidates_count() -> None:
    assert count_coverage([[0.9, 0.9], []], [2, 0]) == 1.0
    assert count_coverage([[0.9, 0.9], []], [2, 1]) == 0.5
    assert np.isnan(count_coverage([], []))
    with pytest.raises(ValueError, match="zip"):
        count_coverage([[0.5]], [])
