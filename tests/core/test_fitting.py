"""Candidates from heatmaps: known truth, a literal slow version of the paper's steps, and what is no peak."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import curve_fit

from napari_lesion_points import FitFlag, fit_gaussians
from napari_lesion_points.core.heatmap import draw_gaussians, peak_height
from napari_lesion_points.core.metrics import binary_entropy

CENTER_VOX = 0.01  # accuracy asked of the fit against the oracle
MASS = 0.005


def heatmap_of(shape: tuple[int, int, int], centers_vox: object, mass: object, sigma_vox: object) -> np.ndarray:
    parts = zip(np.asarray(centers_vox, dtype=float), np.asarray(mass, dtype=float), strict=True)
    return np.sum([m * draw_gaussians(shape, [c], sigma_vox) for c, m in parts], axis=0, dtype=np.float32)


def one_after_the_other(
    heatmap: np.ndarray, sigma_vox: np.ndarray, min_existence: float = 0.1, max_candidates: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """The steps as they are described, with SciPy's fit and the whole grid in every step."""
    rest = heatmap.astype(float)
    indices = np.indices(rest.shape)
    radius = np.ceil(3 * sigma_vox).astype(int)
    height = peak_height(sigma_vox)

    def gaussian(at: np.ndarray, x: float, y: float, z: float, mass: float) -> np.ndarray:
        offsets = [(a - c) / s for a, c, s in zip(at, (x, y, z), sigma_vox, strict=True)]
        return mass * height * np.exp(-0.5 * np.sum(np.square(offsets), axis=0))

    centers, masses = [], []
    for _ in range(max_candidates):
        peak = np.unravel_index(rest.argmax(), rest.shape)
        box = tuple(slice(max(p - r, 0), min(p + r + 1, n)) for p, r, n in zip(peak, radius, rest.shape, strict=True))
        values = rest[box].ravel()
        at = indices[(slice(None), *box)].reshape(3, -1)
        try:
            fitted, _ = curve_fit(gaussian, at, values, p0=[*peak, values.sum()], ftol=1e-12, xtol=1e-12)
            failed = bool((np.abs(fitted[:3] - peak) > radius).any())
        except RuntimeError:
            failed = True
        if failed:
            fitted = np.array([*peak, values.sum()])
            rest[box] = np.minimum(rest[box], 0)
            if fitted[3] < min_existence:
                continue
        elif fitted[3] < min_existence:
            break
        else:
            rest -= gaussian(indices, *fitted)
        centers.append(fitted[:3])
        masses.append(fitted[3])
    return np.array(centers).reshape(-1, 3), np.array(masses)


@pytest.mark.filterwarnings("ignore:Covariance of the parameters")  # of the last fit, of noise
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sigma_vox", [(1.0, 1.0, 1.0), (1.5, 1.25, 0.5), (0.8, 2.0, 1.1)])
def test_the_fit_is_the_slow_one(seed: int, sigma_vox: tuple[float, float, float]) -> None:
    # Crowded on purpose: lesions anywhere, half a voxel beyond the border too, some of them touching.
    rng = np.random.default_rng(seed)
    shape, sigma = (20, 24, 18), np.array(sigma_vox)
    count = rng.integers(3, 9)
    centers_vox = rng.uniform(-0.5, np.array(shape) - 0.5, (count, 3))
    touching = np.clip(centers_vox[0] + sigma * [2.0, 1.5, 0.5], 0, np.array(shape) - 1)
    centers_vox = np.vstack([centers_vox, touching])
    heatmap = heatmap_of(shape, centers_vox, rng.uniform(0.25, 1.2, count + 1), sigma)
    heatmap += rng.normal(0, 0.01 * peak_height(sigma), shape).astype(np.float32)
    found = fit_gaussians(heatmap, sigma)
    expected_centers, expected_mass = one_after_the_other(heatmap, sigma)
    assert len(found) == len(expected_mass)
    assert_allclose(found.centers_vox, expected_centers, rtol=0, atol=CENTER_VOX)
    assert_allclose(found.mass, expected_mass, rtol=0, atol=MASS)


@given(st.integers(0, 2**32 - 1))
def test_lesions_apart_are_returned_in_order_of_height(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.6, 1.6, 3)
    corners = np.argwhere(np.ones((2, 2, 2))) * 20 + 10
    centers_vox = corners + rng.uniform(-2, 2, (8, 3))
    mass = rng.permutation(np.linspace(0.3, 1.3, 8))
    found = fit_gaussians(heatmap_of((41, 41, 41), centers_vox, mass, sigma), sigma)
    nearest = np.linalg.norm(found.centers_vox[:, None] - centers_vox, axis=2).argmin(axis=1)
    assert sorted(nearest) == list(range(8))
    assert_allclose(found.centers_vox, centers_vox[nearest], rtol=0, atol=1e-3)
    assert_allclose(found.mass, mass[nearest], rtol=0, atol=1e-3)
    # A peak is as high as its voxel is near the centre, so the order is that of the mass only up to that.
    height = mass * np.exp(-0.5 * (((centers_vox - centers_vox.round()) / sigma) ** 2).sum(axis=1))
    assert nearest.tolist() == (-height).argsort().tolist()
    assert not found.flags.any()


