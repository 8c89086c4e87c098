"""Which study each case of a store is of: the folder's cases get their rows, those of another study are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sql

from napari_lesion_points.errors import StudyError
from napari_lesion_points.store.schema import CASES

if TYPE_CHECKING:
    from collections.abc import Set

    from napari_lesion_points.store.database import Database


def enrol_cases(database: Database, cases: Set[str], study: str) -> None:
    """Give every case its row; no transaction waits for others when all are there.

    Parameters
    ----------
    database : Database
        The store's.
    cases : set of str
        All cases of the study.
    study : str
        Its name if the store may hold cases of other studies, too, else "".

    Raises
    ------
    StudyError
        If the store has a case of that name of another study.
    """
    with database.transaction() as connection:
        missing, nameless = _unknown(connection, database.name, cases, study)
    if missing or nameless:
        with database.transaction(write=True) as connection:
            missing, nameless = _unknown(connection, database.name, cases, study)
            if missing:
                connection.execute(CASES.insert(), [{"case": case, "study": study} for case in sorted(missing)])
            if nameless:
                connection.execute(CASES.update().where(CASES.c.case.in_(sorted(nameless))).values(study=study))


def _unknown(connection: sql.Connection, store: str, cases: Set[str], study: str) -> tuple[set[str], set[str]]:
    """Return the cases without a row, and those whose row is to say which study they are of."""
    known = {row.case: row.study for row in connection.execute(sql.select(CASES)) if row.case in cases}
    if study:
        for case, other in known.items():
            if other not in ("", study):
                raise StudyError(
                    f"{store}: holds {case} of another study, {other}; this one is {study}. Name another store with "
                    f"--store. If it is the same study under a new name, open it as {other}, perhaps through a link "
                    "of that name."
                )
    nameless = {case for case, other in known.items() if study and not other}
    return set(cases) - known.keys(), nameless
