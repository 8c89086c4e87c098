"""One place, everywhere: two landmarks of the brain, placed by experts in 3D Slicer, through every file that we write.

The anterior and posterior commissures (AC, PC) are bright bands a few millimetres thick that cross the midline, dark in
front and behind. On the template's T1w, a landmark that lands in the wrong voxel is seen at once: it is not the
brightest along its line from back to front.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.geometry import DISPLAY_AXES, Grid, Volume
from napari_lesion_points.core.records import Change, LesionPoint
from napari_lesion_points.store.anatomy import template_path
from napari_lesion_points.store.cases import load_case
from napari_lesion_points.store.label_image import label_image
from napari_lesion_points.store.points_file import read_points, write_points
from napari_lesion_points.store.slicer import read_markups, write_markups
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import read_grid, read_labels, read_volume, write_volume

pytest.importorskip("nilearn", reason="the template comes with nilearn")

CASE = "sub-01"

# As Slicer's file states them: world mm, RAS.
AC, PC = (-0.1198055, 2.55212, -4.81723), (0.1409195, -25.124, -2.096035)


def on_template(shared_data: Path) -> Volume:
    return read_volume(template_path("t1"))


def in_display_order(shared_data: Path) -> Volume:
    return on_template(shared_data).reoriented(DISPLAY_AXES)


def on_oblique_thick_slices(shared_data: Path) -> Volume:
    """The template on the grid of a clinical FLAIR, moved to between the landmarks."""
    folder = shared_data / "clinical_grids" / "sub-01" / "ses-1" / "anat"
    clinical = read_grid(folder / "sub-01_ses-1_FLAIR.nii.gz")
    affine = clinical.affine.copy()
    affine[:3, 3] += np.mean([AC, PC], axis=0) - clinical.to_world((np.array(clinical.shape) - 1) / 2)[0]
    return on_template(shared_data).resampled(Grid(clinical.shape, affine))


@pytest.fixture(params=[on_template, in_display_order, on_oblique_thick_slices], ids=lambda make: make.__name__)
def dataset(request: pytest.FixtureRequest, shared_data: Path, tmp_path: Path) -> Path:
    """A dataset of one case."""
    write_volume(tmp_path / CASE / "anat" / f"{CASE}_T1w.nii.gz", request.param(shared_data))
    return tmp_path


@pytest.fixture
def landmarks(shared_data: Path) -> tuple[LesionPoint, LesionPoint]:
    """AC and PC, imported from Slicer's file."""
    markups = read_markups(shared_data / "slicer" / "tpl-MNI152NLin2009bSym_afids.fcsv", CASE)
    found = {int(m.label): m.point for m in markups}
    return found[1], found[2]


def assert_brightest_from_back_to_front(volume: Volume, world: tuple[float, float, float]) -> None:
    """The voxel of the point is the brightest, within 1 mm, of those 6 mm towards back and front."""
    axis = next(i for i, code in enumerate(volume.grid.axcodes) if code in "AP")
    step_mm = volume.grid.spacing[axis]
    reach = int(6 / step_mm)
    i, j, k = np.rint(volume.grid.to_voxel(world)[0]).astype(int)
    line = np.moveaxis(volume.data, axis, -1)[tuple(np.delete([i, j, k], axis))]
    at = (i, j, k)[axis]
    brightest = at - reach + int(np.argmax(line[at - reach : at + reach + 1]))
    assert abs(brightest - at) * step_mm <= 1


def test_the_landmarks_are_read_as_the_file_states_them(landmarks: tuple[LesionPoint, LesionPoint]) -> None:
    assert [p.world for p in landmarks] == [AC, PC]


def test_landmarks_land_on_their_voxels_of_the_template(landmarks: tuple[LesionPoint, LesionPoint]) -> None:
    # 1 mm voxels, the first at (-98, -134, -72): the voxels can be worked out by hand.
    grid = read_grid(template_path("t1"))
    voxels = np.rint(grid.to_voxel([p.world for p in landmarks])).astype(int)
    assert voxels.tolist() == [[98, 137, 67], [98, 109, 70]]


def test_landmarks_lie_on_the_commissures_of_the_case_and_of_its_display(
    dataset: Path, landmarks: tuple[LesionPoint, LesionPoint]
) -> None:
    with Study.open(dataset) as study:
        volume = load_case(study.files_of(CASE)).volumes["T1w"]
    for point in landmarks:
        assert_brightest_from_back_to_front(volume, point.world)
        assert_brightest_from_back_to_front(volume.reoriented(DISPLAY_AXES), point.world)


def test_a_displacement_would_be_noticed(shared_data: Path) -> None:
    for shift_mm in (-3, 3):
        x, y, z = AC
        with pytest.raises(AssertionError):
            assert_brightest_from_back_to_front(on_template(shared_data), (x, y + shift_mm, z))


def test_landmarks_survive_the_study_and_every_export(
    dataset: Path, landmarks: tuple[LesionPoint, LesionPoint]
) -> None:
    with Study.open(dataset, reader="A") as study:
        study.apply(Change.adding(*landmarks))
    with Study.open(dataset, reader="B") as study:
        stored = study.annotations(CASE)
        grid = load_case(study.files_of(CASE)).grid
    assert stored == landmarks

    for name in ("points.csv", "points.tsv", "points.json"):
        write_points(dataset / name, stored)
        assert read_points(dataset / name) == landmarks

    write_markups(dataset / "points.mrk.json", stored)
    assert [m.point.world for m in read_markups(dataset / "points.mrk.json", CASE)] == [AC, PC]

    write_volume(dataset / "points_dseg.nii.gz", label_image([p.world for p in stored], grid))
    labels = read_labels(dataset / "points_dseg.nii.gz")
    voxels = np.rint(labels.grid.to_voxel([AC, PC])).astype(int)
    assert labels.data[tuple(voxels.T)].tolist() == [1, 2]
    # A voxel with its neighbours on all sides has its centre of mass at the voxel: within half a voxel of the point.
    off_vox = labels.grid.to_voxel(component_centres(labels).centers_world) - labels.grid.to_voxel([AC, PC])
    assert np.abs(off_vox).max() <= 0.5 + 1e-3


def test_files_state_world_coordinates_in_their_own_convention(
    tmp_path: Path, landmarks: tuple[LesionPoint, LesionPoint]
) -> None:
    write_points(tmp_path / "points.csv", landmarks)
    with (tmp_path / "points.csv").open(newline="") as file:
        rows = [tuple(float(row[f"{axis}_mm"]) for axis in "xyz") for row in csv.DictReader(file)]
    assert_allclose(rows, [AC, PC], atol=1e-4)

    write_markups(tmp_path / "points.mrk.json", landmarks)
    markup = json.loads((tmp_path / "points.mrk.json").read_text())["markups"][0]
    assert markup["coordinateSystem"] == "LPS"
    positions = [point["position"] for point in markup["controlPoints"]]
    assert_allclose(positions, [(0.1198055, -2.55212, -4.81723), (-0.1409195, 25.124, -2.096035)], atol=1e-6)
