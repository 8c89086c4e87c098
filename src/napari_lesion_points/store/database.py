"""The database of a study: its transactions, the version of its tables, and its failures in words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, DBAPIError

from napari_lesion_points.errors import BusyError, StudyError
from napari_lesion_points.store.engines import PASSING, Engine, PostgreSQL, SQLite
from napari_lesion_points.store.schema import SCHEMA, STEPS, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def database_url(text: str) -> sql.URL | None:
    """Return the URL that a text is, or None for a path.

    Raises
    ------
    StudyError
        If it is the URL of something else than PostgreSQL.

    Examples
    --------
    >>> database_url("postgresql://ada@server/reading").host
    'server'
    >>> database_url("/data/store") is None
    True
    """
    scheme, colon, _ = text.partition("://")
    if not colon:
        return None
    try:
        url = sql.make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StudyError(f"the store's URL cannot be read ({error}). Write postgresql://USER@HOST/DATABASE.") from error
    if scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise StudyError(f"the store's URL names {scheme}. Write postgresql://USER@HOST/DATABASE, or give a folder.")
    return url


class Database:
    """A study's database, made if it is absent.

    Parameters
    ----------
    where : Path or sqlalchemy.URL
        SQLite's file, in a folder that exists, or the URL of a PostgreSQL database.

    Raises
    ------
    StudyError
        If it cannot be written, is locked, damaged, no database of ours, or made by a newer version.
    """

    def __init__(self, where: Path | sql.URL) -> None:
        self._kind: Engine = PostgreSQL(where) if isinstance(where, sql.URL) else SQLite(where)
        self.name = self._kind.name
        self._engine = self._kind.connect()
        sql.event.listen(self._engine, "begin", self._begin)
        try:
            with self.transaction(write=True) as connection:
                self._bring_up_to_date(connection)
        except StudyError:
            self.close()
            raise

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sql.Connection]:
        """Run the block in one transaction: committed when it ends, rolled back when it raises.

        Raises
        ------
        StudyError
            If the database fails; it says why and what to do. A `BusyError` if that may be over in a moment.
        """
        try:
            with self._engine.execution_options(writes=write).begin() as connection:
                yield connection
        except DBAPIError as error:
            reason, remedy = failure = self._kind.failure(error.orig)
            kind = BusyError if failure in PASSING else StudyError
            stored = " Nothing was stored." if write else ""
            raise kind(f"{self.name}: {reason} ({' '.join(str(error.orig).split())}). {remedy}{stored}") from error

    def close(self) -> None:
        """Let go of the file or the server (the next transaction would open it again)."""
        self._engine.dispose()

    def _begin(self, connection: sql.Connection) -> None:
        self._kind.begin(connection, writes=bool(connection.get_execution_options().get("writes")))

    def _bring_up_to_date(self, connection: sql.Connection) -> None:
        """Make the tables in an empty database, carry an older one over, and refuse a newer one.

        The version is written in any case: a place that takes no edits is refused now, not at the first click.
        """
        version = self._kind.version(connection)
        if version > SCHEMA:
            raise StudyError(
                f"{self.name}: has schema {version}, newer than this version's {SCHEMA}. Upgrade napari-lesion-points."
            )
        if version == 0:
            metadata.create_all(connection, checkfirst=False)
        for step in range(version or SCHEMA, SCHEMA):
            for statement in STEPS[step]:
                connection.exec_driver_sql(statement)
        self._kind.set_version(connection, SCHEMA)
