"""The reproduction runs end to end on a small study, and goes on where it was killed."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_lesion_points.core.events import Finished
from napari_lesion_points.core.metrics import CaseDetections, pooled_outcomes
from napari_lesion_points.core.overlap import Overlap
from napari_lesion_points.core.records import CaseState
from napari_lesion_points.errors import StudyError
from napari_lesion_points.learn.labels import Found
from napari_lesion_points.workflow.models import STARTER
from napari_lesion_points.workflow.simulate import simulate_study
from training import real_patients as patients
from training.real_patients import Bench as RealBench
from training.real_patients import Result
from training.reproduce import __main__ as command
from training.reproduce import causes, experiments, judging
from training.reproduce.cohort import Cohort
from training.reproduce.networks import Bench, Detected, Network, epochs_of
from training.reproduce.real import real_patients
from training.reproduce.tables import spread


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six simulated patients with a split."""
    pytest.importorskip("nilearn", reason="the template anatomy comes with nilearn")
    root = tmp_path_factory.mktemp("cohort") / "study"
    list(simulate_study(root, 6, seed=5, split=(50, 17, 33)))
    return root


def test_a_study_without_a_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be read"):
        _ = Cohort(tmp_path).split
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-01\n", encoding="utf-8")
    with pytest.raises(StudyError, match="no column 'split'"):
        _ = Cohort(tmp_path).split


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
@pytest.mark.timeout(900)  # ten trainings, each in a process of its own
def test_from_nothing_to_tables_and_on(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(experiments, "SIGMAS_VOX", (1.5,))
    monkeypatch.setattr(experiments, "OTHER_LABELS", ("segmentation", "euclidean"))
    monkeypatch.setattr(experiments, "SHARES", (0.5,))
    monkeypatch.setattr(experiments, "PATIENTS", (1, 2))
    out = tmp_path / "out"
    arguments = [
        "reproduce",
        "--study",
        str(study),
        "--out",
        str(out),
        "--only",
        "labels,patients,matching,calibration,transfer",
    ]
    monkeypatch.setattr(sys, "argv", [*arguments, "--steps-per-run", "2", "--seeds", "1"])
    command.main()
    made = sorted(path.name for path in (out / "networks").iterdir() if path.is_dir())
    assert made == [
        "chance-1-0", "chance-2-0", "dropout-0", "euclidean-0", "heatmap-1.5-0", "masks-2-0",
        "masks-2-from-euclidean-0", "masks-2-from-heatmap-1.5-0", "segmentation-0", "uncertain-2-0",
    ]  # fmt: skip
    table = list(csv.reader((out / "labels.csv").read_text().splitlines()))
    here = [row for row in table[1:] if row[2] == "here"]
    assert [row[1] for row in here] == ["components", "components", "components", "fitting"]
    assert [row[0].split(",")[0] for row in here] == ["segmentation", "euclidean", "heatmap", "heatmap"]
    assert [row[3] for row in table[1:] if row[2] == "paper"] == [
        "85.4 ± 0.02", "80.6 ± 1.01", "83.9 ± 0.27", "86.3 ± 0.24"
    ]  # fmt: skip
    assert here[0][3] == "0.0"  # two steps teach nothing, so that there are no candidates: no table minds
    table_of = {
        name: list(csv.reader((out / f"{name}.csv").read_text().splitlines())) for name in ("matching", "calibration")
    }
    assert [row[0] for row in table_of["matching"]] == ["seed", "0"]
    assert [row[0].split(":")[0] for row in table_of["calibration"][1:]] == [
        "unfitted", "fitted", "fitted, detections only", "segmentation, MC dropout"
    ]  # fmt: skip
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Label and detection" in page
    assert "data:image/svg+xml" in page
    assert "at most 10 networks to go" in capsys.readouterr().out

    def leave(name: str) -> None:
        """Do without the models, and without what one network found."""
        shutil.rmtree(out / "networks" / name)
        for model in (out / "networks").glob("*/model"):
            shutil.rmtree(model)
        for written in out.glob("*.csv"):
            written.unlink()

    monkeypatch.setattr(Bench, "_train", lambda *_: pytest.fail("it is there already"))
    leave("uncertain-2-0")
    sys.argv[sys.argv.index("--only") + 1] = "labels"
    command.main()
    written = {path.stem for path in out.glob("*.csv")}
    assert written == {
        "labels", "mass", "neighbours", "matching", "calibration", "difference", "uncertainty", "counts", "transfer"
    }  # fmt: skip
    assert list(csv.reader((out / "labels.csv").read_text().splitlines())) == table
    sys.argv[sys.argv.index("2")] = "3"
    with pytest.raises(
        SystemExit, match=r"networks of study, 2 steps each, not of study, 3 steps; name another folder"
    ):
        command.main()


def test_what_is_undefined_with_one_seed_is_left_out_of_mean_and_spread() -> None:
    nan = float("nan")
    assert [spread(v) for v in ([0.5, 0.52], [0.5, nan], [nan, nan], [0.5])] == ["51.0 ± 1.4", "50.0", "nan", "50.0"]


class Sure:
    """Stands for the bench: a network whose candidates are lesions less often than it says, and one that is right."""

    tolerance_mm = 6.0
    cohort = SimpleNamespace(split={"train": ("a",)})

    def detect(self, network: Network, part: str) -> Detected:
        rng = np.random.default_rng([len(part), network.seed])
        cases = []
        for number in range(30):
            existence = rng.random(20)
            centers = np.arange(60.0).reshape(20, 3) * 20
            is_true = rng.random(20) < existence**2
            cases.append(CaseDetections(str(number), centers, existence, centers[is_true]))
        rooted = [replace(c, existence=c.existence**2) for c in cases]
        return Detected(cases, rooted, [], rooted, Overlap(0, 0, 0))


def test_recalibration_is_learned_from_validation_and_judged_on_test() -> None:
    table = judging.calibration(cast("Bench", Sure()), [0, 1])
    errors = {row[0]: float(row[2].split()[0]) for row in table.rows}
    counts = {row[0]: int(row[1]) for row in table.rows}
    assert counts["fitted"] == 600 > counts["fitted, detections only"] > 0
    assert errors["fitted"] > 12  # the mean of p - p ** 2 is 1 / 6
    assert errors["unfitted: the window's sum"] == errors["segmentation, MC dropout"] < 6
    for method in ("Platt", "isotonic", "beta"):
        assert errors[f"fitted, recalibrated: {method}"] < 7, method
    assert table.curves is not None
    x, y = (np.array(values) for values in table.curves.lines["fitted"])
    assert_allclose(y, x**2 / 100, atol=12)


def test_detections_are_as_accurate_as_their_precision_and_more_so_where_sure() -> None:
    bench = cast("Bench", Sure())
    rows = {row[0]: [float(cell.split()[0]) for cell in row[1:]] for row in judging.uncertainty(bench, [0]).rows}
    (_, _, precision, _, _) = judging.matching(bench, [0]).rows[0]
    assert rows["heatmap: detections"][-1] == float(precision.split()[0])
    assert rows["heatmap: detections"][0] < rows["heatmap: all candidates"][0] == 600
    for name in ("heatmap: detections", "heatmap: all candidates"):
        assert rows[name][1] > rows[name][-1] + 5
    sampled = bench.detect(experiments.dropping(bench, 0), "test").sampled
    _, is_true = pooled_outcomes(sampled, bench.tolerance_mm)
    assert rows["segmentation, MC dropout: detections"][-1] == round(100 * is_true.mean(), 1)


def test_the_interval_of_the_count_should_hold_what_existence_says() -> None:
    rows = judging.counts(cast("Bench", Sure()), [0]).rows
    held, should = (float(cell) for cell in rows[0][1:3])
    assert 90 <= should < 100
    assert held < should - 10  # lesions are rarer than existence says
    assert float(rows[1][1]) > held + 10  # recalibrated


def test_candidates_belong_to_the_nearest_lesion() -> None:
    truth = np.array([[0.0, 0, 0], [20, 0, 0], [100, 0, 0]])
    centers = np.array([[1.0, 0, 0], [3, 0, 0], [13, 0, 0], [60, 0, 0]])
    found = CaseDetections("a", centers, np.array([0.5, 0.3, 0.4, 0.9]), truth)
    bench = SimpleNamespace(
        detect=lambda *_: Detected([found], [], [], [], Overlap(0, 0, 0)),
        cohort=SimpleNamespace(split={"train": ()}, truth={"a": SimpleNamespace(sizes=np.array([60, 5, 5]))}),
    )
    rows = {row[1]: row[2:] for row in causes.mass(cast("Bench", bench), [0]).rows}
    assert rows == {"small": ("0.50", "0.20", "0.20"), "medium": ("nan",) * 3, "large": ("2.00", "0.80", "0.50")}


def test_close_lesions_are_counted_apart_from_the_others() -> None:
    truth = np.array([[0.0, 0, 0], [12, 0, 0], [100, 0, 0], [124.1, 0, 0]])
    centers = np.array([[5.0, 0, 0], [101, 0, 0], [125, 0, 0], [60, 0, 0]])
    fitted = CaseDetections("a", centers, np.array([0.9, 0.9, 0.9, 0.1]), truth)
    alone = CaseDetections("b", np.zeros((0, 3)), np.zeros(0), truth[:1])
    parts = [
        Found("a", truth, {0.2: replace(fitted, existence=np.ones(4)), 0.5: replace(fitted, existence=np.zeros(4))}),
        Found("b", truth[:1], {0.2: alone, 0.5: alone}),
    ]
    bench = SimpleNamespace(
        tolerance_mm=12.0,
        detect=lambda *_: Detected([fitted, alone], [], parts, [], Overlap(0, 0, 0)),
        cohort=SimpleNamespace(
            split={"train": (), "test": ("a", "b")},
            truth={"a": SimpleNamespace(world=truth), "b": SimpleNamespace(world=truth[:1])},
        ),
    )
    table = causes.neighbours(cast("Bench", bench), [0])
    rows = {row[:2]: row[2:] for row in table.rows}
    assert rows["heatmap, sigma 1.5", "fitting"] == ("50.0", "66.7")  # of two, and of two and the one alone
    assert rows["geodesic", "components"] == ("50.0", "66.7")
    assert "of which 2 of 5 have another within 12 mm" in table.note


def test_where_sum_and_fit_differ_both_are_beside_the_truth() -> None:
    truth = np.array([[0.0, 0, 0], [100, 0, 0]])
    centers = np.array([[0.0, 0, 0], [50, 0, 0], [100, 0, 0], [200, 0, 0]])
    fitted = CaseDetections("a", centers, np.array([0.5, 0.3, 0.8, 0.1]), truth)
    found = Detected([fitted], [replace(fitted, existence=np.array([0.9, 0.5, 0.85, 0.12]))], [], [], Overlap(0, 0, 0))
    bench = SimpleNamespace(tolerance_mm=6.0, detect=lambda *_: found, cohort=SimpleNamespace(split={"train": ()}))
    greater, alike, less = (row[1:] for row in causes.difference(cast("Bench", bench), [0, 1]).rows)
    assert greater == ("4", "70.0", "40.0", "50.0")
    assert alike == ("4", "48.5", "45.0", "50.0")
    assert less == ("0", "", "", "")


def test_figures_come_with_intervals_and_the_papers_matching() -> None:
    table = judging.matching(cast("Bench", Sure()), [0, 1])
    assert [row[0] for row in table.rows] == ["0", "1"]
    for row in table.rows:
        for cell in row[1:4]:
            value, low, high = (float(number) for number in re.findall(r"[0-9.]+", cell))
            assert low - 1 <= value <= high + 1
            assert high - low > 2
        assert float(row[4]) <= float(row[1].split()[0])
    assert table.curves is not None
    false, recall = table.curves.lines["seed 0"]
    assert false == sorted(false)
    assert recall == sorted(recall)


def test_a_job_that_failed_is_no_result_of_a_real_patient(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patients, "run", lambda spec: iter([Finished("failed", "Memory ran out.")]))
    bench = RealBench(study, "derivatives/truth/**/*_dseg.nii.gz", tmp_path / "out", STARTER, epochs=1)
    with pytest.raises(SystemExit, match="Memory ran out"):
        bench.test_untouched("sub-0001")
    with pytest.raises(SystemExit, match="Memory ran out"):
        bench.learn("sub-0001", 5, "sub-0002", ("",))
    assert not bench.log.exists()


def test_real_patients_are_listed_with_what_taught_their_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: Path
) -> None:
    budgets = []

    def learn(self: RealBench, first: str, wanted: int | None, second: str, inits: Sequence[str]) -> None:
        assert wanted is None
        budgets.append((self.minutes, self.epochs))
        for init in inits:
            result = Result(second, first, init, wanted, 7, 0.25, 0.5, 0.4, 0.6, 0.1, 0.7, 0.5, {})
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")

    monkeypatch.setattr(RealBench, "learn", learn)
    monkeypatch.setattr(RealBench, "test_untouched", lambda self, patient: learn(self, "", None, patient, [STARTER]))
    bench = SimpleNamespace(out=tmp_path, each="1000 steps", minutes=None, steps=1000)
    masks = "derivatives/truth/**/*_dseg.nii.gz"
    table = real_patients(cast("Bench", bench), study, masks)
    assert set(budgets) == {(None, epochs_of(1000, 1))}
    assert table
    assert table.note.startswith("Percent; 1000 steps for each network;")
    assert len(table.rows) == 6 + 2 * 6 * 5
    assert table.rows[:3] == (
        ("sub-0001", "from scratch on sub-0002", "7", "0.25", "50.0", "40.0", "60.0", "10.0", "50.0"),
        *(("sub-0001", f"from scratch on sub-000{n}", *table.rows[0][2:]) for n in (3, 4)),
    )
    assert [row[1] for row in table.rows if row[0] == "sub-0006"][5:7] == [
        "starter", "starter fine-tuned on sub-0001"
    ]  # fmt: skip
