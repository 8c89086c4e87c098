"""Masks painted in the window: saved by themselves, at their place, and learned from."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_lesion_points.core.events import CasePredicted, Event, Finished, Started
from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.store import painted_mask
from napari_lesion_points.store.volumes import write_volume
from napari_lesion_points.ui import painting
from napari_lesion_points.ui.mask_layers import DRAWN, PAINTED
from napari_lesion_points.workflow.specs import PredictSpec, TrainSpec

from .conftest import AFFINE, SHAPE, world

AT = world((20, 24, 7))


def mask_file(hand: Any, case: str = "sub-01") -> Path:
    path: Path = hand.controller.study.store / "masks" / f"{case}_mask.nii.gz"
    return path


def voxels(path: Path) -> np.ndarray:
    """What is painted in a file."""
    return np.argwhere(np.asarray(nib.load(path).dataobj))


@pytest.fixture
def painter(reading: Any) -> Any:
    """The hand with the brush, one voxel wide."""
    reading.show_tab("Segment")
    reading.until(lambda: reading.dock.painting.ready)
    reading.dock.segment.tools["paint"].click()
    reading.dock.segment.brush.setValue(1)
    reading.slice_to(AT)
    return reading


def test_a_stroke_is_saved_by_itself_where_it_was_painted(painter: Any) -> None:
    painter.click(AT)
    painter.until(lambda: mask_file(painter).is_file())
    assert voxels(mask_file(painter)).tolist() == [[20, 24, 7]]
    np.testing.assert_allclose(nib.load(mask_file(painter)).affine, AFFINE, atol=1e-5)
    painter.until(lambda: painter.dock.segment.masks.rowCount() == 1)
    assert painter.dock.segment.masks.item(0, 1).text() == "1 lesion, 0.005 ml"
    assert painter.stored == []  # painting places no point


def test_undo_takes_the_stroke_and_nothing_else_back(painter: Any) -> None:
    painter.click(AT)
    painter.until(lambda: mask_file(painter).is_file())
    painter.click(world((26, 30, 7)))
    painter.until(lambda: len(voxels(mask_file(painter))) == 2)
    painter.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    painter.until(lambda: len(voxels(mask_file(painter))) == 1)
    painter.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    painter.until(lambda: len(voxels(mask_file(painter))) == 2)


def test_another_case_saves_at_once_and_the_mask_is_there_again_afterwards(painter: Any) -> None:
    painter.click(AT)
    painter.controller.select_case("sub-02")
    painter.until(lambda: painter.controller.state.shown == "sub-02" and painter.dock.painting.ready)
    painter.until(lambda: mask_file(painter).is_file())
    assert not painter.viewer.layers[PAINTED].data.any()
    assert not mask_file(painter, "sub-02").exists()
    painter.controller.select_case("sub-01")
    painter.until(lambda: painter.controller.state.shown == "sub-01" and painter.dock.painting.ready)
    assert np.count_nonzero(painter.viewer.layers[PAINTED].data) == 1
    assert painter.dock.painting.mode == "paint"  # still in hand


def test_a_mask_that_is_being_written_is_shown_as_it_was_left(painter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    has_read, save, load = threading.Event(), painted_mask.save_mask, painting.load_masks
    desk = painter.dock.painting

    def slow_save(*args: Any) -> Any:
        has_read.wait(20)
        return save(*args)

    def load_while_it_is_written(files: Any, path: Path, *args: Any) -> Any:
        found = load(files, path, *args)
        if path == mask_file(painter):
            has_read.set()
            while not desk._writer.idle:
                time.sleep(0.01)
        return found

    monkeypatch.setattr(painted_mask, "save_mask", slow_save)
    painter.click(AT)
    painter.controller.select_case("sub-02")
    painter.until(lambda: painter.controller.state.shown == "sub-02" and desk.ready)
    monkeypatch.setattr(painting, "load_masks", load_while_it_is_written)
    painter.controller.select_case("sub-01")
    painter.until(lambda: painter.controller.state.shown == "sub-01" and desk.ready)
    assert painter.viewer.layers[PAINTED].data.sum() == 1
    assert voxels(mask_file(painter)).tolist() == [[20, 24, 7]]


def test_closing_the_window_saves_at_once(painter: Any) -> None:
    path = mask_file(painter)
    painter.click(AT)
    painter.dock.close_session()
    assert voxels(path).tolist() == [[20, 24, 7]]


def test_what_cannot_be_saved_is_said_kept_and_tried_again(painter: Any) -> None:
    folder = mask_file(painter).parent
    folder.write_text("in the way")
    painter.click(AT)
    painter.until(lambda: painter.controller.state.notice.level == "error")
    assert "not saved yet" in painter.controller.state.notice.text
    folder.unlink()
    painter.click(world((26, 30, 7)))
    painter.until(lambda: mask_file(painter).is_file())
    assert len(voxels(mask_file(painter))) == 2


def test_paint_of_another_window_is_kept_and_said(painter: Any) -> None:
    painter.click(AT)
    painter.until(lambda: painter.dock.segment.masks.rowCount() == 1)
    theirs = np.zeros(SHAPE, np.uint8)
    theirs[3, 3, 3] = 1
    write_volume(mask_file(painter), Volume(theirs, Grid(SHAPE, AFFINE)), "painted elsewhere")
    painter.click(world((26, 30, 7)))
    painter.until(lambda: painter.controller.state.notice.level == "warning")
    assert "another window" in painter.controller.state.notice.text
    assert voxels(mask_file(painter)).tolist() == [[20, 24, 7], [26, 30, 7]]
    (kept,) = (mask_file(painter).parent / "earlier").iterdir()
    assert voxels(kept).tolist() == [[3, 3, 3]]


def test_a_layer_that_was_removed_costs_no_paint(painter: Any) -> None:
    painter.click(AT)
    painter.viewer.layers.remove(PAINTED)
    painter.until(lambda: mask_file(painter).is_file())
    painter.dock.segment.tools["erase"].click()
    painter.until(lambda: painter.dock.painting.ready)
    assert np.count_nonzero(painter.viewer.layers[PAINTED].data) == 1
    assert painter.dock.painting.mode == "erase"


def test_clicks_in_other_tabs_paint_nothing(painter: Any) -> None:
    painter.dock.show_tab("Annotate")
    painter.slice_to(AT)
    painter.click(AT)
    assert not painter.viewer.layers[PAINTED].data.any()
    assert len(painter.stored) == 1


def test_nothing_is_shown_before_the_tab_is_opened(reading: Any) -> None:
    assert PAINTED not in reading.viewer.layers
    assert DRAWN not in reading.viewer.layers


def test_a_segmentation_is_learned_from_the_checked_masks_and_shown(painter: Any) -> None:
    specs: list[Any] = []

    def run(spec: Any, stop: threading.Event, preview: Any) -> Iterator[Event]:
        specs.append((spec, preview()))
        data = np.zeros(SHAPE, np.uint16)
        data[10:14, 20, 6:8], data[30, 30, 7] = 1, 2
        heatmap, mask = (Path(preview().heatmaps) / f"sub-01_{kind}.nii.gz" for kind in ("heatmap", "dseg"))
        write_volume(heatmap, Volume((data > 0).astype(np.float32), Grid(SHAPE, AFFINE)))
        write_volume(mask, Volume(data, Grid(SHAPE, AFFINE)))
        yield Started("the masks of 1 case", "CPU")
        yield CasePredicted("sub-01", str(heatmap), (), 2.0, str(mask))
        yield Finished("returned", "Trained.", spec.out)

    painter.dock.jobs.runner = run
    painter.click(AT)
    painter.until(lambda: painter.controller.screen.can_learn_masks)
    painter.click(world((26, 30, 7)))  # not yet on disk when the training is asked for
    painter.dock.segment.start.click()
    painter.until(lambda: painter.controller.state.job.outcome == "returned")
    spec, preview = specs[0]
    assert isinstance(spec, TrainSpec)
    assert isinstance(preview, PredictSpec)
    assert (spec.label, spec.minutes, Path(spec.out).name) == ("segmentation", 2.0, "segmentation-001")
    assert {c.case: c.mask for c in spec.cases} == {"sub-01": str(mask_file(painter))}
    assert len(voxels(mask_file(painter))) == 2

    painter.until(lambda: painter.controller.state.lesions is not None)
    panel, layer = painter.dock.segment, painter.viewer.layers[DRAWN]
    assert panel.total.text() == "2 lesions, 0.045 ml in all"
    assert [panel.lesions.item(r, 1).text() for r in range(2)] == ["0.040", "0.005"]
    assert not layer.editable
    grid = painter.controller.shown.grid
    at = tuple(np.round(grid.to_voxel([world((30, 30, 7))])[0]).astype(int))
    assert layer.data[at] == 2
    panel.lesions.cellClicked.emit(1, 0)
    assert painter.viewer.dims.current_step == at
    painter.controller.select_case("sub-02")
    painter.until(lambda: painter.controller.state.shown == "sub-02" and painter.dock.painting.ready)
    assert not painter.viewer.layers[DRAWN].data.any()
    assert panel.total.text() == "Not segmented yet."


def test_an_unchecked_mask_is_not_learned_from(painter: Any) -> None:
    painter.click(AT)
    painter.until(lambda: painter.dock.segment.masks.rowCount() == 1)
    assert painter.dock.segment.start.isEnabled()
    painter.dock.segment.masks.item(0, 0).setCheckState(Qt.CheckState.Unchecked)
    assert not painter.dock.segment.start.isEnabled()


def test_a_drag_paints_a_line(painter: Any) -> None:
    start = painter.pixel(AT)
    painter.drag(start, start + QPoint(60, 0))
    painter.until(lambda: mask_file(painter).is_file())
    painted = voxels(mask_file(painter))
    assert len(painted) > 3
    assert set(painted[:, 1]) == {24}
    assert set(painted[:, 2]) == {7}


def test_a_bare_image_has_no_mask_and_the_brush_stays_in_hand(painter: Any) -> None:
    painter.click(AT)
    layer = painter.viewer.layers[PAINTED]
    for visible in (False, True, False):
        painter.key(Qt.Key.Key_D)
        assert layer.visible == visible
    assert painter.dock.painting.mode == "pan_zoom"
    painter.key(Qt.Key.Key_PageDown)
    painter.until(lambda: painter.controller.state.shown == "sub-02" and painter.dock.painting.ready)
    assert layer.visible
    assert painter.dock.painting.mode == "paint"
    painter.click(AT)
    painter.until(lambda: mask_file(painter, "sub-02").is_file())
