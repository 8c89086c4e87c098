"""The SQLite file of a study: its tables, its transactions, and its failures in words.

Journal mode DELETE (network shares do not support WAL), synchronous FULL (a committed edit survives a power cut),
foreign keys on. A write transaction takes the write lock when it begins (BEGIN IMMEDIATE), so that what it reads is
still true when it writes. Every transaction has its own connection, so threads share nothing.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError

from napari_lesion_points.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Version of the tables below, in the file's `user_version`; raise it with every change of them.
SCHEMA = 1

_BUSY_TIMEOUT_S = 5.0  # longer than any write of ours; a user still waits for it without thinking that we hang

_metadata = sql.MetaData()


def _point_columns() -> tuple[sql.Column[str] | sql.Column[float] | sql.Column[float | None], ...]:
    """Return the columns of a lesion point (see `store.point_row`)."""
    return (
        sql.Column("case", sql.String, sql.ForeignKey("cases.case"), nullable=False, index=True),
        *(sql.Column(name, sql.Float, nullable=False) for name in ("x_mm", "y_mm", "z_mm")),
        *(sql.Column(name, sql.Float) for name in ("existence", "mass", "entropy")),
        *(sql.Column(name, sql.String, nullable=False) for name in ("origin", "verdict", "reader", "created_utc")),
    )


CASES = sql.Table(
    "cases",
    _metadata,
    sql.Column("case", sql.String, primary_key=True),
    sql.Column("state", sql.String, nullable=False),
)

#: `number` keeps the order of insertion, also when a removed point comes back.
ANNOTATIONS = sql.Table(
    "annotations",
    _metadata,
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("id", sql.String, nullable=False, unique=True),
    *_point_columns(),
    sql.Column("removed", sql.Boolean, nullable=False),
)

#: One prediction of one case; the highest number of a case is its newest.
RUNS = sql.Table(
    "runs",
    _metadata,
    sql.Column("run", sql.Integer, primary_key=True),
    sql.Column("case", sql.String, sql.ForeignKey("cases.case"), nullable=False, index=True),
    sql.Column("model", sql.String, nullable=False),
    sql.Column("sigma_mm", sql.Float, nullable=False),
    sql.Column("reader", sql.String, nullable=False),
    sql.Column("utc", sql.String, nullable=False),
)

CANDIDATES = sql.Table(
    "candidates",
    _metadata,
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("run", sql.Integer, sql.ForeignKey("runs.run"), nullable=False),
    sql.Column("id", sql.String, nullable=False),
    *_point_columns(),
    sql.UniqueConstraint("run", "id"),
)

#: What was done, never altered: `change` is the JSON of a change, with all its records before and after.
EDITS = sql.Table(
    "edits",
    _metadata,
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("case", sql.String, sql.ForeignKey("cases.case"), nullable=False, index=True),
    sql.Column("label", sql.String, nullable=False),
    sql.Column("change", sql.String, nullable=False),
    sql.Column("reader", sql.String, nullable=False),
    sql.Column("utc", sql.String, nullable=False),
)

_BUSY = "another program is writing to it", "Close that program, or try again in a moment."
_READ_ONLY = "it cannot be written", "Name a folder that you may write to with --store."
_DAMAGED = "it is damaged or not the database of a study", "Restore it from a backup, or move it away to begin anew."
_FULL = "the disk is full", "Free some space; the last edit was not stored."
_OTHER = "the database refused", "Check the disk; the last edit was not stored."

_FAILURES = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FULL: _FULL,
}


class Database:
    """A study's SQLite file, made if it is absent.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.

    Raises
    ------
    StudyError
        If it cannot be written, is locked, damaged, no database of ours, or made by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = sql.create_engine(
            sql.URL.create("sqlite", database=str(path)),
            poolclass=sql.NullPool,
            connect_args={"timeout": _BUSY_TIMEOUT_S},
        )
        sql.event.listen(self._engine, "connect", _configure)
        sql.event.listen(self._engine, "begin", _begin)
        with self.transaction(write=True) as connection:
            self._check_schema(connection)

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sql.Connection]:
        """Run the block in one transaction: committed when it ends, rolled back when it raises.

        Raises
        ------
        StudyError
            If SQLite fails; it says why and what to do.
        """
        try:
            with self._engine.execution_options(writes=write).begin() as connection:
                yield connection
        except DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # without the details of an extended code
            reason, remedy = _FAILURES.get(code, _OTHER)
            raise StudyError(f"{self.path}: {reason} ({error.orig}). {remedy}") from error

    def close(self) -> None:
        """Let go of the file (between transactions no connection is open anyway)."""
        self._engine.dispose()

    def _check_schema(self, connection: sql.Connection) -> None:
        """Make the tables in an empty file, and refuse a file with other tables than ours.

        The version is written in any case: a place that takes no edits is refused now, not at the first click.
        """
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version > SCHEMA:
            raise StudyError(
                f"{self.path}: has schema {version}, newer than this version's {SCHEMA}. Upgrade napari-lesion-points."
            )
        if version == 0:
            if sql.inspect(connection).get_table_names():
                reason, remedy = _DAMAGED
                raise StudyError(f"{self.path}: {reason} (unknown tables). {remedy}")
            _metadata.create_all(connection, checkfirst=False)
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    """Set up a new connection; transactions begin where `_begin` says, not where the driver guesses."""
    connection.isolation_level = None
    for pragma in ("journal_mode = DELETE", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sql.Connection) -> None:
    kind = "IMMEDIATE" if connection.get_execution_options().get("writes") else "DEFERRED"
    connection.exec_driver_sql(f"BEGIN {kind}")
