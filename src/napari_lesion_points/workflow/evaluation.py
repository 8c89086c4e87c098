"""Comparing candidates with true lesions: F1, precision, recall, calibration, uncertainty (paper 4.2 and 4.3)."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lesion_points.core.counts import count_coverage
from napari_lesion_points.core.intervals import bootstrap_figures
from napari_lesion_points.core.matching import TOLERANCE_MM, assign_then_discard
from napari_lesion_points.core.metrics import (
    CaseDetections,
    DetectionFigures,
    best_threshold,
    binary_entropy,
    expected_calibration_error,
    figures_at,
    froc,
    pooled_outcomes,
)
from napari_lesion_points.core.retention import FRACTIONS, retention_curve
from napari_lesion_points.errors import PointsFileError
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.points_file import read_points, read_sizes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from napari_lesion_points.core.records import LesionPoint


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is compared, case by case.

    Parameters
    ----------
    cases : tuple of CaseDetections
        Candidates and true lesions.
    masses : tuple of (N,) float, or None
        Fitted mass of each candidate, before recalibration; None unless all are known.
    sizes : tuple of (M,) float, or None
        Voxels of each true lesion; None unless all are known.
    """

    cases: tuple[CaseDetections, ...]
    masses: tuple[NDArray[np.float64], ...] | None = None
    sizes: tuple[NDArray[np.float64], ...] | None = None


@dataclass(frozen=True)
class Evaluation:
    """Figures over all cases, at one threshold of existence.

    `threshold_is_best` says that it was chosen as the best on these very cases, which flatters. `missing_cases` have
    lesions but no candidate at all: forgotten in the prediction, or all missed; they count as missed. The intervals are
    those of `bootstrap_figures` at 95 %; `froc` has pairs of false positives per case and recall. `paper_matching` has
    the counts when far pairs are discarded after the assignment (`assign_then_discard`). `retention` has pairs of the
    share of least uncertain candidates and how many of them are decided rightly at the threshold. `count_coverage` is
    the share of cases whose 90 % interval of the lesion count holds the number of lesions, those without any candidate
    included; `count_coverage_of_found` leaves them out, as candidates cannot count them.
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
    paper_matching: DetectionFigures
    retention: tuple[tuple[float, float], ...]
    count_coverage: float
    count_coverage_of_found: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; NaN becomes None, tuples become lists."""

        def plain(value: Any) -> Any:
            if isinstance(value, tuple):
                return [plain(v) for v in value]
            if isinstance(value, DetectionFigures):
                return asdict(value) | {"f1": value.f1, "precision": value.precision, "recall": value.recall}
            return None if isinstance(value, float) and math.isnan(value) else value

        return {k: plain(v) for k, v in vars(self).items()}


def evaluate(
    candidates: Path,
    truth: Path,
    *,
    tolerance_mm: float = TOLERANCE_MM,
    threshold: float | None = None,
    cases: Collection[str] | None = None,
) -> Evaluation:
    """Compare a table of candidates with a table of true lesions: `read_comparison`, then `evaluate_cases`."""
    compared = read_comparison(candidates, truth, cases)
    return evaluate_cases(compared.cases, tolerance_mm=tolerance_mm, threshold=threshold)


