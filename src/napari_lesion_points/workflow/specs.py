"""Jobs as data: a frozen spec says everything a training or prediction needs, and travels as JSON.

A spec is a snapshot. The points are in it, so that edits made while the job runs do not reach it, and so that it can be
run again, elsewhere, and give the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_lesion_points.core.matching import TOLERANCE_MM
from napari_lesion_points.store.cases import CaseFiles

DEFAULT_SIGMA_MM = 2.0  # one voxel of a 2 mm grid, two of a 1 mm grid; lesions 5 mm apart stay two peaks
DEFAULT_MINUTES = 10.0


@dataclass(frozen=True)
class SpecCase:
    """One case of a job: its files, its points (world mm, RAS+), and whether it is kept aside for validation.

    `unknown_world` are candidates that nobody has judged: neither lesions nor background to a training; `judged_world`
    those that somebody has. A case that is `unfinished` may have lesions that are neither. `mask` is the file to learn
    a segmentation from.
    """

    case: str
    sequences: dict[str, str]
    points_world: tuple[tuple[float, float, float], ...] = ()
    validation: bool = False
    unknown_world: tuple[tuple[float, float, float], ...] = ()
    judged_world: tuple[tuple[float, float, float], ...] = ()
    unfinished: bool = False
    mask: str = ""

    @property
    def files(self) -> CaseFiles:
        """The files as the store knows them."""
        return self.files_with(self.sequences)

    def files_with(self, sequences: Iterable[str]) -> CaseFiles:
        """Return the files of some sequences only, in the given order, as far as there are any."""
        return CaseFiles(self.case, {name: Path(self.sequences[name]) for name in sequences if name in self.sequences})


@dataclass(frozen=True)
class TrainSpec:
    """A training job.

    Parameters
    ----------
    out : str
        Folder of the model.
    cases : tuple of SpecCase
        Training and validation cases.
    sequences : tuple of str
        The network's input channels, in order; every case has them.
    minutes, epochs : float, int
        The budget: one of the two is None.
    sigma_mm : float
        Standard deviation of the target's Gaussians, mm.
    spacing_mm : (3,) float or None
        Voxel size the network works in (RAS order); None: see `network_spacing`.
    init : str
        Model folder to start from, absolute so that the job can go on from any folder; "starter" for the packaged
        model by name; or "".
    device : str
        "auto", "cpu", "cuda", "mps".
    seed : int
        Of weights, patches and augmentation.
    tolerance_mm : float
        Greatest distance between a candidate and the lesion it counts for, in validation.
    recipe : str
        How to build and teach the network: one of `RECIPES`.
    any_subset : bool
        The network takes what a case has of the sequences.
    label, decay, components : str, float, bool
        What to draw and how to find lesions in it: see `learn.labels.Label`.
    freeze_encoder : bool
        The encoder of `init` stays as it is; decoder and classifier learn.
    dropout : float or None
        Share of channels, and of the decoder's values, that a new network drops while it learns; None: the recipe's.
    resume : bool
        Continue the interrupted job whose state is in `out`.
    """

    out: str
    cases: tuple[SpecCase, ...]
    sequences: tuple[str, ...]
    minutes: float | None = DEFAULT_MINUTES
    epochs: int | None = None
    sigma_mm: float = DEFAULT_SIGMA_MM
    spacing_mm: tuple[float, float, float] | None = None
    init: str = ""
    device: str = "auto"
    seed: int = 0
    tolerance_mm: float = TOLERANCE_MM
    recipe: str = "fast"
    any_subset: bool = False
    label: str = "heatmap"
    decay: float = 2.0
    components: bool = False
    freeze_encoder: bool = False
    dropout: float | None = None
    resume: bool = False

    @property
    def summary(self) -> str:
        """One line for people: how many cases and points, and what is kept aside."""
        training = [c for c in self.cases if not c.validation]
        points = _count(sum(len(c.points_world) for c in training), "point")
        aside = len(self.cases) - len(training)
        taught = "the masks of " if self.label == "segmentation" else ""
        return (
            f"{taught}{_count(len(training), 'case')}"
            + ("" if taught else f", {points}")
            + (f"; {aside} for validation" if aside else "")
        )


@dataclass(frozen=True)
class PredictSpec:
    """A prediction job: a model, cases, and the folder for their heatmaps."""

    model: str
    cases: tuple[SpecCase, ...]
    heatmaps: str
    device: str = "auto"
    min_existence: float = 0.1  # after recalibration; less probable candidates are not kept
    recalibration: tuple[float, float, float] | None = None  # a study's own; by default the model's

    @property
    def summary(self) -> str:
        """One line for people."""
        return _count(len(self.cases), "case")


def to_json(spec: TrainSpec | PredictSpec) -> str:
    """Return the spec as JSON text."""
    return json.dumps({"job": type(spec).__name__, **asdict(spec)}, indent=1)


def from_json(text: str) -> TrainSpec | PredictSpec:
    """Return the spec that `to_json` wrote."""
    fields: dict[str, Any] = json.loads(text)
    job = fields.pop("job")
    fields["cases"] = tuple(
        SpecCase(
            c["case"],
            c["sequences"],
            _worlds(c["points_world"]),
            c["validation"],
            _worlds(c.get("unknown_world", [])),
            _worlds(c.get("judged_world", [])),
            c.get("unfinished", False),
            c.get("mask", ""),
        )
        for c in fields["cases"]
    )
    if job == PredictSpec.__name__:
        own = fields.get("recalibration")
        return PredictSpec(**{**fields, "recalibration": own and tuple(own)})
    spacing = fields["spacing_mm"]
    return TrainSpec(**{**fields, "sequences": tuple(fields["sequences"]), "spacing_mm": spacing and tuple(spacing)})


def _worlds(values: Iterable[Sequence[float]]) -> tuple[tuple[float, float, float], ...]:
    return tuple((x, y, z) for x, y, z in values)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
