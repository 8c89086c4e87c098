"""Several readers of one study: agreement, consensus, and the history as a table."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from napari_lesion_points.core.records import CONSENSUS, CaseState, Change, LesionPoint, Origin, Verdict
from napari_lesion_points.errors import OutputError, StudyError
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow.agreement import ALL_CASES, COLUMNS, study_agreement, write_agreement
from napari_lesion_points.workflow.consensus import Difference, Keep, differences, settlement
from napari_lesion_points.workflow.exchange import export_study
from napari_lesion_points.workflow.review import verdict_change

#: What ada and bob click in sub-01 along x, mm: one lesion 1 mm apart, one 5 mm apart, one of each alone.
ADA, BOB = (0.0, 30.0, 60.0), (1.0, 35.0, 90.0)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """Two cases that ada and bob have read blind; sub-03 was read by ada alone."""
    for case in ("sub-01", "sub-02", "sub-03"):
        anat = tmp_path / "study" / case / "anat"
        anat.mkdir(parents=True)
        (anat / f"{case}_FLAIR.nii.gz").touch()
    with Study.open(tmp_path / "study", reader="carol") as opened:
        for reader, places in (("ada", ADA), ("bob", BOB)):
            reading = opened.of(reader, reader)
            reading.apply(Change.adding(*(LesionPoint("sub-01", (x, 0, 0), f"x{x:g}", reader=reader) for x in places)))
            reading.set_state("sub-01", CaseState.DONE)
            reading.set_state("sub-02", CaseState.DONE)
        opened.of("ada", "ada").apply(Change.adding(LesionPoint("sub-03", (0, 0, 0), reader="ada")))
        yield opened


def judge(study: Study, reader: str, verdicts: str) -> None:
    """Let a reader say of sub-01's candidates: a lesion (+), none (-), nothing (.)."""
    reading = study.of(reader, reader)
    for candidate, word in zip(reading.candidates("sub-01"), verdicts, strict=True):
        if word != ".":
            verdict = Verdict.ACCEPTED if word == "+" else Verdict.REJECTED
            reading.apply(verdict_change(reading, candidate, verdict))


def settle(study: Study, difference: Difference, keep: Keep) -> Change:
    change = settlement(study, difference, keep)
    study.of(CONSENSUS).apply(change)
    return change


def test_an_unsure_verdict_settles_no_difference(study: Study) -> None:
    consensus = study.of(CONSENSUS)
    found = differences(study, "ada", "bob", "sub-01")
    consensus.apply(verdict_change(consensus, found[0].points[0], Verdict.UNSURE))
    again = differences(study, "ada", "bob", "sub-01")
    assert again[0].points[0].verdict is Verdict.UNSURE
    assert not again[0].settled


def places(study: Study) -> list[float]:
    return sorted(a.world[0] for a in study.of(CONSENSUS).annotations("sub-01"))


def test_agreement_of_two_by_case_and_over_all(study: Study) -> None:
    first, second, pooled = study_agreement(study)
    assert [row.case for row in (first, second, pooled)] == ["sub-01", "sub-02", ALL_CASES]  # not sub-03: ada alone
    assert first.readers == ("ada", "bob")
    assert first.points is not None
    assert (first.points.matched, first.points.only_first, first.points.only_second) == (2, 1, 1)
    assert first.points.mean_distance_mm == 3.0  # 1 and 5 mm
    assert first.points.f1 == pytest.approx(4 / 6)
    assert second.points is not None
    assert second.points.f1 == 1.0  # read by both, and nothing found
    assert pooled.points == first.points
    assert all(row.finished for row in (first, second, pooled))
    strict, *_ = study_agreement(study, tolerance_mm=2)
    assert strict.points is not None
    assert strict.points.matched == 1


