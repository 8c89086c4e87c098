"""The tables of a study's database, and the steps that bring an older database to them.

`STEPS[n]` are the statements that make schema n + 1 of schema n. They name tables and columns as they were then, and
are never changed: a database of any age goes through the steps from its own schema on, in one transaction.
"""

from __future__ import annotations

import sqlalchemy as sql

#: Version of the tables below, kept in the database; raise it with every change of them, and add a step.
SCHEMA = 4

metadata = sql.MetaData()


def _case() -> sql.Column[str]:
    return sql.Column("case", sql.String, sql.ForeignKey("cases.case"), nullable=False, index=True)


def _reading() -> sql.Column[str]:
    """Return the column that says whose it is (see `core.records`)."""
    return sql.Column("reading", sql.String, nullable=False, server_default="shared")


def _place_columns() -> tuple[sql.Column[str] | sql.Column[float] | sql.Column[float | None], ...]:
    """Return the columns of a lesion point that no verdict changes (see `store.point_row`)."""
    return (
        _case(),
        *(sql.Column(name, sql.Float, nullable=False) for name in ("x_mm", "y_mm", "z_mm")),
        *(sql.Column(name, sql.Float) for name in ("existence", "mass", "entropy")),
        *(sql.Column(name, sql.String, nullable=False) for name in ("origin", "reader", "created_utc")),
    )


#: `study` names the study that a case is of, where the store lies outside of it: patients of two may have one name.
CASES = sql.Table(
    "cases",
    metadata,
    sql.Column("case", sql.String, primary_key=True),
    sql.Column("study", sql.String, nullable=False, server_default=""),
)

#: How far a reading of a case is; a case without a row is new.
PROGRESS = sql.Table(
    "progress",
    metadata,
    sql.Column("case", sql.String, sql.ForeignKey("cases.case"), primary_key=True),
    sql.Column("reading", sql.String, primary_key=True),
    sql.Column("state", sql.String, nullable=False),
    sql.Column("note", sql.String, nullable=False),
)

#: `number` keeps the order of insertion, also when a removed point comes back.
ANNOTATIONS = sql.Table(
    "annotations",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True),
    _reading(),
    sql.Column("id", sql.String, nullable=False),
    *_place_columns(),
    sql.Column("verdict", sql.String, nullable=False),
    sql.Column("removed", sql.Boolean, nullable=False),
    sql.UniqueConstraint("reading", "id"),
)

#: One prediction of one case; the highest number of a case is its newest. Those of the reading "consensus" hold what
#: readers differ in, those of "shared" are for everybody.
RUNS = sql.Table(
    "runs",
    metadata,
    sql.Column("run", sql.Integer, primary_key=True),
    _case(),
    _reading(),
    sql.Column("model", sql.String, nullable=False),
    sql.Column("sigma_mm", sql.Float, nullable=False),
    sql.Column("reader", sql.String, nullable=False),
    sql.Column("utc", sql.String, nullable=False),
)

#: What a run found. `reader` is empty, or who proposed it where that is no model.
CANDIDATES = sql.Table(
    "candidates",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("run", sql.Integer, sql.ForeignKey("runs.run"), nullable=False),
    sql.Column("id", sql.String, nullable=False),
    *_place_columns(),
    sql.UniqueConstraint("run", "id"),
)

#: What each reading says of a candidate; a verdict that was taken back is empty.
VERDICTS = sql.Table(
    "verdicts",
    metadata,
    sql.Column("candidate", sql.Integer, sql.ForeignKey("candidates.number"), primary_key=True),
    sql.Column("reading", sql.String, primary_key=True),
    sql.Column("verdict", sql.String, nullable=False),
    sql.Column("reader", sql.String, nullable=False),
)

#: What was done, never altered: `change` is the JSON of a change, with all its records before and after.
EDITS = sql.Table(
    "edits",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True),
    _case(),
    _reading(),
    sql.Column("label", sql.String, nullable=False),
    sql.Column("change", sql.String, nullable=False),
    sql.Column("reader", sql.String, nullable=False),
    sql.Column("utc", sql.String, nullable=False),
)

#: Where each reader stopped, JSON; a bookmark is no edit, and only the last counts.
BOOKMARKS = sql.Table(
    "bookmarks",
    metadata,
    sql.Column("reader", sql.String, primary_key=True),
    sql.Column("reading", sql.String, primary_key=True),
    sql.Column("place", sql.String, nullable=False),
)

_READERS_APART = (
    """CREATE TABLE progress (
        "case" VARCHAR NOT NULL REFERENCES cases ("case"), reading VARCHAR NOT NULL,
        state VARCHAR NOT NULL, note VARCHAR NOT NULL, PRIMARY KEY ("case", reading))""",
    """INSERT INTO progress SELECT "case", 'shared', state, '' FROM cases WHERE state <> 'new'""",
    "ALTER TABLE cases DROP COLUMN state",
    # SQLite cannot drop the constraint that an id is there once: the rows move to a table without it.
    """CREATE TABLE annotations_apart (
        number INTEGER NOT NULL PRIMARY KEY, reading VARCHAR DEFAULT 'shared' NOT NULL, id VARCHAR NOT NULL,
        "case" VARCHAR NOT NULL REFERENCES cases ("case"),
        x_mm FLOAT NOT NULL, y_mm FLOAT NOT NULL, z_mm FLOAT NOT NULL, existence FLOAT, mass FLOAT, entropy FLOAT,
        origin VARCHAR NOT NULL, reader VARCHAR NOT NULL, created_utc VARCHAR NOT NULL, verdict VARCHAR NOT NULL,
        removed BOOLEAN NOT NULL, UNIQUE (reading, id))""",
    """INSERT INTO annotations_apart SELECT number, 'shared', id, "case", x_mm, y_mm, z_mm, existence, mass, entropy,
        origin, reader, created_utc, verdict, removed FROM annotations""",
    "DROP TABLE annotations",
    "ALTER TABLE annotations_apart RENAME TO annotations",
    """CREATE INDEX ix_annotations_case ON annotations ("case")""",
    "ALTER TABLE runs ADD COLUMN reading VARCHAR DEFAULT 'shared' NOT NULL",
    """CREATE TABLE verdicts (
        candidate INTEGER NOT NULL REFERENCES candidates (number), reading VARCHAR NOT NULL,
        verdict VARCHAR NOT NULL, reader VARCHAR NOT NULL, PRIMARY KEY (candidate, reading))""",
    "INSERT INTO verdicts SELECT number, 'shared', verdict, reader FROM candidates WHERE verdict <> ''",
    "UPDATE candidates SET reader = ''",
    "ALTER TABLE candidates DROP COLUMN verdict",
    "ALTER TABLE edits ADD COLUMN reading VARCHAR DEFAULT 'shared' NOT NULL",
    """CREATE TABLE bookmarks (
        reader VARCHAR NOT NULL, reading VARCHAR NOT NULL, place VARCHAR NOT NULL, PRIMARY KEY (reader, reading))""",
)

#: By the schema that they start from.
STEPS: dict[int, tuple[str, ...]] = {
    1: _READERS_APART,
    2: (),  # the same tables; a verdict may be "unsure", which an older version would not understand
    3: ("ALTER TABLE cases ADD COLUMN study VARCHAR DEFAULT '' NOT NULL",),
}
