"""The rows of one reading: how they are selected, how a change alters them, and how the history keeps it.

A reading (see `core.records`) has its own annotations, verdicts, case states and notes. Candidates are shared, except
those of the consensus, which are the points that readers differ in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from napari_lesion_points.core.matching import SAME_LESION_MM, match_points
from napari_lesion_points.core.records import CONSENSUS, SHARED, CaseState, Change, LesionPoint, Verdict, utc_now
from napari_lesion_points.errors import ConflictError, StudyError
from napari_lesion_points.store.point_row import point_of, row_of
from napari_lesion_points.store.schema import ANNOTATIONS, CANDIDATES, EDITS, PROGRESS, RUNS, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Collection

#: Verdicts that hold for what a later run finds at the same place.
_KEPT = (Verdict.REJECTED, Verdict.MOVED, Verdict.UNSURE)


@dataclass(frozen=True)
class Edit:
    """One entry of a case's history: a change, by whom, when (ISO 8601, UTC), and in which reading.

    `number` is one more with every edit of the study.
    """

    change: Change
    reader: str
    utc: str
    reading: str = SHARED
    number: int = 0


def annotations_of(reading: str, case: str | None = None) -> sql.Select[Any]:
    """Select the annotations that a reading has, of one case or of all, in the order of their first placing."""
    live = (ANNOTATIONS.c.reading == reading) & ~ANNOTATIONS.c.removed
    query = sql.select(ANNOTATIONS).where(live).order_by(ANNOTATIONS.c.number)
    return query if case is None else query.where(ANNOTATIONS.c.case == case)


def candidates_of(reading: str, case: str | None = None) -> sql.Select[Any]:
    """Select the candidates of a case's newest run, or of each, in order of detection, with a reading's verdicts."""
    runs = sql.select(sql.func.max(RUNS.c.run)).where(RUNS.c.reading == _source(reading))
    newest = runs.group_by(RUNS.c.case) if case is None else runs.where(RUNS.c.case == case)
    return _judged(reading).where(CANDIDATES.c.run.in_(newest)).order_by(CANDIDATES.c.number)


def history_of(reading: str | None) -> sql.Select[Any]:
    """Select the edits of a reading, or of all (None), oldest first."""
    query = sql.select(EDITS).order_by(EDITS.c.number)
    return query if reading is None else query.where(EDITS.c.reading == reading)


def progress(connection: sql.Connection, reading: str, case: str) -> tuple[CaseState, str]:
    """Return state and note of a case."""
    this = (PROGRESS.c.case == case) & (PROGRESS.c.reading == reading)
    found = connection.execute(sql.select(PROGRESS.c.state, PROGRESS.c.note).where(this)).one_or_none()
    return (CaseState(found.state), found.note) if found else (CaseState.NEW, "")


def apply_change(connection: sql.Connection, reading: str, reader: str, change: Change) -> None:
    """Carry out a change in a write transaction, and append it to the history.

    Raises
    ------
    ConflictError
        If something stored is not what the change says it was before.
    StudyError
        If a candidate changes in more than its verdict.
    """
    case = change.case
    state, note = progress(connection, reading, case)
    started = CaseState.IN_PROGRESS if state is CaseState.NEW else state
    before, after = change.state or (state, started)
    note_before, note_after = change.note or (note, note)
    _require(state is before, f"{case}: is {state}, not {before} as when this edit began")
    _require(note == note_before, f"{case}: its note is not what it was when this edit began")
    here = {"case": case, "reading": reading}
    put(connection, PROGRESS, here, {"state": str(after), "note": note_after})
    for point_id, annotation in change.annotations.items():
        _apply_annotation(connection, reading, point_id, *annotation)
    for candidate in change.candidates.values():
        _apply_verdict(connection, reading, *candidate)
    effective = replace(change, state=None if before is after else (before, after))
    entry = {"label": change.label, "change": _json_of(effective), "reader": reader, "utc": utc_now()}
    connection.execute(EDITS.insert().values({**here, **entry}))


def insert_run(
    connection: sql.Connection, reading: str, run: dict[str, str | float], candidates: Collection[LesionPoint]
) -> None:
    """Store a run for those who see what `reading` proposes; verdicts that its candidates come with are theirs.

    What a reading rejected, moved or put aside in an earlier run stays so where it is found again: nobody is asked
    twice. (What was accepted has an annotation there.)
    """
    values = {**run, "reading": reading, "utc": utc_now()}
    number = connection.execute(RUNS.insert().values(values).returning(RUNS.c.run)).scalar_one()
    rows = [{"run": number, **{k: v for k, v in row_of(c).items() if k != "verdict"}} for c in candidates]
    if rows:
        connection.execute(CANDIDATES.insert(), rows)
    for judged in (c for c in candidates if c.verdict):
        this = sql.select(CANDIDATES.c.number).where(CANDIDATES.c.run == number, CANDIDATES.c.id == judged.id)
        key = {"candidate": connection.execute(this).scalar_one(), "reading": reading}
        put(connection, VERDICTS, key, {"verdict": str(judged.verdict), "reader": judged.reader})
    if reading == SHARED:
        _judge_again(connection, str(run["case"]), number)


def _judge_again(connection: sql.Connection, case: str, number: int) -> None:
    """Give a new run's candidates the last verdict within `SAME_LESION_MM`, if it is one of `_KEPT`."""
    place = CANDIDATES.c.x_mm, CANDIDATES.c.y_mm, CANDIDATES.c.z_mm
    new = connection.execute(sql.select(CANDIDATES.c.number, *place).where(CANDIDATES.c.run == number)).all()
    given = connection.execute(
        sql.select(CANDIDATES.c.run, VERDICTS.c.reading, VERDICTS.c.verdict, VERDICTS.c.reader, *place)
        .select_from(CANDIDATES.join(VERDICTS, VERDICTS.c.candidate == CANDIDATES.c.number))
        .where(CANDIDATES.c.case == case, CANDIDATES.c.run < number)
    ).all()
    for reading in {row.reading for row in given}:
        asked = list(new)
        for run in sorted({row.run for row in given}, reverse=True):
            then = [row for row in given if (row.run, row.reading) == (run, reading)]
            pairs = match_points([c[1:] for c in asked], [row[4:] for row in then], SAME_LESION_MM).pairs
            for i, k in pairs:
                if then[k].verdict in _KEPT:
                    key = {"candidate": asked[i].number, "reading": reading}
                    put(connection, VERDICTS, key, {"verdict": then[k].verdict, "reader": then[k].reader})
            answered = set(pairs[:, 0].tolist())
            asked = [c for i, c in enumerate(asked) if i not in answered]


