"""The Train tab: exactly which cases a model learns from, how long, and how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import Section, button, row, wrapped
from napari_lesion_points.ui.curves import TrainingCurves
from napari_lesion_points.ui.jobs import JobControl
from napari_lesion_points.ui.preferences import preferences
from napari_lesion_points.ui.screen import Screen, TrainRow
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari_lesion_points.workflow.models import ModelCard

_SCRATCH = _("From scratch")


class TrainPanel(Section):
    """Choices of a training, start, cancel, resume, progress and curves."""

    def __init__(self, controller: Controller, jobs: JobControl) -> None:
        super().__init__()
        self._controller = controller
        self._jobs = jobs
        self._rows: tuple[TrainRow, ...] = ()
        self._study = ("", "")
        self._listed: tuple[str, ...] = ()
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels([_("Learn from"), _("Points used")])
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(21)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setMinimumHeight(66)
        self.table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.itemChanged.connect(self._checked)
        self.summary = wrapped()
        self.init = QComboBox()
        self.init.addItem(_SCRATCH, "")
        self.init.setToolTip(
            _(
                "What goes on learning: a copy of the newest model, or of the starter while there is none of your own; "
                "or a new model, which needs many cases"
            )
        )
        self.device = QComboBox()
        self.device.addItem(_("auto"), "auto")
        self.device.setToolTip(_("Where to train; auto takes the fastest device found"))
        self.budget = QDoubleSpinBox()
        self.budget.setRange(0.1, 10_000)
        self.budget.setDecimals(1)
        self.budget.setValue(preferences().minutes)
        self.unit = QComboBox()
        self.unit.addItem(_("min"), "min")
        self.unit.addItem(_("epochs"), "epochs")
        self.sigma = QDoubleSpinBox()
        self.sigma.setRange(0.5, 10)
        self.sigma.setSingleStep(0.1)
        self.sigma.setValue(2.0)
        self._own_sigma_mm = self.sigma.value()
        self.sigma.setSuffix(" mm")
        self.sigma.setDecimals(1)
        self.sigma.setToolTip(_("Standard deviation of the Gaussian drawn at each lesion point"))
        for box in (self.init, self.device):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(4)
            box.view().setMinimumWidth(240)
        self.budget.setFixedWidth(62)
        self.unit.setFixedWidth(90)
        self.sigma.setFixedWidth(84)
        self._picked: str | None = None  # a model, or "" for scratch; None as long as nobody chose
        self.init.activated.connect(self._pick)
        self.init.currentIndexChanged.connect(lambda __: self.show_screen(controller.screen))
        self.guard(self.init, self.device, self.budget, self.unit, self.sigma)
        self.start = button(_("Start training"), self._start)
        self.cancel = button(_("Cancel"), jobs.stop, _("Stop; the best model so far is kept"))
        self.resume = button(_("Resume"), self._resume, _("Go on with the chosen model's interrupted training"))
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setMaximumHeight(18)
        self.outcome = wrapped()
        self.curves = TrainingCurves()
        jobs.curve.connect(self.curves.take)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        budget = QWidget()
        budget.setLayout(row(self.budget, self.unit))
        choices = ((_("From"), self.init), (_("Device"), self.device), (_("For"), budget), (_("Sigma"), self.sigma))
        for place, (name, widget) in enumerate(choices):
            line, column = place // 2, 2 * (place % 2)
            grid.addWidget(QLabel(name), line, column)
            grid.addWidget(widget, line, column + 1)
        grid.setColumnStretch(1, 3)
        grid.setColumnStretch(3, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.summary)
        layout.addLayout(grid)
        layout.addLayout(row(self.start, self.cancel, self.resume))
        layout.addWidget(self.progress)
        layout.addWidget(self.outcome)
        layout.addWidget(self.curves, 2)

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        state, job = screen.state, screen.state.job
        self._draw_rows(screen.train_rows)
        self.summary.setText(screen.train_summary)
        cards = {str(card.path): card for card in state.models if card.label != "segmentation"}
        if self._study != (state.root, state.store):
            self._study, self._picked = (state.root, state.store), None
        listed = (*self._study, screen.start_from, *cards)
        if listed != self._listed:
            self._listed = listed
            chosen = self._picked if self._picked in ("", *cards) else screen.start_from
            with QSignalBlocker(self.init):
                self.init.clear()
                self.init.addItem(_SCRATCH, "")
                for path, card in cards.items():
                    self.init.addItem(model_name(card), path)
                self.init.setCurrentIndex(max(self.init.findData(chosen), 0))
        if self.device.count() == 1 and state.devices:
            for name, label in state.devices:
                self.device.addItem(label, name)
        chosen_card = cards.get(self.init.currentData() or "")
        training = job.kind == "train"
        self.start.setText(_("Fine-tune") if chosen_card is not None else _("Start training"))
        self.start.setEnabled(screen.can_train)
        if self.sigma.isEnabled():
            self._own_sigma_mm = self.sigma.value()
        self.sigma.setEnabled(chosen_card is None)
        self.sigma.setValue(self._own_sigma_mm if chosen_card is None else chosen_card.sigma_mm)
        self.cancel.setEnabled(job.running and training and not job.stopping)
        self.resume.setEnabled(screen.can_train and chosen_card is not None and chosen_card.resumable)
        self.progress.setVisible(training)
        self.outcome.setVisible(training)
        if training:
            self.progress.setValue(round(job.fraction * 1000))
            self.outcome.setText(screen.job_text)

    def _draw_rows(self, rows: tuple[TrainRow, ...]) -> None:
        if rows == self._rows:
            return
        self._rows = rows
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(rows))
            for number, line in enumerate(rows):
                name = QTableWidgetItem(line.case)
                name.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
                name.setCheckState(Qt.CheckState.Checked if line.checked else Qt.CheckState.Unchecked)
                self.table.setItem(number, 0, name)
                self.table.setItem(number, 1, QTableWidgetItem(line.text))

    def _checked(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            unchecked = set(self._controller.state.unchecked)
            if item.checkState() is Qt.CheckState.Checked:
                unchecked.discard(item.text())
            else:
                unchecked.add(item.text())
            self._controller.update(unchecked=frozenset(unchecked))

    def _pick(self) -> None:
        self._picked = self.init.currentData()

    def _start(self) -> None:
        self._train(resume=False)

    def _resume(self) -> None:
        self._train(resume=True)

    def _train(self, resume: bool) -> None:
        in_minutes = self.unit.currentData() == "min"
        self._jobs.train(
            minutes=self.budget.value() if in_minutes else None,
            epochs=None if in_minutes else max(round(self.budget.value()), 1),
            sigma_mm=self.sigma.value(),
            init=self.init.currentData() or "",
            device=self.device.currentData() or "auto",
            resume=resume,
        )


def model_name(card: ModelCard) -> str:
    """Name a model in a list: its folder, and its validation F1, or Dice of a segmentation, when it has one."""
    if card.dice is not None:
        return _("{model} (Dice {dice:.2f})").format(model=card.name, dice=card.dice)
    return card.name if card.f1 is None else _("{model} (F1 {f1:.2f})").format(model=card.name, f1=card.f1)
