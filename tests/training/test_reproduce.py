"""The reproduction runs end to end on a small study, and goes on where it was killed."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

from napari_lesion_points.core.records import CaseState
from napari_lesion_points.workflow.simulate import simulate_study
from training.reproduce import __main__ as command
from training.reproduce import experiments
from training.reproduce.cohort import Cohort
from training.reproduce.networks import Bench
from training.reproduce.real import real_patients

SPLIT = ("train", "train", "train", "val", "test", "test")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six simulated patients with a split."""
    pytest.importorskip("nilearn", reason="the template anatomy comes with nilearn")
    root = tmp_path_factory.mktemp("cohort") / "study"
    list(simulate_study(root, len(SPLIT), seed=5))
    rows = [f"sub-{n:04d}\t{part}" for n, part in enumerate(SPLIT, start=1)]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tsplit", *rows]) + "\n", encoding="utf-8")
    return root


def test_clicks_miss_by_as_much_as_they_should(study: Path, tmp_path: Path) -> None:
    cohort = Cohort(study)
    assert cohort.split == {
        "train": ("sub-0001", "sub-0002", "sub-0003"), "val": ("sub-0004",), "test": ("sub-0005", "sub-0006")
    }  # fmt: skip
    squares = []
    for seed in range(5):
        with cohort.clicked(tmp_path / f"store-{seed}", jitter_mm=2.0, seed=seed) as clicked:
            assert clicked.state("sub-0001") is CaseState.DONE
            for case in cohort.split["train"]:
                off = cohort.truth[case].world - [p.world for p in clicked.annotations(case)]
                squares += list((off**2).sum(axis=1))
            assert_allclose([p.world for p in clicked.annotations("sub-0004")], cohort.truth["sub-0004"].world)
            assert not clicked.annotations("sub-0005")
    assert (sum(squares) / len(squares)) ** 0.5 == pytest.approx(2.0, rel=0.25)


@pytest.mark.slow
def test_from_nothing_to_tables_and_on(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(experiments, "SIGMAS_VOX", (1.5,))
    monkeypatch.setattr(experiments, "OTHER_LABELS", ("segmentation",))
    monkeypatch.setattr(experiments, "PATIENTS", (1, 2))
    out = tmp_path / "out"
    arguments = [
        "reproduce",
        "--study",
        str(study),
        "--out",
        str(out),
        "--only",
        "labels,patients,matching,calibration",
    ]
    monkeypatch.setattr(sys, "argv", [*arguments, "--steps-per-run", "2", "--seeds", "1"])
    command.main()
    made = sorted(path.name for path in (out / "networks").iterdir())
    assert made == ["chance-1-0", "chance-2-0", "dropout-0", "heatmap-1.5-0", "segmentation-0", "uncertain-2-0"]
    table = list(csv.reader((out / "labels.csv").read_text().splitlines()))
    assert [row[1] for row in table[1:]] == ["components", "components", "fitting"]
    assert [row[0].split(",")[0] for row in table[1:]] == ["segmentation", "heatmap", "heatmap"]
    table_of = {
        name: list(csv.reader((out / f"{name}.csv").read_text().splitlines())) for name in ("matching", "calibration")
    }
    assert [row[0] for row in table_of["matching"]] == ["seed", "0"]
    assert [row[0].split(":")[0] for row in table_of["calibration"][1:]] == [
        "unfitted", "fitted", "segmentation, MC dropout", *3 * ["fitted, recalibrated"]
    ]  # fmt: skip
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Label and detection" in page
    assert "data:image/svg+xml" in page
    assert "at most 6 networks to go" in capsys.readouterr().out

    monkeypatch.setattr(Bench, "_train", lambda *_: pytest.fail("it is there already"))
    (out / "labels.csv").unlink()
    command.main()
    assert list(csv.reader((out / "labels.csv").read_text().splitlines())) == table


@pytest.mark.slow
def test_real_patients_are_tested_on_models_of_the_others(tmp_path: Path) -> None:
    pytest.importorskip("nilearn", reason="the template anatomy comes with nilearn")
    list(simulate_study(tmp_path / "two", 2, seed=8))
    table = real_patients(tmp_path / "two", "derivatives/truth/**/*_dseg.nii.gz", tmp_path / "out", minutes=0.1)
    assert [row[:2] for row in table.rows] == [
        ("sub-0001", "from scratch on sub-0002"),
        ("sub-0001", "starter"),
        ("sub-0001", "starter fine-tuned on sub-0002"),
        ("sub-0002", "from scratch on sub-0001"),
        ("sub-0002", "starter"),
        ("sub-0002", "starter fine-tuned on sub-0001"),
    ]
    assert [row[2] == "0" for row in table.rows] == [row[1] == "starter" for row in table.rows]
