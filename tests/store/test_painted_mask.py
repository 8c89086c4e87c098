"""Painted masks on disk: at the same place in the world whatever was shown, and never lost."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.errors import OutputError
from napari_lesion_points.store.painted_mask import EARLIER, Saved, read_mask, save_mask

OWN = Grid((7, 6, 5), np.array([[-1.1, 0.1, 0, 20], [0.1, 1.0, 0.2, -9], [0, -0.2, 3.0, 4], [0, 0, 0, 1]]))


def painted(*voxels: tuple[int, int, int], label: int = 1) -> Volume:
    """A mask on the displayed grid."""
    shown = OWN.reoriented("SPL")
    data = np.zeros(shown.shape, np.uint8)
    data[tuple(np.array(voxels).T)] = label
    return Volume(data, shown)


def test_what_is_painted_is_at_its_place_in_the_world(tmp_path: Path) -> None:
    mask = painted((1, 2, 3), (4, 0, 6), label=2)
    path = tmp_path / "masks" / "a_mask.nii.gz"
    save_mask(path, mask, OWN, None)
    file = nib.load(path)
    np.testing.assert_allclose(file.affine, OWN.affine, atol=1e-6)
    at_world = nib.affines.apply_affine(file.affine, np.argwhere(np.asarray(file.dataobj) == 2))
    expected = mask.grid.to_world(np.argwhere(mask.data))
    np.testing.assert_allclose(sorted(at_world.tolist()), sorted(expected.tolist()), atol=1e-4)
    again = read_mask(path, mask.grid)
    assert_array_equal(again.data, mask.data)
    assert again.data.dtype == np.uint8
    again.data[0, 0, 0] = 1  # it can be painted in


def test_without_a_file_there_is_an_empty_mask(tmp_path: Path) -> None:
    found = read_mask(tmp_path / "none.nii.gz", OWN)
    assert found.data.shape == OWN.shape
    assert not found.data.any()


def test_an_emptied_mask_is_no_mask_and_what_was_there_before_the_session_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a_mask.nii.gz"
    first = painted((1, 2, 3))
    save_mask(path, first, OWN, None)
    assert not (tmp_path / EARLIER).exists()
    saved = save_mask(path, painted((0, 0, 0)), OWN, None)
    assert saved.displaced is None  # nobody else is painting: it is of another day
    assert save_mask(path, Volume(np.zeros_like(first.data), first.grid), OWN, saved) == Saved(None)
    assert not path.exists()
    (kept,) = (tmp_path / EARLIER).iterdir()
    assert kept.name.endswith("_a_mask.nii.gz")
    assert_array_equal(read_mask(kept, first.grid).data, first.data)


def test_what_another_window_painted_meanwhile_is_kept_each_time(tmp_path: Path) -> None:
    path = tmp_path / "a_mask.nii.gz"
    ours = save_mask(path, painted((1, 1, 1)), OWN, None)
    for voxel in ((2, 2, 2), (3, 3, 3)):
        theirs = painted(voxel)
        save_mask(path, theirs, OWN, ours)
        ours = save_mask(path, painted((1, 1, 1), (1, 1, 2)), OWN, ours)
        assert ours.displaced is not None
        assert_array_equal(read_mask(ours.displaced, theirs.grid).data, theirs.data)
    assert save_mask(path, painted((1, 1, 1)), OWN, ours).displaced is None
    assert len(list((tmp_path / EARLIER).iterdir())) == 2


def test_a_mask_of_another_grid_is_brought_onto_this_one(tmp_path: Path) -> None:
    path = tmp_path / "a_mask.nii.gz"
    save_mask(path, painted((2, 3, 3)), OWN, None)
    fine = OWN.with_spacing(OWN.spacing / 2)
    inside = np.argwhere(read_mask(path, fine).data)
    world = fine.to_world(inside)
    assert np.abs(painted().grid.to_voxel(world) - (2, 3, 3)).max() <= 0.5 + 1e-6


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_mask(tmp_path / "file" / "a_mask.nii.gz", painted((1, 1, 1)), OWN, None)


def test_what_cannot_be_taken_away_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a_mask.nii.gz"
    path.mkdir()
    nothing = painted((1, 1, 1), label=0)
    with pytest.raises(OutputError, match=r"a_mask\.nii\.gz: cannot be removed"):
        save_mask(path, nothing, OWN, None)
