"""What a study's points, verdicts and masks make of a job: which cases it learns from, and which are kept aside."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.matching import TOLERANCE_MM
from napari_lesion_points.core.records import CaseState, patient_of
from napari_lesion_points.core.sequences import matching
from napari_lesion_points.errors import OutputError, StudyError, TrainingError
from napari_lesion_points.workflow.calibrations import read_calibration
from napari_lesion_points.workflow.lineage import own_cases, trained_cases
from napari_lesion_points.workflow.models import JOB, LABELS, RECIPES, RESUME, ModelCard, describe_model, is_starter
from napari_lesion_points.workflow.review import left_out
from napari_lesion_points.workflow.specs import (
    DEFAULT_MINUTES,
    DEFAULT_SIGMA_MM,
    PredictSpec,
    SpecCase,
    TrainSpec,
    from_json,
)

if TYPE_CHECKING:
    from napari_lesion_points.store.cases import CaseFiles
    from napari_lesion_points.store.study import Study

#: From so many cases on, a fifth (at most twenty) is kept aside for validation unless the user names the cases.
HOLD_OUT_FROM = 5


def plan_training(
    study: Study,
    *,
    out: Path,
    cases: Sequence[str] = (),
    validation: Sequence[str] = (),
    among: Sequence[str] = (),
    minutes: float | None = None,
    epochs: int | None = None,
    sigma_mm: float | None = None,
    init: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    tolerance_mm: float = TOLERANCE_MM,
    recipe: str | None = None,
    label: str | None = None,
    decay: float | None = None,
    components: bool = False,
    masks: Mapping[str, Path] | None = None,
    freeze_encoder: bool | None = None,
    dropout: float | None = None,
) -> TrainSpec:
    """Take a snapshot of a study's points as a training job.

    A segmentation that starts from a model of another label is a *transfer*, as in the paper: the encoder of that model
    is kept, decoder and classifier learn from the masks. All else that starts from a model is fine-tuning.

    Parameters
    ----------
    study : Study
        Whose annotations to learn from.
    out : Path
        Folder of the model to make.
    cases : sequence of str
        Training cases; by default all that have points or are done without lesions. Candidates of theirs that wait
        for a verdict are left out of the training, unless the case is done: then they are background; those put aside
        as unsure are left out in any case. Where nobody has judged a case that is not done, fine-tuning a heatmap
        leaves the model as it is. The cases that it learned from are replayed beside the new ones, so that it forgets
        nothing. For a segmentation, by default all that have a mask; points play no part.
    validation : sequence of str
        Cases to keep aside. No model that this one starts from may have learned the same label in them: masks are new
        to an encoder that has seen the points. By default, with five cases or more, a fifth of them: first those that
        the model to be fine-tuned was validated on, then such as are done and new to it. Sessions of one patient are
        never on both sides.
    among : sequence of str
        Cases that may be used at all, also for replay and validation; by default all.
    minutes, epochs : float, int
        The budget; `DEFAULT_MINUTES` when neither is given.
    sigma_mm : float, optional
        By default that of `init`, or `DEFAULT_SIGMA_MM`.
    init : Path, optional
        Model to start from. Its sequences, spacing and sigma are kept.
    device, seed, tolerance_mm
        See `TrainSpec`.
    recipe : str, optional
        By default that of `init`, or "fast".
    label, decay, components
        See `TrainSpec`; by default those of `init`, or a heatmap.
    masks : mapping of str to Path, optional
        Lesion masks by case, for the label "segmentation". They are read when the training begins.
    freeze_encoder : bool, optional
        Whether the encoder of `init` stays as it is; by default in a transfer, and when `init` came from one.
    dropout : float, optional
        See `TrainSpec`; for networks that start from scratch.

    Raises
    ------
    TrainingError
        If there is nothing to learn from, cases share no sequence, or a number makes no sense.
    OutputError
        If `out` is a file.
    StudyError, CheckpointError
        If a case is unknown or not annotated, or the model cannot be used or needs a sequence that a case lacks.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; name a folder for the model.")
    _check_numbers(minutes, epochs, sigma_mm, dropout, decay, tolerance_mm, seed)
    if recipe is not None and recipe not in RECIPES:
        raise TrainingError(f"no recipe {recipe!r}; choose one of: {', '.join(RECIPES)}.")
    parent = describe_model(init) if init else None
    if parent and parent.path == out.expanduser().resolve():
        raise TrainingError(f"{out} is the model to start from; name another folder for the new one.")
    if parent:
        _check_inherited(parent, sigma_mm, recipe, dropout)
    elif freeze_encoder:
        raise TrainingError("without a model to start from there is no encoder to keep; name one, or learn all of it.")
    if label is None:
        label, decay = (parent.label, decay or parent.decay) if parent else ("heatmap", decay)
        components = components or (parent is not None and parent.components)
    if label not in LABELS:
        raise TrainingError(f"no label {label!r}; choose one of: {', '.join(LABELS)}.")
    segments, transfer = label == "segmentation", parent is not None and parent.label != label
    if parent and transfer and not segments:
        raise TrainingError(f"{init} has learned the label {parent.label}: leave the label out, or start anew.")
    masks = masks or {}
    if segments and not masks:
        raise TrainingError("a segmentation is learned from lesion masks: say where they are.")
    trainable = [c for c in study.case_names if c in masks] if segments else study.training_cases()
    trainable = [c for c in trainable if not among or c in among]
    if among and parent and set(map(patient_of, trainable)) <= set(map(patient_of, own_cases(study, parent)[1])):
        cases = cases or trainable  # none would be left to learn from, and these were asked for
    finished = set(trainable) if segments else _done(study)  # whose lesions are all there
    chosen, aside = _divide(study, trainable, cases, validation, parent, finished, replay=not transfer)
    _check_cases(chosen, aside, set(trainable), segments)
    points = {c: tuple(p.world for p in study.annotations(c)) for c in (*chosen, *aside)}
    if validation:
        _check_unseen(aside, trained_cases(study, parent, label) if parent else set())
    else:
        seen = trained_cases(study, parent) if parent else set()
        free = [c for c in chosen if c not in seen] or (chosen if transfer else [])
        busy = {patient_of(c) for c in chosen if c not in free or c not in finished}
        free = [c for c in free if patient_of(c) not in busy]
        aside += _hold_out(free, points, seed, of=len(chosen) + len(aside), have=len(aside))
        chosen = [c for c in chosen if c not in aside]
    files = [study.files_of(c) for c in (*chosen, *aside)]
    described = (_spec_case(f, parent, points[f.case], f.case in aside) for f in files)
    return TrainSpec(
        out=str(out),
        cases=tuple(
            replace(c, mask=str(masks[c.case])) if segments else c if c.validation else _as_judged(study, c)
            for c in described
        ),
        sequences=parent.sequences if parent else _common_sequences(files),
        minutes=DEFAULT_MINUTES if minutes is None and epochs is None else minutes,
        epochs=epochs,
        sigma_mm=parent.sigma_mm if parent else sigma_mm or DEFAULT_SIGMA_MM,
        spacing_mm=parent.spacing_mm if parent else None,
        init=str(init if init and is_starter(init) else parent.path) if parent else "",
        any_subset=parent.any_subset if parent else False,
        label=label,
        decay=2.0 if decay is None else decay,
        components=components or label != "heatmap",
        freeze_encoder=(transfer or (parent is not None and parent.frozen_encoder))
        if freeze_encoder is None
        else freeze_encoder,
        dropout=dropout,
        device=device,
        seed=seed,
        tolerance_mm=tolerance_mm,
        recipe=parent.recipe if parent else recipe or "fast",
    )


