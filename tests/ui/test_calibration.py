"""The calibration part of the Predict tab, from folded to recalibrated and back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_lesion_points.core.calibration import Recalibration
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import LesionPoint, Origin, Verdict
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
    reading.dock.show_tab("Predict")
    return reading


def unfold(hand: Any) -> Any:
    part = hand.dock.predict.calibration
    part.fold.click()
    hand.until(lambda: hand.dock.calibration.estimate is not None or bool(hand.dock.calibration.trouble))
    return part


def test_from_verdicts_to_a_recalibrated_study_and_back(judged: Any) -> None:
    dock, controller = judged.dock, judged.controller
    before = {c.id: c.existence for c in controller.study.candidates()}
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
    judged.until(lambda: dock.calibration.estimate is not None)
    if folder := os.environ.get("PICTURES"):
        judged.viewer.window.resize(1366, 768)
        judged.qtbot.wait(300)
        judged.viewer.screenshot(str(Path(folder) / "calibration.png"), canvas_only=False, flash=False)
    part.own.click()
    judged.until(lambda: not part.own.isEnabled() and dock.calibration.assessment is not None)
    assert {c.id: pytest.approx(c.existence) for c in controller.study.candidates()} == before


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


def test_without_verdicts_it_says_what_it_needs(reading: Any) -> None:
    reading.dock.show_tab("Predict")
    part = reading.dock.predict.calibration
    part.fold.click()
    reading.until(lambda: "Needs 20" in part.words.text())
    assert not part.recalibrate.isEnabled()
    assert not part.use.isEnabled()
    part.fold.click()
    assert not part.unfolded
