"""Augmentation and sampling: images and points stay together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from napari_lesion_points.core.heatmap import draw_gaussians, peak_height
from napari_lesion_points.core.preparation import NetworkInput
from napari_lesion_points.learn.augment import (
    MARGIN,
    MAX_ROTATION_DEG,
    SCALE,
    Augmentation,
    AugmentSettings,
    augment_images,
    augment_points,
    draw_augmentation,
)
from napari_lesion_points.learn.labels import Kind, Label
from napari_lesion_points.learn.patches import PatchSampler, PatchSettings

MakeCase = Callable[..., NetworkInput]

NEUTRAL = {"gain": np.ones(1), "shift": np.zeros(1), "gamma": np.ones(1)}


def centre_of_mass(image: torch.Tensor) -> np.ndarray:
    at = np.moveaxis(np.indices(image.shape), 0, -1)
    return np.asarray((at * image.numpy()[..., None]).sum((0, 1, 2)) / float(image.sum()))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("size", "source"), [((16, 16, 16), (20, 20, 20)), ((15, 20, 12), (19, 25, 15))])
def test_a_blob_moves_with_its_point(seed: int, size: tuple[int, int, int], source: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    spacing = np.array([1.0, 1.5, 3.0])
    augmentation = draw_augmentation(rng, 1, spacing, AugmentSettings(1.0, shear_deg=8.0, intensity=0.0))
    assert augmentation.interpolate
    point = (np.array(source) - 1) / 2 + rng.uniform(-1, 1, 3) * 0.2 * np.array(size)
    image = torch.from_numpy(draw_gaussians(source, [point], 1.0))[None]
    moved_image = augment_images(image, size, augmentation)[0]
    moved_point = augment_points(point[None], source, size, augmentation)[0]
    assert moved_image.shape == size
    assert_allclose(centre_of_mass(moved_image), moved_point, atol=0.1)
    assert (np.abs(np.array(np.unravel_index(int(moved_image.argmax()), size)) - moved_point) <= 1).all()


@pytest.mark.parametrize("signs", list(product([-1.0, 1.0], repeat=3)))
@pytest.mark.parametrize(("size", "source"), [((8, 8, 8), (8, 8, 8)), ((7, 8, 6), (9, 11, 8))])
def test_flips_are_exact(
    signs: tuple[float, float, float], size: tuple[int, int, int], source: tuple[int, int, int]
) -> None:
    augmentation = Augmentation(np.diag(signs), **NEUTRAL, interpolate=False)
    voxel = np.array([4, 5, 3])
    image = torch.zeros(1, *source)
    image[(0, *voxel)] = 1
    moved = augment_images(image, size, augmentation)[0]
    at = augment_points(voxel[None].astype(float), source, size, augmentation)[0]
    assert np.argwhere(moved.numpy()).tolist() == [at.tolist()]


def test_interpolating_without_a_change_copies_the_middle() -> None:
    image = torch.randn(2, 20, 20, 20)
    same = Augmentation(np.eye(3), np.ones(2), np.zeros(2), np.ones(2), interpolate=True)
    assert torch.allclose(augment_images(image, (16, 16, 16), same), image[:, 2:18, 2:18, 2:18], atol=1e-5)


def test_intensities_change_per_sequence_and_the_background_stays_zero() -> None:
    image = torch.tensor([2.0, 0.0, -4.0]).reshape(1, 1, 1, 3).repeat(2, 1, 1, 1)
    changed = augment_images(
        image, (1, 1, 3), Augmentation(np.eye(3), np.array([3.0, 1]), np.array([0.5, 0]), np.array([0.5, 1]), False)
    )
    assert_allclose(changed[0].flatten(), [3 * 2**0.5 + 0.5, 0, -3 * 4**0.5 + 0.5], rtol=1e-6)
    assert_allclose(changed[1].flatten(), [2, 0, -4])


def test_what_is_drawn_is_what_the_paper_says() -> None:
    rng = np.random.default_rng(0)
    spacing = np.array([1.0, 1.0, 4.0])
    turn = np.deg2rad(MAX_ROTATION_DEG)
    drawn = [draw_augmentation(rng, 2, spacing, AugmentSettings(0.3, intensity=0.1)) for _ in range(600)]
    assert np.mean([a.interpolate for a in drawn]) == pytest.approx(0.3, abs=0.06)
    for a in drawn:
        in_mm = np.diag(spacing) @ a.matrix @ np.diag(1 / spacing)
        stretch = np.linalg.svd(in_mm, compute_uv=False)
        assert (stretch > SCALE[0] - 1e-9).all()
        assert (stretch < SCALE[1] + 1e-9).all()
        towards = np.abs(np.diag(in_mm)) / np.linalg.norm(in_mm, axis=0)
        assert (towards >= np.cos(turn) ** 2 - np.sin(turn) ** 3).all()  # three turns, one after the other
    flips = np.array([np.sign(np.diag(a.matrix)) for a in drawn])
    assert_allclose(flips.mean(axis=0), 0, atol=0.1)
    assert len(np.unique(flips, axis=0)) == 8


def test_the_margin_fills_a_turned_patch() -> None:
    rng = np.random.default_rng(1)
    size = (24, 24, 24)
    source = torch.ones(1, *(int(np.ceil(n * MARGIN)) for n in size))
    filled = [
        augment_images(source, size, draw_augmentation(rng, 1, np.ones(3), AugmentSettings(1.0))).bool().float().mean()
        for _ in range(50)
    ]
    assert np.mean(filled) > 0.99  # only corners of the most turned can be empty
    assert min(filled) > 0.9


def settings(**changes: Any) -> PatchSettings:
    return PatchSettings((16, 16, 16), (8, 8, 8), (1.0, 1.0, 1.0), **changes)


def test_the_same_seed_draws_the_same_patches(make_case: MakeCase) -> None:
    cases = [make_case(1), make_case(2, lesions=0), make_case(3)]
    samplers = [PatchSampler(cases, settings(), np.random.default_rng(s)) for s in (7, 7, 8)]
    a, b, c = ([sampler.batch(3) for _ in range(3)] for sampler in samplers)
    assert all(torch.equal(x, y) for one, two in zip(a, b, strict=True) for x, y in zip(one, two, strict=True))
    assert not torch.equal(a[0][0], c[0][0])


def test_targets_are_where_the_lesions_are(make_case: MakeCase) -> None:
    # The image is noise and bright blobs: a target's peak is one of its brightest places.
    sampler = PatchSampler(
        [make_case(1)], settings(lesion_share=1.0, augment=AugmentSettings(intensity=0.0)), np.random.default_rng(0)
    )
    images, target = sampler.batch(40)
    assert images.shape == target.shape == (40, 1, 16, 16, 16)
    assert images.dtype == target.dtype == torch.float32
    assert [tuple(t.shape) for t in sampler.batch(2, early=True)] == [(2, 1, 8, 8, 8)] * 2
    masses = target.sum((1, 2, 3, 4))
    assert (masses > 0.4).all()  # a lesion lies in each, at the worst at the patch's edge
    bright = [float(i[t > 0.7 * t.max()].mean()) for i, t in zip(images, target, strict=True)]
    assert np.median(bright) > 1.5
    assert float(images.median()) < 0.5


def test_half_of_the_patches_are_on_lesions_where_there_are_any(make_case: MakeCase) -> None:
    rng = np.random.default_rng(0)
    small = PatchSettings((8, 8, 8), (8, 8, 8), (0.6, 0.6, 0.6))
    with_lesions = PatchSampler([make_case(1, shape=(48, 48, 48), lesions=1)], small, rng).batch(200)[1]
    assert float((with_lesions.sum((1, 2, 3, 4)) > 0.3).float().mean()) == pytest.approx(0.52, abs=0.1)
    without = PatchSampler([make_case(1, lesions=0)], small, rng).batch(20)[1]
    assert not without.any()


def test_patches_lie_inside_the_volume_where_they_fit(make_case: MakeCase) -> None:
    case = make_case(1, shape=(40, 16, 20))
    case.images[...] = 1  # 0 is what lies outside
    images, _ = PatchSampler(
        [case], settings(augment=AugmentSettings(0.0, intensity=0.0)), np.random.default_rng(0)
    ).batch(20)
    assert images.all()


def test_a_case_smaller_than_the_patch_is_padded_with_zeros(make_case: MakeCase) -> None:
    sampler = PatchSampler([make_case(1, shape=(12, 30, 10))], settings(), np.random.default_rng(0))
    images, _ = sampler.batch(10)
    assert images.shape == (10, 1, 16, 16, 16)
    assert torch.isfinite(images).all()
    assert float((images == 0).float().mean()) > 0.5


def test_around_places_that_nobody_judged_the_target_is_unknown(make_case: MakeCase) -> None:
    case = make_case(1, shape=(24, 24, 24))
    case = replace(
        case, points_world=case.grid.to_world([[8, 12, 12]]), unknown_world=case.grid.to_world([[15, 12, 12]])
    )
    settings = PatchSettings((24, 24, 24), (24, 24, 24), (1.5, 1.5, 1.5), augment=AugmentSettings(0.0, intensity=0.0))
    for _, target in zip(*PatchSampler([case], settings, np.random.default_rng(0)).batch(4), strict=True):
        unknown = target[0].isnan()
        at = np.argwhere(unknown.numpy())
        assert np.linalg.norm(at - at.mean(axis=0), axis=1).max() <= 3.0 + 1e-6
        assert abs(len(at) - 4 / 3 * np.pi * 3**3) < 15
        peak = np.array(np.unravel_index(int(target[0].nan_to_num().argmax()), (24, 24, 24)))
        assert np.linalg.norm(peak - at.mean(axis=0)) == pytest.approx(7)
        assert float(target[0].nan_to_num().sum()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("kind", ["euclidean", "geodesic"])
def test_the_target_is_unknown_there_in_a_distance_map_too(make_case: MakeCase, kind: Kind) -> None:
    case = make_case(1, shape=(24, 24, 24))
    case = replace(
        case, points_world=case.grid.to_world([[8, 12, 12]]), unknown_world=case.grid.to_world([[15, 12, 12]])
    )
    drawn = Label(kind).target(case)
    assert drawn is not None
    settings = PatchSettings((24, 24, 24), (24, 24, 24), (1.5, 1.5, 1.5), augment=AugmentSettings(0.0, intensity=0.0))
    sampler = PatchSampler([replace(case, target=drawn)], settings, np.random.default_rng(0))
    for _, target in zip(*sampler.batch(4), strict=True):
        unknown = target[0].isnan().numpy()
        assert abs(unknown.sum() - 4 / 3 * np.pi * 3**3) < 15
        assert float(target[0].nan_to_num().max()) == 1.0


def test_an_annotated_lesion_beside_an_unjudged_place_stays_known(make_case: MakeCase) -> None:
    case = make_case(1, shape=(24, 24, 24))
    case = replace(
        case, points_world=case.grid.to_world([[10, 12, 12]]), unknown_world=case.grid.to_world([[13, 12, 12]])
    )
    settings = PatchSettings((24, 24, 24), (24, 24, 24), (1.5, 1.5, 1.5), augment=AugmentSettings(0.0, intensity=0.0))
    _, target = PatchSampler([case], settings, np.random.default_rng(0)).batch(1)
    known = target[0, 0][~target[0, 0].isnan()]
    assert float(known.max()) == pytest.approx(peak_height((1.5, 1.5, 1.5)), rel=0.01)
    assert target.isnan().any()


def test_away_from_what_was_judged_in_an_unfinished_case_the_model_is_its_own_teacher(make_case: MakeCase) -> None:
    case = make_case(1, shape=(32, 24, 24))
    lesion, judged, believed_in = [5, 12, 12], [15, 12, 12], [25, 12, 12]
    sigma, size = (1.5, 1.5, 1.5), (32, 24, 24)
    drawn = 0.6 * draw_gaussians(size, np.array([lesion, judged, believed_in], float), sigma)
    case = replace(
        case,
        points_world=case.grid.to_world([lesion]),
        judged_world=case.grid.to_world([judged]),
        believed=drawn.astype(np.float16),
    )
    settings = PatchSettings(size, size, sigma, augment=AugmentSettings(0.0, intensity=0.0))
    flipped = 0
    for _, target in zip(*PatchSampler([case], settings, np.random.default_rng(0)).batch(8), strict=True):
        found = target[0].numpy()
        lesion_at = np.array(np.unravel_index(found.argmax(), size))
        direction = np.sign(15.5 - lesion_at[0]).astype(int)  # flips move the places together
        beside = [found[tuple(lesion_at + direction * np.array([away, 0, 0]))] for away in (0, 10, 20)]
        assert_allclose(
            np.array(beside) / peak_height(sigma), [1, 0, 0.6], atol=0.01
        )  # annotated, judged to be none, believed in
        flipped += int(direction < 0)
    assert 0 < flipped < 8


def test_places_that_nobody_judged_stay_unknown_in_an_unfinished_case(make_case: MakeCase) -> None:
    case = make_case(1, shape=(24, 24, 24))
    believed = draw_gaussians((24, 24, 24), np.array([[15.0, 12, 12]]), 1.5).astype(np.float16)
    case = replace(case, points_world=case.grid.to_world([[6, 12, 12]]), believed=believed)
    case = replace(case, unknown_world=case.grid.to_world([[15, 12, 12]]))
    settings = PatchSettings((24, 24, 24), (24, 24, 24), (1.5, 1.5, 1.5), augment=AugmentSettings(0.0, intensity=0.0))
    _, target = PatchSampler([case], settings, np.random.default_rng(0)).batch(1)
    assert abs(int(target.isnan().sum()) - 4 / 3 * np.pi * 3**3) < 15
    assert float(target.nan_to_num().sum()) == pytest.approx(1.25, abs=0.1)  # the lesion, and the believed one's rim