def test_kappa_is_on_what_all_have_judged(study: Study) -> None:
    x = (200.0 + 20 * k for k in range(6))
    study.add_candidates("01", [LesionPoint("sub-01", (at, 0, 0), origin=Origin.MODEL) for at in x], "m", 2)
    judge(study, "ada", "++--+.")
    judge(study, "bob", "+---.+")
    row, *_ = study_agreement(study)
    assert (row.candidates, row.kappa) == (4, 0.5)  # ++--  against +---
    judge(study, "eve", "++-+..")
    groups = study_agreement(study)
    assert [r.readers for r in groups if r.case == "sub-01"] == [
        ("ada", "bob"), ("ada", "eve"), ("bob", "eve"), ("ada", "bob", "eve"),
    ]  # fmt: skip
    together = groups[-2]
    # Of 3 raters 8/12 answers pair up as +++, ++-, ---, +--: (1 + 1/3 + 1 + 1/3) / 4, by chance (36 + 36) / 144.
    assert (together.case, together.candidates, together.points) == ("sub-01", 4, None)
    assert together.kappa == pytest.approx((2 / 3 - 0.5) / 0.5)
    assert not together.finished


def test_who_is_unsure_has_not_judged(study: Study) -> None:
    x = (200.0 + 20 * k for k in range(5))
    study.add_candidates("01", [LesionPoint("sub-01", (at, 0, 0), origin=Origin.MODEL) for at in x], "m", 2)
    judge(study, "ada", "++--+")
    judge(study, "bob", "+---+")
    bob = study.of("bob", "bob")
    bob.apply(verdict_change(bob, bob.candidates("sub-01")[4], Verdict.UNSURE))
    row, *_ = study_agreement(study)
    assert (row.candidates, row.kappa) == (4, 0.5)  # ++--  against +---


def test_agreement_as_a_table(study: Study, tmp_path: Path) -> None:
    write_agreement(tmp_path / "agreement.csv", study_agreement(study))
    with (tmp_path / "agreement.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert list(rows[0].values()) == [
        "sub-01", "ada, bob", "yes", "2", "1", "1", str(4 / 6), "3.0", "0", "",
    ]  # fmt: skip
    assert rows[1]["mean_distance_mm"] == ""
    with pytest.raises(OutputError, match=r"end in \.csv or \.tsv"):
        write_agreement(tmp_path / "agreement.txt", [])


def test_who_cannot_be_compared(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"'eve'\. This study has readings of ada, bob"):
        study_agreement(study, ["ada", "eve"])
    with pytest.raises(StudyError, match="needs two readers, and this study has ada"):
        study_agreement(study, ["ada", "ada"])
    study.set_note("03", "the shared reading begins with a case that bob has not seen")
    with pytest.raises(StudyError, match="no case has been begun by two of bob, shared"):
        study_agreement(study, ["bob", "shared"])


def test_a_consensus_begins_with_what_both_found(study: Study) -> None:
    before = [study.of(name).annotations() for name in ("ada", "bob")]
    found = differences(study, "ada", "bob", "01")
    assert [tuple(p and p.world[0] for p in (d.first, d.second)) for d in found] == [(30, 35), (60, None), (None, 90)]
    assert not any(d.settled for d in found)
    assert places(study) == [0.5]
    agreed = study.of(CONSENSUS).annotations("01")[0]
    assert (agreed.reader, agreed.origin) == (CONSENSUS, Origin.HUMAN)
    history = study.of(CONSENSUS).history()
    assert differences(study, "ada", "bob", "01") == found  # asked again, nothing happens
    assert study.of(CONSENSUS).history() == history
    assert [study.of(name).annotations() for name in ("ada", "bob")] == before
    assert study.annotations() == ()


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (Keep.FIRST, [[0.5, 30], [0.5, 60], [0.5]]),
        (Keep.SECOND, [[0.5, 35], [0.5], [0.5, 90]]),
        (Keep.BOTH, [[0.5, 30, 35], [0.5, 60], [0.5, 90]]),
        (Keep.NONE, [[0.5], [0.5], [0.5]]),
    ],
)
def test_each_way_to_settle_and_back(study: Study, keep: Keep, kept: list[list[float]]) -> None:
    consensus = study.of(CONSENSUS)
    for number, expected in enumerate(kept):
        change = settle(study, differences(study, "ada", "bob", "01")[number], keep)
        assert places(study) == expected
        assert [d.settled for d in differences(study, "ada", "bob", "01")] == [k == number for k in range(3)]
        assert {a.reader for a in consensus.annotations()} == {CONSENSUS}
        assert (consensus.history("01")[-1].reader, consensus.history("01")[-1].change) == ("carol", change)
        consensus.apply(change.inverse())
        assert places(study) == [0.5]
        assert not any(d.settled for d in differences(study, "ada", "bob", "01"))


