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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The steps as they are described, with SciPy's fit, and the whole volume in every step.

    Returns centres, masses, and the sums of the windows as they were when their turn came.
    """
    rest = heatmap.astype(float)
    radius = np.ceil(3 * sigma_vox).astype(int)
    height = peak_height(sigma_vox)

    def gaussian(at: np.ndarray, x: float, y: float, z: float, mass: float) -> np.ndarray:
        offsets = [(a - c) / s for a, c, s in zip(at, (x, y, z), sigma_vox, strict=True)]
        return mass * height * np.exp(-0.5 * np.sum(np.square(offsets), axis=0))

    def whole(center: np.ndarray, mass: float) -> np.ndarray:
        x, y, z = (
            np.exp(-0.5 * ((np.arange(n) - c) / s) ** 2) for n, c, s in zip(rest.shape, center, sigma_vox, strict=True)
        )
        return mass * height * x[:, None, None] * y[:, None] * z

    centers, masses, sums = [], [], []
    for _ in range(max_candidates):
        peak = np.unravel_index(rest.argmax(), rest.shape)
        box = tuple(slice(max(p - r, 0), min(p + r + 1, n)) for p, r, n in zip(peak, radius, rest.shape, strict=True))
        values = rest[box].ravel()
        at = np.stack([g.ravel() for g in np.mgrid[box]])
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
            rest -= whole(fitted[:3], fitted[3])
        centers.append(fitted[:3])
        masses.append(fitted[3])
        sums.append(values.sum())
    return np.array(centers).reshape(-1, 3), np.array(masses), np.array(sums)


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
    expected_centers, expected_mass, expected_sums = one_after_the_other(heatmap, sigma)
    assert len(found) == len(expected_mass)
    assert_allclose(found.centers_vox, expected_centers, rtol=0, atol=CENTER_VOX)
    assert_allclose(found.mass, expected_mass, rtol=0, atol=MASS)
    assert_allclose(found.window_sum, expected_sums, rtol=0, atol=MASS)


@pytest.mark.filterwarnings("ignore:Covariance of the parameters")
@pytest.mark.parametrize("noise", [0, 0.01])
@pytest.mark.parametrize("seed", range(2))
def test_twenty_lesions_in_a_brain_are_the_slow_ones(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    shape, sigma = (64, 192, 192), np.ones(3)
    centers_vox = rng.uniform(0, np.array(shape) - 1, (17, 3))
    beside = centers_vox[:3] + rng.choice([-1, 1], (3, 3)) * [2.5, 1.5, 1.0]
    heatmap = heatmap_of(shape, [*centers_vox, *beside], rng.uniform(0.3, 1.2, 20), sigma)
    heatmap += rng.normal(0, noise * peak_height(sigma), shape).astype(np.float32)
    found = fit_gaussians(heatmap, sigma)
    expected_centers, expected_mass, expected_sums = one_after_the_other(heatmap, sigma)
    assert len(found) == len(expected_mass)
    assert_allclose(found.centers_vox, expected_centers, rtol=0, atol=CENTER_VOX)
    assert_allclose(found.mass, expected_mass, rtol=0, atol=MASS)
    assert_allclose(found.window_sum, expected_sums, rtol=0, atol=MASS)


def test_of_equal_peaks_the_first_in_the_array_comes_first() -> None:
    # On a grid closer than what one peak can change at another, so that they cannot all be taken at once.
    centers_vox = np.argwhere(np.ones((2, 3, 3))) * 9 + 6
    found = fit_gaussians(heatmap_of((22, 32, 32), centers_vox, np.full(18, 0.8), 1.0), 1.0)
    assert_allclose(found.centers_vox, centers_vox, atol=1e-3)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_fewer_candidates_are_the_first_of_more(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    heatmap = heatmap_of((40, 40, 40), rng.uniform(0, 39, (12, 3)), rng.uniform(0.2, 1.2, 12), 1.0)
    found, first = fit_gaussians(heatmap, 1.0), fit_gaussians(heatmap, 1.0, max_candidates=count)
    examined = min(count, len(found)) if not (found.flags & FitFlag.FAILED).any() else len(first)
    assert len(first) == examined
    assert_allclose(first.centers_vox, found.centers_vox[:examined], atol=1e-4)
    high = fit_gaussians(heatmap, 1.0, min_existence=0.5)
    assert_allclose(high.mass, found.mass[: len(high)], atol=1e-4)


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


@pytest.mark.parametrize("apart", [2.0, 2.5, 2.75, 3.0, 4.0])
@pytest.mark.parametrize("sigma_vox", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.6)])
@pytest.mark.parametrize("noise", [0, 0.003])
def test_together_touching_lesions_have_their_masses(
    apart: float, sigma_vox: tuple[float, float, float], noise: float, rng: np.random.Generator
) -> None:
    sigma = np.array(sigma_vox)
    for _ in range(5):
        direction = rng.normal(size=3)
        first = rng.uniform(13, 15, 3)
        centers_vox = np.array([first, first + apart * sigma * direction / np.linalg.norm(direction)])
        mass = rng.uniform(0.5, 1, 2)
        heatmap = heatmap_of((28, 28, 28), centers_vox, mass, sigma)
        heatmap += rng.normal(0, noise * peak_height(sigma), heatmap.shape).astype(np.float32)
        found = fit_gaussians(heatmap, sigma, joint=True)
        assert len(found) == 2  # one by one there can be a third, of what the first two left
        order = np.linalg.norm(found.centers_vox - first, axis=1).argsort()
        assert_allclose(found.centers_vox[order], centers_vox, atol=0.1)
        assert_allclose(found.mass[order], mass, rtol=0.05)
        assert not (found.flags & FitFlag.FAILED).any()


def test_together_a_pair_whose_first_fit_fails_is_found() -> None:
    # Two lesions alike: the fit of one Gaussian to both runs away, so that one by one there is a single, failed peak.
    for seed in range(2750, 2754):
        rng = np.random.default_rng(seed)
        for _ in range(60):
            direction, first = rng.normal(size=3), 15 + rng.uniform(-0.5, 0.5, 3)
            centers_vox = np.array([first, first + 2.75 * direction / np.linalg.norm(direction)])
            mass = rng.uniform(0.73, 0.75, 2)
            heatmap = heatmap_of((31, 31, 31), centers_vox, mass, 1.0)
            if (fit_gaussians(heatmap, 1.0).flags & FitFlag.FAILED).any():
                found = fit_gaussians(heatmap, 1.0, joint=True)
                assert_allclose(np.sort(found.mass), np.sort(mass), rtol=0.01)
                return
    pytest.fail("no such pair: the test shows nothing")


def test_together_changes_neither_lesions_apart_nor_what_is_no_sum_of_gaussians(rng: np.random.Generator) -> None:
    apart = heatmap_of((50, 20, 20), [[8, 10, 10.4], [24, 9.7, 10], [41, 10, 10]], [0.9, 1.2, 0.5], 1.0)
    one, together = fit_gaussians(apart, 1.0), fit_gaussians(apart, 1.0, joint=True)
    assert_allclose(together.centers_vox, one.centers_vox, atol=1e-3)
    assert_allclose(together.mass, one.mass, atol=1e-3)
    # A wide blob, as a network draws when it is unsure of the place; and a heatmap without anything.
    blob = 0.9 * draw_gaussians((30, 30, 30), [[15, 14.2, 14.7]], (1.6, 2.2, 1.9))
    assert len(fit_gaussians(blob, 1.0)) >= 1
    assert_allclose(fit_gaussians(blob, 1.0, joint=True).mass, fit_gaussians(blob, 1.0).mass)
    assert len(fit_gaussians(np.zeros((9, 9, 9)), 1.0, joint=True)) == 0


@pytest.mark.parametrize("sigma_vox", [(1.0, 1.0, 1.0), (1.5, 1.0, 0.6)])
def test_with_a_background_term_a_floor_adds_nothing(sigma_vox: tuple[float, float, float]) -> None:
    centers_vox, mass = np.array([[10.3, 10, 9.6], [29, 0.4, 10.2]]), [0.8, 0.6]
    heatmap = heatmap_of((40, 20, 20), centers_vox, mass, sigma_vox) + np.float32(4e-4)
    plain = fit_gaussians(heatmap, sigma_vox)
    assert (plain.mass[:2] - mass > 0.01).all()
    found = fit_gaussians(heatmap, sigma_vox, background=True)
    assert_allclose(found.mass, mass, atol=1e-3)
    assert_allclose(found.centers_vox, centers_vox, atol=1e-3)


def test_under_noise_the_centre_is_as_good_as_it_can_be() -> None:
    # White noise of 5 % of the peak. Fisher information of a centre: mass^2 * sum of squared slopes / noise^2.
    rng = np.random.default_rng(3)
    centers_vox = np.argwhere(np.ones((3, 6, 6))) * 16 + 8 + rng.uniform(-0.5, 0.5, (108, 3))
    noise = 0.05 * peak_height(1.0)
    heatmap = draw_gaussians((48, 96, 96), centers_vox, 1.0) + rng.normal(0, noise, (48, 96, 96))
    found = fit_gaussians(heatmap, 1.0, min_existence=0.5, max_candidates=200)
    assert len(found) == 108
    nearest = np.linalg.norm(found.centers_vox[:, None] - centers_vox, axis=2).argmin(axis=1)
    error = np.sqrt(np.square(found.centers_vox - centers_vox[nearest]).mean())
    bound = noise / np.sqrt(1 / (16 * np.pi**1.5))
    assert bound < 0.04
    assert error < 1.15 * bound  # 1 but for the window's edge and for chance


@pytest.mark.parametrize("sigma_vox", [5, 20, 1000, (1000, 1, 1)])
@pytest.mark.parametrize("content", ["noise", "a narrow lesion", "a wide lesion"])
def test_a_sigma_beyond_the_volume_finds_nothing_twice(sigma_vox: object, content: str) -> None:
    heatmap = {
        "noise": np.random.default_rng(0).random((20, 20, 20)),
        "a narrow lesion": draw_gaussians((20, 20, 20), [[9, 10, 8.3]], 1.0),
        "a wide lesion": draw_gaussians((20, 20, 20), [[9, 10, 8.3]], 5.0),
    }[content]
    for joint in (False, True):
        found = fit_gaussians(heatmap, sigma_vox, joint=joint)
        assert np.isfinite(found.mass).all()
        assert len(np.unique(found.centers_vox.round(1), axis=0)) == len(found) < 100


@pytest.mark.parametrize("scale", [1e-6, 1e3, 1e20, 1e30])
def test_masses_follow_the_scale_of_the_heatmap(scale: float) -> None:
    heatmap = heatmap_of((20, 20, 20), [[9.3, 10, 8.8]], [0.9], 1.0).astype(float)
    for joint in (False, True):
        found = fit_gaussians(heatmap * scale, 1.0, min_existence=0.1 * scale, joint=joint)
        assert_allclose(found.mass, [0.9 * scale], rtol=1e-4)
        assert_allclose(found.centers_vox, [[9.3, 10, 8.8]], atol=1e-3)


@pytest.mark.parametrize("value", [1e31, 1e39, -1e300, np.inf])
def test_values_too_large_for_the_fit_count_as_zero_and_are_flagged(value: float) -> None:
    heatmap = heatmap_of((40, 20, 20), [[10, 10, 10], [30, 10, 10]], [0.9, 0.8], 1.0).astype(float)
    heatmap[33, 10, 10] = value
    found = fit_gaussians(heatmap, 1.0)
    assert_allclose(found.mass, [0.9, 0.8], atol=0.02)
    assert found.flags.tolist() == [FitFlag.OK, FitFlag.NOT_FINITE]


def test_existence_is_the_mass_in_bounds_and_entropy_follows() -> None:
    found = fit_gaussians(heatmap_of((40, 20, 20), [[10, 10, 10], [30, 10, 10]], [1.4, 0.3], 1.0), 1.0)
    assert_allclose(found.mass, [1.4, 0.3], atol=MASS)
    assert_allclose(found.existence, [1.0, 0.3], atol=MASS)
    assert_allclose(found.entropy, binary_entropy(found.existence))
    assert_allclose(found.window_sum, [1.4, 0.3], atol=0.02)  # seven voxels hold 99 % of it
    assert_allclose(found.unfitted_existence, [1.0, 0.3], atol=0.02)


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
