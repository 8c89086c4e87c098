"""A lesion point as a flat row: the columns of our tables, in files and in the database alike.

Coordinates are world mm, RAS+. What no model gave (existence, mass, entropy) is None in a row and NaN in a point.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_lesion_points.core.records import LesionPoint, Origin, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = dict[str, str | float | None]

COLUMNS = (
    "case",
    "id",
    "x_mm",
    "y_mm",
    "z_mm",
    "existence",
    "mass",
    "entropy",
    "origin",
    "verdict",
    "reader",
    "created_utc",
)


def row_of(point: LesionPoint) -> Row:
    """Return the values of a point by column; equal points have equal rows."""
    figures = {name: getattr(point, name) for name in ("existence", "mass", "entropy")}
    x, y, z = point.world
    return {
        "case": point.case,
        "id": point.id,
        "x_mm": x,
        "y_mm": y,
        "z_mm": z,
        **{name: None if math.isnan(figure) else float(figure) for name, figure in figures.items()},
        "origin": str(point.origin),
        "verdict": str(point.verdict),
        "reader": point.reader,
        "created_utc": point.created_utc,
    }


def point_of(row: Mapping[str, Any]) -> LesionPoint:
    """Return the point of a complete row, as `row_of` makes them; further columns are ignored."""
    figures = {name: math.nan if row[name] is None else row[name] for name in ("existence", "mass", "entropy")}
    return LesionPoint(
        case=row["case"],
        world=(row["x_mm"], row["y_mm"], row["z_mm"]),
        id=row["id"],
        **figures,
        origin=Origin(row["origin"]),
        verdict=Verdict(row["verdict"]),
        reader=row["reader"],
        created_utc=row["created_utc"],
    )