def _check_numbers(
    minutes: float | None,
    epochs: int | None,
    sigma_mm: float | None,
    dropout: float | None,
    decay: float | None,
    tolerance_mm: float,
    seed: int,
) -> None:
    for name, value in (
        ("minutes", minutes), ("epochs", epochs), ("sigma_mm", sigma_mm), ("decay", decay),
        ("tolerance_mm", tolerance_mm),
    ):  # fmt: skip
        if value is not None and not 0 < value < math.inf:
            raise TrainingError(f"{name} is {value}; expected a number above 0.")
    if minutes is not None and epochs is not None:
        raise TrainingError("give a budget in minutes or in epochs, not both.")
    if dropout is not None and not 0 <= dropout < 1:
        raise TrainingError(f"dropout is {dropout}; expected a share from 0 to below 1.")
    if seed < 0:
        raise TrainingError(f"seed is {seed}; expected 0 or more.")


def _check_inherited(parent: ModelCard, sigma_mm: float | None, recipe: str | None, dropout: float | None) -> None:
    """Refuse what a model to start from has of its own."""
    if sigma_mm is not None and abs(sigma_mm - parent.sigma_mm) > 1e-6:
        raise TrainingError(
            f"sigma_mm is {sigma_mm}, but {parent.path} was trained with {parent.sigma_mm}: "
            "leave it out, or start anew."
        )
    if dropout is not None:
        raise TrainingError(f"the network of {parent.path} has its own dropout: leave it out, or start anew.")
    if recipe not in (None, parent.recipe):
        raise TrainingError(
            f"{parent.path} was trained by the recipe {parent.recipe}: leave the recipe out, or start anew."
        )