def test_a_decision_can_be_taken_anew_and_not_behind_ones_back(study: Study) -> None:
    seen = differences(study, "ada", "bob", "01")[0]
    settle(study, seen, Keep.FIRST)
    with pytest.raises(StudyError, match="Somebody else changed it"):
        settle(study, seen, Keep.SECOND)
    settle(study, differences(study, "ada", "bob", "01")[0], Keep.SECOND)
    assert places(study) == [0.5, 35]


def test_what_a_reader_moves_afterwards_waits_again_and_the_rest_stays(study: Study) -> None:
    for difference in differences(study, "ada", "bob", "01"):
        settle(study, difference, Keep.BOTH)
    ada = study.of("ada", "ada")
    ada.apply(Change.moving(next(a for a in ada.annotations("01") if a.id == "x60"), (63.0, 0, 0)))
    assert [d.settled for d in differences(study, "ada", "bob", "01")] == [True, False, True]


def test_what_was_agreed_and_taken_away_stays_away(study: Study) -> None:
    differences(study, "ada", "bob", "01")
    consensus = study.of(CONSENSUS)
    consensus.apply(Change.deleting(*consensus.annotations("01")))
    differences(study, "ada", "bob", "01")
    assert places(study) == []


def test_what_rests_on_a_point_that_is_gone_leaves_the_consensus(study: Study) -> None:
    for number in (0, 1):  # 30 against 35, and 60 alone
        settle(study, differences(study, "ada", "bob", "01")[number], Keep.FIRST)
    assert places(study) == [0.5, 30, 60]
    ada = study.of("ada", "ada")
    at = {a.world[0]: a for a in ada.annotations("01")}
    ada.apply(Change.moving(at[30], (34.0, 0, 0)), Change.deleting(at[60]), Change.deleting(at[0]))
    (alone, left) = differences(study, "ada", "bob", "01")
    assert [d.second and d.second.world[0] for d in (alone, left)] == [1, 90]
    assert places(study) == [34.5]  # agreed in now; neither 30 nor 60 nor 0.5 rests on anything
    ada.apply(Change.adding(at[0]))
    differences(study, "ada", "bob", "01")
    assert places(study) == [0.5, 34.5]  # agreed in again


def test_agreement_keeps_that_the_lesion_was_accepted(study: Study) -> None:
    study.add_candidates("02", [LesionPoint("sub-02", (0, 0, 0), "q", 0.5, 0.5, 1.0, Origin.MODEL)], "m", 2)
    for reader in ("ada", "bob"):
        reading = study.of(reader, reader)
        reading.apply(verdict_change(reading, reading.candidates("02")[0], Verdict.ACCEPTED))
    assert differences(study, "ada", "bob", "02") == ()
    (agreed,) = study.of(CONSENSUS).annotations("02")
    assert (agreed.origin, agreed.verdict) == (Origin.MODEL, Verdict.ACCEPTED)


def test_a_consensus_that_was_begun_too_early_is_done_in_the_end(study: Study) -> None:
    ada = study.of("ada", "ada")
    ada.set_state("02", CaseState.IN_PROGRESS)
    lesion = LesionPoint("sub-02", (0, 0, 0), reader="ada")
    for reader in (ada, study.of("bob", "bob")):
        reader.apply(Change.adding(replace(lesion, id=f"of {reader.reader}", reader=reader.reader)))
    differences(study, "ada", "bob", "02")
    assert study.of(CONSENSUS).state("02") is CaseState.IN_PROGRESS
    ada.set_state("02", CaseState.DONE)
    differences(study, "ada", "bob", "02")
    assert study.of(CONSENSUS).state("02") is CaseState.DONE


