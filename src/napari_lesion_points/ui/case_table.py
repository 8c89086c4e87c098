"""The table of cases: any number of them, of which only what is seen is put into words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_lesion_points.core.records import CaseState
from napari_lesion_points.ui.colors import tint_of
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.worklist import Choice, Column, cells, tip

if TYPE_CHECKING:
    from napari_lesion_points.store.study import CaseSummary

_COLUMNS = tuple(Column)
_MARKS = {CaseState.NEW: "○ ", CaseState.IN_PROGRESS: "◐ ", CaseState.DONE: "● "}
_TINTS = {CaseState.IN_PROGRESS: "warning", CaseState.DONE: "done"}
_TITLES = {
    Column.CASE: _("Case"),
    Column.STATE: _("State"),
    Column.POINTS: _("Points"),
    Column.REVIEWED: _("Reviewed"),
    # Translators: by how many lesions a review is expected to change the count; there is little room
    Column.BENEFIT: _("Gain"),
}
_TIPS = {
    Column.CASE: _("A pen marks a case with a note"),
    Column.STATE: _("New, in progress or done"),
    Column.POINTS: _("Lesions that readers marked"),
    Column.REVIEWED: _("Candidates accepted, rejected or moved, of all that a model proposed"),
    Column.BENEFIT: _("By how many lesions the review of the other candidates is expected to change the count"),
}
_WIDTHS = {Column.STATE: 114, Column.POINTS: 50, Column.REVIEWED: 70, Column.BENEFIT: 50}
_Index = QModelIndex | QPersistentModelIndex


class CaseModel(QAbstractTableModel):
    """The cases listed, one row each."""

    def __init__(self, table: QTableView) -> None:
        super().__init__(table)
        self._table = table
        self.rows: tuple[CaseSummary, ...] = ()

    def show(self, rows: tuple[CaseSummary, ...]) -> None:
        """List these cases; views keep their place when only something about them has changed."""
        before, self.rows = self.rows, rows
        if [s.case for s in before] != [s.case for s in rows]:
            self.beginResetModel()
            self.endResetModel()
            return
        for row, (old, new) in enumerate(zip(before, rows, strict=True)):
            if old != new:
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(_COLUMNS) - 1))

    def rowCount(self, parent: _Index | None = None) -> int:  # noqa: N802 (Qt's names)
        """Return the number of cases."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: _Index | None = None) -> int:  # noqa: N802
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(_COLUMNS)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        summary, column = self.rows[index.row()], _COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            text = cells(summary)[column]
            return _MARKS[summary.state] + text if column is Column.STATE else text
        if role == Qt.ItemDataRole.ToolTipRole:
            return tip(summary)
        if role == Qt.ItemDataRole.ForegroundRole and column is Column.STATE and summary.state in _TINTS:
            return QColor(getattr(tint_of(self._table), _TINTS[summary.state]))
        if role == Qt.ItemDataRole.TextAlignmentRole and column not in (Column.CASE, Column.STATE):
            return Qt.AlignmentFlag.AlignCenter
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the title of a column."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _TITLES[_COLUMNS[section]]
        if role == Qt.ItemDataRole.ToolTipRole:
            return _("{meaning}. Click to sort").format(meaning=_TIPS[_COLUMNS[section]])
        return None


class CaseTable(QTableView):
    """Shows the cases.

    Attributes
    ----------
    chosen : Signal(str)
        A case was clicked, or gone to by key.
    sorting : Signal(object)
        The title of a `Column` was clicked.
    """

    chosen = Signal(str)
    sorting = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._model = CaseModel(self)
        self._drawing = False
        self.setModel(self._model)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(20)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(False)
        self.setMinimumHeight(96)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(30)
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        for column, width in _WIDTHS.items():
            header.setSectionResizeMode(_COLUMNS.index(column), QHeaderView.ResizeMode.Fixed)
            header.resizeSection(_COLUMNS.index(column), width)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.sectionClicked.connect(lambda section: self.sorting.emit(_COLUMNS[section]))
        self.selectionModel().currentRowChanged.connect(lambda index, __: self._choose(index))
        self.clicked.connect(self._choose)

    def show_cases(self, rows: tuple[CaseSummary, ...], current: int, choice: Choice) -> None:
        """List cases, the row `current` of them selected, or none when that is -1."""
        self._drawing = True
        try:
            self._model.show(rows)
            if current < 0:
                self.clearSelection()
                self.selectionModel().clearCurrentIndex()
            elif current != self.currentIndex().row():
                self.setCurrentIndex(self._model.index(current, 0))
        finally:
            self._drawing = False
        order = Qt.SortOrder.DescendingOrder if choice.descending else Qt.SortOrder.AscendingOrder
        self.horizontalHeader().setSortIndicator(_COLUMNS.index(choice.column), order)

    def _choose(self, index: QModelIndex) -> None:
        if index.isValid() and not self._drawing:
            self.chosen.emit(self._model.rows[index.row()].case)
