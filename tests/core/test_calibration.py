"""Recalibration: against scikit-learn where there is much data, and sensible where there is little."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
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


def test_weights_are_repetitions() -> None:
    existence, is_true = outcomes(60, Recalibration(c=0.5))
    times = np.random.default_rng(1).integers(0, 4, 60)
    weighted = fit_recalibration(existence, is_true, times)
    repeated = fit_recalibration(np.repeat(existence, times), np.repeat(is_true, times))
    assert_allclose(
        [weighted.a, weighted.b, weighted.c], [repeated.a, repeated.b, repeated.c], atol=1e-4
    )  # another sum of the same numbers


def test_nothing_leaves_what_was_expected_and_much_overrules_it() -> None:
    own = Recalibration(0.8, 1.3, -0.5)
    assert fit_recalibration([], [], expected=own) == own
    truth = Recalibration(1.0, 1.0, 1.0)
    found = fit_recalibration(*outcomes(50_000, truth), expected=own, spread=(0.3, 0.3, 0.7))
    p = np.linspace(0.15, 0.95, 9)
    assert_allclose(found(p), truth(p), atol=0.02)


@pytest.mark.parametrize("of", [Recalibration(), Recalibration(0.7, 1.4, -0.3), Recalibration(c=2.0)])
def test_the_inverse_undoes_the_map(of: Recalibration) -> None:
    p = np.linspace(0.02, 0.98, 25)
    assert_allclose([of.inverse(float(q)) for q in of(p)], p, atol=1e-6)
    assert (of.inverse(0.0), of.inverse(1.0)) == (0.0, 1.0)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_parameters_are_those_of_a_general_optimiser(reverse: bool) -> None:
    existence, is_true = outcomes(80, Recalibration(c=0.5))
    if reverse:  # so that the least slopes hold
        is_true = ~is_true
    p = np.clip(existence, 0.01, 0.99)
    signs, middle, width = np.where(is_true, 1, -1), np.array([1.0, 1.0, 0.4]), np.array([2.0, 2.0, 2.0])

    def cost(x: np.ndarray) -> float:
        margin = signs * (x[0] * np.log(p) - x[1] * np.log(1 - p) + x[2])
        return float(np.log1p(np.exp(-margin)).sum() + 0.5 * (((x - middle) / width) ** 2).sum())

    bounds = [(0.05, None), (0.05, None), (None, None)]
    oracle = minimize(cost, middle, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9}).x
    found = fit_recalibration(existence, is_true, spread=(2.0, 2.0, 2.0))
    assert_allclose([found.a, found.b, found.c], oracle, atol=2e-3)
    assert reverse == (min(found.a, found.b) == 0.05)
