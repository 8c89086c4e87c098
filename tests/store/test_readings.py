"""Several readers: each sees their own, nobody changes another's, and an older store opens as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sql

from napari_lesion_points.core.records import (
    CONSENSUS,
    SHARED,
    CaseState,
    Change,
    LesionPoint,
    Origin,
    Place,
    Verdict,
)
from napari_lesion_points.errors import StudyError
from napari_lesion_points.store.database import Database, database_url
from napari_lesion_points.store.schema import BOOKMARKS, SCHEMA, metadata
from napari_lesion_points.store.study import CaseSummary, Study

OpenStudy = Callable[..., Study]


def point(name: str, x: float = 1.0, reader: str = "ada") -> LesionPoint:
    return LesionPoint("sub-01", (x, 2.0, 3.0), name, reader=reader, created_utc="2026-01-02T03:00:00+00:00")


def found(name: str, existence: float = 0.5) -> LesionPoint:
    return LesionPoint("sub-01", (1.5, 2.5, 3.5), name, existence, existence, 1.0, Origin.MODEL)


def accept(candidate: LesionPoint, reader: str) -> Change:
    judged = replace(candidate, verdict=Verdict.ACCEPTED, reader=reader)
    return Change(candidate.case, "accepted", {judged.id: (None, judged)}, {judged.id: (candidate, judged)})


def test_a_blind_reader_sees_no_others_points_verdicts_states_and_notes(open_study: OpenStudy) -> None:
    with open_study(reader="ada") as ada, open_study(reader="bob", blind=True) as bob:
        ada.apply(Change.adding(point("a")))
        ada.add_candidates("01", [found("q"), found("r")], "m", 2.0)
        ada.apply(accept(ada.candidates("01")[0], "ada"))
        ada.set_state("01", CaseState.DONE)
        ada.set_note("01", "clear")

        assert bob.reading == "bob"
        assert bob.annotations() == ()
        assert [(c.id, c.verdict, c.reader) for c in bob.candidates()] == [("q", "", ""), ("r", "", "")]
        assert (bob.state("01"), bob.note("01"), bob.history("01")) == (CaseState.NEW, "", ())
        assert bob.summary()[0] == CaseSummary("sub-01", CaseState.NEW, 0, 2, 0, "", 1.0)

        seen = (ada.annotations(), ada.candidates(), ada.summary(), ada.history())
        bob.apply(accept(bob.candidates("01")[0], "bob"))  # the same candidate, so the same id
        bob.apply(Change.moving(bob.annotations()[0], (9.0, 9.0, 9.0)))
        bob.set_note("01", "motion")
        assert (ada.annotations(), ada.candidates(), ada.summary(), ada.history()) == seen
        assert [p.world for p in bob.annotations("01")] == [(9.0, 9.0, 9.0)]
        assert bob.summary()[0] == CaseSummary("sub-01", CaseState.IN_PROGRESS, 1, 2, 1, "motion", 0.5)
        assert ada.readings() == ("bob", SHARED)
    with open_study(reader="bob", blind=True) as again:
        assert [(p.id, p.reader) for p in again.annotations()] == [("q", "bob")]


def test_two_blind_readers_know_nothing_of_each_other(open_study: OpenStudy) -> None:
    with open_study(reader="bob", blind=True) as bob, open_study(reader="eve", blind=True) as eve:
        bob.apply(Change.adding(point("a")))
        eve.apply(Change.adding(point("a", 5.0)))
        assert (bob.annotations(), eve.annotations()) == ((point("a"),), (point("a", 5.0),))
        bob.apply(Change.deleting(point("a")))
        assert eve.annotations() == (point("a", 5.0),)
    with open_study() as everyone:
        assert everyone.annotations() == ()
        assert everyone.of("eve").annotations() == (point("a", 5.0),)


def test_what_is_read_blind_only_its_reader_changes(study: Study) -> None:
    study.of("bob", "bob").apply(Change.adding(point("a")))
    for meddling in (Change.deleting(point("a")), Change.adding(point("b"))):
        with pytest.raises(StudyError, match="what bob reads blind, and ada may not change it"):
            study.of("bob").apply(meddling)
    assert study.of("bob").annotations() == (point("a"),)
    study.of(CONSENSUS).apply(Change.adding(point("c")))
    assert study.readings() == ("bob", CONSENSUS)


@pytest.mark.parametrize("name", [SHARED, CONSENSUS])
def test_a_name_that_stands_for_several_reads_not_blind(open_study: OpenStudy, name: str) -> None:
    with pytest.raises(StudyError, match="Choose another --reader"):
        open_study(reader=name, blind=True)


def test_what_the_consensus_is_shown_nobody_else_sees(study: Study) -> None:
    study.add_candidates("01", [found("q")], "m", 2.0)
    judged = replace(point("a", reader="bob"), verdict=Verdict.REJECTED)
    study.add_differences("01", [judged, point("b", reader="eve")], "bob, eve")
    assert [c.id for c in study.candidates()] == ["q"]
    consensus = study.of(CONSENSUS)
    assert [(c.id, c.verdict, c.reader) for c in consensus.candidates()] == [("a", "rejected", "bob"), ("b", "", "eve")]
    b = consensus.candidates()[1]
    consensus.apply(accept(b, "ada"))
    assert consensus.candidates()[1].reader == "ada"
    consensus.apply(accept(b, "ada").inverse())
    assert consensus.candidates()[1] == b


def test_the_history_says_who_moved_what_when_and_from_where(open_study: OpenStudy) -> None:
    with open_study(reader="ada") as ada, open_study(reader="bob") as bob:
        ada.apply(Change.adding(point("a")))
        bob.apply(Change.moving(point("a"), (4.0, 5.0, 6.0)))
        move = ada.history("01")[-1]
        before, after = move.change.annotations["a"]
        assert (move.reader, move.reading, before.world, after.world) == ("bob", SHARED, (1, 2, 3), (4, 5, 6))
        assert before.reader == after.reader == "ada"  # whose point it is does not change
        assert move.utc.endswith("+00:00")
        assert ada.history() == ada.history("01")
        bob.of("bob").apply(Change.adding(point("z")))
        assert [e.number for e in ada.history(everyone=True)] == [1, 2, 3]
        assert [e.reading for e in ada.history(everyone=True)] == [SHARED, SHARED, "bob"]


def test_notes_are_edits(study: Study) -> None:
    study.set_note("02", "motion")
    change = study.set_note("02", "motion, repeat the scan")
    assert study.note("sub-02") == "motion, repeat the scan"
    assert [s.note for s in study.summary()] == ["", "motion, repeat the scan", ""]
    assert [e.change.note for e in study.history("02")] == [("", "motion"), change.note]
    study.apply(change.inverse())
    assert study.note("02") == "motion"
    with pytest.raises(StudyError, match="sub-02: its note is not what it was"):
        study.apply(change.inverse())


def test_a_reader_goes_on_where_they_stopped(open_study: OpenStudy, root: Path) -> None:
    place = Place("sub-02", (1.5, -2.0, 1 / 3), 2.5, 7)
    with open_study(reader="ada") as study:
        assert study.last_place() is None
        study.remember(Place("sub-01", (0, 0, 0)))
        study.remember(place)
        assert study.of("ada").last_place() is None  # reading blind is another place
        assert study.of(SHARED, "bob").last_place() is None
    with open_study(reader="ada") as study:
        assert study.last_place() == place
        assert study.history() == ()
    (root / "sub-02").rename(root.parent / "away")
    with open_study(reader="ada") as study:
        assert study.last_place() is None


def test_a_thousand_cases_are_listed_in_as_many_queries_as_one(
    tmp_path: Path, make_dataset: Callable[[Path, int], Path], store: str | None
) -> None:
    queries = []
    with Study.open(make_dataset(tmp_path / "many", 1000), store, "ada") as study:
        study.apply(*(Change.adding(LesionPoint(case, (0, 0, 0))) for case in study.case_names[:50]))
        sql.event.listen(study._database._engine, "before_cursor_execute", lambda *a: queries.append(a[2]))
        listed = study.summary()
    assert len([q for q in queries if q.startswith("SELECT")]) == 3
    assert (len(listed), sum(s.annotations for s in listed)) == (1000, 50)


def test_one_case_is_counted_as_among_all_and_its_benefit_is_what_a_verdict_changes(study: Study) -> None:
    study.add_candidates("01", [found("old", 0.5)], "m", 2.0)
    study.add_candidates("01", [found(f"q{k}", p) for k, p in enumerate((0.9, 0.3, 0.6))], "m", 2.0)
    study.apply(accept(study.candidates("01")[2], "ada"))
    study.set_note("02", "motion")
    listed = study.summary()
    assert [study.summary(case)[0] for case in ("sub-01", "02", "03")] == list(listed)
    changes = [p * (1 - p) + (1 - p) * p for p in (0.9, 0.3)]  # accepted with probability p, rejected otherwise
    assert listed[0].benefit == pytest.approx(sum(changes))
    assert (listed[0].candidates, listed[0].reviewed, listed[1].benefit) == (3, 1, 0.0)
    with pytest.raises(StudyError, match="'99' is not in"):
        study.summary("99")


def test_a_place_of_another_version_is_read_as_far_as_it_is_known(study: Study) -> None:
    place = Place("sub-02", (1.0, 2.0, 3.0), 2.5, 7, (0.0, 1.0, 2.0), "sagittal", "Review", "q", True, "most probable")
    study.remember(place)
    assert study.last_place() == place
    with study._database.transaction(write=True) as connection:
        connection.execute(BOOKMARKS.update().values(place='{"case": "sub-01", "world": [1, 2, 3], "later": true}'))
    assert study.last_place() == Place("sub-01", (1.0, 2.0, 3.0))


def test_a_store_of_the_first_schema_opens_as_it_was(root: Path) -> None:
    folder = root / "derivatives" / "lesion-points"
    folder.mkdir(parents=True)
    old = sqlite3.connect(folder / "study.sqlite")
    old.executescript((Path(__file__).parent / "schema1.sql").read_text(encoding="utf-8"))
    old.close()
    for _ in range(2):  # also when it has been carried over
        with Study.open(root, reader="ada") as study:
            assert study.summary() == (
                CaseSummary("sub-01", CaseState.IN_PROGRESS, 2, 2, 2),
                CaseSummary("sub-02", CaseState.DONE, 0, 0, 0),
                CaseSummary("sub-03", CaseState.NEW, 0, 0, 0),
            )
            assert [(p.id, p.world, p.reader) for p in study.annotations()] == [
                ("a", (7, 8, 9), "ada"),
                ("q", (1.5, 2.5, 3.5), "ada"),
            ]
            assert [(c.id, c.verdict, c.reader) for c in study.candidates()] == [
                ("q", "accepted", "ada"),
                ("r", "rejected", "bob"),
            ]
            history = study.history()
            assert [(e.change.label, e.reader) for e in history] == [
                ("add", "ada"), ("move", "ada"), ("delete", "ada"),
                ("accepted", "ada"), ("rejected", "bob"), ("mark as done", "bob"),
            ]  # fmt: skip
            assert history[5].change.state == (CaseState.NEW, CaseState.DONE)
    with Study.open(root, reader="ada") as study:
        for edit in reversed(history):  # everything can still be taken back
            study.apply(edit.change.inverse())
        assert study.annotations() == ()
        assert [c.verdict for c in study.candidates()] == ["", ""]
        assert study.state("02") is CaseState.NEW


def test_a_store_of_the_second_schema_opens_and_may_then_hold_what_an_older_version_would_not_read(root: Path) -> None:
    with Study.open(root, reader="ada") as study:
        study.add_candidates("01", [found("q")], "m", 2.0)
    store = sqlite3.connect(root / "derivatives" / "lesion-points" / "study.sqlite")
    store.execute("ALTER TABLE cases DROP COLUMN study")
    store.execute("PRAGMA user_version = 2")  # schema 2 had the tables of schema 3
    store.commit()
    with Study.open(root, reader="ada") as study:
        before = study.candidates()[0]
        change = Change("sub-01", "unsure", {}, {"q": (before, replace(before, verdict=Verdict.UNSURE, reader="ada"))})
        study.apply(change)
        assert study.candidates()[0].verdict is Verdict.UNSURE
        assert study.history()[-1].change.candidates == change.candidates
    assert store.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    store.close()


def test_a_store_carried_over_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    def tables(path: Path) -> dict[str, object]:
        Database(path).close()
        engine = sql.create_engine(f"sqlite:///{path}")
        inspector = sql.inspect(engine)
        described = {
            name: (
                {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(name)},
                inspector.get_pk_constraint(name)["constrained_columns"],
                {tuple(u["column_names"]) for u in inspector.get_unique_constraints(name)},
                {(tuple(k["constrained_columns"]), k["referred_table"]) for k in inspector.get_foreign_keys(name)},
                {(i["name"], tuple(i["column_names"])) for i in inspector.get_indexes(name)},
            )
            for name in inspector.get_table_names()
        }
        engine.dispose()
        return described

    old = sqlite3.connect(tmp_path / "old.sqlite")
    old.executescript((Path(__file__).parent / "schema1.sql").read_text(encoding="utf-8"))
    old.close()
    assert tables(tmp_path / "old.sqlite") == tables(tmp_path / "new.sqlite")
    assert set(tables(tmp_path / "new.sqlite")) == set(metadata.tables)


def test_a_store_that_cannot_be_carried_over_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent / "schema1.sql").read_text(encoding="utf-8"))
    old.execute("CREATE TABLE bookmarks (mine)")  # in the way of the last statement
    before = list(old.iterdump())
    with pytest.raises(StudyError, match="already exists"):
        Database(path)
    assert list(old.iterdump()) == before
    assert old.execute("PRAGMA user_version").fetchone() == (1,)
    old.close()


def test_a_url_is_a_database_and_its_password_is_shown_nowhere(root: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    url = "postgresql://ada:s3cret@localhost:1/reading?connect_timeout=1"
    with pytest.raises(
        StudyError, match=r"localhost:1/reading.*: the server cannot be reached.*Check the address"
    ) as e:
        Study.open(root, url)
    assert "s3cret" not in str(e.value)
    assert "\n" not in str(e.value)
    assert database_url("/data/study") is None
    for wrong in ("mysql://server/d", "postgresql://server:port/d"):
        with pytest.raises(StudyError, match="store's URL"):
            database_url(wrong)


def test_files_of_a_store_by_url_lie_in_the_study_or_where_one_says(
    root: Path, tmp_path: Path, postgresql_store: str
) -> None:
    with Study.open(root, postgresql_store) as study:
        assert study.store == root / "derivatives" / "lesion-points"
        assert "study.sqlite" not in {p.name for p in study.store.iterdir()}
        assert study.database.startswith("postgresql://reader@")
    with Study.open(root, postgresql_store, files=tmp_path / "files") as study:
        assert study.models_dir == tmp_path / "files" / "models"


def test_what_is_wrong_with_a_server_is_said(root: Path, postgresql: str, postgresql_store: str) -> None:
    with pytest.raises(StudyError, match=r"no such database.*createdb"):
        Study.open(root, postgresql.replace("/postgres?", "/nowhere?"))
    with pytest.raises(StudyError, match="you may not write there"):
        Study.open(root, f"{postgresql}&options=-csearch_path%3Dnowhere")
    engine = sql.create_engine(sql.make_url(postgresql_store).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE invoices (number INTEGER)")
    with pytest.raises(StudyError, match="holds tables of something else"):
        Study.open(root, postgresql_store)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE invoices")
    Study.open(root, postgresql_store).close()
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE lesion_points_schema SET version = {SCHEMA + 1}")
    engine.dispose()
    with pytest.raises(StudyError, match=f"has schema {SCHEMA + 1}.*Upgrade"):
        Study.open(root, postgresql_store)


def test_who_waits_too_long_for_a_server_is_told(
    open_study: OpenStudy, postgresql_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_lesion_points.store.engines._BUSY_TIMEOUT_S", 0.05)
    with (
        open_study(store=postgresql_store) as study,
        open_study(store=postgresql_store) as other,
        study._database.transaction(write=True),
        pytest.raises(StudyError, match=r"another program is writing to it.*try again"),
    ):
        other.apply(Change.adding(point("a")))
