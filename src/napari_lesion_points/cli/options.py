"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StudyArgument = Annotated[
    Path, typer.Argument(metavar="STUDY", help="BIDS dataset, folder of case folders, or images.")
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="LESION_POINTS_STORE",
        metavar="DIR|URL",
        help="Where to keep points and models; for a study on a read-only share. Or postgresql://USER@HOST/DATABASE.",
    ),
]
FilesOption = Annotated[
    Path | None,
    typer.Option("--files", envvar="LESION_POINTS_FILES", help="Where to keep models, when the store is a URL."),
]
ReaderOption = Annotated[str, typer.Option("--reader", help="Your name; by default that of your account.")]
BlindOption = Annotated[
    bool, typer.Option("--blind", help="See and make only points and verdicts of your own, not those of all.")
]
ReadingOption = Annotated[
    str,
    typer.Option(
        "--reading", help="Whose points: a blind reader's, or consensus; by default those of all.", metavar="NAME"
    ),
]
CasesOption = Annotated[str, typer.Option("--cases", help="Only these, separated by commas.", metavar="A,B")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
ToleranceOption = Annotated[float, typer.Option(min=0, max=1000, help="Greatest distance of a match.")]
