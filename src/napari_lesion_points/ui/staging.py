"""Stages of a reading, driven from a script: for the pictures of the guide, the demonstration, and tests.

Each stage brings the window to a point of the main job and returns when everything is drawn. The window's own buttons
are pressed and its own worker does the work, so what a picture shows is what a user gets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication

from napari_lesion_points.errors import OutputError, StudyError
from napari_lesion_points.ui.session import JobState

if TYPE_CHECKING:
    from napari_lesion_points.core.events import Event
    from napari_lesion_points.ui.app import Window

_READ_TIMEOUT_S = 120.0


def wait(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Keep the window alive until a condition holds; StudyError, naming `what`, when it does not in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise StudyError(f"waited {timeout_s:.0f} s for {what}, in vain.")
        QApplication.processEvents()
        time.sleep(0.01)


def settle(seconds: float = 0.4) -> None:
    """Let the window draw for a while."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end, seconds + 60, "the window")


def resize(window: Window, width: int = 1366, height: int = 768) -> None:
    """Give the window a size (pixels); the default is that of a small laptop."""
    window.viewer.window.resize(width, height)
    settle()


def capture(window: Window, path: Path) -> None:
    """Save a picture of the whole window as PNG; OutputError when it cannot be written."""
    settle()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        window.viewer.screenshot(str(path), canvas_only=False, flash=False)
    except OSError as error:
        raise OutputError(f"{path}: the picture cannot be written ({error}). Choose another folder.") from error


def show_case(window: Window, case: str = "") -> None:
    """Show a case, or wait for the one that is being read."""
    controller = window.dock.controller
    controller.select_case(case or controller.state.wanted)
    wait(lambda: not controller.state.loading, _READ_TIMEOUT_S, f"the images of {controller.state.wanted}")
    if not controller.screen.case_ready:
        raise StudyError(controller.state.notice.text)
    settle()


def import_masks_stage(window: Window, pattern: str) -> JobState:
    """Take points from lesion masks (a pattern relative to the study), and return how that ended."""
    window.dock.show_tab("Export")
    window.dock.exchange.pattern.setText(pattern)
    window.dock.exchange.import_masks.click()
    controller = window.dock.controller
    wait(lambda: not controller.state.job.running, _READ_TIMEOUT_S, "the masks")
    settle()
    return controller.state.job


def annotate_stage(window: Window, case: str = "") -> None:
    """Show a case in the Annotate tab, at the slice of its first point."""
    show_case(window, case)
    window.dock.show_tab("Annotate")
    controller = window.dock.controller
    controller.viewer.reset_view()
    if controller.state.points and controller.editor is not None:
        point = controller.state.points[0]
        center = controller.viewer.scene.camera.center
        controller.jump(point.world)
        controller.viewer.scene.camera.center = center
        controller.editor.select({point.id})
    settle()


def train_stage(
    window: Window,
    *,
    minutes: float,
    init: str = "",
    device: str = "auto",
    picture: Path | None = None,
) -> JobState:
    """Train from the Train tab, save a picture shortly before the end, and return how it ended.

    `init` is the name of a model in the list, or "" for scratch.
    """
    dock, controller = window.dock, window.dock.controller
    dock.show_tab("Train")
    wait(lambda: not dock.jobs.listing, 60, "the list of models")
    path = next((str(card.path) for card in controller.state.models if card.name == init), "")
    dock.train.unit.setCurrentIndex(dock.train.unit.findData("min"))
    dock.train.budget.setValue(minutes)
    dock.train.init.setCurrentIndex(max(dock.train.init.findData(path), 0))
    dock.train.device.setCurrentIndex(max(dock.train.device.findData(device), 0))
    dock.train.start.click()
    limit_s = minutes * 60 * 3 + 600
    if picture is not None:
        curves = dock.train.curves
        wait(
            lambda: (
                not controller.state.job.running
                or (controller.state.job.fraction > 0.85 and bool(curves.loss) and bool(curves.validation))
            ),
            limit_s,
            "the training",
        )
        dock.train.curves.draw()
        capture(window, picture)
    wait(lambda: not controller.state.job.running, limit_s, "the training")
    settle()
    return controller.state.job


def replay_stage(window: Window, title: str, events: Iterable[Event]) -> None:
    """Show in the Train tab a training that ran elsewhere, from its events."""
    window.dock.show_tab("Train")
    window.dock.jobs.replay(title, tuple(events))
    settle()
    window.dock.train.curves.draw()
    settle()


def predict_stage(window: Window, cases: Iterable[str] = (), model: str = "", device: str = "auto") -> JobState:
    """Predict cases (all, when none are named) from the Predict tab, and return how it ended."""
    dock = window.dock
    dock.show_tab("Predict")
    controller = dock.controller
    names = tuple(cases) or tuple(summary.case for summary in controller.state.cases)
    wait(lambda: not dock.jobs.listing, 60, "the list of models")
    dock.jobs.predict(model or controller.state.model, names, device)
    wait(lambda: not controller.state.job.running, 120.0 * len(names) + 600, "the prediction")
    settle()
    return controller.state.job


def review_stage(window: Window, case: str = "") -> None:
    """Show the most uncertain candidate, of one case or of all, in the Review tab."""
    dock = window.dock
    if case:
        show_case(window, case)
    dock.show_tab("Review")
    dock.desk.start(not case)
    wait(lambda: not dock.desk.reading, _READ_TIMEOUT_S, "the candidates")
    if dock.controller.screen.current is not None:
        wait(lambda: dock.controller.screen.can_judge, _READ_TIMEOUT_S, "the case under review")
        settle()
    settle()


def segment_stage(window: Window, case: str = "") -> JobState:
    """Show a case in the Segment tab, segment it if the study has a segmentation, and return how that ended."""
    dock, controller = window.dock, window.dock.controller
    show_case(window, case)
    dock.show_tab("Segment")
    wait(lambda: dock.painting.ready and not dock.jobs.listing, _READ_TIMEOUT_S, "the painted mask and the models")
    if controller.screen.can_segment:
        dock.segment.segment.click()
        wait(lambda: not controller.state.job.running, 600.0, "the segmentation")
        wait(lambda: controller.state.lesions is not None, _READ_TIMEOUT_S, "the lesions")
    for layer in (controller.scene.heatmap, controller.scene.candidates):
        if layer is not None:
            layer.visible = False  # they lie over the lesions
    if controller.state.lesions:
        controller.jump(controller.state.lesions[0].center_world)
        controller.viewer.scene.camera.zoom *= 1.3
    settle()
    return controller.state.job
