"""The painting desk: the mask of the case on screen, saved by itself, and the lesions that a segmentation drew.

Whatever changes the painted layer (brush, eraser, fill, undo, a script) is found by comparing it with what was saved:
when the layer has rested for a moment, when another case is shown, and when the window closes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.ui.mask_writer import MaskWriter, UnsavedMask
from napari_lesion_points.ui.session import PaintedMask
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_lesion_points.core.geometry import Grid, Volume
    from napari_lesion_points.core.lesion_volumes import LesionVolume
    from napari_lesion_points.store.cases import CaseFiles
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.jobs import JobControl
    from napari_lesion_points.ui.layers import DisplayedCase
    from napari_lesion_points.ui.screen import Screen

#: Paint is saved when the brush has rested for this long (ms).
_REST_MS = 600


@dataclass(frozen=True, eq=False)
class CaseMasks:
    """The masks of a case on the displayed grid; `grid` is the case's own. `drawn` is None before any segmentation."""

    grid: Grid
    painted: Volume
    drawn: Volume | None
    lesions: tuple[LesionVolume, ...]


@dataclass(frozen=True, eq=False)
class _Canvas:
    """What is painted on: where it is kept, and what of it is saved or on its way to disk."""

    path: Path
    shown: DisplayedCase
    grid: Grid
    layer: Labels
    saved: NDArray[np.generic]


class PaintDesk:
    """Keeps painted masks and their files the same, and shows what segmentations draw."""

    def __init__(self, controller: Controller, jobs: JobControl) -> None:
        self._controller = controller
        self._jobs = jobs
        self._writer = MaskWriter(controller.workers, self._on_saved, self._not_saved)
        self._study: Study | None = None
        self._shown: DisplayedCase | None = None
        self._canvas: _Canvas | None = None
        self._mode = "pan_zoom"
        self._wanted = False  # nothing of this costs anybody anything before the tab is opened
        self._then: Callable[[], None] | None = None
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self.save)
        controller.changed.connect(self._on_changed)
        jobs.segmented.connect(self._on_segmented)

    # tools -----------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the case on screen can be painted on."""
        return self._canvas is not None and self._canvas.layer in self._controller.viewer.layers

    @property
    def mode(self) -> str:
        """The tool in hand: napari's "paint", "erase", "pan_zoom" or another of its modes."""
        return str(self._canvas.layer.mode) if self._canvas is not None and self.ready else "pan_zoom"

    def set_mode(self, mode: str) -> None:
        """Take a tool in hand."""
        self._mode = mode
        if self._canvas is not None and self.ready:
            self._controller.viewer.layers.selection.active = self._canvas.layer
            if not self._canvas.layer.visible:
                self._canvas.layer.visible = True  # napari gives no tool to a layer that is hidden
            self._canvas.layer.mode = mode
        else:
            self._load()  # its layer was removed: shown anew from disk

    @property
    def brush(self) -> int:
        """Width of the brush, voxels."""
        return int(self._canvas.layer.brush_size) if self._canvas is not None else 1

    def set_brush(self, voxels: int) -> None:
        """Choose the width of the brush."""
        if self._canvas is not None:
            self._canvas.layer.brush_size = voxels

    def undo(self) -> None:
        """Take back the last stroke."""
        if self._canvas is not None:
            self._canvas.layer.undo()
            self._rest.start()

    def redo(self) -> None:
        """Paint the last undone stroke again."""
        if self._canvas is not None:
            self._canvas.layer.redo()
            self._rest.start()

    # what is painted -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Have what was painted since the last time written."""
        canvas = self._canvas
        if canvas is None or np.array_equal(canvas.layer.data, canvas.saved):
            return
        from napari_lesion_points.core.geometry import Volume

        saved = np.array(canvas.layer.data)
        self._canvas = replace(canvas, saved=saved)
        self._writer.put(canvas.path, UnsavedMask(Volume(saved, canvas.shown.grid), canvas.grid))

    def train(self, *, minutes: float, init: str, device: str) -> None:
        """Train a segmentation on the checked masks, once all of them are on disk."""
        self.save()
        study, cases = self._controller.study, self._controller.screen.mask_cases

        def start() -> None:
            if self._controller.study is study:  # else another was opened meanwhile
                self._jobs.segment(cases, minutes=minutes, init=init, device=device)

        if self._writer.idle:
            start()
        else:
            self._then = start

    def close(self) -> None:
        """Write what is not yet on disk and let go: the session ends, so this is waited for."""
        self._rest.stop()
        self.save()
        self._canvas = None
        try:
            self._writer.flush()
        except LesionPointsError as error:
            self._controller.say(_("What you painted last is lost: {error}").format(error=error), "error")

    def _on_saved(self, path: Path, displaced: Path | None) -> None:
        study, case = self._controller.study, _case_of(path)
        if displaced is not None:
            self._controller.say(
                _(
                    "The mask of {case} was changed in another window meanwhile. Yours is saved; the other is kept as "
                    "{file}."
                ).format(case=case, file=displaced),
                "warning",
            )
        if study is not None and path.parent == study.store / "masks":
            self._controller.workers.start(
                _measured, case, path, returned=partial(self._take_measure, study), failed=self._say_error
            )
        if self._writer.idle and self._then is not None:
            then, self._then = self._then, None
            then()

    def _not_saved(self, why: str) -> None:
        self._then = None
        self._say_error(_("The mask is not saved yet, and will be tried again: {why}").format(why=why))

    def _take_measure(self, study: Study, mask: PaintedMask) -> None:
        if study is not self._controller.study:
            return
        others = [m for m in self._controller.state.painted if m.case != mask.case]
        painted = sorted([*others, mask] if mask.lesions else others, key=lambda m: m.case)
        self._controller.update(painted=tuple(painted))

    # cases -----------------------------------------------------------------------------------------------------------

    def _on_changed(self, screen: Screen) -> None:
        controller = self._controller
        opened = screen.state.tab == "Segment" and not self._wanted
        self._wanted = self._wanted or opened
        if controller.shown is not self._shown:
            self._rest.stop()
            self.save()
            self._canvas, self._shown = None, controller.shown
            if controller.shown is not None:
                controller.scene.show_masks(controller.shown, None, None)
            controller.update(lesions=None)
            opened = self._wanted
        if self._wanted and controller.study is not self._study:
            self._study = controller.study
            if self._study is not None:
                controller.workers.start(
                    _all_measured, self._study,
                    returned=partial(self._take_all, self._study), failed=self._say_error,
                )  # fmt: skip
        if opened:
            self._load()

    def _take_all(self, study: Study, painted: tuple[PaintedMask, ...]) -> None:
        if study is self._controller.study:
            self._controller.update(painted=painted)

    def _on_segmented(self, case: str) -> None:
        if self._shown is None or case != self._shown.case:
            return
        self._wanted = True
        self._load()

    def _load(self) -> None:
        """Read the masks of the case on screen."""
        study, shown = self._controller.study, self._controller.shown
        if study is None or shown is None:
            return
        path = study.mask_path(shown.case)
        waiting = self._writer.unsaved(path)  # it may be on disk before the file is shown, but after it was read
        self._controller.workers.start(
            load_masks, study.files_of(shown.case), path, study.segmentation_path(shown.case), shown.grid,
            returned=partial(self._show, shown, path, waiting), failed=self._say_error,
        )  # fmt: skip

    def _show(self, shown: DisplayedCase, path: Path, waiting: UnsavedMask | None, masks: CaseMasks) -> None:
        controller = self._controller
        if shown is not controller.shown:
            return  # another case is on screen by now
        drawn = None if masks.drawn is None else masks.drawn.data
        if self.ready:  # it is being painted on, and only what was drawn is new
            controller.scene.show_drawn(shown, drawn)
        else:
            unsaved = self._writer.unsaved(path) or waiting  # newer than what was read
            data = np.array((unsaved.volume if unsaved else masks.painted).data)
            controller.scene.show_masks(shown, data, drawn)
            layer = controller.scene.painted
            if layer is None:
                return
            layer.mode = self._mode
            self._canvas = _Canvas(path, shown, masks.grid, layer, data.copy())
            for event in (layer.events.paint, layer.events.labels_update, layer.events.set_data):
                event.connect(self._painted)  # connected twice, it is called once
            layer.events.mode.connect(self._mode_changed)
        controller.update(lesions=masks.lesions if masks.drawn is not None else None)
        if controller.state.tab == "Segment":
            controller.activate_tool()

    def _painted(self, event: Any = None) -> None:
        if self._canvas is not None:
            self._rest.start()

    def _mode_changed(self, event: Any = None) -> None:
        if self._canvas is not None and self._canvas.layer.visible:  # hidden, it has no tool for a while
            self._mode = str(self._canvas.layer.mode)
        self._controller.update()

    def _say_error(self, why: str) -> None:
        self._controller.say(why, "error")


