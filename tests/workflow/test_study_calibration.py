"""A study's own calibration of a model: who takes part, what is learnt, what is kept, and how it is taken back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import entr

from napari_lesion_points.core.calibration import Recalibration, fit_recalibration
from napari_lesion_points.core.events import CasePredicted, Event
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.operating import Goal
from napari_lesion_points.core.records import CONSENSUS, CaseState, Change, LesionPoint, Origin, Verdict
from napari_lesion_points.errors import BusyError, OutputError, StudyError
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow import calibrations
from napari_lesion_points.workflow.calibrations import calibrated_models, calibration_path, read_calibration
from napari_lesion_points.workflow.jobs import storing
from napari_lesion_points.workflow.models import ModelCard, describe_model
from napari_lesion_points.workflow.planning import plan_prediction
from napari_lesion_points.workflow.regrouping import merge_change, split_change
from napari_lesion_points.workflow.review import verdict_change
from napari_lesion_points.workflow.study_calibration import (
    LEAST_JUDGED,
    assess,
    estimate,
    recalibrate,
    set_threshold,
    use_models_own,
)
from napari_lesion_points.workflow.study_report import study_report
from napari_lesion_points.workflow.verdicts import gather_evidence, judged

CASES = tuple(f"sub-{k:02}" for k in range(1, 7))
OWN = (1.0, 1.0, 0.4)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    for case in CASES:
        anat = tmp_path / "study" / case / "anat"
        anat.mkdir(parents=True)
        for sequence in ("FLAIR", "T1w"):
            (anat / f"{case}_{sequence}.nii.gz").touch()
    with Study.open(tmp_path / "study", reader="ada") as opened:
        yield opened


@pytest.fixture
def card(study: Study, write_model: Callable[..., Path]) -> ModelCard:
    return describe_model(write_model(study.models_dir / "mine", recalibration=list(OWN), training_cases=["sub-99"]))


def propose(study: Study, card: ModelCard, number: str, masses: list[float]) -> tuple[LesionPoint, ...]:
    """Candidates 20 mm apart along x, with the existence that the model says."""
    case = study.files_of(number).case
    existence = Recalibration(*card.recalibration)(np.clip(masses, 0, 1))
    found = [
        LesionPoint(case, (20.0 * k, 0, 0), existence=float(p), mass=m, entropy=float(binary_entropy(p)),
                    origin=Origin.MODEL)
        for k, (m, p) in enumerate(zip(masses, existence, strict=True))
    ]  # fmt: skip
    study.add_candidates(case, found, str(card.path), 2.0)
    return study.candidates(case)


def say(study: Study, candidate: LesionPoint, verdict: Verdict) -> Change:
    world = (candidate.world[0] + 1, 0.0, 0.0) if verdict is Verdict.MOVED else None
    change = verdict_change(study, candidate, verdict, world)
    study.apply(change)
    return change


def review(study: Study, card: ModelCard, truth: Recalibration, per_case: int = 12, left: int = 0) -> None:
    """Predict all cases; a reader judges all but the `left` least uncertain of each, by what is true."""
    rng = np.random.default_rng(5)
    for case in CASES:
        masses = rng.uniform(0.1, 1.1, per_case).tolist()
        found, changes = propose(study, card, case, masses), []
        for c in sorted(found, key=lambda c: -c.entropy)[: per_case - left]:
            lesion = rng.random() < truth([min(c.mass, 1.0)])[0]
            changes.append(verdict_change(study, c, Verdict.ACCEPTED if lesion else Verdict.REJECTED))
        study.apply(*changes)


def test_verdicts_and_done_cases_tell_and_the_rest_is_unknown(study: Study, card: ModelCard) -> None:
    first = propose(study, card, "01", [0.9, 0.7, 0.5, 0.3])
    for candidate, verdict in zip(first, (Verdict.ACCEPTED, Verdict.MOVED, Verdict.REJECTED), strict=False):
        say(study, candidate, verdict)
    propose(study, card, "02", [0.9, 0.8])  # done: a point lies 5 mm from the first, and a lesion was missed
    study.apply(Change.adding(LesionPoint("sub-02", (5, 0, 0)), LesionPoint("sub-02", (200, 0, 0))))
    study.set_state("02", CaseState.DONE)
    propose(study, card, "03", [0.9])  # nobody has judged anything
    study.add_differences("01", [], "ada, bob")  # no model's prediction
    evidence = gather_evidence(study, card)
    assert evidence.cases == ("sub-01", "sub-02")
    assert evidence.done == 1
    assert_allclose(evidence.candidates.existence, [0.9, 0.7, 0.5, 0.3, 0.9, 0.8])
    assert_allclose(evidence.candidates.outcome, [1, 1, 0, math.nan, 1, 0])
    assert evidence.candidates.owner.tolist() == [0, 0, 0, 0, 1, 1]
    assert evidence.candidates.missed.tolist() == [0, 1]


def test_clicked_points_under_candidates_make_a_case_wait(study: Study, card: ModelCard) -> None:
    study.apply(Change.adding(LesionPoint("sub-01", (1, 0, 0))))
    found = propose(study, card, "01", [0.9, 0.5])
    say(study, found[1], Verdict.REJECTED)
    evidence = gather_evidence(study, card)
    assert (evidence.cases, evidence.waiting) == ((), ("sub-01",))
    study.set_state("01", CaseState.DONE)
    assert gather_evidence(study, card).candidates.outcome.tolist() == [1, 0]


def test_what_was_accepted_stays_so_when_it_is_found_again(study: Study, card: ModelCard) -> None:
    found = propose(study, card, "01", [0.9, 0.5])
    say(study, found[0], Verdict.ACCEPTED)
    say(study, found[1], Verdict.REJECTED)
    propose(study, card, "01", [0.8, 0.6])
    assert gather_evidence(study, card).candidates.outcome.tolist() == [1, 0]


def test_an_accepted_candidate_beside_a_point_takes_that_point(study: Study) -> None:
    near = [LesionPoint("c", (0, 0, 0), "a", verdict=Verdict.ACCEPTED), LesionPoint("c", (4, 0, 0), "b")]
    outcome, missed = judged(near, [LesionPoint("c", (1, 0, 0))], done=True, tolerance_mm=6)
    assert outcome is not None
    assert (outcome.tolist(), missed) == ([1, 0], 0)


def test_the_unsure_stay_unknown_and_both_places_of_a_split_are_found(study: Study, card: ModelCard) -> None:
    found = propose(study, card, "01", [0.9, 0.5])
    study.apply(split_change(study, found[0], (-3, 0, 0), (3, 0, 0)))
    say(study, found[1], Verdict.UNSURE)
    study.set_state("01", CaseState.DONE)
    evidence = gather_evidence(study, card)
    assert_allclose(evidence.candidates.outcome, [1, math.nan])
    assert evidence.candidates.missed.tolist() == [0]


def test_of_merged_candidates_one_is_the_lesion(study: Study, card: ModelCard) -> None:
    found = propose(study, card, "01", [0.9, 0.5, 0.3])
    say(study, found[2], Verdict.ACCEPTED)
    study.apply(merge_change(study, found[1], found[0]))
    assert gather_evidence(study, card).candidates.outcome.tolist() == [0, 1, 1]
    study.set_state("01", CaseState.DONE)
    evidence = gather_evidence(study, card)
    assert (evidence.candidates.outcome.tolist(), evidence.candidates.missed.tolist()) == ([0, 1, 1], [0])


def test_a_candidate_merged_with_a_clicked_point_is_that_lesion(study: Study, card: ModelCard) -> None:
    found = propose(study, card, "01", [0.9, 0.5])
    study.apply(Change.adding(LesionPoint("sub-01", (4, 0, 0))))
    study.apply(merge_change(study, found[0], *study.annotations("sub-01")))
    study.set_state("01", CaseState.DONE)
    evidence = gather_evidence(study, card)
    assert (evidence.candidates.outcome.tolist(), evidence.candidates.missed.tolist()) == ([1, 0], [0])


def test_cases_that_the_model_knows_and_other_models_do_not_count(
    study: Study, write_model: Callable[..., Path]
) -> None:
    card = describe_model(write_model(study.models_dir / "taught", training_cases=["sub-01"]))
    say(study, propose(study, card, "01", [0.9])[0], Verdict.ACCEPTED)
    study.add_candidates("02", [], "another", 2.0)
    study.set_state("02", CaseState.DONE)
    evidence = gather_evidence(study, card)
    assert (evidence.cases, evidence.learned) == ((), ("sub-01",))
    with pytest.raises(StudyError, match="consensus"):
        gather_evidence(study.of(CONSENSUS), card)


def test_few_verdicts_teach_nothing(study: Study, card: ModelCard) -> None:
    for candidate in propose(study, card, "01", [0.5] * (LEAST_JUDGED - 1)):
        say(study, candidate, Verdict.ACCEPTED)
    found = assess(study, card)
    assert found.recalibration is None
    assert not found.can_recalibrate
    assert f"Needs {LEAST_JUDGED}" in found.words
    assert estimate(found, card, Goal.PRECISION, 0.9) is None
    with pytest.raises(StudyError, match="nothing to recalibrate"):
        recalibrate(study, card, found)
    assert not calibration_path(study.store, card).exists()


def test_the_curve_has_counts_and_intervals_of_what_was_judged(study: Study, card: ModelCard) -> None:
    review(study, card, Recalibration(c=-1.5), left=4)
    found = assess(study, card)
    stored = [c for c in study.candidates() if c.verdict]
    assert found.curve.counts.sum() == len(stored) == 6 * 8
    for k, count in enumerate(found.curve.counts):
        inside = [c for c in stored if min(int(c.existence * 10), 9) == k]
        assert len(inside) == count
        if inside:
            share = sum(c.verdict is Verdict.ACCEPTED for c in inside) / count
            assert found.curve.fraction_true[k] == pytest.approx(share)
            assert found.intervals[k, 0] - 1e-9 <= share <= found.intervals[k, 1] + 1e-9
        else:
            assert np.isnan(found.intervals[k]).all()
    assert "24 not judged" in found.words
    assert "48 judged candidates" in found.words


def test_a_biased_model_is_mended_and_its_stored_candidates_with_it(study: Study, card: ModelCard) -> None:
    review(study, card, Recalibration(c=-1.5), left=4)
    before = study.candidates()
    found = assess(study, card)
    outcome = found.evidence.candidates.outcome
    known = ~np.isnan(outcome)
    masses = np.clip([c.mass for c in before], 0, 1)
    oracle = fit_recalibration(
        masses[known], outcome[known] == 1, expected=Recalibration(*OWN), spread=(0.25, 0.25, 0.7)
    )
    assert found.recalibration == oracle
    assert oracle.c < 0 < OWN[2]
    assert found.brier is not None
    assert found.brier[1] < found.brier[0]
    kept = recalibrate(study, card, found)
    assert read_calibration(study.store, card) == kept
    after = study.candidates()
    assert_allclose([c.existence for c in after], oracle(masses))
    p = np.array([c.existence for c in after])
    assert_allclose([c.entropy for c in after], (entr(p) + entr(1 - p)) / math.log(2))
    assert [replace(c, existence=0, entropy=0) for c in after] == [replace(c, existence=0, entropy=0) for c in before]
    again = assess(study, card)
    assert again.recalibration == oracle  # learnt from masses, so what is in force changes nothing
    assert again.brier == found.brier
    assert_allclose(np.nansum(again.curve.existence * again.curve.counts), oracle(masses[known]).sum())


def test_later_predictions_take_it_and_the_models_own_can_come_back(study: Study, card: ModelCard) -> None:
    review(study, card, Recalibration(c=-1.5))
    before = [c.existence for c in study.candidates()]
    kept = recalibrate(study, card, assess(study, card))

    def planned() -> tuple[float, float, float] | None:
        files = [study.files_of("01")]
        return plan_prediction(files, model=card.path, heatmaps=study.store, store=study.store).recalibration

    assert planned() == kept.recalibration
    (here,) = calibrated_models(study, (card,))
    assert here.recalibration == kept.recalibration
    mass = Recalibration(*OWN).inverse(card.threshold)  # the same candidates are detections as before
    assert here.threshold == pytest.approx(float(Recalibration(*kept.recalibration)([mass])[0]))
    use_models_own(study, card)
    assert planned() is None
    assert calibrated_models(study, (card,)) == (card,)
    assert_allclose([c.existence for c in study.candidates()], before)


def test_what_is_predicted_meanwhile_gets_the_new_scale(study: Study, card: ModelCard, tmp_path: Path) -> None:
    review(study, card, Recalibration(c=-1.5))
    found = [
        LesionPoint("sub-06", (20.0 * k, 0, 0), existence=0.5, mass=mass, entropy=1.0, origin=Origin.MODEL)
        for k, mass in enumerate((0.3, 1.2, math.nan))
    ]
    heatmap = study.heatmap_path("sub-06")
    heatmap.parent.mkdir(exist_ok=True)
    heatmap.touch()
    event = CasePredicted("sub-06", str(heatmap), tuple(found), 2.0)

    def predicted() -> Iterator[Event]:
        kept = recalibrate(study, card, assess(study, card))
        expected[:] = [*Recalibration(*kept.recalibration)([0.3, 1.0]), 0.5]
        yield event

    expected: list[float] = []
    (told,) = storing(study, predicted(), str(card.path))
    assert isinstance(told, CasePredicted)
    assert [c.existence for c in told.candidates] == expected
    assert [c.existence for c in study.candidates("06")] == expected
    use_models_own(study, card)
    assert list(storing(study, iter([event]), str(card.path))) == [event]


def test_a_recalibration_that_keeps_the_study_busy_counts_for_what_waits(
    study: Study, card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    review(study, card, Recalibration(c=-1.5))
    add, kept = study.add_candidates, []

    def busy_at_first(*arguments: Any) -> None:
        if not kept:
            kept.append(recalibrate(study, card, assess(study, card)))
            raise BusyError("another program is writing")
        add(*arguments)

    monkeypatch.setattr(study, "add_candidates", busy_at_first)
    heatmap = study.heatmap_path("sub-06")
    heatmap.parent.mkdir(exist_ok=True)
    heatmap.touch()
    found = LesionPoint("sub-06", (0, 0, 0), existence=0.5, mass=0.3, entropy=1.0, origin=Origin.MODEL)
    (told,) = storing(study, iter([CasePredicted("sub-06", str(heatmap), (found,), 2.0)]), str(card.path))
    assert isinstance(told, CasePredicted)
    assert [c.existence for c in told.candidates] == list(Recalibration(*kept[0].recalibration)([0.3]))


def test_candidates_of_what_the_model_was_before_are_no_evidence(
    study: Study, card: ModelCard, write_model: Callable[..., Path]
) -> None:
    review(study, card, Recalibration(c=-1.5))
    assert gather_evidence(study, card).cases == CASES
    trained = describe_model(write_model(card.path, training_cases=["sub-99"], created_utc="2999-01-01T00:00:00+00:00"))
    evidence = gather_evidence(study, trained)
    assert (evidence.cases, evidence.outdated) == ((), CASES)
    assert "as the model was trained since they were predicted: 6 cases" in assess(study, trained).words
    study.set_state("sub-01", CaseState.DONE)
    with pytest.raises(StudyError, match="no case to report on"):
        study_report(study)


def test_a_map_that_cannot_be_kept_changes_nothing(
    study: Study, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: str) -> None:
        raise OutputError(f"{path}: cannot be written")

    review(study, card, Recalibration(c=-1.5))
    before = study.candidates()
    monkeypatch.setattr(calibrations, "atomic_write", full)
    with pytest.raises(OutputError, match="cannot be written"):
        recalibrate(study, card, assess(study, card))
    assert_allclose([c.existence for c in study.candidates()], [c.existence for c in before])
    assert not calibration_path(study.store, card).exists()


def test_verdicts_given_before_a_recalibration_can_be_undone_after_it(study: Study, card: ModelCard) -> None:
    review(study, card, Recalibration(c=-1.5), left=1)
    waiting = next(c for c in study.candidates() if not c.verdict)
    change = say(study, waiting, Verdict.ACCEPTED)
    recalibrate(study, card, assess(study, card))
    study.apply(change.inverse())
    assert next(c for c in study.candidates() if c.id == waiting.id).verdict is Verdict.NONE
    with pytest.raises(StudyError, match="Somebody else"):
        study.apply(change.inverse())


@pytest.mark.parametrize("goal", Goal)
def test_a_threshold_for_a_wish_is_kept_and_goes_with_the_scale(study: Study, card: ModelCard, goal: Goal) -> None:
    review(study, card, Recalibration(c=0.4), per_case=30)
    found = assess(study, card)
    wanted = estimate(found, card, goal, 0.8)
    assert wanted is not None
    assert wanted.reached
    assert wanted.intervals is not None
    stored = study.candidates()
    shown = [c for c in stored if c.existence >= wanted.point.threshold]
    hits = sum(c.verdict is Verdict.ACCEPTED for c in shown)
    lesions = sum(c.verdict is Verdict.ACCEPTED for c in stored)
    assert wanted.point.sensitivity == pytest.approx(hits / lesions)
    assert wanted.point.precision == pytest.approx(hits / len(shown))
    for each in Goal:
        low, high = wanted.intervals[each]
        assert low <= getattr(wanted.point, str(each)) <= high
    assert f"Existence ≥ {wanted.point.threshold:.2f}" in wanted.words
    set_threshold(study, card, wanted)
    (here,) = calibrated_models(study, (card,))
    assert (here.threshold, here.recalibration) == (wanted.point.threshold, OWN)
    recalibrate(study, card, assess(study, card))
    assert "In force: recalibrated from 180 judged candidates" in assess(study, card).words
    assert f"threshold for {goal} 0.80, from 180 judged" in assess(study, card).words
    (here,) = calibrated_models(study, (card,))
    assert sum(c.existence >= here.threshold for c in study.candidates()) == pytest.approx(len(shown), abs=4)


def test_the_report_of_a_study_takes_the_threshold_that_counts_there(study: Study, card: ModelCard) -> None:
    review(study, card, Recalibration(c=-1.5))
    for case in CASES:
        study.set_state(case, CaseState.DONE)
    before = study_report(study)
    assert before.evaluation.threshold == card.threshold
    assert not [note for note in before.notes if "flatters: recalibrated" in note]
    recalibrate(study, card, assess(study, card))
    after = study_report(study)
    (here,) = calibrated_models(study, (card,))
    assert after.evaluation.threshold == here.threshold != card.threshold
    assert after.threshold_source == before.threshold_source
    for figure in ("tp", "fp", "fn"):  # the same candidates are detections as before
        assert getattr(after.evaluation, figure) == getattr(before.evaluation, figure)
    assert [note for note in after.notes if "flatters: recalibrated" in note]
    wanted = estimate(assess(study, card), card, Goal.SENSITIVITY, 0.9)
    assert wanted is not None
    set_threshold(study, card, wanted)
    last = study_report(study)
    assert last.evaluation.threshold == wanted.point.threshold
    assert last.threshold_source == "of model mine, chosen on cases of this study"


def test_what_one_reads_alone_changes_nothing_for_all(study: Study, card: ModelCard) -> None:
    blind = study.read_blind("bob")
    review(blind, card, Recalibration(c=-1.5))
    found = assess(blind, card)
    assert found.can_recalibrate
    with pytest.raises(StudyError, match="bob reads alone"):
        recalibrate(blind, card, found)


def test_components_keep_their_existence(study: Study, write_model: Callable[..., Path]) -> None:
    card = describe_model(write_model(study.models_dir / "parts", components=True, training_cases=["sub-99"]))
    points = [
        LesionPoint("sub-01", (20.0 * k, 0, 0), existence=0.5, entropy=1.0, origin=Origin.MODEL) for k in range(30)
    ]
    study.add_candidates("01", points, str(card.path), 2.0)
    for k, candidate in enumerate(study.candidates("01")):
        say(study, candidate, Verdict.ACCEPTED if k % 3 else Verdict.REJECTED)
    found = assess(study, card)
    assert found.recalibration is not None
    assert not found.can_recalibrate
    wanted = estimate(found, card, Goal.PRECISION, 0.6)
    assert wanted is not None
    assert wanted.intervals is None
    set_threshold(study, card, wanted)
    assert {c.existence for c in study.candidates()} == {0.5}


def test_a_damaged_file_is_named(study: Study, card: ModelCard) -> None:
    path = calibration_path(study.store, card)
    path.parent.mkdir()
    path.write_text("{", encoding="utf-8")
    with pytest.raises(StudyError, match=path.name):
        read_calibration(study.store, card)
