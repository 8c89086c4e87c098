"""One row of the benchmark table, the table itself, and the file that keeps it."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

LATEST = Path(__file__).with_name("latest.json")
_PACKAGES = ("napari-lesion-points", "numpy", "scipy", "torch", "napari", "nibabel", "monai")


@dataclass(frozen=True)
class Row:
    """A measured figure beside its alternative and its target.

    Parameters
    ----------
    area : str
        The module that measured it: "fitting", "prediction", "learning", "window", "reader".
    what : str
        What was measured, with its circumstances, in one line.
    value : float
        The figure that the target is about: nearly always a ratio.
    unit : str
        "x" for a ratio, "F1", "ms", ...
    target : float
        What was asked for.
    sense : {"at least", "at most"}
        Which side of the target is good.
    ours, other : str
        The two sides in words and figures, for example "22 ms" and "24.1 s (curve_fit, one after the other)".
    threads : int
        Threads used.
    machine, measured : str
        Filled in: processor and number of cores; the day.
    versions : dict
        Filled in: package -> version.
    """

    area: str
    what: str
    value: float
    unit: str
    target: float
    sense: Literal["at least", "at most"]
    ours: str = ""
    other: str = ""
    threads: int = 1
    machine: str = field(default_factory=lambda: machine())
    measured: str = field(default_factory=lambda: date.today().isoformat())
    versions: dict[str, str] = field(default_factory=lambda: versions())

    @property
    def reached(self) -> bool:
        """Whether the figure is on the good side of its target."""
        return self.value >= self.target if self.sense == "at least" else self.value <= self.target


def machine() -> str:
    """Return the processor's name and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, {platform.system()}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter, where they are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def load(path: Path = LATEST) -> list[Row]:
    """Return the rows kept so far."""
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def keep(rows: list[Row], path: Path = LATEST) -> None:
    """Replace the kept rows of the same areas by these, and leave the others."""
    areas = {row.area for row in rows}
    together = [*(row for row in load(path) if row.area not in areas), *rows]
    together.sort(key=lambda row: row.area)
    path.write_text(json.dumps([asdict(row) for row in together], indent=1) + "\n", encoding="utf-8")


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| area | what | measured | target | reached | ours | beside |", "|---|---|---|---|---|---|---|"]
    for r in rows:
        good = "yes" if r.reached else "**no**"
        measured = f"{r.value:.4g} {r.unit}"
        lines.append(f"| {r.area} | {r.what} | {measured} | {r.sense} {r.target:g} | {good} | {r.ours} | {r.other} |")
    return "\n".join(lines)
