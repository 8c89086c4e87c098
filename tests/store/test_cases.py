"""Which files are a case, what its sequences are called, and on which grid it is read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.errors import StudyError, VolumeError
from napari_lesion_points.store.cases import CaseFiles, choose_reference, find_cases, load_case, reference_grid
from napari_lesion_points.store.volumes import write_volume

if TYPE_CHECKING:
    from pathlib import Path


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root: Path) -> dict[str, list[str]]:
    return {files.case: list(files.sequences) for files in find_cases(root)}


def test_bids(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "sub-02/anat/sub-02_ce-gadolinium_T1w.nii.gz",
        "sub-02/anat/sub-02_FLAIR.nii",
        "sub-02/anat/sub-02_FLAIR.json",
        "sub-02/anat/sub-02_label-lesion_mask.nii.gz",
        "sub-02/anat/sub-02_label-lesion_dseg.nii.gz",
        "sub-02/anat/.sub-02_T2w.nii.gz",
        "sub-02/dwi/sub-02_dwi.nii.gz",
        "sub-01/ses-b/anat/sub-01_ses-b_run-2_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_FLAIR.nii.gz",
        "derivatives/x/sub-03/anat/sub-03_FLAIR.nii.gz",
        "sourcedata/sub-04/anat/sub-04_FLAIR.nii.gz",
        "loose.nii.gz",
    )
    assert found(tmp_path) == {
        "sub-01_ses-a": ["FLAIR"],
        "sub-01_ses-b": ["run-2_T1w"],
        "sub-02": ["FLAIR", "ce-gadolinium_T1w"],
    }
    assert found(tmp_path / "sub-02") == {"sub-02": ["FLAIR", "ce-gadolinium_T1w"]}


def test_a_link_to_data_not_fetched_is_a_sequence(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz")
    (tmp_path / "sub-01/anat/sub-01_FLAIR.nii.gz").symlink_to("annexed")
    assert found(tmp_path) == {"sub-01": ["FLAIR", "T1w"]}


def test_a_folder_per_case(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "P-002/flair.nii.gz",
        "P-002/t1.nii",
        "P-002/seg.nii.gz",
        "P-001/P-001-flair.nii.gz",
        "P-001/P-001_t1.nii",
        "P-001/P-001-seg.nii.gz",
        "derivatives/lesion-points/x.nii.gz",
        ".hidden/x.nii.gz",
        "empty/readme.txt",
    )
    assert found(tmp_path) == {"P-001": ["flair", "t1"], "P-002": ["flair", "t1"]}


def test_loose_files_and_one_file(tmp_path: Path) -> None:
    case = touch(tmp_path / "Case 7", "T1.nii.gz", "flair.NII", "T1_mask.nii.gz", "Case 7_heatmap.nii.gz")
    assert found(case) == {"Case 7": ["T1", "flair"]}
    assert found(case / "T1.nii.gz") == {"T1": ["T1"]}
    touch(case, "sub-07_FLAIR.nii.gz")
    assert found(case / "sub-07_FLAIR.nii.gz") == {"sub-07_FLAIR": ["FLAIR"]}


@pytest.mark.parametrize(
    ("chosen", "case", "sequences"),
    [
        (("P-1_flair", "P-1_t1w"), "P-1", ["flair", "t1w"]),
        (("P-10_flair", "P-10_t1w"), "P-10", ["flair", "t1w"]),
        (("P-2 T1", "P-2 T2"), "P-2", ["T1", "T2"]),  # cut back to whole words
        (("P-2 T1", "P-2 T2", "P-2"), "P-2", ["P-2", "T1", "T2"]),
        (("sub-07_ses-1_T1w", "sub-07_ses-1_T2w"), "sub-07_ses-1", ["T1w", "T2w"]),
        (("P-1_flair", "sub-07_ses-1_T1w"), "flat", ["P-1_flair", "T1w"]),
        (("P-1_t1w",), "P-1_t1w", ["P-1_t1w"]),  # as when it is opened itself
    ],
)
def test_the_images_of_each_patient_in_one_folder_are_a_case_of_their_own(
    tmp_path: Path, chosen: tuple[str, ...], case: str, sequences: list[str]
) -> None:
    names = (
        "P-1_flair", "P-1_t1w", "P-10_flair", "P-10_t1w", "P-2 T1", "P-2 T2", "P-2", "sub-07_ses-1_T1w",
        "sub-07_ses-1_T2w",
    )  # fmt: skip
    root = touch(tmp_path / "flat", *(f"{name}.nii.gz" for name in names))
    (files,) = find_cases(root, [root / f"{name}.nii.gz" for name in reversed(chosen)])
    assert (files.case, list(files.sequences)) == (case, sequences)


def test_some_images_of_a_folder_of_one_patient_are_the_folders_case(tmp_path: Path) -> None:
    root = touch(tmp_path / "P-1", *(f"MR_{name}.nii" for name in ("flair", "t1", "t2", "t1_mask")))
    (files,) = find_cases(root, [root / "MR_flair.nii", root / "MR_t1.nii"])
    assert (files.case, list(files.sequences)) == ("P-1", ["MR_flair", "MR_t1"])


def test_links_to_folders_of_the_same_name_are_cases_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    for patient in ("ann", "bob"):
        touch(tmp_path / "archive" / patient / "images", "flair.nii")
        (tmp_path / "study" / patient).symlink_to(tmp_path / "archive" / patient / "images")
    assert found(tmp_path / "study") == {"ann": ["flair"], "bob": ["flair"]}


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "mask.nii.gz", "sub-01/anat/sub-01_dseg.nii.gz", "table.csv")
    with pytest.raises(StudyError, match=r"no images found. Looked for .*sub-\*/anat.*\*/.*in the folder itself"):
        find_cases(tmp_path)
    for name in ("absent", "table.csv"):
        with pytest.raises(StudyError, match=f"{name}: is neither a folder nor a .nii"):
            find_cases(tmp_path / name)


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems take no such names")
def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "M\udcfcller"  # a byte that is not UTF-8
    folder.mkdir()
    (folder / "flair.nii.gz").touch()
    with pytest.raises(StudyError, match=r"'M.udcfcller' has a name that is not UTF-8.*Rename it"):
        find_cases(tmp_path)


def test_two_files_of_one_sequence_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_FLAIR.nii", "sub-01/anat/sub-01_FLAIR.nii.gz")
    with pytest.raises(StudyError, match=r"sub-01_FLAIR\.nii.*both named FLAIR"):
        find_cases(tmp_path)


def grid(*spacing: float) -> Grid:
    return Grid((4, 4, 4), np.diag([*spacing, 1.0]))


@pytest.mark.parametrize(
    ("grids", "reference"),
    [
        ({"FLAIR": grid(0.7, 0.7, 4), "T1w": grid(0.7, 0.7, 3)}, "T1w"),  # thin slices first
        ({"FLAIR": grid(0.7, 0.7, 3), "T2w": grid(0.5, 0.5, 3)}, "T2w"),  # then small voxels
        (
            {"T1w": grid(1, 1, 1), "acq-3d_FLAIR": grid(1, 1, 1.0000004)},
            "acq-3d_FLAIR",
        ),  # then FLAIR, header noise aside
        ({"T2w": grid(1, 1, 1), "T1w": grid(1, 1, 1)}, "T1w"),  # then the name
    ],
)
def test_reference(grids: dict[str, Grid], reference: str) -> None:
    assert choose_reference(grids) == reference
    assert choose_reference(dict(reversed(grids.items()))) == reference


def test_sequences_come_onto_the_reference_grid_and_the_user_is_told(tmp_path: Path) -> None:
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    fine = Grid((12, 12, 12), np.diag([2.0, 2.0, 2.0, 1.0]))
    thick = Grid((30, 30, 12), turn @ np.array([[1, 0, 0, -3], [0, 1, 0, -3], [0, 0, 4, -12], [0, 0, 0, 1.0]]))
    ramp = thick.to_world(np.argwhere(np.ones(thick.shape))) @ (
        1.0,
        2.0,
        3.0,
    )  # linear in the world: survives resampling
    write_volume(tmp_path / "T1w.nii.gz", Volume(np.ones(fine.shape, np.float32), fine))
    write_volume(tmp_path / "T2w.nii.gz", Volume(ramp.reshape(thick.shape).astype(np.float32), thick))
    files = CaseFiles("c", {"T1w": tmp_path / "T1w.nii.gz", "T2w": tmp_path / "T2w.nii.gz"})

    case = load_case(files)

    assert case.reference == "T1w"
    assert case.grid.same_as(fine)
    assert reference_grid(files).same_as(fine)
    assert case.notes == (
        "T2w (1.00 x 1.00 x 4.00 mm, 6 deg oblique) was resampled to the grid of T1w (2.00 x 2.00 x 2.00 mm).",
    )
    inner = np.array([[5, 5, 5], [6, 4, 7], [3, 6, 5]])
    np.testing.assert_allclose(
        case.volumes["T2w"].data[tuple(inner.T)], fine.to_world(inner) @ (1.0, 2.0, 3.0), rtol=1e-3
    )


def test_a_sequence_from_elsewhere_is_refused(tmp_path: Path) -> None:
    here, there = np.eye(4), np.eye(4)
    there[0, 3] = 1000
    for name, affine in (("FLAIR", here), ("T1w", there)):
        write_volume(tmp_path / f"{name}.nii", Volume(np.ones((5, 5, 5), np.float32), Grid((5, 5, 5), affine)))
    with pytest.raises(VolumeError, match=r"T1w\.nii: does not overlap .*FLAIR\.nii"):
        load_case(find_cases(tmp_path)[0])


def test_real_datasets(shared_data: Path) -> None:
    assert found(shared_data / "open_ms_bids") == {
        case: ["FLAIR", "T1w", "T2w", "ce-gadolinium_T1w"] for case in ("sub-07", "sub-26")
    }
    (files,) = find_cases(shared_data / "clinical_grids")
    case = load_case(files)
    assert (case.case, case.reference, len(case.notes)) == ("sub-01_ses-1", "T1w", 2)
    assert all("3 deg oblique" in note for note in case.notes)
    assert {volume.data.shape for volume in case.volumes.values()} == {case.grid.shape}
    brain = case.volumes["T1w"].data > np.percentile(case.volumes["T1w"].data, 75)
    for name in ("FLAIR", "T2w"):  # the same head: bright tissue in one is not air in the other
        assert np.mean(case.volumes[name].data[brain] > np.median(case.volumes[name].data)) > 0.8