def load_masks(files: CaseFiles, painted: Path, drawn: Path, grid: Grid) -> CaseMasks:
    """Read the masks of a case onto the displayed grid. Runs in a worker."""
    from napari_lesion_points.core.lesion_volumes import lesion_volumes
    from napari_lesion_points.store.cases import reference_grid
    from napari_lesion_points.store.painted_mask import read_mask

    found = read_mask(drawn, grid) if drawn.is_file() else None
    lesions = lesion_volumes(found) if found is not None else ()
    return CaseMasks(reference_grid(files), read_mask(painted, grid), found, lesions)


def _measured(case: str, path: Path) -> PaintedMask:
    """Count and measure what is painted in a file. Runs in a worker."""
    from napari_lesion_points.core.components import component_centres
    from napari_lesion_points.core.lesion_volumes import voxel_ml
    from napari_lesion_points.store.volumes import read_labels

    if not path.is_file():
        return PaintedMask(case, 0, 0.0)
    mask = read_labels(path)
    lesions = component_centres(mask, min_voxels=1)
    return PaintedMask(case, len(lesions.sizes), float(lesions.sizes.sum() * voxel_ml(mask.grid)))


def _all_measured(study: Study) -> tuple[PaintedMask, ...]:
    """Measure what is painted in all cases. Runs in a worker."""
    return tuple(_measured(case, path) for case, path in sorted(study.painted_masks().items()))


def _case_of(path: Path) -> str:
    return path.name.removesuffix("_mask.nii.gz")
