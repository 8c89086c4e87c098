"""NIfTI in and out: nibabel is the oracle; damaged and unfit files are refused by name."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.errors import OutputError, VolumeError
from napari_lesion_points.store.volumes import read_description, read_grid, read_labels, read_volume, write_volume

OBLIQUE = np.array([[-0.7, 0.02, 0.1, 90], [0.03, -0.7, 0.2, 80], [0.01, 0.05, 4.0, -70], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("volumes")


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine, dtype=data.dtype), path)
    return path


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    dtype=st.sampled_from(["float32", "float64", "int16", "uint8", "uint16", "int32", "bool"]),
    ending=st.sampled_from([".nii", ".nii.gz"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_write_and_read_are_inverse(
    folder: Path, shape: tuple[int, int, int], dtype: str, ending: str, seed: int
) -> None:
    data = (np.random.default_rng(seed).normal(size=shape) * 50).clip(0).astype(dtype)
    path = folder / f"volume{ending}"
    write_volume(path, Volume(data, Grid(shape, OBLIQUE)), "sigma_mm=2.0")
    read = read_volume(path)
    assert read.data.dtype == np.float32
    np.testing.assert_array_equal(read.data, data.astype(np.float32))
    np.testing.assert_allclose(read.grid.affine, OBLIQUE, atol=1e-5)
    assert read_grid(path).same_as(read.grid, 0)
    assert read_description(path) == "sigma_mm=2.0"
    if np.dtype(dtype).kind in "iub":
        np.testing.assert_array_equal(read_labels(path).data, data)


def test_the_header_tells_other_programs_the_same_place(tmp_path: Path) -> None:
    rotation = OBLIQUE.copy()
    rotation[:3, :3] = np.linalg.qr(OBLIQUE[:3, :3])[0] * (0.7, 0.7, 4.0)
    write_volume(tmp_path / "v.nii.gz", Volume(np.ones((3, 4, 5), bool), Grid((3, 4, 5), rotation)))
    header = nib.load(tmp_path / "v.nii.gz").header
    np.testing.assert_allclose(header.get_sform(), rotation, atol=1e-5)
    np.testing.assert_allclose(header.get_qform(), rotation, atol=1e-4)
    assert header["sform_code"] == header["qform_code"] == 2
    assert header.get_xyzt_units() == ("mm", "unknown")
    assert header.get_data_dtype() == np.uint8


def test_real_scans_equal_nibabel(shared_data: Path) -> None:
    for path in sorted(shared_data.glob("clinical_grids/sub-*/ses-*/anat/*.nii.gz")):
        oracle = nib.load(path)
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.data, oracle.get_fdata(dtype=np.float32))
        np.testing.assert_array_equal(volume.grid.affine, oracle.affine)


def test_scaling_trailing_axes_and_absent_codes(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4, 1), None)
    image.header.set_slope_inter(0.5, 10)
    image.header.set_zooms((1.0, 2.0, 3.0, 1.0))
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "v.nii")
    volume = read_volume(tmp_path / "v.nii")
    oracle = nib.load(tmp_path / "v.nii")
    np.testing.assert_allclose(volume.data, oracle.get_fdata()[..., 0])
    np.testing.assert_allclose(volume.grid.affine, oracle.affine)
    np.testing.assert_allclose(volume.grid.spacing, [1, 2, 3])


def test_labels_stored_as_floats_are_labels_and_probabilities_are_not(tmp_path: Path) -> None:
    labels = read_labels(save(tmp_path / "l.nii.gz", np.array([[[0, 1, 7]]], dtype=np.float32)))
    assert labels.data.dtype == np.int32
    assert labels.data.tolist() == [[[0, 1, 7]]]
    for value in (0.25, np.nan, np.inf, 2.0**40):
        path = save(tmp_path / "p.nii.gz", np.array([[[0, 1, value]]]))
        with pytest.raises(VolumeError, match=r"p\.nii\.gz: holds .*not a label"):
            read_labels(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_counted_and_placed(tmp_path: Path, value: float) -> None:
    data = np.zeros((2, 3, 4))
    data[1, 2, 3] = value
    with pytest.raises(
        VolumeError, match=r"v\.nii\.gz: 1 voxels are not finite; the first is (nan|inf) at \(1, 2, 3\)"
    ):
        read_volume(save(tmp_path / "v.nii.gz", data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((3, 4, 5, 2), np.float32), r"shape \(3, 4, 5, 2\); expected one 3D"),
        (np.zeros((3, 4), np.float32), r"shape \(3, 4\); expected one 3D"),
        (np.zeros((3, 4, 5), np.complex64), "complex64 values"),
        (np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "values. Convert it to real numbers"),
    ],
)
def test_what_is_no_3d_scan_is_refused(tmp_path: Path, data: np.ndarray, message: str) -> None:
    path = save(tmp_path / "v.nii.gz", data)
    for read in (read_volume, read_labels, read_grid):
        with pytest.raises(VolumeError, match=rf"v\.nii\.gz: .*{message}"):
            read(path)


def test_a_singular_affine_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii", np.zeros((3, 4, 5), np.float32))
    header = bytearray(path.read_bytes())
    header[312:328] = bytes(16)  # srow_z
    path.write_bytes(header)
    with pytest.raises(VolumeError, match=r"v\.nii: .*singular; repair the header"):
        read_volume(path)


@pytest.mark.parametrize("content", [b"", b"x", b"case,x_mm\n" * 200])
@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.txt"])
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=f"{name}.*Copy or convert it again"):
        read_volume(tmp_path / name)


def test_another_format_is_refused(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(np.zeros((3, 4, 5), np.float32), np.eye(4)), tmp_path / "v.mgz")
    with pytest.raises(VolumeError, match=r"v\.mgz: is a MGHImage, not one NIfTI file"):
        read_volume(tmp_path / "v.mgz")


def test_absent_files_folders_and_dangling_links(tmp_path: Path) -> None:
    (tmp_path / "link.nii").symlink_to(tmp_path / "annexed")
    for name, remedy in (("absent.nii", "Check the path"), (".", "Check the path"), ("link.nii", "Fetch the data")):
        with pytest.raises(VolumeError, match=f"no such file. {remedy}"):
            read_volume(tmp_path / name)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, rng: np.random.Generator, ending: str, kept: float) -> None:
    path = save(tmp_path / f"v{ending}", rng.normal(size=(20, 20, 20)).astype(np.float32))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(VolumeError, match=f"v{ending}: not a readable NIfTI file"):
        read_volume(path)


def test_a_flipped_bit_never_passes_for_voxels(tmp_path: Path, rng: np.random.Generator) -> None:
    data = rng.integers(0, 500, (20, 20, 20)).astype(np.int16)
    whole = save(tmp_path / "v.nii.gz", data).read_bytes()
    for at in rng.integers(10, len(whole), 40):  # the first ten bytes are the gzip header: date, operating system
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "v.nii.gz").write_bytes(damaged)
        with pytest.raises(VolumeError):
            read_volume(tmp_path / "v.nii.gz")


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    volume = Volume(np.zeros((2, 2, 2), np.float32), Grid((2, 2, 2), np.eye(4)))
    with pytest.raises(OutputError, match=r"v\.npy: .*let the name end in"):
        write_volume(tmp_path / "v.npy", volume)
    with pytest.raises(OutputError, match="over 80 bytes"):
        write_volume(tmp_path / "v.nii", volume, "é" * 41)
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(OutputError, match=r"folder\.nii: cannot be written"):
        write_volume(tmp_path / "folder.nii", volume)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.nii"]


def test_a_gzip_stream_of_several_members_is_read_whole(tmp_path: Path, rng: np.random.Generator) -> None:
    """As block-compressing tools write them."""
    data = rng.normal(size=(20, 21, 22)).astype(np.float32)
    whole = nib.Nifti1Image(data, np.eye(4)).to_bytes()
    half = len(whole) // 2
    path = tmp_path / "blocks.nii.gz"
    path.write_bytes(gzip.compress(whole[:half]) + gzip.compress(whole[half:]) + gzip.compress(b""))
    np.testing.assert_array_equal(read_volume(path).data, data)
