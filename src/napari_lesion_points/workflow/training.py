"""The training job: load and prepare the cases of a spec, train, and keep the model folder up to date.

Everything in the folder is replaced whole or not at all, so a killed job leaves its last good model.
"""

from __future__ import annotations

import errno
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from filelock import FileLock, Timeout

from napari_lesion_points import __version__
from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.events import Event, Finished, LossPoint, Progress, Started, Validation
from napari_lesion_points.core.geometry import Volume
from napari_lesion_points.core.heatmap import sigma_in_voxels
from napari_lesion_points.core.preparation import NetworkInput, network_spacing, prepare_input
from napari_lesion_points.core.records import utc_now
from napari_lesion_points.errors import CheckpointError, OutputError, TrainingError, VolumeError
from napari_lesion_points.learn.checkpoint import network_from, pack, pack_state, unpack, unpack_state
from napari_lesion_points.learn.devices import choose_device
from napari_lesion_points.learn.labels import Kind, Label
from napari_lesion_points.learn.network import UNet, UNetConfig, fresh_network
from napari_lesion_points.learn.predict import margin_around, predict_heatmap
from napari_lesion_points.learn.recipes import recipe_named
from napari_lesion_points.learn.train import KeepModel, KeepState, TrainSettings, train
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.cases import read_sequences, reference_grid
from napari_lesion_points.store.volumes import read_labels
from napari_lesion_points.workflow.models import (
    CARD,
    HISTORY,
    JOB,
    METADATA_KEY,
    RESUME,
    WEIGHTS,
    ModelCard,
    describe_model,
)
from napari_lesion_points.workflow.specs import SpecCase, TrainSpec, to_json
from napari_lesion_points.workflow.wire import encode

if TYPE_CHECKING:
    from torch import Tensor

    from napari_lesion_points.learn.devices import Device
    from napari_lesion_points.learn.network import Output

DEFAULT_THRESHOLD = 0.3  # when there was no validation at all
DEFAULT_MASK_THRESHOLD = 0.5  # likewise
_MANY_CASES = 10
_LOCKLESS = (errno.ENOLCK, errno.EOPNOTSUPP)  # what file systems without locks say

_NOTHING_TRAINED = "Stopped while the cases were loading; nothing was trained."


