"""Points into a study and out of it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Origin, Verdict
from napari_lesion_points.errors import OutputError, PointsFileError, StudyError
from napari_lesion_points.store.cases import reference_grid
from napari_lesion_points.store.points_file import read_points, write_points
from napari_lesion_points.store.slicer import read_markups
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import read_labels, read_volume, write_volume
from napari_lesion_points.workflow.exchange import (
    EXPORT_FORMATS,
    ExportFormat,
    export_study,
    import_points,
    points_from_masks,
)


@pytest.fixture
def study(blob_study: Path) -> Iterator[Study]:
    with Study.open(blob_study, reader="ada") as opened:
        yield opened


def places(study: Study) -> dict[str, list[tuple[float, ...]]]:
    return {c: sorted(tuple(np.round(p.world, 4)) for p in study.annotations(c)) for c in study.case_names}


def test_importing_twice_is_importing_once(study: Study) -> None:
    # The table of the truth has no reader and its points may have no ids of their own.
    table = study.root / "truth.csv"
    write_points(table, [p for p in read_points(table) if p.case != "sub-03"])
    bare = study.root / "bare.csv"
    bare.write_text("case,x_mm,y_mm,z_mm\n" + "".join(
        f"{p.case.removeprefix('sub-')},{p.world[0]},{p.world[1]},{p.world[2]}\n" for p in read_points(table)
    ))  # fmt: skip
    assert [c.case for c in import_points(study, bare)] == ["sub-01", "sub-02"]
    for path in (bare, table):
        assert import_points(study, path) == ()
    assert [len(study.annotations(c)) for c in study.case_names] == [3, 3, 0, 0]
    assert {p.origin for p in study.annotations()} == {Origin.IMPORTED}
    study.apply(study.history("sub-01")[0].change.inverse())
    assert study.annotations("sub-01") == ()


def test_a_point_that_a_reader_moved_is_not_brought_back(study: Study) -> None:
    table = study.root / "truth.csv"
    import_points(study, table)
    first = study.annotations("sub-01")[0]
    study.apply(Change.moving(first, (0.0, 0.0, 0.0)))
    assert import_points(study, table) == ()
    assert len(study.annotations("sub-01")) == 3


def test_one_case_of_a_table_can_be_taken(study: Study) -> None:
    changes = import_points(study, study.root / "truth.csv", "02")
    assert [c.case for c in changes] == ["sub-02"]
    assert study.state("sub-02") is CaseState.IN_PROGRESS
    assert study.state("sub-01") is CaseState.NEW


def test_points_outside_the_images_are_refused_all_of_the_file(study: Study) -> None:
    table = study.root / "truth.csv"
    write_points(table, [*read_points(table), LesionPoint("sub-03", (0, 0, 400))])
    with pytest.raises(PointsFileError, match=r"1 of 4 points lie outside the images of sub-03.*400\.0"):
        import_points(study, table)
    assert not study.annotations()


def test_files_that_cannot_be_placed_are_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(PointsFileError, match="say which case"):
        import_points(study, tmp_path / "a.mrk.json")
    table = tmp_path / "points.csv"
    table.write_text("case,x_mm,y_mm,z_mm\nsub-77,0,0,0\n")
    with pytest.raises(StudyError, match="sub-77"):
        import_points(study, table)
    assert not study.annotations()


def test_candidates_come_in_only_once_a_reader_accepted_them(study: Study, tmp_path: Path) -> None:
    table = tmp_path / "candidates.csv"
    write_points(
        table,
        [
            LesionPoint("sub-01", (k, 0, 0), f"id{k}", 0.5, 0.5, 1.0, Origin.MODEL, verdict)
            for k, verdict in enumerate(Verdict)
        ],
    )
    import_points(study, table)
    assert {p.verdict for p in study.annotations()} == {Verdict.ACCEPTED, Verdict.MOVED}
    assert {p.origin for p in study.annotations()} == {Origin.MODEL}


@pytest.mark.parametrize("format", ["csv", "json"])
def test_tables_come_back_equal(study: Study, tmp_path: Path, format: ExportFormat) -> None:
    import_points(study, study.root / "truth.csv")
    candidate = LesionPoint("sub-02", (1, 2, 3), existence=0.5, mass=0.5, entropy=1.0, origin=Origin.MODEL)
    study.add_candidates("sub-02", [candidate], "m", 2.0)
    written = export_study(study, tmp_path / "out", format)
    assert [p.name for p in written] == [f"points.{format}", f"candidates.{format}"]
    assert read_points(written[0]) == study.annotations()
    assert read_points(written[1]) == study.candidates()
    assert import_points(study, written[0]) == ()
    with Study.open(study.root, tmp_path / "other") as other:
        import_points(other, written[0])
        assert set(other.annotations()) == set(study.annotations())


def test_slicers_files_come_back_in_place(study: Study, tmp_path: Path) -> None:
    import_points(study, study.root / "truth.csv")
    written = export_study(study, tmp_path / "out", "slicer")
    assert [p.name for p in written] == [f"sub-0{k}.mrk.json" for k in (1, 2, 3)]
    position = json.loads(written[0].read_text())["markups"][0]["controlPoints"][0]["position"]
    x, y, z = study.annotations("sub-01")[0].world
    assert_allclose(position, [-x, -y, z])
    assert import_points(study, written[0], "sub-01") == ()
    with Study.open(study.root, tmp_path / "other") as other:
        for path in written:
            import_points(other, path, path.name.split(".")[0])
        assert places(other) == places(study)


def test_a_point_placed_anew_in_slicer_is_taken_whatever_its_row(study: Study, tmp_path: Path) -> None:
    import_points(study, study.root / "truth.csv")
    path = export_study(study, tmp_path, "slicer")[0]
    content = json.loads(path.read_text())
    points = content["markups"][0]["controlPoints"]
    points[0]["position"] = [1.0, 2.0, 3.0]  # one is deleted there and another placed: the same number of rows
    path.write_text(json.dumps(content))
    with Study.open(study.root, tmp_path / "other") as other:
        import_points(other, path, "sub-01")
        points.pop(1)
        points.append({**points[0], "id": "9", "position": [4.0, 5.0, 6.0]})
        path.write_text(json.dumps(content))
        (change,) = import_points(other, path, "sub-01")
        assert [after.world for _, after in change.annotations.values() if after] == [(-4.0, -5.0, 6.0)]
        import_points(other, path, "sub-02")  # the same list for a second case clashes with nothing
        assert len(other.annotations("sub-02")) == 3


def test_label_images_hold_each_point_and_its_row(study: Study, tmp_path: Path) -> None:
    import_points(study, study.root / "truth.csv")
    heatmap = study.heatmap_path("sub-02")
    grid = reference_grid(study.files_of("sub-02"))
    write_volume(heatmap, Volume(np.ones(grid.shape, np.float32), grid))
    written = export_study(study, tmp_path / "out", "nifti")
    names = [
        "points.csv",
        "sub-01_points.nii.gz",
        "sub-02_points.nii.gz",
        "sub-02_heatmap.nii.gz",
        "sub-03_points.nii.gz",
    ]
    assert [p.name for p in written] == names
    rows = [p for p in read_points(written[0]) if p.case == "sub-02"]
    labels = read_labels(written[2])
    assert labels.grid.same_as(grid)
    found = component_centres(labels)
    assert found.labels.tolist() == [1, 2, 3]
    assert_allclose(found.centers_world, [p.world for p in rows], atol=1.5)  # half a voxel of 2 mm, per axis
    assert read_volume(written[3]).data.all()
    again = export_study(study, tmp_path / "out", "nifti")
    assert again == written


def test_masks_become_points_and_done(study: Study) -> None:
    grid = reference_grid(study.files_of("sub-01"))
    masks = study.root / "derivatives" / "masks"
    data = np.zeros(grid.shape, np.uint8)
    data[5:8, 6, 7] = 1
    data[15:18, 20:23, 10] = 1
    data[20, 5, 5] = 1  # a single voxel is no lesion
    write_volume(masks / "sub-01" / "sub-01_mask.nii.gz", Volume(data, grid))
    labels = np.zeros(grid.shape, np.uint8)
    labels[5:8, 6, 7], labels[8:11, 6, 7] = 4, 9  # touching, but labelled
    write_volume(masks / "sub-02" / "sub-02_mask.nii.gz", Volume(labels, grid))
    write_volume(masks / "sub-04" / "sub-04_mask.nii.gz", Volume(np.zeros(grid.shape, np.uint8), grid))

    read = list(points_from_masks(study, "derivatives/masks/**/*_mask.nii.gz"))
    assert [(r.done, r.total, r.case, r.points) for r in read] == [
        (1, 3, "sub-01", 2),
        (2, 3, "sub-02", 2),
        (3, 3, "sub-04", 0),
    ]
    expected = {"sub-01": [[6, 6, 7], [16, 21, 10]], "sub-02": [[6, 6, 7], [9, 6, 7]]}
    for case, centers_vox in expected.items():
        assert_allclose([p.world for p in study.annotations(case)], grid.to_world(centers_vox), atol=1e-6)
        assert {(p.origin, p.reader) for p in study.annotations(case)} == {(Origin.MASK, "ada")}
    assert [study.state(c) for c in study.case_names] == [CaseState.DONE] * 2 + [CaseState.NEW, CaseState.DONE]
    assert study.training_cases() == ("sub-01", "sub-02", "sub-04")

    moved = study.annotations("sub-01")[0]
    study.apply(Change.moving(moved, (0, 0, 0)))
    before = (study.annotations(), [len(study.history(c)) for c in study.case_names])
    list(points_from_masks(study, "derivatives/masks/**/*_mask.nii.gz"))
    assert (study.annotations(), [len(study.history(c)) for c in study.case_names]) == before


@pytest.mark.parametrize("pattern", ["nothing/*.nii.gz", "", "/etc/*"])
def test_a_pattern_without_masks_is_an_error(study: Study, pattern: str) -> None:
    with pytest.raises(StudyError, match=r"matches|pattern"):
        list(points_from_masks(study, pattern))


def test_a_mask_of_no_case_is_an_error_before_anything_is_stored(study: Study) -> None:
    grid = Grid((9, 9, 9), np.eye(4))
    mask = Volume(np.ones(grid.shape, np.uint8), grid)
    for name in ("sub-01", "sub-99"):
        write_volume(study.root / "masks" / f"{name}_mask.nii.gz", mask)
    with pytest.raises(StudyError, match="sub-99"):
        list(points_from_masks(study, "masks/*.nii.gz"))
    assert not study.annotations()


def test_an_unknown_format_and_a_file_in_the_way_are_errors(study: Study, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="'xml'"):
        export_study(study, tmp_path, "xml")  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        export_study(study, tmp_path / "file", "csv")


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_a_study_without_points_exports_an_empty_table_at_most(
    study: Study, tmp_path: Path, format: ExportFormat
) -> None:
    written = export_study(study, tmp_path, format)
    assert [p.stem for p in written] == {"slicer": [], "history": ["history"]}.get(format, ["points"])
    assert all(read_points(p) == () for p in written if format != "history")


@pytest.mark.parametrize("format", ["csv", "slicer", "nifti"])
def test_what_was_deleted_is_in_no_file_of_a_second_export(study: Study, tmp_path: Path, format: ExportFormat) -> None:
    import_points(study, study.root / "truth.csv")
    first = export_study(study, tmp_path, format)
    study.apply(Change.deleting(*study.annotations("sub-01")))
    assert export_study(study, tmp_path, format) == first
    for path in first:
        if path.name.startswith("sub-01"):
            left = read_markups(path, "sub-01") if format == "slicer" else np.unique(read_labels(path).data)
            assert list(left) == ([] if format == "slicer" else [0])
        elif path.name == "points.csv":
            assert "sub-01" not in {p.case for p in read_points(path)}


def test_candidates_that_nobody_accepted_are_no_points(study: Study, tmp_path: Path) -> None:
    table = tmp_path / "candidates.csv"
    write_points(table, [LesionPoint("sub-01", (0, 0, 0), "a", 0.5, 0.5, 1.0, Origin.MODEL)])
    with pytest.raises(PointsFileError, match=r"candidates\.csv: holds nothing but candidates.*\(1\)"):
        import_points(study, table)


EXPORT = """
import sys
from pathlib import Path
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow.exchange import EXPORT_FORMATS, export_study

