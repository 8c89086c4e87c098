"""Accuracy of the least uncertain, against the mean over all orders in which equals may stand."""

from __future__ import annotations

from itertools import permutations
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from napari_lesion_points.core.retention import FRACTIONS, retention_curve


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_the_curve_is_that_of_sorting_and_counting(outcomes: list[tuple[int, bool]]) -> None:
    slow = []
    for order in permutations(outcomes):
        if [u for u, _ in order] == sorted(u for u, _ in order):
            tenths = [order[: ceil(len(order) * tenth / 10)] for tenth in range(1, 11)]
            slow.append([sum(right for _, right in kept) / len(kept) for kept in tenths])
    uncertainty, right = zip(*outcomes, strict=True)
    assert_allclose(retention_curve(uncertainty, right), np.mean(slow, axis=0))


def test_all_of_them_have_the_accuracy_of_all() -> None:
    rng = np.random.default_rng(0)
    uncertainty, right = rng.random(1000), rng.random(1000) < 0.7
    curve = retention_curve(uncertainty, right)
    assert len(curve) == len(FRACTIONS) == 10
    assert curve[-1] == pytest.approx(right.mean())
    informative = retention_curve(uncertainty, uncertainty < rng.random(1000))
    assert np.all(np.diff(informative) < 0)


def test_no_candidates_have_no_accuracy() -> None:
    assert np.isnan(retention_curve([], [])).all()


@pytest.mark.parametrize("fractions", [[0.0], [1.1], [np.nan]])
def test_impossible_fractions_are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match="fractions"):
        retention_curve([0.5], [True], fractions)


def test_each_uncertainty_needs_an_outcome() -> None:
    with pytest.raises(ValueError, match=r"\(2,\)"):
        retention_curve([0.5, 0.1], [True])
