"""Foreground and standardised intensities."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_lesion_points.core.intensity import (
    _moment_ratio,
    bounding_box,
    foreground_mask,
    otsu_threshold,
    standardise,
)

SHAPE = (24, 24, 24)


def ball(center: tuple[float, float, float], radius: float) -> np.ndarray:
    return np.linalg.norm(np.indices(SHAPE) - np.reshape(center, (3, 1, 1, 1)), axis=0) <= radius


def test_a_stripped_brain_is_what_is_not_zero_with_its_holes(rng: np.random.Generator) -> None:
    head = ball((12, 12, 12), 8)
    flair = np.where(head, rng.uniform(50, 100, SHAPE), 0)
    flair[12, 12, 12] = 0  # a hole
    t1 = np.where(head, rng.uniform(50, 100, SHAPE), 0)
    t1[4, 12, 12] = 3  # one sequence reaches farther than the other
    expected = head.copy()
    expected[4, 12, 12] = True
    assert_array_equal(foreground_mask([flair, t1]), expected)


def test_a_sequence_that_was_not_stripped_does_not_count_when_another_was(rng: np.random.Generator) -> None:
    head = ball((12, 12, 12), 8)
    stripped = np.where(head, rng.uniform(50, 100, SHAPE), 0)
    assert_array_equal(foreground_mask([rng.uniform(1, 100, SHAPE), stripped]), head)


def test_a_head_in_air_is_the_largest_bright_part(rng: np.random.Generator) -> None:
    head, marker = ball((12, 12, 12), 8), ball((2, 2, 2), 1)
    scan = rng.normal(3, 1, SHAPE) + 100 * head + 100 * marker - 95 * ball((12, 12, 12), 2)  # and a dark inside
    mask = foreground_mask([scan])
    assert not mask[marker].any()
    assert mask[ball((12, 12, 12), 7)].all()
    assert not mask[~ball((12, 12, 12), 9)].any()


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_volume_is_all_foreground(value: float) -> None:
    assert foreground_mask([np.full(SHAPE, value)]).all()


def test_otsu_is_the_best_of_all_thresholds(rng: np.random.Generator) -> None:
    values = np.concatenate([rng.normal(10, 3, 4000), rng.normal(60, 12, 1000)])

    def between(threshold: float) -> float:
        low, high = values[values <= threshold], values[values > threshold]
        return float(len(low) * len(high) * (low.mean() - high.mean()) ** 2)

    best = max(between(t) for t in np.linspace(values.min(), values.max(), 300)[1:-1])
    assert between(otsu_threshold(values)) == pytest.approx(best, rel=1e-3)


def test_otsu_of_a_constant_is_its_value() -> None:
    assert otsu_threshold(np.full(10, 4.0)) == 4.0


def test_standardised_is_zero_mean_unit_variance_inside_and_zero_outside(rng: np.random.Generator) -> None:
    mask = ball((12, 12, 12), 8)
    volume = rng.normal(400, 30, SHAPE).astype(np.float32)
    out = standardise(volume, mask)
    assert out.dtype == np.float32
    assert not out[~mask].any()
    assert (out[mask].mean(), out[mask].std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))
    assert_allclose(standardise(3 * volume + 7, mask), out, atol=1e-4)  # whatever the scanner's scale
    assert not standardise(np.full(SHAPE, 5.0), mask).any()


def test_what_a_sequence_does_not_see_does_not_change_how_the_rest_looks(rng: np.random.Generator) -> None:
    mask = ball((12, 12, 12), 8)
    volume = rng.normal(400, 30, SHAPE).astype(np.float32)
    half = mask & (np.indices(SHAPE)[2] > 12)
    assert_allclose(standardise(np.where(half, volume, 0), mask)[half], standardise(volume, half)[half], atol=1e-5)
    assert not standardise(np.zeros(SHAPE), mask).any()


def test_the_box_holds_the_mask_and_its_margin_within_the_array() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[2:5, 9, 4] = True
    assert bounding_box(mask) == (slice(2, 5), slice(9, 10), slice(4, 5))
    assert bounding_box(mask, 3) == (slice(0, 8), slice(6, 10), slice(1, 8))
    mask[7, 0, 0] = True  # a second part
    assert bounding_box(mask) == (slice(2, 8), slice(0, 10), slice(0, 5))
    assert bounding_box(np.zeros((4, 5, 6), bool), 2) == (slice(0, 4), slice(0, 5), slice(0, 6))


def test_a_slab_with_noisy_air_is_not_taken_for_a_stripped_brain() -> None:
    rng = np.random.default_rng(4)
    i, j, k = np.indices((40, 40, 40))
    head = (i - 20) ** 2 + (j - 20) ** 2 + (k - 20) ** 2 < 13**2
    t1 = 100.0 * head + rng.rayleigh(3.0, head.shape)
    flair = 80.0 * head + rng.rayleigh(3.0, head.shape)
    flair[:, :, :8] = 0  # outside of its field of view
    mask = foreground_mask([flair, t1])
    assert (mask ^ head).sum() < 0.05 * head.sum()


@pytest.mark.parametrize("degrees", [0, 12])
def test_a_field_of_view_that_ends_is_not_taken_for_a_stripped_brain(degrees: float) -> None:
    """A sagittal T1 and an axial FLAIR of one head, as clinics take them, with the noise of air; 2 mm voxels."""
    rng = np.random.default_rng(4)
    place_mm = 2.0 * (np.indices((88, 128, 128)) - np.reshape((43.5, 63.5, 63.5), (3, 1, 1, 1)))
    head = (place_mm[0] / 75) ** 2 + (place_mm[1] / 95) ** 2 + (place_mm[2] / 110) ** 2 < 1
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    tilted_mm = cos * place_mm[1] + sin * place_mm[2], cos * place_mm[2] - sin * place_mm[1]
    seen = (np.abs(place_mm[0]) < 120) & (np.abs(tilted_mm[0]) < 120) & (np.abs(tilted_mm[1]) < 60)
    t1 = 100.0 * head + rng.rayleigh(3.0, head.shape)
    flair = np.where(seen, 80.0 * head + rng.rayleigh(3.0, head.shape), 0)
    mask = foreground_mask([flair, t1])
    assert (mask ^ head).sum() < 0.05 * head.sum()
    assert_array_equal(foreground_mask([np.where(head, flair, 0), t1]), ndimage.binary_fill_holes(head & seen))


@pytest.mark.parametrize("degrees", [0, 20, 45])
def test_any_box_has_the_moments_of_a_box_and_any_ellipsoid_its_own(degrees: float) -> None:
    turn = Rotation.from_euler("xyz", [degrees, degrees / 2, 10], degrees=True).as_matrix() if degrees else np.eye(3)
    place = np.tensordot(turn, np.indices((70, 70, 70)) - 34.5, axes=1) / np.reshape((20, 15, 9), (3, 1, 1, 1))
    assert _moment_ratio(np.abs(place).max(axis=0) < 1) == pytest.approx(12**1.5, rel=0.01)
    assert _moment_ratio(np.linalg.norm(place, axis=0) < 1) == pytest.approx(4 / 3 * np.pi * 5**1.5, rel=0.01)
