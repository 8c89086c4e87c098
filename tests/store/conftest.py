"""Stores on SQLite and on a PostgreSQL server that the tests start themselves."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sql

from napari_lesion_points.store.study import Study

#: What `Study.open` takes for `store`: None for SQLite in the study folder, or a URL.
Store = str | None
OpenStudy = Callable[..., Study]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def make_dataset() -> Callable[[Path, int], Path]:
    """Make a study folder of so many cases, each with an empty file for its image."""

    def make(root: Path, cases: int) -> Path:
        for number in range(1, cases + 1):
            anat = root / f"sub-{number:02}" / "anat"
            anat.mkdir(parents=True)
            (anat / f"sub-{number:02}_FLAIR.nii.gz").touch()
        return root

    return make


@pytest.fixture
def root(tmp_path: Path, make_dataset: Callable[[Path, int], Path]) -> Path:
    return make_dataset(tmp_path / "data", 3)


def _programs() -> Path | None:
    """Folder of PostgreSQL's programs; Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a server with an empty database, on a socket in a folder of its own."""
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    as_user: list[str] = []
    # A socket's path is short, and the server's account must reach it: pytest's folders are neither.
    folder = Path(tempfile.mkdtemp(prefix="lp-pg-", dir="/tmp"))
    if os.geteuid() == 0:  # which the server refuses to be
        if not shutil.which("runuser"):
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        try:
            shutil.chown(folder, "postgres")
        except LookupError:
            pytest.skip("PostgreSQL does not run as root, and there is no account 'postgres'")
        as_user = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs / program), *arguments]
        with (folder / "log").open("ab") as log:
            subprocess.run(command, stdout=log, stderr=log, check=True, timeout=120, cwd=folder)

    data = str(folder / "data")
    try:
        run("initdb", "-D", data, "-U", "reader", "-A", "trust", "--no-sync")
        run("pg_ctl", "-D", data, "-w", "-l", f"{folder}/server", "-o", f"-F -k {folder} -c listen_addresses=", "start")
        try:
            yield f"postgresql://reader@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "fast", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgresql_store(postgresql: str) -> str:
    """URL of an empty schema on the server: as good as a database of its own, and made at once."""
    name = f"study{next(_numbers)}"
    engine = sql.create_engine(sql.make_url(postgresql).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(sql.schema.CreateSchema(name))
    engine.dispose()
    return f"{postgresql}&options=-csearch_path%3D{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """Where to keep a study: each test runs once with each kind of database."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgresql_store"))


@pytest.fixture
def open_study(root: Path, store: Store) -> OpenStudy:
    """Open the study `root` in `store`, as often as one likes."""

    def opened(**arguments: object) -> Study:
        return Study.open(root, **{"store": store, "reader": "ada", **arguments})

    return opened


@pytest.fixture
def study(open_study: OpenStudy) -> Iterator[Study]:
    with open_study() as study:
        yield study
