"""The review desk: candidates one after the other, most uncertain first, and the reader's verdicts."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_lesion_points.core.records import Change, LesionPoint, Order, Place, Verdict
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui.approach import Approach
from napari_lesion_points.ui.review_clicks import ReviewClicks
from napari_lesion_points.ui.session import Notice
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.screen import Screen
    from napari_lesion_points.ui.worker import Task

    Points = tuple[LesionPoint, ...]

#: The queue follows the existence slider when it has rested for this long (ms).
_SETTLE_MS = 250

#: The newest verdicts tell the pace.
_PACE_OF = 20

_READING = _("Reading the candidates of all cases …")
_STORED = {
    Verdict.ACCEPTED: _("Accepted, stored (existence {existence:.2f})."),
    Verdict.REJECTED: _("Rejected, stored (existence {existence:.2f})."),
    Verdict.UNSURE: _("Put aside as unsure, stored (existence {existence:.2f})."),
}


class ReviewDesk:
    """Walks through the queue of candidates of one viewer's session.

    Attributes
    ----------
    clicks : ReviewClicks
        What is done to a candidate with the mouse: move, split and merge it.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._approach = Approach(controller, lambda: self.current, self._show)
        self._study: Study | None = None  # what the queue was made of, if that could be read
        self._case = ""  # and whose it is, unless it is that of all cases
        self._threshold: float | None = None  # existence, from which on candidates are in it
        self._reading: Task | None = None  # all cases' candidates
        self._since: list[Change] = []  # verdicts given since that began
        self._settle = QTimer()
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self.rebuild)
        controller.changed.connect(self._on_changed)
        controller.walked.connect(self._on_walked)
        controller.overtaken.connect(self.renew)
        self.clicks = ReviewClicks(controller, self.carry_out, self.go_to)

    def close(self) -> None:
        """Stop listening to the viewer."""
        self._settle.stop()
        self._forget()
        self.clicks.close()

    @property
    def current(self) -> LesionPoint | None:
        """The candidate under review."""
        return self._controller.screen.current

    @property
    def reading(self) -> bool:
        """Whether the candidates of all cases are being read."""
        return self._reading is not None

    def start(self, all_cases: bool, *, stay: bool = False, place: Place | None = None) -> None:
        """Make the queue for the case on screen, or for all (in a worker), and go to its first candidate.

        With `stay`, the candidate under review remains so, or the next one takes its place; with `place`, go on where
        that is.
        """
        study, state = self._controller.study, self._controller.state
        if study is None:
            return
        self._forget()
        case = state.wanted
        other = (self._study, self._case) != (study, case)
        self._study, self._case, self._threshold = study, case, state.threshold
        read = partial(_read, study, None if all_cases else case, state.threshold, state.queue_order, state.asking)

        def made(found: tuple[Points, Points]) -> None:
            self._reading = None
            if study is self._controller.study:
                self._begin(*found, all_cases, stay, place)

        def failed(why: str) -> None:
            if study is self._controller.study:
                self._controller.update(queue_all_cases=state.queue_all_cases)
            self._cannot_read(study, why)

        if all_cases:
            self._reading = self._controller.workers.start(read, returned=made, failed=failed)
            self._controller.update(queue_all_cases=True, notice=Notice(_READING))
            return
        try:
            found = read()
        except LesionPointsError as error:
            if other:
                self._controller.update(queue=(), at=0, queue_before=0, proposed=())
            self._cannot_read(study, str(error))
            return
        made(found)

    def _begin(self, queue: Points, proposed: Points, all_cases: bool, stay: bool, place: Place | None) -> None:
        controller, state, current = self._controller, self._controller.state, self.current
        for change in self._since:
            queue, proposed = _noted(queue, change), _noted(proposed, change)
        ids = [p.id for p in queue]
        at, placing, approached, in_view = 0, False, "", state.in_view
        if stay and current is not None and current.id in ids:
            at, placing, approached = ids.index(current.id), state.placing, self._approach.at
        elif stay:
            passed = {p.id for p in state.queue[: state.at]}
            at = next((k for k, name in enumerate(ids) if name not in passed), len(ids))
        elif place is not None:
            found = place.candidate in ids
            at = ids.index(place.candidate) if found else min(place.queue_position, len(ids))
            approached = in_view = place.candidate if found else ""
            self._select(approached)
        self._approach.begin(approached)
        controller.update(
            queue=queue, at=at, queue_before=self._before(queue, proposed), queue_all_cases=all_cases,
            proposed=proposed, placing=placing, in_view=in_view,
            notice=Notice() if state.notice.text == _READING else state.notice,
        )  # fmt: skip

    def _forget(self) -> None:
        if self._reading is not None:
            self._reading.forget()
        self._reading = None
        self._since.clear()

    def _cannot_read(self, study: Study, why: str) -> None:
        self._reading = None
        if study is self._controller.study:  # else it was closed meanwhile
            self._controller.say(why, "error")

    def set_order(self, order: Order) -> None:
        """Make the queue again in another order."""
        self._controller.update(queue_order=order)
        self.rebuild()

    def rebuild(self) -> None:
        """Make the queue again with the same scope."""
        self.start(self._controller.state.queue_all_cases)

    def renew(self, case: str) -> None:
        """Make the queue again after others, or a prediction, changed `case`; the place in it stays."""
        state = self._controller.state
        if state.queue_all_cases or case == self._case:
            self.start(state.queue_all_cases, stay=True)

    def ensure_valid(self) -> None:
        """Make the queue again unless all that waits in it still is a newest candidate; of all cases, in a worker.

        Also when the existence slider has been moved in another tab.
        """
        study, state = self._controller.study, self._controller.state
        if study is None:
            return
        if self._threshold != state.threshold:
            self.rebuild()
        elif self._reading is not None:
            return
        elif not state.queue:
            self.rebuild()
        elif state.queue_all_cases:
            self._reading = self._controller.workers.start(
                study.candidates, returned=partial(self._check, study), failed=partial(self._cannot_read, study)
            )
        else:
            try:
                newest = study.candidates(self._case)
            except LesionPointsError as error:
                self._cannot_read(study, str(error))
                return
            self._check(study, newest)

    def _check(self, study: Study, newest: Points) -> None:
        self._reading = None
        state, ids = self._controller.state, {p.id for p in newest}
        if study is self._controller.study and not {p.id for p in state.queue if p.verdict is state.asking} <= ids:
            self.rebuild()

    def resume(self, place: Place) -> None:
        """Make the queue of a reader who stopped in it, and go on there; the view stays on the same candidate."""
        if place.order in set(Order):
            self._controller.update(queue_order=Order(place.order))
        self.start(place.all_cases, place=place)

    def threshold_changed(self) -> None:
        """Let the queue follow the existence slider once it rests."""
        self._settle.start()

    def accept(self) -> None:
        """Accept the candidate: it becomes an annotation."""
        self._judge(Verdict.ACCEPTED)

    def reject(self) -> None:
        """Reject the candidate."""
        self._judge(Verdict.REJECTED)

    def unsure(self) -> None:
        """Put the candidate aside: neither a lesion nor none."""
        current = self.current
        if current is not None and current.verdict is Verdict.UNSURE:
            self.skip()
        else:
            self._judge(Verdict.UNSURE)

    def toggle_asking(self) -> None:
        """Ask about those that were put aside, or again about those without a verdict."""
        asking = Verdict.NONE if self._controller.state.asking is Verdict.UNSURE else Verdict.UNSURE
        self._controller.update(asking=asking)
        self.rebuild()

    def toggle_list(self) -> None:
        """Show the list of candidates, or hide it."""
        self._controller.update(listing=not self._controller.state.listing)

    def skip(self) -> None:
        """Go on without a verdict."""
        self._go(self._controller.state.at + 1)

    def back(self) -> None:
        """Go back to the candidate before."""
        self._go(self._controller.state.at - 1)

    def go_to(self, candidate: str) -> None:
        """Make a candidate of the queue's scope (an id) the one under review; one that is not in the queue joins it."""
        state = self._controller.state
        queue, ids = state.queue, [p.id for p in state.queue]
        at = ids.index(candidate) if candidate in ids else min(state.at, len(queue))
        if candidate not in ids:
            found = next((p for p in state.proposed if p.id == candidate), None)
            if found is None:
                return
            queue = (*queue[:at], found, *queue[at:])
        self._go(at, queue=queue, queue_before=self._before(queue, state.proposed))

    def _before(self, queue: Sequence[LesionPoint], proposed: Sequence[LesionPoint]) -> int:
        """How many candidates of the scope have been reviewed that are not in the queue."""
        state, queued = self._controller.state, {p.id for p in queue}
        if state.asking is Verdict.UNSURE:
            return 0
        reviewed = (p for p in proposed if p.verdict is not Verdict.NONE and p.existence >= state.threshold)
        return sum(p.id not in queued for p in reviewed)

    def _go(self, at: int, **changes: Any) -> None:
        self._approach.begin()
        length = len(changes.get("queue", self._controller.state.queue))
        self._controller.update(at=min(max(at, 0), length), placing=False, **changes)

    def _judge(self, verdict: Verdict) -> None:
        from napari_lesion_points.workflow.review import verdict_change

        controller, candidate = self._controller, self.current
        if candidate is None or controller.study is None or not controller.screen.can_judge:
            return
        try:
            change = verdict_change(controller.study, candidate, verdict)
        except LesionPointsError as error:
            controller.say(_("Not stored: {error}").format(error=error), "error")
            return
        self.carry_out(change, _STORED[verdict].format(existence=candidate.existence))

    def carry_out(self, change: Change, text: str) -> None:
        """Store what was decided about the candidate under review, and go on to the next that waits."""
        controller = self._controller
        if controller.store(change, text):
            self._note(change)
            controller.update(verdicts_s=(*controller.state.verdicts_s, time.monotonic())[-_PACE_OF:])
            state, following = controller.state, controller.state.at + 1
            rest = state.queue[following:]
            self._go(following + next((k for k, p in enumerate(rest) if p.verdict is state.asking), len(rest)))

    def _note(self, change: Change) -> None:
        """Write new verdicts into what is shown, and later into what is being read."""
        state = self._controller.state
        if self._reading is not None:
            self._since.append(change)
        if change.candidates:
            self._controller.update(queue=_noted(state.queue, change), proposed=_noted(state.proposed, change))

    def _on_walked(self, change: Change) -> None:
        """After undo or redo of a verdict, go back to the candidate that was under review then."""
        self._note(change)
        if change.candidates:
            self.go_to(next(iter(change.candidates)))

    def _on_changed(self, screen: Screen) -> None:
        """Have the queue of what is on screen, and the candidate under review in view."""
        if screen.state.tab != "Review":
            return
        made_of, wanted = (self._study, self._case), (self._controller.study, screen.state.wanted)
        if not screen.state.queue_all_cases and screen.state.wanted and wanted != made_of:
            self.start(all_cases=False)  # another case, or study, was chosen: its queue is wanted now
            return
        self._approach.go_on()

    def _show(self, candidate: LesionPoint) -> None:
        self._controller.jump(candidate.world, close_up=True)
        self._select(candidate.id)

    def _select(self, candidate: str) -> None:
        layer = self._controller.scene.candidates
        if layer is not None:
            layer.selected_data = {i for i, p in enumerate(self._controller.state.candidates) if p.id == candidate}


def _read(
    study: Study, case: str | None, threshold: float, order: Order, asking: Verdict
) -> tuple[tuple[LesionPoint, ...], tuple[LesionPoint, ...]]:
    """Return the queue of a case, or of all, and all candidates of that scope."""
    from napari_lesion_points.workflow.review import review_queue

    cases = None if case is None else (case,)
    return review_queue(study, cases, threshold, order, asking=asking), study.candidates(case)


def _noted(points: Points, change: Change) -> Points:
    """Return points as they are after a change of their verdicts."""
    return tuple(change.candidates[p.id][1] if p.id in change.candidates else p for p in points)
