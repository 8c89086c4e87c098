"""Where each reader stopped: written while they read, and gone back to when they open the study again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_lesion_points.core.records import Place, Verdict
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui import canvas
from napari_lesion_points.ui.planes import ORIENTATIONS
from napari_lesion_points.ui.session import TABS
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.layers import DisplayedCase
    from napari_lesion_points.ui.reviewing import ReviewDesk
    from napari_lesion_points.ui.screen import Screen

_LOG = logging.getLogger(__name__)

#: A place is written at most this often (ms), and soon after another case was opened.
_OFTEN_MS, _SOON_MS = 2000, 100


class Bookmarks:
    """Keeps the place of one window's reader.

    A window in which nobody has moved writes nothing: of two windows of one reader, the one that was used last counts.

    Parameters
    ----------
    controller, desk
        What is kept of them, and put back.
    show_tab : callable
        Brings a tab to the front.
    """

    def __init__(self, controller: Controller, desk: ReviewDesk, show_tab: Callable[[str], None]) -> None:
        self._controller, self._desk, self._show_tab = controller, desk, show_tab
        self._shown: DisplayedCase | None = None
        self._known: tuple[str, str, Place] | None = None  # database, reading, and the place that was last seen to
        self._waiting: tuple[Study, Place] | None = None
        self._lock = threading.Lock()  # held while one is written: no two threads write, and none an older one
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._save)
        viewer = controller.viewer
        self._events = viewer.dims.events.point, viewer.scene.camera.events.center, viewer.scene.camera.events.zoom
        for event in self._events:
            event.connect(self._on_moved)
        controller.changed.connect(self._on_changed)
        controller.leaving.connect(self._on_leaving)

    def close(self) -> None:
        """Write the last place now, and let go of the viewer: the session ends."""
        self._put()
        try:
            self._write()
        except LesionPointsError as error:
            _LOG.warning("Where you stopped is not stored: %s", error)
        self._timer.stop()
        for event in self._events:
            event.disconnect(self._on_moved)
        self._controller.changed.disconnect(self._on_changed)
        self._controller.leaving.disconnect(self._on_leaving)

    def place(self) -> Place | None:
        """Return where the reader is; None without a case, and in the 3D view, which has no slice."""
        controller, shown = self._controller, self._controller.shown
        viewer, state = controller.viewer, controller.state
        if shown is None or shown.case != state.shown or (viewer.dims.ndim, viewer.dims.ndisplay) != (3, 2):
            return None
        middle, zoom = canvas.view(viewer, shown)
        (x, y, z), (right, anterior, superior) = shown.to_world([canvas.place(viewer, shown), middle])
        current = controller.screen.current
        return Place(
            shown.case, (float(x), float(y), float(z)), zoom,
            queue_position=sum(p.verdict is Verdict.NONE for p in state.queue[: state.at]),
            middle=(float(right), float(anterior), float(superior)), orientation=state.orientation, tab=state.tab,
            candidate=current.id if current else "", all_cases=state.queue_all_cases, order=str(state.queue_order),
        )  # fmt: skip

    # writing ---------------------------------------------------------------------------------------------------------

    def _on_moved(self) -> None:
        if not self._timer.isActive():
            self._timer.start(_OFTEN_MS)

    def _on_leaving(self) -> None:
        """Keep the place of the reader, or of the study, that is about to be left."""
        study = self._controller.study
        self._save()
        if study is not None:
            self._controller.workers.start(self._let_go, study)

    def _save(self) -> None:
        if self._put():
            self._controller.workers.start(self._write, failed=self._not_saved)

    def _put(self) -> bool:
        """Have the place written next, if the reader has moved."""
        study, place = self._controller.study, self.place()
        if study is None or place is None or self._controller.resume is not None:
            return False
        known = study.database, study.reading, place  # and any reader: who takes over has not moved yet
        if known == self._known:
            return False
        self._known = known
        self._waiting = study.of(study.reading), place  # the reader's name may change before it is written
        return True

    def _write(self) -> None:
        """Write what waits. Runs in a worker; at the end, in the window's thread."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                study, place = waiting
                study.remember(place)

    def _let_go(self, study: Study) -> None:
        """Write what waits, and close the connection that this took. Runs in a worker."""
        self._write()
        if study is not self._controller.study:
            study.close()

    def _not_saved(self, why: str) -> None:
        self._known = None
        self._controller.say(_("Where you are could not be stored: {why}").format(why=why), "warning")

    # going back ------------------------------------------------------------------------------------------------------

    def _on_changed(self, screen: Screen) -> None:
        controller, resume = self._controller, self._controller.resume
        if resume is not None and screen.state.wanted not in ("", resume.case):
            controller.resume = None  # the reader has chosen another case
        new = controller.shown is not self._shown
        self._shown = controller.shown
        if new and controller.resume is not None and controller.shown is not None:
            QTimer.singleShot(0, self._go_back)  # when all have been told of the case
        elif new:
            self._timer.start(_SOON_MS)
        else:
            self._on_moved()

    def _go_back(self) -> None:
        """Show what the reader saw when they stopped."""
        controller, shown = self._controller, self._controller.shown
        place, controller.resume = controller.resume, None
        study = controller.study
        if controller.closed or study is None or place is None or shown is None or shown.case != place.case:
            return
        if place.orientation in ORIENTATIONS:
            controller.set_orientation(place.orientation)
        if place.tab == "Review":
            self._desk.resume(place)
        controller.jump(place.world, close_up=place.zoom > 0)
        if place.zoom > 0:
            canvas.look(controller.viewer, shown, shown.to_layer([place.middle or place.world])[0], place.zoom)
        if place.tab in TABS:
            self._show_tab(place.tab)
        now = self.place()
        self._known = None if now is None else (study.database, study.reading, now)
        here = _("You stopped here: {case}.").format(case=place.case)
        controller.say(" ".join((*shown.notes, here)), "warning" if shown.notes else "info")
