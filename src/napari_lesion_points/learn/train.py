"""Training: points of prepared cases in, a heatmap network out (paper 3.1).

The loop is a generator. It yields progress, losses and validation figures as they come, and snapshots of the network
when they are worth keeping; the caller writes them. The learning rate may follow one cycle over the budget, whether
that is minutes or epochs; an exponential average of the weights is what is validated and kept.

1. Draw a batch of patches, one share per replica; take one step.
2. A few times per budget, and at its end, predict the validation cases, fit candidates, and choose a threshold.
3. Keep the network if it is not worse than the one kept before.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_lesion_points.core.calibration import Recalibration, fit_recalibration
from napari_lesion_points.core.events import LossPoint, Progress, Validation
from napari_lesion_points.core.matching import TOLERANCE_MM
from napari_lesion_points.core.metrics import (
    CaseDetections,
    calibrated_threshold,
    expected_calibration_error,
    operating_threshold,
    pooled_outcomes,
)
from napari_lesion_points.core.records import patient_numbers
from napari_lesion_points.errors import CheckpointError, TrainingError
from napari_lesion_points.learn.devices import usable_cores
from napari_lesion_points.learn.labels import Found, Label, choose_components, choose_mask_threshold, find
from napari_lesion_points.learn.losses import soft_target_loss, squared_error_loss
from napari_lesion_points.learn.network import heatmap_from_logits
from napari_lesion_points.learn.optimizers import Optimizer
from napari_lesion_points.learn.patches import PatchSampler, PatchSettings
from napari_lesion_points.learn.predict import margin_around, predict_heatmap
from napari_lesion_points.learn.replicas import Replicas

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_lesion_points.core.preparation import NetworkInput
    from napari_lesion_points.learn.devices import Device
    from napari_lesion_points.learn.network import UNet, UNetConfig
    from napari_lesion_points.learn.patches import PatchSource
    from napari_lesion_points.learn.recipes import Recipe

PATCHES_PER_CASE = 8  # per epoch
VALIDATIONS = 4  # per budget
GREATEST_GRADIENT = 5.0  # norm; longer ones are shortened to it
WARM_UP = 0.1  # share of the budget in which the learning rate rises
MAX_WATCHED = 4  # training cases predicted for the figures when there are no validation cases
REPORT_S = 1.0
SNAPSHOT_S = 60.0
#: A later network replaces the kept one unless its F1 is lower by more than chance does, which is this at the least.
F1_SLACK = 0.02

_NO_TIME = "the time was over before the first step: reading the cases took all of it. Give it more minutes."
_NOT_FINITE = "the loss is not finite; train with device cpu, or start from scratch."


@dataclass(frozen=True)
class TrainSettings:
    """How to train. `minutes` (wall clock, everything included) or `epochs` is the budget; exactly one is given."""

    recipe: Recipe
    patches: PatchSettings
    minutes: float | None = None
    epochs: int | None = None
    tolerance_mm: float = TOLERANCE_MM
    seed: int = 0
    label: Label = field(default_factory=Label)


@dataclass(eq=False)
class TrainState:
    """All that is needed to go on: what a resume file holds.

    `weights` and `average` are the network's, `first` and `second` the optimizer's moments by parameter name.
    """

    step: int = 0
    elapsed_s: float = 0.0
    best: Validation | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class KeepModel:
    """These weights are the model from now on; `validation` are its figures (None: stopped before there were any)."""

    weights: dict[str, Tensor]
    validation: Validation | None


@dataclass(frozen=True, eq=False)
class KeepState:
    """Training can be resumed from here."""

    state: TrainState


TrainEvent = Progress | LossPoint | Validation | KeepModel | KeepState


def train(
    network: UNet,
    cases: Sequence[NetworkInput],
    validation: Sequence[NetworkInput],
    settings: TrainSettings,
    device: Device,
    *,
    started: float,
    should_stop: Callable[[], bool] = lambda: False,
    state: TrainState | None = None,
    fine_tune: bool = False,
    source: Callable[[np.random.Generator], PatchSource] | None = None,
) -> Iterator[TrainEvent]:
    """Train a network in place; see the module's text.

    Parameters
    ----------
    network : UNet
        Fresh, or the model to start from. What is frozen in it (`UNet.freeze_encoder`) stays as it is, to the bit.
    cases : sequence of NetworkInput
        What to learn from; at least one.
    validation : sequence of NetworkInput
        Cases kept aside. Without any, the figures are of the training cases and say so.
    settings : TrainSettings
        Budget, patches, learning rate.
    device : Device
        Where to compute.
    started : float
        `time.monotonic()` when the budget began, so that loading counts.
    should_stop : callable
        Asked between steps. When it says yes, the loop ends after keeping what there is.
    state : TrainState, optional
        From a `KeepState`, to resume.
    fine_tune : bool
        The network is a model already: validate it first, and replace it only by one that is not worse. Without
        validation cases that is to the letter, as what it was taught says too much good of it.
    source : callable, optional
        Makes what draws patches, one per replica; by default they are cut from `cases`. With it, `cases` may be empty
        if there are validation cases and a budget in minutes.

    Raises
    ------
    TrainingError
        If there is nothing to learn from, or the loss stays infinite.
    CheckpointError
        If `state` is of another network.
    """
    if not cases and source is None:
        raise TrainingError("no cases to train on: annotate a case, or mark one as done without lesions.")
    if (settings.minutes is None) == (settings.epochs is None):
        raise TrainingError("give a budget in minutes or in epochs, one of the two.")
    torch.manual_seed(settings.seed)
    recipe = settings.recipe
    peak = settings.label.peak(settings.patches.sigma_vox)
    device.place(network)
    rate = recipe.fine_tuning if fine_tune else 1.0
    optimizer = Optimizer(network, recipe.learning_rate * rate, recipe.kernel_rate * rate, recipe.weight_decay)
    average = copy.deepcopy(network).requires_grad_(False)
    state = state or TrainState()
    if state.weights:
        _restore(state, network, average, optimizer)
    begin = started - state.elapsed_s
    budget = _Budget(settings, len(cases), begin)

    watched = validation or cases[:MAX_WATCHED]
    count = replica_count(network.config, recipe.batch, device)
    make = source or partial(PatchSampler, cases, settings.patches)
    samplers = [make(np.random.default_rng([settings.seed, state.step, i])) for i in range(count)]

    lesions, watched_lesions = (sum(len(case.points_world) for case in some) for some in (cases, watched))
    early, strength = False, 0.0

    def loss_of_share(replica: UNet, i: int) -> Tensor:
        batch = samplers[i].batch(recipe.batch // count, early=early, strength=strength)
        return _loss(replica, batch, settings, peak, device)

    def validate() -> Iterator[Progress | Validation]:
        clock = time.monotonic()
        detections = []
        for i, case in enumerate(watched):
            if should_stop():
                return
            detections.append(_detect(average, case, settings, peak, device))
            yield budget.progress("validating", state.step, f"case {i + 1} of {len(watched)}")
        figures = _figures(detections, settings, (time.monotonic() - begin) / 60, state.step, not validation)
        budget.validation_s = time.monotonic() - clock
        yield figures

    if fine_tune and state.step == 0:
        for event in validate():
            yield event
            if isinstance(event, Validation):
                state.best = event
                yield KeepModel(_snapshot(average), event)

    for _ in range(2):  # the first time takes longer, as libraries prepare for the shapes of the windows
        clock = time.monotonic()
        _detect(average, watched[0], settings, peak, device)
    budget.validation_s = (time.monotonic() - clock) * len(watched)

    due = [(i + 1) / VALIDATIONS for i in range(VALIDATIONS)]
    due = [d for d in due if d > budget.fraction(state.step)] or [1.0]
    losses: list[float] = []
    bad_steps, learned = 0, state.step > 0
    reported = saved = time.monotonic()
    stopped = False
    with Replicas(network, count, usable_cores()) as replicas:
        while due and not stopped:
            fraction = budget.fraction(state.step)
            if fraction < due[0]:
                early = fraction < recipe.early
                strength = recipe.strength(state.step * recipe.batch, lesions)
                loss = replicas.gradient(loss_of_share)
                norm = torch.nn.utils.clip_grad_norm_(network.parameters(), GREATEST_GRADIENT)
                if torch.isfinite(norm):
                    optimizer.step(one_cycle(fraction) if recipe.one_cycle else 1.0)
                else:
                    loss = math.nan  # and the step is skipped
                bad_steps = 0 if math.isfinite(loss) else bad_steps + 1
                if bad_steps > 20:
                    raise TrainingError(_NOT_FINITE)
                if math.isfinite(loss):
                    losses.append(loss)
                    learned = True
                state.step += 1
                _update_average(average, network, min(recipe.average, state.step / (state.step + 10)))
                now = time.monotonic()
                if now - reported >= REPORT_S and losses:
                    yield LossPoint((now - begin) / 60, state.step, float(np.mean(losses)))
                    yield budget.progress("training", state.step, f"step {state.step}")
                    losses, reported = [], now
                if now - saved >= SNAPSHOT_S:
                    state.elapsed_s = now - begin
                    _remember(state, network, average, optimizer)
                    yield KeepState(state)
                    saved = time.monotonic()
            else:
                last = len(due) == 1
                due.pop(0)
                if not learned and bad_steps:
                    raise TrainingError(_NOT_FINITE)
                if not learned:
                    raise TrainingError(_NO_TIME)
                if settings.minutes and not last and budget.validation_s * 20 > budget.seconds_left(state.step):
                    continue  # a look on the way may cost a twentieth of the minutes that are left
                if losses:
                    yield LossPoint((time.monotonic() - begin) / 60, state.step, float(np.mean(losses)))
                    losses = []
                for event in validate():
                    yield event
                    if isinstance(event, Validation) and _not_worse(event, state.best, watched_lesions, fine_tune):
                        state.best = event
                        yield KeepModel(_snapshot(average), event)
                        if due:
                            state.elapsed_s = time.monotonic() - begin
                            _remember(state, network, average, optimizer)
                            yield KeepState(state)  # or whoever goes on would not know of that model
                            saved = time.monotonic()
            stopped = should_stop()
    if stopped and state.best is None and learned:
        yield KeepModel(_snapshot(average), None)
    state.elapsed_s = time.monotonic() - begin
    _remember(state, network, average, optimizer)
    yield KeepState(state)


class _Budget:
    """Turns steps or the clock into the share of the budget that is used."""

    def __init__(self, settings: TrainSettings, cases: int, begin: float) -> None:
        self._begin = begin
        self._seconds = None if settings.minutes is None else settings.minutes * 60
        per_epoch = max(1, math.ceil(cases * PATCHES_PER_CASE / settings.recipe.batch))
        self._steps = (settings.epochs or 0) * per_epoch
        self.validation_s = 0.0

    def fraction(self, step: int) -> float:
        """Return the share used; time for the last validation is set aside, but no more than half of the budget."""
        if self._seconds is None:
            return min(step / self._steps, 1.0)
        elapsed = time.monotonic() - self._begin
        return min(elapsed / max(self._seconds - self.validation_s, self._seconds / 2), 1.0)

    def seconds_left(self, step: int) -> float:
        """Return the time left, as the pace so far suggests; NaN before the first step."""
        elapsed = time.monotonic() - self._begin
        if self._seconds is not None:
            return max(self._seconds - elapsed, 0.0)
        return elapsed / step * (self._steps - step) if step else math.nan

    def progress(self, phase: str, step: int, message: str) -> Progress:
        """Return a report."""
        elapsed = time.monotonic() - self._begin
        return Progress(phase, self.fraction(step), elapsed, self.seconds_left(step), message)


def one_cycle(fraction: float) -> float:
    """Learning rate, relative to its maximum, at a share of the budget: linear rise, then a cosine fall to 0.

    Examples
    --------
    >>> one_cycle(WARM_UP), round(one_cycle(1.0), 6)
    (1.0, 0.0)
    """
    if fraction < WARM_UP:
        return max(fraction / WARM_UP, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (fraction - WARM_UP) / (1 - WARM_UP)))


def replica_count(config: UNetConfig, batch: int, device: Device) -> int:
    """Return into how many shares a batch is cut: one per core of a CPU, as far as that divides the batch.

    Dropout draws from one stream of random numbers, which threads would share in no fixed order: then one.
    """
    if device.name != "cpu" or config.dropout or config.decoder_dropout:
        return 1
    return max(n for n in range(1, batch + 1) if batch % n == 0 and n <= usable_cores())


def _loss(network: UNet, batch: tuple[Tensor, Tensor], settings: TrainSettings, peak: float, device: Device) -> Tensor:
    images, target = (t.to(device.name) for t in batch)
    known = ~target.isnan() if target.isnan().any() else None
    target = target.nan_to_num() if known is not None else target
    with device.autocast():
        logits = network(images)
    if settings.recipe.loss == "soft target" or settings.label.kind == "segmentation":
        return soft_target_loss(logits, target, peak, known, settings.label.positive_weight)
    inside = (images != 0).any(dim=1, keepdim=True)
    inside = inside if known is None else inside & known
    return squared_error_loss(heatmap_from_logits(logits, peak, network.config.output), target, inside)


def _update_average(average: UNet, network: UNet, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        for mean, now in zip(average.buffers(), network.buffers(), strict=True):  # what BatchNorm has seen
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)


def _detect(
    network: UNet, case: NetworkInput, settings: TrainSettings, peak: float, device: Device
) -> CaseDetections | Found:
    sigma_vox = settings.patches.sigma_vox
    margin = margin_around(settings.label, settings.recipe, sigma_vox)
    drawn = predict_heatmap(network, case, settings.patches.size, peak, device, margin=margin)
    return find(settings.label, drawn, case, sigma_vox)


def _figures(
    found: list[CaseDetections | Found], settings: TrainSettings, minutes: float, step: int, on_training_cases: bool
) -> Validation:
    """Return the figures of detections: recalibrated, unless they are of training cases, whose existence is too good.

    The calibration error is that of patients whose outcomes were not used for it, each in turn.
    """
    tolerance = settings.tolerance_mm
    if not settings.label.fitted:
        cases = [x for x in found if isinstance(x, Found)]
        threshold, f, detected = choose_components(cases, tolerance)
        ece, _ = expected_calibration_error(*pooled_outcomes(detected, tolerance))
        figures = Validation(minutes, step, f.f1, f.precision, f.recall, ece, threshold, on_training_cases)
        if settings.label.kind == "segmentation":
            mask_threshold, dice = choose_mask_threshold(cases)
            figures = replace(figures, dice=dice, mask_threshold=mask_threshold)
        return figures
    detections = [x for x in found if isinstance(x, CaseDetections)]
    maps = [Recalibration()] * len(detections)
    if not on_training_cases:
        outcomes = [pooled_outcomes([c], tolerance) for c in detections]
        patients = patient_numbers(c.case for c in detections)
        maps = [_recalibration([o for o, p in zip(outcomes, patients, strict=True) if p != own]) for own in patients]
    apart = [replace(c, existence=m(c.existence)) for c, m in zip(detections, maps, strict=True)]
    ece, _ = expected_calibration_error(*pooled_outcomes(apart, tolerance))
    recalibration = Recalibration() if on_training_cases else _recalibration(outcomes)
    detections = [replace(c, existence=recalibration(c.existence)) for c in detections]
    choose = operating_threshold if on_training_cases else calibrated_threshold
    threshold, f = choose(detections, tolerance)
    return Validation(
        minutes, step, f.f1, f.precision, f.recall, ece, threshold, on_training_cases, astuple(recalibration)
    )


def _recalibration(outcomes: Sequence[tuple[NDArray[np.floating], NDArray[np.bool_]]]) -> Recalibration:
    if not outcomes:
        return Recalibration()
    existence, is_true = zip(*outcomes, strict=True)
    return fit_recalibration(np.concatenate(existence), np.concatenate(is_true))


def _not_worse(new: Validation, old: Validation | None, lesions: int, fine_tune: bool) -> bool:
    """Whether a network is as good as the one before, to within chance: `lesions` are those of the validation.

    Of two that are equally good the later has learned more.
    """
    if old is None or (new.on_training_cases and not fine_tune):
        return True  # how well it repeats what it was taught says nothing about which network is better
    if new.on_training_cases:
        return new.f1 >= old.f1
    if new.dice is not None and old.dice is not None:  # chosen by the F1 of its voxels, as in the paper
        return new.dice >= old.dice - F1_SLACK
    chance = math.sqrt(old.f1 * (1 - old.f1) / max(lesions, 1))  # standard error of a share
    return new.f1 >= old.f1 - max(F1_SLACK, chance)


def _snapshot(network: UNet) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}


def _remember(state: TrainState, network: UNet, average: UNet, optimizer: Optimizer) -> None:
    state.weights, state.average = _snapshot(network), _snapshot(average)
    state.first, state.second = optimizer.moments()


def _restore(state: TrainState, network: UNet, average: UNet, optimizer: Optimizer) -> None:
    try:
        network.load_state_dict(state.weights)
        average.load_state_dict(state.average)
    except RuntimeError as error:
        raise CheckpointError(
            "the interrupted training is that of another network; start the training anew."
        ) from error
    optimizer.restore(state.first, state.second, state.step)
