"""Events as lines of JSON, from a job's process to the one that watches it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import Any

from napari_lesion_points.core.events import (
    CasePredicted,
    Event,
    Finished,
    LossPoint,
    Progress,
    Started,
    Validation,
)
from napari_lesion_points.core.records import LesionPoint, Origin, Verdict

_EVENTS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (Started, Progress, LossPoint, Validation, CasePredicted, Finished)
}


def encode(event: Event) -> str:
    """Return one line of JSON, without the line's end. NaN becomes null."""
    return json.dumps({"event": type(event).__name__, **_without_nan(asdict(event))}, allow_nan=False)


def decode(line: str) -> Event:
    """Return the event that `encode` wrote.

    Raises
    ------
    ValueError
        If the line is something else, or only a part.

    Examples
    --------
    >>> decode(encode(Started("2 cases", "CPU")))
    Started(total='2 cases', device='CPU')
    """
    values: Any = json.loads(line)
    kind = _EVENTS.get(values.pop("event", "")) if isinstance(values, dict) else None
    if kind is None:
        raise ValueError(f"{line[:60]!r} is no event.")
    try:
        if kind is CasePredicted:
            values["candidates"] = tuple(_point(p) for p in values["candidates"])
            return CasePredicted(**values)
        may_lack = {f.name for f in fields(kind) if f.default is None}
        numbers: dict[str, Any] = {k: math.nan if v is None and k not in may_lack else v for k, v in values.items()}
        return kind(**numbers)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{line[:60]!r} is no {kind.__name__} of this version.") from error


def _point(values: dict[str, Any]) -> LesionPoint:
    numbers = {k: math.nan if values[k] is None else values[k] for k in ("existence", "mass", "entropy")}
    kinds = {"origin": Origin(values["origin"]), "verdict": Verdict(values["verdict"])}
    return LesionPoint(**{**values, **numbers, **kinds, "world": tuple(values["world"])})


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return value
