"""Points of masks and label images."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.errors import VolumeError

OBLIQUE = np.array([[0.5, 0.1, 0, -20], [-0.1, 0.5, 0.3, 10], [0, -0.1, 3, 5], [0, 0, 0, 1]])


def volume(data: np.ndarray, affine: np.ndarray = OBLIQUE) -> Volume:
    return Volume(data, Grid(data.shape, affine))


def test_a_mask_is_split_where_not_even_corners_touch() -> None:
    mask = np.zeros((12, 12, 12), np.uint8)
    mask[1, 1, 1] = mask[2, 2, 2] = mask[3, 3, 3] = 1  # joined by corners
    mask[6, 6, 4:8] = 1
    found = component_centres(volume(mask))
    assert found.sizes.tolist() == [3, 4]
    assert_allclose(found.centers_world, volume(mask).grid.to_world([[2, 2, 2], [6, 6, 5.5]]))


@pytest.mark.parametrize(("min_voxels", "sizes"), [(1, [1, 2, 3]), (3, [3]), (4, [])])
def test_small_components_of_a_mask_are_dropped(min_voxels: int, sizes: list[int]) -> None:
    mask = np.zeros((9, 9, 9), bool)
    mask[0, 0, 0] = mask[4, 4, :2] = mask[8, 8, :3] = True
    assert component_centres(volume(mask), min_voxels).sizes.tolist() == sizes


def test_a_label_image_keeps_its_labels_connected_or_not_and_small_ones_too() -> None:
    labels = np.zeros((9, 9, 9), np.int16)
    labels[1, 1, 1] = labels[7, 7, 7] = 9
    labels[4, 4, 4:7] = 2
    labels[4, 5, 4] = 5  # touches label 2
    found = component_centres(volume(labels))
    assert found.labels.tolist() == [2, 5, 9]
    assert found.sizes.tolist() == [3, 1, 2]
    assert_allclose(found.centers_world, volume(labels).grid.to_world([[4, 4, 5], [4, 5, 4], [4, 4, 4]]))


def test_a_mask_of_any_single_value_is_binary() -> None:
    mask = np.zeros((9, 9, 9), np.float32)
    mask[1, 1, :3] = mask[7, 7, :3] = 255
    assert component_centres(volume(mask)).labels.tolist() == [1, 2]


def test_an_empty_mask_has_no_lesions() -> None:
    found = component_centres(volume(np.zeros((4, 4, 4), np.uint8)))
    assert found.centers_world.shape == (0, 3)
    assert found.sizes.shape == found.labels.shape == (0,)


def test_a_probability_map_is_refused() -> None:
    with pytest.raises(VolumeError, match=r"0\.25"):
        component_centres(volume(np.full((4, 4, 4), 0.25)))


def test_orientation_of_the_array_does_not_move_the_centres(rng: np.random.Generator) -> None:
    mask = volume(ndimage.gaussian_filter(rng.normal(size=(20, 22, 24)), 1.5) > 0.08)
    straight, turned = component_centres(mask), component_centres(mask.reoriented("SPL"))
    order = np.lexsort(straight.centers_world.T), np.lexsort(turned.centers_world.T)
    assert len(straight.sizes) > 5
    assert_allclose(straight.centers_world[order[0]], turned.centers_world[order[1]])
    assert_array_equal(straight.sizes[order[0]], turned.sizes[order[1]])


def test_centres_are_scipys(rng: np.random.Generator) -> None:
    mask = volume(ndimage.gaussian_filter(rng.normal(size=(20, 22, 24)), 1.5) > 0.08)
    parts, n = ndimage.label(mask.data, np.ones((3, 3, 3)))
    expected = ndimage.center_of_mass(parts > 0, parts, range(1, n + 1))
    assert_allclose(component_centres(mask, min_voxels=1).centers_world, mask.grid.to_world(expected))


@pytest.mark.parametrize(("patient", "lesions"), [("sub-07", 30), ("sub-26", 19)])
def test_consensus_masks_have_their_published_number_of_lesions(shared_data: Path, patient: str, lesions: int) -> None:
    folder = shared_data / "open_ms_bids" / "derivatives" / "consensus" / patient / "anat"
    image = nib.load(folder / f"{patient}_space-MNI152_label-lesion_mask.nii.gz")
    found = component_centres(volume(np.asarray(image.dataobj), image.affine))
    assert len(found.sizes) == lesions
    assert found.sizes.min() >= 3


def test_a_label_image_of_one_lesion_in_two_parts_is_one_lesion_when_it_says_so() -> None:
    data = np.zeros((12, 5, 5), np.uint8)
    data[0:3, 2, 2] = data[8:11, 2, 2] = 1
    labels = Volume(data, Grid(data.shape, np.eye(4)))
    assert component_centres(labels).centers_world.shape == (2, 3)
    np.testing.assert_allclose(component_centres(labels, label_image=True).centers_world, [[5, 2, 2]])
