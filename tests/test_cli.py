"""The command line: each command with its options, its output and its exit code."""

from __future__ import annotations

import csv
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from napari_lesion_points import cli
from napari_lesion_points.cli.opening import split_names
from napari_lesion_points.core.events import CasePredicted, Event, Finished
from napari_lesion_points.core.geometry import Volume
from napari_lesion_points.core.heatmap import draw_gaussians
from napari_lesion_points.core.matching import TOLERANCE_MM
from napari_lesion_points.core.records import CaseState, LesionPoint, Origin
from napari_lesion_points.store.cases import find_cases, reference_grid
from napari_lesion_points.store.points_file import COLUMNS, read_points
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import read_volume, write_volume
from napari_lesion_points.workflow.exchange import points_from_masks
from napari_lesion_points.workflow.models import describe_model

MASKS = "derivatives/masks/*_mask.nii.gz"
COMMANDS = {
    "demo", "open", "simulate", "points", "import", "train", "predict", "detect", "evaluate", "export", "agreement",
    "consensus", "share",
}  # fmt: skip


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=200)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "napari_lesion_points.cli", *map(str, arguments)]


@dataclass(frozen=True)
class Result:
    """What a command returned and printed."""

    code: int
    out: str
    err: str


Invoke = Callable[..., Result]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run the command line in this process."""

    def invoke(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["lesion-points", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    return invoke


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in tests/workflow/test_jobs.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture(scope="module")
def study(blob_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with masks: a blob's voxels for each true point, and nothing for sub-04."""
    root = Path(shutil.copytree(blob_dataset, tmp_path_factory.mktemp("cli") / "study"))
    truth = read_points(root / "truth.csv")
    for files in find_cases(root):
        grid = reference_grid(files)
        points_vox = grid.to_voxel([p.world for p in truth if p.case == files.case])
        mask = draw_gaussians(grid.shape, points_vox, 1.0) > 0.03
        write_volume(root / "derivatives" / "masks" / f"{files.case}_mask.nii.gz", Volume(mask, grid))
    return root


def test_the_tolerance_is_that_of_the_program() -> None:
    given = {
        name: parameter.default
        for name, of in cli._COMMANDS.items()
        if (parameter := inspect.signature(of).parameters.get("tolerance_mm"))
    }
    assert given == dict.fromkeys(("train", "evaluate", "agreement", "consensus"), TOLERANCE_MM)


