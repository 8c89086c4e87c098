"""The history of a study as a table that people read: who did what, when, from where to where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_lesion_points.core.records import SHARED, LesionPoint
from napari_lesion_points.store.tables import write_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_lesion_points.store.readings import Edit
    from napari_lesion_points.store.study import Study

COLUMNS = (
    "edit", "utc", "reader", "reading", "case", "label", "what", "id", "before", "after",
    "from_x_mm", "from_y_mm", "from_z_mm", "to_x_mm", "to_y_mm", "to_z_mm",
)  # fmt: skip


def history_rows(study: Study) -> Iterator[dict[str, Any]]:
    """Yield one row for each thing that an edit changed, oldest first.

    `what` is a point that was added, removed, moved or changed, a verdict, the case's state, or its note; positions are
    world mm. Rows of one edit share its number, `edit`. From the shared reading all readings' edits are seen, from
    another one only its own.
    """
    for edit in study.history(everyone=study.reading == SHARED):
        common = {
            "edit": edit.number, "utc": edit.utc, "reader": edit.reader, "reading": edit.reading,
            "case": edit.change.case, "label": edit.change.label,
        }  # fmt: skip
        for row in _parts(edit):
            yield common | row


def write_history(study: Study, path: Path) -> None:
    """Write the history as a table; OutputError if that fails."""
    write_table(path, COLUMNS, history_rows(study))


def _parts(edit: Edit) -> Iterator[dict[str, Any]]:
    change = edit.change
    for point_id, (old, new) in change.annotations.items():
        what = (
            "removed" if new is None else "added" if old is None else "moved" if old.world != new.world else "changed"
        )
        yield {"what": f"point {what}", "id": point_id, **_place("from", old), **_place("to", new)}
    for point_id, (before, after) in change.candidates.items():
        words = {"before": str(before.verdict), "after": str(after.verdict)}
        yield {"what": "verdict", "id": point_id, **words, **_place("from", before)}
    for what, pair in (("state", change.state), ("note", change.note)):
        if pair:
            yield {"what": what, "before": str(pair[0]), "after": str(pair[1])}


def _place(prefix: str, point: LesionPoint | None) -> dict[str, float]:
    return {f"{prefix}_{axis}_mm": c for axis, c in zip("xyz", point.world, strict=True)} if point else {}
