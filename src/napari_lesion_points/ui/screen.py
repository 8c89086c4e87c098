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
from napari_lesion_points.ui.translation import _, ngettext
from napari_lesion_points.ui.words import duration, remaining, seconds_at_pace
from napari_lesion_points.ui.worklist import Way, listed, neighbours, next_case, ordered, progress

if TYPE_CHECKING:
    from napari_lesion_points.store.study import CaseSummary
    from napari_lesion_points.workflow.agreement import AgreementRow
    from napari_lesion_points.workflow.consensus import Difference

#: How a job ended, without a reason and with one.
_ENDS = {
    "returned": (_("Finished"), _("Finished: {reason}")),
    "failed": (_("Failed"), _("Failed: {reason}")),
    "stopped": (_("Stopped"), _("Stopped: {reason}")),
}


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
    can_calibrate: bool
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
        can_calibrate=not (state.job.running and state.job.kind == "predict"),
        shown_candidates=_("{count} of {total} shown").format(count=above, total=len(state.candidates))
        if state.candidates
        else _("no candidates in this case"),
        review_progress=_review_progress(state, left, to_review, unsure),
        reviewed=to_review - left,
        to_review=to_review,
        current=current,
        review_text=_review_text(state, current, unsure),
        lesions_text=_lesions_text(state) if state.tab == "Review" and ready else "",
        can_judge=current is not None and ready and current.case == state.shown and current.id == state.in_view,
        job_text=_job_text(state.job),
        readers=tuple(name for name in state.readings if name != CONSENSUS),
        agreement_rows=tuple(_agreement_row(row) for row in state.agreement),
        difference=at_hand,
        difference_title=_difference_title(state, at_hand),
        difference_text=_difference_text(state, at_hand),
        settled=sum(difference.settled for difference in state.differences),
        can_settle=at_hand is not None
        and ready
        and at_hand.points[0].case == state.shown
        and at_hand.points[0].id == state.in_view,
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
        return _("No study open")
    name = state.root.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    done = sum(s.state is CaseState.DONE for s in state.cases)
    counts = _("{cases}, {count} done").format(cases=_cases(len(state.cases)), count=done)
    whose = {SHARED: "", "": "", CONSENSUS: _("consensus"), state.reader: _("blind")}
    return " · ".join(part for part in (name, counts, whose.get(state.reading, state.reading)) if part)


def _hint(state: State, ready: bool) -> str:
    if not state.root:
        return _("Open a study to begin: a BIDS dataset, a folder with one sub-folder per case, or image files.")
    if state.loading or not ready:
        return _("Reading {case} …").format(case=state.wanted) if state.wanted else _("Choose a case.")
    if state.tab == "Review":
        return _("A accepts, R rejects, U puts aside; ? shows all keys. Every verdict is stored at once.")
    if not state.points:
        return _("Click the centre of each lesion. None in this case? Press “No lesions”.")
    return _("Click adds, drag moves, Delete removes the selected point. Every edit is stored at once.")


def _train_text(summary: CaseSummary) -> str:
    if not summary.annotations:
        return _("no lesions")
    points = _points(summary.annotations)
    return points if summary.state is CaseState.DONE else _("{points}, in progress").format(points=points)


def _train_summary(chosen: list[CaseSummary]) -> str:
    if not chosen:
        return _("No case to train on: click lesions in a case, or mark one as having none.")
    cases, points = _cases(len(chosen)), _points(sum(s.annotations for s in chosen))
    if empty := sum(not s.annotations for s in chosen):
        text = _("{cases}, {points} ({count} without lesions)").format(cases=cases, points=points, count=empty)
    else:
        text = _("{cases}, {points}").format(cases=cases, points=points)
    if unfinished := sum(s.state is not CaseState.DONE for s in chosen):
        more = _("{summary}. {count} in progress: “Done” will say that the rest of it is healthy.")
        text = more.format(summary=text, count=unfinished)
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
        return _("none is unsure") if state.asking is Verdict.UNSURE else _("nothing to review")
    if state.asking is Verdict.UNSURE:
        return _("{count} of {total} unsure left").format(count=left, total=to_review)
    parts = [_("{count} of {total} left").format(count=left, total=to_review)]
    if unsure:
        parts.append(_("{count} unsure").format(count=unsure))
    if pace := duration(seconds_at_pace(state.verdicts_s, left)):
        parts.append(pace)
    return ", ".join(parts)