def run_training(spec: TrainSpec, should_stop: Callable[[], bool], started: float | None = None) -> Iterator[Event]:
    """Execute a training spec; see `learn.train.train` for the loop. Raises the errors of loading and training.

    `started` is the `time.monotonic()` at which the budget in minutes began; by default, now. TrainingError if another
    process is training in the same folder.
    """
    with _alone(Path(spec.out)):
        yield from _train_alone(spec, should_stop, started)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other processes from training in a folder; the system ends that with the process, however it ends."""
    lock = FileLock(out / ".training.lock", timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise TrainingError(
            f"{out} is being trained by another process. Wait for it or stop it there, or name another folder."
        ) from error
    except OSError as error:
        if error.errno not in _LOCKLESS:
            raise OutputError(f"{out}: cannot be written ({error.strerror}). Choose another place.") from error
    try:
        yield
    finally:
        lock.release()


def _train_alone(spec: TrainSpec, should_stop: Callable[[], bool], started: float | None) -> Iterator[Event]:
    started = time.monotonic() if started is None else started
    out = Path(spec.out)
    device = choose_device(spec.device)
    yield Started(spec.summary, device.label)
    parent = describe_model(Path(spec.init)) if spec.init else None
    tuned = parent if parent and parent.label == spec.label else None  # else it lends no more than its weights
    label = Label(cast("Kind", spec.label), spec.decay, spec.components)
    grids = [reference_grid(c.files_with(spec.sequences)) for c in spec.cases]
    if parent:
        spacing, sigma_mm = parent.working(grids)
    else:
        spacing, sigma_mm = spec.spacing_mm or network_spacing(grids, spec.sigma_mm), spec.sigma_mm
    cases: list[NetworkInput] = []
    for i, case in enumerate(spec.cases):
        if should_stop():
            yield Finished("stopped", _NOTHING_TRAINED)
            return
        elapsed = time.monotonic() - started
        left = elapsed / i * (len(spec.cases) - i) if i else math.nan
        yield Progress("loading", i / len(spec.cases), elapsed, left, case.case)
        cases.append(_labelled(load_input(case, spec.sequences, spacing), case, label))
    training = [c for c, s in zip(cases, spec.cases, strict=True) if not s.validation]
    aside = [c for c, s in zip(cases, spec.cases, strict=True) if s.validation]

    recipe = recipe_named(spec.recipe)
    output = "sigmoid" if label.kind == "segmentation" else recipe.network.output
    config = replace(recipe.network, channels=len(spec.sequences), output=output)
    if spec.dropout is not None:
        config = replace(config, dropout=spec.dropout, decoder_dropout=spec.dropout)
    network = load_network(parent, output) if parent else fresh_network(config, spec.seed)
    if spec.freeze_encoder:
        network.freeze_encoder()
    i, j, k = np.max([c.foreground.shape for c in training], axis=0)
    a, b, c = sigma_in_voxels(sigma_mm, spacing)
    patches = recipe.patches((int(i), int(j), int(k)), network.config.stride, (float(a), float(b), float(c)))
    if parent:
        a, b, c = (min(*sizes) for sizes in zip(patches.early_size, parent.patch_vox, strict=True))
        patches = replace(patches, size=parent.patch_vox, early_size=(a, b, c))
    settings = TrainSettings(
        recipe,
        patches,
        minutes=spec.minutes,
        epochs=spec.epochs,
        tolerance_mm=spec.tolerance_mm,
        seed=spec.seed,
        label=label,
    )
    if tuned:
        done = {c.case for c in spec.cases if not (c.validation or c.unfinished)}
        network.shorten_kernels(_readiness(len(training), len(done.difference(tuned.training_cases))))
    if tuned and label.kind == "heatmap":
        device.place(network)
        unfinished = {c.case for c in spec.cases if c.unfinished}
        for name in _draw_unfinished(network, training, unfinished, settings, device):
            yield Progress("loading", 1.0, time.monotonic() - started, math.nan, f"{name}: what the model draws there")
            if should_stop():
                yield Finished("stopped", _NOTHING_TRAINED)
                return
    state = unpack_state(out / RESUME) if spec.resume else None
    begin = started - (state.elapsed_s if state else 0.0)
    if not spec.resume:
        _keep_earlier(out)
        (out / RESUME).unlink(missing_ok=True)  # of another job, which this one replaces
    atomic_write(out / JOB, to_json(spec))
    card = ModelCard(
        path=out.resolve(),
        sequences=spec.sequences,
        spacing_mm=spacing,
        sigma_mm=sigma_mm,
        patch_vox=patches.size,
        network=asdict(network.config),
        training_cases=tuple(c.case for c in training),
        validation_cases=tuple(c.case for c in aside),
        threshold=tuned.threshold if tuned else DEFAULT_THRESHOLD,
        f1=None,
        precision=None,
        recall=None,
        ece=None,
        figures_on_training_cases=not aside,
        seed=spec.seed,
        recipe=spec.recipe,
        recalibration=tuned.recalibration if tuned else (1.0, 1.0, 0.0),
        init=spec.init,
        label=spec.label,
        decay=spec.decay,
        components=spec.components,
        frozen_encoder=spec.freeze_encoder,
        mask_threshold=tuned.mask_threshold if tuned else DEFAULT_MASK_THRESHOLD,
        minutes=0.0,
        device=device.label,
        version=__version__,
        created_utc=utc_now(),
    )
    history = (
        (out / HISTORY).read_text(encoding="utf-8").splitlines() if spec.resume and (out / HISTORY).is_file() else []
    )
    kept = state.best if state else None
    events = train(
        network, training, aside, settings, device,
        started=started, should_stop=should_stop, state=state, fine_tune=tuned is not None,
    )  # fmt: skip
    for event in events:
        if isinstance(event, KeepModel):
            kept = event.validation
            minutes = (time.monotonic() - begin) / 60
            _write_model(card, event.weights, kept, minutes, tuned is not None)
        elif isinstance(event, KeepState):
            atomic_write(out / RESUME, pack_state(event.state))
        else:
            if isinstance(event, LossPoint | Validation):
                history.append(encode(event))
                if isinstance(event, Validation):
                    atomic_write(out / HISTORY, "\n".join(history) + "\n")
            yield event
    if should_stop():
        yield Finished("stopped", f"Stopped on request; the best model so far is kept ({_say(kept)}).", str(out))
        return
    (out / RESUME).unlink(missing_ok=True)
    worse = tuned is not None and kept is not None and kept.step == 0
    reason = (
        f"Fine-tuning did not improve on {spec.init}; its weights are kept ({_say(kept)})."
        if worse
        else f"Trained on {spec.summary} ({_say(kept)})."
    )
    yield Finished("returned", reason, str(out))


def load_input(case: SpecCase, sequences: tuple[str, ...], spacing: tuple[float, float, float]) -> NetworkInput:
    """Read a case's sequences and prepare them for a network; one that the case lacks is 0 throughout."""
    files = case.files_with(sequences)
    seen = prepare_input(case.case, read_sequences(files, files.sequences), spacing, case.points_world)
    seen = replace(
        seen,
        unknown_world=np.array(case.unknown_world).reshape(-1, 3),
        judged_world=np.array(case.judged_world).reshape(-1, 3),
    )
    if len(files.sequences) == len(sequences):
        return seen
    images = np.zeros((len(sequences), *seen.foreground.shape), seen.images.dtype)
    images[[sequences.index(s) for s in files.sequences]] = seen.images
    return replace(seen, images=images)


