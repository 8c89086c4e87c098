"""Reading blind, comparing readers and settling what they differ in, with real events."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_lesion_points.core.records import CONSENSUS, SHARED, CaseState, Change, LesionPoint
from napari_lesion_points.errors import StudyError
from napari_lesion_points.store.study import Study
from napari_lesion_points.ui import readers as readers_module
from napari_lesion_points.ui.screen import resolve
from napari_lesion_points.ui.session import State
from napari_lesion_points.workflow.consensus import Keep, settlement

from .conftest import world

#: Voxels that ada and bob click in sub-01, and in sub-02: one lesion of both, then those of one alone.
ADA = {"sub-01": [(20, 20, 4), (30, 30, 9)], "sub-02": [(25, 25, 5)]}
BOB = {"sub-01": [(20, 21, 4), (12, 25, 7)], "sub-02": []}


@pytest.fixture
def readers(reading: Any) -> Any:
    """The hand of maria, on a study that ada and bob have read blind."""
    study: Study = reading.controller.study
    for reader, cases in (("ada", ADA), ("bob", BOB)):
        own = study.read_blind(reader)
        for case, voxels in cases.items():
            own.apply(*(Change.adding(LesionPoint(case, world(v), reader=reader)) for v in voxels))
            own.set_state(case, CaseState.DONE)
    reading.dock.show_tab("Readers")
    reading.until(lambda: reading.controller.state.readings == ("ada", "bob"))
    return reading


def press(hand: Any, button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    hand.qtbot.wait(20)


def consensus(hand: Any, case: str = "sub-01") -> list[tuple[float, float, float]]:
    return [a.world for a in hand.controller.study.of(CONSENSUS).annotations(case)]


def settle(hand: Any) -> None:
    press(hand, hand.dock.readers.begin)
    hand.until(lambda: bool(hand.controller.state.differences) and hand.controller.screen.can_settle)
    hand.qtbot.wait(50)


def test_a_blind_reader_sees_and_makes_own_points_only(reading: Any) -> None:
    at = world((20, 20, 4))
    reading.slice_to(at)
    reading.click(at)
    assert len(reading.stored) == 1
    blind = reading.dock.cases.blind
    QTest.mouseClick(blind, Qt.MouseButton.LeftButton, pos=QPoint(8, blind.height() // 2))
    reading.until(lambda: reading.controller.state.reading == "maria" and reading.controller.screen.case_ready)
    reading.qtbot.wait(50)
    assert blind.isChecked()
    assert "blind" in reading.dock.cases.title._full
    assert reading.stored == []
    assert len(reading.controller.scene.lesions.data) == 0
    reading.slice_to(at)
    for voxel in ((15, 20, 4), (25, 30, 4)):
        reading.click(world(voxel))
    assert len(reading.stored) == 2
    shared = reading.controller.study.of(SHARED)
    assert len(shared.annotations()) == 1

    reading.controller.reopen(reader="eve")  # another blind reader begins anew
    reading.until(lambda: reading.controller.state.reading == "eve" and reading.controller.screen.case_ready)
    assert reading.stored == []
    QTest.mouseClick(blind, Qt.MouseButton.LeftButton, pos=QPoint(8, blind.height() // 2))
    reading.until(lambda: reading.controller.state.reading == SHARED and reading.controller.screen.case_ready)
    assert (len(reading.stored), reading.controller.state.reader) == (1, "eve")


def test_a_common_name_is_no_blind_reader(reading: Any) -> None:
    reading.controller.reopen(reader=CONSENSUS, blind=True)
    assert "Choose another" in reading.controller.state.notice.text
    assert reading.controller.state.reading == SHARED


def test_readers_are_compared_in_a_table_that_can_be_saved(readers: Any, tmp_path: Path) -> None:
    panel = readers.dock.readers
    press(readers, panel.compare)
    readers.until(lambda: bool(readers.controller.state.agreement))
    cells = [[panel.table.item(r, c).text() for c in range(6)] for r in range(panel.table.rowCount())]
    assert cells == [
        ["sub-01", "ada, bob", "0.50", "1 / 1 / 1", "1.0", "– (0)"],
        ["sub-02", "ada, bob", "0.00", "0 / 1 / 0", "–", "– (0)"],
        ["all cases", "ada, bob", "0.40", "1 / 2 / 1", "1.0", "– (0)"],
    ]
    readers.dock.readers_desk.save(tmp_path / "agreement.csv")
    readers.until((tmp_path / "agreement.csv").is_file)
    with (tmp_path / "agreement.csv").open(newline="") as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["sub-01", "sub-02", "all cases"]


def test_one_key_settles_each_difference(readers: Any) -> None:
    settle(readers)
    state = readers.controller.state
    assert (state.reading, len(state.differences)) == (CONSENSUS, 3)
    middle = world((20, 20.5, 4))
    assert consensus(readers) == [pytest.approx(middle)]  # what both found
    assert readers.viewer.dims.current_step[0] == 9
    assert readers.dock.readers.details.text() == "ada has a lesion here, bob has none."
    assert readers.dock.readers.keep_first.text() == "ada’s  (A)"

    readers.key(Qt.Key.Key_A)
    assert consensus(readers) == [pytest.approx(middle), world((30, 30, 9))]
    readers.until(lambda: readers.viewer.dims.current_step[0] == 7)
    assert readers.dock.readers.details.text() == "bob has a lesion here, ada has none."
    readers.key(Qt.Key.Key_N)
    assert len(consensus(readers)) == 2
    readers.until(lambda: readers.controller.state.shown == "sub-02" and readers.controller.screen.can_settle)
    readers.key(Qt.Key.Key_B)  # who has none here
    assert consensus(readers, "sub-02") == []
    assert readers.dock.readers.title.text() == "All settled"
    assert readers.dock.readers.count.text() == "3 of 3 settled"

    readers.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    readers.until(lambda: readers.controller.screen.can_settle)
    assert readers.controller.screen.settled == 2
    readers.key(Qt.Key.Key_U)
    assert consensus(readers, "sub-02") == [world((25, 25, 5))]
    history = readers.controller.study.history("sub-02")
    assert [(e.reader, e.change.label) for e in history] == [
        ("maria", "keep the second reader's"), ("maria", "keep the second reader's"), ("maria", "keep both"),
    ]  # fmt: skip
    own = readers.controller.study.of("ada")
    assert [a.world for a in own.annotations("sub-01")] == [world(v) for v in ADA["sub-01"]]


def test_what_was_settled_is_not_asked_again(readers: Any) -> None:
    settle(readers)
    readers.key(Qt.Key.Key_U)
    readers.until(lambda: readers.controller.screen.settled == 1)
    settle(readers)
    assert readers.controller.screen.settled == 1
    assert readers.controller.state.difference_at == 1


def test_there_is_a_way_back_from_the_consensus(readers: Any) -> None:
    leave, state = readers.dock.readers.leave, lambda: readers.controller.state
    assert not leave.isEnabled()
    settle(readers)
    readers.key(Qt.Key.Key_A)
    press(readers, leave)
    readers.until(lambda: state().reading == SHARED and readers.controller.screen.case_ready)
    assert (state().differences, leave.isEnabled()) == ((), False)
    readers.until(lambda: readers.controller.screen.readers == ("ada", "bob"))  # listed anew
    settle(readers)
    assert readers.controller.screen.settled == 1

    press(readers, leave)
    readers.until(lambda: state().reading == SHARED)
    readers.controller.reopen(blind=True)
    readers.until(lambda: state().reading == "maria" and readers.controller.screen.case_ready)
    readers.until(lambda: readers.controller.screen.readers == ("ada", "bob"))
    settle(readers)
    press(readers, leave)
    readers.until(lambda: state().reading == "maria" and readers.controller.screen.case_ready)


def test_what_was_asked_of_one_study_is_no_answer_for_another(readers: Any, dataset: Path, tmp_path: Path) -> None:
    readers.dock.readers_desk.compare()
    readers.controller.reopen(blind=True)
    readers.controller.use_study(Study.open(dataset, tmp_path / "elsewhere", reader="eve"))
    readers.until(lambda: readers.controller.screen.case_ready)
    readers.qtbot.wait(300)
    state = readers.controller.state
    assert (state.store, state.reading, state.agreement) == (str(tmp_path / "elsewhere"), SHARED, ())


def test_a_consensus_that_cannot_be_read_says_so_and_nothing_else(
    readers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Study) -> None:
        raise StudyError("the database is gone.")

    monkeypatch.setattr(readers_module, "survey", broken)
    press(readers, readers.dock.readers.begin)
    readers.until(lambda: readers.controller.state.notice.level == "error")
    readers.qtbot.wait(50)
    state = readers.controller.state
    assert (state.notice.text, state.reading, state.differences) == ("the database is gone.", SHARED, ())


def test_the_title_says_whose_points_are_shown() -> None:
    titles = {
        reading: resolve(State(root="/data/study", reader="ada", reading=reading)).study_title
        for reading in ("ada", "bob", CONSENSUS, SHARED)
    }
    assert [title.rpartition("done")[2] for title in titles.values()] == [" · blind", " · bob", " · consensus", ""]


def test_a_decision_that_somebody_else_overtook_is_shown_and_can_be_taken_anew(readers: Any) -> None:
    settle(readers)
    other = readers.controller.study.of(CONSENSUS, "otto")
    other.apply(settlement(other, readers.controller.screen.difference, Keep.NONE))
    before = consensus(readers)
    readers.key(Qt.Key.Key_A)
    assert "Somebody else changed it" in readers.dock.message.label.text()
    assert consensus(readers) == before
    assert readers.controller.screen.settled == 1
    assert "Settled: none kept." in readers.dock.readers.details.text()
    readers.key(Qt.Key.Key_A)
    assert consensus(readers) == [*before, world((30, 30, 9))]
