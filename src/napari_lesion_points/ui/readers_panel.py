"""The Readers tab: how far the readers agree, and the consensus of two of them."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFrame,
    QHeaderView,
    QLabel,
    QProgressBar,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_lesion_points.core.records import CONSENSUS
from napari_lesion_points.ui.colors import tinted
from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import Section, button, caption, row, wrapped
from napari_lesion_points.ui.readers import ReadersDesk
from napari_lesion_points.ui.screen import Screen
from napari_lesion_points.ui.translation import _

_COLUMNS = (
    (_("Case"), _("◐: not every reader has set the case to done")),
    (_("Readers"), _("Whose points are compared")),
    ("F1", _("Of either reader against the other; 1 is full agreement")),
    (_("Lesions"), _("Found by both / by the first alone / by the second alone")),
    ("mm", _("Mean distance between the two points of a lesion that both found")),
    ("κ", _("On candidates that all have judged (how many): Cohen's of two readers, Fleiss' of more")),
)


class ReadersPanel(Section):
    """A table of agreement, and the buttons that settle differences."""

    def __init__(self, controller: Controller, desk: ReadersDesk) -> None:
        super().__init__()
        self._rows: tuple[tuple[str, ...], ...] = ()
        self._desk = desk
        self.compare = button(
            _("Compare readers"), desk.compare, _("Lesions and verdicts of all who have read, case by case")
        )
        self.save = button(_("Save table…"), self._ask_file, _("The same as a CSV"))
        self.table = QTableWidget(0, len(_COLUMNS))
        for column, (name, tip) in enumerate(_COLUMNS):
            heading = QTableWidgetItem(name)
            heading.setToolTip(tip)
            self.table.setHorizontalHeaderItem(column, heading)
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setFixedHeight(128)
        header = self.table.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.first, self.second = QComboBox(), QComboBox()
        self.guard(self.first, self.second)
        self.begin = button(
            _("Settle differences"), self._begin, _("What both found becomes the consensus; you decide the rest")
        )
        self.progress = QProgressBar()
        self.progress.setMaximumHeight(18)
        self.progress.setTextVisible(False)
        self.count = QLabel()
        self.title = QLabel()
        self.title.setStyleSheet("font-weight: bold; font-size: 15px;")
        self.details = wrapped()
        self.keep_first = button(
            "", desk.keep_first, _("Follow this reader: where they have no point, there is no lesion")
        )
        self.keep_second = button(
            "", desk.keep_second, _("Follow this reader: where they have no point, there is no lesion")
        )
        self.keep_both = button(_("Both  (U)"), desk.keep_both, _("Keep what either has"))
        self.keep_none = button(_("None  (N)"), desk.keep_none, _("There is no lesion"))
        self.skip = button(_("Skip  (S)"), desk.skip, _("Go on without a decision"))
        self.back = button(_("Back  (P)"), desk.back, _("Go back to the difference before"))
        self.undo = button(_("Undo  (Ctrl+Z)"), controller.undo, _("Take the last decision back"))
        self.leave = button(_("Back to my reading"), desk.leave, _("Leave the consensus; what was settled stays in it"))
        self._keeping = (self.keep_first, self.keep_second, self.keep_both, self.keep_none)
        for member in self._keeping:
            member.setMinimumHeight(36)
        card = QFrame()
        card.setObjectName("card")
        tinted(card, "#card {{ border: 1px solid {frame}; border-radius: 4px; }}")
        inner = QVBoxLayout(card)
        inner.setContentsMargins(8, 6, 8, 6)
        inner.addWidget(self.title)
        inner.addWidget(self.details)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        layout.addWidget(caption(_("Agreement")))
        layout.addWidget(self.table)
        layout.addLayout(row(self.compare, self.save))
        layout.addWidget(caption(_("Consensus")))
        layout.addLayout(row(self.first, QLabel(_("and")), self.second, self.begin))
        layout.addLayout(row(self.progress, self.count, spacing=8))
        layout.addWidget(card)
        layout.addLayout(row(self.keep_first, self.keep_second))
        layout.addLayout(row(self.keep_both, self.keep_none))
        layout.addLayout(row(self.skip, self.back, self.undo))
        layout.addWidget(self.leave)
        layout.addStretch(1)

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        state = screen.state
        self._draw_rows(screen.agreement_rows)
        self.compare.setEnabled(bool(state.root))
        self.save.setEnabled(bool(state.agreement))
        for number, box in enumerate((self.first, self.second)):
            if tuple(box.itemText(k) for k in range(box.count())) != screen.readers:
                with QSignalBlocker(box):
                    box.clear()
                    box.addItems(screen.readers)
                    box.setCurrentIndex(min(number, len(screen.readers) - 1))
        self.begin.setEnabled(len(screen.readers) > 1)
        self.progress.setRange(0, max(len(state.differences), 1))
        self.progress.setValue(screen.settled)
        settled = _("{count} of {total} settled").format(count=screen.settled, total=len(state.differences))
        self.count.setText(settled if state.differences else "")
        self.progress.setVisible(bool(state.differences))
        self.title.setText(screen.difference_title)
        self.details.setText(screen.difference_text)
        names = state.compared or (_("first reader"), _("second reader"))
        self.keep_first.setText(_("{reader}’s  (A)").format(reader=names[0]))
        self.keep_second.setText(_("{reader}’s  (B)").format(reader=names[1]))
        for member in self._keeping:
            member.setEnabled(screen.can_settle)
        self.skip.setEnabled(screen.difference is not None)
        self.back.setEnabled(state.difference_at > 0)
        self.undo.setEnabled(bool(state.undo_label))
        self.leave.setEnabled(state.reading == CONSENSUS)

    def _draw_rows(self, rows: tuple[tuple[str, ...], ...]) -> None:
        if rows == self._rows:
            return
        self._rows = rows
        self.table.setRowCount(len(rows))
        for number, cells in enumerate(rows):
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if column > 1:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(number, column, item)

    def _begin(self) -> None:
        self._desk.begin(self.first.currentText(), self.second.currentText())

    def _ask_file(self) -> None:
        patterns = _("Tables") + " (*.csv *.tsv)"
        chosen, __ = QFileDialog.getSaveFileName(self, _("Save the agreement"), "agreement.csv", patterns)
        if chosen:
            self._desk.save(Path(chosen))
