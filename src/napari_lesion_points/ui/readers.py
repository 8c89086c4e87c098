"""Several readers at the desk: comparing them, and settling where two of them differ, one key each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_lesion_points.core.records import CONSENSUS, SHARED, Change
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui.approach import Approach
from napari_lesion_points.ui.summaries import Survey, survey
from napari_lesion_points.ui.translation import _, ngettext
from napari_lesion_points.ui.vocabulary import edit_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_lesion_points.core.records import LesionPoint
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.screen import Screen
    from napari_lesion_points.workflow.agreement import AgreementRow
    from napari_lesion_points.workflow.consensus import Difference


class ReadersDesk:
    """Compares the readers of one viewer's study, and walks through what two of them differ in."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._approach = Approach(controller, self._at_hand, self._show)
        self._blind = False  # whether the consensus was opened by somebody who reads blind
        controller.changed.connect(self._on_changed)
        controller.walked.connect(self._on_walked)
        controller.overtaken.connect(self._on_overtaken)

    def list_readers(self) -> None:
        """Find out who has read the study."""
        study = self._controller.study

        def found(names: tuple[str, ...]) -> None:
            if study is self._controller.study:  # else another was opened meanwhile
                self._controller.update(readings=names)

        if study is not None:
            self._controller.workers.start(study.readings, returned=found, failed=self._failed)

    def compare(self) -> None:
        """Compare all readers."""
        study = self._controller.study

        def compared(rows: tuple[AgreementRow, ...]) -> None:
            if study is self._controller.study:
                self._controller.update(agreement=rows)
                self._controller.say(rows[-1].words)

        if study is not None:
            self._controller.workers.start(_compare, study, returned=compared, failed=self._failed)

    def save(self, path: Path) -> None:
        """Write the newest comparison as a table."""
        rows = self._controller.state.agreement
        self._controller.workers.start(
            _save, path, rows,
            returned=lambda __: self._controller.say(_("Written to {file}.").format(file=path)), failed=self._failed,
        )  # fmt: skip

    def begin(self, first: str, second: str) -> None:
        """Open the consensus of two readers, and go to the first difference that nobody has settled."""
        study = self._controller.study
        if study is not None:
            self._controller.say(_("Comparing {first} and {second} …").format(first=first, second=second))
            self._controller.workers.start(
                _differences, study, first, second,
                returned=lambda found: self._begun(study, (first, second), *found), failed=self._failed,
            )  # fmt: skip

    def leave(self) -> None:
        """Go back from the consensus to what was open before it; all that was settled stays."""
        controller, study = self._controller, self._controller.study
        if study is None or study.reading != CONSENSUS:
            return
        try:
            own = study.read_blind(study.reader) if self._blind else study.of(SHARED)
        except LesionPointsError as error:
            controller.say(str(error), "error")
            return
        controller.switch(own)

    def keep_first(self) -> None:
        """Follow the first reader."""
        self._settle("FIRST")

    def keep_second(self) -> None:
        """Follow the second reader."""
        self._settle("SECOND")

    def keep_both(self) -> None:
        """Keep what either has."""
        self._settle("BOTH")

    def keep_none(self) -> None:
        """Keep neither."""
        self._settle("NONE")

    def skip(self) -> None:
        """Go on without a decision."""
        self._go(self._controller.state.difference_at + 1)

    def back(self) -> None:
        """Go back to the difference before."""
        self._go(self._controller.state.difference_at - 1)

    def _failed(self, why: str) -> None:
        self._controller.say(why, "error")

    def _begun(self, study: Study, readers: tuple[str, str], found: tuple[Difference, ...], consensus: Survey) -> None:
        controller = self._controller
        if controller.study is not study:
            return  # another study was opened meanwhile
        at = next((k for k, difference in enumerate(found) if not difference.settled), len(found))
        readings, agreement = controller.state.readings, controller.state.agreement
        self._approach.begin()
        case = found[at].points[0].case if at < len(found) else ""
        if not controller.use_study(consensus, case):
            return
        if study.reading != CONSENSUS:
            self._blind = study.reading == study.reader
        controller.update(
            compared=readers, differences=found, difference_at=at, agreement=agreement,
            readings=tuple(sorted({*readings, CONSENSUS})),
        )  # fmt: skip
        waiting = sum(not difference.settled for difference in found)
        said = ngettext(
            "The consensus of {first} and {second}: {count} of {total} difference to settle.",
            "The consensus of {first} and {second}: {count} of {total} differences to settle.",
            len(found),
        )
        controller.say(said.format(first=readers[0], second=readers[1], count=waiting, total=len(found)))

    def _go(self, at: int) -> None:
        self._approach.begin()
        self._controller.update(difference_at=min(max(at, 0), len(self._controller.state.differences)))

    def _settle(self, how: str) -> None:
        from napari_lesion_points.workflow.consensus import Keep, settlement

        controller, difference = self._controller, self._controller.screen.difference
        if controller.study is None or difference is None or not controller.screen.can_settle:
            return
        try:
            change = settlement(controller.study, difference, Keep[how])
        except LesionPointsError as error:
            controller.say(_("Not stored: {error}").format(error=error), "error")
            return
        if controller.store(change, _("{edit}, stored.").format(edit=edit_words(change.label).capitalize())):
            self._note(change)
            following = controller.state.difference_at + 1
            rest = controller.state.differences[following:]
            self._go(following + next((k for k, d in enumerate(rest) if not d.settled), len(rest)))

    def _note(self, change: Change) -> int | None:
        """Write new verdicts into the list; index of the first difference that changed."""
        return self._take({name: after for name, (__, after) in change.candidates.items()})

    def _take(self, points: Mapping[str, LesionPoint]) -> int | None:
        def newest(point: LesionPoint | None) -> LesionPoint | None:
            return points.get(point.id, point) if point else None

        before = self._controller.state.differences
        after = tuple(replace(d, first=newest(d.first), second=newest(d.second)) for d in before)
        changed = [k for k, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
        if changed:
            self._controller.update(differences=after)
        return changed[0] if changed else None

    def _on_walked(self, change: Change) -> None:
        """After undo or redo of a decision, go back to it."""
        index = self._note(change)
        if index is not None:
            self._go(index)

    def _on_overtaken(self, __: str) -> None:
        """Write what somebody else has decided in the case on screen into the list."""
        self._take({point.id: point for point in self._controller.state.candidates})

    def _on_changed(self, screen: Screen) -> None:
        if screen.state.tab == "Readers":
            self._approach.go_on()

    def _at_hand(self) -> LesionPoint | None:
        difference = self._controller.screen.difference
        return difference.points[0] if difference else None

    def _show(self, point: LesionPoint) -> None:
        """Show the place of the difference at hand, with its points selected."""
        controller, difference = self._controller, self._controller.screen.difference
        controller.jump(point.world)
        layer, ids = controller.scene.candidates, {p.id for p in difference.points} if difference else set()
        if layer is not None:
            layer.selected_data = {i for i, p in enumerate(controller.state.candidates) if p.id in ids}


def _compare(study: Study) -> tuple[AgreementRow, ...]:
    from napari_lesion_points.workflow.agreement import study_agreement

    return study_agreement(study)


def _save(path: Path, rows: tuple[AgreementRow, ...]) -> None:
    from napari_lesion_points.workflow.agreement import write_agreement

    write_agreement(path, rows)


def _differences(study: Study, first: str, second: str) -> tuple[tuple[Difference, ...], Survey]:
    from napari_lesion_points.workflow.consensus import begin_consensus

    differences = tuple(difference for __, found in begin_consensus(study, first, second) for difference in found)
    return differences, survey(study.of(CONSENSUS))
