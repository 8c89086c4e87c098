"""The simulated reader: what it clicks and says arrives in the store, and a run goes on where it was stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.hand import Effort, Hand
from benchmarks.reader import Round
from benchmarks.reading import Reader
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import CaseState, LesionPoint, Origin, Verdict
from napari_lesion_points.store.points_file import read_points
from napari_lesion_points.store.study import Study
from napari_lesion_points.ui import staging
from napari_lesion_points.ui.app import Window
from napari_lesion_points.ui.dock import LesionPointsDock

VOXEL_MM = 2.0


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any], blob_study: Path) -> Iterator[Window]:
    """A window on the study of blobs, the first case on screen."""
    viewer = make_napari_viewer(show=True)
    dock = LesionPointsDock(viewer)
    viewer.window.add_dock_widget(dock, name="Lesion points", area="right", add_vertical_stretch=False)
    window = Window(viewer, dock)
    end = dock.close_session
    dock.controller.use_study(Study.open(blob_study, reader="simulated"))
    staging.resize(window)
    staging.show_case(window)
    yield window
    end()


def truth_of(study: Path) -> dict[str, list[tuple[float, float, float]]]:
    points = read_points(study / "truth.csv")
    return {f"sub-{n:02}": [p.world for p in points if p.case == f"sub-{n:02}"] for n in range(1, 5)}


def stored(window: Window, case: str) -> np.ndarray:
    found = [p.world for p in window.dock.controller.study.annotations(case)]
    return np.array(sorted(found)).reshape(-1, 3)


def test_every_lesion_clicked_is_stored_within_a_voxel(window: Window, blob_study: Path) -> None:
    truth = truth_of(blob_study)
    hand = Hand(window)
    reader = Reader(hand, truth, 0.0, np.random.default_rng(0))
    for case in truth:
        reader.by_hand(case)
        assert np.abs(stored(window, case) - np.array(sorted(truth[case])).reshape(-1, 3)).max(initial=0) <= VOXEL_MM
        assert window.dock.controller.study.state(case) is CaseState.DONE
    lesions = sum(map(len, truth.values()))
    assert reader.verdicts == {"accepted": 0, "moved": 0, "rejected": 0, "placed": lesions}
    pages, slices = len(truth) - 1, 26
    assert (hand.effort.keys, hand.effort.clicks, hand.effort.decisions) == (pages, lesions + len(truth), lesions)
    assert len(truth) * (slices - 1) <= hand.effort.wheel <= len(truth) * 1.5 * slices


def test_verdicts_are_what_the_truth_says(window: Window, blob_study: Path) -> None:
    truth = truth_of(blob_study)
    first, second, third = (np.array(at) for at in truth["sub-01"])
    inwards = -np.sign(second - np.array([0.0, 4.0, -4.0]))
    proposed = {
        "near": (first + np.array([1, -1, 1]), 0.9),
        "off": (second + inwards * np.array([3, 3, 0]), 0.5),
        "none": (np.array([0.0, 5.0, -5.0]), 0.4),
    }
    study = window.dock.controller.study
    candidates = [
        LesionPoint("sub-01", tuple(at), name, p, p, float(binary_entropy(p)), Origin.MODEL)
        for name, (at, p) in proposed.items()
    ]
    assert min(np.linalg.norm(proposed["none"][0] - at) for at in (first, second, third)) > 6
    study.add_candidates("sub-01", candidates, "model", 2.0)
    window.dock.controller.refresh()
    window.dock.show_tab("Review")
    reader = Reader(Hand(window), truth, 0.0, np.random.default_rng(0))
    missed = reader.review("sub-01")
    assert {p.id: p.verdict for p in study.candidates("sub-01")} == {
        "near": Verdict.ACCEPTED, "off": Verdict.MOVED, "none": Verdict.REJECTED
    }  # fmt: skip
    points = {p.id: np.array(p.world) for p in study.annotations("sub-01")}
    assert set(points) == {"near", "off"}
    np.testing.assert_allclose(points["near"], proposed["near"][0])
    np.testing.assert_allclose(points["off"], second, atol=VOXEL_MM)
    assert missed == (truth["sub-01"][2],)
    assert reader.verdicts == {"accepted": 1, "moved": 1, "rejected": 1, "placed": 0}
    reader.search(missed)
    (added,) = (p for p in study.annotations("sub-01") if p.id not in points)
    np.testing.assert_allclose(added.world, third, atol=VOXEL_MM)


def test_time_is_that_of_the_keystroke_level_model() -> None:
    assert Effort(keys=1).seconds == pytest.approx(0.2)
    assert Effort(clicks=1).seconds == pytest.approx(1.3)
    assert Effort(keys=2, clicks=1, wheel=5, homings=2, decisions=1).plus(Effort(wheel=5)).seconds == pytest.approx(
        0.4 + 1.3 + 2.0 + 0.8 + 1.35
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_goes_on_with_the_round_that_is_missing(blob_study: Path, tmp_path: Path) -> None:
    (blob_study / "derivatives" / "truth").mkdir(parents=True)
    shutil.copy(blob_study / "truth.csv", blob_study / "derivatives" / "truth" / "points.csv")
    parts = ("train", "train", "test", "test")
    lines = [f"sub-{n:02}\t{part}" for n, part in enumerate(parts, start=1)]
    (blob_study / "participants.tsv").write_text("\n".join(["participant_id\tsplit", *lines]) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks.reader", "--study", str(blob_study), "--out", str(out)]
    command += ["--cases", "1", "--epochs", "1", "--jitter-mm", "0", "--ways", "search"]
    root = Path(__file__).parents[2]

    def play(rounds: int) -> list[Round]:
        subprocess.run([*command, "--rounds", str(rounds)], check=True, cwd=root, env=os.environ)
        return [Round.from_json(line) for line in (out / "rounds.jsonl").read_text(encoding="utf-8").splitlines()]

    begun = play(1)
    done = play(2)
    assert [(r.way, r.number, r.cases, r.lesions) for r in done] == [
        ("hand", 1, 1, 3), ("hand", 2, 2, 6), ("search", 2, 2, 6)
    ]  # fmt: skip
    assert done[:1] == begun
    for r in done:
        assert (r.missed, r.false) == (0, 0)
        assert r.error_mm <= VOXEL_MM
        assert r.accepted + r.moved + r.placed == r.lesions
        assert r.effort.clicks > r.lesions * (r.way == "hand")
    assert (out / "reader.png").stat().st_size > 0
    assert (out / "rows.json").stat().st_size > 0
