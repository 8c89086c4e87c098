"""What the dock shows: `resolve(state) -> Screen`, all of it in words.

Nothing here touches Qt, napari or files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from napari_lesion_points.core.records import CONSENSUS, SHARED, CaseState, LesionPoint, Verdict
from napari_lesion_points.ui.session import JobState, PaintedMask, State
from napari_lesion_points.ui.words import at_pace, remaining
from napari_lesion_points.ui.worklist import Way, listed, neighbours, next_case, ordered, progress

if TYPE_CHECKING:
    from napari_lesion_points.store.study import CaseSummary
    from napari_lesion_points.workflow.agreement import AgreementRow
    from napari_lesion_points.workflow.consensus import Difference


@dataclass(frozen=True)
class TrainRow:
    """One row of the list of training cases."""

    case: str
    text: str
    checked: bool


@dataclass(frozen=True)
class Screen:
    """What the dock shows, ready to draw."""

    state: State
    study_title: str
    case_rows: tuple[CaseSummary, ...]
    case_row: int
    previous_case: str
    next_case: str
    case_ready: bool
    can_finish: bool
    can_finish_empty: bool
    can_reopen: bool
    hint: str
    train_rows: tuple[TrainRow, ...]
    train_cases: tuple[str, ...]
    train_summary: str
    can_train: bool
    start_from: str
    can_predict: bool
    shown_candidates: str
    review_progress: str
    reviewed: int
    to_review: int
    current: LesionPoint | None
    review_text: str
    lesions_text: str
    can_judge: bool
    job_text: str
    readers: tuple[str, ...]
    agreement_rows: tuple[tuple[str, ...], ...]
    difference: Difference | None
    difference_title: str
    difference_text: str
    settled: int
    can_settle: bool
    mask_rows: tuple[TrainRow, ...]
    mask_cases: tuple[str, ...]
    can_learn_masks: bool
    segmenter: str
    can_segment: bool
    volumes_text: str
    unsure: int
    listing: bool
    study_progress: str
    note: str


def resolve(state: State) -> Screen:
    """Work out what the dock shows.

    Examples
    --------
    >>> resolve(State()).hint
    'Open a study to begin: a BIDS dataset, a folder with one sub-folder per case, or image files.'
    """
    order = ordered(state.cases, state.choice)
    rows = listed(order, state.choice)
    before, after = neighbours(order, rows, state.wanted)
    summary = next((s for s in state.cases if s.case == state.wanted), None)
    ready = bool(state.shown) and state.shown == state.wanted
    trainable = [s for s in state.cases if s.annotations or s.state is CaseState.DONE]
    chosen = tuple(s.case for s in trainable if s.case not in state.unchecked)
    current = state.queue[state.at] if 0 <= state.at < len(state.queue) else None
    to_review = state.queue_before + len(state.queue)
    left = sum(p.verdict is state.asking for p in state.queue)
    unsure = sum(p.verdict is Verdict.UNSURE and p.existence >= state.threshold for p in state.proposed)
    segmenter = next((str(card.path) for card in state.models if card.label == "segmentation"), "")
    above = sum(p.existence >= state.threshold for p in state.candidates)
    at_hand = state.differences[state.difference_at] if 0 <= state.difference_at < len(state.differences) else None
    return Screen(
        state=state,
        study_title=_study_title(state),
        case_rows=rows,
        case_row=next((k for k, s in enumerate(rows) if s.case == state.wanted), -1),
        previous_case=before,
        next_case=after,
        case_ready=ready,
        can_finish=ready and summary is not None and summary.annotations > 0 and summary.state is not CaseState.DONE,
        can_finish_empty=ready
        and summary is not None
        and summary.annotations == 0
        and summary.state is not CaseState.DONE,
        can_reopen=ready and summary is not None and summary.state is CaseState.DONE,
        hint=_hint(state, ready),
        train_rows=tuple(TrainRow(s.case, _train_text(s), s.case in chosen) for s in trainable),
        train_cases=chosen,
        train_summary=_train_summary([s for s in trainable if s.case in chosen]),
        can_train=bool(chosen) and not state.job.running,
        start_from=_start_from(state),
        can_predict=bool(state.model) and bool(state.cases) and not state.job.running,
        shown_candidates=f"{above} of {len(state.candidates)} shown"
        if state.candidates
        else "no candidates in this case",
        review_progress=_review_progress(state, left, to_review, unsure),
        reviewed=to_review - left,
        to_review=to_review,
        current=current,
        review_text=_review_text(state, current, unsure),
        lesions_text=_lesions_text(state) if state.tab == "Review" and ready else "",
        can_judge=current is not None and ready and current.case == state.shown,
        job_text=_job_text(state.job),
        readers=tuple(name for name in state.readings if name != CONSENSUS),
        agreement_rows=tuple(_agreement_row(row) for row in state.agreement),
        difference=at_hand,
        difference_title=_difference_title(state, at_hand),
        difference_text=_difference_text(state, at_hand),
        settled=sum(difference.settled for difference in state.differences),
        can_settle=at_hand is not None and ready and at_hand.points[0].case == state.shown,
        mask_rows=tuple(TrainRow(m.case, _painted_text(m), m.case not in state.unused_masks) for m in state.painted),
        mask_cases=tuple(m.case for m in state.painted if m.case not in state.unused_masks),
        can_learn_masks=any(m.case not in state.unused_masks for m in state.painted) and not state.job.running,
        segmenter=segmenter,
        can_segment=ready and bool(segmenter) and not state.job.running,
        volumes_text=_volumes_text(state),
        unsure=unsure,
        listing=state.listing and state.tab == "Review",
        study_progress=progress(state.cases, state.finished_s),
        note=summary.note if summary is not None else "",
    )


def following_case(screen: Screen) -> str:
    """Return the case that the reader goes on to, if they do so as they did last; "" for none."""
    state = screen.state
    if state.way is Way.LIST:
        return screen.next_case
    return next_case(state.cases, state.way, PurePath(state.root).name, state.visited, state.wanted)


def position(point: LesionPoint) -> str:
    """World position of a point with the body's sides, in mm.

    Examples
    --------
    >>> position(LesionPoint("sub-01", (-12.34, 5.0, -7.7)))
    'L 12.3  A 5.0  I 7.7'
    """
    letters = (("R", "L"), ("A", "P"), ("S", "I"))
    return "  ".join(f"{pair[c < 0]} {abs(c):.1f}" for pair, c in zip(letters, point.world, strict=True))


def _study_title(state: State) -> str:
    if not state.root:
        return "No study open"
    name = state.root.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    done = sum(s.state is CaseState.DONE for s in state.cases)
    whose = {SHARED: "", "": "", CONSENSUS: " · consensus", state.reader: " · blind"}
    return f"{name} · {_count(len(state.cases), 'case')}, {done} done" + whose.get(state.reading, f" · {state.reading}")


def _hint(state: State, ready: bool) -> str:
    if not state.root:
        return "Open a study to begin: a BIDS dataset, a folder with one sub-folder per case, or image files."
    if state.loading or not ready:
        return f"Reading {state.wanted} …" if state.wanted else "Choose a case."
    if state.tab == "Review":
        return "A accepts, R rejects, U puts aside; ? shows all keys. Every verdict is stored at once."
    if not state.points:
        return "Click the centre of each lesion. None in this case? Press “No lesions”."
    return "Click adds, drag moves, Delete removes the selected point. Every edit is stored at once."


def _train_text(summary: CaseSummary) -> str:
    if not summary.annotations:
        return "no lesions"
    return _count(summary.annotations, "point") + ("" if summary.state is CaseState.DONE else ", in progress")


def _train_summary(chosen: list[CaseSummary]) -> str:
    if not chosen:
        return "No case to train on: click lesions in a case, or mark one as having none."
    points = sum(s.annotations for s in chosen)
    text = f"{_count(len(chosen), 'case')}, {_count(points, 'point')}"
    if empty := sum(not s.annotations for s in chosen):
        text += f" ({empty} without lesions)"
    if unfinished := sum(s.state is not CaseState.DONE for s in chosen):
        text += f". {unfinished} in progress: “Done” will say that the rest of it is healthy."
    return text


def _start_from(state: State) -> str:
    """Return the model to go on from unless the user says otherwise: the newest one that takes the open case, or none.

    The starter is the last of them. A few clicks teach it far more than they teach a network that begins with nothing.
    """
    usable = (card for card in state.models if card.label != "segmentation" and card.takes(state.sequences))
    return next((str(card.path) for card in usable), "")


def _review_progress(state: State, left: int, to_review: int, unsure: int) -> str:
    """How many are left, and for how long at the pace of the newest verdicts (their median, so breaks do not count).

    Examples
    --------
    >>> _review_progress(State(verdicts_s=(0.0, 4.0, 8.0, 308.0)), 12, 37, 3)
    '12 of 37 left, 3 unsure, about 48 s'
    >>> _review_progress(State(asking=Verdict.UNSURE), 2, 3, 2)
    '2 of 3 unsure left'
    """
    if not to_review:
        return "none is unsure" if state.asking is Verdict.UNSURE else "nothing to review"
    if state.asking is Verdict.UNSURE:
        return f"{left} of {to_review} unsure left"
    parts = [f"{left} of {to_review} left"] + ([f"{unsure} unsure"] if unsure else [])
    if pace := at_pace(state.verdicts_s, left).removesuffix(" left"):
        parts.append(pace)
    return ", ".join(parts)


def _review_text(state: State, current: LesionPoint | None, unsure: int) -> str:
    if current is not None:
        return state.gesture.words(current) if state.placing else ""
    if state.asking is Verdict.UNSURE:
        return "These were the unsure ones. Shift+U goes back to the candidates without a verdict."
    aside = f" {unsure} put aside as unsure: Shift+U asks again." if unsure else ""
    if not state.queue:
        return f"No unreviewed candidate. Predict first, or lower the existence slider.{aside}"
    if skipped := sum(point.verdict is Verdict.NONE for point in state.queue):
        return f"{skipped} skipped, without a verdict: ↻ asks again, B goes back.{aside}"
    return f"All reviewed. The next fine-tuning will use what you accepted and moved.{aside}"


def _lesions_text(state: State) -> str:
    """How many lesions the open case has, as far as points and candidates tell; every verdict narrows it.

    Examples
    --------
    >>> some = [LesionPoint("sub-01", (9.0 * k, 0, 0), existence=p) for k, p in enumerate((0.9, 0.6, 0.5))]
    >>> _lesions_text(State(points=tuple(some[:1]), candidates=tuple(some)))
    'Lesions in this case: 1 marked; 2.1 expected, 1 to 3 with 90 %'
    """
    from napari_lesion_points.core.counts import lesion_count
    from napari_lesion_points.core.matching import SAME_LESION_MM, match_points

    if not state.candidates:
        return ""
    waiting = [c for c in state.candidates if not c.verdict.decided]
    near = match_points([c.world for c in waiting], [p.world for p in state.points], SAME_LESION_MM).pairs[:, 0]
    open_ones = lesion_count([c.existence for i, c in enumerate(waiting) if i not in near])
    marked = len(state.points)
    low, high = marked + open_ones.low, marked + open_ones.high
    return (
        f"Lesions in this case: {marked} marked; {marked + open_ones.expected:.1f} expected, {low} to {high} with 90 %"
    )


def _agreement_row(row: AgreementRow) -> tuple[str, ...]:
    """Return the cells of a comparison: case, readers, F1, counts, distance, kappa."""
    points = row.points
    counts = f"{points.matched} / {points.only_first} / {points.only_second}" if points else "–"
    distance = f"{points.mean_distance_mm:.1f}" if points and points.matched else "–"
    return (
        row.case if row.finished else f"◐ {row.case}",
        ", ".join(row.readers),
        f"{points.f1:.2f}" if points else "–",
        counts,
        distance,
        f"{row.kappa:.2f} ({row.candidates})" if row.kappa == row.kappa else f"– ({row.candidates})",
    )


def _difference_title(state: State, difference: Difference | None) -> str:
    if difference is None:
        return "All settled" if state.differences else "No differences"
    return f"{difference.points[0].case} · {state.difference_at + 1} of {len(state.differences)}"


def _difference_text(state: State, difference: Difference | None) -> str:
    """Say what two readers differ in."""
    if difference is None:
        return (
            "Mark the cases as done; training can learn from the consensus."
            if state.differences
            else "Choose two readers: what both found becomes the consensus, and you settle the rest."
        )
    one, other = state.compared
    if difference.first and difference.second:
        apart = math.dist(difference.first.world, difference.second.world)
        text = f"{one} and {other} put this lesion {apart:.1f} mm apart."
    else:
        has, lacks = (one, other) if difference.first else (other, one)
        text = f"{has} has a lesion here, {lacks} has none."
    kept = [name for name, p in ((one, difference.first), (other, difference.second)) if p and p.verdict == "accepted"]
    return text + (f" Settled: {' and '.join(kept) or 'none'} kept." if difference.settled else "")


def _painted_text(mask: PaintedMask) -> str:
    return f"{_count(mask.lesions, 'lesion')}, {mask.volume_ml:.3f} ml"


def _volumes_text(state: State) -> str:
    """How much lesion a segmentation drew in the open case.

    Examples
    --------
    >>> _volumes_text(State()), _volumes_text(State(lesions=()))
    ('Not segmented yet.', 'No lesion found.')
    """
    if state.lesions is None:
        return "Not segmented yet."
    if not state.lesions:
        return "No lesion found."
    total_ml = sum(one.volume_ml for one in state.lesions)
    return f"{_count(len(state.lesions), 'lesion')}, {total_ml:.3f} ml in all"


def _job_text(job: JobState) -> str:
    if job.running:
        parts = [job.message or job.title, "stopping …" if job.stopping else remaining(job.remaining_s)]
        return " · ".join(part for part in parts if part)
    words = {"returned": "Finished", "failed": "Failed", "stopped": "Stopped"}
    if job.outcome:
        return f"{words[job.outcome]}: {job.reason}" if job.reason else words[job.outcome]
    return ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
