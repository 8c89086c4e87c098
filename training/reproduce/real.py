"""Real patients: the starter before the first click, fine-tuned on another patient, and learning from scratch."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

from napari_lesion_points.workflow.models import STARTER
from training.real_patients import TOLERANCE_MM, Bench
from training.reproduce.tables import Table


def real_patients(study: Path, masks: str, out: Path, minutes: float) -> Table:
    """Test each patient on a model that another patient has taught.

    Parameters
    ----------
    study : Path
        BIDS dataset of at least two patients.
    masks : str
        Pattern of their lesion masks, relative to it.
    out : Path
        Folder of the models and results, which are not made again.
    minutes : float
        Budget of each training.
    """
    bench = Bench(study, masks, out, STARTER, minutes)
    for patient in bench.patients:
        bench.test_untouched(patient)
    for first, second in permutations(bench.patients, 2):
        bench.learn(first, None, second, (STARTER, ""))
    rows = []
    for r in bench.results():
        taught = (
            "starter" if not r.trained_on else f"{'starter fine-tuned' if r.init else 'from scratch'} on {r.trained_on}"
        )
        figures = (r.f1, r.precision, r.recall, r.ece, r.f1_without_confluent)
        rows.append((r.tested_on, taught, str(r.clicks), f"{r.threshold:.2f}", *(f"{100 * x:.1f}" for x in figures)))
    return Table(
        "real-patients",
        f"Real patients of {study.name}",
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
        f"Percent; a detection lies within {TOLERANCE_MM:g} mm. The threshold of the starter comes from simulated "
        "patients, and fine-tuning keeps it. One training each.",
    )
