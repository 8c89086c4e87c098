"""Target heatmaps against SciPy's normal densities, and their masses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from napari_lesion_points.core.heatmap import (
    MIN_SIGMA_VOX,
    REACH_SIGMAS,
    add_gaussians,
    draw_gaussians,
    peak_height,
    sigma_in_voxels,
)

SHAPE = (18, 20, 22)


def densities(centers_vox: np.ndarray, sigma_vox: np.ndarray) -> np.ndarray:
    at = np.moveaxis(np.indices(SHAPE), 0, -1)
    return np.sum([multivariate_normal.pdf(at, c, np.diag(sigma_vox**2)) for c in centers_vox], axis=0)


def test_a_heatmap_is_the_sum_of_normal_densities(rng: np.random.Generator) -> None:
    sigma_vox = np.array([1.0, 0.7, 1.6])
    centers_vox = rng.uniform(-2, np.array(SHAPE) + 1, (6, 3))  # some lie outside and reach in
    heatmap = draw_gaussians(SHAPE, centers_vox, sigma_vox)
    assert heatmap.dtype == np.float32
    assert_allclose(heatmap, densities(centers_vox, sigma_vox), atol=2e-6 * peak_height(sigma_vox))


@given(st.integers(0, 2**32 - 1), st.floats(0.8, 1.7))
def test_its_sum_is_the_number_of_lesions(seed: int, sigma_vox: float) -> None:
    rng = np.random.default_rng(seed)
    reach = REACH_SIGMAS * sigma_vox
    centers_vox = rng.uniform(reach, np.array(SHAPE) - 1 - reach, (rng.integers(0, 5), 3))
    total = draw_gaussians(SHAPE, centers_vox, sigma_vox).sum(dtype=float)
    assert total == pytest.approx(len(centers_vox), abs=1e-4)


@pytest.mark.parametrize(("sigma_vox", "error"), [(MIN_SIGMA_VOX, 0.015), (0.35, 0.18)])
def test_the_smallest_sigma_keeps_the_mass_wherever_the_centre_lies(sigma_vox: float, error: float) -> None:
    sums = [
        draw_gaussians((16, 16, 16), [[8, 8, 8 + offset]], [1, 1, sigma_vox]).sum() for offset in np.arange(0, 1, 0.05)
    ]
    worst = np.abs(np.array(sums) - 1).max()
    assert 0.9 * error < worst < error


def test_sigma_in_voxels_follows_the_spacing_and_has_a_floor() -> None:
    assert_allclose(sigma_in_voxels(3.0, [0.5, 2.0, 3.0]), [6.0, 1.5, 1.0])
    assert_allclose(sigma_in_voxels(1.0, [1.0, 1.9, 6.0]), [1.0, 1 / 1.9, MIN_SIGMA_VOX])


def test_the_peak_is_the_density_at_the_centre() -> None:
    sigma_vox = np.array([0.6, 1.0, 2.0])
    assert peak_height(sigma_vox) == pytest.approx(multivariate_normal.pdf(np.zeros(3), cov=np.diag(sigma_vox**2)))
    assert peak_height(1.5) == peak_height([1.5, 1.5, 1.5])


def test_no_points_and_far_points_draw_nothing() -> None:
    assert not draw_gaussians(SHAPE, np.empty((0, 3)), 1.0).any()
    assert not draw_gaussians(SHAPE, [[-50, 8, 8], [8, 8, 1e6]], 1.0).any()


def test_adding_says_where_and_taking_away_restores() -> None:
    heatmap = np.zeros((9, 9, 9), np.float32)
    centers_vox, sigma_vox = np.array([[0.4, 4.0, 8.0], [8.0, 1.0, 1.0]]), np.array([1.0, 0.5, 0.5])
    boxes = add_gaussians(heatmap, centers_vox, sigma_vox, np.array([0.7, 1.2]))
    outside = np.ones(heatmap.shape, bool)
    for box in boxes:
        assert heatmap[box].any()
        outside[box] = False
    assert not heatmap[outside].any()
    assert_allclose(heatmap[0, 4, 8], 0.7 * draw_gaussians((9, 9, 9), centers_vox[:1], sigma_vox)[0, 4, 8], rtol=1e-6)
    add_gaussians(heatmap, centers_vox, sigma_vox, np.array([-0.7, -1.2]))
    assert_allclose(heatmap, 0, atol=1e-8)
    assert add_gaussians(heatmap, centers_vox[:0], sigma_vox, np.empty(0)) == []
