"""What clicks on the canvas mean while candidates are reviewed.

While a gesture is under way they move, split or merge the candidate under review; else a click on a candidate makes it
the one under review. A gesture that is left changes nothing: only its last click, or key, makes a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_lesion_points.core.records import Change, LesionPoint, Verdict
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui import layers
from napari_lesion_points.ui.canvas import Boxes
from napari_lesion_points.ui.editing import FLAT_ONLY
from napari_lesion_points.ui.gesture import Gesture, Kind
from napari_lesion_points.ui.planes import reach_mm
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari import Viewer

    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.screen import Screen

    World = tuple[float, float, float]

#: A press and release farther apart than this (pixels) pans the view and places nothing.
_CLICK_PIXELS = 5.0

#: A click this close (pixels) to a candidate's centre is on it.
_ON_PIXELS = 12.0

_LEFT = 1

_MOVED = _("Moved, stored (existence {existence:.2f}).")
_SPLIT = _("Split into two lesions, stored (existence {existence:.2f}).")
_MERGED = _("Merged into one lesion, stored (existence {existence:.2f}).")


class ReviewClicks:
    """Listens to the mouse on the canvas of one session.

    Parameters
    ----------
    controller : Controller
        Of the session.
    carry_out : callable
        Takes the change that a gesture ends with, and what to say of it.
    go_to : callable
        Takes the id of a candidate that was clicked.
    """

    def __init__(
        self, controller: Controller, carry_out: Callable[[Change, str], None], go_to: Callable[[str], None]
    ) -> None:
        self._controller = controller
        self._carry_out = carry_out
        self._go_to = go_to
        self._boxes = Boxes(controller.viewer)
        self._callbacks = controller.viewer.mouse_drag_callbacks
        self._callbacks.append(self._click)
        controller.changed.connect(self._on_changed)

    def close(self) -> None:
        """Stop listening to the viewer."""
        self._controller.changed.disconnect(self._on_changed)
        self._boxes.close()
        if self._click in self._callbacks:
            self._callbacks.remove(self._click)

    def move(self) -> None:
        """Let the next click place the candidate, or not after all."""
        self._toggle(Kind.MOVE)

    def split(self) -> None:
        """Let the next two clicks be the centres of the lesions that the candidate is, or not after all."""
        self._toggle(Kind.SPLIT)

    def merge(self) -> None:
        """Propose to merge the candidate with its nearest neighbour; do so when that is proposed already."""
        state, study, current = self._controller.state, self._controller.study, self._controller.screen.current
        if self._under_way(Kind.MERGE):
            self._merge(state.gesture.partner)
        elif study is not None and current is not None and self._controller.screen.can_judge:
            from napari_lesion_points.workflow.regrouping import MERGE_MM, merge_partners

            try:
                partners = merge_partners(study, current, state.threshold)
            except LesionPointsError as error:
                self._controller.say(str(error), "error")
                return
            if partners:
                self._controller.update(placing=True, gesture=Gesture(Kind.MERGE, partners=partners))
            else:
                self._controller.say(
                    _("Within {distance:.0f} mm there is nothing to merge it with.").format(distance=MERGE_MM),
                    "warning",
                )

    def next_partner(self) -> None:
        """Propose the next neighbour for merging."""
        if self._under_way(Kind.MERGE):
            self._controller.update(gesture=self._controller.state.gesture.next_partner())

    def stop(self) -> None:
        """Let clicks be clicks again."""
        if self._controller.state.placing:
            self._controller.update(placing=False)

    def _under_way(self, kind: Kind) -> bool:
        return self._controller.state.placing and self._controller.state.gesture.kind is kind

    def _toggle(self, kind: Kind) -> None:
        if self._under_way(kind):
            self.stop()
        elif self._controller.screen.can_judge:
            self._controller.update(placing=True, gesture=Gesture(kind))

    def _on_changed(self, screen: Screen) -> None:
        state = screen.state
        self._boxes.show(self._controller.shown, state.gesture.boxes if state.placing else ())

    def _click(self, viewer: Viewer, event: Any) -> Iterator[None]:
        if self._controller.shown is None or self._controller.state.tab != "Review" or event.button != _LEFT:
            return
        placing, pressed = self._controller.state.placing, np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.linalg.norm(np.array(event.pos) - pressed) > _CLICK_PIXELS or self._controller.state.placing != placing:
            return
        if placing:
            self._place(viewer, event.position)
        elif viewer.dims.ndisplay == 2 and not event.modifiers:
            state = self._controller.state
            visible = [c for c in state.candidates if c.existence >= state.threshold]
            on = self._nearest(visible, event.position, on_slice=True)
            if on is not None:
                QTimer.singleShot(0, lambda: self._go_to(on.id))  # after the crosshair, which goes to the click

    def _place(self, viewer: Viewer, position: Sequence[float]) -> None:
        """Go on with the gesture at a place on the canvas (napari's coordinates)."""
        shown, gesture = self._controller.shown, self._controller.state.gesture
        if shown is None:
            return
        if viewer.dims.ndisplay == 3:
            self._controller.say(FLAT_ONLY, "warning")
            return
        if gesture.kind is Kind.MERGE:
            partner = self._nearest(gesture.partners, position, on_slice=False)
            if partner is None:
                self._controller.say(
                    _("Nothing to merge with lies there. Click one of the markers, or press Esc."), "warning"
                )
            self._merge(partner)
            return
        world = layers.clicked(shown, position)
        if not shown.grid.contains([world])[0]:
            self._controller.say(_("That is outside of the image. Click inside it, or press Esc."), "warning")
        elif gesture.kind is Kind.MOVE:
            self._move(world)
        elif gesture.marks:
            self._split(gesture.marks[0], world)
        else:
            self._controller.update(gesture=replace(gesture, marks=(world,)))

    def _nearest(
        self, points: Sequence[LesionPoint], position: Sequence[float], *, on_slice: bool
    ) -> LesionPoint | None:
        """Return the point that a click on the canvas is on, if any; with `on_slice`, of those shown on this slice."""
        shown, viewer = self._controller.shown, self._controller.viewer
        if shown is None or not points:
            return None
        spacing = shown.grid.spacing
        apart_mm = np.abs(shown.to_layer([p.world for p in points]) * spacing - np.asarray(position, dtype=float))
        pixels = np.linalg.norm(apart_mm[:, list(viewer.dims.displayed)], axis=1) * viewer.scene.camera.zoom
        if on_slice:
            axis = viewer.dims.order[0]
            pixels[apart_mm[:, axis] > reach_mm(self._controller.state.margin_mm, spacing[axis])] = np.inf
        nearest = int(np.argmin(pixels))
        return points[nearest] if pixels[nearest] <= _ON_PIXELS else None

    def _move(self, world: World) -> None:
        from napari_lesion_points.workflow.review import verdict_change

        self._finish(lambda study, one: verdict_change(study, one, Verdict.MOVED, world), _MOVED)

    def _split(self, first: World, second: World) -> None:
        from napari_lesion_points.workflow.regrouping import can_be_two, split_change

        if can_be_two(first, second):
            self._finish(lambda study, one: split_change(study, one, first, second), _SPLIT)
        else:
            why = _("That is too close to the first centre to be another lesion. Click farther away, or press Esc.")
            self._controller.say(why, "warning")

    def _merge(self, partner: LesionPoint | None) -> None:
        from napari_lesion_points.workflow.regrouping import merge_change

        if partner is not None:
            self._finish(lambda study, one: merge_change(study, one, partner), _MERGED)

    def _finish(self, change_of: Callable[[Study, LesionPoint], Change], said: str) -> None:
        """Carry out what a gesture has come to."""
        study, current = self._controller.study, self._controller.screen.current
        if study is None or current is None or not self._controller.screen.can_judge:
            return
        try:
            change = change_of(study, current)
        except LesionPointsError as error:
            self._controller.say(_("Not stored: {error}").format(error=error), "error")
            return
        self._carry_out(change, said.format(existence=current.existence))
