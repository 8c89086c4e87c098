"""Train the starter model: from simulated patients alone, for any subset of four sequences.

    python -m training.starter --out DIR --masks MASKS --minutes 240

MASKS holds lesion masks of real patients in MNI space (`*.nii.gz`); they lend the simulated patients the shapes and
places of their lesions. No image of a patient takes part. Without masks, lesions are grown.

DIR/scenes and DIR/validation are made first, half an hour of one core, and kept. Then it trains; DIR/log.txt tells how
far it is. Killed, it goes on where it was when the same command is given again. DIR/model is the model so far.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_lesion_points import __version__
from napari_lesion_points.core.events import LossPoint, Validation
from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.matching import TOLERANCE_MM
from napari_lesion_points.core.phantom import FINE_GRID, Anatomy
from napari_lesion_points.core.phantom.look import VARIED, draw_look, draw_sequences
from napari_lesion_points.core.phantom.scanner import scan, whole
from napari_lesion_points.core.phantom.scene import Scene, draw_scene
from napari_lesion_points.core.preparation import NetworkInput, prepare_input
from napari_lesion_points.core.records import utc_now
from napari_lesion_points.learn.checkpoint import pack, pack_state, unpack_state
from napari_lesion_points.learn.devices import choose_device
from napari_lesion_points.learn.network import fresh_network
from napari_lesion_points.learn.patches import PatchSettings
from napari_lesion_points.learn.recipes import RECIPES
from napari_lesion_points.learn.scenes import ScenePatches
from napari_lesion_points.learn.train import KeepModel, KeepState, TrainSettings, train
from napari_lesion_points.store.anatomy import load_anatomy
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.volumes import read_volume
from napari_lesion_points.workflow.models import CARD, METADATA_KEY, RESUME, WEIGHTS, ModelCard

SEQUENCES = tuple(VARIED)
SPACING_MM = 1.0, 2.0  # of cubic voxels; the network works at a case's own, as far as it is between these
SIGMA_VOX = 1.5
THICKEST_MM = 5.0  # of the simulated slices
SCENES = 64
VALIDATION_CASES = 24
VALIDATION_SEED = 1_000_000  # scenes have the seeds 0, 1, ...
RECIPE = replace(
    RECIPES["fast"],
    name="starter",
    network=replace(RECIPES["fast"].network, channels=len(SEQUENCES), presence=True),
    average=0.999,
    early=0.3,
    lesion_share=0.6,
)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--minutes", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--validation", type=int, default=VALIDATION_CASES)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    masks = [read_volume(p) for p in sorted(arguments.masks.glob("*.nii.gz"))] if arguments.masks else []
    anatomy = load_anatomy(FINE_GRID)
    scenes = [_scene(out / "scenes", anatomy, masks, seed) for seed in range(arguments.scenes)]
    validation = [
        _validation_case(out / "validation", anatomy, masks, VALIDATION_SEED + i) for i in range(arguments.validation)
    ]
    _train(out / "model", scenes, validation, arguments.minutes, arguments.seed)


def _scene(folder: Path, anatomy: Anatomy, masks: list[Volume], seed: int) -> Scene:
    """Return a scene, from its file if there is one. Three quarters have the lesions of a real patient, if any do."""
    path = folder / f"{seed}.npz"
    if not path.is_file():
        rng = np.random.default_rng(seed)
        real = masks if rng.random() < 0.75 else []
        grown = (0, 12) if real else (0, 40)
        scene = draw_scene(rng, anatomy, lesions=grown, varied=True, masks=real)
        arrays = {f.name: getattr(scene, f.name) for f in fields(scene) if f.name != "grid"}
        _save(path, arrays | {"affine": scene.grid.affine})
        print(f"scene {seed}: {scene.lesions} lesions", flush=True)
    with np.load(path) as found:
        values: dict[str, Any] = dict(found)
    values["grid"] = Grid(values["labels"].shape, values.pop("affine"))
    return Scene(**values | {name: int(values[name]) for name in ("lesions", "spots")})


def _validation_case(folder: Path, anatomy: Anatomy, masks: list[Volume], seed: int) -> NetworkInput:
    """Return a whole patient as the network sees one: some sequences, voxels of some size."""
    path = folder / f"{seed}.npz"
    if not path.is_file():
        rng = np.random.default_rng(seed)
        scene = draw_scene(rng, anatomy, lesions=(0, 20), varied=True, masks=masks if rng.random() < 0.75 else [])
        names = draw_sequences(rng, SEQUENCES)
        images, _ = scan(rng, scene, draw_look(rng, scene, names, varied=True), whole(scene))
        spacing_mm = (float(np.exp(rng.uniform(*np.log(SPACING_MM)))),) * 3
        inside = np.nonzero(scene.labels)
        which = scene.labels[inside]
        sums = [np.bincount(which, weights=axis)[1:] for axis in inside]
        centers = scene.grid.to_world(np.stack(sums, axis=1) / np.bincount(which)[1:, None]) if which.size else ()
        case = prepare_input(str(seed), (Volume(x, scene.grid) for x in images), spacing_mm, centers)
        filled = np.zeros((len(SEQUENCES), *case.foreground.shape), np.float16)
        filled[[SEQUENCES.index(n) for n in names]] = case.images
        arrays = {"images": filled, "foreground": case.foreground, "points_world": case.points_world}
        _save(path, arrays | {"affine": case.grid.affine})
        print(f"validation {seed}: {len(case.points_world)} lesions in {', '.join(names)}", flush=True)
    with np.load(path) as found:
        arrays = dict(found)
    grid = Grid(arrays["foreground"].shape, arrays.pop("affine"))
    return NetworkInput(str(seed), arrays["images"], arrays["foreground"], grid, arrays["points_world"])


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    temporary.rename(path)


def _train(out: Path, scenes: list[Scene], validation: list[NetworkInput], minutes: float, seed: int) -> None:
    device = choose_device("auto")
    network = fresh_network(RECIPE.network, seed)
    patch, early = (RECIPE.patch_vox,) * 3, (RECIPE.early_patch_vox,) * 3
    patches = PatchSettings(patch, early, (SIGMA_VOX,) * 3, RECIPE.lesion_share)
    settings = TrainSettings(RECIPE, patches, minutes=minutes, tolerance_mm=TOLERANCE_MM, seed=seed)
    state = unpack_state(out / RESUME) if (out / RESUME).is_file() else None
    before_s = state.elapsed_s if state else 0.0
    card = ModelCard(
        path=out.resolve(),
        sequences=SEQUENCES,
        spacing_mm=(SPACING_MM[0],) * 3,
        sigma_mm=SIGMA_VOX * SPACING_MM[0],
        spacing_range_mm=SPACING_MM,
        thickest_mm=THICKEST_MM,
        patch_vox=patch,
        network=asdict(RECIPE.network),
        training_cases=(),
        validation_cases=(),
        threshold=0.5,
        f1=None,
        precision=None,
        recall=None,
        ece=None,
        figures_on_training_cases=False,
        seed=seed,
        init="",
        minutes=0.0,
        device=device.label,
        version=__version__,
        created_utc=utc_now(),
    )
    started = time.monotonic()
    events = train(
        network, (), validation, settings, device, started=started, state=state,
        source=lambda rng: ScenePatches(scenes, SEQUENCES, patches, SPACING_MM, rng),
    )  # fmt: skip
    for line in _follow(events, card, before_s - started):
        with (out.parent / "log.txt").open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        print(line, flush=True)


def _follow(events: Iterator[object], card: ModelCard, offset_s: float) -> Iterator[str]:
    """Keep what is worth keeping; yield a line a minute and one for each validation."""
    losses: list[float] = []
    said = time.monotonic()
    for event in events:
        if isinstance(event, KeepModel):
            values = card.to_json() | {"minutes": round((time.monotonic() + offset_s) / 60, 1)}
            if event.validation:
                kept = ("threshold", "f1", "precision", "recall", "ece")
                values |= {k: round(getattr(event.validation, k), 4) for k in kept}
                values["recalibration"] = event.validation.recalibration
            halves = {k: v.half() if v.is_floating_point() else v for k, v in event.weights.items()}
            atomic_write(card.path / WEIGHTS, pack(halves, {METADATA_KEY: json.dumps(values)}))
            atomic_write(card.path / CARD, json.dumps(values, indent=1))
        elif isinstance(event, KeepState):
            atomic_write(card.path / RESUME, pack_state(event.state))
        elif isinstance(event, LossPoint):
            losses.append(event.loss)
            if time.monotonic() - said > 60:
                said = time.monotonic()
                yield f"{event.minutes:.1f} min, step {event.step}, loss {np.mean(losses):.4f}"
                losses = []
        elif isinstance(event, Validation):
            yield (
                f"{event.minutes:.1f} min, step {event.step}, F1 {event.f1:.3f}, precision {event.precision:.3f}, "
                f"recall {event.recall:.3f}, ECE {event.ece:.3f}, threshold {event.threshold:.2f}"
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
