"""Commands for several readers: how far they agree, and the consensus of two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lesion_points.cli.opening import open_reading, split_names
from napari_lesion_points.cli.options import FilesOption, ReaderOption, StoreOption, StudyArgument, ToleranceOption


def agreement(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(metavar="CSV", help="Table to write.")],
    readers: Annotated[str, typer.Option(metavar="A,B", help="Only these; by default all that read.")] = "",
    tolerance_mm: ToleranceOption = 6.0,
    store: StoreOption = "",
    files: FilesOption = None,
) -> None:
    """Compare what readers found, and what they say of candidates."""
    from napari_lesion_points.workflow.agreement import ALL_CASES, study_agreement, write_agreement

    with open_reading(study, store, files) as opened:
        rows = study_agreement(opened, split_names(readers), tolerance_mm)
    write_agreement(out, rows)
    for row in rows:
        if row.case == ALL_CASES:
            typer.echo(row.words)
    typer.echo(str(out))


def consensus(
    study: StudyArgument,
    readers: Annotated[str, typer.Option(metavar="A,B", help="The two to compare.")],
    tolerance_mm: ToleranceOption = 6.0,
    store: StoreOption = "",
    files: FilesOption = None,
    reader: ReaderOption = "",
) -> None:
    """Keep what two readers agree in, and list where they differ, to be settled with `open --reading consensus`."""
    from napari_lesion_points.workflow.consensus import begin_consensus

    names = split_names(readers)
    if len(names) != 2:
        raise typer.BadParameter(f"{readers!r}; expected two names, A,B.", param_hint="--readers")
    with open_reading(study, store, files, reader) as opened:
        for case, found in begin_consensus(opened, names[0], names[1], tolerance_mm):
            waiting = sum(not difference.settled for difference in found)
            typer.echo(f"{case}: {len(found)} difference{'' if len(found) == 1 else 's'}, {waiting} to settle")
