"""Bootstrap intervals against a slow resampling and what is known of proportions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom

from napari_lesion_points.core.intervals import bootstrap_figures, share_interval
from napari_lesion_points.core.metrics import CaseDetections, figures_at


def case(k: int, found: bool, false: int = 0) -> CaseDetections:
    """One lesion, found or not, and some false detections far away."""
    centers = [[0.0, 0, 0]] * found + [[100.0 + 20 * i, 0, 0] for i in range(false)]
    return CaseDetections(f"sub-{k}", np.array(centers).reshape(-1, 3), np.full(found + false, 0.9), np.zeros((1, 3)))


def test_intervals_are_those_of_resampled_patients() -> None:
    rng = np.random.default_rng(3)
    cases = [case(k, bool(rng.random() < 0.7), int(rng.integers(0, 3))) for k in range(15)]
    found = bootstrap_figures(cases, 0.5, 6.0, samples=300, seed=1)
    drawn = np.random.default_rng(1).integers(15, size=(300, 15))
    slow = [figures_at([cases[k] for k in some], 0.5, 6.0) for some in drawn]
    for name, interval in found.items():
        values = [getattr(f, name) for f in slow]
        assert_allclose(interval, np.quantile(values, [0.025, 0.975]))


def test_sessions_of_a_patient_are_drawn_together() -> None:
    cases = [case(k, k % 3 > 0, false=k % 2) for k in range(12)]
    sessions = [replace(c, case=f"sub-{k}_ses-{n}") for n in (1, 2, 3) for k, c in enumerate(cases)]
    assert bootstrap_figures(sessions, 0.5, 6.0) == bootstrap_figures(cases, 0.5, 6.0)


def test_the_recall_of_lesions_in_patients_of_their_own_is_binomial() -> None:
    cases = [case(k, k < 70) for k in range(100)]
    interval = bootstrap_figures(cases, 0.5, 6.0, confidence=0.9, samples=20_000)["recall"]
    assert interval[0] == pytest.approx(binom.ppf(0.05, 100, 0.7) / 100, abs=0.011)
    assert interval[1] == pytest.approx(binom.ppf(0.95, 100, 0.7) / 100, abs=0.011)


def test_nothing_found_and_nothing_to_find() -> None:
    nothing = CaseDetections("sub-1", np.empty((0, 3)), np.empty(0), np.empty((0, 3)))
    assert bootstrap_figures([nothing], 0.5, 6.0)["f1"][0] == 1.0
    assert bootstrap_figures([case(1, found=False)], 0.5, 6.0)["precision"][1] == 0.0
    assert math.isnan(bootstrap_figures([], 0.5, 6.0)["f1"][0])


def test_a_share_has_wilsons_interval() -> None:
    for part, whole in ((0, 5), (3, 7), (40, 40)):
        z, p = 1.959963984540054, part / whole
        middle = (p + z**2 / (2 * whole)) / (1 + z**2 / whole)
        reach = z / (1 + z**2 / whole) * math.sqrt(p * (1 - p) / whole + z**2 / (4 * whole**2))
        assert_allclose(share_interval(part, whole), [max(middle - reach, 0), min(middle + reach, 1)], atol=1e-9)
    assert share_interval(0, 0) == (0.0, 1.0)
