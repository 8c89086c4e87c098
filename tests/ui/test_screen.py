"""What the dock shows follows from the state: no window needed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from napari_lesion_points.core.events import Finished
from napari_lesion_points.core.lesion_volumes import LesionVolume
from napari_lesion_points.core.records import CaseState, LesionPoint, Verdict
from napari_lesion_points.store.study import CaseSummary
from napari_lesion_points.ui.gesture import Gesture, Kind
from napari_lesion_points.ui.screen import remaining, resolve
from napari_lesion_points.ui.session import JobState, PaintedMask, State
from napari_lesion_points.workflow.models import describe_model

OPEN = State(
    root="/data/ms",
    cases=(
        CaseSummary("sub-01", CaseState.DONE, 3, 0, 0),
        CaseSummary("sub-02", CaseState.IN_PROGRESS, 2, 10, 4),
        CaseSummary("sub-03", CaseState.DONE, 0, 0, 0),
        CaseSummary("sub-04", CaseState.NEW, 0, 0, 0),
    ),
    wanted="sub-02",
    shown="sub-02",
)
POINT = LesionPoint("sub-02", (-12.0, 5.0, 7.0), existence=0.5, entropy=1.0)


def test_neighbours_of_the_case_on_screen() -> None:
    screen = resolve(OPEN)
    assert (screen.previous_case, screen.next_case) == ("sub-01", "sub-03")
    assert resolve(replace(OPEN, wanted="sub-04")).next_case == ""
    assert resolve(State()).previous_case == ""


def test_nothing_can_be_marked_while_files_are_read() -> None:
    assert resolve(OPEN).can_finish
    reading = resolve(replace(OPEN, wanted="sub-01", loading=True))
    assert [reading.can_finish, reading.can_reopen, reading.case_ready] == [False] * 3
    assert "Reading sub-01" in reading.hint


def test_done_and_no_lesions_exclude_each_other_and_done_can_be_reopened() -> None:
    at = {name: resolve(replace(OPEN, wanted=name, shown=name)) for name in ("sub-01", "sub-02", "sub-04")}
    assert [at[n].can_finish for n in at] == [False, True, False]
    assert [at[n].can_finish_empty for n in at] == [False, False, True]
    assert [at[n].can_reopen for n in at] == [True, False, False]


def test_training_lists_exactly_what_it_uses() -> None:
    screen = resolve(OPEN)
    assert screen.train_cases == ("sub-01", "sub-02", "sub-03")
    assert [row.text for row in screen.train_rows] == ["3 points", "2 points, in progress", "no lesions"]
    unfinished = "1 in progress: “Done” will say that the rest of it is healthy."
    assert screen.train_summary == f"3 cases, 5 points (1 without lesions). {unfinished}"
    fewer = resolve(replace(OPEN, unchecked=frozenset({"sub-01", "sub-03"})))
    assert fewer.train_cases == ("sub-02",)
    assert fewer.train_summary == f"1 case, 2 points. {unfinished}"
    finished = resolve(replace(OPEN, unchecked=frozenset({"sub-02"})))
    assert finished.train_summary == "2 cases, 3 points (1 without lesions)"
    assert not resolve(replace(OPEN, unchecked=frozenset({"sub-01", "sub-02", "sub-03"}))).can_train


def test_review_counts_what_was_reviewed_before() -> None:
    judged = replace(POINT, id="b", verdict=Verdict.ACCEPTED)
    screen = resolve(replace(OPEN, queue=(judged, POINT), at=1, queue_before=4, in_view=POINT.id))
    assert screen.review_progress == "1 of 6 left"
    assert screen.current == POINT
    assert screen.can_judge
    assert not resolve(replace(screen.state, in_view="b")).can_judge  # the view has not reached it yet
    elsewhere = replace(OPEN, queue=(replace(POINT, case="sub-01"),), at=0, in_view=POINT.id)
    assert not resolve(elsewhere).can_judge  # its case is not on screen yet
    assert resolve(replace(OPEN, queue=(judged,), at=1)).current is None


def test_what_is_put_aside_is_counted_apart_and_asked_about_on_demand() -> None:
    aside = replace(POINT, id="c", verdict=Verdict.UNSURE)
    before = replace(aside, id="d"), replace(aside, id="e", existence=0.05)  # one of them below the slider
    state = replace(OPEN, queue=(POINT, aside), queue_before=1, proposed=(POINT, aside, *before))
    screen = resolve(state)
    assert (screen.review_progress, screen.unsure, screen.reviewed) == ("1 of 3 left, 2 unsure", 2, 2)
    finished = resolve(replace(state, queue=(aside,), at=1))
    assert "2 put aside as unsure: Shift+U" in finished.review_text
    asking = resolve(replace(state, asking=Verdict.UNSURE, queue=(aside, before[0]), queue_before=0, at=1))
    assert (asking.review_progress, asking.current) == ("2 of 2 unsure left", before[0])
    assert resolve(replace(state, asking=Verdict.UNSURE, queue=(), queue_before=0)).review_progress == "none is unsure"


def test_what_is_put_aside_still_counts_as_a_lesion_that_may_be() -> None:
    some = tuple(replace(POINT, world=(9.0 * k, 0.0, 0.0), existence=p) for k, p in enumerate((0.9, 0.6, 0.5)))
    aside = replace(OPEN, tab="Review", candidates=(replace(some[0], verdict=Verdict.UNSURE), *some[1:]))
    assert resolve(aside).lesions_text == resolve(replace(OPEN, tab="Review", candidates=some)).lesions_text


def test_the_hint_says_what_the_next_click_does() -> None:
    state = replace(OPEN, queue=(POINT,), placing=True, gesture=Gesture(Kind.SPLIT))
    assert "centre of the first" in resolve(state).review_text
    assert resolve(replace(state, placing=False)).review_text == ""
    near = tuple(replace(POINT, id=name, world=(-12.0, y, 7.0)) for name, y in (("m", 9.0), ("n", 12.0)))
    merging = Gesture(Kind.MERGE, partners=near)
    assert "4.0 mm away? J or a click merges; N for the next of 2" in merging.words(POINT)
    assert merging.next_partner().partner is near[1]
    assert merging.next_partner().next_partner() == merging
    assert merging.boxes == ((near[0].world, 12.0),)


def test_the_slider_counts_candidates_at_or_above_it() -> None:
    candidates = tuple(replace(POINT, id=str(p), existence=p) for p in (0.1, 0.3, 0.31, 0.9))
    assert resolve(replace(OPEN, candidates=candidates, threshold=0.3)).shown_candidates == "3 of 4 shown"


@pytest.mark.parametrize(
    ("outcome", "text"), [("returned", "Finished: why"), ("failed", "Failed: why"), ("stopped", "Stopped: why")]
)
def test_three_outcomes_are_told_apart(outcome: str, text: str) -> None:
    job = JobState("train", running=True, fraction=0.4).finished(Finished(outcome, "why", "m"))  # type: ignore[arg-type]
    assert resolve(replace(OPEN, job=job)).job_text == text
    assert job.fraction == (1.0 if outcome == "returned" else 0.4)


def test_time_left() -> None:
    assert remaining(math.nan) == ""
    assert remaining(0.2) == "about 1 s left"
    assert remaining(3000) == "about 50 min left"
    running = JobState("train", running=True, message="step 3", remaining_s=20.0)
    assert resolve(replace(OPEN, job=running)).job_text == "step 3 · about 20 s left"
    assert "stopping" in resolve(replace(OPEN, job=replace(running, stopping=True))).job_text


def test_the_number_of_lesions_narrows_with_every_verdict() -> None:
    some = tuple(replace(POINT, world=(9.0 * k, 0.0, 0.0), existence=p) for k, p in enumerate((0.9, 0.6, 0.5)))
    reviewing = replace(OPEN, tab="Review", candidates=some)
    open_ones = "With the model's open candidates:"
    assert resolve(reviewing).lesions_text == f"Lesions marked: 0. {open_ones} 2.0 expected, 1 to 3 with 90 %."
    marked = replace(reviewing, points=some[:1])
    assert resolve(marked).lesions_text == f"Lesions marked: 1. {open_ones} 2.1 expected, 1 to 3 with 90 %."
    judged = replace(marked, candidates=(*some[:1], *(replace(c, verdict=Verdict.REJECTED) for c in some[1:])))
    finished = "Lesions marked: 1. No candidate is open; what the model missed is not counted."
    assert resolve(judged).lesions_text == finished
    assert resolve(replace(judged, tab="Predict")).lesions_text == resolve(OPEN).lesions_text == ""


def test_a_segmentation_is_learned_from_the_masks_that_are_not_left_out() -> None:
    assert not resolve(OPEN).can_learn_masks
    painted = replace(OPEN, painted=(PaintedMask("sub-01", 2, 0.25), PaintedMask("sub-03", 1, 0.0049)))
    screen = resolve(painted)
    assert [(r.case, r.text, r.checked) for r in screen.mask_rows] == [
        ("sub-01", "2 lesions, 0.250 ml", True), ("sub-03", "1 lesion, 0.005 ml", True),
    ]  # fmt: skip
    assert screen.can_learn_masks
    fewer = resolve(replace(painted, unused_masks=frozenset({"sub-01"})))
    assert fewer.mask_cases == ("sub-03",)
    assert not resolve(replace(painted, unused_masks=frozenset({"sub-01", "sub-03"}))).can_learn_masks
    assert not resolve(replace(painted, job=JobState("train", running=True))).can_learn_masks


def test_a_prediction_lets_nobody_change_the_scale_of_existence() -> None:
    running = {kind: resolve(replace(OPEN, job=JobState(kind, running=True))) for kind in ("train", "predict")}
    assert [screen.can_calibrate for screen in running.values()] == [True, False]
    assert resolve(replace(OPEN, job=JobState("predict", outcome="returned"))).can_calibrate


def test_the_total_volume_is_that_of_all_lesions() -> None:
    lesions = (LesionVolume(1, 30, 0.03, (0, 0, 0)), LesionVolume(2, 12, 0.012, (9, 0, 0)))
    assert resolve(replace(OPEN, lesions=lesions)).volumes_text == "2 lesions, 0.042 ml in all"
    assert not resolve(OPEN).can_segment


def test_training_goes_on_from_the_newest_model_that_takes_the_case() -> None:
    starter = describe_model(Path("starter"))
    own = replace(starter, path=Path("/study/models/own"), sequences=("T1w", "PD"), network={})
    masks = replace(own, path=Path("/study/models/masks"), label="segmentation")
    models = (masks, own, starter)
    assert resolve(State(models=models, sequences=("FLAIR", "T1w"))).start_from == str(starter.path)  # no PD
    assert resolve(State(models=models, sequences=("FLAIR", "T1w", "PD"))).start_from == str(own.path)
    assert resolve(State(models=models, sequences=("CT",))).start_from == ""
    assert resolve(State(models=(masks, own), sequences=("FLAIR",))).start_from == ""
