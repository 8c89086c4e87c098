"""Slicer's point lists, in its own coordinates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_lesion_points.core.records import LesionPoint, Origin, Verdict
from napari_lesion_points.errors import OutputError, PointsFileError
from napari_lesion_points.store.slicer import read_markups, write_markups

if TYPE_CHECKING:
    from pathlib import Path

coordinates = st.floats(-300, 300, allow_nan=False)


def fiducials(path: Path, *positions: Any, **more: Any) -> Path:
    points = [{"label": f"F-{k}", "position": position} for k, position in enumerate(positions, 1)]
    path.write_text(json.dumps({"markups": [{"type": "Fiducial", "controlPoints": points, **more}]}))
    return path


def worlds(path: Path) -> list[tuple[float, float, float]]:
    return [markup.point.world for markup in read_markups(path, "sub-01")]


@settings(max_examples=25, deadline=None)
@given(placed=st.lists(st.tuples(*[coordinates] * 3), max_size=6))
def test_write_and_read_are_inverse(
    tmp_path_factory: pytest.TempPathFactory, placed: list[tuple[float, float, float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "points.mrk.json"
    write_markups(path, [LesionPoint("sub-01", world) for world in placed])
    assert worlds(path) == placed


def test_what_slicer_gets(tmp_path: Path) -> None:
    points = [
        LesionPoint(
            "sub-01", (10, 20, 30), "a", 0.8333, 1.1, origin=Origin.MODEL, verdict=Verdict.ACCEPTED, reader="ada"
        ),
        LesionPoint("sub-01", (-1, -2, -3), "b"),
    ]
    write_markups(tmp_path / "sub-01.mrk.json", points)
    content = json.loads((tmp_path / "sub-01.mrk.json").read_text())
    assert content["@schema"].endswith("/Markups/Resources/Schema/markups-schema-v1.0.3.json#")
    (markup,) = content["markups"]
    assert (markup["type"], markup["coordinateSystem"], markup["coordinateUnits"]) == ("Fiducial", "LPS", "mm")
    one, two = markup["controlPoints"]
    assert one["position"] == [-10, -20, 30]
    assert (one["id"], one["label"]) == ("a", "1 (0.83)")
    assert one["description"] == "existence 0.833, model, accepted, ada"
    assert (two["label"], two["description"], two["position"]) == ("2", "human", [1, 2, -3])


def test_imported_points_are_new_ones_with_their_labels_beside(tmp_path: Path) -> None:
    path = fiducials(tmp_path / "f.mrk.json", [1, 2, 3], [4, 5, 6])
    first, again = read_markups(path, "sub-01"), read_markups(path, "sub-01")
    assert [markup.label for markup in first] == ["F-1", "F-2"]
    assert {m.point.case for m in first} == {"sub-01"}
    assert {m.point.origin for m in first} == {Origin.IMPORTED}
    assert len({m.point.id for m in first + again}) == 4


@pytest.mark.parametrize(
    ("said", "world"),
    [
        ({}, (-1.0, -2.0, 3.0)),
        ({"coordinateSystem": "LPS"}, (-1.0, -2.0, 3.0)),
        ({"coordinateSystem": 1}, (-1.0, -2.0, 3.0)),
        ({"coordinateSystem": "RAS"}, (1.0, 2.0, 3.0)),
        ({"coordinateSystem": "0", "coordinateUnits": ["mm", "UCUM", "millimeter"]}, (1.0, 2.0, 3.0)),
    ],
)
def test_coordinate_systems_of_mrk_json(
    tmp_path: Path, said: dict[str, Any], world: tuple[float, float, float]
) -> None:
    assert worlds(fiducials(tmp_path / "f.mrk.json", [1, 2, 3], **said)) == [world]


@pytest.mark.parametrize(
    ("comments", "world"),
    [
        ("", (1.0, 2.0, 3.0)),
        ("# CoordinateSystem = 0\n", (1.0, 2.0, 3.0)),
        ("# CoordinateSystem = RAS\n", (1.0, 2.0, 3.0)),
        ("# CoordinateSystem = 1\n", (-1.0, -2.0, 3.0)),
        ("# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n", (-1.0, -2.0, 3.0)),
    ],
)
def test_coordinate_systems_of_fcsv(tmp_path: Path, comments: str, world: tuple[float, float, float]) -> None:
    path = tmp_path / "f.fcsv"
    path.write_text(comments + '1,1,2,3,0,0,0,1,1,1,0,"AC, anterior",,\n')
    (markup,) = read_markups(path, "sub-01")
    assert (markup.label, markup.point.world) == ("AC, anterior", world)


def test_the_columns_of_an_fcsv_are_those_it_names(tmp_path: Path) -> None:
    (tmp_path / "f.fcsv").write_text("# columns = label,x,y,z,sel,vis\nAC,1,2,3,1,1\n\n")
    assert [(m.label, m.point.world) for m in read_markups(tmp_path / "f.fcsv", "c")] == [("AC", (1.0, 2.0, 3.0))]


def test_expert_landmarks(shared_data: Path) -> None:
    markups = read_markups(next((shared_data / "slicer").glob("*.fcsv")), "mni")
    assert len(markups) == 32
    ac, pc = markups[:2]
    assert (ac.label, ac.description, ac.point.world) == ("1", "AC", (-0.1198055, 2.55212, -4.81723))
    assert (pc.label, pc.description, pc.point.world) == ("2", "PC", (0.1409195, -25.124, -2.096035))


def test_only_placed_points_of_point_lists_count(tmp_path: Path) -> None:
    content = {
        "markups": [
            {"type": "Curve", "controlPoints": [{"position": [9, 9, 9]}]},
            {"type": "Fiducial", "controlPoints": [{"label": "?", "position": None, "positionStatus": "undefined"}]},
            {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": [{"position": [1, 2, 3]}]},
            {"type": "Fiducial"},
        ]
    }
    (tmp_path / "f.mrk.json").write_text(json.dumps(content))
    assert worlds(tmp_path / "f.mrk.json") == [(1.0, 2.0, 3.0)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.txt", "", r"has the ending '\.txt'"),
        ("f.mrk.json", "{", "is not JSON"),
        ("f.mrk.json", "[]", "holds no point list"),
        ("f.mrk.json", '{"markups": [{"type": "Line"}, 3]}', "holds no point list"),
        (
            "f.mrk.json",
            '{"markups": [{"type": "Fiducial", "coordinateSystem": "IJK"}]}',
            "the coordinate system is 'IJK'",
        ),
        ("f.mrk.json", '{"markups": [{"type": "Fiducial", "coordinateUnits": "um"}]}', "coordinateUnits is 'um'"),
        (
            "f.mrk.json",
            '{"markups": [{"type": "Fiducial", "controlPoints": [7]}]}',
            "control point 1: the position is None",
        ),
        ("f.mrk.json", '{"markups": [{"type": "Fiducial", "controlPoints": 5}]}', "controlPoints is 5, no list"),
        pytest.param("f.mrk.json", "[" * 100_000, "is not JSON", id="deep"),
        pytest.param("f.fcsv", f"1,{'1' * 140_000},2,3\n", "line 1: field larger", id="wide"),
        ("f.fcsv", "# CoordinateSystem = 2\n1,1,2,3\n", "the coordinate system is '2'"),
        ("f.fcsv", "# a comment\n1,1,2\n", "line 2: the position is"),
        ("f.fcsv", "1,1,2,nan\n", "line 1: the position is"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PointsFileError, match=f"{name}.*{message}"):
        read_markups(tmp_path / name, "sub-01")


def test_absent_and_undecodable_files(tmp_path: Path) -> None:
    (tmp_path / "binary.fcsv").write_bytes(b"\xff\xfe\x00")
    for name in ("absent.fcsv", "binary.fcsv"):
        with pytest.raises(PointsFileError, match=f"{name}: cannot be read as text"):
            read_markups(tmp_path / name, "sub-01")


def test_one_file_holds_one_case(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"several cases \(a, b\)"):
        write_markups(tmp_path / "x.mrk.json", [LesionPoint("b", (0, 0, 0)), LesionPoint("a", (0, 0, 0))])
    with pytest.raises(OutputError, match=r"let the name end in \.mrk\.json"):
        write_markups(tmp_path / "x.json", [])