def _review_text(state: State, current: LesionPoint | None, unsure: int) -> str:
    if current is not None:
        return state.gesture.words(current) if state.placing else ""
    if state.asking is Verdict.UNSURE:
        return _("These were the unsure ones. Shift+U goes back to the candidates without a verdict.")
    if not state.queue:
        said = _("No unreviewed candidate. Predict first, or lower the existence slider.")
    elif skipped := sum(point.verdict is Verdict.NONE for point in state.queue):
        said = _("{count} skipped, without a verdict: ↻ asks again, B goes back.").format(count=skipped)
    else:
        said = _("All reviewed. The next fine-tuning will use what you accepted and moved.")
    aside = _("{count} put aside as unsure: Shift+U asks again.").format(count=unsure)
    return f"{said} {aside}" if unsure else said


def _lesions_text(state: State) -> str:
    """How many lesions are marked, and how many there are with the candidates that are open: every verdict tells more.

    Examples
    --------
    >>> some = [LesionPoint("sub-01", (9.0 * k, 0, 0), existence=p) for k, p in enumerate((0.9, 0.6, 0.5))]
    >>> _lesions_text(State(points=tuple(some[:1]), candidates=tuple(some)))
    "Lesions marked: 1. With the model's open candidates: 2.1 expected, 1 to 3 with 90 %."
    """
    from napari_lesion_points.core.counts import lesion_count
    from napari_lesion_points.core.matching import SAME_LESION_MM, match_points

    if not state.candidates:
        return ""
    waiting = [c for c in state.candidates if not c.verdict.decided]
    near = match_points([c.world for c in waiting], [p.world for p in state.points], SAME_LESION_MM).pairs[:, 0]
    existence, marked = [c.existence for i, c in enumerate(waiting) if i not in near], len(state.points)
    if not existence:
        text = _("Lesions marked: {marked}. No candidate is open; what the model missed is not counted.")
        return text.format(marked=marked)
    more = lesion_count(existence)
    text = _(
        "Lesions marked: {marked}. "
        "With the model's open candidates: {expected:.1f} expected, {low} to {high} with 90 %."
    )
    low, high = marked + more.low, marked + more.high
    return text.format(marked=marked, expected=marked + more.expected, low=low, high=high)


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
        return _("All settled") if state.differences else _("No differences")
    place = _("{number} of {total}").format(number=state.difference_at + 1, total=len(state.differences))
    return f"{difference.points[0].case} · {place}"


def _difference_text(state: State, difference: Difference | None) -> str:
    """Say what two readers differ in."""
    if difference is None:
        return (
            _("Mark the cases as done; training can learn from the consensus.")
            if state.differences
            else _("Choose two readers: what both found becomes the consensus, and you settle the rest.")
        )
    one, other = state.compared
    if difference.first and difference.second:
        apart = math.dist(difference.first.world, difference.second.world)
        text = _("{first} and {second} put this lesion {distance:.1f} mm apart.")
        text = text.format(first=one, second=other, distance=apart)
    else:
        has, lacks = (one, other) if difference.first else (other, one)
        text = _("{first} has a lesion here, {second} has none.").format(first=has, second=lacks)
    return f"{text} {_settled_text(state, difference)}" if difference.settled else text


def _settled_text(state: State, difference: Difference) -> str:
    """Say whose points were kept."""
    points = zip(state.compared, (difference.first, difference.second), strict=True)
    match [name for name, point in points if point and point.verdict == "accepted"]:
        case [first, second]:
            return _("Settled: {first} and {second} kept.").format(first=first, second=second)
        case [reader]:
            return _("Settled: {reader} kept.").format(reader=reader)
    return _("Settled: none kept.")


def _painted_text(mask: PaintedMask) -> str:
    return _("{lesions}, {volume:.3f} ml").format(lesions=_lesions(mask.lesions), volume=mask.volume_ml)


def _volumes_text(state: State) -> str:
    """How much lesion a segmentation drew in the open case.

    Examples
    --------
    >>> _volumes_text(State()), _volumes_text(State(lesions=()))
    ('Not segmented yet.', 'No lesion found.')
    """
    if state.lesions is None:
        return _("Not segmented yet.")
    if not state.lesions:
        return _("No lesion found.")
    total_ml = sum(one.volume_ml for one in state.lesions)
    return _("{lesions}, {volume:.3f} ml in all").format(lesions=_lesions(len(state.lesions)), volume=total_ml)


def _job_text(job: JobState) -> str:
    if job.running:
        parts = [job.message or job.title, _("stopping …") if job.stopping else remaining(job.remaining_s)]
        return " · ".join(part for part in parts if part)
    return _ENDS[job.outcome][bool(job.reason)].format(reason=job.reason) if job.outcome else ""


def _cases(number: int) -> str:
    return ngettext("{count} case", "{count} cases", number).format(count=number)


def _points(number: int) -> str:
    return ngettext("{count} point", "{count} points", number).format(count=number)


def _lesions(number: int) -> str:
    return ngettext("{count} lesion", "{count} lesions", number).format(count=number)
