"""Bringing a point on screen, once: its case first, then its place, whenever that case is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_lesion_points.core.records import LesionPoint
    from napari_lesion_points.ui.controller import Controller


class Approach:
    """Follows the point that a desk has at hand; the reader may look elsewhere afterwards.

    Parameters
    ----------
    controller : Controller
        Whose view it moves.
    at_hand : callable
        Returns that point, or None.
    show : callable
        Goes to its place. From then on the state's `in_view` is its id.
    """

    def __init__(
        self, controller: Controller, at_hand: Callable[[], LesionPoint | None], show: Callable[[LesionPoint], None]
    ) -> None:
        self._controller, self._at_hand, self._show = controller, at_hand, show
        self._drawn = ""  # the case of the point that was approached last
        self.begin()

    def begin(self, at: str = "") -> None:
        """Approach whatever is at hand anew, unless it is the point `at` (an id), where the view is already."""
        self.at = at
        self._arriving = False  # the view is on its way to that one
        self._fetched = ""  # the point whose case was asked for, once: it may be unreadable

    def go_on(self) -> None:
        """Take the next step to the point at hand, if there is one to take; called when anything has changed."""
        screen, point = self._controller.screen, self._at_hand()
        if point is None:
            return
        if point.case != screen.state.wanted:
            if point.id not in (self.at, self._fetched):
                self._fetched = point.id
                self._controller.select_case(point.case)
        elif screen.case_ready and not screen.state.loading:
            if point.id == self.at and (self._arriving or point.id == screen.state.in_view):
                return
            self.at, self._arriving = point.id, True
            # Another case is drawn first, lest the stretch of work be long: at 0 ms, Qt would not wait for that.
            QTimer.singleShot(0 if self._drawn == point.case else 1, self._arrive)
            self._drawn = point.case

    def _arrive(self) -> None:
        """Show the point at hand, when it is still that one."""
        controller, point = self._controller, self._at_hand()
        arriving, self._arriving = self._arriving, False
        if controller.closed or not arriving or point is None or point.id != self.at:
            return
        if controller.screen.case_ready and point.case == controller.state.shown:
            self._show(point)
            controller.update(in_view=point.id)
