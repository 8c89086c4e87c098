"""The prediction job in this process: cases that cannot be read, and how much memory a large one takes."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from napari_lesion_points.core.calibration import Recalibration
from napari_lesion_points.core.events import CasePredicted, Event, Finished
from napari_lesion_points.core.heatmap import draw_gaussians
from napari_lesion_points.core.preparation import NetworkInput
from napari_lesion_points.learn.checkpoint import pack, unpack
from napari_lesion_points.learn.network import UNetConfig, fresh_network
from napari_lesion_points.store.cases import CaseFiles, find_cases
from napari_lesion_points.workflow.job import execute
from napari_lesion_points.workflow.models import METADATA_KEY, WEIGHTS, describe_model
from napari_lesion_points.workflow.planning import plan_prediction


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def model(tmp_path: Path, write_model: Callable[..., Path]) -> Path:
    """A small network that was never trained."""
    folder = write_model(tmp_path / "model", network={"channels": 2, "filters": 2, "levels": 2})
    card = describe_model(folder)
    weights = fresh_network(UNetConfig(**card.network), 0).state_dict()
    (folder / WEIGHTS).write_bytes(pack(weights, {METADATA_KEY: json.dumps(card.to_json())}))
    return folder


def predict(files: tuple[CaseFiles, ...], model: Path, out: Path) -> list[Event]:
    spec = plan_prediction(files, model=model, heatmaps=out, device="cpu")
    return list(execute(spec, lambda: False))


def test_a_case_that_cannot_be_read_is_named_and_the_others_are_predicted(
    blob_study: Path, model: Path, tmp_path: Path
) -> None:
    files = find_cases(blob_study)
    image = blob_study / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    image.write_bytes(image.read_bytes()[:2000])
    events = predict(files, model, tmp_path / "out")
    assert [e.case for e in events if isinstance(e, CasePredicted)] == ["sub-01", "sub-03", "sub-04"]
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.outcome == "failed"
    assert end.reason.startswith("3 of 4 cases predicted. Not predicted: sub-02 (")
    assert "sub-02_T1w.nii.gz" in end.reason


def test_large_scans_are_read_one_at_a_time(model: Path, tmp_path: Path) -> None:
    # Twice as many sequences as the model has, of voxels half as large as its own: each one is a large part of the
    # whole. The bound is bytes per voxel of a scan of 16 bits.
    shape = (96, 96, 96)
    at = np.linalg.norm(np.indices(shape) - 47.5, axis=0)
    data = np.where(at < 45, 100 + np.random.default_rng(0).normal(0, 9, shape), 0).astype(np.int16)
    for sequence in ("FLAIR", "T1w"):
        path = tmp_path / "study" / "sub-1" / "anat" / f"sub-1_{sequence}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, np.diag([1.0, 1.0, 1.0, 1])), path)
    for copied in ("T2w", "PD"):
        shutil.copy(path, path.with_name(f"sub-1_{copied}.nii.gz"))
    files = find_cases(tmp_path / "study")
    predict(files, model, tmp_path / "out")  # what is imported on the way does not count
    tracemalloc.start()
    events = predict(files, model, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert any(isinstance(e, CasePredicted) for e in events)
    assert peak < 11 * data.size


def test_a_studys_recalibration_takes_the_place_of_the_models(blob_study: Path, model: Path, tmp_path: Path) -> None:
    spec = plan_prediction(find_cases(blob_study)[:1], model=model, heatmaps=tmp_path, device="cpu", min_existence=0)
    for parameters in ((1.0, 1.0, 0.0), (0.8, 1.2, 2.0)):
        events = list(execute(replace(spec, recalibration=parameters), lambda: False))
        (found,) = (e.candidates for e in events if isinstance(e, CasePredicted))
        assert found
        masses = np.clip([c.mass for c in found], 0, 1)
        assert_allclose([c.existence for c in found], Recalibration(*parameters)(masses))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every network draw lesions of the masses 0.8, 0.3 and 0.05."""

    def predict_heatmap(network: object, case: NetworkInput, *_: object, **__: object) -> np.ndarray:
        places = {0.8: (6, 6, 6), 0.3: (14, 14, 14), 0.05: (20, 20, 20)}
        shape = case.foreground.shape
        return sum((m * draw_gaussians(shape, [at], 1.25) for m, at in places.items()), np.zeros(shape, np.float32))

    monkeypatch.setattr("napari_lesion_points.workflow.prediction.predict_heatmap", predict_heatmap)


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    ("parameters", "least", "masses"),
    [
        ((1.0, 1.0, 0.0), 0.1, [0.8, 0.3]),
        ((1.0, 1.0, 2.0), 0.1, [0.8, 0.3, 0.05]),  # recalibrated to 0.97, 0.76 and 0.28
        ((1.0, 1.0, -2.0), 0.1, [0.8]),  # to 0.35, 0.05 and 0.01
        ((0.2, 0.2, 1.0), 0.1, [0.8, 0.3]),  # to 0.5 and more, whatever the mass: then masses count
        ((0.2, 0.2, 1.0), 0.0, [0.8, 0.3, 0.05]),
    ],
)
def test_what_is_kept_has_the_least_existence_after_recalibration(
    blob_study: Path, model: Path, tmp_path: Path, parameters: tuple[float, ...], least: float, masses: list[float]
) -> None:
    spec = plan_prediction(find_cases(blob_study)[:1], model=model, heatmaps=tmp_path, device="cpu")
    events = execute(replace(spec, recalibration=parameters, min_existence=least), lambda: False)
    (found,) = (e.candidates for e in events if isinstance(e, CasePredicted))
    assert_allclose([c.mass for c in found][: len(masses)], masses, atol=0.01)
    assert all(c.mass < 0.01 for c in found[len(masses) :])  # rests of the fits, when anything is kept
    assert min(c.existence for c in found) >= least


@pytest.mark.usefixtures("drawn")
def test_components_are_kept_from_the_least_existence_on(blob_study: Path, model: Path, tmp_path: Path) -> None:
    card = replace(describe_model(model), components=True, threshold=0.05)
    weights = unpack((model / WEIGHTS).read_bytes(), "m")
    (model / WEIGHTS).write_bytes(pack(weights, {METADATA_KEY: json.dumps(card.to_json())}))
    for least, scores in ((0.1, [0.8, 0.3]), (0.5, [0.8]), (0.9, [])):
        spec = plan_prediction(
            find_cases(blob_study)[:1], model=model, heatmaps=tmp_path, device="cpu", min_existence=least
        )
        (found,) = (e.candidates for e in execute(spec, lambda: False) if isinstance(e, CasePredicted))
        assert_allclose([c.existence for c in found], scores, atol=0.01)
