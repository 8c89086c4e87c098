"""Flat tables as text files, CSV or TSV by the ending of their name."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from napari_lesion_points.errors import OutputError
from napari_lesion_points.store.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, whole or not at all; None is an empty field, and no rows give a table with a header alone.

    Raises
    ------
    OutputError
        If the ending is neither .csv nor .tsv, or the file cannot be written.
    """
    delimiter = DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        raise OutputError(f"{path}: has the ending {path.suffix!r}; let the name of a table end in .csv or .tsv.")
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(path, table.getvalue())
