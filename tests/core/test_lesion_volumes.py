"""Lesions and their volumes from a probability: against scikit-image's region properties, on oblique grids too."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from skimage.measure import label, regionprops

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.lesion_volumes import label_lesions, lesion_volumes, voxel_ml

SHEARED = np.array([[-1.2, 0.3, 0, 40], [0.2, 0.9, 0.4, -20], [0, -0.5, 3.1, 7], [0, 0, 0, 1]])


def drawn(seed: int) -> Volume:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(30, 28, 20)), 1.2)
    return Volume((noise / noise.max()).astype(np.float32), Grid(noise.shape, SHEARED))


@pytest.mark.parametrize("seed", range(4))
def test_lesions_are_those_of_scikit_image(seed: int) -> None:
    probability = drawn(seed)
    found = label_lesions(probability, 0.55)
    theirs = regionprops(label(probability.data >= np.float32(0.55), connectivity=2))
    kept = sorted((p for p in theirs if p.area >= 3), key=lambda p: -p.area)
    measured = lesion_volumes(found)
    assert [one.label for one in measured] == list(range(1, len(kept) + 1))
    assert [one.voxels for one in measured] == [int(p.area) for p in kept]
    for one in measured:  # each is one of theirs, whole
        coordinates = np.argwhere(found.data == one.label)
        assert any(np.array_equal(coordinates, p.coords) for p in kept)
        assert_allclose(one.center_world, probability.grid.to_world(coordinates.mean(axis=0))[0])
        assert one.volume_ml == pytest.approx(one.voxels * abs(np.linalg.det(SHEARED[:3, :3])) / 1000)


def test_the_total_is_the_volume_of_all_voxels() -> None:
    found = label_lesions(drawn(7), 0.4, min_voxels=1)
    total = sum(one.volume_ml for one in lesion_volumes(found))
    assert total == pytest.approx(np.count_nonzero(drawn(7).data >= np.float32(0.4)) * voxel_ml(found.grid))


def test_a_turned_array_has_the_same_lesions() -> None:
    probability = drawn(3)
    mine, turned = (lesion_volumes(label_lesions(v, 0.5)) for v in (probability, probability.reoriented("SPL")))
    assert [one.voxels for one in mine] == [one.voxels for one in turned]
    assert {tuple(np.round(one.center_world, 6)) for one in mine} == {
        tuple(np.round(one.center_world, 6)) for one in turned
    }


def test_nothing_drawn_is_no_lesion() -> None:
    empty = label_lesions(Volume(np.zeros((3, 3, 3), np.float32), Grid((3, 3, 3), np.eye(4))), 0.5)
    assert lesion_volumes(empty) == ()
    assert empty.data.dtype == np.uint16
    assert_array_equal(empty.data, 0)
