"""Jobs in real child processes: trained, predicted, stopped, killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from napari_lesion_points.core.events import CasePredicted, Event, Finished, Progress, Started, Validation
from napari_lesion_points.core.records import LesionPoint
from napari_lesion_points.errors import BusyError
from napari_lesion_points.store import engines
from napari_lesion_points.store.cases import CaseFiles
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import read_volume
from napari_lesion_points.workflow import jobs
from napari_lesion_points.workflow.devices import list_devices
from napari_lesion_points.workflow.exchange import import_points
from napari_lesion_points.workflow.heatmaps import detect
from napari_lesion_points.workflow.job import execute
from napari_lesion_points.workflow.jobs import run, storing
from napari_lesion_points.workflow.models import HISTORY, RESUME, WEIGHTS, describe_model
from napari_lesion_points.workflow.planning import plan_prediction, plan_preview, plan_training, resume_training
from napari_lesion_points.workflow.specs import PredictSpec, TrainSpec, to_json
from napari_lesion_points.workflow.training import _keep_earlier
from napari_lesion_points.workflow.wire import encode

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Children of one thread: networks this small lose more by waiting for a second one than they gain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def pointed(blob_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose first two cases have their points."""
    root = Path(shutil.copytree(blob_dataset, tmp_path_factory.mktemp("pointed") / "study"))
    with Study.open(root) as study:
        for case in ("sub-01", "sub-02"):
            import_points(study, root / "truth.csv", case)
    return root


def spec_of(root: Path, out: Path, **changes: Any) -> TrainSpec:
    with Study.open(root) as study:
        return plan_training(study, out=out, device="cpu", **{"epochs": 1, **changes})


@pytest.fixture(scope="module")
def trained(pointed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Event], Path]:
    """The events and the model of one epoch."""
    out = tmp_path_factory.mktemp("trained") / "model"
    return list(run(spec_of(pointed, out))), out


def finished(events: list[Event]) -> Finished:
    assert [type(e) for e in events].index(Finished) == len(events) - 1  # the last, and only one
    assert isinstance(events[-1], Finished)
    return events[-1]


def follow(spec: TrainSpec | PredictSpec, when: Callable[[Event], bool], then: Callable[[], None]) -> list[Event]:
    """Run a job; the first time an event is as said, do something."""
    events: list[Event] = []
    done = False
    for event in run(spec):
        events.append(event)
        if not done and when(event):
            done = True
            then()
    assert done
    return events


def stop_when(spec: TrainSpec | PredictSpec, when: Callable[[Event], bool]) -> list[Event]:
    stop = threading.Event()
    events: list[Event] = []
    for event in run(spec, stop):
        events.append(event)
        if when(event):
            stop.set()
    return events


def in_training(event: Event) -> bool:
    return isinstance(event, Progress) and event.phase == "training"


def in_validation(event: Event) -> bool:
    return isinstance(event, Progress) and event.phase == "validating"


def test_a_training_returns_with_a_model(trained: tuple[list[Event], Path], pointed: Path) -> None:
    events, out = trained
    end = finished(events)
    assert (end.outcome, end.result) == ("returned", str(out))
    assert end.reason.startswith("Trained on 2 cases, 6 points (F1 ")
    (started,) = [e for e in events if isinstance(e, Started)]
    assert started.total == "2 cases, 6 points"
    figures = [e for e in events if isinstance(e, Validation)]
    assert figures[-1].on_training_cases
    card = describe_model(out)
    assert card.training_cases == ("sub-01", "sub-02")
    assert (card.sequences, card.sigma_mm, card.spacing_mm) == (("FLAIR", "T1w"), 2.0, (2.0, 2.0, 2.0))
    assert card.f1 == pytest.approx(figures[-1].f1, abs=1e-4)
    assert not card.resumable
    assert (out / HISTORY).read_text().splitlines()[-1] == encode(figures[-1])
    assert {p.name for p in out.iterdir()} == {
        "model.safetensors", "model.json", "job.json", "history.jsonl", ".training.lock"
    }  # fmt: skip


