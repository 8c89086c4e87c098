"""Opening studies and walking through their cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget

from napari_lesion_points.core.records import SHARED, CaseState
from napari_lesion_points.store.cases import find_cases
from napari_lesion_points.ui.loading import CaseLoader
from napari_lesion_points.ui.worker import Workers


def test_a_study_opens_with_images_in_mm_and_flair_in_front(reading: Any) -> None:
    layers = {layer.name: layer for layer in reading.viewer.layers}
    assert list(layers) == ["FLAIR", "T1w", "Lesions"]
    assert [layers[name].visible for name in ("FLAIR", "T1w")] == [True, False]
    for layer in layers.values():
        np.testing.assert_allclose(layer.scale, (4.0, 1.0, 1.25))
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
        assert layer.axis_labels == ("S", "P", "L")
    assert reading.dock.cases.table.model().rowCount() == 3
    assert "3 cases" in reading.controller.screen.study_title


def test_next_and_previous_by_button_and_key(reading: Any) -> None:
    reading.until(lambda: "sub-02" in reading.controller.loader.cached)  # read ahead
    reading.dock.cases.next.click()
    assert reading.controller.state.shown == "sub-02"  # at once, since it was in memory
    reading.key(Qt.Key.Key_PageDown)
    reading.until(lambda: reading.controller.state.shown == "sub-03")
    assert not reading.dock.cases.next.isEnabled()
    reading.key(Qt.Key.Key_PageUp)
    reading.until(lambda: reading.controller.state.shown == "sub-02")
    assert [layer.name for layer in reading.viewer.layers] == ["FLAIR", "T1w", "Lesions"]


def test_only_the_case_wanted_last_is_shown(reading: Any) -> None:
    reading.controller.select_case("sub-03")
    reading.controller.select_case("sub-02")
    reading.controller.select_case("sub-03")
    reading.until(lambda: not reading.controller.state.loading)
    reading.qtbot.wait(300)
    assert reading.controller.state.shown == "sub-03"
    assert reading.controller.shown.case == "sub-03"


def test_memory_is_bounded(dataset: Path, qtbot: Any) -> None:
    workers, seen = Workers(), []
    loader = CaseLoader(workers, kept=2)
    for files in find_cases(dataset):
        loader.want(files, dataset / "none.nii.gz", lambda case: seen.append(case.shown.case), lambda *_: None)
        qtbot.waitUntil(lambda name=files.case: name in seen, timeout=20_000)
    assert loader.cached == ("sub-02", "sub-03")
    workers.close()


def test_case_states_can_go_forth_and_back(reading: Any) -> None:
    panel = reading.dock.cases
    assert not panel.done.isEnabled()  # it has no points
    panel.empty.click()
    assert reading.controller.study.state("sub-01") is CaseState.DONE
    assert panel.table.model().index(0, 1).data().endswith("done, no lesions")
    panel.reopen.click()
    assert reading.controller.study.state("sub-01") is CaseState.IN_PROGRESS
    reading.controller.undo()
    assert reading.controller.study.state("sub-01") is CaseState.DONE


def test_an_unreadable_case_says_which_file_and_the_next_one_opens(hand: Any, dataset: Path) -> None:
    broken = dataset / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz"
    broken.write_bytes(broken.read_bytes()[:400])
    hand.controller.open_study(dataset)
    hand.until(lambda: hand.controller.study is not None and not hand.controller.state.loading)
    assert broken.name in hand.dock.message.label.text()
    hand.dock.cases.next.click()
    hand.until(lambda: hand.controller.state.shown == "sub-02")


def test_a_folder_without_images_is_refused_with_a_reason(hand: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    told: list[str] = []
    hand.controller.open_study(tmp_path / "empty", failed=told.append)
    hand.until(lambda: bool(told))
    assert "no images found" in hand.dock.message.label.text()
    assert told[0] in hand.dock.message.label.text()
    assert hand.controller.study is None


def test_resampled_sequences_are_told(hand: Any, dataset: Path) -> None:
    other = np.diag([2.0, 2.0, 5.0, 1.0])
    other[:3, 3] = (-30, -24, -20)
    data = np.random.default_rng(0).normal(50, 5, (30, 25, 11)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, other), dataset / "sub-01" / "anat" / "sub-01_T2w.nii.gz")
    hand.open(dataset, case="sub-01")
    assert "T2w" in hand.dock.message.label.text()
    assert "resampled" in hand.dock.message.label.text()


def test_thick_oblique_clinical_scans_open(hand: Any, shared_data: Path, tmp_path: Path) -> None:
    hand.open(shared_data / "clinical_grids", tmp_path / "store")
    assert hand.controller.shown.grid.axcodes == "SPL"
    assert len(hand.controller.scene.images) == 3
    assert "oblique" in hand.dock.message.label.text()
    middle = tuple(hand.controller.shown.grid.to_world([np.array(hand.controller.shown.grid.shape) // 2])[0])
    hand.slice_to(middle)
    hand.click(middle)
    np.testing.assert_allclose(hand.stored[0], middle, atol=0.75 / hand.viewer.scene.camera.zoom)


def test_reader_and_store_can_be_changed(reading: Any, tmp_path: Path) -> None:
    reading.controller.reopen(store=tmp_path / "elsewhere", reader="otto")
    reading.until(lambda: reading.controller.state.store.endswith("elsewhere"))
    reading.until(lambda: reading.controller.screen.case_ready)
    assert (tmp_path / "elsewhere" / "study.sqlite").is_file()
    assert reading.controller.study.reader == "otto"


def test_a_case_that_is_waited_for_is_read_again_when_its_files_change(dataset: Path, qtbot: Any) -> None:
    workers, seen = Workers(), []
    loader = CaseLoader(workers)
    files = find_cases(dataset)[0]
    loader.want(files, dataset / "none.nii.gz", lambda case: seen.append(case.shown.case), lambda *_: None)
    loader.forget(files.case)
    qtbot.waitUntil(lambda: seen == [files.case], timeout=20_000)
    workers.close()


def test_an_unknown_case_and_one_that_cannot_be_read_leave_the_one_on_screen(reading: Any, dataset: Path) -> None:
    reading.controller.select_case("sub-99")
    assert not reading.controller.state.loading
    assert "sub-99" in reading.dock.message.label.text()
    (dataset / "sub-03" / "anat" / "sub-03_FLAIR.nii.gz").write_bytes(b"no image")
    reading.controller.select_case("sub-03")
    reading.until(lambda: not reading.controller.state.loading)
    assert reading.controller.state.wanted == reading.controller.state.shown == "sub-01"


def test_another_reader_goes_on_with_the_same_session(reading: Any) -> None:
    study, layer = reading.controller.study, reading.controller.editor.layer
    reading.controller.reopen(reader="otto")
    assert reading.controller.study is study
    assert reading.controller.editor.layer is layer
    assert (study.reader, reading.controller.state.reader) == ("otto", "otto")


def test_a_layer_with_more_axes_is_refused_with_a_reason(reading: Any) -> None:
    reading.viewer.add_image(np.zeros((2, 3, 4, 5)), name="movie")
    reading.controller.select_case("sub-02")
    reading.until(lambda: not reading.controller.state.loading)
    assert "'movie'" in reading.dock.message.label.text()
    reading.viewer.layers.remove("movie")
    reading.controller.select_case("sub-02")
    reading.until(lambda: reading.controller.state.shown == "sub-02")


def test_the_margin_shows_points_and_not_a_mean_of_slices(reading: Any) -> None:
    reading.controller.set_margin(12.0)  # three slices of 4 mm
    layer = reading.controller.scene.images["FLAIR"]
    reading.slice_to(tuple(reading.controller.shown.grid.to_world([[7, 25, 22]])[0]))
    np.testing.assert_array_equal(layer._slice.image.raw, layer.data[7])


def test_cases_fill_the_layers_that_are_there(reading: Any) -> None:
    before = {layer.name: layer for layer in reading.viewer.layers}
    reading.controller.scene.lesions.visible = False
    first = reading.controller.scene.images["FLAIR"].data
    reading.dock.cases.next.click()
    reading.until(lambda: reading.controller.state.shown == "sub-02")
    assert {layer.name: layer for layer in reading.viewer.layers} == before
    assert not reading.controller.scene.lesions.visible
    assert reading.controller.scene.images["FLAIR"].data is not first
    reading.viewer.layers.remove(before["T1w"])
    reading.viewer.layers.remove(before["Lesions"])
    reading.dock.cases.next.click()
    reading.until(lambda: reading.controller.state.shown == "sub-03")
    assert sorted(layer.name for layer in reading.viewer.layers) == ["FLAIR", "Lesions", "T1w"]
    reading.click(tuple(reading.controller.shown.grid.to_world([[7, 25, 22]])[0]))
    assert len(reading.stored) == 1


def test_a_case_with_another_shape_and_other_sequences_replaces_them(reading: Any, dataset: Path) -> None:
    folder = dataset / "sub-03" / "anat"
    (folder / "sub-03_T1w.nii.gz").rename(folder / "sub-03_T2w.nii.gz")
    data = np.random.default_rng(0).normal(50, 5, (30, 26, 20)).astype(np.float32)
    for path in folder.iterdir():
        nib.save(nib.Nifti1Image(data, np.diag([2.0, 2.0, 2.0, 1.0])), path)
    reading.open(dataset, case="sub-02")
    reading.controller.select_case("sub-03")
    reading.until(lambda: reading.controller.state.shown == "sub-03")
    assert [layer.name for layer in reading.viewer.layers] == ["FLAIR", "T2w", "Lesions"]
    for layer in reading.viewer.layers:
        np.testing.assert_allclose(layer.scale, (2.0, 2.0, 2.0))
    assert reading.viewer.dims.nsteps == (20, 26, 30)
    reading.controller.select_case("sub-01")
    reading.until(lambda: reading.controller.state.shown == "sub-01")
    assert reading.viewer.dims.nsteps == (14, 50, 44)


def test_some_images_of_a_folder_are_one_case(hand: Any, dataset: Path, monkeypatch: Any) -> None:
    folder = dataset / "sub-01" / "anat"
    chosen = [str(folder / f"sub-01_{name}.nii.gz") for name in ("T1w", "FLAIR")]
    monkeypatch.setattr(
        "napari_lesion_points.ui.cases.QFileDialog.getOpenFileNames", staticmethod(lambda *_: (chosen, ""))
    )
    hand.dock.cases.ask_images()
    hand.until(lambda: hand.controller.screen.case_ready and not hand.controller.state.loading)
    assert hand.controller.state.sequences == ("FLAIR", "T1w")
    assert [s.case for s in hand.controller.state.cases] == ["anat"]


@pytest.fixture
def naming(reading: Any) -> Any:
    """The hand that is writing a reader's name, in a dock that floats: there, no click takes the keyboard from it."""
    line = reading.dock.cases.reader
    next(p for p in ancestors(reading.dock) if isinstance(p, QDockWidget)).setFloating(True)
    reading.dock.window().activateWindow()
    line.setFocus()
    reading.qtbot.wait(100)
    if not line.hasFocus():
        pytest.skip("no window manager gives the focus here")
    line.selectAll()
    QTest.keyClicks(line, "otto")
    return reading


def ancestors(widget: Any) -> Iterator[Any]:
    while widget := widget.parentWidget():
        yield widget


def test_a_name_that_is_being_typed_counts_for_the_button_pressed_next(naming: Any) -> None:
    QTest.mouseClick(naming.dock.cases.empty, Qt.MouseButton.LeftButton)
    assert [edit.reader for edit in naming.controller.study.history("sub-01")] == ["otto"]
    assert naming.controller.state.reader == "otto"
    assert not naming.dock.cases.reader.hasFocus()


def test_blind_goes_by_the_name_that_is_being_typed(naming: Any) -> None:
    blind = naming.dock.cases.blind
    QTest.mouseClick(blind, Qt.MouseButton.LeftButton, pos=QPoint(8, blind.height() // 2))
    naming.until(lambda: naming.controller.study.reading != SHARED and naming.controller.screen.case_ready)
    assert (naming.controller.study.reading, naming.controller.study.reader) == ("otto", "otto")
