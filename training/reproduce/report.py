"""One page with the tables of the experiments, and curves where a table has them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

from napari_lesion_points.core.records import utc_now
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.workflow.report import versions
from training.reproduce.experiments import PAPER
from training.reproduce.networks import TOLERANCE_VOX
from training.reproduce.tables import Curves, Table

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#888888")
_MANY = 30  # points of a line, which are not marked then


def write_report(path: Path, tables: Sequence[Table], study: str, budget: str, command: str) -> None:
    """Write the page; OutputError if that fails."""
    loader = ChoiceLoader([FileSystemLoader(Path(__file__).parent), PackageLoader("napari_lesion_points", "data")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.get_template("report.html.j2").render(
        tables=tables,
        figures={table.name: _drawn(table.curves) if table.curves else "" for table in tables},
        study=study,
        budget=budget,
        tolerance=f"{TOLERANCE_VOX:g}",
        command=command,
        versions=versions("torch"),
        made=utc_now(),
        paper=PAPER,
    )
    atomic_write(path, page)


def _drawn(curves: Curves) -> str:
    """Return curves as the address of an SVG image."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    axes = figure.add_subplot()
    for (name, (x, y)), color in zip(curves.lines.items(), cycle(_COLORS), strict=False):
        axes.plot(x, y, "o-", color=color, label=name, markersize=4 if len(x) < _MANY else 0)
    axes.set_xlabel(curves.x, fontsize=9)
    axes.set_ylabel(curves.y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#dfe3e8", linewidth=0.7)
    axes.legend(fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