@pytest.mark.parametrize("center", [(0, 0, 0), (19, 10, 10), (0.3, 18.8, 7.4), (-0.4, 10, 19.4), (10.2, 10.7, 0.1)])
@pytest.mark.parametrize("sigma_vox", [1.0, (1.0, 2.0, 0.5)])
def test_a_lesion_cut_by_the_border_keeps_its_whole_mass(
    center: tuple[float, float, float], sigma_vox: float | tuple[float, float, float]
) -> None:
    found = fit_gaussians(heatmap_of((20, 20, 20), [center], [0.8], sigma_vox), sigma_vox)
    assert_allclose(found.centers_vox, [center], rtol=0, atol=CENTER_VOX)
    assert_allclose(found.mass, [0.8], rtol=0, atol=MASS)
    assert found.flags.tolist() == [FitFlag.BORDER]
    assert found.window_sum[0] < 0.8


def test_in_a_volume_of_one_slice_the_centre_lies_in_it() -> None:
    heatmap = heatmap_of((20, 20, 1), [[8.3, 9.6, 0]], [0.9], 1.0)
    found = fit_gaussians(heatmap, 1.0)
    assert found.flags.tolist() == [FitFlag.BORDER]
    assert_allclose(found.centers_vox, [[8.3, 9.6, 0]], atol=1e-4)
    assert_allclose(found.mass, [0.9], atol=1e-4)


@pytest.mark.parametrize(("apart", "error"), [(3.0, 0.5), (4.0, 0.1), (5.0, 0.02)])
@pytest.mark.parametrize("sigma_vox", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.6)])
def test_touching_lesions_are_both_found(apart: float, error: float, sigma_vox: tuple[float, float, float]) -> None:
    # They are fitted one by one, so each pulls the other: the limits are in sigma, and fall with the distance.
    sigma = np.array(sigma_vox)
    centers_vox = np.array([[14.0, 10, 10], [14 + apart * sigma[0], 10, 10]])
    found = fit_gaussians(heatmap_of((40, 20, 20), centers_vox, [1.0, 0.9], sigma), sigma)
    assert len(found) == 2
    assert_allclose(found.centers_vox / sigma, centers_vox / sigma, rtol=0, atol=error)
    assert_allclose(found.mass, [1.0, 0.9], rtol=0, atol=error)


def test_existence_is_the_mass_in_bounds_and_entropy_follows() -> None:
    found = fit_gaussians(heatmap_of((40, 20, 20), [[10, 10, 10], [30, 10, 10]], [1.4, 0.3], 1.0), 1.0)
    assert_allclose(found.mass, [1.4, 0.3], atol=MASS)
    assert_allclose(found.existence, [1.0, 0.3], atol=MASS)
    assert_allclose(found.entropy, binary_entropy(found.existence))
    assert_allclose(found.window_sum, [1.4, 0.3], atol=0.02)  # seven voxels hold 99 % of it


def test_the_search_ends_at_the_least_existence_and_at_the_most_candidates() -> None:
    centers_vox = [[10, 10, 10], [30, 10, 10], [50, 10, 10]]
    heatmap = heatmap_of((60, 20, 20), centers_vox, [0.9, 0.5, 0.2], 1.0)
    assert [len(fit_gaussians(heatmap, 1.0, min_existence=e)) for e in (0.1, 0.3, 0.95)] == [3, 2, 0]
    assert [len(fit_gaussians(heatmap, 1.0, max_candidates=n)) for n in (0, 1, 2)] == [0, 1, 2]


@pytest.mark.parametrize(
    "heatmap",
    [
        np.zeros((0, 4, 4)),
        np.zeros((12, 12, 12)),
        np.full((12, 12, 12), 0.3),
        np.full((12, 12, 12), -1.0),
        np.full((12, 12, 12), np.nan),
        np.full((12, 12, 12), np.inf),
        np.zeros((12, 12, 12), bool),
        -np.random.default_rng(0).uniform(0, 1, (12, 12, 12)),
    ],
    ids=["empty", "zero", "constant", "negative", "nan", "infinite", "bool", "negative noise"],
)
def test_what_has_no_peak_has_no_candidate(heatmap: np.ndarray) -> None:
    found = fit_gaussians(heatmap, 1.0)
    assert len(found) == 0
    assert found.centers_vox.shape == (0, 3)
    assert found.mass.shape == found.existence.shape == found.entropy.shape == found.flags.shape == (0,)


