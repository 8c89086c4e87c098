"""The model that comes with the package: by its name everywhere, small, and of use on patients it has not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_lesion_points.core.events import CasePredicted
from napari_lesion_points.core.metrics import CaseDetections, figures_at
from napari_lesion_points.core.phantom import GRID, simulate_patient
from napari_lesion_points.core.records import Change, LesionPoint
from napari_lesion_points.store.anatomy import load_anatomy
from napari_lesion_points.store.cases import find_cases
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import write_volume
from napari_lesion_points.workflow.jobs import run
from napari_lesion_points.workflow.models import STARTER, WEIGHTS, describe_model
from napari_lesion_points.workflow.planning import plan_prediction, plan_training

CARD = describe_model(Path(STARTER))


def test_its_card_tells_what_it_is_for() -> None:
    assert (CARD.path / WEIGHTS).stat().st_size < 6e6
    assert CARD.any_subset
    assert CARD.sequences == ("FLAIR", "T1w", "T2w", "ce-gadolinium_T1w")
    assert (CARD.spacing_range_mm, CARD.thickest_mm) == ((1.0, 2.0), 5.0)
    assert not CARD.training_cases
    assert CARD.f1 is not None
    assert "No image of a patient" in (CARD.path / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """Three simulated patients, of whom two sequences were scanned, and their lesions (world mm)."""
    pytest.importorskip("nilearn", reason="the template anatomy comes with nilearn")
    root, anatomy, truth = tmp_path_factory.mktemp("patients"), load_anatomy(GRID), {}
    for seed in (101, 102, 103):
        patient = simulate_patient(anatomy, seed, lesions=(4, 8))
        truth[f"sub-{seed}"] = np.asarray(patient.centers_world)
        for name in ("FLAIR", "T2w"):
            write_volume(root / f"sub-{seed}" / "anat" / f"sub-{seed}_{name}.nii.gz", patient.sequences[name])
    return root, truth


@pytest.mark.slow
def test_it_finds_most_lesions_of_simulated_patients(
    patients: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    root, truth = patients
    events = run(plan_prediction(find_cases(root), model=Path(STARTER), heatmaps=tmp_path))
    found = []
    for event in events:
        if isinstance(event, CasePredicted):
            places = np.array([c.world for c in event.candidates]).reshape(-1, 3)
            existence = np.array([c.existence for c in event.candidates])
            found.append(CaseDetections(event.case, places, existence, truth[event.case]))
    assert len(found) == 3
    figures = figures_at(found, CARD.threshold, 6.0)
    assert figures.recall > 0.6
    assert figures.precision > 0.4


def test_fine_tuning_starts_from_it_by_name(patients: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    root, truth = patients
    with Study.open(root, tmp_path / "store", reader="ada") as study:
        for case, centers in truth.items():
            study.apply(Change.adding(*(LesionPoint(case, tuple(center)) for center in centers.tolist())))
        spec = plan_training(study, out=tmp_path / "model", init=Path(STARTER), minutes=1)
    assert spec.any_subset
    assert spec.sequences == CARD.sequences
    assert all(set(case.sequences) == {"FLAIR", "T2w"} for case in spec.cases)
    assert spec.recipe == "fast"
