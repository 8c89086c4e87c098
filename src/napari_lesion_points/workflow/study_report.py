"""The report of a study: its newest candidates against the annotations of the cases that are done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_lesion_points.core.matching import TOLERANCE_MM
from napari_lesion_points.core.records import CaseState, Origin
from napari_lesion_points.errors import CheckpointError, StudyError
from napari_lesion_points.workflow.calibrations import StudyCalibration, read_calibration
from napari_lesion_points.workflow.evaluation import compare, evaluate_cases
from napari_lesion_points.workflow.lineage import learned_cases
from napari_lesion_points.workflow.models import describe_model
from napari_lesion_points.workflow.report import FILE, Report, write_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lesion_points.store.study import Study
    from napari_lesion_points.workflow.models import ModelCard


def write_study_report(study: Study, tolerance_mm: float = TOLERANCE_MM) -> Path:
    """Write `report.html` into the study's store and return its path; errors are those of `study_report`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    return write_report(study_report(study, tolerance_mm), study.store / FILE)


def study_report(study: Study, tolerance_mm: float = TOLERANCE_MM) -> Report:
    """Compare a study's candidates with its annotations, in the cases that are done and were predicted.

    Cases that the model learned from are left out. The threshold is the one that counts in this study, its own or the
    model's; where candidates of several models are compared, the best for these cases.

    Raises
    ------
    StudyError
        If no case is left to compare, or what the study holds of the model cannot be read.
    """
    done = [s.case for s in study.summary() if s.state is CaseState.DONE]
    models = {case: model for case, model in study.models().items() if case in done}
    cards = {model: card for model in set(models.values()) if (card := _card(model))}
    taught = {model: learned_cases(study, card) for model, card in cards.items()}
    outdated = {case for card in cards.values() for case in study.predicted_before(str(card.path), card.created_utc)}
    learned = [case for case, model in models.items() if case in taught.get(model, ()) and case not in outdated]
    names = [case for case in done if case in models and case not in outdated.union(learned)]
    if not names:
        why = f" ({_cases(learned)} taught the model, and do not count)" if learned else ""
        raise StudyError(
            f"there is no case to report on{why}. Predict cases that a model has not learned from, correct their "
            "points, and mark them as done."
        )
    annotations = [a for a in study.annotations() if a.case in names]
    compared = compare(names, [c for c in study.candidates() if c.case in names], annotations)
    used = sorted({models[name] for name in names})
    own = {model: read_calibration(study.store, cards[model]) for model in used if model in cards}
    threshold, source = _threshold(used, cards, own)
    evaluation = evaluate_cases(compared.cases, tolerance_mm=tolerance_mm, threshold=threshold)
    accepted = sum(a.origin is Origin.MODEL for a in annotations)
    notes = []
    if accepted:
        notes.append(
            f"{accepted} of the {len(annotations)} annotations are candidates that a reader accepted or moved. "
            "Whoever sees the candidates tends to agree with them, and what both missed is in no figure: only a "
            "reading without the model tells more."
        )
    if threshold is None:
        notes.append("The threshold is the best for these very cases, which flatters.")
    for model, calibration in own.items():
        if calibration.words:
            notes.append(
                f"This study set existence or threshold of {cards[model].name} by verdicts, some of them on these very "
                f"cases, which flatters: {calibration.words}."
            )
    if learned:
        notes.append(f"Left out, as the model learned from them or was validated on them: {', '.join(learned)}.")
    unpredicted = [case for case in done if case not in models or case in outdated]
    if unpredicted:
        why = "not predicted, or not since the model was trained last" if outdated else "not predicted"
        notes.append(f"Left out, as they were {why}: {', '.join(unpredicted)}.")
    judged = ", ".join(sorted(Path(model).name for model in used))
    return Report(
        f"Candidates of {judged} against the annotations of {study.root.name}, cases that are done",
        compared,
        evaluation,
        source,
        f"Export tab, Report; study {study.root}, store {study.store}, reader {study.reader}",
        tuple(notes),
    )


def _threshold(
    models: Sequence[str], cards: dict[str, ModelCard], own: dict[str, StudyCalibration]
) -> tuple[float | None, str]:
    """Return the threshold of the one model there is, and where it comes from; None if there is none such."""
    if len(models) > 1:
        return None, "best for these cases; there are several models"
    card = cards.get(models[0])
    if card is None:
        return None, "best for these cases; the model is gone"
    chosen = "its training cases" if card.figures_on_training_cases else "its validation cases"
    if own[models[0]].threshold is not None:
        chosen = "cases of this study"
    return own[models[0]].of(card).threshold, f"of model {card.name}, chosen on {chosen}"


def _card(model: str) -> ModelCard | None:
    """Return a model's card, or None where the model is gone."""
    try:
        return describe_model(Path(model))
    except CheckpointError:
        return None


def _cases(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} cases"
