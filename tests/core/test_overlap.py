"""Agreement of masks: against scikit-learn's F1 of voxels, and against one threshold at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_lesion_points.core.overlap import Overlap, best_dice, overlap, overlap_by_threshold

TRIED = (0.2, 0.4, 0.6, 0.8)


def test_dice_is_the_f1_of_all_voxels_of_all_cases(rng: np.random.Generator) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    shapes = ((5, 6, 7), (9, 4, 3), (2, 2, 2))
    drawn = [rng.integers(0, 3, shape) for shape in shapes]
    truth = [rng.random(shape) < 0.3 for shape in shapes]
    pooled = sum((overlap(a, b) for a, b in zip(drawn, truth, strict=True)), Overlap(0, 0, 0))
    flat = [np.concatenate([m.ravel() != 0 for m in masks]) for masks in (truth, drawn)]
    assert pooled.dice == pytest.approx(metrics.f1_score(*flat), rel=1e-12)
    means = np.mean([overlap(a, b).dice for a, b in zip(drawn, truth, strict=True)])
    assert pooled.dice != pytest.approx(means, abs=1e-3)  # voxels are pooled, not cases averaged


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the same"):
        overlap(np.ones((2, 2, 2)), np.ones((2, 2, 3)))


@given(st.integers(0, 10_000))
def test_all_thresholds_at_once_are_each_one_by_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice(np.float32([0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 1]), (4, 5, 3))  # also on the thresholds
    truth = rng.random((4, 5, 3)) < rng.choice([0, 0.4])
    slow = tuple(overlap(values >= np.float32(t), truth) for t in TRIED)
    assert overlap_by_threshold(values, truth, TRIED) == slow


def test_the_best_threshold_is_that_of_all_cases_together() -> None:
    small = (Overlap(1, 9, 0), Overlap(1, 1, 0), Overlap(1, 0, 0), Overlap(0, 0, 1))
    large = (Overlap(90, 10, 10), Overlap(80, 0, 20), Overlap(50, 0, 50), Overlap(50, 0, 50))
    dices = [(a + b).dice for a, b in zip(small, large, strict=True)]
    threshold, dice = best_dice([small, large], TRIED)
    assert threshold == TRIED[int(np.argmax(dices))]
    assert dice == max(dices)
    assert best_dice([(Overlap(0, 0, 0),) * 4], TRIED) == (TRIED[0], 1.0)  # of equals the lowest