def _divide(
    study: Study,
    trainable: Sequence[str],
    cases: Sequence[str],
    validation: Sequence[str],
    parent: ModelCard | None,
    finished: set[str],
    *,
    replay: bool,
) -> tuple[list[str], list[str]]:
    """Return the cases to learn from, with those that are replayed, and those that are kept aside already.

    A patient is kept aside with all sessions.
    """
    aside = list(dict.fromkeys(study.files_of(c).case for c in validation))
    named = list(dict.fromkeys(study.files_of(c).case for c in cases))
    taught, validated = own_cases(study, parent) if parent else ([], [])
    asked = {patient_of(c) for c in named}
    apart = {patient_of(c) for c in aside or validated if c in aside or patient_of(c) not in asked}
    chosen = named or [c for c in trainable if patient_of(c) not in apart]
    if replay:
        chosen += [c for c in taught if c in trainable and c not in chosen and patient_of(c) not in apart]
    return chosen, aside or [c for c in trainable if patient_of(c) in apart and c in finished]


def _check_cases(chosen: Sequence[str], aside: Sequence[str], usable: set[str], segments: bool) -> None:
    both = sorted({patient_of(c) for c in chosen} & {patient_of(c) for c in aside})
    if both:
        raise TrainingError(
            f"{', '.join(both)} cannot be for training and for validation, not even in two sessions: leave out one."
        )
    blank = [c for c in (*chosen, *aside) if c not in usable]
    if blank and segments:
        raise TrainingError(f"{', '.join(blank[:5])}: no lesion mask to learn a segmentation from; leave them out.")
    if blank:
        raise StudyError(
            f"{', '.join(blank[:5])}: no points yet. Annotate, or mark as done if there are no lesions, or leave out."
        )
    if not chosen and segments:
        raise TrainingError("all cases with masks are for validation: name some of them as cases to learn from.")
    if not chosen:
        raise TrainingError("no case has points yet: annotate one, or mark one as done if it has no lesions.")


def _check_unseen(aside: Sequence[str], seen: set[str]) -> None:
    known = [c for c in aside if c in seen]
    if known:
        raise TrainingError(
            f"{', '.join(known[:5])}: the model to start from has learned from it, or one before that has; figures "
            "there would be too good. Name other cases for validation, or none: then new ones are chosen."
        )


def _as_judged(study: Study, case: SpecCase) -> SpecCase:
    """Add what a reader has judged of a case besides its points, and what not."""
    unfinished = study.state(case.case) is not CaseState.DONE
    return replace(
        case,
        unknown_world=tuple(p.world for p in left_out(study, case.case)),
        judged_world=tuple(p.world for p in study.candidates(case.case) if unfinished and p.verdict.decided),
        unfinished=unfinished,
    )


