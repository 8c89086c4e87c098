"""The session of one viewer: the open study, the case on screen, edits and undo.

It holds the state, carries out what the widgets ask for, and tells them by `changed` what to draw. Jobs and the review
queue have their own modules (`jobs`, `reviewing`) and share this state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_lesion_points.core.records import SHARED, CaseState, Change, LesionPoint
from napari_lesion_points.errors import ConflictError, LesionPointsError
from napari_lesion_points.ui import canvas, layers
from napari_lesion_points.ui.editing import LesionEditor
from napari_lesion_points.ui.loading import CaseLoader, Heatmap, LoadedCase, load_heatmap
from napari_lesion_points.ui.planes import ORIENTATIONS
from napari_lesion_points.ui.preferences import preferences
from napari_lesion_points.ui.scene import Scene
from napari_lesion_points.ui.screen import Screen, following_case, resolve
from napari_lesion_points.ui.session import Notice, State
from napari_lesion_points.ui.summaries import Summaries, Survey, open_study, survey
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.undo import UndoStack
from napari_lesion_points.ui.vocabulary import edit_words
from napari_lesion_points.ui.worker import Task, Workers

if TYPE_CHECKING:
    from napari import Viewer

    from napari_lesion_points.core.records import Place
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.layers import DisplayedCase

_LOG = logging.getLogger(__name__)

#: What is said of an edit on the image, by its label.
_STORED = {"add": _("Added, stored."), "move": _("Moved, stored."), "delete": _("Deleted, stored.")}


class Controller(QObject):
    """What the dock of one viewer can do.

    Attributes
    ----------
    changed : Signal(Screen)
        What the dock shows has changed.
    walked : Signal(Change)
        A change was undone or redone.
    jumped : Signal(tuple, bool)
        The view went to a world point (mm); whether for a close look.
    leaving : Signal()
        Study or reader are about to change.
    overtaken : Signal(str)
        A change of this case was refused, since somebody else has changed it; what is stored now is shown.
    opened : Signal()
        A study, or another reading of it, was opened; its case is still being read.
    resume : Place or None
        Where the reader stopped, until that is on screen.
    shown : DisplayedCase or None
        The case on screen.
    """

    changed = Signal(object)
    walked = Signal(object)
    jumped = Signal(tuple, bool)
    leaving = Signal()
    overtaken = Signal(str)
    opened = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.workers = Workers()
        self.loader = CaseLoader(self.workers)
        self.study: Study | None = None
        self.state = State(margin_mm=preferences().margin_mm)
        self.screen: Screen = resolve(self.state)
        self.shown: DisplayedCase | None = None
        self.editor: LesionEditor | None = None
        self.scene = Scene(viewer)
        self.resume: Place | None = None
        self.summaries = Summaries(self)
        self.closed = False
        self._opening: Task | None = None
        self._undo = UndoStack()

    # state -----------------------------------------------------------------------------------------------------------

    def update(self, **changes: Any) -> None:
        """Change the state and tell the widgets."""
        self.state = replace(self.state, **changes, undo_label=self._undo.undo_label, redo_label=self._undo.redo_label)
        self.screen = resolve(self.state)
        if not self.closed:
            self.changed.emit(self.screen)

    def say(self, text: str, level: str = "info") -> None:
        """Show a message in the dock; an error also goes to the log."""
        if level == "error":
            _LOG.error(text)
        self.update(notice=Notice(text, level))

    # study -----------------------------------------------------------------------------------------------------------

    def open_study(
        self,
        root: Path,
        store: Path | None = None,
        reader: str = "",
        case: str = "",
        *,
        images: Sequence[Path] = (),
        blind: bool = False,
        failed: Callable[[str], None] = lambda why: None,
    ) -> None:
        """Open a study in a worker (see `Study.open`), then `use_study`; `failed` is told why it cannot be opened."""

        def refused(why: str) -> None:
            self.say(why, "error")
            failed(why)

        if self._opening is not None:
            self._opening.forget()
        self.say(_("Opening {study} …").format(study=root.name))
        self._opening = self.workers.start(
            open_study, root, store, reader or preferences().reader, images, blind,
            returned=lambda found: self.use_study(found, case), failed=refused,
        )  # fmt: skip

    def use_study(self, study: Study | Survey, case: str = "", resume: bool = True) -> bool:
        """Leave the study that is open for another, and show a case of it; False when that cannot be read.

        The case is `case`; else, with `resume`, the one where the reader stopped; else the first that is not done.
        """
        try:
            found = study if isinstance(study, Survey) else survey(study)
            study, cases = found.study, found.cases
            first = study.files_of(case).case if case else ""
        except LesionPointsError as error:
            self.say(str(error), "error")
            return False
        self._leave_study()
        self.study, self.resume = study, found.place if resume and not case else None
        self._undo.clear()
        self.update(
            root=str(study.root), store=str(study.store), reader=study.reader, reading=study.reading, cases=cases,
            notice=Notice(), unchecked=frozenset(), queue=(), at=0, placing=False,
        )  # fmt: skip
        first = first or (self.resume.case if self.resume else "")
        self.select_case(first or next((s.case for s in cases if s.state is not CaseState.DONE), cases[0].case))
        self.opened.emit()
        return True

    def reopen(self, store: Path | None = None, reader: str = "", blind: bool | None = None) -> None:
        """Open the same study with another store, or go on as another reader, or blind (None: as it was)."""
        study = self.study
        if study is None:
            return
        was_blind = study.reading == study.reader
        name, blind = reader or study.reader, was_blind if blind is None else blind
        if store is not None:
            self.open_study(study.root, store, name, self.state.wanted, images=study.images, blind=blind)
        elif blind or was_blind:
            try:
                other = study.read_blind(name) if blind else study.of(SHARED, name)
            except LesionPointsError as error:
                self.say(str(error), "error")
                return
            self.switch(other)
        else:
            self.leaving.emit()
            study.reader = name
            self.update(reader=name)

    def switch(self, reading: Study) -> None:
        """Go on with the open study in another reading, once a worker has read what that shows first."""
        study = self.study

        def ready(found: Survey) -> None:
            if self.study is study:  # else another was opened meanwhile
                self.use_study(found, self.state.wanted)

        self.workers.start(survey, reading, returned=ready, failed=lambda why: self.say(why, "error"))

    def _leave_study(self) -> None:
        self.leaving.emit()
        self.loader.clear()
        if self.editor is not None:
            self.editor.close()
        self.editor = self.shown = None
        self.scene.clear()
        if self.study is not None:
            self.study.close()
        self.study = None
        self.state = State(
            tab=self.state.tab, orientation=self.state.orientation, margin_mm=self.state.margin_mm,
            threshold=self.state.threshold, heat_opacity=self.state.heat_opacity,
            views=self.state.views, devices=self.state.devices, job=self.state.job,
        )  # fmt: skip

    def refresh(self, case: str = "", stored: Change | None = None, **changes: Any) -> None:
        """Read a case's counts, or all (in a worker), and the points of the case on screen, from the study again.

        If that fails after a change was `stored`, what it made of the points is shown.
        """
        if self.study is None:
            return
        if not case:
            self.summaries.renew(self.study)
        try:
            if case or self.state.shown:
                changes["cases"] = self.summaries.again(self.study, case or self.state.shown)
            if self.state.shown:
                changes["points"] = self.study.annotations(self.state.shown)
                candidates = self.study.candidates(self.state.shown)
                if candidates != self.state.candidates and self.shown is not None:
                    self.scene.show_candidates(self.shown, candidates, self.state.threshold)
                changes["candidates"] = candidates
        except LesionPointsError as error:
            changes["notice"] = Notice(str(error), "error")
            if stored is not None:
                changes["notice"] = Notice(_("Stored, but not read again: {error}").format(error=error), "warning")
                if stored.case == self.state.shown:
                    changes["points"] = stored.made_of(self.state.points)
        self.update(**changes)

    # cases -----------------------------------------------------------------------------------------------------------

    def select_case(self, case: str) -> None:
        """Show a case: now when it is in memory, else when a worker has read it."""
        if self.study is None or not case:
            return
        on_screen = self.state.shown == case and self.scene.complete
        if case == self.state.wanted and (self.state.loading or on_screen):
            return
        try:
            files, heatmap = self.study.files_of(case), self.study.heatmap_path(case)
        except LesionPointsError as error:
            self.say(str(error), "error")
            return
        self.update(wanted=case, loading=True, placing=False)
        self.loader.want(files, heatmap, self._show, self._cannot_show)

    def _cannot_show(self, case: str, why: str) -> None:
        """Say why, and go back to the case that is still on screen, if any."""
        self.update(loading=False, wanted=self.state.shown or case, notice=Notice(why, "error"))

    def _show(self, loaded: LoadedCase) -> None:
        """Put a case that was read on screen."""
        if self.study is None or loaded.shown.case != self.state.wanted:
            return
        case = loaded.shown.case
        other = next((layer.name for layer in self.viewer.layers if layer.ndim > 3), None)
        if other is not None:
            why = _("The viewer holds a layer with more than 3 axes, {layer!r}. Remove it and choose the case again.")
            self._cannot_show(case, why.format(layer=other))
            return
        try:
            points, candidates = self.study.annotations(case), self.study.candidates(case)
        except LesionPointsError as error:
            self._cannot_show(case, str(error))
            return
        state, shown = self.state, loaded.shown
        names = tuple(shown.volumes)
        visible = state.sequence if state.sequence in names else names[0]
        pressed = self.editor is not None and self.editor.pressed
        if self.editor is not None:
            self.editor.close()
        lesions = self.scene.show(
            shown, visible, loaded.heatmap, state.heat_opacity, points, candidates, state.threshold
        )
        self.shown = shown
        self.editor = LesionEditor(self.viewer, shown, lesions, points, self._reader, self.commit, self.say, pressed)
        lesions.events.mode.connect(self._mode_changed)
        canvas.orient(self.viewer, self.state.orientation)
        canvas.set_margin(self.viewer, shown, self.state.margin_mm)
        middle = shown.grid.to_world([(n - 1) / 2 for n in shown.grid.shape])[0]
        canvas.jump(self.viewer, shown, (float(middle[0]), float(middle[1]), float(middle[2])))
        self.viewer.reset_view()
        overlay = self.viewer.canvas.overlays.scale_bar
        overlay.visible = True
        notice = Notice(" ".join(shown.notes), "warning") if shown.notes else self.state.notice
        self.update(
            shown=case, loading=False, points=points, candidates=candidates, sequences=names, sequence=visible,
            notes=shown.notes, has_heatmap=loaded.heatmap is not None, notice=notice,
            visited=self.state.visited | {case}, in_view="",
        )  # fmt: skip
        self.activate_tool()
        self.summaries.renew(self.study)
        if following := following_case(self.screen):
            self.loader.prefetch(self.study.files_of(following), self.study.heatmap_path(following))

    def _reader(self) -> str:
        return self.state.reader

    def _mode_changed(self) -> None:
        """Let the tool buttons follow napari's own."""
        self.update()

    # what the viewer shows -------------------------------------------------------------------------------------------

    def reload_heatmap(self, case: str) -> None:
        """Read a heatmap that was just predicted, when its case is on screen."""
        self.loader.forget(case)
        shown = self.shown
        if self.study is not None and shown is not None and case == self.state.shown:
            self.workers.start(
                load_heatmap, self.study.heatmap_path(case), shown.grid,
                returned=lambda heatmap: self._replace_heatmap(shown, heatmap),
                failed=lambda why: self.say(why, "error"),
            )  # fmt: skip

    def _replace_heatmap(self, shown: DisplayedCase, heatmap: Heatmap | None) -> None:
        if shown is not self.shown or heatmap is None:
            return  # another case, or one of another study, is on screen by now
        self.scene.show_heatmap(shown, heatmap, self.state.heat_opacity)
        self.update(has_heatmap=True)

    def activate_tool(self) -> None:
        """Make the layer of the current tab the active one: clicks add lesions only while annotating."""
        annotating = self.state.tab == "Annotate"
        lesions = self.editor.layer if self.editor is not None else None
        if lesions is not None:
            lesions.mode = "add" if annotating else "pan_zoom"
        target = lesions if annotating or self.scene.candidates is None else self.scene.candidates
        if self.state.tab == "Segment" and self.scene.painted is not None:
            target = self.scene.painted
        if target is not None and target in self.viewer.layers:
            self.viewer.layers.selection.active = target

    def set_tab(self, tab: str) -> None:
        """Switch to a tab."""
        self.update(tab=tab, placing=False)
        self.activate_tool()

    def set_tool(self, mode: str) -> None:
        """Switch the lesions layer between "add", "select" and "pan_zoom"."""
        if self.editor is not None:
            self.viewer.layers.selection.active = self.editor.layer
            if not self.editor.layer.visible:
                self.editor.layer.visible = True  # napari gives no tool to a layer that is hidden
            self.editor.layer.mode = mode

    def set_orientation(self, orientation: str) -> None:
        """Show axial, coronal or sagittal slices."""
        if self.shown is not None:
            canvas.turn(self.viewer, self.shown, orientation)
        self.update(orientation=orientation)

    def next_orientation(self) -> None:
        """Go on to the next of the three orientations."""
        names = list(ORIENTATIONS)
        self.set_orientation(names[(names.index(self.state.orientation) + 1) % len(names)])

    def set_sequence(self, name: str) -> None:
        """Show one sequence and hide the others."""
        for sequence, layer in self.scene.images.items():
            layer.visible = sequence == name
        self.update(sequence=name)

    def next_sequence(self) -> None:
        """Show the next sequence."""
        names = self.state.sequences
        if names:
            self.set_sequence(names[(names.index(self.state.sequence) + 1) % len(names)])

    def toggle_heatmap(self) -> None:
        """Show or hide the heatmap."""
        if self.scene.heatmap is not None:
            self.scene.heatmap.visible = not self.scene.heatmap.visible

    def set_heat_opacity(self, opacity: float) -> None:
        """Show this heatmap, and those of the cases that follow, so opaque (0 to 1)."""
        if self.scene.heatmap is not None:
            self.scene.heatmap.opacity = opacity
        self.update(heat_opacity=opacity)

    def set_margin(self, margin_mm: float) -> None:
        """Show points this far before and behind the slice."""
        if self.shown is not None:
            canvas.set_margin(self.viewer, self.shown, margin_mm)
        self.update(margin_mm=margin_mm)

    def set_threshold(self, threshold: float) -> None:
        """Show only candidates at or above this existence; nothing is fitted again."""
        if self.scene.candidates is not None:
            layers.set_threshold(self.scene.candidates, self.state.candidates, threshold)
        self.update(threshold=threshold)

    def jump(self, world: tuple[float, float, float], close_up: bool = False) -> None:
        """Show the place of a point (world mm); `close_up` as in `canvas.jump`."""
        if self.shown is not None:
            canvas.jump(self.viewer, self.shown, world, close_up)
            self.jumped.emit(world, close_up)

    # edits -----------------------------------------------------------------------------------------------------------

    def commit(self, change: Change) -> Sequence[LesionPoint]:
        """Store a change, remember it for undo, and return the case's points as stored.

        Raises
        ------
        LesionPointsError
            If the study refuses; nothing has changed then.
        """
        self._apply(change)
        self._undo.push(change)
        said = _STORED.get(change.label) or _("{edit}, stored.").format(edit=edit_words(change.label).capitalize())
        self.refresh(change.case, change, notice=Notice(said))
        return self.state.points

    def undo(self) -> None:
        """Take back the newest edit."""
        dropped = _("Not undone, and dropped: {error}")
        self._walk(self._undo.undo, _("Undone: {edit}."), _("Nothing to undo."), dropped)

    def redo(self) -> None:
        """Do the last undone edit again."""
        dropped = _("Not redone, and dropped: {error}")
        self._walk(self._undo.redo, _("Redone: {edit}."), _("Nothing to redo."), dropped)

    def _walk(self, step: Any, done: str, nothing: str, dropped: str) -> None:
        try:
            change = step(self._apply)
        except ConflictError as error:
            self.say(dropped.format(error=error), "error")
            return
        except LesionPointsError as error:
            self.say(str(error), "error")
            return
        if change is None:
            self.say(nothing)
            return
        said = [done.format(edit=edit_words(change.label))]
        if change.case != self.state.shown:
            said.append(_("That was in {case}.").format(case=change.case))
        self.show_stored(" ".join(said), case=change.case)
        self.walked.emit(change)
        self.select_case(change.case)

    def store(self, change: Change, text: str) -> bool:
        """Carry out a change that does not come from the lesions layer; False when the study refuses."""
        try:
            self._apply(change)
        except LesionPointsError as error:
            self.say(_("Not stored: {error}").format(error=error), "error")
            return False
        self._undo.push(change)
        self._show_anew(change.case, change, notice=Notice(text))
        return True

    def _apply(self, change: Change) -> None:
        """Store a change; when somebody else was faster, it is refused, and their edit is shown."""
        try:
            self._open().apply(change)
        except ConflictError:
            self._show_anew(change.case, placing=False)
            self.overtaken.emit(change.case)
            raise

    def show_stored(self, text: str, level: str = "info", case: str = "") -> None:
        """Show what is stored after a change, of a case or of any, that did not come from the lesions layer."""
        self._show_anew(case, notice=Notice(text, level))

    def _show_anew(self, case: str, stored: Change | None = None, **changes: Any) -> None:
        self.refresh(case, stored, **changes)
        if self.editor is not None:
            self.editor.show(self.state.points)

    def delete_points(self, points: Sequence[LesionPoint]) -> None:
        """Delete points of the case on screen, or the selected ones when none are named."""
        if self.editor is not None:
            self.editor.delete(points or self.editor.selected())

    def _open(self) -> Study:
        if self.study is None:
            raise LesionPointsError(_("No study is open."))
        return self.study

    def close(self) -> None:
        """End the session: stop the work, let go of viewer and study. The layers stay."""
        if self.closed:
            return
        self.closed = True
        self.loader.clear()
        if self.editor is not None:
            self.editor.close()
        self.workers.close()
        if self.study is not None:
            self.study.close()
