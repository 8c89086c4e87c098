"""The list of cases, notes and places of readers in a window, with real events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import sqlalchemy as sql
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import SHARED, CaseState, LesionPoint, Origin
from napari_lesion_points.store.study import Study
from napari_lesion_points.ui.dock import LesionPointsDock
from napari_lesion_points.ui.worklist import Column, Show, Way, next_case


def candidates(
    case: str, existence: list[float], world: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> list[LesionPoint]:
    x, y, z = world
    return [
        LesionPoint(case, (x + 7 * k, y, z), f"{case}-{k}", p, p, float(binary_entropy(p)), Origin.MODEL)
        for k, p in enumerate(existence)
    ]


def cases_listed(hand: Any) -> list[str]:
    model = hand.dock.cases.table.model()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def title(hand: Any, column: Column) -> None:
    """Click the title of a column."""
    header = hand.dock.cases.table.horizontalHeader()
    section = list(Column).index(column)
    at = QPoint(header.sectionViewportPosition(section) + header.sectionSize(section) // 2, 8)
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)


def choose(hand: Any, show: Show) -> None:
    """Choose a filter as the arrow keys do."""
    box = hand.dock.cases.show_only
    steps = list(Show).index(show) - box.currentIndex()
    for _ in range(abs(steps)):
        QTest.keyClick(box, Qt.Key.Key_Down if steps > 0 else Qt.Key.Key_Up)


@pytest.fixture
def predicted(reading: Any) -> Any:
    """Candidates in sub-02, and more uncertain ones in sub-03."""
    study = reading.controller.study
    study.add_candidates("sub-02", candidates("sub-02", [0.9, 0.8]), "model", 2.0)
    study.add_candidates("sub-03", candidates("sub-03", [0.5, 0.4, 0.6]), "model", 2.0)
    reading.controller.refresh()
    reading.until(lambda: reading.controller.state.cases[2].candidates == 3)  # from a worker
    return reading


def test_search_filter_sort_and_the_next_case_to_read(predicted: Any) -> None:
    panel, state = predicted.dock.cases, lambda: predicted.controller.state
    assert panel.table.model().index(2, 4).data() == "1.5"
    title(predicted, Column.BENEFIT)
    assert cases_listed(predicted) == ["sub-03", "sub-02", "sub-01"]
    title(predicted, Column.BENEFIT)
    assert cases_listed(predicted) == ["sub-01", "sub-02", "sub-03"]
    QTest.keyClicks(panel.search, "03")
    assert cases_listed(predicted) == ["sub-03"]
    assert state().shown == "sub-01"  # a search opens nothing
    QTest.keyClick(panel.search, Qt.Key.Key_Escape)
    assert cases_listed(predicted) == ["sub-01", "sub-02", "sub-03"]
    choose(predicted, Show.TO_REVIEW)
    assert cases_listed(predicted) == ["sub-02", "sub-03"]
    assert not panel.table.selectionModel().hasSelection()  # the case on screen is not listed
    choose(predicted, Show.ALL)
    assert panel.table.currentIndex().row() == 0
    predicted.key(Qt.Key.Key_PageDown, Qt.KeyboardModifier.ControlModifier)
    predicted.until(lambda: state().shown == "sub-03")
    panel.to_read.click()
    predicted.until(lambda: state().shown == "sub-02")
    predicted.key(Qt.Key.Key_PageDown, Qt.KeyboardModifier.ShiftModifier)
    chance = next_case(state().cases, Way.CHANCE, Path(state().root).name, at="sub-02")  # all were opened by now
    predicted.until(lambda: state().shown == chance)
    assert "0 of 3 done" in panel.progress.toolTip()
    assert "5 to review" in panel.progress.toolTip()


def test_a_note_is_stored_by_itself_undone_found_and_marked(reading: Any) -> None:
    note, study = reading.dock.cases.note, reading.controller.study
    note.setFocus()
    QTest.keyClicks(note, "cavernoma?")
    reading.until(lambda: study.note("sub-01") == "cavernoma?")  # without Enter
    QTest.keyClicks(note, " ask Bo")
    reading.dock.cases.next.click()
    reading.until(lambda: reading.controller.state.shown == "sub-02")
    reading.until(lambda: study.note("sub-01") == "cavernoma? ask Bo")
    assert study.note("sub-02") == note.text() == ""
    assert cases_listed(reading)[0] == "sub-01 ✎"
    QTest.keyClicks(reading.dock.cases.search, "BO cavern")
    assert cases_listed(reading) == ["sub-01 ✎"]
    reading.controller.undo()
    assert study.note("sub-01") == "cavernoma?"
    reading.until(lambda: reading.controller.state.shown == "sub-01")
    assert note.text() == "cavernoma?"
    QTest.keyClicks(note, "!")
    with study.of(SHARED, "otto") as other:
        other.set_note("sub-01", "no, a vessel")
    QTest.keyClick(note, Qt.Key.Key_Return)
    assert study.note("sub-01") == note.text() == "no, a vessel"
    assert "You had written: “cavernoma?!”" in reading.dock.message.label.text()
    QTest.keyClicks(note, "; seen")
    reading.dock.close_session()
    with Study.open(Path(reading.controller.state.root), reader="maria") as again:
        assert again.note("sub-01") == "no, a vessel; seen"


def test_a_reader_goes_on_exactly_where_they_stopped(predicted: Any, make_napari_viewer: Any) -> None:
    def session(other: Any) -> tuple[Any, ...]:
        state, camera = other.controller.state, other.viewer.scene.camera
        return (
            state.shown, state.tab, state.orientation, tuple(np.round(other.viewer.dims.point, 6)),
            tuple(np.round(camera.center, 3)), round(camera.zoom, 6), other.controller.screen.current.id,
        )  # fmt: skip

    def sit_down(reader: str) -> Any:
        viewer = make_napari_viewer(show=True)
        dock = LesionPointsDock(viewer)
        viewer.window.add_dock_widget(dock, name="Lesion points", area="right")
        hand = type(predicted)(predicted.qtbot, viewer, dock)
        dock.controller.open_study(root, reader=reader)
        hand.until(lambda: hand.controller.screen.case_ready and hand.controller.resume is None)
        hand.qtbot.wait(50)
        return hand

    root = Path(predicted.controller.state.root)
    predicted.controller.select_case("sub-03")
    predicted.until(lambda: predicted.controller.state.shown == "sub-03")
    predicted.controller.set_orientation("sagittal")
    predicted.dock.show_tab("Review")
    predicted.qtbot.wait(50)
    predicted.key(Qt.Key.Key_S)  # skip one
    predicted.viewer.scene.camera.zoom *= 1.4
    predicted.viewer.dims.set_current_step(2, 21)
    predicted.viewer.scene.camera.center = tuple(np.add(predicted.viewer.scene.camera.center, (0, 3, -2)))
    left = session(predicted)
    predicted.dock.close_session()

    again = sit_down("maria")
    assert session(again) == left
    idle = sit_down("maria")
    otto = sit_down("otto")
    assert (otto.controller.state.shown, otto.controller.state.tab) == ("sub-01", "Annotate")
    again.dock.show_tab("Annotate")
    again.controller.select_case("sub-02")
    again.until(lambda: again.controller.state.shown == "sub-02")
    with Study.open(root, reader="maria") as study:
        again.until(lambda: study.last_place().case == "sub-02")  # while the session goes on
        otto.dock.close_session()
        again.controller.reopen(reader="otto")  # who takes the seat, and has not moved yet
        again.dock.close_session()
        idle.dock.close_session()  # nobody moved in it
        assert study.last_place().case == "sub-02"
        assert study.of(SHARED, "otto").last_place().case == "sub-01"


def test_where_one_stopped_is_said_after_what_was_done_on_loading(hand: Any, dataset: Path) -> None:
    path = dataset / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    other = np.diag([2.0, 2.0, 5.0, 1.0])
    other[:3, 3] = (-30, -24, -20)
    nib.save(nib.Nifti1Image(np.ones((30, 25, 11), np.float32), other), path)
    hand.open(dataset, case="sub-02")
    study = hand.controller.study
    hand.until(lambda: study.last_place() is not None)
    hand.open(dataset)
    label = hand.dock.message.label
    hand.until(lambda: "You stopped here: sub-02." in label.text())
    assert label.text().startswith("Note: T1w")
    assert "resampled" in label.text()


def test_a_thousand_cases_are_listed_and_an_edit_asks_for_one(hand: Any, dataset: Path) -> None:
    for number in range(4, 1001):
        folder = dataset / f"sub-{number:02}" / "anat"
        folder.mkdir(parents=True)
        (folder / f"sub-{number:02}_FLAIR.nii.gz").touch()  # unreadable, so nothing may read it
    with Study.open(dataset, reader="maria") as study:
        for case in ("sub-01", "sub-500"):
            study.add_candidates(case, candidates(case, [0.5] * 40), "model", 2.0)
    hand.open(dataset, case="sub-01")
    assert len(cases_listed(hand)) == 1000
    hand.qtbot.wait(200)  # the counts are read once more, in a worker
    asked: list[str] = []
    database = hand.controller.study._database._engine
    sql.event.listen(database, "before_cursor_execute", lambda *a: asked.append(str(a[2]) + str(a[3])))
    hand.dock.cases.empty.click()
    hand.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert hand.controller.state.cases[0].state is CaseState.NEW
    reads = [text for text in asked if text.startswith("SELECT") and "FROM candidates" in text]
    assert reads
    assert all("sub-01" in text for text in reads)
    QTest.keyClicks(hand.dock.cases.search, "sub-500")
    assert cases_listed(hand) == ["sub-500"]


def test_others_are_counted_when_a_case_is_opened(reading: Any, dataset: Path) -> None:
    with Study.open(dataset, reader="otto") as other:
        other.set_state("sub-03", CaseState.DONE)
    reading.dock.cases.next.click()
    reading.until(lambda: reading.controller.state.cases[2].state is CaseState.DONE)