def read_comparison(candidates: Path, truth: Path, cases: Collection[str] | None = None) -> Comparison:
    """Read a table of candidates and a table of true lesions.

    Parameters
    ----------
    candidates, truth : Path
        Point tables; see `read_points`. The truth may have sizes, see `read_sizes`.
    cases : collection of str, optional
        The cases to compare; by default all that either table names. Name them when only some were predicted, or when
        some have neither lesions nor candidates (those change no figure).

    Raises
    ------
    PointsFileError
        If a table cannot be read, a candidate has no existence, or no table has any of the cases named.
    """
    found, lesions, sizes = read_points(candidates), read_points(truth), read_sizes(truth)
    without = next((p for p in found if math.isnan(p.existence)), None)
    if without:
        raise PointsFileError(f"{candidates}: point {without.id} of {without.case} has no existence; give candidates.")
    known = {p.case for p in (*found, *lesions)}
    names = sorted(known if cases is None else {name if name in known else _full(name, known) for name in cases})
    if cases is not None and not known.intersection(names):
        raise PointsFileError(f"neither {candidates} nor {truth} has any of the cases {', '.join(names[:5])}.")
    compared = compare(names, found, lesions)
    if sizes is None:
        return compared
    of = [p.case for p in lesions]
    by_case = tuple(np.array([s for s, case in zip(sizes, of, strict=True) if case == name]) for name in names)
    return Comparison(compared.cases, compared.masses, by_case)


def compare(names: Sequence[str], candidates: Sequence[LesionPoint], truth: Sequence[LesionPoint]) -> Comparison:
    """Return cases' candidates and true lesions as arrays, without sizes."""
    mine = [[p for p in candidates if p.case == name] for name in names]
    masses = tuple(np.array([p.mass for p in points], dtype=float) for points in mine)
    return Comparison(
        tuple(
            CaseDetections(
                name,
                np.array([p.world for p in points], dtype=float).reshape(-1, 3),
                np.array([p.existence for p in points], dtype=float),
                np.array([p.world for p in truth if p.case == name], dtype=float).reshape(-1, 3),
            )
            for name, points in zip(names, mine, strict=True)
        ),
        None if any(np.isnan(m).any() for m in masses) else masses,
    )


def evaluate_cases(
    cases: Sequence[CaseDetections], *, tolerance_mm: float = TOLERANCE_MM, threshold: float | None = None
) -> Evaluation:
    """Work out all figures.

    Parameters
    ----------
    cases : sequence of CaseDetections
        May be empty, as may each.
    tolerance_mm : float
        Greatest distance of a match, mm.
    threshold : float, optional
        Candidates with this existence or more are detections. By default the one with the best F1.
    """
    if threshold is None:
        chosen, figures = best_threshold(cases, tolerance_mm)
    else:
        chosen, figures = threshold, figures_at(cases, threshold, tolerance_mm)
    existence, is_true = pooled_outcomes(cases, tolerance_mm)
    ece, mce = expected_calibration_error(existence, is_true)
    intervals = bootstrap_figures(cases, chosen, tolerance_mm)
    curve = froc(cases, tolerance_mm) if cases else ((), ())
    retention = retention_curve(binary_entropy(existence), (existence >= chosen) == is_true)
    each = [c.existence for c in cases]
    found = [int(pooled_outcomes([c], tolerance_mm)[1].sum()) for c in cases]
    return Evaluation(
        figures.f1, figures.precision, figures.recall, figures.tp, figures.fp, figures.fn,
        chosen, threshold is None, ece, mce, tolerance_mm, len(cases),
        tuple(c.case for c in cases if len(c.truth_world) and not len(c.existence)),
        intervals["f1"], intervals["precision"], intervals["recall"],
        tuple((round(float(x), 4), round(float(y), 4)) for x, y in zip(*curve, strict=True)),
        figures_at(cases, chosen, tolerance_mm, assign_then_discard),
        tuple((f, float(a)) for f, a in zip(FRACTIONS, retention, strict=True)),
        count_coverage(each, [len(c.truth_world) for c in cases]),
        count_coverage(each, found),
    )  # fmt: skip


def _full(name: str, known: Collection[str]) -> str:
    """Return "sub-07" for "07" where that is a case; other names stand for cases without lesions or candidates."""
    return f"sub-{name}" if f"sub-{name}" in known else name


def write_evaluation(evaluation: Evaluation, out: Path) -> Path:
    """Write `metrics.json` into a folder and return its path; OutputError if that fails."""
    path = out / "metrics.json"
    atomic_write(path, json.dumps(evaluation.to_json(), indent=1) + "\n")
    return path
