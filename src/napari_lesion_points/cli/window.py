"""Commands that start the window: the demonstration, and the opening of a study.

They import it when they run, so that every other command works on a machine without Qt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lesion_points.cli.opening import open_reading
from napari_lesion_points.cli.options import (
    BlindOption,
    FilesOption,
    ReaderOption,
    ReadingOption,
    StoreOption,
    StudyArgument,
)
from napari_lesion_points.cli.progress import ProgressLine
from napari_lesion_points.core.events import Event, Finished
from napari_lesion_points.errors import LesionPointsError


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything; an earlier demo's is replaced.")] = Path(
        "demo-output"
    ),
    minutes: Annotated[float, typer.Option(min=0.1, help="Of training.")] = 2.0,
    headless: Annotated[
        bool, typer.Option("--headless", help="Leave pictures of the window instead of opening it.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated study and the training.")] = 0,
) -> None:
    """Simulate a study, train on some cases, find the lesions of the others, compare with the truth, review."""
    from napari_lesion_points.workflow.demo import DemoResult, run_demo
    from napari_lesion_points.workflow.display import has_display, virtual_display

    typer.echo(
        f"About {minutes + 1.5:.0f} minutes: simulate, click, train for {minutes:g}, predict, compare.", err=True
    )
    show = ProgressLine()
    training: list[Event] = []
    result: DemoResult | None = None
    for event in run_demo(out, minutes, seed):
        if isinstance(event, DemoResult):
            result = event
        else:
            show(event)
            if not any(isinstance(e, Finished) for e in training):
                training.append(event)
    show.end()
    if result is None:
        raise LesionPointsError("the demonstration ended early")
    e = result.evaluation
    typer.echo(f"\nOn {e.cases} cases without points, {result.lesions} lesions, tolerance {e.tolerance_mm:g} mm,")
    typer.echo(f"at the threshold {e.threshold:.2f} that validation gave:\n")
    typer.echo("   F1    precision  recall   found  missed  false")
    typer.echo(f"  {e.f1:.2f}     {e.precision:.2f}      {e.recall:.2f}    {e.tp:5d}  {e.fn:6d}  {e.fp:5d}\n")
    if headless or not has_display():
        from napari_lesion_points.ui.app import take_pictures

        with virtual_display() as drawn:
            if drawn:
                for path in take_pictures(result.study, out, annotated=result.annotated[0], events=training):
                    typer.echo(f"picture: {path}")
            else:
                typer.echo("no pictures: there is no display. On Debian and Ubuntu: apt-get install xvfb.", err=True)
        typer.echo(f"everything is in {out}")
    else:
        typer.echo("Opening napari on the most uncertain lesion. Close the window to end.")
        open_study(result.study, review=True)


def open_study(
    study: StudyArgument,
    store: StoreOption = "",
    files: FilesOption = None,
    reader: ReaderOption = "",
    blind: BlindOption = False,
    reading: ReadingOption = "",
    case: Annotated[str, typer.Option(help="Case to show first.")] = "",
    review: Annotated[bool, typer.Option("--review", help="Begin with the most uncertain candidate.")] = False,
) -> None:
    """Open a study in napari."""
    from napari_lesion_points.ui import app as window

    opened = open_reading(
        study, store, files, reader, blind=blind, reading=reading
    )  # what is wrong is said before a window
    window.open_study(opened, case or None, review)
