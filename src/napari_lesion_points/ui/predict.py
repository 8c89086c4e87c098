"""The Predict tab: which model, which cases, and what of the result is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QProgressBar, QSlider, QVBoxLayout

from napari_lesion_points.ui.calibrating import CalibrationDesk
from napari_lesion_points.ui.calibration_part import CalibrationPart
from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import ExistenceSlider, Section, button, caption, legend, row, wrapped
from napari_lesion_points.ui.jobs import JobControl
from napari_lesion_points.ui.screen import Screen
from napari_lesion_points.ui.train_panel import model_name
from napari_lesion_points.ui.translation import _, ngettext

if TYPE_CHECKING:
    from napari_lesion_points.workflow.models import ModelCard


class PredictPanel(Section):
    """Prediction with a model, the existence slider, and the legend."""

    def __init__(self, controller: Controller, jobs: JobControl, calibration: CalibrationDesk) -> None:
        super().__init__()
        self._controller = controller
        self._jobs = jobs
        self._models: tuple[str, ...] = ()
        self.model = QComboBox()
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.setMinimumContentsLength(12)
        self.model.activated.connect(lambda index: controller.update(model=self.model.itemData(index)))
        self.device = QComboBox()
        self.device.addItem(_("auto: the fastest found"), "auto")
        self.details = wrapped()
        self.this_case = button(_("Predict this case"), self._predict_one)
        self.all_cases = button(_("All cases"), self._predict_all)
        self.cancel = button(_("Cancel"), jobs.stop, _("Cases predicted so far are kept"))
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setMaximumHeight(18)
        self.outcome = wrapped()
        self.existence = ExistenceSlider()
        self.existence.moved.connect(controller.set_threshold)
        self.count = QLabel()
        self.operating = button(
            "",
            self._use_operating,
            _("Set the slider to the operating threshold: chosen on the model's validation cases, or by you"),
        )
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(80)
        self.opacity.setToolTip(_("Opacity of the heatmap; H hides or shows it"))
        self.opacity.valueChanged.connect(lambda percent: controller.set_heat_opacity(percent / 100))
        self.calibration = CalibrationPart(calibration)
        self.guard(self.model, self.device, self.opacity, self.existence.number, self.existence.slider)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(QLabel(_("Model")), 0, 0)
        grid.addWidget(self.model, 0, 1)
        grid.addWidget(QLabel(_("Device")), 1, 0)
        grid.addWidget(self.device, 1, 1)
        grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        layout.addLayout(grid)
        layout.addWidget(self.details)
        layout.addLayout(row(self.this_case, self.all_cases, self.cancel))
        layout.addWidget(self.progress)
        layout.addWidget(self.outcome)
        layout.addWidget(caption(_("Shown in the image")))
        layout.addWidget(self.existence)
        layout.addLayout(row(self.count, self.operating))
        layout.addLayout(row(QLabel(_("Heatmap")), self.opacity))
        layout.addWidget(self.calibration)
        layout.addWidget(legend())
        layout.addStretch(1)

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        state, job = screen.state, screen.state.job
        cards = {str(card.path): card for card in state.models}
        with QSignalBlocker(self.model):
            if tuple(cards) != self._models:
                self._models = tuple(cards)
                self.model.clear()
                for path, listed in cards.items():
                    self.model.addItem(model_name(listed), path)
            self.model.setCurrentIndex(self.model.findData(state.model))
        if self.device.count() == 1 and state.devices:
            for name, label in state.devices:
                self.device.addItem(label, name)
        card = cards.get(state.model)
        self.details.setText(_details(card) if card else "")
        predicting = job.kind == "predict"
        self.this_case.setEnabled(screen.can_predict and screen.case_ready)
        self.all_cases.setEnabled(screen.can_predict)
        self.cancel.setEnabled(job.running and predicting and not job.stopping)
        self.progress.setVisible(predicting)
        self.outcome.setVisible(predicting)
        if predicting:
            self.progress.setValue(round(job.fraction * 1000))
            self.outcome.setText(screen.job_text)
        self.existence.set_value(state.threshold)
        self.count.setText(screen.shown_candidates)
        self.operating.setVisible(card is not None)
        if card is not None:
            self.operating.setText(_("Operating {threshold:.2f}").format(threshold=card.threshold))
        with QSignalBlocker(self.opacity):
            self.opacity.setValue(round(100 * state.heat_opacity))
        self.opacity.setEnabled(state.has_heatmap)
        self.calibration.show_screen(screen)

    def _predict_one(self) -> None:
        self._predict((self._controller.state.shown,))

    def _predict_all(self) -> None:
        self._predict(tuple(summary.case for summary in self._controller.state.cases))

    def _predict(self, cases: tuple[str, ...]) -> None:
        self._jobs.predict(self._controller.state.model, cases, self.device.currentData() or "auto")

    def _use_operating(self) -> None:
        for card in self._controller.state.models:
            if str(card.path) == self._controller.state.model:
                self._controller.set_threshold(float(card.threshold))


def _details(card: ModelCard) -> str:
    """Say what a model takes, and what it has learned from."""
    sequences, number = ", ".join(card.sequences), len(card.training_cases)
    return " · ".join(
        (
            _("any of {sequences}").format(sequences=sequences) if card.any_subset else sequences,
            _("sigma {sigma:g} mm").format(sigma=card.sigma_mm),
            ngettext("from {count} case", "from {count} cases", number).format(count=number)
            if number
            else _("from simulated patients"),
        )
    )