def test_voxels_that_are_not_finite_count_as_zero_and_are_flagged() -> None:
    clean = heatmap_of((40, 20, 20), [[10, 10, 10], [30, 10, 10]], [0.9, 0.8], 1.0)
    broken, zeroed = clean.copy(), clean.copy()
    broken[12, 10, 10], broken[0, 0, 0] = np.nan, np.inf
    zeroed[12, 10, 10] = 0
    found, expected = fit_gaussians(broken, 1.0), fit_gaussians(zeroed, 1.0)
    assert_allclose(found.centers_vox, expected.centers_vox)
    assert_allclose(found.mass, expected.mass)
    by_x = dict(zip(found.centers_vox[:, 0].round().tolist(), found.flags.tolist(), strict=True))
    assert by_x == {10: FitFlag.NOT_FINITE, 30: FitFlag.OK}


def test_the_heatmap_is_not_changed() -> None:
    heatmap = heatmap_of((20, 20, 20), [[10, 10, 10]], [0.9], 1.0)
    heatmap[3, 3, 3] = np.nan
    before = heatmap.copy()
    fit_gaussians(heatmap, 1.0)
    np.testing.assert_array_equal(heatmap, before)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_type_and_layout_of_the_array_do_not_matter(order: str, kind: type) -> None:
    heatmap = heatmap_of((24, 20, 16), [[9.4, 10.2, 7.7]], [0.9], 1.2)
    found = fit_gaussians(np.asarray(heatmap, dtype=kind, order=order)[::-1], 1.2)
    assert_allclose(found.centers_vox, [[23 - 9.4, 10.2, 7.7]], rtol=0, atol=CENTER_VOX)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(0.5, 0.5, 0.5), (1, 1, 1), (2.5, 0.5, 1)]))
def test_noise_comes_to_an_end_and_no_failed_peak_returns(seed: int, sigma_vox: tuple[float, float, float]) -> None:
    noise = np.random.default_rng(seed).standard_cauchy((14, 15, 16))  # spikes over orders of magnitude
    found = fit_gaussians(noise, sigma_vox, min_existence=1e-6, max_candidates=300)
    assert len(found) <= 300
    assert np.isfinite(found.centers_vox).all()
    assert (found.mass >= 1e-6).all()
    failed = found.centers_vox[(found.flags & FitFlag.FAILED) > 0]
    assert len(np.unique(failed, axis=0)) == len(failed)


def test_what_rounding_leaves_of_a_lesion_is_no_candidate() -> None:
    # Far smaller than any existence, and of no shape: the fits run away, without a warning and without a candidate.
    rest = np.random.default_rng(2).normal(0, 1e-16, (30, 30, 30))
    assert len(fit_gaussians(rest, 1.0)) == 0
    found = fit_gaussians(rest + draw_gaussians((30, 30, 30), [[14.6, 15, 15]], 1.0).astype(float), 1.0)
    assert_allclose(found.centers_vox, [[14.6, 15, 15]], rtol=0, atol=CENTER_VOX)


def test_a_plateau_is_used_up() -> None:
    # Nothing in it is a Gaussian; each place is examined once, so there are not more of them than voxels.
    plateau = np.ones((20, 20, 20), np.float32)
    plateau[10, 10, 10] = 0
    found = fit_gaussians(plateau, 1.0, max_candidates=10**6)
    assert 0 < len(found) < plateau.size
    failed = (found.flags & FitFlag.FAILED) > 0
    assert failed.any()
    assert_allclose(found.mass[failed], found.window_sum[failed])
    assert_allclose(found.centers_vox[failed], found.centers_vox[failed].round())


def test_a_shift_of_the_grid_shifts_the_centres() -> None:
    rng = np.random.default_rng(5)
    heatmap = np.zeros((40, 40, 40), np.float32)
    heatmap[8:28, 8:28, 8:28] = heatmap_of((20, 20, 20), rng.uniform(5, 15, (4, 3)), [0.9, 0.8, 0.6, 0.5], 1.0)
    moved = np.roll(heatmap, (7, 3, 9), (0, 1, 2))  # over the edges of the blocks in which maxima are kept
    a, b = fit_gaussians(heatmap, 1.0), fit_gaussians(moved, 1.0)
    assert len(a) >= 3
    assert_allclose(b.centers_vox - a.centers_vox, [[7, 3, 9]] * len(a), atol=1e-4)
    assert_allclose(b.mass, a.mass, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heatmap": np.zeros((4, 4))}, "three axes"),
        ({"sigma_vox": 0}, "positive"),
        ({"sigma_vox": (1, -1, 1)}, "positive"),
        ({"sigma_vox": np.nan}, "positive"),
        ({"max_candidates": -1}, "0 or more"),
    ],
)
def test_impossible_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_gaussians(**{"heatmap": np.zeros((4, 4, 4)), "sigma_vox": 1.0, **arguments})
