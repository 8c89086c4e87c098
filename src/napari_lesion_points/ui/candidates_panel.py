"""The list of candidates beside the review: all of its scope, to sort, to filter, and to go to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QEvent, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QLabel, QLineEdit, QTableView, QVBoxLayout

from napari_lesion_points.core.records import LesionPoint
from napari_lesion_points.ui.controls import ExistenceSlider, Section, row
from napari_lesion_points.ui.listing import COLUMNS, WORDS, Listing, Row
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.reviewing import ReviewDesk
    from napari_lesion_points.ui.screen import Screen

_ROOT = QModelIndex()

#: Columns that are as wide as their longest usual content (index into `COLUMNS`: pixels); the first and the last share
#: what is left.
_WIDTHS = {1: 46, 2: 84, 3: 76, 4: 100, 5: 70, 6: 70, 7: 70}


class CandidateModel(QAbstractTableModel):
    """The rows of a `Listing` for Qt."""

    def __init__(self) -> None:
        super().__init__()
        self.listing = Listing()
        self.points: Sequence[LesionPoint] = ()
        self._rows: tuple[Row, ...] = ()
        self._row_of: dict[str, int] = {}

    def rowCount(self, parent: Any = _ROOT) -> int:  # noqa: N802 (Qt's name)
        """Return the number of candidates shown."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Any = _ROOT) -> int:  # noqa: N802 (Qt's name)
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell, and how it is aligned."""
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[index.column()].text(self._rows[index.row()])
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in (1, 2, 3, 5, 6, 7):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(  # noqa: N802 (Qt's name)
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the title of a column, and its tip."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section].title
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return _("{meaning}. A click sorts by it, another one the other way round").format(
                meaning=COLUMNS[section].tip
            )
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 is the order of detection."""
        self.choose(column=column, descending=order == Qt.SortOrder.DescendingOrder)

    def choose(self, **changes: Any) -> None:
        """Change what is shown (see `Listing`)."""
        self.show(self.points, **changes)

    def show(self, points: Sequence[LesionPoint], **changes: Any) -> None:
        """Show these candidates, and change what is chosen of them."""
        listing = replace(self.listing, **changes)
        if points is self.points and listing == self.listing:
            return
        self.points, self.listing = points, listing
        rows = listing.rows(points)
        same = [row.point.id for row in rows] == list(self._row_of)
        if not same:
            self.beginResetModel()
        self._rows = rows
        self._row_of = {row.point.id: number for number, row in enumerate(rows)}
        if not same:
            self.endResetModel()
        elif rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))

    def candidate(self, number: int) -> LesionPoint:
        """Return the candidate of a row."""
        return self._rows[number].point

    def row_of(self, candidate: str) -> int:
        """Return the row of a candidate (an id), or -1 where it is not shown."""
        return self._row_of.get(candidate, -1)


class CandidatesPanel(Section):
    """The table, and what is shown in it.

    Attributes
    ----------
    removed : Signal()
        It was taken out of the window.
    """

    removed = Signal()

    def __init__(self, controller: Controller, desk: ReviewDesk) -> None:
        super().__init__()
        self.model = CandidateModel()
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the keys stay those of the review
        self.table.setToolTip(_("Click a candidate to review it"))
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(21)
        header = self.table.horizontalHeader()
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.table.setSortingEnabled(True)
        for column in range(len(COLUMNS)):
            fixed = column in _WIDTHS
            header.setSectionResizeMode(
                column, QHeaderView.ResizeMode.Interactive if fixed else QHeaderView.ResizeMode.Stretch
            )
            if fixed:
                self.table.setColumnWidth(column, _WIDTHS[column])
        self.table.clicked.connect(lambda index: desk.go_to(self.model.candidate(index.row()).id))
        self.text = QLineEdit()
        self.text.setPlaceholderText(_("Filter by case, verdict, reader …"))
        self.text.setClearButtonEnabled(True)
        self.text.setToolTip(_("Rows with all of these words; Enter or Esc gives the keys back to the review"))
        self.text.textChanged.connect(lambda text: self._choose(text=text))
        self.text.installEventFilter(self)
        self.verdict = QComboBox()
        self.verdict.addItem(_("All verdicts"), None)
        for verdict, word in WORDS.items():
            self.verdict.addItem(word, verdict)
        self.verdict.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.verdict.setToolTip(_("Only candidates with this verdict"))
        self.verdict.activated.connect(lambda index: self._choose(verdict=self.verdict.itemData(index)))
        self.existence = ExistenceSlider()
        self.existence.moved.connect(controller.set_threshold)
        self.existence.moved.connect(lambda __: desk.threshold_changed())
        self.guard(self.existence.number, self.existence.slider)
        self.count = QLabel()
        top = row(self.text, self.verdict, self.existence, self.count, spacing=8)
        top.setStretch(0, 2)
        top.setStretch(2, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.table, 1)
        self._current = ""

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return a height that leaves the canvas the larger part of a small laptop's screen."""
        return QSize(640, 190)

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        self.model.show(screen.state.proposed, min_existence=screen.state.threshold)
        self.existence.set_value(screen.state.threshold)
        self._current = screen.current.id if screen.current else ""
        self._follow()

    def eventFilter(self, watched: Any, event: QEvent) -> bool:  # noqa: N802 (Qt's name)
        """Let Enter and Esc end the typing of a filter."""
        if watched is self.text and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape):
                self.text.clearFocus()
                return True
            return False
        return super().eventFilter(watched, event)

    def event(self, event: QEvent) -> bool:
        """Tell when napari's button has closed the panel for good; a window that goes as a whole does not."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.removed.emit()
        return bool(super().event(event))

    def _choose(self, **changes: Any) -> None:
        self.model.choose(**changes)
        self._follow()

    def _follow(self) -> None:
        """Select the row of the candidate under review, and count the rows."""
        number = self.model.row_of(self._current)
        if number < 0:
            self.table.clearSelection()
        elif [index.row() for index in self.table.selectionModel().selectedRows()] != [number]:
            self.table.selectRow(number)
            self.table.scrollTo(self.model.index(number, 0))
        self.count.setText(_("{count} of {total}").format(count=self.model.rowCount(), total=len(self.model.points)))
