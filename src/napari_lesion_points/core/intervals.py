"""How far figures would move with other patients: bootstrap intervals, drawn by patient, not by lesion.

And, for a share of things that do not hang together, Wilson's interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.metrics import figures_at
from napari_lesion_points.core.records import patient_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lesion_points.core.metrics import CaseDetections


def bootstrap_figures(
    cases: Sequence[CaseDetections],
    threshold: float,
    tolerance_mm: float,
    *,
    confidence: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return intervals of F1, precision and recall at one threshold, by resampling patients (Efron's percentiles).

    Lesions of one patient stand or fall together, so patients are drawn, each with all sessions. Samples without
    lesions and detections count as figures of 1, as `DetectionFigures` has it. Without cases every interval is
    (NaN, NaN).
    """
    if not cases:
        return {name: (float("nan"), float("nan")) for name in ("f1", "precision", "recall")}
    patients = np.array(patient_numbers(c.case for c in cases))
    counts = np.zeros((patients.max() + 1, 3), int)
    for patient, case in zip(patients, cases, strict=True):
        f = figures_at([case], threshold, tolerance_mm)
        counts[patient] += f.tp, f.fp, f.fn
    drawn = np.random.default_rng(seed).integers(len(counts), size=(samples, len(counts)))
    tp, fp, fn = counts[drawn].sum(axis=1).T
    none = fp + fn == 0
    figures = {
        "f1": _share(2 * tp, 2 * tp + fp + fn, none),
        "precision": _share(tp, tp + fp, none),
        "recall": _share(tp, tp + fn, none),
    }
    low, high = (1 - confidence) / 2, (1 + confidence) / 2
    return {name: (float(np.quantile(v, low)), float(np.quantile(v, high))) for name, v in figures.items()}


def share_interval(part: int, whole: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share, (0, 1) for a share of nothing.

    Examples
    --------
    >>> [round(bound, 3) for bound in share_interval(8, 10)]
    [0.49, 0.943]
    """
    if not whole:
        return 0.0, 1.0
    from scipy.stats import binomtest  # takes a third of a second to load

    found = binomtest(part, whole).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def _share(part: NDArray[np.int_], whole: NDArray[np.int_], none: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), none.astype(float))
