"""Tables of points as .csv, .tsv or .json: written with all of `COLUMNS`, read from as little as a case and a place.

Coordinates are world mm, RAS+. Tables of other programs are met half-way: further columns are ignored; a byte order
mark, semicolons, decimal commas, "n/a" and empty lines are understood; without an id a point gets a new one, and
without an origin it is an imported one.
"""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any, TypeVar

from napari_lesion_points.core.records import LesionPoint, Origin, Verdict
from napari_lesion_points.errors import OutputError, PointsFileError
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.point_row import COLUMNS, point_of, row_of
from napari_lesion_points.store.tables import DELIMITERS, write_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from enum import StrEnum
    from pathlib import Path

    #: Where a row stands in its file ("line 3"), and its raw values by column.
    Located = tuple[str, Mapping[str, Any]]

    Word = TypeVar("Word", bound=StrEnum)

__all__ = ["COLUMNS", "read_points", "read_sizes", "write_points"]

_REQUIRED = ("case", "x_mm", "y_mm", "z_mm")
_MISSING = {"", "n/a", "nan"}


def read_points(path: Path) -> tuple[LesionPoint, ...]:
    """Read the points of a table, in its order; a table without rows has none.

    Raises
    ------
    PointsFileError
        If the file cannot be read, lacks a required column (case, x_mm, y_mm, z_mm), or a value is impossible.
    """
    first_at: dict[str, str] = {}
    points = []
    for place, row in _rows(path):
        point = _point(f"{path}, {place}", row)
        if point.id in first_at:
            raise PointsFileError(
                f"{path}, {place}: id is {point.id!r}, as in {first_at[point.id]}. Give each its own."
            )
        first_at[point.id] = place
        points.append(point)
    return tuple(points)


def read_sizes(path: Path) -> tuple[float, ...] | None:
    """Read the optional column `voxels`, the size of each lesion, in the order of `read_points`.

    None unless every row has one.

    Raises
    ------
    PointsFileError
        If the file cannot be read, or a size is no number.
    """
    sizes = [_number(f"{path}, {place}", row, "voxels") for place, row in _rows(path)]
    known = tuple(size for size in sizes if size is not None)
    return known if len(known) == len(sizes) else None


def write_points(path: Path, points: Iterable[LesionPoint]) -> None:
    """Write points so that `read_points` returns equal ones (floats in full); no points give a table without rows.

    Raises
    ------
    OutputError
        If the ending is none of .csv, .tsv and .json, or the file cannot be written.
    """
    rows = [row_of(point) for point in points]
    if path.suffix.lower() == ".json":
        content = {"coordinates": "world, mm, RAS+", "points": rows}
        atomic_write(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
        return
    if path.suffix.lower() not in DELIMITERS:
        raise OutputError(f"{path}: has the ending {path.suffix!r}; let the name end in .csv, .tsv or .json.")
    write_table(path, COLUMNS, rows)


def _rows(path: Path) -> Iterator[Located]:
    """Rows of a table or items of a JSON file, each with its place; see `read_points` for the errors."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise PointsFileError(
            f"{path}: cannot be read as text ({error}). Check the path, or save it as UTF-8."
        ) from error
    if path.suffix.lower() in DELIMITERS:
        return _table_rows(path, text)
    if path.suffix.lower() == ".json":
        return _json_rows(path, text)
    raise PointsFileError(f"{path}: has the ending {path.suffix!r}; tables of points end in .csv, .tsv or .json.")


def _table_rows(path: Path, text: str) -> Iterator[Located]:
    """Rows of a delimited table, blank ones left out."""
    header = text.partition("\n")[0]
    delimiter = DELIMITERS[path.suffix.lower()]
    if delimiter == "," and header.count(";") > header.count(","):
        delimiter = ";"
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        if missing := [name for name in _REQUIRED if name not in columns]:
            raise PointsFileError(
                f"{path}, line 1: the columns {columns} lack {missing}. Name the case and the place (world mm, RAS)."
            )
        for cells in reader:
            if len(cells) > len(columns):
                raise PointsFileError(
                    f"{path}, line {reader.line_num}: has {len(cells)} cells for {len(columns)} columns. "
                    f"Quote cells that hold a {delimiter!r}."
                )
            if any(cell.strip() for cell in cells):
                yield f"line {reader.line_num}", dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise PointsFileError(
            f"{path}, line {reader.line_num}: {error}. Save the table again as plain text."
        ) from error


def _json_rows(path: Path, text: str) -> Iterator[Located]:
    """Items of a list of points, or of the list "points" of an object."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PointsFileError(f"{path}: is not JSON ({error}). Export it again.") from error
    items = content.get("points") if isinstance(content, dict) else content
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise PointsFileError(
            f'{path}: holds no list of points. Expected {{"points": [{{"case": ..., "x_mm": ...}}]}}.'
        )
    for number, item in enumerate(items, 1):
        yield f"point {number}", item


def _point(place: str, row: Mapping[str, Any]) -> LesionPoint:
    """Check the raw values of a row and make the point of it."""
    case = _text(row, "case")
    if case in _MISSING:
        raise PointsFileError(f"{place}: case is {case!r}. Name the case of every point.")
    given = _text(row, "id")
    existence = _number(place, row, "existence")
    if existence is not None and not 0 <= existence <= 1:
        raise PointsFileError(f"{place}: existence is {existence}, outside [0, 1]. Give the probability, not the mass.")
    return point_of(
        {
            "case": case,
            "id": "" if given.lower() in _MISSING else given,
            **{name: _coordinate(place, row, name) for name in ("x_mm", "y_mm", "z_mm")},
            "existence": existence,
            **{name: _number(place, row, name) for name in ("mass", "entropy")},
            "origin": _word(place, row, "origin", Origin, Origin.IMPORTED),
            "verdict": _word(place, row, "verdict", Verdict, Verdict.NONE),
            "reader": _text(row, "reader"),
            "created_utc": _text(row, "created_utc"),
        }
    )


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _number(place: str, row: Mapping[str, Any], column: str) -> float | None:
    """Return a finite number, or None where there is none."""
    text = _text(row, column)
    if text.lower() in _MISSING:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise PointsFileError(f"{place}: {column} is {text!r}, not a finite number. Correct it.")
    return value


def _coordinate(place: str, row: Mapping[str, Any], column: str) -> float:
    value = _number(place, row, column)
    if value is None:
        raise PointsFileError(f"{place}: {column} is {_text(row, column)!r}. Give the place in world mm, RAS.")
    return value


def _word(place: str, row: Mapping[str, Any], column: str, words: type[Word], default: Word) -> Word:
    """Return one of the words of an enumeration, or the default where there is none."""
    text = _text(row, column).lower()
    if text in _MISSING:
        return default
    if text not in list(words):
        raise PointsFileError(f"{place}: {column} is {text!r}. Use one of {', '.join(repr(str(w)) for w in words)}.")
    return words(text)
