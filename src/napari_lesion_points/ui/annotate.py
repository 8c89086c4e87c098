"""The Annotate tab: views, tools, undo, and the list of the case's points."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_lesion_points.core.records import LesionPoint
from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import Section, button, row
from napari_lesion_points.ui.jobs import JobControl
from napari_lesion_points.ui.navigation import Navigator
from napari_lesion_points.ui.planes import ORIENTATIONS
from napari_lesion_points.ui.screen import Screen, position
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.vocabulary import ORIENTATION_WORDS, ORIGIN_WORDS, edit_words

_TOOLS = (
    ("add", _("Add (2)"), _("A click adds a lesion; an existing point can be dragged")),
    ("select", _("Select (3)"), _("Click, box or drag points; Delete removes them")),
    ("pan_zoom", _("Pan (4)"), _("Move and zoom the image")),
)


class AnnotatePanel(Section):
    """Where lesions are clicked: everything around the clicking itself, which happens on the image."""

    def __init__(self, controller: Controller, jobs: JobControl, navigator: Navigator) -> None:
        super().__init__()
        self._controller = controller
        self._points: tuple[LesionPoint, ...] = ()
        self._case = ""
        self.views = {
            name: button(ORIENTATION_WORDS[name], partial(controller.set_orientation, name), _("Next view: X"), True)
            for name in ORIENTATIONS
        }
        self.tools = {mode: button(text, partial(controller.set_tool, mode), tip, True) for mode, text, tip in _TOOLS}
        self._groups = []
        for buttons in (self.views, self.tools):
            group = QButtonGroup(self)
            for member in buttons.values():
                group.addButton(member)
            self._groups.append(group)
        self.panes = button(
            _("Panes (V)"), navigator.next_views, _("Other planes beside the image, other sequences, none"), True
        )
        self.sequence = QComboBox()
        self.sequence.setToolTip(_("Image sequence; next one: C"))
        self.sequence.setMinimumContentsLength(8)
        self.sequence.activated.connect(lambda index: controller.set_sequence(self.sequence.itemText(index)))
        self.margin = QDoubleSpinBox()
        self.margin.setRange(0, 30)
        self.margin.setDecimals(0)
        self.margin.setSuffix(" mm")
        self.margin.setPrefix("± ")
        self.margin.setToolTip(_("Points this far before and behind the slice are shown too"))
        self.margin.valueChanged.connect(controller.set_margin)
        self.guard(self.sequence, self.margin)
        self.propose = button(_("Propose lesions"), jobs.propose, _("Let a model find candidates, to accept or reject"))
        self.undo = button(_("Undo"), controller.undo, "Ctrl+Z")
        self.redo = button(_("Redo"), controller.redo, "Ctrl+Shift+Z")
        self.delete = button(
            _("Delete"), lambda: controller.delete_points(self.chosen()), _("Delete the selected points (Delete)")
        )
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["#", _("World mm"), _("Origin")])
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(21)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setMinimumHeight(90)
        self.table.setToolTip(_("Click a point to go there"))
        header = self.table.horizontalHeader()
        header.setMinimumSectionSize(24)
        for column, width in ((0, 34), (2, 76)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.table.setColumnWidth(column, width)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.cellClicked.connect(self._row_clicked)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(QLabel(_("View")), 0, 0)
        grid.addLayout(row(*self.views.values(), self.panes), 0, 1)
        grid.addWidget(QLabel(_("Tool")), 1, 0)
        grid.addLayout(row(*self.tools.values()), 1, 1)
        grid.addWidget(QLabel(_("Image")), 2, 0)
        grid.addLayout(row(self.sequence, QLabel(_("Points")), self.margin), 2, 1)
        grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        layout.addLayout(grid)
        layout.addWidget(self.propose)
        layout.addWidget(self.table, 1)
        layout.addLayout(row(self.undo, self.redo, self.delete))

    def chosen(self) -> list[LesionPoint]:
        """Return the points selected in the list."""
        return [
            self._points[i.row()] for i in self.table.selectionModel().selectedRows() if i.row() < len(self._points)
        ]

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        state = screen.state
        for name, member in self.views.items():
            member.setChecked(name == state.orientation)
        self.panes.setChecked(bool(state.views))
        mode = str(self._controller.editor.layer.mode) if self._controller.editor is not None else ""
        for name, member in self.tools.items():
            member.setEnabled(screen.case_ready)
            member.setChecked(name == mode)
        with QSignalBlocker(self.sequence), QSignalBlocker(self.margin):
            names = [self.sequence.itemText(i) for i in range(self.sequence.count())]
            if names != list(state.sequences):
                self.sequence.clear()
                self.sequence.addItems(state.sequences)
            self.sequence.setCurrentText(state.sequence)
            self.margin.setValue(state.margin_mm)
        self.propose.setEnabled(screen.case_ready and not state.job.running)
        self.undo.setEnabled(bool(state.undo_label))
        self.undo.setText(_("Undo {edit}").format(edit=edit_words(state.undo_label)).strip())
        self.redo.setEnabled(bool(state.redo_label))
        self.redo.setText(_("Redo {edit}").format(edit=edit_words(state.redo_label)).strip())
        self.delete.setEnabled(bool(state.points))
        if state.points != self._points:
            added = len(state.points) == len(self._points) + 1
            self._points = state.points
            self._draw_points()
            if added:
                self.table.scrollToBottom()
            elif state.shown != self._case:
                self.table.scrollToTop()
        self._case = state.shown

    def _draw_points(self) -> None:
        self.table.clearSelection()
        self.table.setRowCount(len(self._points))
        for number, point in enumerate(self._points):
            for column, text in enumerate((str(number + 1), position(point), ORIGIN_WORDS[point.origin])):
                item = QTableWidgetItem(text)
                if column == 0:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(number, column, item)

    def _row_clicked(self, number: int, _column: int) -> None:
        if number < len(self._points):
            point = self._points[number]
            self._controller.jump(point.world)
            if self._controller.editor is not None:
                self._controller.editor.select({point.id})
