"""The demonstration: the whole main job on a simulated study, where the truth is known.

1. Simulate patients. 2. "Click" the lesions of some: their true centres, a little off, as a reader's clicks are.
3. Train. 4. Predict the patients without points. 5. Compare with the truth, and export.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.events import Event, Finished, Progress
from napari_lesion_points.core.matching import TOLERANCE_MM
from napari_lesion_points.core.records import CaseState, Change, LesionPoint
from napari_lesion_points.errors import LesionPointsError, OutputError
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.points_file import read_points, write_points
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow.evaluation import Evaluation, evaluate, write_evaluation
from napari_lesion_points.workflow.exchange import EXPORT_FORMATS, export_study
from napari_lesion_points.workflow.jobs import run, storing
from napari_lesion_points.workflow.models import describe_model
from napari_lesion_points.workflow.planning import plan_prediction, plan_training
from napari_lesion_points.workflow.simulate import simulate_study

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

CASES = 22
ANNOTATED = 16
READER = "demo"
CLICK_ERROR_MM = 1.0  # standard deviation per axis of a click from the lesion's centre
SECONDS_PER_CASE = 1.2  # to simulate one

#: File in each demonstration's folder, written first. Only a folder that has it is ever replaced.
MARKER = ".lesion-points-demo"

_STUDY = "study"


@dataclass(frozen=True)
class DemoResult:
    """Where the demonstration's files are, and how well it did on the cases without points."""

    study: Path
    annotated: tuple[str, ...]
    predicted: tuple[str, ...]
    evaluation: Evaluation
    lesions: int


def run_demo(out: Path, minutes: float, seed: int = 0) -> Iterator[Event | DemoResult]:
    """Run it; yields events, and a `DemoResult` at the end.

    Parameters
    ----------
    out : Path
        Folder for everything; that of an earlier demonstration, told by its `MARKER`, is replaced.
    minutes : float
        Of training.
    seed : int
        Of the study and of the training.

    Raises
    ------
    OutputError
        If `out` holds something else or cannot be written.
    LesionPointsError
        If training or prediction fails.
    """
    started = time.monotonic()
    expected = CASES * SECONDS_PER_CASE + minutes * 60 + 30

    def progress(phase: str, fraction: float, message: str) -> Progress:
        elapsed = time.monotonic() - started
        return Progress(phase, fraction, elapsed, max(expected - elapsed, 0.0), message)

    root = out / _STUDY
    if out.is_dir() and any(out.iterdir()):
        if not (out / MARKER).is_file():
            raise OutputError(f"{out} holds other files; name an empty folder with --out.")
        shutil.rmtree(out)
    atomic_write(out / MARKER, "Made by lesion-points demo, which replaces this folder when it runs again.\n")
    for made in simulate_study(root, CASES, seed):
        yield progress("simulating", made.done / made.total, f"{made.case}, {made.lesions} lesions")

    truth = root / "derivatives" / "truth" / "points.csv"
    with Study.open(root, reader=READER) as study:
        annotated, rest = study.case_names[:ANNOTATED], study.case_names[ANNOTATED:]
        clicks = _click(study, annotated, read_points(truth), np.random.default_rng(seed))
        yield progress("clicking", 1.0, f"{clicks} lesions in {len(annotated)} cases")

        model = study.models_dir / "demo"
        finished = yield from _until_finished(run(plan_training(study, out=model, minutes=minutes, seed=seed)))
        _require_returned(finished)
        heatmaps = study.heatmap_path(rest[0]).parent
        plan = plan_prediction([study.files_of(c) for c in rest], model=model, heatmaps=heatmaps)
        finished = yield from _until_finished(storing(study, run(plan), str(model)))
        _require_returned(finished)

        yield progress("exporting", 1.0, str(out))
        candidates = study.candidates()
        write_points(out / "candidates.csv", candidates)
        for format in EXPORT_FORMATS:
            export_study(study, out / "export" / format, format)
        shutil.copy(study.heatmap_path(rest[0]), out)
    figures = evaluate(
        out / "candidates.csv", truth, tolerance_mm=TOLERANCE_MM, threshold=describe_model(model).threshold, cases=rest
    )
    write_evaluation(figures, out)
    yield DemoResult(root, annotated, rest, figures, figures.tp + figures.fn)


def _click(study: Study, cases: tuple[str, ...], truth: tuple[LesionPoint, ...], rng: np.random.Generator) -> int:
    """Annotate cases as a reader would; return the number of points."""
    total = 0
    for case in cases:
        points = [
            LesionPoint(case, (x, y, z), reader=study.reader)
            for x, y, z in (p.world + rng.normal(0, CLICK_ERROR_MM, 3) for p in truth if p.case == case)
        ]
        for point in points:
            study.apply(Change.adding(point))
        study.set_state(case, CaseState.DONE)
        total += len(points)
    return total


def _until_finished(events: Iterator[Event]) -> Generator[Event, None, Finished]:
    last = Finished("failed", "the job ended without a word")
    for event in events:
        if isinstance(event, Finished):
            last = event
        yield event
    return last


def _require_returned(finished: Finished) -> None:
    if finished.outcome != "returned":
        raise LesionPointsError(f"The demonstration ended early: {finished.reason}")
