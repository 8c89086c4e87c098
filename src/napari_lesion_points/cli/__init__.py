"""The command line: the same functions as the panels, with progress on standard error and exit codes.

Exit codes: 0 done; 1 failed, with the reason on standard error; 2 wrong usage; 130 stopped by Ctrl-C, keeping what
there is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from napari_lesion_points.cli import models, readers, study, window
from napari_lesion_points.errors import LesionPointsError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find lesions as points: annotate, train, predict, review, export. For research only.",
)

#: In the order in which the help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "demo": window.demo,
    "open": window.open_study,
    "simulate": study.simulate,
    "points": study.points,
    "import": study.import_file,
    "train": models.train,
    "predict": models.predict,
    "detect": models.detect,
    "evaluate": models.evaluate,
    "export": study.export,
    "share": models.share,
    "agreement": readers.agreement,
    "consensus": readers.consensus,
}
for name, command in _COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """Run the command line; one of our errors becomes one line and exit code 1."""
    try:
        app()
    except LesionPointsError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
