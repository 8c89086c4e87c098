"""What a study holds of a model's existence and threshold, in place of what the model says itself.

One small file for each model, `calibration/NAME-CREATED.json` in the store. Its values are absent where the model's own
count, so "the model's own again" is a file that says so, with who and when.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.calibration import Recalibration
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.errors import CheckpointError, StudyError
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.workflow.models import describe_model

if TYPE_CHECKING:
    from pathlib import Path

    from napari_lesion_points.core.records import LesionPoint
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.workflow.models import ModelCard


@dataclass(frozen=True)
class StudyCalibration:
    """A study's own recalibration and operating threshold of one model.

    Parameters
    ----------
    recalibration : (3,) float or None
        Parameters of `core.calibration.Recalibration`; None: the model's own.
    threshold : float or None
        Operating threshold, on the scale of this recalibration; None: the model's own.
    rests_on, wish : str
        What the recalibration was learnt from, and what the threshold is for, in words.
    reader, utc : str
        Who decided so, and when (ISO 8601, UTC).
    """

    recalibration: tuple[float, float, float] | None = None
    threshold: float | None = None
    rests_on: str = ""
    wish: str = ""
    reader: str = ""
    utc: str = ""

    @property
    def words(self) -> str:
        """What of it is the study's own, "" if nothing is."""
        parts = [text for text in (self.rests_on, self.wish) if text]
        return f"{'; '.join(parts)} ({self.reader}, {self.utc[:10]})" if parts else ""

    def of(self, card: ModelCard) -> ModelCard:
        """Return the model's card as it counts in the study: a threshold of the model's goes with the scale."""
        if self.recalibration is None:
            return card if self.threshold is None else replace(card, threshold=self.threshold)
        own = card.threshold
        if self.threshold is not None:
            own = self.threshold
        else:
            mass = Recalibration(*card.recalibration).inverse(card.threshold)
            own = float(Recalibration(*self.recalibration)([mass])[0])
        return replace(card, threshold=own, recalibration=self.recalibration)


def calibration_path(store: Path, card: ModelCard) -> Path:
    """Return where a study keeps its calibration of a model; a model trained anew has another."""
    return store / "calibration" / f"{card.name}-{re.sub('[^0-9]', '', card.created_utc)}.json"


def read_calibration(store: Path, card: ModelCard) -> StudyCalibration:
    """Return what the study in `store` holds of a model; that of the model itself when there is nothing.

    Raises
    ------
    StudyError
        If the file is damaged.
    """
    path = calibration_path(store, card)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        own, threshold = values["recalibration"], values["threshold"]
        words = [str(values[name]) for name in ("rests_on", "wish", "reader", "utc")]
        three = None if own is None else (float(own[0]), float(own[1]), float(own[2]))
        found = StudyCalibration(three, None if threshold is None else float(threshold), *words)
    except FileNotFoundError:
        return StudyCalibration()
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise StudyError(f"{path}: cannot be read ({error}). Delete it to use the model's own calibration.") from error
    return found


def write_calibration(store: Path, card: ModelCard, calibration: StudyCalibration) -> None:
    """Keep a calibration of a model; OutputError if that fails."""
    atomic_write(calibration_path(store, card), json.dumps(asdict(calibration), indent=1) + "\n")


def calibrated_models(study: Study, cards: tuple[ModelCard, ...]) -> tuple[ModelCard, ...]:
    """Return cards as they count in a study; StudyError if what it holds of one cannot be read."""
    return tuple(read_calibration(study.store, card).of(card) for card in cards)


def on_scale(study: Study, model: Path, candidates: tuple[LesionPoint, ...]) -> tuple[LesionPoint, ...]:
    """Return a model's candidates with the existence that a study's own recalibration gives their mass, if it has one.

    StudyError if what the study holds of the model cannot be read.
    """
    try:
        own = read_calibration(study.store, describe_model(model)).recalibration
    except CheckpointError:  # there is no model yet: it is being trained
        own = None
    if own is None:
        return candidates
    massive = [c for c in candidates if not math.isnan(c.mass)]
    existence = Recalibration(*own)(np.clip([c.mass for c in massive], 0.0, 1.0))
    scaled = {
        c.id: replace(c, existence=float(p), entropy=float(h))
        for c, p, h in zip(massive, existence, binary_entropy(existence), strict=True)
    }
    return tuple(scaled.get(c.id, c) for c in candidates)
