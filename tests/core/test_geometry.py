"""Grids and volumes against nibabel, on oblique, flipped and anisotropic grids."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from nibabel.orientations import aff2axcodes, axcodes2ornt, io_orientation, ornt_transform
from nibabel.processing import resample_from_to
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_lesion_points.core.geometry import DISPLAY_AXES, NETWORK_AXES, Grid, Volume
from napari_lesion_points.errors import GridError

AXCODES = ["RAS", "SPL", "LPS", "LAS", "IRP", "ASR"]


def random_grid(seed: int, tilt_deg: float = 20) -> Grid:
    """A grid of random shape, spacing, axis order, flips and obliquity."""
    rng = np.random.default_rng(seed)
    tilt = Rotation.from_euler("xyz", rng.uniform(-tilt_deg, tilt_deg, 3), degrees=True).as_matrix()
    axes = np.eye(3)[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
    affine = np.eye(4)
    affine[:3, :3] = tilt @ axes * rng.uniform(0.4, 5, 3)
    affine[:3, 3] = rng.uniform(-150, 150, 3)
    i, j, k = (int(n) for n in rng.integers(5, 14, 3))
    return Grid((i, j, k), affine)


def smooth_volume(grid: Grid, seed: int) -> Volume:
    """A volume without fine structure, so that interpolation is accurate."""
    noise = np.random.default_rng(seed).normal(size=grid.shape)
    return Volume(ndimage.gaussian_filter(noise, 1).astype(np.float32), grid)


grids = st.integers(0, 2**32 - 1).map(random_grid)


@given(grids, st.integers(0, 2**32 - 1))
def test_world_and_voxel_are_inverse_and_agree_with_nibabel(grid: Grid, seed: int) -> None:
    points_vox = np.random.default_rng(seed).uniform(-3, 16, (20, 3))
    points_world = grid.to_world(points_vox)
    assert_allclose(points_world, apply_affine(grid.affine, points_vox), atol=1e-9)
    assert_allclose(grid.to_voxel(points_world), points_vox, atol=1e-9)
    assert_allclose(grid.spacing, nib.affines.voxel_sizes(grid.affine))


@pytest.mark.parametrize("convert", ["to_world", "to_voxel"])
def test_no_points_stay_no_points(convert: str) -> None:
    assert getattr(random_grid(0), convert)([]).shape == (0, 3)


@given(grids)
def test_axcodes_are_nibabels(grid: Grid) -> None:
    assert grid.axcodes == "".join(aff2axcodes(grid.affine))


@given(grids, st.sampled_from(AXCODES))
def test_reorienting_agrees_with_nibabel(grid: Grid, axcodes: str) -> None:
    data = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    change = ornt_transform(io_orientation(grid.affine), axcodes2ornt(axcodes))
    expected = nib.Nifti1Image(data.astype(np.int32), grid.affine).as_reoriented(change)
    ours = Volume(data, grid).reoriented(axcodes)
    assert ours.grid.axcodes == axcodes
    assert_array_equal(ours.data, np.asarray(expected.dataobj))
    assert_allclose(ours.grid.affine, expected.affine, atol=1e-9)


@given(grids, st.sampled_from(AXCODES), st.integers(0, 2**32 - 1))
def test_reorienting_leaves_each_value_at_its_place_in_the_world(grid: Grid, axcodes: str, seed: int) -> None:
    volume = Volume(np.arange(np.prod(grid.shape)).reshape(grid.shape), grid)
    turned = volume.reoriented(axcodes)
    index = tuple(int(i) for i in np.random.default_rng(seed).integers(0, grid.shape))
    there = tuple(np.rint(turned.grid.to_voxel(grid.to_world(index))[0]).astype(int))
    assert turned.data[there] == volume.data[index]
    assert_array_equal(turned.reoriented(grid.axcodes).data, volume.data)


def test_the_display_and_the_network_have_their_axes() -> None:
    assert [random_grid(5).reoriented(axes).axcodes for axes in (DISPLAY_AXES, NETWORK_AXES)] == ["SPL", "RAS"]


def test_display_slices_are_radiological() -> None:
    # In a slice along the first axis, rows go down the screen to posterior and columns go right to the patient's left.
    volume = Volume(np.zeros((10, 12, 14), np.float32), Grid((10, 12, 14), np.eye(4)))
    volume.data[8, 3, 5] = 1  # at x = 8 of 10: the patient's right; at y = 3 of 12: posterior
    shown = volume.reoriented(DISPLAY_AXES).data
    assert np.argwhere(shown).tolist() == [[5, 8, 1]]


@settings(max_examples=25)
@given(grids, st.integers(0, 2**32 - 1), st.integers(0, 1))
def test_resampling_to_finer_oblique_grids_agrees_with_nibabel(grid: Grid, seed: int, order: int) -> None:
    volume = smooth_volume(grid, seed)
    # As fine as the finest source axis, so that nothing is smoothed; tilted against it; reaching beyond its faces.
    tilt = Rotation.from_euler("xyz", [4, -7, 11], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = tilt @ grid.affine[:3, :3] / grid.spacing * grid.spacing.min() * 0.6
    affine[:3, 3] = grid.affine[:3, 3]
    target = Grid((12, 11, 10), affine)
    source = nib.Nifti1Image(np.asarray(volume.data), grid.affine)
    expected = resample_from_to(source, (target.shape, target.affine), order=order, mode="grid-constant")
    assert_allclose(volume.resampled(target, order).data, expected.get_fdata(), atol=1e-5)


@settings(max_examples=25)
@given(grids, st.sampled_from(AXCODES))
def test_resampling_onto_the_same_voxels_in_other_order_is_reorienting(grid: Grid, axcodes: str) -> None:
    volume = smooth_volume(grid, 1)
    turned = volume.reoriented(axcodes)
    assert_allclose(volume.resampled(turned.grid).data, turned.data, atol=1e-4)


def test_a_spot_stays_at_its_place_through_coarse_anisotropic_oblique_grids() -> None:
    fine = Grid((60, 60, 60), np.diag([1.0, 1, 1, 1]))
    at_world = np.array([31.0, 27.0, 30.0])
    distance_mm = np.linalg.norm(np.moveaxis(np.indices(fine.shape), 0, -1) - at_world, axis=-1)
    spot = Volume(np.exp(-(distance_mm**2) / 2 / 4**2).astype(np.float32), fine)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [3, 12, -8], degrees=True).as_matrix() * [1.3, 2.0, 4.0]
    coarse = Grid((50, 40, 25), affine)
    affine[:3, 3] = 30 - coarse.to_world([[24.5, 19.5, 12]])[0]
    coarse = Grid(coarse.shape, affine)
    seen = spot.resampled(coarse)
    assert_allclose(coarse.to_world(ndimage.center_of_mass(seen.data))[0], at_world, atol=0.05)
    assert seen.data.sum() * np.prod(coarse.spacing) == pytest.approx(spot.data.sum(), rel=0.01)


def test_structure_finer_than_the_target_is_averaged_not_aliased() -> None:
    stripes = np.indices((48, 48, 48))[2] % 2
    volume = Volume(stripes.astype(np.float32), Grid(stripes.shape, np.eye(4)))
    coarse = volume.resampled(volume.grid.with_spacing([1, 1, 4]))
    assert_allclose(coarse.data[8:-8, 8:-8, 2:-2], 0.5, atol=0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, bool])
def test_labels_survive_nearest_resampling(dtype: type) -> None:
    labels = np.zeros((12, 12, 12), dtype)
    labels[4:8, 4:8, 4:8] = 1
    volume = Volume(labels, Grid(labels.shape, np.diag([2.0, 2, 2, 1])))
    finer = volume.resampled(volume.grid.with_spacing(1), order=0)
    assert finer.data.dtype == dtype
    assert np.count_nonzero(finer.data) == 8 * np.count_nonzero(labels)


@given(grids, st.tuples(*[st.floats(0.5, 6)] * 3))
def test_a_new_spacing_covers_the_same_extent(grid: Grid, spacing_mm: tuple[float, float, float]) -> None:
    other = grid.with_spacing(spacing_mm)
    assert_allclose(other.spacing, spacing_mm)
    assert other.axcodes == grid.axcodes
    assert_allclose(other.to_world([[-0.5] * 3]), grid.to_world([[-0.5] * 3]), atol=1e-9)
    difference_mm = np.array(other.shape) * other.spacing - np.array(grid.shape) * grid.spacing
    assert (
        np.abs(difference_mm) <= np.maximum(other.spacing / 2, other.spacing - grid.shape * grid.spacing) + 1e-6
    ).all()


@given(grids, st.integers(0, 2**32 - 1))
def test_cropping_leaves_each_voxel_at_its_place_in_the_world(grid: Grid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.integers(0, np.array(grid.shape) - 1)
    stop = rng.integers(start + 1, np.array(grid.shape) + 1)
    cropped = grid.cropped(tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)))
    assert cropped.shape == tuple(stop - start)
    assert_allclose(cropped.to_world(np.zeros(3)), grid.to_world(start), atol=1e-9)
    assert_allclose(cropped.to_world(stop - start), grid.to_world(stop), atol=1e-9)


def test_a_grid_contains_its_voxels_up_to_their_faces() -> None:
    grid = Grid((4, 5, 6), np.diag([2.0, 2, 3, 1]))
    points = grid.to_world([[-0.5, 0, 0], [3.5, 4.5, 5.5], [-0.51, 0, 0], [0, 0, 5.6]])
    assert grid.contains(points).tolist() == [True, True, False, False]
    assert grid.contains([]).shape == (0,)


def test_grids_are_the_same_within_a_tolerance_in_mm() -> None:
    grid = random_grid(2)
    shifted = grid.affine.copy()
    shifted[0, 3] += 0.005
    assert grid.same_as(Grid(grid.shape, shifted))
    shifted[0, 3] += 0.01
    assert not grid.same_as(Grid(grid.shape, shifted))
    assert not grid.same_as(Grid((grid.shape[0] + 1, *grid.shape[1:]), grid.affine))


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((3, 3), np.eye(4), "three axes"),
        ((3, 3, 0), np.eye(4), "three axes"),
        ((3, 3, 3), np.eye(3), "expected"),
        ((3, 3, 3), np.full((4, 4), np.nan), "finite"),
        ((3, 3, 3), np.diag([1, 1, 0, 1]), "singular"),
        ((3, 3, 3), np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
    ],
)
def test_impossible_grids_are_refused(shape: tuple[int, ...], affine: np.ndarray, message: str) -> None:
    with pytest.raises(GridError, match=message):
        Grid(shape, affine)


@pytest.mark.parametrize("spacing_mm", [0, -1, [1, 1, np.nan], np.inf])
def test_impossible_spacing_is_refused(spacing_mm: object) -> None:
    with pytest.raises(GridError, match="spacing_mm"):
        random_grid(0).with_spacing(spacing_mm)


def test_an_array_must_fit_its_grid() -> None:
    with pytest.raises(GridError, match=r"\(2, 2, 2\)"):
        Volume(np.zeros((2, 2, 2)), Grid((2, 2, 3), np.eye(4)))


def test_an_affine_cannot_be_changed_behind_a_grids_back() -> None:
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 3] = 5
    assert grid.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 5


def test_clinical_grids_resample_onto_each_other_as_in_nibabel(shared_data: Path) -> None:
    folder = shared_data / "clinical_grids" / "sub-01" / "ses-1" / "anat"
    flair, t1w = (nib.load(folder / f"sub-01_ses-1_{name}.nii.gz") for name in ("FLAIR", "T1w"))
    volume = Volume(t1w.get_fdata(dtype=np.float32), Grid(t1w.shape, t1w.affine))
    expected = resample_from_to(t1w, flair, order=1, mode="grid-constant").get_fdata()
    ours = volume.resampled(Grid(flair.shape, flair.affine)).data
    # Ours smooths where the target is coarser, so equal up to fine structure: place is what is tested.
    assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("shift_mm", [1e-13, -1e-13])
def test_the_last_bits_of_an_affine_leave_background_at_zero(shift_mm: float) -> None:
    data = np.zeros((8, 8, 8), np.float32)
    data[3:6, 3:6, 3:6] = 100
    affine = np.eye(4)
    affine[:3, 3] = shift_mm
    expected = Volume(data, Grid(data.shape, np.eye(4))).resampled(Grid((15, 15, 15), np.diag([0.5, 0.5, 0.5, 1.0])))
    found = Volume(data, Grid(data.shape, affine)).resampled(expected.grid)
    assert_array_equal(found.data != 0, expected.data != 0)
