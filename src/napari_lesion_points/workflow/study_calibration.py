"""Calibration where it is used: from the verdicts of a study on the candidates of a model.

1. `assess` draws the reliability of existence from the candidates that take part (`verdicts`) and learns a map.
2. `estimate` finds the threshold for a wished sensitivity or precision, and how sure that is.
3. `recalibrate`, `set_threshold` and `use_models_own` keep what the reader chose (`calibrations`), and give the stored
   candidates the existence that goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.calibration import Recalibration, fit_recalibration
from napari_lesion_points.core.intervals import share_interval
from napari_lesion_points.core.metrics import ReliabilityCurve, reliability_curve
from napari_lesion_points.core.operating import (
    Goal,
    JudgedCandidates,
    OperatingPoint,
    bootstrap_operating,
    choose_threshold,
)
from napari_lesion_points.core.records import SHARED, utc_now
from napari_lesion_points.errors import StudyError
from napari_lesion_points.workflow.calibrations import StudyCalibration, read_calibration, write_calibration
from napari_lesion_points.workflow.verdicts import Evidence, gather_evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lesion_points.store.study import Study
    from napari_lesion_points.workflow.models import ModelCard

    Array = NDArray[np.float64]

#: From so many candidates with a known outcome on something is learnt; of them, at least so many of either kind. Twenty
#: tell a share to about 0.2 either way (Wilson), just enough to see that a model is far off.
LEAST_JUDGED = 20
LEAST_OF_A_KIND = 5

#: Fewer patients than these, drawn again and again, would only look sure.
LEAST_CASES = 3

#: How far a study's scanner and reader may be from the validation cases of a model: standard deviations of a, b and c.
#: With 0.7 for c, what the model says itself weighs as much as eight verdicts at existence 0.5 (each tells 1/4 of c's
#: squared inverse), so twenty already move the map, and hundreds overrule the model.
_SPREAD = 0.25, 0.25, 0.7

_FOLDS = 10


@dataclass(frozen=True, eq=False)
class Assessment:
    """What the verdicts say of a model's existence.

    Parameters
    ----------
    card : ModelCard
        As it counts in the study.
    in_force : StudyCalibration
        What the study holds of it.
    evidence : Evidence
        Who takes part.
    curve : ReliabilityCurve
        Of the judged candidates, on the scale in force.
    intervals : (B, 2) float
        Of the share that are lesions in each bin, 95 % (Wilson); NaN in an empty bin.
    recalibration : Recalibration or None
        Learnt from the judged; None while there are too few.
    brier : (float, float) or None
        Mean squared difference between existence and outcome, as the model says itself and recalibrated, in patients
        that the map did not learn from; None with fewer than `LEAST_CASES`.
    can_recalibrate : bool
        There is a map, and the model's candidates have a mass that it can map.
    """

    card: ModelCard
    in_force: StudyCalibration
    evidence: Evidence
    curve: ReliabilityCurve
    intervals: Array
    recalibration: Recalibration | None
    brier: tuple[float, float] | None
    can_recalibrate: bool

    @property
    def on_scale(self) -> JudgedCandidates:
        """The candidates with their existence on the scale in force, which is what the reader sees."""
        candidates = self.evidence.candidates
        return replace(candidates, existence=Recalibration(*self.card.recalibration)(candidates.existence))

    @property
    def holds_something(self) -> bool:
        """Whether the study holds anything else than what the model says itself."""
        return self.in_force.recalibration is not None or self.in_force.threshold is not None

    def before_and_after(self, mass: Array) -> tuple[Array, Array]:
        """Return existence in force, and recalibrated, of clipped masses, (N,) each."""
        after = self.recalibration or Recalibration(*self.card.recalibration)
        return Recalibration(*self.card.recalibration)(mass), after(mass)

    @property
    def basis(self) -> str:
        """What it rests on, in words."""
        outcome = self.evidence.candidates.outcome
        known, lesions = int(np.isfinite(outcome).sum()), int(np.nansum(outcome))
        return (
            f"{_count(known, 'judged candidate')} ({_count(lesions, 'lesion')}, {known - lesions} none) of "
            f"{_count(len(self.evidence.cases), 'case')}, {self.evidence.done} done"
        )

    @property
    def words(self) -> str:
        """What took part, how the others are treated, and what is missing."""
        evidence = self.evidence
        known = int(evidence.candidates.judged.sum())
        parts = [f"Rests on {self.basis}."]
        if waiting := len(evidence.candidates.outcome) - known:
            parts.append(f"{waiting} not judged: not in the curve; a threshold counts them by what the curve says.")
        if evidence.waiting:
            parts.append(f"Waiting until done, as points were clicked before: {_some(evidence.waiting)}.")
        if evidence.learned:
            parts.append(f"Left out, known to the model: {_some(evidence.learned)}.")
        if evidence.outdated:
            parts.append(f"Left out, as the model was trained since they were predicted: {_some(evidence.outdated)}.")
        if self.recalibration is None:
            parts.append(
                f"Needs {LEAST_JUDGED} judged candidates, {LEAST_OF_A_KIND} of them lesions and {LEAST_OF_A_KIND} none."
            )
        elif self.brier:
            before, after = self.brier
            parts.append(
                f"Brier score in patients not learnt from: {before:.3f} of the model's own existence, {after:.3f} "
                "recalibrated (less is better)."
            )
        if self.in_force.words:
            parts.append(f"In force: {self.in_force.words}.")
        return " ".join(parts)


@dataclass(frozen=True)
class Estimate:
    """A threshold for a wish.

    Parameters
    ----------
    goal, wished
        The wish.
    point : OperatingPoint
        The threshold on the scale in force, and what to expect.
    reached : bool
        Whether the wish can be fulfilled.
    intervals : dict or None
        Of both figures, 95 %; None with fewer than `LEAST_CASES` cases.
    basis : str
        What it rests on.
    """

    goal: Goal
    wished: float
    point: OperatingPoint
    reached: bool
    intervals: dict[Goal, tuple[float, float]] | None
    basis: str

    @property
    def figure(self) -> float:
        """What to expect of the figure that is wished for."""
        return float(getattr(self.point, str(self.goal)))

    @property
    def words(self) -> str:
        """What to expect, in words."""
        figures = []
        for goal in Goal:
            value = getattr(self.point, str(goal))
            between = ""
            if self.intervals and not np.isnan(self.intervals[goal]).any():
                low, high = self.intervals[goal]
                between = f" ({low:.2f} to {high:.2f})"
            figures.append(f"{goal} {value:.2f}{between}")
        text = f"Existence ≥ {self.point.threshold:.2f}: {', '.join(figures)}."
        if not self.reached:
            text = f"No threshold reaches {self.goal} {self.wished:.2f}; the nearest: {text}"
        sure = "95 %, by patient." if self.intervals else f"Fewer than {LEAST_CASES} cases: no interval."
        return f"{text} {sure} Lesions that no candidate stands for count in done cases only."


def assess(study: Study, card: ModelCard) -> Assessment:
    """Draw the reliability of a model's existence from a study's verdicts, and learn how to mend it.

    Parameters
    ----------
    study : Study
        In the reading whose verdicts count.
    card : ModelCard
        The model as it says itself, by `describe_model`.

    Raises
    ------
    StudyError
        If the study cannot be read, or is open in the consensus.
    """
    evidence = gather_evidence(study, card)
    in_force = read_calibration(study.store, card)
    here = in_force.of(card)
    candidates = evidence.candidates
    known = candidates.judged
    is_true = candidates.outcome[known] == 1.0
    existence = Recalibration(*here.recalibration)(candidates.existence)
    curve = reliability_curve(existence[known], is_true)
    lesions = np.where(curve.counts > 0, np.nan_to_num(curve.fraction_true) * curve.counts, 0.0).round().astype(int)
    intervals = np.array(
        [share_interval(int(k), int(n)) if n else (np.nan, np.nan) for k, n in zip(lesions, curve.counts, strict=True)]
    )
    lesion_count, count = int(is_true.sum()), len(is_true)
    enough = count >= LEAST_JUDGED and LEAST_OF_A_KIND <= lesion_count <= count - LEAST_OF_A_KIND
    learnt = _learn(card, candidates, np.ones(len(known))) if enough else None
    fitted = card.label == "heatmap" and not card.components
    brier = _brier(card, candidates) if enough and len(evidence.cases) >= LEAST_CASES else None
    return Assessment(here, in_force, evidence, curve, intervals, learnt, brier, enough and fitted)


def estimate(assessment: Assessment, own: ModelCard, goal: Goal, wished: float) -> Estimate | None:
    """Find the threshold for a wished sensitivity or precision; None while too few candidates were judged.

    Candidates that nobody has judged count with their recalibrated existence.

    Parameters
    ----------
    assessment : Assessment
        From `assess`.
    own : ModelCard
        The model as it says itself.
    goal, wished
        What is wished, in [0, 1].
    """
    if assessment.recalibration is None:
        return None
    raw, scaled = assessment.evidence.candidates, assessment.on_scale
    point, reached = choose_threshold(scaled, assessment.recalibration(raw.existence), goal, wished)
    intervals = None
    if len(assessment.evidence.cases) >= LEAST_CASES:

        def learn(times: Array) -> Array:
            return _learn(own, raw, times)(raw.existence)

        intervals = bootstrap_operating(scaled, learn, point.threshold)
    return Estimate(goal, wished, point, reached, intervals, assessment.basis)


def recalibrate(study: Study, card: ModelCard, assessment: Assessment) -> StudyCalibration:
    """Use the learnt map from now on, for the candidates that are stored and for later predictions.

    A threshold that was set goes with it to the new scale.

    Raises
    ------
    StudyError
        If there is nothing to recalibrate with, or the reading is not the shared one: candidates are everybody's.
    OutputError
        If it cannot be written.
    """
    learnt = assessment.recalibration
    if learnt is None or not assessment.can_recalibrate:
        raise StudyError(f"nothing to recalibrate {card.name} with. Judge {LEAST_JUDGED} of its candidates first.")
    threshold = None
    if assessment.in_force.threshold is not None:
        mass = Recalibration(*assessment.card.recalibration).inverse(assessment.in_force.threshold)
        threshold = round(float(learnt([mass])[0]), 2)
    kept = replace(
        assessment.in_force,
        recalibration=(learnt.a, learnt.b, learnt.c),
        threshold=threshold,
        rests_on=f"recalibrated from {assessment.basis}",
    )
    return _keep(study, card, kept)


def set_threshold(study: Study, card: ModelCard, wanted: Estimate) -> StudyCalibration:
    """Make an estimate's threshold the operating one; errors are those of `recalibrate`."""
    before = read_calibration(study.store, card)
    wish = f"threshold for {wanted.goal} {wanted.wished:.2f}"
    if not wanted.reached:
        wish = f"threshold the nearest to {wanted.goal} {wanted.wished:.2f}: {wanted.figure:.2f}"
    wish = f"{wish}, from {wanted.basis}"
    return _keep(study, card, replace(before, threshold=wanted.point.threshold, wish=wish))