def test_help_names_every_command(invoke: Invoke) -> None:
    shown = invoke("--help")
    assert shown.code == 0
    assert all(name in shown.out for name in COMMANDS)
    assert {c.name or c.callback.__name__ for c in cli.app.registered_commands} == COMMANDS


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("train", "study"),
        ("points", "study"),
        ("predict", "study", "--out", "o"),
        ("simulate", "out", "--cases", "0"),
        ("simulate", "out", "--seed", "-1"),
        ("simulate", "out", "--cases", "many"),
        ("simulate", "out", "--split", "50", "50", "50"),
        ("detect", "h.nii.gz", "--out", "c.csv", "--sigma-mm", "0"),
        ("detect", "h.nii.gz", "--out", "c.csv", "--min-existence", "2"),
        ("evaluate", "--candidates", "c", "--truth", "t", "--out", "o", "--tolerance-mm", "-1"),
        ("export", "study", "--out", "o", "--format", "xml"),
        ("train", "study", "--out", "o", "--seed", "-1"),
        ("consensus", "study", "--readers", "ada"),
        ("open", "study", "--blind", "--reading", "ada"),
    ],
)
def test_wrong_usage(
    invoke: Invoke, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.code == 2
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_is_one_line_and_1(invoke: Invoke, study: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    for arguments, message in (
        (("export", tmp_path / "none", "--out", tmp_path), "none"),
        (("points", study, "--from-masks", "no/*.nii", *store), "no file below"),
        (("train", study, "--out", tmp_path / "m", *store), "no case has points"),
        (("train", study, "--out", tmp_path / "m", "--cases", "sub-99", *store), "sub-99"),
        (("train", study, "--out", tmp_path / "m", "--cases", "@nolist", *store), "nolist"),
        (("train", study, "--out", tmp_path / "m", "--minutes", "0", *store), "minutes is 0"),
        (("train", study, "--out", tmp_path / "m", "--resume"), "no interrupted training"),
        (("predict", study, "--model", tmp_path / "m", "--out", tmp_path, *store), "holds no model"),
        (("detect", tmp_path / "h.nii.gz", "--out", tmp_path / "c.csv"), "no such file"),
        (("import", study, tmp_path / "p.csv", *store), "cannot be read"),
        (("export", study, "--out", tmp_path, "--store", "mysql://server/d"), "names mysql"),
        (("export", study, "--out", tmp_path, "--reading", "eve", *store), "nothing was read by 'eve'"),
        (("agreement", study, "--out", tmp_path / "a.csv", *store), "needs two readers"),
        (("consensus", study, "--readers", "ada,eve", *store), "no case has been begun by both ada and eve"),
        (("evaluate", "--candidates", tmp_path / "c", "--truth", tmp_path / "t", "--out", tmp_path), "cannot be read"),
    ):
        result = invoke(*arguments)
        assert result.code == 1, arguments
        assert result.err.startswith("error: ")
        assert message in result.err
        assert result.err.count("\n") == 1


@pytest.mark.parametrize("text", ["Dr. A,P 1", " Dr. A , P 1,", "@list", "Dr. A\nP 1\n"])
def test_names_may_have_spaces(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list").write_bytes(b"Dr. A\r\n\r\n P 1\r\n")
    assert split_names(text) == ["Dr. A", "P 1"]


def test_no_names_are_none() -> None:
    assert split_names(" ,\n") == split_names("") == []


def test_points_from_masks_then_export_then_import(invoke: Invoke, study: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    made = invoke("points", study, "--from-masks", MASKS, "--store", store, "--reader", "ada")
    assert made.code == 0
    assert made.out.splitlines()[0] == "sub-01: 3 points (sub-01_mask.nii.gz)"
    assert made.out.splitlines()[3] == "sub-04: no lesions (sub-04_mask.nii.gz)"
    again = invoke("points", study, "--from-masks", MASKS, "--store", store, "--reader", "ada")
    assert again.out.splitlines()[0] == "sub-01: 3 points, 0 new (sub-01_mask.nii.gz)"
    with Study.open(study, store) as opened:
        assert {opened.state(c) for c in opened.case_names} == {CaseState.DONE}
        assert {p.reader for p in opened.annotations()} == {"ada"}
    for format, count in (("csv", 1), ("json", 1), ("nifti", 4), ("slicer", 3)):
        out = tmp_path / format
        shown = invoke("export", study, "--format", format, "--out", out, "--store", store)
        assert shown.code == 0
        assert sorted(shown.out.split()) == sorted(str(p) for p in out.iterdir())
        assert len(list(out.iterdir())) == count
    with (tmp_path / "csv" / "points.csv").open(newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS

    other = ("--store", tmp_path / "other")
    first = invoke("import", study, tmp_path / "csv" / "points.csv", *other)
    assert (first.code, first.out.splitlines()) == (0, ["sub-01: 3 new", "sub-02: 3 new", "sub-03: 3 new"])
    slicer = tmp_path / "slicer" / "sub-01.mrk.json"
    second = invoke("import", study, slicer, "--case", "sub-01", *other)
    assert (second.code, second.out) == (0, "nothing new\n")


def test_two_blind_readers_their_agreement_and_their_consensus(
    invoke: Invoke, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LESION_POINTS_STORE", str(tmp_path / "store"))
    ada = invoke("points", study, "--from-masks", MASKS, "--reader", "ada", "--blind")
    assert ada.code == 0
    half = tmp_path / "half.csv"
    lines = (study / "truth.csv").read_text().splitlines(keepends=True)
    half.write_text("".join(lines[:3]))  # the header, and two of sub-01's three
    assert invoke("import", study, half, "--reader", "bob", "--blind").out == "sub-01: 2 new\n"

    compared = invoke("agreement", study, "--out", tmp_path / "agreement.csv")
    assert compared.code == 0
    assert compared.out.startswith("ada, bob: F1 0.80, 2 matched, 1 and 0 of one alone")
    with (tmp_path / "agreement.csv").open(newline="") as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["sub-01", "all cases"]

    begun = invoke("consensus", study, "--readers", "ada,bob", "--reader", "carol")
    assert (begun.code, begun.out) == (0, "sub-01: 1 difference, 1 to settle\n")

    def exported(*which: str) -> int:
        result = invoke("export", study, "--out", tmp_path / "out", *which)
        assert result.code == 0
        return len(read_points(tmp_path / "out" / "points.csv"))

    assert [exported(), exported("--reading", "ada"), exported("--reading", "bob")] == [0, 9, 2]
    assert exported("--reading", "consensus") == 2
    assert invoke("export", study, "--out", tmp_path / "out", "--format", "history").code == 0
    with (tmp_path / "out" / "history.csv").open(newline="") as file:
        assert {(row["reader"], row["reading"]) for row in csv.DictReader(file)} == {
            ("ada", "ada"), ("bob", "bob"), ("carol", "consensus"),
        }  # fmt: skip


def test_detect_then_evaluate(invoke: Invoke, study: Path, tmp_path: Path) -> None:
    truth = study / "truth.csv"
    lesions = [p for p in read_points(truth) if p.case == "sub-01"]
    grid = reference_grid(find_cases(study)[0])
    data = draw_gaussians(grid.shape, grid.to_voxel([p.world for p in lesions]), 1.5)
    heatmap, table = tmp_path / "sub-01_heatmap.nii.gz", tmp_path / "new" / "candidates.csv"
    write_volume(heatmap, Volume(data, grid))
    found = invoke("detect", heatmap, "--out", table, "--sigma-mm", "3")
    assert (found.code, found.out) == (0, f"3 candidates in {table}\n")

    arguments = ("evaluate", "--candidates", table, "--truth", truth, "--out", tmp_path / "e")
    every = invoke(*arguments)
    assert every.code == 0
    assert "3 found, 6 missed, 0 false" in every.out
    assert "2 cases have lesions and no candidates (sub-02, sub-03)" in every.err
    one = invoke(*arguments, "--cases", "sub-01", "--threshold", "0.5", "--tolerance-mm", "2")
    assert "F1 1.000 (1.000 to 1.000)" in one.out
    assert "(given)" in one.out
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert (metrics["f1"], metrics["tp"], metrics["threshold"], metrics["threshold_is_best"]) == (1, 3, 0.5, False)
    assert (metrics["froc"][0], metrics["froc"][-1]) == ([0, 0], [0, 1])
    assert "--threshold 0.5" in (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    (tmp_path / "list.txt").write_text("sub-02\nsub-03\n")
    listed = invoke(*arguments, "--cases", f"@{tmp_path / 'list.txt'}")
    assert "0 found, 6 missed" in listed.out


def test_simulate(invoke: Invoke, tmp_path: Path) -> None:
    pytest.importorskip("nilearn", reason="the template anatomy comes with nilearn")
    out = tmp_path / "sim"
    made = invoke("simulate", out, "--cases", "1", "--seed", "3")
    assert (made.code, made.out) == (0, f"{out}\n")
    assert "simulating 100 %" in made.err
    assert [f.case for f in find_cases(out)] == ["sub-0001"]
    again = invoke("simulate", out, "--cases", "1")
    assert again.code == 1


def test_a_study_that_cannot_be_written_says_how_to_go_on(invoke: Invoke, blob_study: Path, tmp_path: Path) -> None:
    (blob_study / "derivatives").write_text("a file, as good as a read-only share to whoever wants to write below it")
    for arguments in (
        ("points", blob_study, "--from-masks", "sub-*/anat/*FLAIR.nii.gz"),
        ("train", blob_study, "--out", tmp_path / "model"),
        ("export", blob_study, "--out", tmp_path / "out"),
        ("import", blob_study, blob_study / "truth.csv"),
    ):
        result = invoke(*arguments)
        assert result.code == 1
        assert "--store" in result.err
    stored = invoke("import", blob_study, blob_study / "truth.csv", "--store", tmp_path / "store")
    assert stored.code == 0


@dataclass(frozen=True)
class Taught:
    """A model that has seen two cases once, the store whose points it saw, and what the command printed."""

    model: Path
    store: Path
    out: str
    err: str


def training_options(model: Path, store: Path) -> tuple[object, ...]:
    return "--out", model, "--cases", "sub-01,04", "--sigma-mm", "2.5", "--device", "cpu", "--store", store


@pytest.fixture(scope="module")
def taught(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """A training in real processes, of a study whose folder is not written to."""
    folder = tmp_path_factory.mktemp("taught")
    model, store = folder / "model", folder / "store"
    with Study.open(study, store) as opened:
        list(points_from_masks(opened, MASKS))
    done = run("train", study, *training_options(model, store), "--epochs", "1", "--seed", "4")
    assert done.returncode == 0, done.stderr
    return Taught(model, store, done.stdout, done.stderr)


@pytest.mark.slow
def test_a_stopped_training_keeps_its_best_model(study: Path, invoke: Invoke, tmp_path: Path) -> None:
    model, store = tmp_path / "model", tmp_path / "store"
    assert invoke("points", study, "--from-masks", MASKS, "--store", store).code == 0
    training = subprocess.Popen(
        command("train", study, *training_options(model, store), "--epochs", "500"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with training:  # how long a busy machine takes is the suite's time limit's business
        try:
            assert training.stderr is not None
            for line in training.stderr:
                if line.startswith("training"):
                    training.send_signal(signal.SIGINT)
                    break
            out, err = training.communicate()
        finally:
            training.kill()
    assert training.returncode == 130, err
    assert "best model so far is kept" in out
    assert describe_model(model).resumable


@pytest.mark.slow
def test_a_finished_training_has_its_card_and_nothing_to_resume(taught: Taught, study: Path, invoke: Invoke) -> None:
    assert "Trained on 2 cases, 3 points" in taught.out
    assert "2 cases, 3 points on CPU" in taught.err
    card = describe_model(taught.model)
    assert (card.sigma_mm, card.seed, card.training_cases) == (2.5, 4, ("sub-01", "sub-04"))
    assert not card.resumable
    assert invoke("train", study, "--out", taught.model, "--resume").code == 1


@pytest.mark.parametrize("named", ["starter", "model", "model/model.safetensors"])
def test_candidates_are_known_by_the_folder_of_their_model(
    named: str, study: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter = describe_model(Path("starter")).path
    folder = starter if named == "starter" else Path(shutil.copytree(starter, tmp_path / "model"))
    heatmap = tmp_path / "sub-01_heatmap.nii.gz"
    heatmap.touch()

    def find_one(*_: object) -> Iterator[Event]:
        found = LesionPoint("sub-01", (1, 2, 3), existence=0.8, mass=0.8, entropy=0.7, origin=Origin.MODEL)
        yield CasePredicted("sub-01", str(heatmap), (found,), 2.0)
        yield Finished("returned", "")

    monkeypatch.setattr("napari_lesion_points.workflow.jobs.run", find_one)
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "store"
    assert invoke("predict", study, "--model", named, "--out", "out", "--store", store).code == 0
    with Study.open(study, store) as opened:
        assert opened.models() == {"sub-01": str(folder)}


@pytest.mark.slow
def test_predict_with_nowhere_to_store_candidates_writes_the_files(
    taught: Taught, blob_study: Path, invoke: Invoke, tmp_path: Path
) -> None:
    (blob_study / "derivatives").write_text("")
    maps = tmp_path / "maps"
    # A network that has seen two cases once draws next to nothing: candidates of any mass are kept.
    found = invoke("predict", blob_study, "--model", taught.model, "--out", maps, "--cases", "03", "--min-existence", 0)
    assert found.code == 0, found.err
    assert "note: candidates are written to" in found.err
    assert sorted(p.name for p in maps.iterdir()) == ["candidates.csv", "sub-03_heatmap.nii.gz"]
    candidates = read_points(maps / "candidates.csv")
    assert candidates
    assert {p.case for p in candidates} == {"sub-03"}
    assert read_volume(maps / "sub-03_heatmap.nii.gz").data.max() > 0


@pytest.mark.slow
def test_a_segmentation_is_taught_and_drawn(taught: Taught, study: Path, invoke: Invoke, tmp_path: Path) -> None:
    masks, drawn = tmp_path / "masks", tmp_path / "drawn"
    how = ("--label", "segmentation", "--masks", MASKS, "--init", taught.model, "--cases", "01", "--epochs", "1")
    done = invoke("train", study, "--out", masks, *how, "--device", "cpu", "--store", taught.store)
    assert done.code == 0, done.err
    assert "Trained on the masks of 1 case (Dice " in done.out
    assert describe_model(masks).frozen_encoder
    found = invoke("predict", study, "--model", masks, "--out", drawn, "--cases", "03", "--store", taught.store)
    assert found.code == 0, found.err
    assert "sub-03_dseg.nii.gz" in {p.name for p in drawn.iterdir()}
    assert "sub-03,total," in (drawn / "volumes.csv").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupting_a_command_is_130(tmp_path: Path) -> None:
    pytest.importorskip("nilearn", reason="the template anatomy comes with nilearn")
    simulation = subprocess.Popen(
        command("simulate", tmp_path / "sim", "--cases", "50"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite run in the background ignores it
    )  # fmt: skip
    assert simulation.stderr is not None
    simulation.stderr.readline()
    simulation.send_signal(signal.SIGINT)
    _, err = simulation.communicate(timeout=60)
    assert simulation.returncode == 130
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
