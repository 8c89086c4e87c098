"""The recipe of the starter model: from nothing to a model that predicts, and on from where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_lesion_points.core.events import CasePredicted, Finished
from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.phantom import Anatomy, simulate_patient
from napari_lesion_points.learn.checkpoint import unpack_state
from napari_lesion_points.store.cases import find_cases
from napari_lesion_points.store.volumes import write_volume
from napari_lesion_points.workflow.jobs import run
from napari_lesion_points.workflow.models import RESUME, describe_model
from napari_lesion_points.workflow.planning import plan_prediction
from training import starter


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    """A ball of 44 mm: a ventricle, white matter and cortex."""
    grid = Grid((32, 32, 32), np.diag([2.0, 2, 2, 1]))
    radius = np.linalg.norm(np.moveaxis(np.indices(grid.shape), 0, -1) - 15.5, axis=-1)
    csf, wm, gm = (
        np.asarray(m, np.float32) for m in (radius < 2, (radius >= 2) & (radius < 9), (radius >= 9) & (radius < 11))
    )
    return Anatomy(gm, wm, csf, wm + 0.7 * gm + 0.25 * csf, grid)


@pytest.mark.slow
def test_the_recipe_runs_stops_and_goes_on(anatomy: Anatomy, tmp_path: Path) -> None:
    scene = starter._scene(tmp_path / "scenes", anatomy, [], 0)
    again = starter._scene(tmp_path / "scenes", anatomy, [], 0)
    assert_array_equal(scene.tissue, again.tissue)
    assert (scene.lesions, scene.grid.shape) == (again.lesions, (32, 32, 32))
    validation = [starter._validation_case(tmp_path / "validation", anatomy, [], seed) for seed in (1, 2)]
    assert validation[0].images.shape[0] == 4

    starter._train(tmp_path / "model", [scene], validation, minutes=0.15, seed=0)
    card = describe_model(tmp_path / "model")
    assert card.any_subset
    assert (card.sequences, card.spacing_range_mm) == (starter.SEQUENCES, (1.0, 2.0))
    assert (tmp_path / "model" / RESUME).is_file()
    first = (tmp_path / "log.txt").read_text().splitlines()
    starter._train(tmp_path / "model", [scene], validation, minutes=0.3, seed=0)
    steps = [int(line.split("step ")[1].split(",")[0]) for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert steps == sorted(steps)
    assert steps[-1] > steps[len(first) - 1]
    assert unpack_state(tmp_path / "model" / RESUME).elapsed_s == pytest.approx(18, abs=9)  # both together

    patient = simulate_patient(anatomy, 5, varied=True, sequences=["FLAIR", "T2w"])
    for name, volume in patient.sequences.items():
        write_volume(tmp_path / "study" / "sub-1" / "anat" / f"sub-1_{name}.nii.gz", Volume(volume.data, volume.grid))
    events = list(run(plan_prediction(find_cases(tmp_path / "study"), model=tmp_path / "model", heatmaps=tmp_path)))
    assert isinstance(events[-1], Finished)
    assert events[-1].outcome == "returned"
    (predicted,) = [e for e in events if isinstance(e, CasePredicted)]
    assert predicted.sigma_mm == pytest.approx(3.0)  # 1.5 voxels of 2 mm
