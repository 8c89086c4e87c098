"""The study's database: edits are atomic, undoable, never lost to another's, and told apart from predictions."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Origin, Verdict
from napari_lesion_points.errors import ConflictError, StudyError
from napari_lesion_points.store import engines
from napari_lesion_points.store.schema import CASES, SCHEMA
from napari_lesion_points.store.study import CaseSummary, Study

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OpenStudy = Callable[..., Study]

UTC = "2026-01-02T03:04:05+00:00"


def annotation(name: str, case: str = "sub-01", x: float = 1 / 3) -> LesionPoint:
    return LesionPoint(case, (x, -2e-5, 3.0), id=name, reader="ada", created_utc=UTC)


def candidate(name: str, existence: float = 0.4, case: str = "sub-01") -> LesionPoint:
    return LesionPoint(case, (1.5, 2.5, 3.5), name, existence, existence, 0.97, Origin.MODEL, created_utc=UTC)


def accept(point: LesionPoint) -> Change:
    annotated = replace(point, id=f"{point.id}-accepted", reader="ada")
    reviewed = replace(point, verdict=Verdict.ACCEPTED, reader="ada")
    return Change(point.case, "accept", {annotated.id: (None, annotated)}, {point.id: (point, reviewed)})


def test_open_makes_a_described_derivative(root: Path) -> None:
    with Study.open(root) as study:
        assert study.store == root / "derivatives" / "lesion-points"
        assert study.reader
        assert study.case_names == ("sub-01", "sub-02", "sub-03")
        assert study.heatmap_path("01") == study.store / "heatmaps" / "sub-01_heatmap.nii.gz"
        assert study.models_dir == study.store / "models"
    assert '"DatasetType": "derivative"' in (root / "derivatives/lesion-points/dataset_description.json").read_text()


def test_a_store_elsewhere_leaves_the_dataset_alone(root: Path, tmp_path: Path) -> None:
    with Study.open(root, tmp_path / "mine") as study:
        study.apply(Change.adding(annotation("a")))
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == ["study.sqlite"]
    assert sorted(p.name for p in root.iterdir()) == ["sub-01", "sub-02", "sub-03"]


def test_patients_of_two_studies_with_one_name_are_not_mixed(root: Path, tmp_path: Path, store: str | None) -> None:
    apart = store or tmp_path / "mine"
    other = tmp_path / "other"
    shutil.copytree(root, other, ignore=shutil.ignore_patterns("derivatives"))
    with Study.open(root, apart) as study:
        study.apply(Change.adding(annotation("a")))
        with study._database.transaction(write=True) as connection:
            connection.execute(CASES.update().values(study=""))  # as older versions left it
    Study.open(root, apart).close()
    with pytest.raises(StudyError, match=rf"sub-01 of another study, {root.name}; this one is other.*another store"):
        Study.open(other, apart)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / root.name).symlink_to(other)
    with Study.open(tmp_path / "links" / root.name, apart) as renamed:
        assert [a.id for a in renamed.annotations()] == ["a"]
    for n, case in enumerate(("sub-01", "sub-02", "sub-03")):
        (other / case).rename(other / f"sub-1{n}")
        for image in list((other / f"sub-1{n}").rglob("*.nii.gz")):
            image.rename(image.with_name(image.name.replace(case, f"sub-1{n}")))
    with Study.open(other, apart) as beside:  # no case of that name
        assert beside.annotations() == ()


def test_a_study_that_holds_its_store_may_be_renamed(root: Path, tmp_path: Path) -> None:
    with Study.open(root) as study:
        study.apply(Change.adding(annotation("a")))
    shutil.move(root, tmp_path / "renamed")
    with Study.open(tmp_path / "renamed") as study:
        assert [a.id for a in study.annotations()] == ["a"]
    with Study.open(tmp_path / "renamed", tmp_path / "renamed" / "derivatives" / "lesion-points") as study:
        assert [a.id for a in study.annotations()] == ["a"]


def test_one_image_is_a_study(root: Path) -> None:
    image = root / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz"
    with Study.open(image) as study:
        assert study.case_names == ("sub-01_FLAIR",)
        assert study.store == image.parent / "derivatives" / "lesion-points"


def test_cases_by_short_name_and_unknown_ones(study: Study) -> None:
    assert study.files_of("02") is study.files_of("sub-02")
    assert study.state("02") is CaseState.NEW
    with pytest.raises(StudyError, match=r"case '04' is not in .* It has sub-01, sub-02, sub-03\."):
        study.files_of("04")
    for edit in (Change.adding(annotation("a", "sub-04")), Change.adding(annotation("a", "01"))):
        with pytest.raises(StudyError, match="is not in"):
            study.apply(edit)


def test_the_first_edit_sets_the_case_in_progress_and_everything_survives(study: Study, open_study: OpenStudy) -> None:
    placed = (annotation("a"), candidate("b"), annotation("c"))
    study.apply(Change.adding(*placed))
    study.apply(Change.moving(placed[0], (7.0, 8.0, 9.0)))
    with open_study(reader="bob") as again:
        assert again.annotations("01") == (replace(placed[0], world=(7.0, 8.0, 9.0)), *placed[1:])
        assert again.annotations("02") == ()
        assert again.state("01") is CaseState.IN_PROGRESS
        assert again.state("02") is CaseState.NEW


def test_a_removed_point_comes_back_to_its_place_in_the_order(study: Study) -> None:
    points = tuple(annotation(name) for name in "abc")
    study.apply(Change.adding(*points))
    removal = Change.deleting(points[1])
    study.apply(removal)
    assert study.annotations() == (points[0], points[2])
    study.apply(removal.inverse())
    assert study.annotations() == points


def test_history_tells_every_edit(study: Study) -> None:
    study.add_candidates("01", [candidate("q")], "m", 2.0)
    edits = [Change.adding(annotation("a")), Change.moving(annotation("a"), (0, 0, 1)), accept(candidate("q"))]
    for edit in edits:
        study.apply(edit)
    done = study.set_state("01", CaseState.DONE)
    history = study.history("01")
    first = replace(edits[0], state=(CaseState.NEW, CaseState.IN_PROGRESS))
    assert [edit.change for edit in history] == [first, *edits[1:], done]
    assert {edit.reader for edit in history} == {"ada"}
    assert math.isnan(history[0].change.annotations["a"][1].existence)
    assert study.history("02") == ()


def test_states_can_always_go_back(study: Study) -> None:
    change = study.set_state("02", CaseState.DONE)
    assert study.state("02") is CaseState.DONE
    study.apply(Change.adding(annotation("a", "sub-02")))
    assert study.state("02") is CaseState.DONE  # an edit of a finished case does not reopen it
    study.apply(change.inverse())
    assert study.state("02") is CaseState.NEW
    with pytest.raises(StudyError, match="sub-02: is new, not done"):
        study.apply(change.inverse())


def test_training_cases_have_annotations_or_are_done_without(study: Study) -> None:
    study.apply(Change.adding(annotation("a")))
    study.set_state("03", CaseState.DONE)
    study.set_state("02", CaseState.IN_PROGRESS)
    assert study.training_cases() == ("sub-01", "sub-03")
    study.apply(Change.deleting(annotation("a")))
    assert study.training_cases() == ("sub-03",)


def test_a_new_run_replaces_the_candidates_shown_and_no_annotation(study: Study) -> None:
    study.apply(Change.adding(annotation("a")))
    old, new = (candidate("q1", 0.9), candidate("q0", 0.2)), (candidate("q1", 0.5),)
    study.add_candidates("01", old, "models/m1", 2.0)
    study.add_candidates("02", [candidate("r", case="sub-02")], "models/m1", 2.0)
    assert study.candidates("01") == old
    study.apply(accept(old[0]))
    assert study.summary() == (
        CaseSummary("sub-01", CaseState.IN_PROGRESS, 2, 2, 1, benefit=pytest.approx(2 * 0.2 * 0.8)),
        CaseSummary("sub-02", CaseState.NEW, 0, 1, 0, benefit=pytest.approx(2 * 0.4 * 0.6)),
        CaseSummary("sub-03", CaseState.NEW, 0, 0, 0),
    )
    study.add_candidates("01", new, "models/m2", 2.0)
    assert study.candidates() == (candidate("r", case="sub-02"), *new)
    assert [p.id for p in study.annotations("01")] == ["a", "q1-accepted"]
    with pytest.raises(StudyError, match="'q1' is not stored as it was"):
        study.apply(accept(old[0]).inverse())  # the newest run has another candidate of that name
    study.add_candidates("01", [], "models/m3", 2.0)
    assert study.candidates("01") == ()


@pytest.mark.parametrize("verdict", [Verdict.REJECTED, Verdict.UNSURE])
def test_a_verdict_that_newer_candidates_inherited_is_undone_with_theirs(study: Study, verdict: Verdict) -> None:
    def verdicts() -> list[tuple[Verdict, str]]:
        return [(c.verdict, c.reader) for c in study.candidates("01")]

    found = candidate("q")
    x, y, z = found.world
    study.add_candidates("01", [found], "m", 2.0)
    said = Change("sub-01", "judge", {}, {"q": (found, replace(found, verdict=verdict, reader="ada"))})
    study.apply(said)
    for number in (1, 2):
        again = [replace(candidate(f"r{number}{off}"), world=(x + off, y, z)) for off in (number, 50)]
        study.add_candidates("01", again, f"m{number}", 2.0)
        assert verdicts() == [(verdict, "ada"), (Verdict.NONE, "")]
    study.apply(said.inverse())
    assert verdicts() == [(Verdict.NONE, ""), (Verdict.NONE, "")]
    study.apply(said)
    assert verdicts() == [(verdict, "ada"), (Verdict.NONE, "")]
    near, _ = study.candidates("01")
    study.apply(Change("sub-01", "judge", {}, {near.id: (near, replace(near, verdict=Verdict.ACCEPTED, reader="bob"))}))
    study.apply(said.inverse())
    assert verdicts() == [(Verdict.ACCEPTED, "bob"), (Verdict.NONE, "")]  # what was said of it since then stays


def test_a_verdict_and_its_annotation_are_undone_together(study: Study) -> None:
    found = candidate("q")
    study.add_candidates("01", [found], "m", 2.0)
    study.apply(accept(found))
    assert study.candidates("01")[0].verdict is Verdict.ACCEPTED
    study.apply(accept(found).inverse())
    assert (study.candidates("01"), study.annotations("01")) == ((found,), ())


def test_edits_that_do_not_fit_store_nothing(study: Study) -> None:
    kept, found = annotation("a"), candidate("q")
    study.apply(Change.adding(kept))
    study.add_candidates("01", [found], "m", 2.0)
    seen = study.annotations(), study.candidates(), study.state("02"), len(study.history("01"))
    misfits = {
        "'a' is not stored as it was": Change(
            "sub-01", "add two", {"b": (None, annotation("b")), "a": (None, annotation("a"))}, {}
        ),
        "'ghost' is not stored": Change.deleting(annotation("ghost")),
        "stored as it was when this edit began. Somebody else": Change.moving(annotation("a", x=9.0), (0, 0, 0)),
        "another id or case": Change("sub-02", "x", {"b": (None, annotation("b", "sub-01"))}, {}),
        "'c' of this edit has another id": Change("sub-01", "x", {"c": (None, annotation("b"))}, {}),
        "changes its verdict only": Change("sub-01", "x", {}, {"q": (found, replace(found, existence=1.0))}),
        "is in progress, not new": Change("sub-01", "x", {}, {}, (CaseState.NEW, CaseState.DONE)),
    }
    for message, misfit in misfits.items():
        with pytest.raises(StudyError, match=message):
            study.apply(misfit)
    assert (study.annotations(), study.candidates(), study.state("02"), len(study.history("01"))) == seen


def test_candidates_that_do_not_fit_store_nothing(study: Study) -> None:
    with pytest.raises(StudyError, match="candidates of sub-02 name the case sub-01"):
        study.add_candidates("02", [candidate("q")], "m", 2.0)
    with pytest.raises(StudyError, match="share an id"):
        study.add_candidates("01", [candidate("q"), candidate("q")], "m", 2.0)
    assert study.candidates() == ()


coordinates = st.floats(-300, 300, allow_nan=False)


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "move", "delete"]), st.integers(0, 9), st.tuples(*[coordinates] * 3)),
        max_size=15,
    )
)
def test_edits_act_like_a_dictionary_and_undo_to_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    make_dataset: Callable[[Path, int], Path],
    steps: list[tuple[str, int, tuple[float, float, float]]],
) -> None:
    folder = tmp_path_factory.mktemp("model")
    with Study.open(make_dataset(folder / "data", 1)) as study:
        model: dict[str, LesionPoint] = {}
        done = []
        for number, (kind, pick, world) in enumerate(steps):
            chosen = list(model.values())[pick % len(model)] if model else None
            if kind == "add" or chosen is None:
                point = LesionPoint("sub-01", world, id=f"p{number}")
                change = Change.adding(point)
                model[point.id] = point
            elif kind == "move":
                change = Change.moving(chosen, world)
                model[chosen.id] = chosen.moved(world)
            else:
                change = Change.deleting(chosen)
                del model[chosen.id]
            study.apply(change)
            done.append(change)
            assert study.annotations() == tuple(model.values())
        for change in reversed(done):
            study.apply(change.inverse())
        assert study.annotations() == ()
        assert len(study.history("01")) == 2 * len(done)
    shutil.rmtree(folder)


def test_threads_and_several_programs_lose_nothing(study: Study, open_study: OpenStudy) -> None:
    with open_study(reader="bob") as other, ThreadPoolExecutor(6) as pool:
        names = [f"{k:02}" for k in range(36)]
        list(pool.map(lambda n: (study, other)[int(n) % 2].apply(Change.adding(annotation(n))), names))
    assert sorted(p.id for p in study.annotations()) == names
    assert {edit.reader for edit in study.history("01")} == {"ada", "bob"}


def test_of_two_equal_edits_at_once_one_wins(study: Study) -> None:
    study.apply(Change.adding(annotation("a")))

    def move(x: int) -> bool:
        try:
            study.apply(Change.moving(annotation("a"), (x, 0, 0)))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(move, range(1, 9)))
    assert sum(won) == 1
    assert study.annotations()[0].world == (won.index(True) + 1.0, 0.0, 0.0)


def test_nothing_is_ever_deleted(study: Study) -> None:
    study.apply(Change.adding(annotation("a")))
    study.apply(Change.deleting(annotation("a")))
    study.add_candidates("01", [candidate("q")], "m1", 2.0)
    study.add_candidates("01", [], "m2", 2.0)
    with study._database.transaction() as connection:
        count = {
            t: connection.exec_driver_sql(f"SELECT count(*) FROM {t}").scalar_one()
            for t in ("annotations", "candidates", "runs")
        }
    assert count == {"annotations": 1, "candidates": 1, "runs": 2}


def test_a_case_that_leaves_and_comes_back_keeps_its_points(study: Study, root: Path, open_study: OpenStudy) -> None:
    study.apply(Change.adding(annotation("a")))
    (root / "sub-01").rename(root.parent / "away")
    with open_study() as without:
        assert without.case_names == ("sub-02", "sub-03")
        assert [s.case for s in without.summary()] == ["sub-02", "sub-03"]
        assert without.training_cases() == ()
    (root.parent / "away").rename(root / "sub-01")
    with open_study() as again:
        assert again.annotations("01") == (annotation("a"),)


def spoil_with_garbage(path: Path) -> None:
    path.write_bytes(b"this is no database " * 100)


def spoil_with_damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * (4096 - 100)
    path.write_bytes(content)


def spoil_with_other_tables(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE invoices (number)")
    connection.close()


def spoil_with_the_future(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()


def spoil_with_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_with_garbage, "damaged or not the database of a study.*Restore it"),
        (spoil_with_damage, "damaged or not the database of a study.*Restore it"),
        (spoil_with_other_tables, "unknown tables.*Restore it"),
        (spoil_with_the_future, f"has schema {SCHEMA + 1}.*Upgrade napari-lesion-points"),
        (spoil_with_a_folder, "cannot be written.*--store"),
    ],
)
def test_unusable_databases(root: Path, spoil: object, message: str) -> None:
    with Study.open(root) as study:
        study.apply(Change.adding(annotation("a")))
    spoil(study.store / "study.sqlite")
    with pytest.raises(StudyError, match=rf"study\.sqlite: .*{message}"):
        Study.open(root)


def test_an_empty_file_becomes_a_database(root: Path) -> None:
    store = root / "derivatives" / "lesion-points"
    store.mkdir(parents=True)
    (store / "study.sqlite").touch()
    with Study.open(root) as study:
        assert study.annotations() == ()


def test_a_store_that_cannot_be_written(root: Path) -> None:
    (root / "derivatives").write_text("a file where the folder should be")
    with pytest.raises(StudyError, match=r"lesion-points: cannot be written.*--store"):
        Study.open(root)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this account")
@pytest.mark.parametrize("closed", ["derivatives/lesion-points/study.sqlite", "derivatives/lesion-points", "."])
def test_a_read_only_dataset(root: Path, closed: str) -> None:
    if closed != ".":
        Study.open(root).close()
    mode = (root / closed).stat().st_mode
    (root / closed).chmod(mode & ~0o222)
    try:
        with pytest.raises(StudyError, match=r"cannot be written.*--store"):
            Study.open(root)
    finally:
        (root / closed).chmod(mode)


def test_a_locked_database(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Study.open(root) as study:
        pass
    monkeypatch.setattr(engines, "_BUSY_TIMEOUT_S", 0.05)
    holder = sqlite3.connect(study.store / "study.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StudyError, match=r"another program is writing to it.*try again"):
        Study.open(root)
    holder.close()
    Study.open(root).close()


def test_an_account_without_a_name_must_be_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nameless)
    with pytest.raises(StudyError, match="--reader"):
        Study.open(root)
    Study.open(root, reader="ada").close()


def test_a_verdict_on_an_older_run_can_still_be_undone(study: Study) -> None:
    found = candidate("q0", 0.2)
    study.add_candidates("01", [found], "models/m1", 2.0)
    change = accept(found)
    study.apply(change)
    study.add_candidates("01", [candidate("q9", 0.5)], "models/m2", 2.0)
    study.apply(change.inverse())
    assert study.annotations("01") == ()


def test_what_was_rejected_is_not_asked_again(study: Study) -> None:
    def found(model: str, *x_mm: float) -> None:
        some = [replace(candidate(f"{model}-{x}"), world=(x, 0.0, 0.0)) for x in x_mm]
        study.add_candidates("01", some, model, 2.0)

    def reject(of: Study, k: int) -> Change:
        before = of.candidates("01")[k]
        change = Change("sub-01", "reject", {}, {before.id: (before, replace(before, verdict=no, reader=of.reader))})
        of.apply(change)
        return change

    def verdicts(of: Study) -> list[Verdict]:
        return [c.verdict for c in of.candidates("01")]

    no, nothing, blind = Verdict.REJECTED, Verdict.NONE, study.read_blind("Dr. B")
    found("first", 0.0, 30.0)
    reject(study, 0)
    reject(blind, 1)
    found("second", 2.0, 31.0, 4.0)
    assert (verdicts(study), verdicts(blind)) == ([no, nothing, nothing], [nothing, no, nothing])
    assert study.candidates("01")[0].reader == "ada"
    found("third", 50.0)  # and it is not found for once
    found("fourth", 0.0, 30.0)
    assert (verdicts(study), verdicts(blind)) == ([no, nothing], [nothing, no])
    study.apply(reject(study, 1).inverse())  # a verdict that was taken back is none
    found("fifth", 30.0)
    assert verdicts(study) == [nothing]


@pytest.mark.parametrize(
    ("verdict", "kept"), [(Verdict.MOVED, True), (Verdict.UNSURE, True), (Verdict.ACCEPTED, False)]
)
def test_what_was_decided_elsewhere_or_put_aside_stays_so_where_it_is_found_again(
    study: Study, verdict: Verdict, kept: bool
) -> None:
    before = candidate("first")
    study.add_candidates("01", [before], "m1", 2.0)
    study.apply(Change("sub-01", "x", {}, {"first": (before, replace(before, verdict=verdict, reader="ada"))}))
    study.add_candidates("01", [candidate("second"), replace(candidate("third"), world=(30.0, 0, 0))], "m2", 2.0)
    expected = (verdict, "ada") if kept else (Verdict.NONE, "")
    assert [(c.verdict, c.reader) for c in study.candidates("01")] == [expected, (Verdict.NONE, "")]


def test_what_is_put_aside_is_not_reviewed(study: Study) -> None:
    found = candidate("q"), candidate("r")
    study.add_candidates("01", found, "m", 2.0)
    for one, verdict in zip(found, (Verdict.UNSURE, Verdict.REJECTED), strict=True):
        study.apply(Change("sub-01", "x", {}, {one.id: (one, replace(one, verdict=verdict, reader="ada"))}))
    assert (study.summary()[0].candidates, study.summary()[0].reviewed) == (2, 1)


def test_several_changes_are_one_transaction(study: Study) -> None:
    first, second = annotation("a"), annotation("a")
    with pytest.raises(StudyError, match="'a' is not stored as it was"):
        study.apply(Change.adding(first), Change.adding(second))
    assert study.annotations() == ()
