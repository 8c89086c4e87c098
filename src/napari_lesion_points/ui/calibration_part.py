"""The part of the Predict tab that shows how far existence can be trusted on this study. Folded at first."""

from __future__ import annotations

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_lesion_points.core.operating import Goal
from napari_lesion_points.ui.calibrating import CalibrationDesk
from napari_lesion_points.ui.controls import Section, button, row, wrapped
from napari_lesion_points.ui.reliability_plot import ReliabilityPlot
from napari_lesion_points.ui.screen import Screen
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.vocabulary import GOAL_WORDS

_TITLE = _("Calibration on this study")

#: Why nothing can be decided now.
_PREDICTING = _("Not while a prediction runs: its candidates would have existence on another scale")


class CalibrationPart(Section):
    """Reliability of existence on the study's verdicts, recalibration, and the operating threshold for a wish."""

    def __init__(self, desk: CalibrationDesk) -> None:
        super().__init__()
        self._desk = desk
        self._looked_at: object = None
        self._can_decide = True
        self.fold = button(f"▸ {_TITLE}", self._fold, _("What your verdicts say of this model's existence"))
        self.fold.setStyleSheet("text-align: left; font-weight: bold;")
        self.plot = ReliabilityPlot()
        self.words = wrapped()
        self.recalibrate = button(
            _("Recalibrate"), desk.recalibrate,
            _("Let existence be what your verdicts say (dashed), in this study: for the candidates there are and for "
              "later predictions. Can be taken back"),
        )  # fmt: skip
        self.own = button(_("Model's own again"), desk.use_models_own, _("Take recalibration and threshold back"))
        self.goal = QComboBox()
        for goal, word in GOAL_WORDS.items():
            self.goal.addItem(word, str(goal))
        self.goal.setToolTip(_("sensitivity: the share of the lesions that are shown; precision: of what is shown"))
        self.goal.currentTextChanged.connect(lambda __: self._wish())
        self.wished = QDoubleSpinBox()
        self.wished.setRange(0.05, 1.0)
        self.wished.setSingleStep(0.05)
        self.wished.setValue(0.9)
        self.wished.setFixedWidth(64)
        self.wished.valueChanged.connect(lambda __: self._wish())
        self.guard(self.goal, self.wished)
        self.use = button(_("Use"), desk.use_threshold, _("Make it the operating threshold of this study, and show it"))
        self._tips = {member: member.toolTip() for member in (self.recalibrate, self.own, self.use)}
        self.expected = wrapped()
        self.body = QWidget()
        inner = QVBoxLayout(self.body)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addWidget(self.plot)
        inner.addLayout(row(self.recalibrate, self.own))
        inner.addLayout(row(QLabel(_("Threshold for")), self.goal, self.wished, self.use))
        inner.addWidget(self.expected)
        inner.addWidget(self.words)
        self.body.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.fold)
        layout.addWidget(self.body)
        self._scroll = QTimer(self)  # runs out when the layout has made room
        self._scroll.setSingleShot(True)
        self._scroll.timeout.connect(self._show_all)
        desk.answered.connect(self.show_answer)
        self.show_answer()

    def show_screen(self, screen: Screen) -> None:
        """Look anew when model, study or verdicts have changed, while it can be seen and no prediction runs."""
        state = screen.state
        if screen.can_calibrate != self._can_decide:
            self._can_decide = screen.can_calibrate
            self.show_answer()
        now = (state.root, state.store, state.reading, state.model, state.cases)
        if self.unfolded and now != self._looked_at and screen.can_calibrate:
            self._looked_at = now
            self._desk.assess()

    def show_answer(self) -> None:
        """Draw what the desk knows."""
        found, wanted, can = self._desk.assessment, self._desk.estimate, self._can_decide
        self.plot.show_assessment(found)
        self.words.setText(self._desk.trouble or (found.words if found else _("Looking at the verdicts …")))
        self.recalibrate.setEnabled(can and found is not None and found.can_recalibrate)
        self.own.setEnabled(can and found is not None and found.holds_something)
        for box in (self.goal, self.wished):
            box.setEnabled(found is not None and found.recalibration is not None)
        self.use.setEnabled(can and wanted is not None)
        for member, tip in self._tips.items():
            member.setToolTip(tip if can else _PREDICTING)
        self.use.setText(_("Use {threshold:.2f}").format(threshold=wanted.point.threshold) if wanted else _("Use"))
        self.expected.setText(wanted.words if wanted else "")

    @property
    def unfolded(self) -> bool:
        """Whether the part shows more than its title."""
        return not self.body.isHidden()

    def _fold(self) -> None:
        opened = not self.unfolded
        self.fold.setText(f"{'▾' if opened else '▸'} {_TITLE}")
        self.body.setVisible(opened)
        self._looked_at = None
        if opened:
            self._desk.refresh()
            self._scroll.start()

    def _show_all(self) -> None:
        """Scroll the tab so that as much of the part is seen as has room."""
        area = self.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None:
            area.ensureWidgetVisible(self.body, 0, 0)
            area.ensureWidgetVisible(self.fold, 0, 0)

    def _wish(self) -> None:
        self._desk.wish(Goal(self.goal.currentData()), self.wished.value())
