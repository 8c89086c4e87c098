"""Agreement of readers, against scikit-learn, published figures, and all pairs counted one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from napari_lesion_points.core.agreement import PointAgreement, cohen_kappa, compare_points, fleiss_kappa


def test_points_of_two_readers_are_matched_and_told_apart() -> None:
    first = [(0, 0, 0), (20, 0, 0), (40, 0, 0)]
    second = [(0, 3, 4), (20, 0, 1), (90, 0, 0), (99, 0, 0)]
    found = compare_points(first, second, tolerance_mm=6)
    assert found == PointAgreement(2, 1, 2, 6.0)
    assert found.f1 == pytest.approx(2 * 2 / (3 + 4))
    assert found.mean_distance_mm == 3.0
    swapped = compare_points(second, first, tolerance_mm=6)
    assert swapped == PointAgreement(2, 2, 1, 6.0)
    assert swapped.f1 == found.f1


def test_pooling_counts_lesions_not_cases() -> None:
    pooled = sum([PointAgreement(2, 0, 0, 4.0), PointAgreement(0, 3, 1), PointAgreement()], PointAgreement())
    assert pooled == PointAgreement(2, 3, 1, 4.0)
    assert (pooled.f1, pooled.mean_distance_mm) == (0.5, 2.0)


def test_readers_who_both_find_nothing_agree() -> None:
    nothing = compare_points([], [], tolerance_mm=6)
    assert nothing.f1 == 1.0
    assert math.isnan(nothing.mean_distance_mm)
    assert compare_points([(0, 0, 0)], [], tolerance_mm=6).f1 == 0.0


@pytest.mark.parametrize("answers", [2, 3])
def test_cohen_is_scikit_learns(answers: int, rng: np.random.Generator) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with nilearn")
    for _ in range(20):
        first = rng.integers(answers, size=30)
        second = np.where(rng.random(30) < 0.6, first, rng.integers(answers, size=30))
        assert cohen_kappa(first, second) == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-12)
    assert cohen_kappa(["accepted", "rejected"], ["accepted", "rejected"]) == 1.0


def test_cohen_by_hand() -> None:
    # 50 proposals: both say yes to 20, both no to 15, one alone 5 and the other alone 10: 0.7 agree, 0.5 by chance.
    first, second = [1] * 20 + [1] * 5 + [0] * 10 + [0] * 15, [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(first, second) == pytest.approx((0.7 - 0.5) / 0.5)


#: Fleiss' example as it is usually retold: 10 questions, 14 raters, 5 answers; kappa is 0.21.
RETOLD = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def test_fleiss_example() -> None:
    assert fleiss_kappa(RETOLD) == pytest.approx(0.210, abs=0.0005)


def test_fleiss_is_all_pairs_of_raters_counted(rng: np.random.Generator) -> None:
    answers = rng.integers(3, size=(12, 4))  # of 4 raters to 12 questions
    agreed = np.mean([a == b for row in answers for a, b in itertools.permutations(row, 2)])
    shares = [np.mean(answers == k) for k in range(3)]
    chance = sum(share**2 for share in shares)
    counts = [[int(np.sum(row == k)) for k in range(3)] for row in answers]
    assert fleiss_kappa(counts) == pytest.approx((agreed - chance) / (1 - chance))


def test_what_chance_would_do_as_well_is_undefined() -> None:
    assert math.isnan(cohen_kappa([], []))
    assert math.isnan(cohen_kappa([1, 1], [1, 1]))
    assert math.isnan(fleiss_kappa(np.empty((0, 2))))
    assert math.isnan(fleiss_kappa([[3, 0], [3, 0]]))
    assert fleiss_kappa([[3, 0], [0, 3]]) == 1.0


def test_answers_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="shapes"):
        cohen_kappa([1], [1, 0])
    for counts in ([[2, 0], [3, 0]], [[1, 0], [0, 1]]):
        with pytest.raises(ValueError, match="2 or more"):
            fleiss_kappa(counts)
