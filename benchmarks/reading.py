"""A simulated reader: knows the lesions of each case, and annotates and reviews by mouse, wheel and keys alone.

By hand, a case is looked through from its first slice to its last, as by someone who does not know what is in it, and
each lesion clicked on its slice. With proposals, the newest model's candidates are judged by key, most uncertain first;
then, if the reader is to search, the case is looked through in the same way for what the model missed.

A candidate is taken for a lesion when it is matched to it within `JUDGED_MM`, one to one: it is accepted up to
`SAME_LESION_MM` away, else moved. All others are rejected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.hand import Hand, World
from napari_lesion_points.core.matching import SAME_LESION_MM, match_points
from napari_lesion_points.workflow.models import STARTER

if TYPE_CHECKING:
    from numpy.random import Generator

#: As the tolerance of a match is by default.
JUDGED_MM = 6.0

#: The queue follows the existence slider within this time (ms).
QUEUE_MS = 500


class Reader:
    """Reads cases with a hand on the window.

    Parameters
    ----------
    hand : Hand
        On a window with the study open.
    truth : mapping of str to sequence of (x, y, z)
        Centres of the lesions of each case, world mm.
    jitter_mm : float
        Standard deviation of a click's error along each axis in the plane of the slice.
    random : Generator
        Draws these errors.

    Attributes
    ----------
    verdicts : dict of str to int
        How many candidates were "accepted", "moved", "rejected", and how many lesions "placed" by hand.
    """

    def __init__(self, hand: Hand, truth: Mapping[str, Sequence[World]], jitter_mm: float, random: Generator) -> None:
        self.verdicts = dict.fromkeys(("accepted", "moved", "rejected", "placed"), 0)
        self._hand = hand
        self._truth = truth
        self._jitter_mm = jitter_mm
        self._random = random

    def by_hand(self, case: str) -> None:
        """Annotate a case and mark it as done."""
        self._go_to(case)
        self.search(self._truth[case])
        self._finish()

    def with_proposals(self, case: str, searches: bool, existence: float = 0.1) -> None:
        """Let the newest model propose lesions, judge all that reach an existence, mark the case as done.

        If the reader `searches`, the case is looked through before that for what is missing.
        """
        hand = self._hand
        self._go_to(case)
        hand.tab("Annotate")
        hand.press(hand.window.dock.annotate.propose)
        hand.until(lambda: not hand.controller.state.job.running, "the proposals", 600.0)
        if hand.controller.state.job.outcome != "returned":
            raise RuntimeError(hand.controller.state.job.reason)
        hand.until(lambda: hand.controller.state.tab == "Review", "the review")
        hand.write(hand.window.dock.review.existence.number, existence)
        hand.until(lambda: hand.controller.state.threshold == existence, "the existence slider")
        hand.rest(QUEUE_MS)
        missed = self.review(case)
        if searches:
            self.search(missed)
        self._finish()

    def review(self, case: str) -> tuple[World, ...]:
        """Judge every candidate in the queue of the Review tab; return the lesions that none of them is."""
        from qtpy.QtCore import Qt

        hand, controller = self._hand, self._hand.controller
        queue, truth = controller.state.queue, self._truth[case]
        pairs = match_points([c.world for c in queue], truth, JUDGED_MM).pairs
        lesion = {queue[i].id: truth[k] for i, k in pairs}
        for _ in queue:
            hand.until(lambda: controller.screen.can_judge, "the next candidate")
            candidate = controller.state.queue[controller.state.at]
            place = lesion.get(candidate.id)
            hand.decide()
            if place is None:
                verdict = "rejected"
                hand.key(Qt.Key.Key_R)
            elif np.linalg.norm(np.subtract(candidate.world, place)) <= SAME_LESION_MM:
                verdict = "accepted"
                hand.key(Qt.Key.Key_A)
            else:
                verdict = "moved"
                hand.key(Qt.Key.Key_M)
                hand.place(self._missing(place))
            current = controller.screen.current
            if current is not None and current.id == candidate.id:
                raise RuntimeError(f"{candidate.id} is still to be judged: {controller.state.notice.text}")
            self.verdicts[verdict] += 1
        return tuple(truth[k] for k in range(len(truth)) if k not in pairs[:, 1])

    def search(self, lesions: Sequence[World]) -> None:
        """Look through all slices of the case, and click these lesions."""
        from qtpy.QtCore import Qt

        hand, controller = self._hand, self._hand.controller
        zoomed = controller.state.tab != "Annotate"
        hand.tab("Annotate")
        if zoomed:
            hand.key(Qt.Key.Key_R, control=True)  # the whole slice again, after the close look at a candidate
        last = hand.window.viewer.dims.nsteps[hand.window.viewer.dims.order[0]] - 1
        hand.scroll(-hand.slice if hand.slice <= last / 2 else last - hand.slice)
        upwards = hand.slice == 0
        for lesion in sorted(lesions, key=hand.slice_of, reverse=not upwards):
            stored = len(controller.state.points)
            hand.decide()
            hand.place(self._missing(lesion))
            if len(controller.state.points) != stored + 1:
                raise RuntimeError(f"the click at {lesion} was not stored: {controller.state.notice.text}")
            self.verdicts["placed"] += 1
        hand.scroll(last - hand.slice if upwards else -hand.slice)

    def train(self, *, minutes: float | None, epochs: int | None) -> str:
        """Train on all cases that are done, from the newest model if there is one; return the new model's folder."""
        hand, dock = self._hand, self._hand.window.dock
        hand.tab("Train")
        hand.choose(dock.train.unit, 0 if epochs is None else 1)
        hand.write(dock.train.budget, epochs or minutes or 0.0)
        own = [card for card in hand.controller.state.models if card.name != STARTER]
        hand.choose(dock.train.init, 1 if own else 0)  # the newest comes after "from scratch"
        hand.press(dock.train.start)
        hand.until(lambda: not hand.controller.state.job.running, "the training", 600 + 180 * (minutes or 10))
        job = hand.controller.state.job
        if job.outcome != "returned":
            raise RuntimeError(f"the training {job.outcome}: {job.reason}")
        return str(job.result)

    def _go_to(self, case: str) -> None:
        """Go on to a case with Page Down, and wait until it is on screen."""
        from qtpy.QtCore import Qt

        hand, controller = self._hand, self._hand.controller
        while controller.state.wanted != case:
            before = controller.state.wanted
            hand.key(Qt.Key.Key_PageDown)
            if controller.state.wanted == before:
                raise RuntimeError(f"{case} does not come after {before}.")
        hand.until(lambda: controller.screen.case_ready and not controller.state.loading, f"the images of {case}")

    def _finish(self) -> None:
        """Mark the case as done, with lesions or without."""
        panel = self._hand.window.dock.cases
        self._hand.press(panel.done if self._hand.controller.screen.can_finish else panel.empty)

    def _missing(self, world: World) -> World:
        """Where a click lands that is meant for a place: off by the jitter, in the plane of the slice."""
        viewer, grid = self._hand.window.viewer, self._hand.grid
        at = grid.to_voxel([world])[0]
        for axis in viewer.dims.order[1:]:
            at[axis] += self._random.normal(0, self._jitter_mm) / grid.spacing[axis]
        x, y, z = grid.to_world(at)[0].tolist()
        return x, y, z
