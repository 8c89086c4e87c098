"""Fine-tuning on a case that nobody has finished: the network is its own teacher there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from napari_lesion_points.core.events import Finished
from napari_lesion_points.core.heatmap import peak_height, sigma_in_voxels
from napari_lesion_points.core.preparation import NetworkInput
from napari_lesion_points.core.records import CaseState, Change, LesionPoint
from napari_lesion_points.learn.devices import choose_device
from napari_lesion_points.learn.labels import Label
from napari_lesion_points.learn.predict import margin_around, predict_heatmap
from napari_lesion_points.learn.recipes import RECIPES
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow import training
from napari_lesion_points.workflow.job import execute
from napari_lesion_points.workflow.models import describe_model
from napari_lesion_points.workflow.planning import plan_training


@pytest.fixture
def learned_from(monkeypatch: pytest.MonkeyPatch) -> list[NetworkInput]:
    """The cases that a training is given; it then ends."""
    torch.set_num_threads(1)
    given: list[NetworkInput] = []

    def train(_: Any, cases: Sequence[NetworkInput], *_args: Any, **_options: Any) -> Iterator[Any]:
        given.extend(cases)
        yield from ()

    monkeypatch.setattr(training, "train", train)
    return given


@pytest.fixture
def study(blob_study: Path, tmp_path: Path) -> Iterator[Study]:
    """sub-01 in progress, sub-02 done, with a point each."""
    with Study.open(blob_study, tmp_path / "store", reader="ada") as opened:
        for case in ("sub-01", "sub-02"):
            opened.apply(Change.adding(LesionPoint(case, (1, 2, 3))))
        opened.set_state("sub-02", CaseState.DONE)
        yield opened


def test_only_the_unfinished_case_is_believed_to_be_as_the_model_draws_it(
    study: Study, heatmap_model: Path, learned_from: list[NetworkInput], tmp_path: Path
) -> None:
    spec = plan_training(study, out=tmp_path / "tuned", cases=["01", "02"], init=heatmap_model, epochs=1, device="cpu")
    events = list(execute(spec, lambda: False))
    assert isinstance(events[-1], Finished)
    assert events[-1].outcome == "returned"
    unfinished, done = learned_from
    assert (unfinished.case, done.case, done.believed) == ("sub-01", "sub-02", None)
    card, device = describe_model(heatmap_model), choose_device("cpu")
    network = training.load_network(card)
    device.place(network)
    sigma_vox = sigma_in_voxels(card.sigma_mm, card.spacing_mm)
    margin = margin_around(Label(), RECIPES[card.recipe], sigma_vox)
    expected = predict_heatmap(network, unfinished, card.patch_vox, peak_height(sigma_vox), device, margin=margin)
    assert unfinished.believed is not None
    assert np.ptp(expected) > 0
    assert_allclose(unfinished.believed, expected, rtol=2e-3, atol=1e-6)


def test_from_scratch_there_is_no_teacher(study: Study, learned_from: list[NetworkInput], tmp_path: Path) -> None:
    spec = plan_training(study, out=tmp_path / "fresh", cases=["01", "02"], epochs=1, device="cpu")
    list(execute(spec, lambda: False))
    assert [case.believed for case in learned_from] == [None, None]


def test_a_stop_while_the_model_draws_ends_the_training(
    study: Study, heatmap_model: Path, learned_from: list[NetworkInput], tmp_path: Path
) -> None:
    spec = plan_training(study, out=tmp_path / "tuned", cases=["01", "02"], init=heatmap_model, epochs=1, device="cpu")
    drawing: list[bool] = []
    outcome = ""
    for event in execute(spec, lambda: bool(drawing)):
        if "what the model draws" in getattr(event, "message", ""):
            drawing.append(True)
        if isinstance(event, Finished):
            outcome = event.outcome
    assert (drawing, outcome, learned_from) == ([True], "stopped", [])
