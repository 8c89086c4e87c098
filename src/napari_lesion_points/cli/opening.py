"""The study, the reading and the cases that a command line names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_lesion_points.errors import StudyError

if TYPE_CHECKING:
    from napari_lesion_points.store.study import Study


def open_reading(
    study: Path, store: str = "", files: Path | None = None, reader: str = "", *, blind: bool = False, reading: str = ""
) -> Study:
    """Open a study in the reading that was asked for."""
    from napari_lesion_points.core.records import CONSENSUS, SHARED
    from napari_lesion_points.store.study import Study

    if blind and reading:
        raise typer.BadParameter("--blind is your own reading; leave out --reading.", param_hint="--reading")
    opened = Study.open(study, store or None, reader, files=files, blind=blind)
    if not reading:
        return opened
    known = {*opened.readings(), CONSENSUS, SHARED}
    if reading not in known:
        opened.close()
        raise StudyError(f"nothing was read by {reading!r}. This study has readings of {', '.join(sorted(known))}.")
    return opened.of(reading)


def split_names(text: str) -> list[str]:
    """Split names at commas; "@file" stands for a text file of names, at commas or one a line.

    Examples
    --------
    >>> split_names("Dr. A, Dr. B")
    ['Dr. A', 'Dr. B']
    """
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(f"{path}: cannot be read as a list of cases ({error}).") from error
    return [name.strip() for name in re.split(r"[,\r\n]", text) if name.strip()]


def known_case(name: str, known: Iterable[str]) -> str:
    """Return the case that a name, or its number, stands for; StudyError if there is none."""
    names = list(known)
    for candidate in (name, f"sub-{name}"):
        if candidate in names:
            return candidate
    raise StudyError(f"case {name!r} is not in the study; it has {', '.join(names[:10])}.")
