"""The calibration part of the Predict tab, from folded to recalibrated and back."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_lesion_points.core.calibration import Recalibration
from napari_lesion_points.core.events import Event, Finished, Started
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Origin, Verdict
from napari_lesion_points.workflow.models import FORMAT, METADATA_KEY, WEIGHTS
from napari_lesion_points.workflow.review import verdict_change

CARD = {
    "format": FORMAT, "sequences": ["FLAIR", "T1w"], "spacing_mm": [2.0, 2.0, 2.0], "sigma_mm": 2.0,
    "patch_vox": [24, 24, 24], "network": {"channels": 2}, "training_cases": ["sub-99"], "validation_cases": [],
    "threshold": 0.4, "f1": 0.5, "precision": None, "recall": None, "ece": None, "figures_on_training_cases": True,
    "seed": 0, "init": "", "minutes": 1.0, "device": "CPU", "version": "0",
    "created_utc": "2026-01-01T00:00:00+00:00",
}  # fmt: skip


@pytest.fixture
def judged(reading: Any) -> Any:
    """Twenty candidates in each of three cases; a reader rejected most of fifteen, more than the model says."""
    from safetensors.numpy import save_file

    study = reading.controller.study
    folder = study.models_dir / "model-001"
    folder.mkdir(parents=True)
    save_file({"w": np.zeros((2, 2), np.float32)}, folder / WEIGHTS, {METADATA_KEY: json.dumps(CARD)})
    rng, changes = np.random.default_rng(4), []
    grid = reading.controller.shown.grid
    places = [grid.to_world([(1 + k % 6 * 2, 6 + k // 6 * 8, 4 + k % 5 * 7)])[0] for k in range(20)]
    for case in study.case_names:
        found = []
        for x, y, z in places:
            p = float(rng.uniform(0.15, 0.98))
            found.append(
                LesionPoint(case, (x, y, z), existence=p, mass=p, entropy=float(binary_entropy(p)), origin=Origin.MODEL)
            )
        study.add_candidates(case, found, str(folder.resolve()), 2.0)
        for c in study.candidates(case)[:15]:
            lesion = rng.random() < Recalibration(c=-1.2)([c.existence])[0]
            changes.append(verdict_change(study, c, Verdict.ACCEPTED if lesion else Verdict.REJECTED))
    study.apply(*changes)
    reading.controller.refresh()
    reading.show_tab("Predict")
    return reading


def unfold(hand: Any) -> Any:
    part = hand.dock.predict.calibration
    part.fold.click()
    hand.until(lambda: hand.dock.calibration.estimate is not None or bool(hand.dock.calibration.trouble))
    return part


def test_from_verdicts_to_a_recalibrated_study_and_back(judged: Any) -> None:
    dock, controller = judged.dock, judged.controller
    before = {c.id: c.existence for c in controller.study.candidates()}
    controller.set_threshold(0.5)
    layer = controller.scene.candidates
    above = list(layer.shown)
    assert not dock.predict.calibration.unfolded
    part = unfold(judged)
    assert "45 judged candidates" in part.words.text()
    assert "15 not judged" in part.words.text()
    assert part.recalibrate.isEnabled()
    assert not part.own.isEnabled()
    drawn = part.plot.grab().toImage()
    part.plot.show_assessment(None)
    assert part.plot.grab().toImage() != drawn  # the bins and the map were in it
    part.recalibrate.click()
    judged.until(part.own.isEnabled)
    learnt = Recalibration(*next(c.recalibration for c in controller.state.models if c.name == "model-001"))
    after = controller.study.candidates()
    assert_allclose([c.existence for c in after], learnt([before[c.id] for c in after]))
    assert controller.state.candidates == controller.study.candidates(controller.state.shown)
    assert list(layer.shown) == [c.existence >= 0.5 for c in controller.state.candidates]
    assert list(layer.shown) != above
    judged.until(lambda: dock.calibration.estimate is not None)
    if folder := os.environ.get("PICTURES"):
        judged.viewer.window.resize(1366, 768)
        judged.qtbot.wait(300)
        judged.viewer.screenshot(str(Path(folder) / "calibration.png"), canvas_only=False, flash=False)
    part.own.click()
    judged.until(lambda: not part.own.isEnabled() and dock.calibration.assessment is not None)
    assert {c.id: pytest.approx(c.existence) for c in controller.study.candidates()} == before
    assert list(layer.shown) == above


def test_a_wish_becomes_the_operating_threshold(judged: Any) -> None:
    part = unfold(judged)
    part.goal.setCurrentText("precision")
    part.wished.setValue(0.5)
    judged.until(lambda: part.use.isEnabled())
    wanted = judged.dock.calibration.estimate
    assert (str(wanted.goal), wanted.wished) == ("precision", 0.5)
    assert part.use.text() == f"Use {wanted.point.threshold:.2f}"
    part.use.click()
    judged.until(part.own.isEnabled)
    assert judged.controller.state.threshold == wanted.point.threshold
    assert judged.dock.predict.operating.text().endswith(f"{wanted.point.threshold:.2f}")


def test_the_operating_threshold_reaches_the_review(judged: Any) -> None:
    judged.controller.set_threshold(0.2)
    judged.dock.show_tab("Review")
    assert min(p.existence for p in judged.controller.state.queue) < 0.4
    judged.show_tab("Predict")
    judged.dock.predict.operating.click()
    judged.dock.show_tab("Review")
    assert judged.controller.state.threshold == 0.4
    assert min(p.existence for p in judged.controller.state.queue) >= 0.4


def test_a_wish_that_no_threshold_reaches_is_not_said_to_be_reached(judged: Any) -> None:
    study = judged.controller.study
    missed = judged.controller.shown.grid.to_world([(k, 45, 20) for k in (1, 5, 9)])
    study.apply(Change.adding(*(LesionPoint("sub-01", (x, y, z), reader="maria") for x, y, z in missed.tolist())))
    study.set_state("sub-01", CaseState.DONE)
    judged.controller.refresh()
    part = unfold(judged)
    part.wished.setValue(1.0)
    judged.until(lambda: judged.dock.calibration.estimate is not None and part.use.isEnabled())
    wanted = judged.dock.calibration.estimate
    assert wanted.point.sensitivity < 1
    said = f"the nearest to sensitivity 1.00: {wanted.point.sensitivity:.2f}"
    part.use.click()
    judged.until(part.own.isEnabled)
    assert f"The operating threshold is {wanted.point.threshold:.2f}, {said}." in judged.dock.message.label.text()
    assert f"In force: threshold {said}, from " in part.words.text()


def test_nothing_is_decided_while_a_prediction_runs(judged: Any) -> None:
    go_on = threading.Event()

    def slow(_: threading.Event) -> Iterator[Event]:
        yield Started("1 case", "CPU")
        go_on.wait(20)
        yield Finished("returned", "1 case")

    part = unfold(judged)
    part.recalibrate.click()
    judged.until(part.own.isEnabled)
    judged.until(part.use.isEnabled)
    buttons = (part.recalibrate, part.own, part.use)
    tips = [button.toolTip() for button in buttons]
    judged.dock.jobs._start("predict", "Predicting", slow)
    assert not any(button.isEnabled() for button in buttons)
    assert all("while a prediction runs" in button.toolTip() for button in buttons)
    go_on.set()
    judged.until(lambda: all(button.isEnabled() for button in buttons))
    assert [button.toolTip() for button in buttons] == tips


def test_without_verdicts_it_says_what_it_needs(reading: Any) -> None:
    reading.show_tab("Predict")
    part = reading.dock.predict.calibration
    part.fold.click()
    reading.until(lambda: "Needs 20" in part.words.text())
    assert not part.recalibrate.isEnabled()
    assert not part.use.isEnabled()
    part.fold.click()
    assert not part.unfolded
