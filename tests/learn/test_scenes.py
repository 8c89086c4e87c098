"""Patches of simulated patients: lesions lie where the target has them, and sequences come and go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from napari_lesion_points.core.geometry import Grid
from napari_lesion_points.core.phantom import Anatomy
from napari_lesion_points.core.phantom.look import VARIED, draw_sequences
from napari_lesion_points.core.phantom.scene import Scene, draw_scene
from napari_lesion_points.learn.patches import PatchSettings
from napari_lesion_points.learn.scenes import ScenePatches

SETTINGS = PatchSettings((24, 24, 24), (16, 16, 16), (1.5, 1.5, 1.5), lesion_share=1.0)
SEQUENCES = tuple(VARIED)


@pytest.fixture(scope="module")
def scene() -> Scene:
    shape, center = (40, 44, 36), np.array([20, 22, 18])
    radius = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - center, axis=-1)
    wm, csf = ((radius >= 3) & (radius < 14)).astype(np.float32), (radius < 3).astype(np.float32)
    gm = ((radius >= 14) & (radius < 17)).astype(np.float32)
    anatomy = Anatomy(gm, wm, csf, wm + 0.7 * gm + 0.25 * csf, Grid(shape, np.diag([2.0, 2, 2, 1])))
    return draw_scene(np.random.default_rng(0), anatomy, lesions=(4, 4), varied=True)


def source(scene: Scene, seed: int = 0, spacing_mm: tuple[float, float] = (1.5, 3.0)) -> ScenePatches:
    return ScenePatches([scene], SEQUENCES, SETTINGS, spacing_mm, np.random.default_rng(seed))


def test_the_same_seed_draws_the_same_patches(scene: Scene) -> None:
    one, same, other = (source(scene, seed).batch(2)[0] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    early, target = source(scene).batch(3, early=True)
    assert early.shape == (3, 4, 16, 16, 16)
    assert target.shape == (3, 1, 16, 16, 16)
    assert early.dtype == target.dtype == torch.float32


def test_each_patch_has_some_sequences_and_the_others_are_0(scene: Scene) -> None:
    images, _ = source(scene).batch(24, early=True)
    present = (images != 0).flatten(2).any(dim=2)
    assert present.any(dim=1).all()
    assert set(present.sum(dim=1).tolist()) == {1, 2, 3, 4}
    assert 0.6 < present[:, 0].float().mean() < 1


def test_targets_have_a_unit_of_mass_where_the_lesions_are(scene: Scene) -> None:
    images, target = source(scene, spacing_mm=(2.0, 2.0)).batch(16)
    assert (target.flatten(1).sum(dim=1) > 0.5).sum() > 12
    brighter = []
    for x, heat in zip(images, target, strict=True):
        flair, weight = x[0], heat[0]
        if flair.any() and weight.max() > 0.012:
            peak = weight > 0.5 * weight.max()
            around = (weight > 0.01 * weight.max()) & ~peak & (flair != 0)
            brighter.append(float(flair[peak].mean() - flair[around].median()))
    assert len(brighter) > 6
    assert np.mean(np.array(brighter) > 0) > 0.8


def test_sequences_are_drawn_in_order_and_flair_most_often() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_sequences(rng, SEQUENCES) for _ in range(500)]
    for names in drawn:
        assert list(names) == [s for s in SEQUENCES if s in names]
    assert {len(names) for names in drawn} == {1, 2, 3, 4}
    assert np.mean(["FLAIR" in names for names in drawn]) == pytest.approx(0.88, abs=0.07)
    assert_array_equal(draw_sequences(rng, ["T1w"]), ["T1w"])
