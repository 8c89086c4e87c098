"""The upper part of the dock: the study, its cases, and how far each has been read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_lesion_points.core.records import CaseState
from napari_lesion_points.ui.colors import DARK, tint_of
from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import ElidedLabel, button, row
from napari_lesion_points.ui.screen import CaseRow, Screen

_STATE_MARKS = {"new": "○ ", "in progress": "◐ ", "done": "● ", "done, no lesions": "● "}
_STATE_TINTS = {"in progress": "warning", "done": "done", "done, no lesions": "done"}


class CasesPanel(QWidget):
    """Study, reader, case list, and the state of the case on screen."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self._rows: tuple[CaseRow, ...] = ()
        self._tint = DARK
        self.open_button = QPushButton("Open study…")
        self.open_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        menu = QMenu(self.open_button)
        menu.addAction("Folder or BIDS dataset…", self.ask_folder)
        menu.addAction("Images of one case…", self.ask_images)
        self.open_button.setMenu(menu)
        self.open_button.setFixedWidth(120)
        self.help = QPushButton("?")
        self.help.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.help.setToolTip("All keys (?)")
        self.help.setFixedWidth(28)
        self.title = ElidedLabel()
        self.title.setStyleSheet("font-weight: bold;")
        self.store = ElidedLabel()
        self.store_button = button("Store…", self.ask_store, "Keep points, models and heatmaps in another folder")
        self.store_button.setFixedWidth(64)
        self.reader = QLineEdit()
        self.reader.setPlaceholderText("reader")
        self.reader.setToolTip("Who reads: written into every point")
        self.reader.setMaximumWidth(90)
        self.reader.editingFinished.connect(self._reader_edited)
        self.blind = QCheckBox("Blind")
        self.blind.setToolTip("See and make only points and verdicts of your own; candidates without those of others")
        self.blind.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.blind.clicked.connect(lambda checked: controller.reopen(blind=checked))
        self.table = QTableWidget(0, 4)
        self.table.setHorizontalHeaderLabels(["Case", "State", "Points", "Reviewed"])
        self.table.horizontalHeader().setToolTip(
            "Reviewed: candidates accepted, rejected or moved, of all that a model proposed"
        )
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setMinimumHeight(96)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(30)
        for column, width in ((1, 112), (2, 52), (3, 68)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.table.setColumnWidth(column, width)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.currentCellChanged.connect(lambda number, *_: self._row_chosen(number))
        self.table.cellClicked.connect(lambda number, _: self._row_chosen(number))
        self.previous = button("◀ Previous", controller.previous_case, "Previous case (Page Up)")
        self.next = button("Next ▶", controller.next_case, "Next case (Page Down)")
        self.done = button("Done", lambda: controller.set_case_state(CaseState.DONE), "This case has been read")
        self.empty = button(
            "No lesions",
            lambda: controller.set_case_state(CaseState.DONE),
            "Read, and there is none: training uses that too",
        )
        self.reopen = button(
            "Reopen", lambda: controller.set_case_state(CaseState.IN_PROGRESS), "Set the case in progress again"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row(self.open_button, self.title, self.help))
        layout.addLayout(row(self.store, self.store_button, QLabel("Reader"), self.reader, self.blind))
        layout.addWidget(self.table, 1)
        layout.addLayout(row(self.previous, self.next, self.done, self.empty, self.reopen))

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        state = screen.state
        self.title.set_full(screen.study_title, state.root)
        self.store.set_full(f"Store: {state.store}" if state.store else "Store: –", state.store)
        self.store_button.setEnabled(bool(state.root))
        self.reader.setEnabled(bool(state.root))
        self.blind.setEnabled(bool(state.root))
        self.blind.setChecked(bool(state.reader) and state.reading == state.reader)
        if not self.reader.hasFocus():
            self.reader.setText(state.reader)
        with QSignalBlocker(self.table):
            self._draw_rows(screen.case_rows)
            if screen.case_row != self.table.currentRow():
                self.table.setCurrentCell(screen.case_row, 0)
        self.previous.setEnabled(bool(screen.previous_case))
        self.next.setEnabled(bool(screen.next_case))
        self.done.setEnabled(screen.can_finish)
        self.done.setVisible(not screen.can_reopen)
        self.empty.setVisible(not screen.can_reopen)
        self.empty.setEnabled(screen.can_finish_empty)
        self.reopen.setVisible(screen.can_reopen)

    def _draw_rows(self, rows: tuple[CaseRow, ...]) -> None:
        tint = tint_of(self)
        if tint != self._tint:
            self._tint, self._rows = tint, ()
        self.table.setRowCount(len(rows))
        for number, line in enumerate(rows):
            if number < len(self._rows) and self._rows[number] == line:
                continue
            for column, text in enumerate(
                (line.case, _STATE_MARKS[line.state] + line.state, line.points, line.reviewed)
            ):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if column == 1 and line.state in _STATE_TINTS:
                    item.setForeground(QBrush(QColor(getattr(tint, _STATE_TINTS[line.state]))))
                if column > 1:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(number, column, item)
        self._rows = rows

    def _row_chosen(self, number: int) -> None:
        if 0 <= number < len(self._rows):
            self._controller.select_case(self._rows[number].case)

    def ask_folder(self) -> None:
        """Ask for a study folder and open it."""
        chosen = QFileDialog.getExistingDirectory(self, "Open a BIDS dataset or a folder of cases")
        if chosen:
            self._open(Path(chosen))

    def ask_images(self) -> None:
        """Ask for image files and open them as a study of one case, each file a sequence."""
        chosen, _ = QFileDialog.getOpenFileNames(self, "Open the images of one case", "", "NIfTI (*.nii *.nii.gz)")
        images = [Path(name) for name in chosen]
        if len(images) == 1:
            self._open(images[0])
        elif images:
            self._open(images[0].parent, images)

    def ask_store(self) -> None:
        """Ask for another store folder, and open the study with it."""
        chosen = QFileDialog.getExistingDirectory(self, "Folder for points, models and heatmaps")
        if chosen:
            self._controller.reopen(store=Path(chosen))

    def _open(self, root: Path, images: Sequence[Path] = ()) -> None:
        """Open a study; when it cannot be written there, offer another place."""
        reader = self.reader.text().strip()

        def failed(why: str) -> None:
            if "--store" not in why:
                return
            chosen = QFileDialog.getExistingDirectory(
                self, "The study cannot be written to. Where shall the points be kept?"
            )
            if chosen:
                self._controller.open_study(root, Path(chosen), reader, images=images)

        self._controller.open_study(root, reader=reader, images=images, failed=failed)

    def _reader_edited(self) -> None:
        name = self.reader.text().strip()
        if name and name != self._controller.state.reader:
            self._controller.reopen(reader=name)