with Study.open(Path(sys.argv[1])) as study:
    for number in range(10**6):
        for format in EXPORT_FORMATS:
            export_study(study, Path(sys.argv[2]), format)
        print(number, flush=True)
"""


def test_an_export_that_is_killed_leaves_whole_files_and_the_study(study: Study, tmp_path: Path) -> None:
    import_points(study, study.root / "truth.csv")
    before = study.annotations()
    out = tmp_path / "out"
    moments = random.Random(4)
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", EXPORT, str(study.root), str(out)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(moments.uniform(0, 0.1))
        child.kill()
        child.communicate()
        for path in (p for p in out.iterdir() if not p.name.startswith(".")):
            if path.name.endswith(".nii.gz"):
                assert read_labels(path).data.max() == 3
            elif path.name.startswith("points"):
                assert read_points(path) == before
            elif path.name == "history.csv":
                assert path.read_text(encoding="utf-8").endswith("\n")
            else:
                assert len(json.loads(path.read_text())["markups"][0]["controlPoints"]) == 3
        with Study.open(study.root) as again:
            assert again.annotations() == before
    shutil.rmtree(out)


def test_a_table_that_clashes_with_another_case_is_refused_as_a_whole(study: Study) -> None:
    table = study.root / "clash.csv"
    table.write_text("case,id,x_mm,y_mm,z_mm\nsub-02,same,2,2,2\n")
    import_points(study, table)
    before = study.annotations()
    table.write_text("case,id,x_mm,y_mm,z_mm\nsub-01,new,1,1,1\nsub-03,same,1,1,1\n")
    with pytest.raises(PointsFileError, match=r"clash\.csv: point 'same' of sub-03"):
        import_points(study, table)
    assert study.annotations() == before


def test_an_image_of_the_study_is_no_mask(study: Study) -> None:
    before = study.summary()
    with pytest.raises(StudyError, match="is an image of the study"):
        list(points_from_masks(study, "sub-01/anat/*.nii.gz"))
    assert study.summary() == before


def test_a_mask_elsewhere_in_space_is_refused(study: Study) -> None:
    grid = reference_grid(study.files_of("01"))
    data = np.zeros(grid.shape, np.uint8)
    data[4:7, 5, 5] = 1
    far = Grid(grid.shape, np.eye(4) + np.pad([[5000.0]] * 3, ((0, 1), (3, 0))))
    write_volume(study.root / "masks" / "sub-01_mask.nii.gz", Volume(data, far))
    with pytest.raises(PointsFileError, match="lie outside the images of sub-01"):
        list(points_from_masks(study, "masks/*_mask.nii.gz"))
    assert study.annotations() == ()


def test_a_revised_mask_adds_what_is_new_only(study: Study) -> None:
    grid = reference_grid(study.files_of("01"))
    path = study.root / "masks" / "sub-01_mask.nii.gz"
    data = np.zeros(grid.shape, np.uint8)
    for start in (9, 15, 2):  # the last comes first in the order of components
        data[start : start + 3, 5, 5] = 1
        write_volume(path, Volume(data, grid))
        if start != 9:
            list(points_from_masks(study, "masks/*_mask.nii.gz"))
    voxels = grid.to_voxel([p.world for p in study.annotations("01")])
    assert sorted(voxels[:, 0].round(3)) == [3, 10, 16]


def test_a_lesion_of_a_corrected_mask_is_the_one_that_is_there(study: Study) -> None:
    grid = reference_grid(study.files_of("01"))  # of 2 mm
    path = study.root / "masks" / "sub-01_mask.nii.gz"
    data = np.zeros(grid.shape, np.uint8)
    data[3:6, 5, 5] = data[9:12, 5, 5] = 1

    def read() -> tuple[int, int]:
        write_volume(path, Volume(data, grid))
        (mask,) = points_from_masks(study, "masks/*_mask.nii.gz")
        return mask.points, mask.new

    assert read() == (2, 2)
    first = study.annotations("01")
    data[6, 5, 5] = 1  # its centre is 1 mm farther
    assert read() == (2, 0)
    assert study.annotations("01") == first
    x, y, z = first[1].world
    study.apply(Change.moving(first[1], (x, y, z + 2.5)))
    data[9:11, 5, 7:9] = 1  # 2.7 mm from the moved point, which is another lesion's
    assert read() == (3, 1)
    assert len(study.annotations("01")) == 3


def test_what_the_program_wrote_itself_is_no_mask_of_a_reader(study: Study) -> None:
    grid = reference_grid(study.files_of("01"))
    data = np.zeros(grid.shape, np.uint8)
    data[2:5, 5, 5] = 1
    for path in (
        study.heatmap_path("01").with_name("sub-01_dseg.nii.gz"),
        study.mask_path("01").parent / "earlier" / "20260101T000000.000000_sub-01_mask.nii.gz",
    ):
        write_volume(path, Volume(data, grid))
    for pattern in ("derivatives/**/*_dseg.nii.gz", "derivatives/**/*mask*.nii.gz"):
        with pytest.raises(StudyError, match="no file below"):
            list(points_from_masks(study, pattern))
    write_volume(study.mask_path("01"), Volume(data, grid))  # which a reader painted
    assert [mask.path for mask in points_from_masks(study, "derivatives/**/*mask*.nii.gz")] == [study.mask_path("01")]


def test_of_a_table_of_many_cases_one_is_taken(study: Study, tmp_path: Path) -> None:
    grid = reference_grid(study.files_of("01"))
    table = tmp_path / "all.csv"
    x, y, z = grid.to_world([[5, 5, 5]])[0]
    table.write_text(f"case,x_mm,y_mm,z_mm\n01,{x},{y},{z}\nsub-77,{x},{y},{z}\n", encoding="utf-8")
    with pytest.raises(StudyError, match="sub-77"):
        import_points(study, table)
    (change,) = import_points(study, table, "sub-01")
    assert [p.case for _, p in change.annotations.values() if p] == ["sub-01"]


def test_what_a_file_is_called_makes_no_label_image_of_a_mask(study: Study) -> None:
    grid = reference_grid(study.files_of("01"))
    data = np.zeros(grid.shape, np.uint8)
    data[2:5, 5, 5] = data[9:12, 5, 5] = data[2:5, 12, 5] = 1
    write_volume(study.root / "masks" / "sub-01_dseg.nii.gz", Volume(data, grid))
    (mask,) = points_from_masks(study, "masks/*_dseg.nii.gz")
    assert mask.points == 3  # a binary mask of three lesions
    data[2:5, 12, 5] = 2
    write_volume(study.root / "masks" / "sub-02_dseg.nii.gz", Volume(data, grid))
    again, two_labels = points_from_masks(study, "masks/*_dseg.nii.gz")
    assert (again.points, again.new, two_labels.points) == (3, 0, 2)


def test_two_lesions_near_one_point_are_not_both_that_point(study: Study) -> None:
    grid = reference_grid(study.files_of("01"))
    labels = np.zeros(grid.shape, np.uint8)
    labels[5, 5, 5], labels[6, 5, 5] = 1, 2
    write_volume(study.root / "masks" / "sub-01_dseg.nii.gz", Volume(labels, grid))
    (x, y, z) = grid.to_world([[5.5, 5, 5]])[0]
    study.apply(Change.adding(LesionPoint("sub-01", (x, y, z))))
    (mask,) = points_from_masks(study, "masks/*_dseg.nii.gz")
    assert (mask.points, mask.new, len(study.annotations("01"))) == (2, 1, 2)


@pytest.mark.parametrize(("name", "named"), [("P-001_mask", "P-001"), ("P-001_x_mask", "P-001_x"), ("P-001_x",) * 2])
def test_a_mask_names_its_case_in_a_study_of_folders(blob_dataset: Path, tmp_path: Path, name: str, named: str) -> None:
    root = tmp_path / "study"
    for case, source in (("P-001", "sub-01"), ("P-001_x", "sub-02")):
        shutil.copytree(blob_dataset / source / "anat", root / case)
    with Study.open(root, tmp_path / "store") as opened:
        grid = reference_grid(opened.files_of("P-001"))
        data = np.zeros(grid.shape, np.uint8)
        data[4:7, 5, 5] = 1
        write_volume(root / "masks" / f"{name}.nii.gz", Volume(data, grid))
        (mask,) = points_from_masks(opened, "masks/*.nii.gz")
        assert mask.case == named
        write_volume(root / "masks" / "P-002_mask.nii.gz", Volume(data, grid))
        with pytest.raises(StudyError, match="names no case"):
            list(points_from_masks(opened, "masks/P-002_mask.nii.gz"))
