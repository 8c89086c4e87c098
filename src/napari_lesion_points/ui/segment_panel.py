"""The Segment tab: paint a few masks, learn a segmentation from a model of points, and read lesion volumes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDoubleSpinBox,
    QHeaderView,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_lesion_points.core.records import LesionPoint
from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import Section, button, caption, row, wrapped
from napari_lesion_points.ui.jobs import JobControl
from napari_lesion_points.ui.painting import PaintDesk
from napari_lesion_points.ui.screen import Screen, TrainRow, position
from napari_lesion_points.ui.train_panel import model_name
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari_lesion_points.core.lesion_volumes import LesionVolume

_TOOLS = {"paint": _("Paint"), "erase": _("Erase"), "pan_zoom": _("Pan")}


class SegmentPanel(Section):
    """Brush, masks to learn from, training, and the lesions of the case on screen."""

    def __init__(self, controller: Controller, jobs: JobControl, desk: PaintDesk) -> None:
        super().__init__()
        self._controller, self._jobs, self._desk = controller, jobs, desk
        self._rows: tuple[TrainRow, ...] = ()
        self._models: tuple[str, ...] = ()
        self._lesions: tuple[LesionVolume, ...] | None = ()
        tips = (_("P or 2"), _("E or 1"), _("Z or 6; hold Space to pan while painting"))
        self.tools = {
            mode: button(text, partial(desk.set_mode, mode), tip, checkable=True)
            for (mode, text), tip in zip(_TOOLS.items(), tips, strict=True)
        }
        self.brush = QSpinBox()
        self.brush.setRange(1, 40)
        self.brush.setFixedWidth(70)
        self.brush.setToolTip(_("Width of the brush in voxels"))
        self.brush.valueChanged.connect(desk.set_brush)
        self.masks = _table(_("Learn from"), _("Painted"))
        self.masks.itemChanged.connect(self._checked)
        self.init = QComboBox()
        self.init.setToolTip(_("The encoder of this model is kept; the rest learns from your masks"))
        self.init.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.init.setMinimumContentsLength(4)
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 10_000)
        self.minutes.setDecimals(1)
        self.minutes.setValue(2.0)
        self.minutes.setSuffix(" min")
        self.minutes.setFixedWidth(90)
        self.guard(self.brush, self.init, self.minutes)
        self.start = button(_("Learn from masks"), self._start)
        self.cancel = button(_("Cancel"), jobs.stop, _("Stop; the best model so far is kept"))
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setMaximumHeight(18)
        self.outcome = wrapped()
        self.segment = button(_("Segment this case"), self._segment, _("With the newest segmentation of this study"))
        self.total = QLabel()
        self.lesions = _table(_("Lesion"), "ml", _("Place"))
        self.lesions.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.lesions.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.lesions.cellClicked.connect(lambda line, __: self._jump(line))
        sizes = self.lesions.horizontalHeader()
        for column in (0, 1):
            sizes.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(row(*self.tools.values(), QLabel(_("Brush")), self.brush))
        layout.addWidget(self.masks, 1)
        choices = row(QLabel(_("From")), self.init, QLabel(_("for")), self.minutes)
        choices.setStretch(1, 1)
        layout.addLayout(choices)
        layout.addLayout(row(self.start, self.cancel))
        layout.addWidget(self.progress)
        layout.addWidget(self.outcome)
        layout.addWidget(caption(_("Lesions of this case")))
        layout.addLayout(row(self.segment, self.total))
        layout.addWidget(self.lesions, 1)

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        state, job = screen.state, screen.state.job
        for mode, tool in self.tools.items():
            tool.setEnabled(screen.case_ready)
            tool.setChecked(self._desk.ready and self._desk.mode == mode)
        with QSignalBlocker(self.brush):
            self.brush.setValue(self._desk.brush)
        self._draw_masks(screen.mask_rows)
        cards = {str(card.path): card for card in state.models}
        if tuple(cards) != self._models:
            self._models, chosen = tuple(cards), self.init.currentData()
            self.init.clear()
            for path, card in cards.items():
                self.init.addItem(model_name(card), path)
            self.init.addItem(_("scratch"), "")
            detector = next((path for path, card in cards.items() if card.label != "segmentation"), "")
            at = self.init.findData(chosen) if chosen else -1
            self.init.setCurrentIndex(at if at >= 0 else self.init.findData(detector))
        training = job.kind == "train"
        self.start.setEnabled(screen.can_learn_masks)
        self.cancel.setEnabled(job.running and training and not job.stopping)
        busy = job.kind in ("train", "predict")
        self.progress.setVisible(busy)
        self.outcome.setVisible(busy or not state.painted)
        if busy:
            self.progress.setValue(round(job.fraction * 1000))
        self.outcome.setText(screen.job_text if busy else _FIRST)
        self.segment.setEnabled(screen.can_segment)
        self.total.setText(screen.volumes_text)
        self._draw_lesions(state.lesions)

    def _draw_masks(self, rows: tuple[TrainRow, ...]) -> None:
        if rows == self._rows:
            return
        self._rows = rows
        with QSignalBlocker(self.masks):
            self.masks.setRowCount(len(rows))
            for number, line in enumerate(rows):
                name = QTableWidgetItem(line.case)
                name.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
                name.setCheckState(Qt.CheckState.Checked if line.checked else Qt.CheckState.Unchecked)
                self.masks.setItem(number, 0, name)
                self.masks.setItem(number, 1, QTableWidgetItem(line.text))

    def _draw_lesions(self, lesions: tuple[LesionVolume, ...] | None) -> None:
        if lesions == self._lesions:
            return
        self._lesions = lesions
        self.lesions.setRowCount(len(lesions or ()))
        for number, one in enumerate(lesions or ()):
            place = position(LesionPoint("", one.center_world))
            for column, text in enumerate((str(one.label), f"{one.volume_ml:.3f}", place)):
                self.lesions.setItem(number, column, QTableWidgetItem(text))

    def _checked(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            unused = set(self._controller.state.unused_masks) - {item.text()}
            if item.checkState() is not Qt.CheckState.Checked:
                unused.add(item.text())
            self._controller.update(unused_masks=frozenset(unused))

    def _jump(self, line: int) -> None:
        if self._lesions:
            self._controller.jump(self._lesions[line].center_world)

    def _start(self) -> None:
        self._desk.train(minutes=self.minutes.value(), init=self.init.currentData() or "", device="auto")

    def _segment(self) -> None:
        state = self._controller.state
        self._jobs.predict(self._controller.screen.segmenter, (state.shown,), "auto")


_FIRST = _("Paint the lesions of one to five cases, whole. All is saved by itself.")


def _table(*columns: str) -> QTableWidget:
    """Make a small table of text."""
    table = QTableWidget(0, len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(21)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setMinimumHeight(66)
    table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    return table