def test_both_done_and_agreed_is_done(study: Study) -> None:
    assert differences(study, "ada", "bob", "02") == ()
    assert study.of(CONSENSUS).state("02") is CaseState.DONE
    assert study.of(CONSENSUS).training_cases() == ("sub-02",)


def test_what_a_reader_adds_to_a_case_of_the_consensus_that_is_done_makes_it_wait_again(study: Study) -> None:
    consensus = study.of(CONSENSUS)
    assert differences(study, "ada", "bob", "02") == ()
    assert consensus.state("02") is CaseState.DONE
    study.of("ada", "ada").apply(Change.adding(LesionPoint("sub-02", (50, 0, 0), reader="ada")))
    (difference,) = differences(study, "ada", "bob", "02")
    assert consensus.state("02") is CaseState.IN_PROGRESS
    settle(study, difference, Keep.FIRST)
    consensus.set_state("02", CaseState.DONE)
    differences(study, "ada", "bob", "02")
    assert consensus.state("02") is CaseState.DONE


def test_the_same_candidate_moved_apart_is_one_difference(study: Study) -> None:
    study.add_candidates("02", [LesionPoint("sub-02", (0, 0, 0), "q", 0.5, 0.5, 1.0, Origin.MODEL)], "m", 2)
    for reader, x in (("ada", 0.0), ("bob", 5.0)):
        reading = study.of(reader, reader)
        reading.apply(verdict_change(reading, reading.candidates("02")[0], Verdict.MOVED, (x, 0, 0)))
    (difference,) = differences(study, "ada", "bob", "02")
    assert [p.id for p in difference.points] == ["ada:q", "bob:q"]
    settle(study, difference, Keep.SECOND)
    assert [(a.id, a.world) for a in study.of(CONSENSUS).annotations("02")] == [("bob:q", (5, 0, 0))]


def test_who_cannot_come_to_a_consensus(study: Study) -> None:
    with pytest.raises(StudyError, match="'ada' was named twice"):
        differences(study, "ada", "ada", "01")
    with pytest.raises(StudyError, match="bob has not begun sub-03"):
        differences(study, "ada", "bob", "03")
    assert Difference(None, None).points == ()


def test_the_history_as_a_table(study: Study, tmp_path: Path) -> None:
    point = study.of("ada").annotations("01")[0]
    ada = study.of("ada", "ada")
    ada.apply(Change.moving(point, (1.0, 2.0, 3.0)))
    ada.apply(Change.deleting(replace(point, world=(1.0, 2.0, 3.0))))
    study.add_candidates("01", [LesionPoint("sub-01", (200, 0, 0), "q", origin=Origin.MODEL)], "m", 2)
    judge(study, "bob", "-")
    study.set_note("03", "motion")
    (path,) = export_study(study, tmp_path, "history")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["edit"] for row in rows}) == len(study.history(everyone=True))
    moved, removed, verdict, _, note = rows[-5:]
    assert [moved[k] for k in ("reader", "reading", "case", "what", "id")] == [
        "ada",
        "ada",
        "sub-01",
        "point moved",
        "x0",
    ]
    assert [float(moved[f"from_{axis}_mm"]) for axis in "xyz"] == [0, 0, 0]
    assert [float(moved[f"to_{axis}_mm"]) for axis in "xyz"] == [1, 2, 3]
    assert moved["utc"].endswith("+00:00")
    assert (removed["what"], removed["to_x_mm"]) == ("point removed", "")
    assert [verdict[k] for k in ("reader", "what", "before", "after", "from_x_mm")] == [
        "bob", "verdict", "", "rejected", "200.0",
    ]  # fmt: skip
    assert [note[k] for k in ("reader", "reading", "what", "before", "after")] == [
        "carol",
        "shared",
        "note",
        "",
        "motion",
    ]
    (alone,) = export_study(study.of("bob"), tmp_path, "history")
    with alone.open(newline="") as file:
        assert {row["reading"] for row in csv.DictReader(file)} == {"bob"}


def test_kappa_of_nothing_judged_is_unknown(study: Study) -> None:
    assert all(math.isnan(row.kappa) for row in study_agreement(study))