def put(connection: sql.Connection, table: sql.Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Update the row of a key, or insert it; in a write transaction nobody comes between."""
    this = sql.and_(*(table.c[name] == value for name, value in key.items()))
    if not connection.execute(table.update().where(this).values(values)).rowcount:
        connection.execute(table.insert().values({**key, **values}))


def edit_of(row: sql.RowMapping) -> Edit:
    """Return the edit of a row of the history."""
    content = json.loads(row["change"])
    note = content.get("note")  # absent in entries of schema 1
    change = Change(
        row["case"],
        row["label"],
        {i: (old and point_of(old), new and point_of(new)) for i, (old, new) in content["annotations"].items()},
        {i: (point_of(old), point_of(new)) for i, (old, new) in content["candidates"].items()},
        content["state"] and (CaseState(content["state"][0]), CaseState(content["state"][1])),
        note and (note[0], note[1]),
    )
    return Edit(change, row["reader"], row["utc"], row["reading"], row["number"])


def _json_of(change: Change) -> str:
    """Everything of a change but case and label, which are columns of their own; `edit_of` reads it."""

    def rows(pairs: dict[str, Any]) -> dict[str, Any]:
        return {point_id: [point and row_of(point) for point in pair] for point_id, pair in pairs.items()}

    content = {
        "annotations": rows(change.annotations),
        "candidates": rows(change.candidates),
        "state": change.state,
        "note": change.note,
    }
    return json.dumps(content, allow_nan=False)


def _source(reading: str) -> str:
    """Whose runs a reading sees."""
    return CONSENSUS if reading == CONSENSUS else SHARED


def _judged(reading: str) -> sql.Select[Any]:
    """Select all candidates with what a reading says of them."""
    theirs = (VERDICTS.c.candidate == CANDIDATES.c.number) & (VERDICTS.c.reading == reading)
    given = sql.func.coalesce(VERDICTS.c.verdict, "")
    judge = sql.case((given != "", VERDICTS.c.reader), else_=CANDIDATES.c.reader)
    columns = [column for column in CANDIDATES.c if column.name != "reader"]
    return sql.select(*columns, given.label("verdict"), judge.label("reader")).select_from(
        CANDIDATES.outerjoin(VERDICTS, theirs)
    )


def _apply_annotation(
    connection: sql.Connection,
    reading: str,
    point_id: str,
    before: LesionPoint | None,
    after: LesionPoint | None,
) -> None:
    """Bring one annotation from before to after; None is absent."""
    found = connection.execute(annotations_of(reading).where(ANNOTATIONS.c.id == point_id)).one_or_none()
    _require_same(point_id, point_of(found._asdict()) if found else None, before)
    values = {**row_of(after), "removed": False} if after else {"removed": True}
    put(connection, ANNOTATIONS, {"reading": reading, "id": point_id}, values)


def _apply_verdict(connection: sql.Connection, reading: str, before: LesionPoint, after: LesionPoint) -> None:
    """Change verdict and reader of one candidate, and nothing else of it; of the newest run that has it.

    What candidates of still newer runs have inherited changes with it.
    """
    if row_of(after) != row_of(replace(before, verdict=after.verdict, reader=after.reader)):
        raise StudyError(f"candidate {before.id!r}: a reader changes its verdict only. Place an annotation instead.")
    seen = CANDIDATES.c.run.in_(sql.select(RUNS.c.run).where(RUNS.c.reading == _source(reading)))
    of_case = _judged(reading).where(CANDIDATES.c.case == before.case, seen)
    rows = connection.execute(of_case.where(CANDIDATES.c.id == before.id)).all()
    _require(bool(rows), f"candidate {before.id!r} is not stored")
    found = max(rows, key=lambda row: row.run)
    stored = point_of(found._asdict())  # a recalibration since then is no conflict: a verdict is on the lesion
    _require_same(before.id, stored, replace(before, existence=stored.existence, entropy=stored.entropy))
    _judge(connection, reading, found, after.verdict, after.reader)
    old, new = (p.verdict if p.verdict in _KEPT else Verdict.NONE for p in (before, after))
    newer = connection.execute(of_case.where(CANDIDATES.c.run > found.run)).all() if old is not new else ()
    for run in {row.run for row in newer}:
        heirs = [row for row in newer if row.run == run]
        places = [(row.x_mm, row.y_mm, row.z_mm) for row in heirs]
        for _, k in match_points([before.world], places, SAME_LESION_MM).pairs:
            if heirs[k].verdict == str(old) and (not old or heirs[k].reader == before.reader):
                _judge(connection, reading, heirs[k], new, after.reader if new else "")


def _judge(connection: sql.Connection, reading: str, candidate: Any, verdict: Verdict, reader: str) -> None:
    key = {"candidate": candidate.number, "reading": reading}
    put(connection, VERDICTS, key, {"verdict": str(verdict), "reader": reader})


def _require_same(point_id: str, stored: LesionPoint | None, before: LesionPoint | None) -> None:
    """Refuse an edit of a point that is not stored as it was before (compared as rows, where NaN equals NaN)."""
    same = (stored and row_of(stored)) == (before and row_of(before))
    _require(same, f"point {point_id!r} is not stored as it was when this edit began")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ConflictError(
            f"{otherwise}. Somebody else changed it: nothing was stored; look at it as it is now, and decide again."
        )