def plan_prediction(
    files: Sequence[CaseFiles],
    *,
    model: Path,
    heatmaps: Path,
    device: str = "auto",
    min_existence: float = 0.1,
    store: Path | None = None,
) -> PredictSpec:
    """Describe the prediction of cases by a model, recalibrated as the study that is kept in `store` has it.

    Raises
    ------
    CheckpointError
        If the model cannot be used, or needs a sequence that a case lacks.
    StudyError
        If the study's calibration of the model cannot be read.
    """
    card = describe_model(model)
    own = read_calibration(store, card).recalibration if store else None
    cases = tuple(_spec_case(f, card) for f in files)
    return PredictSpec(str(card.path), cases, str(heatmaps), device, min_existence, own)


def plan_preview(training: TrainSpec, files: CaseFiles, heatmaps: Path) -> PredictSpec | None:
    """Describe the prediction of a case by the model that a training will have made; None if a sequence is missing."""
    taken = dict(files.sequences)
    if training.any_subset:
        taken = matching(training.sequences, taken)
    if not taken or not (training.any_subset or set(training.sequences) <= set(taken)):
        return None
    case = SpecCase(files.case, {k: str(v) for k, v in taken.items()})
    return PredictSpec(training.out, (case,), str(heatmaps), training.device)


def resume_training(model: Path) -> TrainSpec:
    """Return the interrupted job of a model folder, set to go on where it stopped.

    Raises
    ------
    TrainingError
        If the folder holds no job that can be resumed.
    """
    job, state = model / JOB, model / RESUME
    if not (job.is_file() and state.is_file()):
        raise TrainingError(f"{model} holds no interrupted training; start a new one.")
    try:
        spec = from_json(job.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{job} is damaged ({error!r}); start a new training.") from error
    if not isinstance(spec, TrainSpec):
        raise TrainingError(f"{job} is not a training job; start a new one.")
    return replace(spec, resume=True, out=str(model))


def _spec_case(
    files: CaseFiles,
    model: ModelCard | None,
    points: tuple[tuple[float, float, float], ...] = (),
    validation: bool = False,
) -> SpecCase:
    """Describe a case for a job; CheckpointError if the model, if any, needs a sequence that the case lacks."""
    taken = model.choose(files.sequences, files.case) if model else files.sequences
    return SpecCase(files.case, {k: str(v) for k, v in taken.items()}, points, validation)


def _hold_out(
    chosen: list[str], points: dict[str, tuple[tuple[float, float, float], ...]], seed: int, of: int, have: int
) -> list[str]:
    """Choose more validation cases, until they are a fifth `of` all, or twenty, with lesions as often as the rest.

    None of fewer than five, and never more than half of `chosen`: those that may be taken, which no model that is
    fine-tuned has learned from, and of which somebody has said that all lesions are there. Sessions of one patient go
    together.
    """
    count = min(min(max(1, of // 5), 20) - have, len(chosen) // 2)
    if of < HOLD_OUT_FROM or count <= 0:
        return []
    sessions: dict[str, list[str]] = {}
    for case in sorted(chosen):
        sessions.setdefault(patient_of(case), []).append(case)
    patients = min(math.ceil(count * len(sessions) / len(chosen)), len(sessions) // 2)
    shuffled = [str(patient) for patient in np.random.default_rng(seed).permutation(sorted(sessions))]
    by_lesions = sorted(shuffled, key=lambda patient: -sum(len(points[case]) for case in sessions[patient]))
    middle = np.linspace(0, len(by_lesions) - 1, patients + 2).round().astype(int)[1:-1]
    return [case for i in sorted(set(middle)) for case in sessions[by_lesions[i]]]


def _done(study: Study) -> set[str]:
    return {s.case for s in study.summary() if s.state is CaseState.DONE}


def _common_sequences(files: Sequence[CaseFiles]) -> tuple[str, ...]:
    common = [name for name in files[0].sequences if all(name in f.sequences for f in files)]
    if not common:
        names = "; ".join(f"{f.case}: {', '.join(f.sequences)}" for f in files[:3])
        raise TrainingError(f"the cases have no sequence in common ({names}); name their files alike.")
    return tuple(common)