def use_models_own(study: Study, card: ModelCard) -> StudyCalibration:
    """Use the model's own recalibration and threshold again; errors are those of `recalibrate`."""
    return _keep(study, card, StudyCalibration())


def _keep(study: Study, card: ModelCard, calibration: StudyCalibration) -> StudyCalibration:
    if study.reading != SHARED:
        raise StudyError(
            f"existence is the same for all readers, and this is what {study.reading} reads alone. "
            "Open the study in the usual way to change it."
        )
    before = read_calibration(study.store, card)
    signed = replace(calibration, reader=study.reader, utc=utc_now())
    write_calibration(study.store, card, signed)  # first: what is predicted from now on goes by it
    try:
        _rescale(study, card, signed)
    except StudyError:
        write_calibration(study.store, card, before)
        raise
    return signed


def _rescale(study: Study, card: ModelCard, calibration: StudyCalibration) -> None:
    here = Recalibration(*calibration.of(card).recalibration)
    study.rescale(str(card.path), lambda mass: here(np.clip(mass, 0.0, 1.0)))


def _learn(card: ModelCard, candidates: JudgedCandidates, times: Array) -> Recalibration:
    """Learn the map from the judged, each counting so often, beginning with what the model says itself."""
    known = candidates.judged
    return fit_recalibration(
        candidates.existence[known],
        candidates.outcome[known] == 1.0,
        times[known],
        expected=Recalibration(*card.recalibration),
        spread=_SPREAD,
    )


def _brier(card: ModelCard, candidates: JudgedCandidates) -> tuple[float, float]:
    """Return the Brier scores of the model's own existence and recalibrated, each patient by what the others taught."""
    known = candidates.judged
    fold = candidates.owner % min(_FOLDS, len(candidates.missed))
    mapped = np.empty(len(known))
    for k in np.unique(fold):
        mapped[fold == k] = _learn(card, candidates, (fold != k).astype(float))(candidates.existence[fold == k])
    own = Recalibration(*card.recalibration)(candidates.existence)
    before, after = ((p[known] - candidates.outcome[known]) ** 2 for p in (own, mapped))
    return float(before.mean()), float(after.mean())


def _some(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} cases"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
