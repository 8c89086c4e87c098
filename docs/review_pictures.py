"""The pictures of docs/review.md: one case from the first proposal to the end of its review, with numbered marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qtpy.QtCore import QPoint, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QImage, QPainter, QPen
from qtpy.QtWidgets import QScrollArea, QSplitter, QWidget

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.matching import match_points
from napari_lesion_points.core.records import Change, LesionPoint, Verdict
from napari_lesion_points.errors import StudyError
from napari_lesion_points.store.volumes import read_labels
from napari_lesion_points.ui import staging
from napari_lesion_points.ui.app import Window

#: A candidate this near (mm) to a lesion of the masks is that lesion, as in the package's evaluation.
JUDGED_MM = 6.0

#: One farther (mm) from it is moved there. That need not be, so near a centre, but the picture is to show it.
MOVED_MM = 0.9

#: How far (mm) before and behind the slice verdicts are shown in their picture.
SHOWN_MM = 5.0

#: The sensitivity that is wished for: the starter finds more of the lesions of this case.
WISHED = 0.5

#: Height of the list of cases (pixels) that leaves room for all that the calibration says.
CASES_PIXELS = 226

BADGE = "#ffd54f"
RADIUS = 11

World = tuple[float, float, float]


class Mark(NamedTuple):
    """A numbered mark: beside a widget at a share of its width and height, moved by some pixels."""

    widget: QWidget
    across: float
    down: float
    dx: int = 0
    dy: int = 0


def make_review(window: Window, case: str, masks: str, out: Path) -> None:
    """Propose lesions in a case, review them as the masks (a pattern relative to the study) say, and take pictures."""
    dock, controller = window.dock, window.dock.controller
    staging.show_case(window, case)
    lesions = _lesions(window, case, masks)
    dock.show_tab("Annotate")
    panel, cases = dock.annotate, dock.cases
    _picture(window, out / "review-begin.png", [
        Mark(cases.reader, 1.0, 0.5, -13), Mark(cases.table, 0.0, 0.0, 14, 10), Mark(panel.propose, 0.0, 0.5, 16),
        Mark(cases.help, 0.0, 0.5, -13),
    ])  # fmt: skip
    panel.propose.click()
    staging.wait(lambda: not controller.state.job.running and controller.state.tab == "Review", 600, "the proposals")
    _rest(window)

    review, canvas = dock.review, window.viewer.window._qt_viewer.canvas.native
    pane = dock.views.panel.panes[0]
    screen = [
        Mark(canvas, 0.5, 0.5, -34, -34), Mark(canvas, 0.0, 0.5, 48), Mark(pane, 0.5, 0.5, -40, -40),
        Mark(canvas, 1.0, 0.0, -100, 22), Mark(canvas, 1.0, 1.0, -142, -28), Mark(review.count, 0.0, 0.5, -14),
        Mark(review.title, 1.0, 0.5, -16, 2), Mark(review.reject, 0.5, 0.0, 0, -4),
        Mark(review.lesions, 1.0, 0.5, -2, 6), Mark(review.existence, 0.6, 0.5), Mark(dock.message, 1.0, 0.5, -16),
    ]  # fmt: skip
    _picture(window, out / "review-screen.png", screen)

    dock.views.navigator.set_views("sequences")
    _rest(window)
    _picture(window, out / "review-sequences.png")
    dock.views.navigator.set_views("planes")

    _show_move(window, lesions, out / "review-move.png")
    missed = _judge(window, lesions)
    _show_verdicts(window, out / "review-verdicts.png")
    dock.desk.toggle_list()
    _rest(window)
    _picture(window, out / "review-list.png")
    dock.desk.toggle_list()

    dock.show_tab("Annotate")
    window.viewer.reset_view()
    for place in missed:
        controller.store(Change.adding(LesionPoint(case, place, reader=controller.state.reader)), "Added, stored.")
    if missed:
        controller.jump(missed[-1])
        window.viewer.reset_view()
    panel.table.scrollToBottom()
    _picture(
        window, out / "review-missed.png", [Mark(panel.table, 1.0, 1.0, -110, -16), Mark(cases.done, 0.5, 0.0, 0, -9)]
    )
    cases.done.click()
    dock.key_sheet.toggle()
    _rest(window)
    _picture(window, out / "review-keys.png")
    dock.key_sheet.toggle()

    dock.show_tab("Predict")
    _show_calibration(window, out / "review-calibration.png")
    window.viewer.theme = "light"
    dock.show_tab("Review")
    dock.desk.back()
    _rest(window)
    _picture(window, out / "review-light.png")
    window.viewer.theme = "dark"


def _lesions(window: Window, case: str, masks: str) -> Sequence[World]:
    """Centres (world mm) of the lesions in the case's mask; StudyError when there is none."""
    study = window.dock.controller.study
    if study is None:
        raise StudyError("no study is open; name one on the command line.")
    for path in sorted(study.root.glob(masks)) if masks else ():
        if case in path.name:
            return [(x, y, z) for x, y, z in component_centres(read_labels(path)).centers_world.tolist()]
    raise StudyError(f"{masks!r} names no mask of {case} in {study.root}; give it with --masks.")


