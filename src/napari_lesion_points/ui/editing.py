"""Edits of the lesions layer become changes of the study, and the layer always shows what is stored.

napari's own tools add, select, drag and delete. After each, the rows are compared (by id) with the stored points, the
difference is one `Change`, and whatever the study then holds is put back on the layer: also when it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lesion_points.core.records import Change, LesionPoint
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui import layers
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Points
    from numpy.typing import NDArray

    from napari_lesion_points.ui.layers import DisplayedCase

#: A drag shorter than this on the screen (pixels) is a slip of the hand.
_SLIP_PIXELS = 4.0

#: A press this close (pixels) to a point's centre grabs it; farther away it adds a neighbour, even inside its circle.
_GRAB_PIXELS = 8.0

_LEFT = 1

#: In 3D a place on the screen is a line through the image.
FLAT_ONLY = _("Switch back to the 2D view to place points.")

_UNMOVED = _("Another case was shown before the button was let go: nothing was changed.")

_EDITS = {"added", "removed", "changed"}


class LesionEditor:
    """Keeps the lesions layer and the stored points of one case the same.

    Parameters
    ----------
    viewer, shown
        Where the case is displayed.
    layer : Points
        Its lesions layer (`layers.show_lesions`), holding `points`.
    points : sequence of LesionPoint
        What is stored.
    reader : callable
        Returns the name to write into new points.
    commit : callable
        Stores a change and returns the points stored then; raises LesionPointsError when it is refused.
    say : callable
        Takes a message and its level for the user.
    pressed : bool
        A button is down that was pressed on the case before: what comes of it is not of this case.

    Attributes
    ----------
    pressed : bool
        A button is down that was pressed on this case.
    """

    def __init__(
        self,
        viewer: Viewer,
        shown: DisplayedCase,
        layer: Points,
        points: Sequence[LesionPoint],
        reader: Callable[[], str],
        commit: Callable[[Change], Sequence[LesionPoint]],
        say: Callable[[str, str], None],
        pressed: bool = False,
    ) -> None:
        self._viewer = viewer
        self._shown = shown
        self._points = tuple(points)
        self._reader = reader
        self._commit = commit
        self._say = say
        self._syncing = False
        self._on_point = False
        self._foreign = False  # a button is down that means something else: the window, for one
        self._inherited = pressed
        self._closed = False
        self.pressed = False
        self.layer = layer
        self.layer.mouse_drag_callbacks.append(self._drag)
        self.layer.events.data.connect(self._on_data)
        self.layer.events.mode.connect(self._come_last)

    def close(self) -> None:
        """Stop listening to the layer, which may show another case from now on: a drag under way comes to nothing."""
        self._closed = True
        self.layer.events.data.disconnect(self._on_data)
        self.layer.events.mode.disconnect(self._come_last)
        if self._drag in self.layer.mouse_drag_callbacks:
            self.layer.mouse_drag_callbacks.remove(self._drag)

    def show(self, points: Sequence[LesionPoint]) -> None:
        """Show the points that are stored now."""
        self._points = tuple(points)
        self._syncing = True
        try:
            layers.set_lesions(self.layer, self._shown, points)
        finally:
            self._syncing = False

    def select(self, ids: set[str]) -> None:
        """Select points by id."""
        self.layer.selected_data = {row for row, name in enumerate(layers.lesion_ids(self.layer)) if name in ids}

    def selected(self) -> list[LesionPoint]:
        """Return the selected points."""
        ids = layers.lesion_ids(self.layer)
        chosen = {ids[row] for row in self.layer.selected_data if row < len(ids)}
        return [p for p in self._points if p.id in chosen]

    def delete(self, points: Sequence[LesionPoint]) -> None:
        """Delete points, as the Delete key does."""
        if points:
            self._store(Change.deleting(*points), "")

    def _on_data(self, event: Any) -> None:
        if not self._syncing and str(getattr(event, "action", "")) in _EDITS:
            self._compare()

    def _compare(self) -> None:
        """Store how the layer differs from the stored points, and show what is stored then."""
        if self._foreign or self._inherited:
            self.show(self._points)
            if self._inherited:
                self._inherited = False
                self._say(_UNMOVED, "warning")
            return
        stored = {p.id: p for p in self._points}
        ids = layers.lesion_ids(self.layer)
        world = self._shown.to_world(self.layer.data)
        inside = self._shown.grid.contains(world)
        edits: dict[str, tuple[LesionPoint | None, LesionPoint | None]] = {}
        outside = slips = deep = 0
        flat = self._viewer.dims.ndisplay == 2
        seen: set[str] = set()
        for row, name in enumerate(ids):
            at = (float(world[row, 0]), float(world[row, 1]), float(world[row, 2]))
            known = stored.get(name) if name not in seen else None
            seen.add(name)
            if known is None:
                if self._on_point:
                    continue  # a click on a point selects it; napari's tool has added another one
                if not flat:
                    deep += 1
                    continue
                if not inside[row]:
                    outside += 1
                    continue
                point = LesionPoint(self._shown.case, at, reader=self._reader())
                edits[point.id] = (None, point)
                ids[row] = point.id
            elif np.linalg.norm(self._shown.to_layer([known.world])[0] - self.layer.data[row]) > 1e-6:
                if not flat:
                    deep += 1
                elif not inside[row]:
                    outside += 1
                elif self._pixels(known, row) < _SLIP_PIXELS:
                    slips += 1
                else:
                    edits[name] = (known, known.moved(at))
        edits.update({name: (point, None) for name, point in stored.items() if name not in seen})
        problem = _("That is outside of the image: nothing was changed. Click inside the image.") if outside else ""
        problem = FLAT_ONLY if deep else problem
        if edits:
            self._name(ids)
            self._store(Change(self._shown.case, _label(edits), edits, {}), problem)
        else:
            self.show(self._points)
            if problem:
                self._say(problem, "warning")
            elif slips:
                self._say(_("A move of less than 4 pixels was ignored; zoom in to place a point more finely."), "info")

    def _name(self, ids: list[str]) -> None:
        """Give fresh rows the ids of their points, so that they stay when these are stored."""
        if ids != layers.lesion_ids(self.layer):
            layers.set_lesion_ids(self.layer, ids)

    def _store(self, change: Change, problem: str) -> None:
        try:
            points = self._commit(change)
        except LesionPointsError as error:
            self.show(self._points)
            self._say(_("Not stored, so taken back: {error}").format(error=error), "error")
            return
        self.show(points)
        added = {name for name, (before, __) in change.annotations.items() if before is None}
        if added:
            self.select(added)
        if problem:
            self._say(problem, "warning")

    def _pixels(self, known: LesionPoint, row: int) -> float:
        """How far a row is from its stored place, in pixels on the screen."""
        moved = (self.layer.data[row] - self._shown.to_layer([known.world])[0]) * self._shown.grid.spacing
        return float(np.linalg.norm(moved) * self._viewer.scene.camera.zoom)

    def _pixels_between(self, at_layer: NDArray[np.floating], position: Sequence[float]) -> float:
        """Distance on the screen of a row of the layer and a mouse position."""
        apart = at_layer * self._shown.grid.spacing - np.asarray(position, dtype=float)
        return float(np.linalg.norm(apart[list(self._viewer.dims.displayed)]) * self._viewer.scene.camera.zoom)

    def _come_last(self) -> None:
        """Let napari's own tool, which was just put in place, act before `_drag` does."""
        self.layer.mouse_drag_callbacks.remove(self._drag)
        self.layer.mouse_drag_callbacks.append(self._drag)

    def _drag(self, layer: Points, event: Any) -> Iterator[None]:
        """Follow a mouse button from its press to its release; napari's own tool goes first."""
        self._on_point = False
        self._foreign, self._inherited = event.button != _LEFT, False
        self.pressed = True
        try:
            yield from self._drag_point(layer, event) if event.button == _LEFT else _until_released(event)
        finally:  # also when napari drops this for another button, which is pressed meanwhile
            self._foreign = self.pressed = False

    def _drag_point(self, layer: Points, event: Any) -> Iterator[None]:
        """In add mode, let an existing point be dragged instead of adding another one on top of it."""
        row = None
        if str(layer.mode) == "add":
            row = layer.get_value(
                event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True
            )
        if row is None or self._pixels_between(layer.data[row], event.position) > _GRAB_PIXELS:
            yield from _until_released(event)
            return
        self._on_point = True
        layer.selected_data = {row}
        name = layers.lesion_ids(layer)[row]
        grabbed = np.array(event.position) / self._shown.grid.spacing
        start = layer.data[row].copy()
        moved = False
        try:
            yield
            while event.type == "mouse_move" and (row := self._row(name)) is not None:
                event.handled = True  # or the camera pans along
                moved = True
                layer.data[row] = start + np.array(event.position) / self._shown.grid.spacing - grabbed
                layer.refresh()
                yield
        except GeneratorExit:  # another button was pressed
            if moved and not self._closed:
                self.show(self._points)
            raise
        if moved and self._closed:
            self._say(_UNMOVED, "warning")
        elif moved:
            self._compare()
        if (row := self._row(name)) is not None:
            layer.selected_data = {row}

    def _row(self, name: str) -> int | None:
        """Return the row of a point; None when it, or its case, is not shown any more."""
        ids = [] if self._closed else layers.lesion_ids(self.layer)
        return ids.index(name) if name in ids else None


def _until_released(event: Any) -> Iterator[None]:
    yield
    while event.type == "mouse_move":
        yield


def _label(edits: dict[str, tuple[LesionPoint | None, LesionPoint | None]]) -> str:
    """Name an edit for history and undo: what its first record tells, with the number when there are several.

    `vocabulary.edit_words` knows these names.
    """
    before, after = next(iter(edits.values()))
    word = "add" if before is None else "delete" if after is None else "move"
    return word if len(edits) == 1 else f"{word} {len(edits)} points"
