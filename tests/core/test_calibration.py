"""Recalibration: against scikit-learn where there is much data, and sensible where there is little."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logit

from napari_lesion_points.core.calibration import Recalibration, fit_recalibration
from napari_lesion_points.core.metrics import expected_calibration_error


def outcomes(count: int, true_map: Recalibration, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    existence = rng.uniform(0.1, 1, count)
    return existence, rng.random(count) < true_map(existence)


def test_the_identity_changes_nothing() -> None:
    existence = np.array([0.0, 0.2, 1.0])
    assert_array_equal(Recalibration()(existence), existence)


def test_the_map_is_that_of_its_formula() -> None:
    p = np.linspace(0.05, 0.95, 19)
    assert_allclose(logit(Recalibration(0.7, 1.4, -0.3)(p)), 0.7 * np.log(p) - 1.4 * np.log(1 - p) - 0.3)


@pytest.mark.parametrize("true_map", [Recalibration(1.0, 1.0, 1.5), Recalibration(2.0, 0.5, 0.0), Recalibration()])
def test_many_candidates_tell_the_map(true_map: Recalibration) -> None:
    found = fit_recalibration(*outcomes(50_000, true_map))
    p = np.linspace(0.1, 0.95, 18)
    assert_allclose(found(p), true_map(p), atol=0.02)


def test_the_likeliest_map_is_that_of_a_logistic_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is the oracle")
    existence, is_true = outcomes(100_000, Recalibration(1.5, 0.8, 0.4))
    p = np.clip(existence, 0.01, 0.99)
    features = np.stack([np.log(p), -np.log1p(-p)], axis=1)
    oracle = linear_model.LogisticRegression(C=np.inf).fit(features, is_true)
    at = np.linspace(0.1, 0.99, 30)
    assert_allclose(fit_recalibration(existence, is_true)(at), oracle.predict_proba(
        np.stack([np.log(at), -np.log1p(-at)], axis=1))[:, 1], atol=0.005)  # fmt: skip


def test_low_existence_of_true_lesions_is_raised() -> None:
    existence, is_true = outcomes(200, Recalibration(c=0.8))
    before, _ = expected_calibration_error(existence, is_true)
    others, truth = outcomes(5000, Recalibration(c=0.8), seed=1)
    after, _ = expected_calibration_error(fit_recalibration(existence, is_true)(others), truth)
    assert after < 0.05 < before


@pytest.mark.parametrize(
    ("is_true", "least", "most"), [([], 0.59, 0.61), ([True], 0.59, 0.65), ([False] * 8, 0.5, 0.59)]
)
def test_few_or_one_sided_outcomes_move_little_from_what_is_expected(
    is_true: list[bool], least: float, most: float
) -> None:
    moved = fit_recalibration(np.full(len(is_true), 0.5), is_true)(np.array([0.2, 0.5, 0.8]))
    assert np.all(np.diff(moved) > 0)
    assert least <= moved[1] <= most


def test_order_is_kept_and_the_ends_stay_probabilities() -> None:
    rng = np.random.default_rng(3)
    existence = rng.uniform(0, 1, 100)
    found = fit_recalibration(existence, rng.random(100) < 1 - existence)  # the wrong way round
    moved = found(np.linspace(0, 1, 50))
    assert np.all(np.diff(moved) >= 0)
    assert 0 < moved[0] < moved[-1] < 1
