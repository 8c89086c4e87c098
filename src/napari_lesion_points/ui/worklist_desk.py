"""Going through the cases of a study: which are listed, which comes next, their states, and a note on each."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_lesion_points.core.records import CaseState, Change
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui.screen import following_case
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.vocabulary import STATE_WORDS
from napari_lesion_points.ui.worklist import PACE_OF, Column, Way

if TYPE_CHECKING:
    from napari_lesion_points.store.study import CaseSummary
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.screen import Screen

_LOG = logging.getLogger(__name__)

#: A note is stored when its writer has rested for this long (ms), leaves it, or goes to another case.
_REST_MS = 1500


class WorklistDesk(QObject):
    """The list of cases of one viewer's session.

    Attributes
    ----------
    wanted : Signal(str)
        The keyboard is wanted for the "note" or the "search".
    """

    wanted = Signal(str)

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self._typed: tuple[CaseSummary, str] | None = None  # a note that is not stored yet, and its case as it was
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self.save_note)
        controller.changed.connect(self._on_changed)
        controller.leaving.connect(self.save_note)

    def close(self) -> None:
        """Store the note that is being written: the session ends."""
        change, study = self._note_change(), self._controller.study
        if change is not None and study is not None:
            try:
                study.apply(change)
            except LesionPointsError as error:
                _LOG.error("The note %r is lost: %s", change.note, error)
        self._rest.stop()
        self._controller.changed.disconnect(self._on_changed)
        self._controller.leaving.disconnect(self.save_note)

    # the list --------------------------------------------------------------------------------------------------------

    def choose(self, **choice: Any) -> None:
        """List other cases, or in another order: fields of `worklist.Choice`."""
        self._controller.update(choice=replace(self._controller.state.choice, **choice))

    def sort(self, column: Column) -> None:
        """Sort by a column, or the other way round if the list is; numbers begin with the largest."""
        choice = self._controller.state.choice
        first = column not in (Column.CASE, Column.STATE)
        self.choose(column=column, descending=not choice.descending if column is choice.column else first)

    def open_first(self) -> None:
        """Show the first case that is listed, which a search has found."""
        rows = self._controller.screen.case_rows
        if rows:
            self._controller.select_case(rows[0].case)

    def find(self) -> None:
        """Ask for the keyboard to search the cases."""
        self.wanted.emit("search")

    # going on --------------------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Show the next case of the list."""
        self._go(Way.LIST)

    def previous(self) -> None:
        """Show the previous case of the list."""
        self._controller.select_case(self._controller.screen.previous_case)

    def next_by_benefit(self) -> None:
        """Show the case whose review is expected to change the number of lesions most."""
        self._go(Way.BENEFIT)

    def next_by_chance(self) -> None:
        """Show the next case of the study's random order."""
        self._go(Way.CHANCE)

    def next_to_read(self) -> None:
        """Go on by chance if the reader did so last, else by expected benefit."""
        self._go(Way.CHANCE if self._controller.state.way is Way.CHANCE else Way.BENEFIT)

    def _go(self, way: Way) -> None:
        controller = self._controller
        controller.update(way=way)
        case = following_case(controller.screen)
        if case:
            controller.select_case(case)
        elif way is not Way.LIST and controller.study is not None:
            controller.say(_("No other case waits: all are done."))

    # the case on screen ----------------------------------------------------------------------------------------------

    def mark(self, state: CaseState) -> None:
        """Mark the case on screen as done, in progress or new; undoable."""
        controller = self._controller
        summary = _summary(controller.state.cases, controller.state.shown)
        if summary is None:
            return
        change = Change(summary.case, f"mark as {state}", {}, {}, (summary.state, state))
        said = _("{case} is marked as {state}.").format(case=summary.case, state=STATE_WORDS[state])
        if controller.store(change, said) and state is CaseState.DONE:
            controller.update(finished_s=(*controller.state.finished_s, time.monotonic())[-PACE_OF:])

    def write_note(self) -> None:
        """Ask for the keyboard to write a note."""
        self.wanted.emit("note")

    def type_note(self, text: str) -> None:
        """Take what is being written as the note on the case asked for; it is stored soon."""
        summary = _summary(self._controller.state.cases, self._controller.state.wanted)
        if summary is not None:
            self._typed = (self._typed[0] if self._typed else summary), text
            self._rest.start()

    def save_note(self) -> None:
        """Store what was written, now; undoable. If somebody else has changed the note, theirs stays."""
        self._rest.stop()
        change = self._note_change()
        controller = self._controller
        if change is None or not change.note:
            return
        if not controller.store(change, _("Note on {case} stored.").format(case=change.case)):
            written = _("You had written: “{note}”").format(note=change.note[1])
            controller.say(f"{controller.state.notice.text} {written}", "error")

    @property
    def writing(self) -> bool:
        """Whether there is a note that is not stored yet."""
        return self._typed is not None

    def _note_change(self) -> Change | None:
        """Return what the note that was typed changes, once."""
        typed, self._typed = self._typed, None
        if typed is None or typed[1].strip() == typed[0].note:
            return None
        return Change(typed[0].case, "note", {}, {}, note=(typed[0].note, typed[1].strip()))

    def _on_changed(self, screen: Screen) -> None:
        if self._typed is not None and screen.state.wanted != self._typed[0].case:
            self._rest.start(0)  # not in the middle of telling all what has changed


def _summary(cases: tuple[CaseSummary, ...], case: str) -> CaseSummary | None:
    return next((s for s in cases if s.case == case), None)
