"""What networks can be taught to draw besides heatmaps, and what connected components find in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from napari_lesion_points.core.components import detect_components
from napari_lesion_points.core.events import Validation
from napari_lesion_points.core.heatmap import draw_gaussians
from napari_lesion_points.core.preparation import NetworkInput
from napari_lesion_points.learn.augment import AugmentSettings
from napari_lesion_points.learn.devices import Device
from napari_lesion_points.learn.labels import KINDS, Found, Label, choose_components, find
from napari_lesion_points.learn.network import UNet, UNetConfig
from napari_lesion_points.learn.patches import PatchSampler, PatchSettings
from napari_lesion_points.learn.recipes import RECIPES
from napari_lesion_points.learn.train import TrainSettings, train
from napari_lesion_points.workflow import models

MakeCase = Callable[..., NetworkInput]


def labelled(case: NetworkInput, label: Label) -> NetworkInput:
    """Give a case its target; the mask of a segmentation is 2 voxels around each point."""
    if label.kind == "segmentation":
        blobs = draw_gaussians(case.foreground.shape, case.grid.to_voxel(case.points_world), 1.0)
        case = replace(case, target=(blobs > 0.01).astype(np.float16))
    return replace(case, target=label.target(case))


def test_components_are_found_by_18_neighbours_by_falling_score() -> None:
    values = np.zeros((12, 12, 12))
    values[2, 2, 2:5] = (0.6, 0.7, 0.65)
    values[3, 3, 4] = 0.6  # shares an edge
    values[8, 8, 8:10] = values[9, 9, 9:11] = 0.9  # share an edge
    values[4, 10, 10:12] = 0.8  # too small
    values[3, 4, 7] = 0.9  # too small, and no neighbour
    values[10, 10, 1] = values[11, 11, 2] = values[11, 10, 2] = 0.55
    found = detect_components(values, 0.58, at_maximum=True)
    assert_array_equal(found.score, [0.9, 0.7])
    assert_allclose(found.mean, [0.9, 0.6375])
    assert_array_equal(found.centers_vox[1], [2, 2, 3])
    centre = detect_components(values, 0.58, at_maximum=False).centers_vox[1]
    assert_allclose(centre, [2.25, 2.25, 3.25])
    assert not len(detect_components(values, 0.95, at_maximum=True).score)


def test_a_lesion_that_is_drawn_as_it_should_be_has_a_score_of_one(make_case: MakeCase) -> None:
    case = make_case(1)
    drawn = draw_gaussians(case.foreground.shape, case.grid.to_voxel(case.points_world).round(), 1.5)
    found = find(Label("heatmap", components=True), drawn.astype(np.float32), case, 1.5)
    assert isinstance(found, Found)
    assert max(found.by_threshold) < 0.5  # half of the most that can be drawn: above, there are no lesions
    for detected in found.by_threshold.values():
        assert_allclose(detected.existence, 1.0, rtol=0.01)
    threshold, figures, detected = choose_components([found], 6.0)
    assert detected == [found.by_threshold[threshold]]
    assert (figures.tp, figures.fp) == (2, 0)  # two of the three points lie close together


def test_the_names_are_those_that_models_know() -> None:
    assert models.LABELS == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_highest_at_the_points(make_case: MakeCase, kind: Any) -> None:
    label, case = Label(kind), make_case(1)
    target = labelled(case, label).target
    if kind == "heatmap":
        assert target is None
        return
    assert target is not None
    points = case.grid.to_voxel(case.points_world)
    assert (ndimage.map_coordinates(target.astype(float), points.T, order=0) > 0.6).all()
    assert 0 <= target.min() < 0.01
    assert target.max() <= 1


def test_a_dense_target_moves_with_the_images(make_case: MakeCase) -> None:
    case = make_case(1, shape=(24, 24, 24))
    image = case.images[0].astype(np.float32)
    scaled = np.clip((image - image.min()) / np.ptp(image), 0.01, 1).astype(np.float16)
    case = replace(case, images=scaled[None], target=scaled, foreground=np.ones_like(case.foreground))
    settings = PatchSettings((16, 16, 16), (16, 16, 16), (1.5,) * 3, augment=AugmentSettings(1.0, intensity=0.0))
    images, targets = PatchSampler([case], settings, np.random.default_rng(0)).batch(6)
    assert_allclose(images.numpy(), targets.numpy(), atol=1e-3)
    loud = replace(settings, augment=AugmentSettings(1.0, intensity=0.5))
    images, targets = PatchSampler([case], loud, np.random.default_rng(0)).batch(6)
    assert not np.allclose(images.numpy(), targets.numpy(), atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_each_label_is_learned_and_read(make_case: MakeCase, kind: Any) -> None:
    label = Label(kind, components=kind != "heatmap")
    cases, aside = ([labelled(make_case(s), label) for s in some] for some in ((1, 2, 3, 4), (11, 12)))
    patches = PatchSettings((16, 16, 16), (8, 8, 8), (1.2, 1.2, 1.2))
    how = TrainSettings(replace(RECIPES["fast"], batch=2), patches, epochs=16, label=label)
    torch.manual_seed(0)
    network = UNet(UNetConfig(1, filters=4, levels=2, bias=-4.0))
    events = list(train(network, cases, aside, how, Device("cpu", "CPU", half=False), started=time.monotonic()))
    figures = [e for e in events if isinstance(e, Validation)][-1]
    assert figures.f1 > 0.7
    assert 0 < figures.threshold < 1


def test_a_heatmap_can_be_read_both_ways(make_case: MakeCase) -> None:
    case = make_case(3)
    heatmap = draw_gaussians(case.foreground.shape, case.grid.to_voxel(case.points_world), 1.2)
    fitted = find(Label(), heatmap, case, (1.2, 1.2, 1.2))
    parts = find(Label(components=True), heatmap, case, (1.2, 1.2, 1.2))
    assert len(fitted.existence) == 3  # type: ignore[union-attr]
    by_threshold = parts.by_threshold[0.2]  # type: ignore[union-attr]
    assert len(by_threshold.existence) == 3
    gaps = np.linalg.norm(by_threshold.centers_world[:, None] - case.points_world, axis=-1).min(axis=0)
    assert gaps.max() < 2.0  # mm: a voxel
