"""What SQLite and PostgreSQL do differently: connections, beginning a transaction, the schema's version, failures.

Both give the same promise: a write transaction is the only one while it lasts, so that what it reads is still true when
it writes; a committed one survives a power cut; a reading one sees one moment.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sql

from napari_lesion_points.errors import StudyError

if TYPE_CHECKING:
    from pathlib import Path

_BUSY_TIMEOUT_S = 5.0  # longer than any write of ours; a user still waits for it without thinking that we hang

_BUSY = "another program is writing to it", "Close that program, or try again in a moment."
_READ_ONLY = "it cannot be written", "Name a folder that you may write to with --store."
_DAMAGED = "it is damaged or not the database of a study", "Restore it from a backup, or move it away to begin anew."
_FULL = "the disk is full", "Free some space."
_OTHER = "the database refused", "Check the disk."
_UNREACHABLE = "the server cannot be reached", "Check the address and the network."
_REFUSED = "the server does not let you in", "Check user and password, in the URL or in a .pgpass file."
_ABSENT = "the server has no such database", "Make it with createdb, one database for each study."
_NO_RIGHTS = "you may not write there", "Ask the server's administrator for the right to create tables."

#: Failures that may be over in a moment.
PASSING = (_BUSY, _UNREACHABLE)


class Engine(Protocol):
    """A kind of database server."""

    name: str

    def connect(self) -> sql.Engine:
        """Return what opens connections; StudyError if the driver is not installed."""

    def begin(self, connection: sql.Connection, *, writes: bool) -> None:
        """Begin a transaction; one that writes waits until no other does."""

    def version(self, connection: sql.Connection) -> int:
        """Return the schema's version, 0 for an empty database; StudyError if it holds something else."""

    def set_version(self, connection: sql.Connection, version: int) -> None:
        """Write the schema's version."""

    def failure(self, error: BaseException | None) -> tuple[str, str]:
        """Return what a driver's error means, and the remedy."""


class SQLite:
    """A file: journal mode DELETE (network shares do not support WAL), synchronous FULL, foreign keys on.

    A write transaction takes the write lock when it begins (BEGIN IMMEDIATE). Every transaction has its own connection,
    so threads share nothing.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._url = sql.URL.create("sqlite", database=str(path))

    def connect(self) -> sql.Engine:
        """Return what opens the file."""
        engine = sql.create_engine(self._url, poolclass=sql.NullPool, connect_args={"timeout": _BUSY_TIMEOUT_S})
        sql.event.listen(engine, "connect", self._configure)
        return engine

    @staticmethod
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        """Set up a new connection; transactions begin where `begin` says, not where the driver guesses."""
        connection.isolation_level = None
        for pragma in ("journal_mode = DELETE", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(self, connection: sql.Connection, *, writes: bool) -> None:
        """Begin, taking the file's write lock for a transaction that writes."""
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")

    def version(self, connection: sql.Connection) -> int:
        """Return the file's `user_version`."""
        version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version == 0 and sql.inspect(connection).get_table_names():
            reason, remedy = _DAMAGED
            raise StudyError(f"{self.name}: {reason} (unknown tables). {remedy}")
        return version

    def set_version(self, connection: sql.Connection, version: int) -> None:
        """Write the file's `user_version`."""
        connection.exec_driver_sql(f"PRAGMA user_version = {version}")

    _FAILURES = {  # noqa: RUF012 (never changed)
        sqlite3.SQLITE_BUSY: _BUSY,
        sqlite3.SQLITE_LOCKED: _BUSY,
        sqlite3.SQLITE_READONLY: _READ_ONLY,
        sqlite3.SQLITE_PERM: _READ_ONLY,
        sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
        sqlite3.SQLITE_CORRUPT: _DAMAGED,
        sqlite3.SQLITE_NOTADB: _DAMAGED,
        sqlite3.SQLITE_FULL: _FULL,
    }

    def failure(self, error: BaseException | None) -> tuple[str, str]:
        """Say what SQLite's code means."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details of an extended code
        return self._FAILURES.get(code, _OTHER)


class PostgreSQL:
    """A server, by URL. The tables are in the first schema of the connection's search path; one study has them all.

    A write transaction holds an advisory lock of that schema until it ends, so writers go one after the other.
    """

    _LOCK = "SELECT pg_advisory_xact_lock(1818456942, hashtext(current_schema()))"

    def __init__(self, url: sql.URL) -> None:
        self.name = url.render_as_string(hide_password=True)
        self._url = url.set(drivername="postgresql+psycopg")

    def connect(self) -> sql.Engine:
        """Return a pool of connections, each tried before it is used again."""
        patience = {} if "connect_timeout" in self._url.query else {"connect_timeout": 10}
        try:
            return sql.create_engine(self._url, pool_pre_ping=True, connect_args=patience)
        except ModuleNotFoundError as error:
            raise StudyError(f"{self.name}: the driver is missing ({error}). pip install 'psycopg[binary]'") from error

    def begin(self, connection: sql.Connection, *, writes: bool) -> None:
        """Begin, waiting for other writers, or with a view of one moment."""
        if writes:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(_BUSY_TIMEOUT_S * 1000)}")
            connection.exec_driver_sql(self._LOCK)
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def version(self, connection: sql.Connection) -> int:
        """Return what the table `lesion_points_schema` holds."""
        tables = sql.inspect(connection).get_table_names()
        if "lesion_points_schema" in tables:
            return int(connection.exec_driver_sql("SELECT version FROM lesion_points_schema").scalar_one())
        if tables:
            raise StudyError(f"{self.name}: holds tables of something else ({tables[0]}). Give each study a database.")
        return 0

    def set_version(self, connection: sql.Connection, version: int) -> None:
        """Write it to that table."""
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS lesion_points_schema (version INTEGER NOT NULL)")
        if not connection.exec_driver_sql(f"UPDATE lesion_points_schema SET version = {version}").rowcount:
            connection.exec_driver_sql(f"INSERT INTO lesion_points_schema VALUES ({version})")

    _FAILURES = {  # noqa: RUF012 (never changed)
        "55P03": _BUSY,  # lock not available
        "3D000": _ABSENT,
        "42501": _NO_RIGHTS,
        "3F000": _NO_RIGHTS,  # no schema to create tables in
        "25006": _NO_RIGHTS,  # read-only server
        "53100": _FULL,
    }

    def failure(self, error: BaseException | None) -> tuple[str, str]:
        """Say what the SQLSTATE means; none is given when no connection was made."""
        state = getattr(error, "sqlstate", None)
        if state is None or state[:2] in ("08", "57"):
            text = str(error)
            return _ABSENT if "does not exist" in text else _REFUSED if "authentication" in text else _UNREACHABLE
        return _REFUSED if state.startswith("28") else self._FAILURES.get(state, _OTHER)
