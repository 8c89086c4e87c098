"""A segmentation made from a heatmap model: planned, trained, predicted, measured, compared."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from napari_lesion_points.core.events import CasePredicted, Event, Finished, Validation
from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.heatmap import draw_gaussians
from napari_lesion_points.core.lesion_volumes import lesion_volumes
from napari_lesion_points.core.overlap import overlap
from napari_lesion_points.core.records import Change
from napari_lesion_points.errors import TrainingError, VolumeError
from napari_lesion_points.learn.checkpoint import pack, unpack
from napari_lesion_points.store.cases import find_cases, reference_grid
from napari_lesion_points.store.points_file import read_points
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import read_labels, read_volume, write_volume
from napari_lesion_points.workflow.heatmaps import detect, full_colour
from napari_lesion_points.workflow.job import execute
from napari_lesion_points.workflow.jobs import storing
from napari_lesion_points.workflow.models import METADATA_KEY, WEIGHTS, ModelCard, describe_model
from napari_lesion_points.workflow.planning import plan_prediction, plan_training
from napari_lesion_points.workflow.segmentation import volumes_of, write_volumes
from napari_lesion_points.workflow.specs import from_json, to_json

from .conftest import NETWORK


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def masks(blob_study: Path) -> dict[str, Path]:
    """A mask per case around its true points."""
    truth, found = read_points(blob_study / "truth.csv"), {}
    for files in find_cases(blob_study):
        grid = reference_grid(files)
        points_vox = grid.to_voxel([p.world for p in truth if p.case == files.case])
        path = blob_study / "derivatives" / "masks" / f"{files.case}_mask.nii.gz"
        write_volume(path, Volume(draw_gaussians(grid.shape, points_vox, 1.0) > 0.02, grid))
        found[files.case] = path
    return found


def run(spec: Any) -> list[Event]:
    events = list(execute(spec, lambda: False))
    assert isinstance(events[-1], Finished)
    assert events[-1].outcome == "returned", events[-1].reason
    return events


def encoder_of(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for k, v in unpack((folder / WEIGHTS).read_bytes(), "m").items() if k.startswith("encoder.")}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_from_points_to_volumes(blob_study: Path, masks: dict[str, Path], heatmap_model: Path, tmp_path: Path) -> None:
    with Study.open(blob_study) as study:  # nobody has clicked anything
        spec = plan_training(
            study, out=tmp_path / "masks", label="segmentation", masks=masks, init=heatmap_model, epochs=25,
            cases=["sub-01", "sub-02", "sub-04"], validation=["sub-03"], device="cpu",
        )  # fmt: skip
        assert from_json(to_json(spec)) == spec
        figures = [e for e in run(spec) if isinstance(e, Validation)]
        card = describe_model(tmp_path / "masks")
        assert (card.label, card.frozen_encoder, card.init) == ("segmentation", True, str(heatmap_model))
        assert card.dice == round(figures[-1].dice or 0, 4)
        assert card.dice is not None
        assert card.dice > 0.5
        assert (card.threshold, card.mask_threshold) == (figures[-1].threshold, figures[-1].mask_threshold)
        assert same(encoder_of(tmp_path / "masks"), encoder_of(heatmap_model))

        prediction = plan_prediction([study.files_of("sub-03")], model=tmp_path / "masks", heatmaps=tmp_path / "out")
        events = list(storing(study, iter(run(prediction)), spec.out))
        kept = study.segmentation_path("sub-03")
        assert kept == study.heatmap_path("sub-03").with_name("sub-03_dseg.nii.gz")
        grid = reference_grid(study.files_of("sub-03"))
    predicted = next(e for e in events if isinstance(e, CasePredicted))
    assert predicted.mask == str(tmp_path / "out" / "sub-03_dseg.nii.gz")
    assert kept.read_bytes() == Path(predicted.mask).read_bytes()
    probability, labels = read_volume(Path(predicted.heatmap)), read_labels(kept)
    assert labels.grid.same_as(grid)
    assert 0 <= probability.data.min() < probability.data.max() <= 1
    assert full_colour(Path(predicted.heatmap), grid.spacing) == 1
    with pytest.raises(VolumeError, match="not a heatmap"):
        detect(Path(predicted.heatmap))  # it has no mass to fit
    above = np.asarray(probability.data) >= card.mask_threshold
    assert not (labels.data != 0)[~above].any()
    assert np.count_nonzero(above) - np.count_nonzero(labels.data) <= 0.05 * np.count_nonzero(above)  # specks
    agreement = overlap(labels.data, read_labels(masks["sub-03"]).data)
    assert agreement.dice == pytest.approx(card.dice, abs=0.1)


def test_what_is_kept_and_what_is_learned_is_ones_choice(
    blob_study: Path, masks: dict[str, Path], heatmap_model: Path, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"label": "segmentation", "masks": masks, "epochs": 1, "device": "cpu"}
    with Study.open(blob_study) as study:
        assert not plan_training(study, out=tmp_path / "a", **how).freeze_encoder
        whole = plan_training(study, out=tmp_path / "b", init=heatmap_model, freeze_encoder=False, **how)
        assert not whole.freeze_encoder
        run(whole)
        assert not same(encoder_of(tmp_path / "b"), encoder_of(heatmap_model))
        run(plan_training(study, out=tmp_path / "c", init=heatmap_model, **how))
        tuned = plan_training(study, out=tmp_path / "d", init=tmp_path / "c", masks=masks, epochs=1, device="cpu")
        assert (tuned.label, tuned.freeze_encoder, tuned.components) == ("segmentation", True, True)
        events = run(tuned)
        assert next(e for e in events if isinstance(e, Validation)).step == 0  # fine-tuning begins with a look
        assert same(encoder_of(tmp_path / "d"), encoder_of(heatmap_model))
        with pytest.raises(TrainingError, match="has learned the label segmentation"):
            plan_training(study, out=tmp_path / "e", init=tmp_path / "c", label="heatmap", epochs=1)
        with pytest.raises(TrainingError, match="no encoder to keep"):
            plan_training(study, out=tmp_path / "e", freeze_encoder=True, **how)
        with pytest.raises(TrainingError, match="say where they are"):
            plan_training(study, out=tmp_path / "e", label="segmentation")


def test_the_cases_with_masks_are_the_cases(
    blob_study: Path, masks: dict[str, Path], write_model: Callable[..., Path], tmp_path: Path
) -> None:
    few = {case: masks[case] for case in ("sub-02", "sub-03")}
    model = write_model(tmp_path / "m", network=NETWORK, training_cases=["sub-01"], validation_cases=["sub-03"])
    with Study.open(blob_study) as study:
        study.apply(Change.adding(*(p for p in read_points(blob_study / "truth.csv") if p.case == "sub-01")))
        spec = plan_training(study, out=tmp_path / "a", label="segmentation", masks=few)
        assert {c.case: (c.validation, c.mask) for c in spec.cases} == {c: (False, str(few[c])) for c in few}
        assert spec.summary == "the masks of 2 cases"
        spec = plan_training(study, out=tmp_path / "a", label="segmentation", masks=few, init=model)
        assert [(c.case, c.validation) for c in spec.cases] == [("sub-02", False), ("sub-03", True)]
        with pytest.raises(TrainingError, match="sub-01: no lesion mask"):
            plan_training(study, out=tmp_path / "a", label="segmentation", masks=few, cases=["sub-01"])
        only = {"sub-03": masks["sub-03"]}
        with pytest.raises(TrainingError, match="name some of them"):
            plan_training(study, out=tmp_path / "a", label="segmentation", masks=only, init=model)


def test_a_transfer_may_validate_on_what_the_encoder_saw(
    blob_study: Path, masks: dict[str, Path], write_model: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(5, 8):  # seven cases, all of which the encoder has learned from
        case = f"sub-{number:02}"
        for file in (blob_study / "sub-01" / "anat").iterdir():
            target = blob_study / case / "anat" / file.name.replace("sub-01", case)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
        masks[case] = masks["sub-01"]
    model = write_model(tmp_path / "m", network=NETWORK, training_cases=sorted(masks))
    with Study.open(blob_study) as study:
        spec = plan_training(study, out=tmp_path / "a", label="segmentation", masks=masks, init=model)
    assert sum(c.validation for c in spec.cases) == 1


def test_an_exponential_network_becomes_a_probability(
    blob_study: Path, masks: dict[str, Path], heatmap_model: Path, tmp_path: Path
) -> None:
    card = replace(describe_model(heatmap_model), network={**NETWORK, "output": "exp"}, recipe="paper")
    data = (heatmap_model / WEIGHTS).read_bytes()
    (heatmap_model / WEIGHTS).write_bytes(pack(unpack(data, "m"), {METADATA_KEY: json.dumps(card.to_json())}))
    with Study.open(blob_study) as study:
        run(
            plan_training(
                study, out=tmp_path / "a", label="segmentation", masks=masks, init=heatmap_model, epochs=1, device="cpu"
            )
        )
    assert describe_model(tmp_path / "a").network["output"] == "sigmoid"


def test_volumes_are_told_lesion_by_lesion_and_in_total(tmp_path: Path) -> None:
    grid = Grid((6, 6, 6), np.diag([-2.0, 1.0, 2.5, 1.0]))
    data = np.zeros(grid.shape, np.uint16)
    data[1:3, 1, 1:3] = 1
    data[5, 5, 3:6] = 2
    paths = {"sub-01": tmp_path / "a_dseg.nii.gz", "sub-02": tmp_path / "b_dseg.nii.gz"}
    write_volume(paths["sub-01"], Volume(data, grid))
    write_volume(paths["sub-02"], Volume(np.zeros_like(data), grid))
    write_volumes(tmp_path / "volumes.csv", paths)
    with (tmp_path / "volumes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["case"], r["lesion"], int(r["voxels"])) for r in rows] == [
        ("sub-01", "1", 4), ("sub-01", "2", 3), ("sub-01", "total", 7), ("sub-02", "total", 0),
    ]  # fmt: skip
    assert [float(r["volume_ml"]) for r in rows] == pytest.approx([0.02, 0.015, 0.035, 0])
    assert_allclose([float(rows[0][k]) for k in ("x_mm", "y_mm", "z_mm")], [-3, 1, 3.75])
    assert volumes_of(paths["sub-01"]) == lesion_volumes(Volume(data, grid))


def test_cards_of_other_models_say_nothing_of_masks(heatmap_model: Path) -> None:
    card = describe_model(heatmap_model)
    assert isinstance(card, ModelCard)
    assert (card.dice, card.frozen_encoder) == (None, False)


def test_a_mask_elsewhere_in_space_is_not_learned_as_no_lesions(
    blob_study: Path, masks: dict[str, Path], tmp_path: Path
) -> None:
    mask = read_labels(masks["sub-02"])
    far = mask.grid.affine.copy()
    far[:3, 3] += 500
    with Study.open(blob_study) as study:
        spec = plan_training(study, out=tmp_path / "m", label="segmentation", masks=masks, epochs=1, device="cpu")
    write_volume(masks["sub-02"], Volume(mask.data, Grid(mask.grid.shape, far)))
    *_, end = execute(spec, lambda: False)
    assert isinstance(end, Finished)
    assert end.outcome == "failed"
    assert "sub-02_mask.nii.gz: none of its voxels lies in the images of sub-02" in end.reason
    assert "Repair its header" in end.reason
