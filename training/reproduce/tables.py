"""Tables of an experiment, as text, and what of them can be drawn."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Curves:
    """What of a table can be drawn: x and y of each line."""

    x: str
    y: str
    lines: dict[str, tuple[list[float], list[float]]]


@dataclass(frozen=True)
class Table:
    """What an experiment found, as text, and as curves where that says more; `seeds` is 0 where it has none."""

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    curves: Curves | None = None
    seeds: int = 0


def spread(values: Iterable[float]) -> str:
    """Mean and standard deviation, percent, of what is defined; "nan" if nothing is."""
    some = [100 * v for v in values if not math.isnan(v)]
    return f"{statistics.mean(some) if some else math.nan:.1f}" + (
        f" ± {statistics.stdev(some):.1f}" if len(some) > 1 else ""
    )


def means(rows: Iterable[Sequence[str]], column: int) -> list[float]:
    """Numbers of a column, without their spread."""
    return [float(row[column].split()[0]) for row in rows]


def as_csv(table: Table) -> str:
    """Return a table as CSV text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.header, *table.rows])
    return text.getvalue()