def test_a_training_ends_with_the_prediction_it_was_told_last(pointed: Path, tmp_path: Path) -> None:
    spec = spec_of(pointed, tmp_path / "model")
    with Study.open(pointed) as study:
        plans = [plan_preview(spec, study.files_of(case), tmp_path) for case in ("sub-03", "sub-04")]
    seen: list[Event] = []

    def wanted() -> PredictSpec | None:
        return plans[any(isinstance(e, Started) for e in seen)]

    for event in run(spec, preview=wanted):
        seen.append(event)
    assert finished(seen).reason.startswith("Trained on")
    (predicted,) = [e for e in seen if isinstance(e, CasePredicted)]
    assert predicted.case == "sub-04"
    assert seen.index(predicted) > max(i for i, e in enumerate(seen) if isinstance(e, Validation))
    assert read_volume(tmp_path / "sub-04_heatmap.nii.gz").data.shape == (28, 30, 26)


def test_a_preview_that_fails_leaves_the_training_returned(pointed: Path, tmp_path: Path) -> None:
    spec = spec_of(pointed, tmp_path / "model")
    with Study.open(pointed) as study:
        files = study.files_of("sub-03")
    gone = CaseFiles("sub-03", {name: tmp_path / f"{name}.nii.gz" for name in files.sequences})
    end = finished(list(execute(spec, lambda: False, lambda: plan_preview(spec, gone, tmp_path))))
    assert (end.outcome, end.result) == ("returned", spec.out)
    assert "No prediction: " in end.reason
    assert plan_preview(spec, CaseFiles("sub-03", {"T2w": tmp_path}), tmp_path) is None


