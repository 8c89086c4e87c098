"""The comparison of recalibrations: leaves each case out, and finds what there is to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from napari_lesion_points.core.metrics import CaseDetections, expected_calibration_error
from napari_lesion_points.workflow import recalibrations
from napari_lesion_points.workflow.recalibrations import calibration_figures, compare_recalibrations

TOLERANCE_MM = 6.0


def cases_of(existence: list[np.ndarray], is_true: list[np.ndarray]) -> list[CaseDetections]:
    """Candidates far apart, those that are true on their lesions."""
    places = [np.stack([np.arange(len(e)) * 50.0, np.zeros(len(e)), np.zeros(len(e))], axis=1) for e in existence]
    return [
        CaseDetections(f"sub-{k}", p, e, p[t])
        for k, (p, e, t) in enumerate(zip(places, existence, is_true, strict=True))
    ]


def simulated(count: int, shift: float, seed: int = 0) -> list[CaseDetections]:
    """Candidates whose log-odds are too low by `shift`."""
    rng = np.random.default_rng(seed)
    existence = [rng.uniform(0.05, 0.95, rng.integers(3, 12)) for _ in range(count)]
    return cases_of(existence, [rng.random(len(e)) < expit(logit(e) + shift) for e in existence])


def test_figures_are_those_of_their_formulas() -> None:
    existence, is_true = np.array([0.9, 0.2, 0.4]), np.array([True, False, True])
    figures = calibration_figures("x", existence, is_true)
    assert (figures.ece, figures.mce) == expected_calibration_error(existence, is_true)
    assert figures.brier == pytest.approx((0.01 + 0.04 + 0.36) / 3)
    assert np.isnan(calibration_figures("x", np.empty(0), np.empty(0, bool)).brier)


def test_maps_mend_what_is_shifted() -> None:
    pytest.importorskip("sklearn")
    given, *learnt = compare_recalibrations(simulated(150, 1.2), TOLERANCE_MM)
    assert [f.method for f in (given, *learnt)] == ["as given", "Platt", "isotonic", "beta"]
    assert given.ece > 0.15
    assert all(f.ece < 0.07 for f in learnt)
    assert all(f.brier < given.brier for f in learnt)


def test_no_map_has_seen_the_case_that_it_is_judged_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    cases = simulated(7, 0.5)
    seen: list[tuple[set[float], set[float]]] = []

    def noting(existence: np.ndarray, is_true: np.ndarray, new: np.ndarray) -> np.ndarray:
        seen.append((set(existence.tolist()), set(new.tolist())))
        return new

    monkeypatch.setitem(recalibrations.METHODS, "beta", noting)
    given, *_, last = compare_recalibrations(cases, TOLERANCE_MM)
    assert (last.ece, last.brier) == (given.ece, given.brier)
    each = [set(c.existence.tolist()) for c in cases]
    assert sorted(map(sorted, (new for _, new in seen))) == sorted(map(sorted, each))
    assert all(not known & new for known, new in seen)
    seen.clear()
    sessions = [replace(c, case=f"sub-{k // 2}_ses-{k % 2}") for k, c in enumerate(cases)]
    compare_recalibrations(sessions, TOLERANCE_MM)
    assert len(seen) == 4
    assert all((each[k] <= new) == (each[k + 1] <= new) for _, new in seen for k in (0, 2, 4))
    seen.clear()
    compare_recalibrations(cases, TOLERANCE_MM, folds=3)
    assert len(seen) == 3
    assert all(all(case <= new or not case & new for case in each) for _, new in seen)


@pytest.mark.parametrize(
    "cases",
    [[], simulated(1, 0.0), cases_of([np.array([0.5, 0.9])] * 4, [np.array([True, True])] * 4)],
    ids=["no case", "one case", "nothing false"],
)
def test_where_nothing_can_be_learnt_what_was_given_stands_alone(cases: list[CaseDetections]) -> None:
    assert [f.method for f in compare_recalibrations(cases, TOLERANCE_MM)] == ["as given"]


def test_scikit_learn_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalibrations, "find_spec", lambda name: None)
    assert len(compare_recalibrations(simulated(20, 0.5), TOLERANCE_MM)) == 1
