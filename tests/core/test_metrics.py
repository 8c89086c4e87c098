"""Figures, thresholds and calibration against exhaustive search and known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from napari_lesion_points.core.matching import assign_then_discard
from napari_lesion_points.core.metrics import (
    CaseDetections,
    DetectionFigures,
    best_threshold,
    binary_entropy,
    calibrated_threshold,
    expected_calibration_error,
    figures_at,
    froc,
    operating_threshold,
    pooled_outcomes,
    recall_by_size,
    reliability_curve,
)

TOLERANCE_MM = 6.0
GRID = np.arange(0.05, 1, 0.05)


def random_cases(seed: int, decimals: int = 2) -> list[CaseDetections]:
    """A few crowded cases, with equal existences and ambiguous matches."""
    rng = np.random.default_rng(seed)
    return [
        CaseDetections(
            f"sub-{k}",
            rng.uniform(0, 20, (n, 3)),
            np.round(rng.uniform(0, 1, n), decimals),
            rng.uniform(0, 20, (rng.integers(0, 8), 3)),
        )
        for k, n in enumerate(rng.integers(0, 12, rng.integers(0, 5)))
    ]


@given(st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_the_best_threshold_is_the_best_of_all(seed: int, decimals: int) -> None:
    cases = random_cases(seed, decimals)
    threshold, figures = best_threshold(cases, TOLERANCE_MM)
    assert figures_at(cases, threshold, TOLERANCE_MM) == figures
    rivals = {t: figures_at(cases, t, TOLERANCE_MM) for t in [1.1, *(e for c in cases for e in c.existence)]}
    assert figures.f1 == max(rival.f1 for rival in rivals.values())
    assert all(rival.f1 < figures.f1 for t, rival in rivals.items() if t > threshold and rival != figures)


def test_the_threshold_lies_midway_below_the_last_detection() -> None:
    centers_world = np.array([[0.0, 0, 0], [50, 0, 0], [100, 0, 0]])
    case = CaseDetections("a", centers_world, np.array([0.9, 0.8, 0.2]), centers_world[:2])
    assert best_threshold([case], TOLERANCE_MM) == (pytest.approx(0.5), DetectionFigures(2, 0, 0))


def test_neighbouring_floats_are_told_apart() -> None:
    upper = np.nextafter(0.5, 1)
    case = CaseDetections("a", np.array([[0.0, 0, 0], [50, 0, 0]]), np.array([upper, 0.5]), np.zeros((1, 3)))
    assert best_threshold([case], TOLERANCE_MM) == (upper, DetectionFigures(1, 0, 0))


@pytest.mark.parametrize("existence", [0.0, 0.3, 1.0])
def test_detecting_nothing_can_be_best(existence: float) -> None:
    healthy = CaseDetections("a", np.zeros((1, 3)), np.array([existence]), np.empty((0, 3)))
    threshold, figures = best_threshold([healthy], TOLERANCE_MM)
    assert threshold > existence
    assert (figures, figures.f1) == (DetectionFigures(0, 0, 0), 1.0)


@pytest.mark.parametrize("existence", [0.0, 0.3, 1.0])
def test_detecting_all_can_be_best(existence: float) -> None:
    case = CaseDetections("a", np.zeros((1, 3)), np.array([existence]), np.zeros((1, 3)))
    threshold, figures = best_threshold([case], TOLERANCE_MM)
    assert 0 <= threshold <= existence
    assert figures.f1 == 1


@given(st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_the_operating_threshold_is_as_good_as_the_best_of_its_steps(seed: int, decimals: int) -> None:
    cases = random_cases(seed, decimals)
    threshold, figures = operating_threshold(cases, TOLERANCE_MM)
    assert figures == figures_at(cases, threshold, TOLERANCE_MM)
    steps = [figures_at(cases, percent / 100, TOLERANCE_MM).f1 for percent in range(5, 100, 5)]
    lesions = sum(len(c.truth_world) for c in cases)
    chance = min(0.8 * math.sqrt(max(steps) * (1 - max(steps)) / max(lesions, 1)), 0.05)
    assert max(steps) - chance <= figures.f1 <= max(steps)


def calibrated_case(rng: np.random.Generator, number: int) -> CaseDetections:
    """Candidates far from one another, each a lesion as often as its existence says."""
    existence = rng.beta(0.6, 0.8, number)
    centers = np.arange(3.0 * number).reshape(number, 3) * 20
    return CaseDetections("a", centers, existence, centers[rng.random(number) < existence])


def test_half_the_expected_f1_is_the_threshold_of_calibrated_existence() -> None:
    rng = np.random.default_rng(0)
    seen, others = [calibrated_case(rng, 400)], [calibrated_case(rng, 4000)]
    threshold, figures = calibrated_threshold(seen, TOLERANCE_MM)
    assert figures == figures_at(seen, threshold, TOLERANCE_MM)
    assert threshold == pytest.approx(max(figures_at(seen, t, TOLERANCE_MM).f1 for t in GRID) / 2, abs=0.026)
    best = max(figures_at(others, t, TOLERANCE_MM).f1 for t in GRID)
    assert figures_at(others, threshold, TOLERANCE_MM).f1 > best - 0.005


@pytest.mark.parametrize("found", [[0.9], [0.5], []])
def test_a_lesion_or_two_hardly_move_the_calibrated_threshold(found: list[float]) -> None:
    place = np.zeros((len(found), 3))
    case = CaseDetections("a", place, np.array(found), np.zeros((1, 3)))
    assert calibrated_threshold([case], TOLERANCE_MM)[0] in (0.3, 0.35)
    assert calibrated_threshold([], TOLERANCE_MM)[0] in (0.3, 0.35)


def test_where_existence_is_wrong_beyond_chance_the_calibrated_threshold_gives_way() -> None:
    centers = np.arange(120.0).reshape(40, 3) * 20
    existence = np.linspace(0.8, 0.99, 40)  # 0.9 and more is a lesion, the rest never
    case = CaseDetections("a", centers, existence, centers[existence >= 0.9])
    threshold, figures = calibrated_threshold([case], TOLERANCE_MM)
    assert (threshold, figures.f1) == (0.9, 1.0)


def test_the_operating_threshold_is_amid_equally_good_ones() -> None:
    centers_world = np.array([[0.0, 0, 0], [50, 0, 0]])
    case = CaseDetections("a", centers_world, np.array([0.82, 0.21]), centers_world[:1])
    assert operating_threshold([case], TOLERANCE_MM) == (0.5, DetectionFigures(1, 0, 0))  # of 0.25, 0.30, ... 0.80


def test_without_cases_nothing_is_wrong() -> None:
    assert best_threshold([], TOLERANCE_MM) == (pytest.approx(0.5), DetectionFigures(0, 0, 0))
    assert [a.shape for a in pooled_outcomes([], TOLERANCE_MM)] == [(0,), (0,)]


@given(st.integers(0, 2**32 - 1))
def test_shuffling_changes_no_figure(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = random_cases(seed)
    orders = [rng.permutation(len(c.existence)) for c in cases]
    shuffled = [
        CaseDetections(c.case, c.centers_world[o], c.existence[o], c.truth_world[::-1])
        for c, o in zip(cases, orders, strict=True)
    ][::-1]
    assert best_threshold(shuffled, TOLERANCE_MM) == best_threshold(cases, TOLERANCE_MM)
    assert figures_at(shuffled, 0.5, TOLERANCE_MM) == figures_at(cases, 0.5, TOLERANCE_MM)


def test_counts_are_added_before_ratios_are_taken() -> None:
    full = CaseDetections("a", np.zeros((1, 3)), np.array([0.9]), np.zeros((1, 3)))
    missed = CaseDetections("b", np.empty((0, 3)), np.empty(0), np.arange(9.0).reshape(3, 3) * 30)
    figures = figures_at([full, missed], 0.5, TOLERANCE_MM)
    assert (figures.tp, figures.fp, figures.fn) == (1, 0, 3)
    assert (figures.precision, figures.recall, figures.f1) == (1.0, 0.25, 0.4)


def test_figures_by_either_matching() -> None:
    case = CaseDetections("a", np.array([[0.0, 0, 0], [10, 0, 0]]), np.ones(2), np.array([[5.5, 0, 0], [15.5, 0, 0]]))
    assert figures_at([case], 0.5, 5.0) == DetectionFigures(1, 1, 1)
    assert figures_at([case], 0.5, 5.0, assign_then_discard) == DetectionFigures(0, 2, 2)
    assert (
        figures_at([case], 0.5, 6.0, assign_then_discard) == figures_at([case], 0.5, 6.0) == DetectionFigures(2, 0, 0)
    )


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "f1"),
    [((0, 0, 0), 1, 1, 1), ((0, 0, 4), 0, 0, 0), ((0, 4, 0), 0, 0, 0), ((2, 2, 0), 0.5, 1, 2 / 3)],
)
def test_ratios_of_nothing(counts: tuple[int, int, int], precision: float, recall: float, f1: float) -> None:
    figures = DetectionFigures(*counts)
    assert (figures.precision, figures.recall, figures.f1) == (precision, recall, f1)


def test_outcomes_take_the_stronger_of_rivals() -> None:
    case = CaseDetections("a", np.array([[0.0, 0, 5], [0, 0, 1]]), np.array([0.9, 0.2]), np.zeros((1, 3)))
    existence, is_true = pooled_outcomes([case, case], TOLERANCE_MM)
    assert existence.tolist() == [0.9, 0.2] * 2
    assert is_true.tolist() == [True, False] * 2


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_outcomes_above_any_threshold_are_what_is_found_there(seed: int, threshold: float) -> None:
    cases = random_cases(seed)
    existence, is_true = pooled_outcomes(cases, TOLERANCE_MM)
    assert is_true[existence >= threshold].sum() == figures_at(cases, threshold, TOLERANCE_MM).tp


@pytest.mark.parametrize("existence", [[0.5], [0.5, np.nan], [0.5, 1.2], [-0.1, 0.5]])
def test_each_candidate_needs_a_probability(existence: list[float]) -> None:
    with pytest.raises(ValueError, match="sub-01"):
        CaseDetections("sub-01", np.zeros((2, 3)), np.array(existence), np.empty((0, 3)))


def test_entropy_is_that_of_a_coin() -> None:
    p = np.array([0, 0.11, 0.5, 0.89, 1, np.nan])
    assert_allclose(binary_entropy(p), [0, 0.4999, 1, 0.4999, 0, np.nan], atol=1e-4)
    assert float(binary_entropy(0.5)) == 1
    with pytest.raises(ValueError, match=r"1\.5"):
        binary_entropy(1.5)


def test_calibrated_existence_has_a_small_error_and_overconfidence_its_size(rng: np.random.Generator) -> None:
    existence = rng.uniform(0, 1, 100_000)
    calibrated = rng.uniform(0, 1, 100_000) < existence
    ece, mce = expected_calibration_error(existence, calibrated)
    assert ece < 0.01
    assert mce < 0.02
    too_sure = rng.uniform(0, 1, 100_000) < 0.75 * existence  # 0.25 p too much: 0.125 in the mean, 0.24 in the last bin
    ece, mce = expected_calibration_error(existence, too_sure)
    assert ece == pytest.approx(0.125, abs=0.01)
    assert mce == pytest.approx(0.2375, abs=0.02)


def test_bins_are_closed_below_and_the_last_one_above() -> None:
    curve = reliability_curve([0, 0.5, 0.99, 1], [False, True, True, False], bins=2)
    assert curve.counts.tolist() == [1, 3]
    assert_allclose(curve.existence, [0, 0.83], atol=1e-12)
    assert_allclose(curve.fraction_true, [0, 2 / 3])


def test_empty_bins_and_no_candidates_have_no_figures() -> None:
    curve = reliability_curve([0.9], [True], bins=2)
    assert curve.counts.tolist() == [0, 1]
    assert np.isnan([curve.existence[0], curve.fraction_true[0]]).all()
    assert np.isnan(expected_calibration_error([], [])).all()


def test_calibration_needs_an_outcome_for_each_existence() -> None:
    with pytest.raises(ValueError, match="2 values and is_true 1"):
        reliability_curve([0.1, 0.2], [True])


@given(st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_the_free_response_curve_is_that_of_all_thresholds(seed: int, decimals: int) -> None:
    cases = random_cases(seed, decimals)
    if not cases:
        with pytest.raises(ValueError, match="at least one case"):
            froc(cases, TOLERANCE_MM)
        return
    false_positives, recall = froc(cases, TOLERANCE_MM)
    levels = sorted({e for c in cases for e in c.existence}, reverse=True)
    slow = [figures_at(cases, t, TOLERANCE_MM) for t in [2.0, *levels]]
    assert_allclose(false_positives * len(cases), [f.fp for f in slow])
    if sum(len(c.truth_world) for c in cases):
        assert_allclose(recall, [f.tp / (f.tp + f.fn) for f in slow])
    assert np.all(np.diff(false_positives) >= 0)


def test_recall_is_counted_by_size() -> None:
    truth = np.array([[0.0, 0, 0], [50, 0, 0], [100, 0, 0], [150, 0, 0]])
    case = CaseDetections("sub-1", truth[[0, 2]], np.array([0.9, 0.3]), truth)
    sizes = [[5, 10, 30, 200]]
    assert recall_by_size([case], sizes, 0.5, TOLERANCE_MM) == [(1, 2), (0, 1), (0, 1)]
    assert recall_by_size([case], sizes, 0.2, TOLERANCE_MM) == [(1, 2), (1, 1), (0, 1)]
    assert recall_by_size([], [], 0.2, TOLERANCE_MM) == [(0, 0)] * 3