def test_the_seed_decides_the_weights(trained: tuple[list[Event], Path], pointed: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.numpy import load_file

    _, out = trained
    expected = load_file(out / WEIGHTS)
    torch.set_num_threads(1)  # as in the child
    for seed, same in ((0, True), (1, False)):
        finished(list(execute(spec_of(pointed, tmp_path / str(seed), seed=seed), lambda: False)))
        weights = load_file(tmp_path / str(seed) / WEIGHTS)
        assert all((weights[k] == expected[k]).all() for k in expected) == same


def test_a_new_training_keeps_the_model_that_was_in_its_folder(
    trained: tuple[list[Event], Path], pointed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    shutil.copytree(trained[1], out)
    before = (out / WEIGHTS).read_bytes()
    assert finished(list(run(spec_of(pointed, out, seed=9)))).outcome == "returned"
    (earlier,) = (out / "earlier").iterdir()
    assert (earlier / WEIGHTS).read_bytes() == before != (out / WEIGHTS).read_bytes()
    assert describe_model(earlier).seed != describe_model(out).seed == 9


def test_the_model_that_was_in_the_folder_is_kept_also_when_the_new_training_is_killed(
    trained: tuple[list[Event], Path], pointed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    shutil.copytree(trained[1], out)
    events = execute(spec_of(pointed, out, seed=9, epochs=40), lambda: False)
    next(e for e in events if in_training(e))
    events.close()
    (earlier,) = (out / "earlier").iterdir()
    assert (earlier / WEIGHTS).read_bytes() == (trained[1] / WEIGHTS).read_bytes()


def test_two_processes_do_not_train_in_one_folder(pointed: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    with FileLock(out / ".training.lock"):
        end = finished(list(run(spec_of(pointed, out))))
    assert end.outcome == "failed"
    assert "is being trained by another process" in end.reason
    assert {path.name for path in out.iterdir()} == {".training.lock"}
    assert finished(list(run(spec_of(pointed, out)))).outcome == "returned"


def test_a_prediction_is_on_disk_and_in_the_study_before_it_is_told(
    trained: tuple[list[Event], Path], blob_study: Path, tmp_path: Path
) -> None:
    _, model = trained
    with Study.open(blob_study) as study:
        files = [study.files_of(c) for c in ("sub-03", "sub-04")]
        spec = plan_prediction(files, model=model, heatmaps=tmp_path / "maps", device="cpu", min_existence=0.001)
        predicted = []
        events = []
        for event in storing(study, run(spec), "mine"):
            events.append(event)
            if isinstance(event, CasePredicted):
                predicted.append(event)
                assert study.candidates(event.case) == event.candidates
                assert read_volume(Path(event.heatmap)).data.shape == (28, 30, 26)
    assert finished(events).outcome == "returned"
    assert [p.case for p in predicted] == ["sub-03", "sub-04"]
    for event in predicted:
        assert event.candidates
        assert event.sigma_mm == 2.0
        # The file says the same as the job, though it was fitted on the network's grid.
        on_file = detect(Path(event.heatmap), min_existence=0.001)
        assert on_file[0].mass == pytest.approx(event.candidates[0].mass, rel=0.05)
        assert on_file[0].world == pytest.approx(event.candidates[0].world, abs=0.3)


def a_prediction(files: Path, ended: list[str]) -> Iterator[Event]:
    """A job that predicts one case, and says when it is ended."""
    heatmap = files / "heatmap.nii.gz"
    heatmap.write_bytes(b"")
    try:
        yield CasePredicted("sub-01", str(heatmap), (LesionPoint("sub-01", (0, 0, 0), mass=0.5, existence=0.5),), 2.0)
        yield Finished("returned", "1 case")
    finally:
        ended.append("job")


def test_a_prediction_waits_for_a_study_that_is_busy(
    pointed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_BUSY_TIMEOUT_S", 0.01)
    with Study.open(pointed, tmp_path / "store", reader="ada") as study:
        other = sqlite3.connect(study.store / "study.sqlite", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        events = storing(study, a_prediction(tmp_path, []), "m")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(list, events)
            time.sleep(0.5)
            assert not waiting.done()
            other.rollback()
            assert [type(event) for event in waiting.result(20)] == [CasePredicted, Finished]
        assert len(study.candidates("sub-01")) == 1
        other.close()


def test_a_job_whose_result_cannot_be_kept_is_ended_at_once(
    pointed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(jobs, "PATIENCE_S", 0.1)
    ended: list[str] = []
    with Study.open(pointed, tmp_path / "store", reader="ada") as study:
        other = sqlite3.connect(study.store / "study.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match=r"another program is writing.*Nothing was stored"):
            list(storing(study, a_prediction(tmp_path, ended), "m"))
        assert ended == ["job"]
        other.close()


def test_a_training_has_not_failed_when_its_preview_cannot_be_kept(
    pointed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(jobs, "PATIENCE_S", 0.1)
    with Study.open(pointed, tmp_path / "store", reader="ada") as study:
        other = sqlite3.connect(study.store / "study.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        (last,) = storing(study, a_prediction(tmp_path, []), "m", preview=True)
        assert isinstance(last, Finished)
        assert last.outcome == "returned"
        assert last.reason.startswith("1 case No prediction: ")
        assert "another program is writing" in last.reason
        other.close()


def test_a_stopped_training_keeps_a_model_and_goes_on(pointed: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    events = stop_when(spec_of(pointed, out, epochs=40), in_training)
    assert finished(events).outcome == "stopped"
    card = describe_model(out)
    assert card.resumable
    assert (out / RESUME).is_file()
    spec = resume_training(out)
    again = stop_when(spec, in_training)
    assert finished(again).outcome == "stopped"
    first, second = (
        next(int(e.message.split()[-1]) for e in reversed(list_) if in_training(e)) for list_ in (events, again)
    )  # "step 12"
    assert second > first
    assert describe_model(out).minutes > card.minutes
    # A new job in the same folder is not to go on from the old one's state.
    anew = execute(spec_of(pointed, out), lambda: False)
    while not in_validation(next(anew)):
        pass
    anew.close()
    assert not describe_model(out).resumable


def children_of_this_process() -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "napari_lesion_points.workflow.job" in line]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the child with ps")
def test_a_killed_job_is_a_failure_with_a_reason_and_harms_nothing(pointed: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    with Study.open(pointed) as study:
        before = study.annotations()

    def kill() -> None:
        (child,) = children_of_this_process()
        os.kill(child, signal.SIGKILL)

    events = follow(spec_of(pointed, out, epochs=40), in_training, kill)
    end = finished(events)
    assert end.outcome == "failed"
    assert "memory" in end.reason
    if (out / WEIGHTS).exists():
        describe_model(out)  # a whole model, or none yet
    with Study.open(pointed) as study:
        assert study.annotations() == before


SUPERVISE = """
import sys
from pathlib import Path
from napari_lesion_points.core.events import Progress
from napari_lesion_points.workflow import jobs
from napari_lesion_points.workflow.specs import from_json

children = []
start = jobs._start
jobs._start = lambda job: children.append(start(job)) or children[-1]
for event in jobs.run(from_json(Path(sys.argv[1]).read_text())):
    if isinstance(event, Progress) and event.phase == "training":
        print(children[0].pid, "torch" in sys.modules, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_job_ends_by_itself_when_its_supervisor_is_killed(pointed: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    path = tmp_path / "spec.json"
    path.write_text(to_json(spec_of(pointed, out, epochs=1000)))
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISE, str(path)], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid, torch_in_parent = supervisor.stdout.readline().split()
    assert torch_in_parent == "False"
    supervisor.kill()
    supervisor.communicate()
    deadline = time.monotonic() + 30
    while _alive(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(int(pid))
    assert describe_model(out).resumable  # and it kept what it had


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.is_file() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_what_cannot_be_loaded_is_a_failure_with_a_reason(
    trained: tuple[list[Event], Path], blob_study: Path, tmp_path: Path
) -> None:
    image = blob_study / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz"
    image.write_bytes(image.read_bytes()[:2000])
    model = Path(shutil.copytree(trained[1], tmp_path / "model"))
    with Study.open(blob_study) as study:
        spec = plan_prediction([study.files_of("sub-01")], model=model, heatmaps=tmp_path, device="cpu")
    end = finished(list(run(spec)))
    assert end.outcome == "failed"
    assert "sub-01_FLAIR.nii.gz" in end.reason
    assert "Traceback" not in end.reason


CHILDREN = {
    "half a line, then killed": "import os; print('{\"event\": \"Prog', end='', flush=True); os.kill(os.getpid(), 9)",
    "a crash": "raise RuntimeError('it broke')",
    "silence": "",
    "noise": "print('42'); print('{not ours}'); print('warning: x'); import sys; sys.exit(3)",
}


@pytest.mark.parametrize("program", CHILDREN.values(), ids=CHILDREN.keys())
def test_however_a_child_ends_there_is_one_last_word(
    program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def start(job: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    monkeypatch.setattr(jobs, "_start", start)
    end = finished(list(run(TrainSpec(str(tmp_path), (), ()))))
    assert end.outcome == "failed"
    assert "ended early" in end.reason
    if "broke" in program:
        assert "RuntimeError: it broke" in end.reason


def test_a_child_that_does_not_stop_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def start(job: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    monkeypatch.setattr(jobs, "_start", start)
    monkeypatch.setattr(jobs, "GRACE_S", 0.3)
    stop = threading.Event()
    stop.set()
    begin = time.monotonic()
    assert finished(list(run(TrainSpec(str(tmp_path), (), ()), stop))).outcome == "stopped"
    assert time.monotonic() - begin < 10
    closed = run(TrainSpec(str(tmp_path), (), ()))  # nor does one whose watcher goes away
    assert isinstance(next(closed), Progress)
    closed.close()


def test_devices_are_asked_of_a_child() -> None:
    devices = list_devices()
    assert devices[-1].name == "cpu"
    assert devices[-1].label.startswith("CPU")


def test_an_interrupted_training_is_kept_when_another_begins_in_its_folder(tmp_path: Path) -> None:
    left = {RESUME: b"state", "job.json": b"{}", "history.jsonl": b"..."}
    for name, data in left.items():
        (tmp_path / name).write_bytes(data)
    _keep_earlier(tmp_path)
    (earlier,) = (tmp_path / "earlier").iterdir()
    assert {path.name: path.read_bytes() for path in earlier.iterdir()} == left
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "job.json").touch()  # nothing was learned
    _keep_earlier(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "earlier").exists()
