"""Point tables: what is written comes back equal, what others write is understood, what cannot be is named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_lesion_points.core.records import LesionPoint, Origin, Verdict
from napari_lesion_points.errors import OutputError, PointsFileError
from napari_lesion_points.store.points_file import COLUMNS, read_points, write_points

finite = st.floats(-1e4, 1e4, allow_nan=False)
unknown = st.just(math.nan)
words = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8).filter(
    lambda t: t.lower() not in {"n/a", "nan"}
)
points = st.builds(
    LesionPoint,
    case=words.filter(bool),
    world=st.tuples(finite, finite, finite),
    existence=st.floats(0, 1) | unknown,
    mass=finite | unknown,
    entropy=finite | unknown,
    origin=st.sampled_from(Origin),
    verdict=st.sampled_from(Verdict),
    reader=words,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def table(tmp_path: Path, text: str, name: str = "points.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


@settings(max_examples=40, deadline=None)
@given(
    written=st.lists(points, max_size=5, unique_by=lambda p: p.id), ending=st.sampled_from([".csv", ".tsv", ".json"])
)
def test_write_and_read_are_inverse(folder: Path, written: list[LesionPoint], ending: str) -> None:
    write_points(folder / f"points{ending}", written)
    assert read_points(folder / f"points{ending}") == tuple(written)


def test_the_columns_are_those_promised(tmp_path: Path) -> None:
    promised = "case,id,x_mm,y_mm,z_mm,existence,mass,entropy,origin,verdict,reader,created_utc"
    write_points(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text() == promised + "\n"
    assert read_points(tmp_path / "none.csv") == ()
    point = LesionPoint("sub-01", (1.5, -0.1198055, 3), "a", 0.25, 0.25, origin=Origin.MODEL, created_utc="2026-01-01")
    write_points(tmp_path / "one.csv", [point])
    assert (tmp_path / "one.csv").read_text().split("\n")[
        1
    ] == "sub-01,a,1.5,-0.1198055,3.0,0.25,0.25,,model,,,2026-01-01"
    write_points(tmp_path / "one.json", [point])
    content = json.loads((tmp_path / "one.json").read_text())
    assert content["coordinates"] == "world, mm, RAS+"
    assert tuple(content["points"][0]) == COLUMNS
    assert content["points"][0]["entropy"] is None


def test_a_case_and_a_place_are_enough(tmp_path: Path) -> None:
    path = table(tmp_path, "case,lesion,x_mm,y_mm,z_mm,voxels\nsub-01,1,25.714,-22.286,11.143,7\nsub-01,2,1,2,3,9\n")
    one, two = read_points(path)
    assert (one.case, one.world, one.origin, one.verdict) == ("sub-01", (25.714, -22.286, 11.143), "imported", "")
    assert math.isnan(one.existence)
    assert one.id != two.id
    (other,) = read_points(table(tmp_path, '[{"case": "sub-01", "x_mm": 0, "y_mm": -1, "z_mm": 2.5}]', "p.json"))
    assert (other.world, other.origin) == ((0.0, -1.0, 2.5), Origin.IMPORTED)


def test_an_id_that_is_not_available_is_none(tmp_path: Path) -> None:
    path = table(tmp_path, "case,id,x_mm,y_mm,z_mm\nsub-01,n/a,1,2,3\nsub-01,N/A,4,5,6\nsub-01,,7,8,9\n")
    ids = {point.id for point in read_points(path)}
    assert len(ids - {"n/a", "N/A", ""}) == 3


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffcase,x_mm,y_mm,z_mm,existence\r\nsub-01,1.5,-2,3,n/a\r\n",
        "case;x_mm;y_mm;z_mm;comment\nsub-01;1,5;-2,0;3;good, yes\n",
        ' Case ,X_mm,y_mm,Z_MM\n"sub-01","1,5", -2 ,3e0\n\n,,,\n',
        "z_mm,y_mm,x_mm,case,origin\n3,-2,1.5,sub-01\n",
    ],
)
def test_tables_of_other_programs(tmp_path: Path, text: str) -> None:
    (point,) = read_points(table(tmp_path, text))
    assert (point.case, point.world, point.origin) == ("sub-01", (1.5, -2.0, 3.0), Origin.IMPORTED)


HEADER = "case,x_mm,y_mm,z_mm,id,existence,origin\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: the columns \[\] lack"),
        ("case,x,y,z\n", r"line 1: .*lack \['x_mm', 'y_mm', 'z_mm'\]"),
        (HEADER + "sub-01,1,2,3\n\nsub-01,abc,2,3\n", "line 4: x_mm is 'abc', not a finite number"),
        (HEADER + "sub-01,1,inf,3\n", "line 2: y_mm is 'inf', not a finite number"),
        (HEADER + "sub-01,1,2,n/a\n", "line 2: z_mm is 'n/a'. Give the place"),
        (HEADER + "sub-01,1,2\n", "line 2: z_mm is ''. Give the place"),
        (HEADER + "sub-01,1.234,5,6,,1,human,8,9\n", "line 2: has 9 cells for 7 columns"),
        (HEADER + " ,1,2,3\n", "line 2: case is ''. Name the case"),
        (HEADER + "sub-01,1,2,3,a\nsub-01,4,5,6,b\nsub-02,7,8,9,a\n", "line 4: id is 'a', as in line 2"),
        (HEADER + "sub-01,1,2,3,a,1.2\n", r"line 2: existence is 1.2, outside \[0, 1\]"),
        (
            HEADER + "sub-01,1,2,3,a,,robot\n",
            "line 2: origin is 'robot'. Use one of 'human', 'mask', 'imported', 'model'",
        ),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PointsFileError, match=rf"points\.csv, {message}"):
        read_points(table(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("3", "holds no list of points"),
        ('{"markups": []}', "holds no list of points"),
        ("[3]", "holds no list of points"),
        ('[{"case": "c", "x_mm": 1, "y_mm": 2, "z_mm": 3}, {"case": "c", "x_mm": true}]', "point 2: x_mm is 'True'"),
        ('[{"case": "c", "x_mm": NaN, "y_mm": 2, "z_mm": 3}]', "point 1: x_mm is 'nan'"),
    ],
)
def test_bad_json_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PointsFileError, match=rf"points\.json.* {message}"):
        read_points(table(tmp_path, text, "points.json"))


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(PointsFileError, match=r"absent\.csv: cannot be read"):
        read_points(tmp_path / "absent.csv")
    (tmp_path / "latin.csv").write_bytes("case,x_mm,y_mm,z_mm\nM\xfcller,1,2,3\n".encode("latin-1"))
    with pytest.raises(PointsFileError, match=r"latin\.csv: .*save it as UTF-8"):
        read_points(tmp_path / "latin.csv")
    with pytest.raises(PointsFileError, match=r"p\.xlsx: has the ending '\.xlsx'"):
        read_points(table(tmp_path, "", "p.xlsx"))
    with pytest.raises(OutputError, match=r"p\.xlsx: has the ending '\.xlsx'"):
        write_points(tmp_path / "p.xlsx", [])
