"""Real patients: the starter before the first click, fine-tuned on another patient, and learning from scratch."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

from napari_lesion_points.core.matching import TOLERANCE_MM
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.workflow.models import STARTER
from training.real_patients import LOG, read_results
from training.real_patients import Bench as RealBench
from training.reproduce.networks import Bench, epochs_of
from training.reproduce.tables import Table

_ABOUT = "about.json"  # of which study the results are, and the budget of each training


def real_patients(bench: Bench, study: Path, masks: str) -> Table | None:
    """Test each patient on a model that another patient has taught, with the budget of the other experiments.

    Parameters
    ----------
    bench : Bench
        Whose folder and budget to use; what is there is not made again.
    study : Path
        BIDS dataset of at least two patients.
    masks : str
        Pattern of their lesion masks, relative to it.

    Raises
    ------
    SystemExit
        If the folder has results of another study, or of another budget.
    """
    out = _folder(bench)
    path, about = out / _ABOUT, {"study": study.name, "each": bench.each}
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(about))
    elif (there := json.loads(path.read_text(encoding="utf-8"))) != about:
        raise SystemExit(f"{out} has results of {there}, not of {about}; name another folder with --out.")
    epochs = bench.steps and epochs_of(bench.steps, 1)
    real = RealBench(study, masks, out, STARTER, minutes=bench.minutes, epochs=epochs)
    for patient in real.patients:
        real.test_untouched(patient)
    for first, second in permutations(real.patients, 2):
        real.learn(first, None, second, (STARTER, ""))
    return real_patients_of(bench)


def real_patients_of(bench: Bench) -> Table | None:
    """Return the table of the results that are there, None if there are none."""
    out = _folder(bench)
    results = read_results(out / LOG)
    if not results:
        return None
    about = json.loads((out / _ABOUT).read_text(encoding="utf-8"))
    rows = []
    for r in results:
        taught = (
            "starter" if not r.trained_on else f"{'starter fine-tuned' if r.init else 'from scratch'} on {r.trained_on}"
        )
        figures = (r.f1, r.precision, r.recall, r.ece, r.f1_without_confluent)
        rows.append((r.tested_on, taught, str(r.clicks), f"{r.threshold:.2f}", *(f"{100 * x:.1f}" for x in figures)))
    return Table(
        "real-patients",
        f"Real patients of {about['study']}",
        (
            "tested on",
            "model",
            "clicks",
            "threshold",
            "F1",
            "precision",
            "recall",
            "ECE",
            "F1 without confluent lesions",
        ),
        tuple(sorted(rows)),
        f"Percent; {about['each']} for each network; a detection lies within {TOLERANCE_MM:g} mm. The "
        "threshold of the starter comes from simulated patients, and fine-tuning keeps it; that of a network from "
        "scratch comes from its own patient, who is all it has. One training each.",
    )


def _folder(bench: Bench) -> Path:
    """Return the folder of the results and models."""
    return bench.out / "real-patients"
