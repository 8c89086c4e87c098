"""Model folders: what is in them, read without loading torch.

A model folder holds `model.safetensors` (weights; its header carries the card), `model.json` (the same card, for
people), `job.json` (the training job), `history.jsonl` (losses and validation figures) and, while a training is
unfinished, `resume.safetensors` (its state).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_lesion_points.core.sequences import matching
from napari_lesion_points.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from napari_lesion_points.core.geometry import Grid

    T = TypeVar("T")

FORMAT = 1
LABELS = ("heatmap", "euclidean", "geodesic", "segmentation")  # those of `learn.labels`, likewise
RECIPES = ("fast", "paper")  # the names in `learn.recipes`, which cannot be read without torch
WEIGHTS = "model.safetensors"
CARD = "model.json"
JOB = "job.json"
HISTORY = "history.jsonl"
RESUME = "resume.safetensors"
METADATA_KEY = "napari_lesion_points"

#: The model that comes with the package, by name; it has learned from simulated patients (see its own README).
STARTER = "starter"
_STARTER_FOLDER = Path(__file__).parents[1] / "data" / STARTER


@dataclass(frozen=True)
class ModelCard:
    """What a model is and where it comes from.

    Parameters
    ----------
    path : Path
        Its folder.
    sequences : tuple of str
        Input channels, in order.
    spacing_mm : (3,) float
        Voxel size it works in, RAS order.
    sigma_mm : float
        Of the Gaussians it was trained to draw.
    patch_vox : (3,) int
        Window size.
    network : dict
        `UNetConfig` fields.
    training_cases, validation_cases : tuple of str
        What it saw, and what its figures are from.
    threshold : float
        Operating threshold of existence, best on the validation cases.
    f1, precision, recall, ece : float or None
        Validation figures; None when stopped before the first.
    figures_on_training_cases : bool
        There were too few cases to keep some aside.
    seed : int
        Of the training.
    init : str
        The model it was fine-tuned from, or "".
    minutes : float
        Time trained, wall clock.
    device, version, created_utc : str
        Where, by which version of this package, when.
    recipe : str
        How it was built and taught: one of `RECIPES`.
    recalibration : (3,) float
        Parameters of `core.calibration.Recalibration`, learnt on the validation cases.
    label, decay, components : str, float, bool
        What it was taught to draw and how lesions are found in it: see `learn.labels.Label`.
    spacing_range_mm : (2,) float or None
        Finest and coarsest voxels that it was trained for. It works at a case's own voxel size, as far as that lies
        between them; `spacing_mm` is then the finest, and `sigma_mm` goes with it. None: it works at `spacing_mm` only.
    thickest_mm : float or None
        Thickest slices that it was trained for.
    frozen_encoder : bool
        Its encoder is that of `init`; only decoder and classifier were tuned.
    dice : float or None
        Of a segmentation: agreement of its masks with the true ones in validation.
    mask_threshold : float
        Of a segmentation: voxels of at least this probability make its masks; best for `dice`.
    """

    path: Path
    sequences: tuple[str, ...]
    spacing_mm: tuple[float, float, float]
    sigma_mm: float
    patch_vox: tuple[int, int, int]
    network: dict[str, Any]
    training_cases: tuple[str, ...]
    validation_cases: tuple[str, ...]
    threshold: float
    f1: float | None
    precision: float | None
    recall: float | None
    ece: float | None
    figures_on_training_cases: bool
    seed: int
    init: str
    minutes: float
    device: str
    version: str
    created_utc: str
    recipe: str = "fast"
    recalibration: tuple[float, float, float] = (1.0, 1.0, 0.0)
    spacing_range_mm: tuple[float, float] | None = None
    thickest_mm: float | None = None
    label: str = "heatmap"
    decay: float = 2.0
    components: bool = False
    frozen_encoder: bool = False
    dice: float | None = None
    mask_threshold: float = 0.5

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def resumable(self) -> bool:
        """Whether its training was interrupted and can go on."""
        return (self.path / RESUME).is_file()

    @property
    def any_subset(self) -> bool:
        """Whether one of its sequences is enough."""
        return bool(self.network.get("presence"))

    def choose(self, available: Mapping[str, T], case: str) -> dict[str, T]:
        """Return what the model takes of a case's sequences, by the model's names for them.

        Raises
        ------
        CheckpointError
            If it needs one that the case lacks.
        """
        found = matching(self.sequences, available) if self.any_subset else dict(available)
        missing = [s for s in self.sequences if s not in found]
        if self.any_subset:
            if not found:
                raise CheckpointError(
                    f"model {self.name} needs one of {', '.join(self.sequences)}; {case} has {', '.join(available)}. "
                    "Rename its files, or train a model of your own."
                )
        elif missing:
            raise CheckpointError(
                f"model {self.name} needs {', '.join(self.sequences)}; {case} has no {', '.join(missing)} "
                f"(it has {', '.join(available)}). Choose a model trained on these sequences, or rename the files."
            )
        return found

    def takes(self, sequences: Collection[str]) -> bool:
        """Whether the model can work on a case that has these sequences."""
        if self.any_subset:
            return bool(matching(self.sequences, dict.fromkeys(sequences)))
        return set(self.sequences) <= set(sequences)

    def working(self, grids: Sequence[Grid]) -> tuple[tuple[float, float, float], float]:
        """Return the voxel size, mm in RAS order, at which to work on cases of these grids, and sigma in mm there."""
        if self.spacing_range_mm is None:
            return self.spacing_mm, self.sigma_mm
        own = float(np.median([np.median(grid.spacing) for grid in grids]))
        spacing = round(float(np.clip(own, *self.spacing_range_mm)), 3)
        return (spacing, spacing, spacing), self.sigma_mm * spacing / self.spacing_mm[0]

    def remark(self, sequences: Collection[str], grid: Grid) -> str:
        """Return what about a case is unlike all that the model was trained on, or ""."""
        if self.thickest_mm is None:
            return ""
        unlike = []
        if max(grid.spacing) > self.thickest_mm:
            unlike.append(f"voxels of {max(grid.spacing):.1f} mm (trained up to {self.thickest_mm:g})")
        if self.sequences[0] not in sequences:
            unlike.append(f"no {self.sequences[0]}")
        return " and ".join(unlike)

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON values, without its path."""
        return {"format": FORMAT, **{k: v for k, v in asdict(self).items() if k != "path"}}


