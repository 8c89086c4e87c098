"""A report of an evaluation: one HTML file that needs no other, for reading, printing and passing on.

`Report` has what was compared and how; `render` works out the tables and figures and fills `data/report.html.j2`.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lesion_points.core.counts import LesionCount, lesion_count
from napari_lesion_points.core.matching import distances_mm, match_points
from napari_lesion_points.core.metrics import pooled_outcomes, recall_by_size
from napari_lesion_points.core.records import utc_now
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.workflow import report_figures as figures
from napari_lesion_points.workflow.recalibrations import calibration_figures, compare_recalibrations

if TYPE_CHECKING:
    from pathlib import Path

    from napari_lesion_points.core.metrics import CaseDetections
    from napari_lesion_points.workflow.evaluation import Comparison, Evaluation
    from napari_lesion_points.workflow.recalibrations import CalibrationFigures

FILE = "report.html"
_PACKAGES = ("napari-lesion-points", "numpy", "scipy", "scikit-learn", "matplotlib")
_SIZES = ("3 to 10", "11 to 50", "over 50")  # those of `recall_by_size`


@dataclass(frozen=True, eq=False)
class Report:
    """What a report is about.

    Parameters
    ----------
    what : str
        What was compared with what, for people.
    comparison : Comparison
        The cases.
    evaluation : Evaluation
        Their figures.
    threshold_source : str
        Where the threshold comes from.
    command : str
        How to make the report again.
    notes : tuple of str
        What to know before believing the figures.
    """

    what: str
    comparison: Comparison
    evaluation: Evaluation
    threshold_source: str
    command: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseLine:
    """One case: what was found, and how many lesions its candidates let expect."""

    case: str
    lesions: int
    tp: int
    fp: int
    fn: int
    count: LesionCount

    @property
    def held(self) -> bool:
        """Whether the interval of the count holds the number of lesions."""
        return self.count.low <= self.lesions <= self.count.high


@dataclass(frozen=True)
class MissedLesion:
    """A lesion without a detection, world mm; `below` is the existence of the candidate on it that was too low."""

    case: str
    world: tuple[float, float, float]
    voxels: float | None
    below: float | None


@dataclass(frozen=True)
class FalsePositive:
    """A detection without a lesion, world mm; `nearest_mm` is how far the next lesion of the case is, if it has any."""

    case: str
    world: tuple[float, float, float]
    existence: float
    nearest_mm: float | None


def report_of_tables(
    candidates: Path, truth: Path, compared: Comparison, evaluation: Evaluation, *, all_cases: bool, command: str
) -> Report:
    """Return the report of two tables; `all_cases` says that nobody named the cases to compare."""
    notes = []
    if evaluation.threshold_is_best:
        notes.append("the threshold is the best for these very cases, which flatters; choose it on other cases.")
    missing = evaluation.missing_cases
    if missing and all_cases:
        some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        notes.append(
            f"{len(missing)} cases have lesions and no candidates ({some}) and count as missed. "
            "If they were not predicted, name the cases that were with --cases."
        )
    source = "the best for these cases" if evaluation.threshold_is_best else "given with --threshold"
    return Report(f"{candidates.name} against {truth.name}", compared, evaluation, source, command, tuple(notes))


def write_report(report: Report, path: Path) -> Path:
    """Write a report and return its path; OutputError if that fails."""
    atomic_write(path, render(report))
    return path


def render(report: Report) -> str:
    """Return the report as an HTML page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("napari_lesion_points", "data"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    e, compared = report.evaluation, report.comparison
    lines = [case_line(c, e.threshold, e.tolerance_mm) for c in compared.cases]
    sizes = None
    if compared.sizes is not None and any(len(s) for s in compared.sizes):
        sizes = recall_by_size(compared.cases, compared.sizes, e.threshold, e.tolerance_mm)
    return environment.get_template("report.html.j2").render(
        report=report,
        e=e,
        lesions=e.tp + e.fn,
        cases=lines,
        held=sum(line.held for line in lines),
        missed=missed_lesions(compared, e.threshold, e.tolerance_mm),
        unmatched=false_positives(compared.cases, e.threshold, e.tolerance_mm),
        calibrations=_calibrations(compared, e.tolerance_mm),
        sizes=list(zip(_SIZES, sizes, strict=True)) if sizes else [],
        figures=_figures(report, lines, sizes),
        versions=versions(),
        made=utc_now(),
    )


def case_line(case: CaseDetections, threshold: float, tolerance_mm: float) -> CaseLine:
    """Work out one case's line; all of its candidates count for the number of lesions."""
    detected = np.asarray(case.centers_world)[case.existence >= threshold]
    matching = match_points(detected, case.truth_world, tolerance_mm)
    return CaseLine(
        case.case,
        len(case.truth_world),
        len(matching.pairs),
        len(matching.unmatched_predicted),
        len(matching.unmatched_truth),
        lesion_count(case.existence),
    )


def missed_lesions(compared: Comparison, threshold: float, tolerance_mm: float) -> list[MissedLesion]:
    """Return the lesions without a detection, in the order of cases and lesions."""
    missed = []
    for k, c in enumerate(compared.cases):
        above = c.existence >= threshold
        centers = np.asarray(c.centers_world).reshape(-1, 3)
        lost = match_points(centers[above], c.truth_world, tolerance_mm).unmatched_truth
        below = np.flatnonzero(~above)
        pairs = match_points(centers[below], np.asarray(c.truth_world)[lost], tolerance_mm).pairs
        existence = {int(lost[j]): float(c.existence[below[i]]) for i, j in pairs}
        for i in lost.tolist():
            size = None if compared.sizes is None else float(compared.sizes[k][i])
            missed.append(MissedLesion(c.case, _world(c.truth_world[i]), size, existence.get(i)))
    return missed


def false_positives(cases: tuple[CaseDetections, ...], threshold: float, tolerance_mm: float) -> list[FalsePositive]:
    """Return the detections without a lesion, the most probable first."""
    found = []
    for c in cases:
        detected = np.flatnonzero(c.existence >= threshold)
        centers = np.asarray(c.centers_world)[detected]
        away = distances_mm(centers, c.truth_world)
        for i in match_points(centers, c.truth_world, tolerance_mm).unmatched_predicted.tolist():
            nearest = float(away[i].min()) if away.shape[1] else None
            found.append(FalsePositive(c.case, _world(centers[i]), float(c.existence[detected[i]]), nearest))
    return sorted(found, key=lambda f: -f.existence)


def versions(*more: str) -> list[tuple[str, str]]:
    """Return what computed the report: names and versions of our packages and `more` ones, as far as installed."""
    found = [("Python", platform.python_version())]
    for name in (*_PACKAGES, *more):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def _calibrations(compared: Comparison, tolerance_mm: float) -> list[CalibrationFigures]:
    """Return the figures of existence, of the mass before recalibration if that differs, and of maps learnt anew."""
    found = list(compare_recalibrations(compared.cases, tolerance_mm))
    masses = _masses(compared)
    if masses is not None:
        _, is_true = pooled_outcomes(compared.cases, tolerance_mm)
        found.insert(0, calibration_figures("fitted mass, not recalibrated", masses, is_true))
    return found


def _masses(compared: Comparison) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Return all candidates' masses as existence; None if unknown or no different from existence."""
    if not compared.masses:
        return None
    masses = np.clip(np.concatenate(compared.masses), 0, 1)
    existence = np.concatenate([c.existence for c in compared.cases])
    return None if np.allclose(masses, existence) else masses


def _figures(report: Report, lines: list[CaseLine], sizes: list[tuple[int, int]] | None) -> dict[str, str]:
    """Return the figures that there are data for, by name."""
    e, compared = report.evaluation, report.comparison
    existence, is_true = pooled_outcomes(compared.cases, e.tolerance_mm)
    drawn = {}
    if e.tp + e.fn:
        drawn["froc"] = figures.froc_figure(e.froc, (e.fp / e.cases, e.recall))
    if existence.size:
        drawn["reliability"] = figures.reliability_figure(existence, is_true, _masses(compared))
        drawn["retention"] = figures.retention_figure(e.retention)
    if sizes:
        drawn["sizes"] = figures.size_figure(_SIZES, sizes)
    if lines:
        drawn["counts"] = figures.count_figure([line.lesions for line in lines], [line.count for line in lines])
    return drawn


def _world(point: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float]:
    x, y, z = (float(c) for c in point)
    return x, y, z


def _number(value: float | None, decimals: int = 2) -> str:
    """Format a number; an unknown one is a dash."""
    return "–" if value is None or np.isnan(value) else f"{value:.{decimals}f}"
