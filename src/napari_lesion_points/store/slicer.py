"""Point lists of 3D Slicer: `.mrk.json` (read and written) and the older `.fcsv` (read).

Slicer's files say whether they are LPS or RAS; ours are RAS+. LPS to RAS turns the signs of x and y. A list without a
word on it is LPS in `.mrk.json` and RAS in `.fcsv`, the defaults of the formats.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_lesion_points.core.records import LesionPoint, Origin
from napari_lesion_points.errors import OutputError, PointsFileError
from napari_lesion_points.store.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    #: World position (RAS mm), label, description.
    Found = tuple[tuple[float, float, float], str, str]

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)

#: Sign of x and y of a file against RAS, by the names and (older) numbers of coordinate systems.
_SIGNS = {"RAS": 1, "0": 1, "LPS": -1, "1": -1}

_FCSV_COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"


@dataclass(frozen=True)
class Markup:
    """A control point of Slicer: its label and description there, and the point (RAS, new id, origin imported)."""

    label: str
    point: LesionPoint
    description: str = ""


def read_markups(path: Path, case: str) -> tuple[Markup, ...]:
    """Read all fiducials of a Slicer file, in its order; control points that were never placed are left out.

    Parameters
    ----------
    path : Path
        Ends in .mrk.json, .json or .fcsv.
    case : str
        The case that the points belong to; the file does not say.

    Raises
    ------
    PointsFileError
        If the file cannot be read, holds no point list, or a value in it cannot be.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PointsFileError(f"{path}: cannot be read as text ({error}). Check the path.") from error
    if path.suffix.lower() == ".fcsv":
        found = _fcsv(path, text)
    elif path.suffix.lower() == ".json":
        found = _json(path, text)
    else:
        raise PointsFileError(
            f"{path}: has the ending {path.suffix!r}; point lists of Slicer end in .mrk.json or .fcsv."
        )
    return tuple(
        Markup(label, LesionPoint(case, world, origin=Origin.IMPORTED), description)
        for world, label, description in found
    )


def write_markups(path: Path, points: Sequence[LesionPoint]) -> None:
    """Write the points of one case as a point list that Slicer opens (LPS, schema 1.0.3); none give an empty list.

    Labels are running numbers, with the existence probability where there is one; the description tells the origin,
    the verdict and the reader.

    Raises
    ------
    OutputError
        If the points are of several cases, the name does not end in .mrk.json, or the file cannot be written.
    """
    if not path.name.lower().endswith(".mrk.json"):
        raise OutputError(f"{path}: let the name end in .mrk.json, or Slicer will not know it for a point list.")
    if len(cases := sorted({point.case for point in points})) > 1:
        raise OutputError(
            f"{path}: cannot hold the points of several cases ({', '.join(cases)}). Write one file per case."
        )
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "labelFormat": "%N-%d",
        "controlPoints": [_control_point(number, point) for number, point in enumerate(points, 1)],
    }
    atomic_write(path, json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=2, allow_nan=False) + "\n")


def _control_point(number: int, point: LesionPoint) -> dict[str, Any]:
    x, y, z = point.world
    known = not math.isnan(point.existence)
    words = (f"existence {point.existence:.3f}" if known else "", point.origin, point.verdict, point.reader)
    return {
        "id": point.id,
        "label": f"{number} ({point.existence:.2f})" if known else str(number),
        "description": ", ".join(word for word in words if word),
        "associatedNodeID": "",
        "position": [-x, -y, z],
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined",
    }


def _json(path: Path, text: str) -> Iterator[Found]:
    """Read the control points of all point lists."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PointsFileError(f"{path}: is not JSON ({error}). Save it again in Slicer.") from error
    markups = content.get("markups") if isinstance(content, dict) else None
    lists = (
        [m for m in markups if isinstance(m, dict) and m.get("type") == "Fiducial"] if isinstance(markups, list) else []
    )
    if not lists:
        raise PointsFileError(f"{path}: holds no point list (a markup of the type Fiducial). Save one from Slicer.")
    for markup in lists:
        sign = _sign(path, markup.get("coordinateSystem", "LPS"))
        units = markup.get("coordinateUnits", "mm")
        if (units[0] if isinstance(units, list) and units else units) != "mm":
            raise PointsFileError(f"{path}: coordinateUnits is {units!r}. Save the point list in mm.")
        items = markup.get("controlPoints") or []
        if not isinstance(items, list):
            raise PointsFileError(f"{path}: controlPoints is {items!r}, no list. Save it again in Slicer.")
        for number, item in enumerate(items, 1):
            point = item if isinstance(item, dict) else {}
            if point.get("positionStatus", "defined") == "defined":
                world = _world(f"{path}, control point {number}", point.get("position"), sign)
                yield world, str(point.get("label", "")), str(point.get("description", ""))


def _fcsv(path: Path, text: str) -> Iterator[Found]:
    """Read the rows; comments ahead of them tell the coordinate system and the columns."""
    sign, columns = 1, _FCSV_COLUMNS.split(",")
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#"):
            key, _, value = line.lstrip("# ").partition("=")
            if key.strip() == "CoordinateSystem":
                sign = _sign(path, value.strip())
            elif key.strip() == "columns":
                columns = value.strip().split(",")
        elif line.strip():
            try:
                row = dict(zip(columns, next(csv.reader([line])), strict=False))
            except csv.Error as error:
                raise PointsFileError(f"{path}, line {number}: {error}. Save it again in Slicer.") from error
            position = [row.get(axis) for axis in "xyz"]
            yield _world(f"{path}, line {number}", position, sign), row.get("label", ""), row.get("desc", "")


def _sign(path: Path, system: object) -> int:
    if str(system) not in _SIGNS:
        raise PointsFileError(f"{path}: the coordinate system is {system!r}. Save the point list in LPS or RAS.")
    return _SIGNS[str(system)]


def _world(place: str, position: Any, sign: int) -> tuple[float, float, float]:
    """Return a position as three finite numbers, RAS+."""
    try:
        x, y, z = (float(value) for value in position)
    except (TypeError, ValueError):
        x = y = z = math.nan
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise PointsFileError(f"{place}: the position is {position!r}, not three finite numbers. Correct or remove it.")
    return sign * x, sign * y, z
