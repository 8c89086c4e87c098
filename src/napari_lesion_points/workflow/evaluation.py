"""Comparing candidates with true lesions: F1, precision, recall, calibration (paper 4.2)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lesion_points.core.intervals import bootstrap_figures
from napari_lesion_points.core.metrics import (
    CaseDetections,
    best_threshold,
    expected_calibration_error,
    figures_at,
    froc,
    pooled_outcomes,
)
from napari_lesion_points.errors import PointsFileError
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.points_file import read_points

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from napari_lesion_points.core.records import LesionPoint


@dataclass(frozen=True)
class Evaluation:
    """Figures over all cases, at one threshold of existence.

    `threshold_is_best` says that it was chosen as the best on these very cases, which flatters. `missing_cases` have
    lesions but no candidate at all: forgotten in the prediction, or all missed; they count as missed. The intervals are
    those of `bootstrap_figures` at 95 %; `froc` has pairs of false positives per case and recall.
    """

    f1: float
    precision: float
    recall: float
    tp: int
    fp: int
    fn: int
    threshold: float
    threshold_is_best: bool
    ece: float
    mce: float
    tolerance_mm: float
    cases: int
    missing_cases: tuple[str, ...]
    f1_interval: tuple[float, float]
    precision_interval: tuple[float, float]
    recall_interval: tuple[float, float]
    froc: tuple[tuple[float, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; NaN becomes None, tuples become lists."""

        def plain(value: Any) -> Any:
            if isinstance(value, tuple):
                return [plain(v) for v in value]
            return None if isinstance(value, float) and math.isnan(value) else value

        return {k: plain(v) for k, v in vars(self).items()}


def evaluate(
    candidates: Path,
    truth: Path,
    *,
    tolerance_mm: float = 6.0,
    threshold: float | None = None,
    cases: Collection[str] | None = None,
) -> Evaluation:
    """Compare a table of candidates with a table of true lesions.

    Parameters
    ----------
    candidates, truth : Path
        Point tables; see `read_points`.
    tolerance_mm : float
        Greatest distance of a match, mm.
    threshold : float, optional
        Candidates with this existence or more are detections. By default the one with the best F1.
    cases : collection of str, optional
        The cases to compare; by default all that either table names. Name them when only some were predicted, or when
        some have neither lesions nor candidates (those change no figure).

    Raises
    ------
    PointsFileError
        If a table cannot be read, a candidate has no existence, or no table has any of the cases named.
    """
    found, lesions = read_points(candidates), read_points(truth)
    without = next((p for p in found if math.isnan(p.existence)), None)
    if without:
        raise PointsFileError(f"{candidates}: point {without.id} of {without.case} has no existence; give candidates.")
    known = {p.case for p in (*found, *lesions)}
    names = sorted(known if cases is None else {name if name in known else _full(name, known) for name in cases})
    if cases is not None and not known.intersection(names):
        raise PointsFileError(f"neither {candidates} nor {truth} has any of the cases {', '.join(names[:5])}.")
    compared = [detections(name, found, lesions) for name in names]
    if threshold is None:
        chosen, figures = best_threshold(compared, tolerance_mm)
    else:
        chosen, figures = threshold, figures_at(compared, threshold, tolerance_mm)
    ece, mce = expected_calibration_error(*pooled_outcomes(compared, tolerance_mm))
    intervals = bootstrap_figures(compared, chosen, tolerance_mm)
    curve = froc(compared, tolerance_mm) if compared else ((), ())
    return Evaluation(
        figures.f1, figures.precision, figures.recall, figures.tp, figures.fp, figures.fn,
        chosen, threshold is None, ece, mce, tolerance_mm, len(names),
        tuple(c.case for c in compared if len(c.truth_world) and not len(c.existence)),
        intervals["f1"], intervals["precision"], intervals["recall"],
        tuple((round(float(x), 4), round(float(y), 4)) for x, y in zip(*curve, strict=True)),
    )  # fmt: skip


def detections(case: str, candidates: Sequence[LesionPoint], truth: Sequence[LesionPoint]) -> CaseDetections:
    """Return one case's candidates and true lesions as arrays."""
    mine = [p for p in candidates if p.case == case]
    return CaseDetections(
        case,
        np.array([p.world for p in mine], dtype=float).reshape(-1, 3),
        np.array([p.existence for p in mine], dtype=float),
        np.array([p.world for p in truth if p.case == case], dtype=float).reshape(-1, 3),
    )


def _full(name: str, known: Collection[str]) -> str:
    """Return "sub-07" for "07" where that is a case; other names stand for cases without lesions or candidates."""
    return f"sub-{name}" if f"sub-{name}" in known else name


def write_evaluation(evaluation: Evaluation, out: Path) -> Path:
    """Write `metrics.json` into a folder and return its path; OutputError if that fails."""
    path = out / "metrics.json"
    atomic_write(path, json.dumps(evaluation.to_json(), indent=1) + "\n")
    return path