def model_folder(path: Path) -> Path:
    """Return the folder of a model named by its folder or by the file in it; "starter" is the packaged one."""
    path = path.expanduser()
    if is_starter(path):
        return _STARTER_FOLDER
    return path.parent if path.name in (WEIGHTS, CARD) and path.is_file() else path


def is_starter(path: Path) -> bool:
    """Whether a path is the name of the packaged model; a folder of that name here comes first."""
    return path == Path(STARTER) and not path.exists()


def describe_model(path: Path) -> ModelCard:
    """Read a model's card from the header of its weights.

    Raises
    ------
    CheckpointError
        If there is no model, the file is damaged or not ours, or a newer version wrote it.
    """
    from safetensors import SafetensorError, safe_open

    folder = model_folder(path).resolve()
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(f"{path} holds no model ({WEIGHTS}); name the folder that a training wrote.")
    try:
        with safe_open(weights, framework="np") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{weights} is damaged ({error}); train the model again or restore a copy.") from error
    if text is None:
        raise CheckpointError(f"{weights} was not written by napari-lesion-points; choose another model.")
    try:
        values: Any = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{weights} has a damaged description ({error}); train the model again.") from error
    if not isinstance(values, dict) or "format" not in values:
        raise CheckpointError(f"{weights} was not written by napari-lesion-points; choose another model.")
    if values["format"] != FORMAT:
        raise CheckpointError(f"{weights} has format {values['format']}; this version reads {FORMAT}: update it.")
    known = {f.name for f in fields(ModelCard)} - {"path"}
    try:
        if not isinstance(values["sequences"], list) or not isinstance(values["network"], dict):
            raise TypeError("sequences and network")
        described: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        card = ModelCard(path=folder, **described)
        shapes = [len(card.spacing_mm), len(card.patch_vox), len(card.recalibration)]
        sound = shapes == [3, 3, 3] and min(card.sigma_mm, *card.spacing_mm, *card.patch_vox) > 0
        sound = sound and card.recipe in RECIPES and card.label in LABELS
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{weights} has an incomplete description ({error}); train the model again.") from error
    if not sound:
        raise CheckpointError(f"{weights} has a description with impossible values; train the model again.")
    return card


def list_models(folder: Path) -> tuple[ModelCard, ...]:
    """Return the models in a folder, newest first, then the starter; damaged ones are left out."""
    cards = []
    for weights in folder.glob(f"*/{WEIGHTS}"):
        try:
            cards.append(describe_model(weights.parent))
        except CheckpointError:
            continue
    cards.sort(key=lambda card: card.created_utc, reverse=True)
    if (_STARTER_FOLDER / WEIGHTS).is_file():
        cards.append(describe_model(_STARTER_FOLDER))
    return tuple(cards)
