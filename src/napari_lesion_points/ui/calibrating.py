"""The calibration desk: asks what the verdicts say of the chosen model, and keeps what the reader decides.

All of it is computed in a worker; an answer about another study or model than the chosen one is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_lesion_points.core.operating import Goal
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.vocabulary import GOAL_WORDS

if TYPE_CHECKING:
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.jobs import JobControl
    from napari_lesion_points.ui.reviewing import ReviewDesk
    from napari_lesion_points.workflow.models import ModelCard
    from napari_lesion_points.workflow.study_calibration import Assessment, Estimate

#: A wish is looked into when its number has rested for this long (ms).
_SETTLE_MS = 300

_LATER_TOO = _("It counts for later predictions, too.")


class CalibrationDesk(QObject):
    """What the verdicts of the open study say of the chosen model.

    Attributes
    ----------
    answered : Signal()
        `assessment`, `estimate` or `trouble` has changed.
    """

    answered = Signal()

    def __init__(self, controller: Controller, jobs: JobControl, review: ReviewDesk) -> None:
        super().__init__()
        self._controller, self._jobs, self._review = controller, jobs, review
        self.assessment: Assessment | None = None
        self.estimate: Estimate | None = None
        self.trouble = ""
        self._goal, self._wished = Goal.SENSITIVITY, 0.9
        self._asked = 0  # answers to earlier questions are dropped
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._estimate)

    def close(self) -> None:
        """Ask nothing more."""
        self._settle.stop()

    def refresh(self) -> None:
        """Let the panels be drawn again."""
        self._controller.update()

    def assess(self) -> None:
        """Look at the verdicts anew."""
        study, model = self._controller.study, self._controller.state.model
        self.assessment = self.estimate = None
        self.trouble = "" if study and model else _("Open a study and choose a model.")
        self.answered.emit()
        if study is not None and model:
            self._ask(lambda: _assess(study, model), self._assessed)

    def wish(self, goal: Goal, wished: float) -> None:
        """Look for the threshold of a wished figure, soon."""
        self._goal, self._wished = goal, wished
        self.estimate = None
        self.answered.emit()
        self._settle.start()

    def recalibrate(self) -> None:
        """Use the map that the verdicts teach."""
        from napari_lesion_points.workflow.study_calibration import recalibrate

        found = self.assessment
        if found is not None:
            self._decide(
                lambda study, card: recalibrate(study, card, found), _("Existence is recalibrated on this study.")
            )

    def use_threshold(self) -> None:
        """Make the threshold of the wish the operating one, and show what lies above it."""
        from napari_lesion_points.workflow.study_calibration import set_threshold

        wanted = self.estimate
        if wanted is not None:
            self._controller.set_threshold(wanted.point.threshold)
            text = (
                _("The operating threshold is {threshold:.2f}, for {goal} {wished:.2f}.")
                if wanted.reached
                else _("The operating threshold is {threshold:.2f}, the nearest to {goal} {wished:.2f}: {figure:.2f}.")
            ).format(
                threshold=wanted.point.threshold,
                goal=GOAL_WORDS[wanted.goal],
                wished=wanted.wished,
                figure=wanted.figure,
            )
            self._decide(lambda study, card: set_threshold(study, card, wanted), text)

    def use_models_own(self) -> None:
        """Take recalibration and threshold back."""
        from napari_lesion_points.workflow.study_calibration import use_models_own

        self._decide(use_models_own, _("Existence and threshold are the model's own again."))

    def _assessed(self, found: Assessment) -> None:
        self.assessment = found
        self.answered.emit()
        self._estimate()

    def _estimate(self) -> None:
        found, model = self.assessment, self._controller.state.model
        if found is not None and found.recalibration is not None:
            goal, wished = self._goal, self._wished
            self._ask(lambda: _estimate(found, model, goal, wished), self._estimated)

    def _estimated(self, found: Estimate | None) -> None:
        self.estimate = found
        self.answered.emit()

    def _decide(self, decide: Callable[[Study, ModelCard], object], text: str) -> None:
        study, model = self._controller.study, self._controller.state.model
        if study is None:
            return

        def show() -> None:
            self._controller.refresh()
            self._review.rebuild()
            self._controller.say(f"{text} {_LATER_TOO}")
            self.assess()

        def done(__: object) -> None:
            if not self._controller.closed and self._controller.study is study:  # else it is kept, and not shown
                self._jobs.list_models(show)

        def failed(why: str) -> None:
            self._controller.say(why, "error")

        self._controller.workers.start(_decide, study, model, decide, returned=done, failed=failed)

    def _ask(self, work: Callable[[], object], answer: Callable[..., None]) -> None:
        """Do something in a worker; its answer counts if nothing else was asked since, in the same study."""
        self._asked += 1
        question, study, model = self._asked, self._controller.study, self._controller.state.model

        def current() -> bool:
            now = self._controller
            return (question, study, model) == (self._asked, now.study, now.state.model) and not now.closed

        def failed(why: str) -> None:
            if current():
                self.trouble = why
                self.answered.emit()

        def returned(result: object) -> None:
            if current():
                answer(result)

        self._controller.workers.start(work, returned=returned, failed=failed)


def _assess(study: Study, model: str) -> Assessment:
    from napari_lesion_points.workflow.models import describe_model
    from napari_lesion_points.workflow.study_calibration import assess

    return assess(study, describe_model(Path(model)))


def _estimate(found: Assessment, model: str, goal: Goal, wished: float) -> Estimate | None:
    from napari_lesion_points.workflow.models import describe_model
    from napari_lesion_points.workflow.study_calibration import estimate

    return estimate(found, describe_model(Path(model)), goal, wished)


def _decide(study: Study, model: str, decide: Callable[[Study, ModelCard], object]) -> object:
    from napari_lesion_points.workflow.models import describe_model

    return decide(study, describe_model(Path(model)))