def _labelled(seen: NetworkInput, case: SpecCase, label: Label) -> NetworkInput:
    """Add what the network is to draw, where that is not a heatmap of the points.

    The lesions of a segmentation are those of its mask, whatever was clicked. VolumeError if they are all elsewhere.
    """
    if label.kind == "segmentation":
        mask = read_labels(Path(case.mask))
        lesions = component_centres(mask)
        share = Volume((mask.data != 0).astype(np.float32), mask.grid).resampled(seen.grid)
        if mask.data.any() and not share.data.any():
            raise VolumeError(
                f"{case.mask}: none of its voxels lies in the images of {case.case}. "
                "Repair its header (sform/qform), or leave the case out."
            )
        seen = replace(
            seen, target=share.data.astype(np.float16), points_world=np.asarray(lesions.centers_world, np.float64)
        )
    return replace(seen, target=label.target(seen))


def _draw_unfinished(
    network: UNet, cases: list[NetworkInput], unfinished: set[str], settings: TrainSettings, device: Device
) -> Iterator[str]:
    """Replace each unfinished case by one with what the network draws there before it learns; yield its name before."""
    sigma_vox = settings.patches.sigma_vox
    peak, margin = settings.label.peak(sigma_vox), margin_around(settings.label, settings.recipe, sigma_vox)
    for i, case in enumerate(cases):
        if case.case in unfinished:
            yield case.case
            drawn = predict_heatmap(network, case, settings.patches.size, peak, device, margin=margin)
            cases[i] = replace(case, believed=drawn.astype(np.float16))


def _readiness(cases: int, new: int) -> float:
    """Return how ready a model should be to learn anew from so many cases, `new` of them done and unknown to it.

    A patient or two should not shake off what it knows. Many may, to teach it what a lesion is in this study, unless it
    has learned from most of them already (docs/decisions/0037-readiness.md).

    Examples
    --------
    >>> [round(_readiness(*n), 2) for n in ((1, 1), (3, 3), (10, 10), (80, 80), (80, 8), (80, 0))]
    [0.0, 0.22, 1.0, 1.0, 0.1, 0.0]
    """
    return min((cases - 1) / (_MANY_CASES - 1), 1.0) * new / cases


def load_network(card: ModelCard, output: Output | None = None) -> UNet:
    """Return the network of a model folder; `output` is what makes a map of its logits, if that is to change.

    Raises
    ------
    CheckpointError
        If its weights are damaged or not those of the network it describes.
    """
    path = card.path / WEIGHTS
    try:
        config = UNetConfig(**card.network)
        config = replace(config, output=output or config.output)
    except TypeError as error:
        raise CheckpointError(f"{path} describes another kind of network ({error}); update this program.") from error
    return network_from(unpack(path.read_bytes(), str(path)), config, str(path))


def _keep_earlier(out: Path) -> None:
    """Copy what another training left in the folder to `earlier/TIME`, a model folder that can go on if that could."""
    left = [out / name for name in (WEIGHTS, RESUME, CARD, JOB, HISTORY) if (out / name).is_file()]
    if left and left[0].name in (WEIGHTS, RESUME):
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(left[0].stat().st_mtime))
        for path in left:
            atomic_write(out / "earlier" / stamp / path.name, path.read_bytes())


def _write_model(
    card: ModelCard, weights: dict[str, Tensor], validation: Validation | None, minutes: float, fine_tuned: bool
) -> None:
    values = card.to_json() | {"minutes": round(minutes, 3), "created_utc": utc_now()}
    if validation:
        # What a model has learned by heart says less about new cases than what its parent was validated on.
        if not (fine_tuned and validation.on_training_cases):
            values |= {"threshold": validation.threshold, "recalibration": validation.recalibration}
            if validation.mask_threshold is not None:
                values["mask_threshold"] = validation.mask_threshold
        figures = {k: getattr(validation, k) for k in ("f1", "precision", "recall", "ece", "dice")}
        values |= {k: None if v is None or math.isnan(v) else round(v, 4) for k, v in figures.items()}
    text = json.dumps(values, allow_nan=False)
    atomic_write(card.path / WEIGHTS, pack(weights, {METADATA_KEY: text}))
    atomic_write(card.path / CARD, json.dumps(values, indent=1))


def _say(figures: Validation | None) -> str:
    if figures is None:
        return "not yet validated"
    where = "on its own training cases" if figures.on_training_cases else "in validation"
    dice = "" if figures.dice is None else f"Dice {figures.dice:.2f}, "
    return f"{dice}F1 {figures.f1:.2f}, precision {figures.precision:.2f}, recall {figures.recall:.2f} {where}"
