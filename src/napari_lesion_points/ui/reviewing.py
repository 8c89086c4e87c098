"""The review desk: candidates one after the other, most uncertain first, and the reader's verdicts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_lesion_points.core.records import Change, LesionPoint, Order, Verdict
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui import layers
from napari_lesion_points.ui.editing import FLAT_ONLY

if TYPE_CHECKING:
    from napari import Viewer

    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.screen import Screen

#: A press and release farther apart than this (pixels) pans the view and places nothing.
_CLICK_PIXELS = 5.0

#: The queue follows the existence slider when it has rested for this long (ms).
_SETTLE_MS = 250

#: The newest verdicts tell the pace.
_PACE_OF = 20

_WORDS = {Verdict.ACCEPTED: "Accepted", Verdict.REJECTED: "Rejected", Verdict.MOVED: "Moved"}


class ReviewDesk:
    """Walks through the queue of candidates of one viewer's session."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._approached = ""
        self._fetched = ""  # the candidate whose case was asked for, once: it may be unreadable
        self._case = ""  # whose queue it is, unless it is that of all cases
        self._settle = QTimer()
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self.rebuild)
        controller.changed.connect(self._on_changed)
        controller.walked.connect(self._on_walked)
        controller.viewer.mouse_drag_callbacks.append(self._place)

    def close(self) -> None:
        """Stop listening to the viewer."""
        self._settle.stop()
        if self._place in self._controller.viewer.mouse_drag_callbacks:
            self._controller.viewer.mouse_drag_callbacks.remove(self._place)

    @property
    def current(self) -> LesionPoint | None:
        """The candidate under review."""
        return self._controller.screen.current

    def start(self, all_cases: bool) -> None:
        """Make the queue for the case on screen, or for all, and go to its first candidate."""
        from napari_lesion_points.workflow.review import review_queue

        study, state = self._controller.study, self._controller.state
        if study is None:
            return
        cases = None if all_cases else (state.wanted,)
        try:
            queue = review_queue(study, cases, state.threshold, state.queue_order)
            scope = study.candidates(None if all_cases else state.wanted)
        except LesionPointsError as error:
            self._controller.say(str(error), "error")
            return
        self._case = state.wanted
        before = sum(p.verdict is not Verdict.NONE and p.existence >= state.threshold for p in scope)
        self._approached = self._fetched = ""
        self._controller.update(queue=queue, at=0, queue_before=before, queue_all_cases=all_cases, placing=False)

    def set_order(self, order: Order) -> None:
        """Make the queue again in another order."""
        self._controller.update(queue_order=order)
        self.rebuild()

    def rebuild(self) -> None:
        """Make the queue again with the same scope."""
        self.start(self._controller.state.queue_all_cases)

    def renew(self, case: str) -> None:
        """Make the queue again after a prediction of `case`; a candidate under review that is still there stays."""
        state = self._controller.state
        if state.queue_all_cases or case == self._case:
            current, placing, approached = self.current, state.placing, self._approached
            self.rebuild()
            ids = [p.id for p in self._controller.state.queue]
            if current is not None and current.id in ids:
                self._approached = approached
                self._controller.update(at=ids.index(current.id), placing=placing)

    def ensure_valid(self) -> None:
        """Make the queue again unless all that waits in it still is a newest candidate of the study."""
        study, state = self._controller.study, self._controller.state
        if study is None:
            return
        try:
            newest = {p.id for p in study.candidates()}
        except LesionPointsError as error:
            self._controller.say(str(error), "error")
            return
        waiting = {p.id for p in state.queue if p.verdict is Verdict.NONE}
        if not state.queue or not waiting <= newest:
            self.rebuild()

    def threshold_changed(self) -> None:
        """Let the queue follow the existence slider once it rests."""
        self._settle.start()

    def accept(self) -> None:
        """Accept the candidate: it becomes an annotation."""
        self._judge(Verdict.ACCEPTED)

    def reject(self) -> None:
        """Reject the candidate."""
        self._judge(Verdict.REJECTED)

    def skip(self) -> None:
        """Go on without a verdict."""
        self._go(self._controller.state.at + 1)

    def back(self) -> None:
        """Go back to the candidate before."""
        self._go(self._controller.state.at - 1)

    def toggle_placing(self) -> None:
        """Let the next click place the candidate, or not after all."""
        if self._controller.screen.can_judge:
            self._controller.update(placing=not self._controller.state.placing)

    def stop_placing(self) -> None:
        """Let clicks be clicks again."""
        if self._controller.state.placing:
            self._controller.update(placing=False)

    def _go(self, at: int) -> None:
        self._approached = self._fetched = ""
        at = min(max(at, 0), len(self._controller.state.queue))
        self._controller.update(at=at, placing=False)

    def _judge(self, verdict: Verdict, world: tuple[float, float, float] | None = None) -> None:
        from napari_lesion_points.workflow.review import verdict_change

        controller, candidate = self._controller, self.current
        if candidate is None or controller.study is None or not controller.screen.can_judge:
            return
        try:
            change = verdict_change(controller.study, candidate, verdict, world)
        except LesionPointsError as error:
            controller.say(f"Not stored: {error}", "error")
            return
        if controller.store(change, f"{_WORDS[verdict]}, stored (existence {candidate.existence:.2f})."):
            self._note(change)
            controller.update(verdicts_s=(*controller.state.verdicts_s, time.monotonic())[-_PACE_OF:])
            self._go(controller.state.at + 1)

    def _note(self, change: Change) -> int | None:
        """Write new verdicts into the queue; index of the first that changed."""
        queue = list(self._controller.state.queue)
        first = None
        for index, candidate in enumerate(queue):
            if candidate.id in change.candidates:
                queue[index] = change.candidates[candidate.id][1]
                first = index if first is None else first
        if first is not None:
            self._controller.update(queue=tuple(queue))
        return first

    def _on_walked(self, change: Change) -> None:
        """After undo or redo of a verdict, go back to the candidate it was about."""
        index = self._note(change)
        if index is not None:
            self._go(index)

    def _on_changed(self, screen: Screen) -> None:
        """Bring the candidate under review on screen, once: its case first, then the place."""
        if screen.state.tab != "Review":
            return
        if not screen.state.queue_all_cases and screen.state.wanted not in ("", self._case):
            self.start(all_cases=False)  # another case was chosen: its queue is wanted now
            return
        current = screen.current
        if current is None or current.id == self._approached:
            return
        if current.case != screen.state.wanted:
            if current.id != self._fetched:
                self._fetched = current.id
                self._controller.select_case(current.case)
        elif screen.case_ready and not screen.state.loading:
            self._approached = current.id
            QTimer.singleShot(0, self._approach)  # what has changed already is drawn first: no long stretch of work

    def _approach(self) -> None:
        """Show the place of the candidate under review, when it still is, and select it."""
        controller, current = self._controller, self.current
        if controller.closed or current is None or current.id != self._approached or not controller.screen.can_judge:
            return
        controller.jump(current.world, close_up=True)
        layer = controller.scene.candidates
        if layer is not None:
            layer.selected_data = {i for i, p in enumerate(controller.state.candidates) if p.id == current.id}

    def _place(self, viewer: Viewer, event: Any) -> Iterator[None]:
        """While placing, a click is the new centre of the candidate under review."""
        if not self._controller.state.placing or self._controller.shown is None:
            return
        pressed = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.linalg.norm(np.array(event.pos) - pressed) > _CLICK_PIXELS or not self._controller.state.placing:
            return
        if viewer.dims.ndisplay == 3:
            self._controller.say(FLAT_ONLY, "warning")
            return
        shown = self._controller.shown
        world = layers.clicked(shown, event.position)
        if not shown.grid.contains([world])[0]:
            self._controller.say("That is outside of the image. Click inside it, or press Esc.", "warning")
            return
        self._judge(Verdict.MOVED, world)
