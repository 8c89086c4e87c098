"""Commands that make a study, and bring points into it and out of it."""

from __future__ import annotations

import time
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
from napari_lesion_points.core.events import Progress


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same study.")] = 0,
    varied: Annotated[
        bool, typer.Option("--varied", help="As if from any clinic: 1 mm, other contrasts, scanners and sequences.")
    ] = False,
    split: Annotated[
        tuple[int, int, int] | None,
        typer.Option(metavar="TRAIN VAL TEST", help="In percent, noted in participants.tsv, for experiments."),
    ] = None,
) -> None:
    """Write a study of simulated patients with known lesions."""
    from napari_lesion_points.workflow.simulate import simulate_study

    if split and (min(split) < 0 or sum(split) != 100):
        raise typer.BadParameter(f"{split}: expected three percentages whose sum is 100.", param_hint="--split")
    show, started = ProgressLine(), time.monotonic()
    for made in simulate_study(out, cases, seed, varied=varied, split=split):
        elapsed = time.monotonic() - started
        left = elapsed / made.done * (made.total - made.done)
        show(Progress("simulating", made.done / made.total, elapsed, left, f"{made.case}, {made.lesions} lesions"))
    show.end()
    typer.echo(str(out))


def points(
    study: StudyArgument,
    from_masks: Annotated[str, typer.Option("--from-masks", metavar="GLOB", help="Masks, relative to the study.")],
    store: StoreOption = "",
    files: FilesOption = None,
    reader: ReaderOption = "",
    blind: BlindOption = False,
) -> None:
    """Turn lesion masks into points, one per lesion; a case with an empty mask is done, without lesions."""
    from napari_lesion_points.workflow.exchange import points_from_masks

    with open_reading(study, store, files, reader, blind=blind) as opened:
        for read in points_from_masks(opened, from_masks):
            count = f"{read.points} point{'' if read.points == 1 else 's'}" if read.points else "no lesions"
            new = "" if read.new == read.points else f", {read.new} new"
            typer.echo(f"{read.case}: {count}{new} ({read.path.name})")


def import_file(
    study: StudyArgument,
    file: Annotated[Path, typer.Argument(help="Our CSV or JSON, or 3D Slicer's .mrk.json or .fcsv.")],
    case: Annotated[str, typer.Option(help="Needed for 3D Slicer's files.")] = "",
    store: StoreOption = "",
    files: FilesOption = None,
    reader: ReaderOption = "",
    blind: BlindOption = False,
) -> None:
    """Add the points of a file to a study."""
    from napari_lesion_points.workflow.exchange import import_points

    with open_reading(study, store, files, reader, blind=blind) as opened:
        changes = import_points(opened, file, case or None)
        for change in changes:
            typer.echo(f"{change.case}: {len(change.annotations)} new")
        if not changes:
            typer.echo("nothing new")


def export(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    format: Annotated[str, typer.Option(help="csv, json, nifti or slicer; or history: every edit.")] = "csv",
    store: StoreOption = "",
    files: FilesOption = None,
    reading: ReadingOption = "",
) -> None:
    """Write a study's points, and candidates, or its history, to files."""
    from napari_lesion_points.workflow.exchange import EXPORT_FORMATS, export_study

    chosen = next((f for f in EXPORT_FORMATS if f == format), None)
    if chosen is None:
        raise typer.BadParameter(f"{format!r}; expected one of {', '.join(EXPORT_FORMATS)}.", param_hint="--format")
    with open_reading(study, store, files, reading=reading) as opened:
        for path in export_study(opened, out, chosen):
            typer.echo(str(path))
