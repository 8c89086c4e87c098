"""What long work reports while it runs: small frozen records that know nothing of files, threads or windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_lesion_points.core.records import LesionPoint


@dataclass(frozen=True)
class Started:
    """The work is understood and begins: "5 cases, 43 points" on "CPU, 2 threads"."""

    total: str
    device: str


@dataclass(frozen=True)
class Progress:
    """How far it is. `fraction` in [0, 1]; `remaining_s` is NaN while nobody can know."""

    phase: str
    fraction: float
    elapsed_s: float
    remaining_s: float
    message: str = ""


@dataclass(frozen=True)
class LossPoint:
    """Mean training loss of the steps since the last one."""

    minutes: float
    step: int
    loss: float


@dataclass(frozen=True)
class Validation:
    """Detection figures on the validation cases, at the threshold that is best for them.

    `on_training_cases` says that there were too few cases to keep some aside: the figures are then too good.
    `recalibration` has the parameters of the map from the network's existence probabilities to those that the figures
    are about (see `core.calibration`). `dice` and `mask_threshold` are of segmentations only: the agreement
    of the drawn masks with the true ones, pooled over the cases, and the threshold that is best for it.
    """

    minutes: float
    step: int
    f1: float
    precision: float
    recall: float
    ece: float
    threshold: float
    on_training_cases: bool = False
    recalibration: tuple[float, float, float] = (1.0, 1.0, 0.0)
    dice: float | None = None
    mask_threshold: float | None = None

    def __post_init__(self) -> None:
        """Take a list, as JSON has it."""
        object.__setattr__(self, "recalibration", tuple(self.recalibration))


@dataclass(frozen=True)
class CasePredicted:
    """A case's heatmap is on disk and its candidates are found; `mask` is a segmentation's file of lesions, or ""."""

    case: str
    heatmap: str
    candidates: tuple[LesionPoint, ...]
    sigma_mm: float
    mask: str = ""


@dataclass(frozen=True)
class Finished:
    """The end, always the last event: three outcomes, each with its reason. `result` is the model's folder or ""."""

    outcome: Literal["returned", "failed", "stopped"]
    reason: str
    result: str = ""


Event = Started | Progress | LossPoint | Validation | CasePredicted | Finished