def _show_move(window: Window, lesions: Sequence[World], path: Path) -> None:
    """Go to the candidate that lies farthest from its lesion, and take a picture while the next click places it."""
    dock, controller = window.dock, window.dock.controller
    wanted = _verdicts(window, lesions)
    off_mm = {c.id: math.dist(wanted[c.id], c.world) for c in controller.state.queue if c.id in wanted}
    farthest = max(off_mm, key=lambda candidate: off_mm[candidate])
    while controller.screen.current is not None and controller.screen.current.id != farthest:
        dock.desk.skip()
    _rest(window)
    dock.desk.clicks.move()
    _rest(window)
    _picture(window, path, [Mark(dock.review.place, 0.5, 0.0, 0, -4), Mark(dock.review.hint, 0.0, 0.5, -8)])
    dock.desk.clicks.stop()
    dock.desk.rebuild()
    _rest(window)


def _verdicts(window: Window, lesions: Sequence[World]) -> dict[str, World]:
    """Which lesion each candidate of the queue is, by id; the others are none."""
    queue = window.dock.controller.state.queue
    pairs = match_points([c.world for c in queue], lesions, JUDGED_MM).pairs
    return {queue[i].id: lesions[k] for i, k in pairs}


def _judge(window: Window, lesions: Sequence[World]) -> list[World]:
    """Give the verdicts on all candidates, what is moved going to where the lesion is; return the missed lesions."""
    dock, controller = window.dock, window.dock.controller
    wanted = _verdicts(window, lesions)
    while controller.screen.current is not None:
        current: LesionPoint = controller.screen.current
        place = wanted.get(current.id)
        if place is None:
            dock.desk.reject()
        elif math.dist(place, current.world) <= MOVED_MM:
            dock.desk.accept()
        else:
            dock.desk.clicks.move()
            dock.desk.clicks._move(place)
        staging.settle(0.02)
    _rest(window)
    return [place for place in lesions if place not in wanted.values()]


def _show_verdicts(window: Window, path: Path) -> None:
    """Show the slice with the most kinds of verdicts on it, and of these the one with the most, whole.

    Of the candidates on it that are no lesion, the most uncertain one is put aside as unsure.
    """
    dock, controller = window.dock, window.dock.controller
    judged = [c for c in controller.state.candidates if c.verdict]

    def beside(candidate: LesionPoint) -> list[LesionPoint]:
        return [c for c in judged if abs(c.world[2] - candidate.world[2]) <= SHOWN_MM]

    def variety(candidate: LesionPoint) -> tuple[int, int]:
        return len({c.verdict for c in beside(candidate)}), len(beside(candidate))

    best = max(judged, key=variety)
    rejected = [c for c in beside(best) if c.verdict is Verdict.REJECTED]
    dock.desk.go_to(max(rejected, key=lambda c: c.entropy).id)
    _rest(window)
    dock.desk.unsure()
    _rest(window)
    if controller.scene.candidates is not None:
        controller.scene.candidates.selected_data = set()
    controller.set_margin(SHOWN_MM)
    controller.jump(best.world)
    window.viewer.reset_view()
    _rest(window)
    _picture(window, path)
    controller.set_margin(3)


def _show_calibration(window: Window, path: Path) -> None:
    """Unfold the calibration, wish for a sensitivity that can be had, and take a picture with all that it says."""
    dock = window.dock
    part, area, splitter = dock.predict.calibration, dock.tabs.currentWidget(), dock.findChildren(QSplitter)[0]
    above, below = splitter.sizes()
    splitter.setSizes([CASES_PIXELS, above + below - CASES_PIXELS])
    part.fold.click()
    part.wished.setValue(WISHED)
    staging.wait(lambda: dock.calibration.estimate is not None, 60, "the calibration")
    _rest(window)
    if isinstance(area, QScrollArea):
        area.ensureWidgetVisible(part.words, 0, 0)
    _picture(window, path)
    splitter.setSizes([above, below])


def _rest(window: Window) -> None:
    staging.settle(0.6)


def _picture(window: Window, path: Path, marks: Sequence[Mark] = ()) -> None:
    """Save a picture of the whole window, with the marks numbered from 1."""
    staging.capture(window, path)
    if not marks:
        return
    picture = QImage(str(path))
    frame = window.viewer.window._qt_window
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(QFont("sans", 10, QFont.Weight.Bold))
    for number, mark in enumerate(marks, start=1):
        within = QPoint(round(mark.across * mark.widget.width()), round(mark.down * mark.widget.height()))
        at = mark.widget.mapTo(frame, within) + QPoint(mark.dx, mark.dy)
        around = QRectF(at.x() - RADIUS, at.y() - RADIUS, 2 * RADIUS, 2 * RADIUS)
        painter.setBrush(QColor(BADGE))
        painter.setPen(QPen(QColor("black"), 1.5))
        painter.drawEllipse(around)
        painter.drawText(around, Qt.AlignmentFlag.AlignCenter, str(number))
    painter.end()
    picture.save(str(path))
