"""One-to-one matching against a slow search through all assignments."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from napari_lesion_points.core.matching import assign_then_discard, distances_mm, match_points


def best_by_search(distances: np.ndarray, tolerance: float) -> tuple[int, float]:
    """The most pairs within tolerance, and the least total distance of that many."""
    if distances.shape[0] > distances.shape[1]:
        distances = distances.T
    results = [(0, 0.0)]
    for columns in permutations(range(distances.shape[1]), distances.shape[0]):
        pairs = [d for d in distances[range(len(columns)), columns] if d <= tolerance]
        results.append((-len(pairs), float(sum(pairs))))
    pairs, total = min(results)
    return -pairs, total


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1), st.floats(0, 15))
def test_most_pairs_at_least_distance(n: int, m: int, seed: int, tolerance_mm: float) -> None:
    rng = np.random.default_rng(seed)
    # Whole millimetres make equal distances, and distances equal to the tolerance, common.
    predicted, truth = (rng.integers(0, 12, (k, 3)).astype(float) for k in (n, m))
    matching = match_points(predicted, truth, tolerance_mm)
    pairs, total = best_by_search(distances_mm(predicted, truth), tolerance_mm)
    assert len(matching.pairs) == pairs
    assert matching.distances_mm.sum() == pytest.approx(total)

    p, t = matching.pairs.T
    assert_allclose(matching.distances_mm, np.linalg.norm(predicted[p] - truth[t], axis=1))
    assert sorted([*p, *matching.unmatched_predicted]) == list(range(n))
    assert sorted([*t, *matching.unmatched_truth]) == list(range(m))


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1), st.floats(0, 15))
def test_the_papers_matching_is_the_cheapest_of_all_less_its_far_pairs(
    n: int, m: int, seed: int, tolerance_mm: float
) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = rng.uniform(0, 12, (n, 3)), rng.uniform(0, 12, (m, 3))  # no two totals are equal
    matching = assign_then_discard(predicted, truth, tolerance_mm)
    distances = distances_mm(predicted, truth)
    few, many = sorted((n, m))
    sides = [zip(range(few), columns, strict=True) for columns in permutations(range(many), few)]
    options = [[(i, j) if n <= m else (j, i) for i, j in pairs] for pairs in sides]
    cheapest = min(options, key=lambda pairs: sum(distances[i, j] for i, j in pairs))
    kept = sorted((i, j) for i, j in cheapest if distances[i, j] <= tolerance_mm)
    assert [tuple(pair) for pair in matching.pairs] == kept
    assert_allclose(matching.distances_mm, [distances[i, j] for i, j in kept])
    assert sorted([*matching.pairs[:, 0], *matching.unmatched_predicted]) == list(range(n))
    assert sorted([*matching.pairs[:, 1], *matching.unmatched_truth]) == list(range(m))
    assert len(kept) <= len(match_points(predicted, truth, tolerance_mm).pairs)


@given(st.integers(0, 2**32 - 1))
def test_order_of_the_points_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = rng.uniform(0, 20, (9, 3)), rng.uniform(0, 20, (7, 3))
    p, t = rng.permutation(9), rng.permutation(7)
    straight, shuffled = match_points(predicted, truth, 8), match_points(predicted[p], truth[t], 8)
    assert sorted(map(tuple, straight.pairs)) == sorted(
        zip(p[shuffled.pairs[:, 0]], t[shuffled.pairs[:, 1]], strict=True)
    )


def test_a_far_pair_does_not_take_the_place_of_a_possible_one() -> None:
    # 0-0 and 1-1 (5.5 mm each) is the cheapest assignment. With 5 mm only 1-0 is possible, and an assignment from which
    # the far pairs are thrown out afterwards would lose it.
    predicted, truth = [[0, 0, 0], [10, 0, 0]], [[5.5, 0, 0], [15.5, 0, 0]]
    assert match_points(predicted, truth, 6).pairs.tolist() == [[0, 0], [1, 1]]
    matching = match_points(predicted, truth, 5)
    assert matching.pairs.tolist() == [[1, 0]]
    assert matching.unmatched_predicted.tolist() == [0]
    assert matching.unmatched_truth.tolist() == [1]
    papers = assign_then_discard(predicted, truth, 5)
    assert papers.pairs.shape == (0, 2)
    assert (papers.unmatched_predicted.tolist(), papers.unmatched_truth.tolist()) == ([0, 1], [0, 1])


def test_the_tolerance_is_included() -> None:
    assert len(match_points([[0, 0, 0]], [[0, 3, 4]], 5).pairs) == 1
    assert len(match_points([[0, 0, 0]], [[0, 3, 4]], np.nextafter(5, 0)).pairs) == 0


@pytest.mark.parametrize("nothing", [[], np.empty((0, 3)), np.empty(0)])
def test_nothing_matches_nothing(nothing: object) -> None:
    some = np.zeros((2, 3))
    assert_array_equal(match_points(nothing, some, 1).unmatched_truth, [0, 1])
    assert_array_equal(match_points(some, nothing, 1).unmatched_predicted, [0, 1])
    assert match_points(nothing, nothing, 1).pairs.shape == (0, 2)


@pytest.mark.parametrize("tolerance_mm", [-1, np.nan, np.inf])
def test_impossible_tolerances_are_refused(tolerance_mm: float) -> None:
    for match in (match_points, assign_then_discard):
        with pytest.raises(ValueError, match="tolerance_mm"):
            match(np.zeros((1, 3)), np.zeros((1, 3)), tolerance_mm)


@pytest.mark.parametrize(("points", "message"), [([[0, 0]], r"\(1, 2\)"), ([[0, 0, np.nan]], "not finite")])
def test_impossible_points_are_refused(points: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"predicted .*{message}"):
        match_points(points, np.zeros((1, 3)), 1)
