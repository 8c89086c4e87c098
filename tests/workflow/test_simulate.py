"""Simulated studies on disk."""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.errors import OutputError
from napari_lesion_points.store.cases import find_cases
from napari_lesion_points.store.volumes import read_labels, read_volume
from napari_lesion_points.workflow.simulate import SimulationProgress, simulate_study

pytest.importorskip("nilearn", reason="the template anatomy comes with nilearn")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SimulationProgress]]:
    out = tmp_path_factory.mktemp("simulated") / "new" / "study"
    return out, list(simulate_study(out, cases=2, seed=5))


def truth(out: Path) -> list[dict[str, str]]:
    with (out / "derivatives" / "truth" / "points.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_patient_is_reported(study: tuple[Path, list[SimulationProgress]]) -> None:
    out, records = study
    assert [(r.done, r.total, r.case) for r in records] == [(1, 2, "sub-0001"), (2, 2, "sub-0002")]
    for record in records:
        assert record.lesions == sum(row["case"] == record.case for row in truth(out))


def test_the_study_is_found_as_cases_with_three_sequences(study: tuple[Path, list[SimulationProgress]]) -> None:
    cases = find_cases(study[0])
    assert [c.case for c in cases] == ["sub-0001", "sub-0002"]
    assert [list(c.sequences) for c in cases] == [["FLAIR", "T1w", "T2w"]] * 2


def test_points_are_the_centres_of_the_label_images(study: tuple[Path, list[SimulationProgress]]) -> None:
    out, _ = study
    for case in ("sub-0001", "sub-0002"):
        rows = [r for r in truth(out) if r["case"] == case]
        labels = read_labels(out / "derivatives" / "truth" / case / "anat" / f"{case}_label-lesion_dseg.nii.gz")
        found = component_centres(labels)
        assert [int(r["lesion"]) for r in rows] == found.labels.tolist()
        assert [int(r["voxels"]) for r in rows] == found.sizes.tolist()
        centers_world = np.array([[float(r[f"{axis}_mm"]) for axis in "xyz"] for r in rows])
        assert_allclose(centers_world, found.centers_world, atol=1e-4)
        assert labels.grid.same_as(read_volume(out / case / "anat" / f"{case}_FLAIR.nii.gz").grid)


def test_the_same_seed_is_the_same_study_and_another_shares_no_patient(
    study: tuple[Path, list[SimulationProgress]], tmp_path: Path
) -> None:
    # A study of one patient starts like one of two; the seeds are neighbours, as a user's would be.
    first = Path("sub-0001", "anat", "sub-0001_FLAIR.nii.gz")
    for seed, same in ((5, True), (6, False)):
        list(simulate_study(tmp_path / str(seed), cases=1, seed=seed))
        other = read_volume(tmp_path / str(seed) / first).data
        assert np.array_equal(read_volume(study[0] / first).data, other) == same
    second = Path("sub-0002", "anat", "sub-0002_FLAIR.nii.gz")
    assert not np.array_equal(read_volume(study[0] / second).data, other)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="not an empty folder"):
        next(simulate_study(tmp_path, 1, 0))
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_stopping_early_leaves_nothing(tmp_path: Path) -> None:
    records = simulate_study(tmp_path / "out", 3, 0)
    assert len(list(islice(records, 1))) == 1
    records.close()
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    list(simulate_study(tmp_path, 1, 0))
    names = ["dataset_description.json", "derivatives", "participants.tsv", "sub-0001"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


@pytest.mark.parametrize(("cases", "seed"), [(0, 0), (1, -1)])
def test_impossible_numbers_are_refused(tmp_path: Path, cases: int, seed: int) -> None:
    with pytest.raises(ValueError, match="expected at least"):
        next(simulate_study(tmp_path / "out", cases, seed))
    with pytest.raises(ValueError, match="sum is 100"):
        next(simulate_study(tmp_path / "out", 1, 0, split=(50, 60, -10)))


@pytest.mark.slow
def test_varied_patients_are_read_in_any_orientation_and_the_truth_lies_in_them(tmp_path: Path) -> None:
    out = tmp_path / "varied"
    list(simulate_study(out, cases=2, seed=4, varied=True))
    orientations = set()
    for files in find_cases(out):
        assert set(files.sequences) <= {"FLAIR", "T1w", "T2w", "ce-gadolinium_T1w"}
        volume = read_volume(next(iter(files.sequences.values())))
        orientations.add(volume.grid.axcodes)
        (path,) = (out / "derivatives" / "truth" / files.case).rglob("*_dseg.nii.gz")
        labels = read_labels(path)
        assert labels.grid.same_as(volume.grid)
        found = component_centres(labels, label_image=True)
        rows = [row for row in truth(out) if row["case"] == files.case]
        expected = np.array([[float(row[f"{axis}_mm"]) for axis in "xyz"] for row in rows]).reshape(-1, 3)
        assert_allclose(found.centers_world, expected, atol=1e-3)
        if len(expected):
            assert np.median(volume.data[labels.data > 0]) > 0
    assert len(orientations) == 2
