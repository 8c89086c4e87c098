"""Measure the window: whether it is there at once, and answers while a training runs.

Everything is measured on real widgets and layers in a fresh process, with mouse, wheel and key events sent through Qt;
the training is the real job in its child process. `python -m benchmarks.window MEASUREMENT` runs one of them alone.
Needs a display; `make bench` provides a virtual one, whose software OpenGL then takes part in every figure.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import props
from benchmarks.hurried_reader import HurriedReader
from benchmarks.record import Row

Figures = dict[str, Any]

FULL = (182, 218, 182), 1.0  # a whole head at 1 mm: shape and spacing
SMALL = (80, 96, 80), 2.0  # the grid of GadSim-200

STALL_S = 120.0  # measured span of scrolling and clicking
CANDIDATES = 1000
CASES, PER_CASE = 1000, 40  # of the worklist
EPOCHS = 15  # of a first training: enough to find most lesions of these cases


def rows() -> Iterator[Row]:
    """Run every measurement in a process of its own, and compare with the targets."""
    imported = _run("imported")
    yield Row(
        "window", "import napari_lesion_points, fresh process", imported["seconds"], "s", 0.1, "at most",
        f"{1000 * imported['seconds']:.0f} ms, torch {'loaded' if imported['torch'] else 'not loaded'}",
    )  # fmt: skip
    dock = statistics.median(_run("dock")["seconds"] for _ in range(3))
    yield Row("window", "the dock opened for the first time, drawn", dock, "s", 0.5, "at most", f"{dock:.2f} s")
    case = _run("case")
    yield Row(
        "window", "a case of four 1 mm sequences, from the click until it is drawn", case["ours"] / case["nibabel"],
        "x", 1.5, "at most", f"{case['ours']:.2f} s", f"{case['nibabel']:.2f} s (nibabel reads the four)", threads=2,
    )  # fmt: skip
    slider = _run("slider")
    for name, key in (("handled: filter, slice, counters", "handled"), ("handled and drawn", "drawn")):
        yield Row(
            "window", f"existence slider over {CANDIDATES} candidates, a change {name}; 95th percentile",
            slider[f"{key}_p95"], "ms", 16, "at most",
            f"median {slider[key]:.1f} ms, worst {slider[f'{key}_worst']:.1f} ms",
            f"{slider['bare']:.1f} ms (the same window drawn again, unchanged)",
        )  # fmt: skip
    candidate = _run("candidate")
    yield Row(
        "window", "the next candidate of a review, four 1 mm sequences, in the image and two panes; median",
        candidate["median"], "ms", 100, "at most", f"95th percentile {candidate['p95']:.0f} ms",
        f"{candidate['bare']:.1f} ms (the same window drawn again, unchanged)",
    )  # fmt: skip
    worklist = _run("worklist")
    for name, key, target in (
        ("opened: from the folder's name until the list is drawn", "open", 2000),
        ("filtered, per letter typed into the search, drawn; worst", "filter", 100),
        ("one verdict on a candidate: stored, counted and drawn; median", "edit", 100),
    ):
        yield Row(
            "window", f"a study of {CASES} cases with {PER_CASE} candidates each, {name}", worklist[key], "ms", target,
            "at most", f"{worklist[key]:.0f} ms", f"{worklist['counts']:.0f} ms (all counts read from the database)",
        )  # fmt: skip
    follow = _run("follow")
    yield Row(
        "window", "from the end of a fine-tuning to the open case's new candidates on screen", follow["seconds"],
        "s", 3, "at most", f"{follow['seconds']:.2f} s, {follow['candidates']} candidates", threads=2,
    )  # fmt: skip
    stall = _run("stall")
    span = (
        f"{stall['seconds']:.0f} s of scrolling, clicking, undoing, filtering and changing cases while a training runs"
    )
    slow = "; ".join(f"{name} {ms:.0f} ms" for name, ms in stall["worst_by_action"].items())
    told = f"{stall['actions']} actions; 99 % of them within {stall['p99_actions']:.0f} ms"
    alone = stall["alone"]
    for name, value, target, ours in (("99th percentile", "p99", 50, told), ("worst", "worst", 150, slow)):
        beside = f"{alone[value]:.0f} ms (the same without a training)"
        yield Row("window", f"{span}: stall, {name}", stall[value], "ms", target, "at most", ours, beside, threads=2)


# measurements --------------------------------------------------------------------------------------------------------


def imported() -> Figures:
    """Import the package alone, without the start of the interpreter: median of five processes."""
    code = (
        "import sys, time; t = time.perf_counter(); import napari_lesion_points; "
        "print(time.perf_counter() - t, any(m in sys.modules for m in ('torch', 'qtpy', 'napari')))"
    )
    answers = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
               for _ in range(5)]  # fmt: skip
    return {"seconds": statistics.median(float(a[0]) for a in answers), "torch": any(a[1] == "True" for a in answers)}


def dock() -> Figures:
    """Open the dock as napari's menu opens it, in a viewer that is up and idle."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    props.idle(1.0)
    started = time.perf_counter()
    _, widget = viewer.window.add_plugin_dock_widget("napari-lesion-points", "Lesion points")
    while not widget.isVisible():
        QApplication.processEvents()
    QApplication.processEvents()
    seconds = time.perf_counter() - started
    viewer.close()
    return {"seconds": seconds}


def case() -> Figures:
    """Click cases in the list, never in memory, against nibabel's reading of the same files; the two take turns."""
    import nibabel as nib
    from qtpy.QtWidgets import QApplication

    from napari_lesion_points.ui import staging

    ours, nibabels = [], []
    with tempfile.TemporaryDirectory() as folder:
        files = props.write_study(Path(folder), 3, *FULL)
        window = props.window(Path(folder))
        controller = window.dock.controller
        for row in (1, 2, 0, 1, 2):
            name = controller.state.cases[row].case
            started = time.perf_counter()
            for path in files[name]:
                np.asarray(nib.nifti1.Nifti1Image.from_filename(path).dataobj, np.float32)
            nibabels.append(time.perf_counter() - started)
            staging.wait(lambda: not controller.loader._running, props.TIMEOUT_S, "the case read ahead")
            controller.loader.clear()
            props.idle(0.5)
            started = time.perf_counter()
            props.choose(window, row)
            while controller.state.shown != name:
                QApplication.processEvents()
                time.sleep(0.001)
            props.drawn()
            ours.append(time.perf_counter() - started)
        window.close()
    return {"ours": statistics.median(ours), "nibabel": statistics.median(nibabels)}


def slider() -> Figures:
    """Move the slider of the Predict tab step by step over a whole head's candidates; a change ends when drawn."""
    with tempfile.TemporaryDirectory() as folder:
        props.write_study(Path(folder), 1, *FULL)
        window = props.window(Path(folder))
        controller = window.dock.controller
        props.propose(window, CANDIDATES)
        window.dock.show_tab("Predict")
        props.idle(1.0)
        handled, drawn, bare = [], [], []
        values = [*range(10, 100, 3), *range(98, 8, -3)] * 2
        for value in values:
            started = time.perf_counter()
            window.dock.predict.existence.slider.setValue(value)
            handled.append(1000 * (time.perf_counter() - started))
            props.drawn()
            drawn.append(1000 * (time.perf_counter() - started))
            props.idle(0.02)
            started = time.perf_counter()
            window.viewer.window._qt_viewer.canvas.native.update()
            props.drawn()
            bare.append(1000 * (time.perf_counter() - started))
            props.idle(0.02)
        if controller.state.threshold != values[-1] / 100:
            raise RuntimeError("the slider was not followed")
        window.close()
    figures = {"bare": statistics.median(bare)}
    for name, taken in (("handled", handled), ("drawn", drawn)):
        figures |= {name: statistics.median(taken), f"{name}_p95": float(np.percentile(taken, 95))}
        figures[f"{name}_worst"] = max(taken)
    return figures


def candidate() -> Figures:
    """Go on to the next candidate, 40 times; a step ends when image, panes and dock are drawn."""
    with tempfile.TemporaryDirectory() as folder:
        props.write_study(Path(folder), 1, *FULL)
        window = props.window(Path(folder))
        props.propose(window, 60)
        window.dock.show_tab("Review")
        props.idle(1.0)
        if window.dock.controller.state.views != "planes":
            raise RuntimeError("the panes are not there")
        taken, bare = [], []
        for _ in range(40):
            before = tuple(window.viewer.dims.point)
            started = time.perf_counter()
            window.dock.desk.skip()
            props.drawn()  # the counters, and what brings the view to the candidate
            props.drawn()
            taken.append(1000 * (time.perf_counter() - started))
            if tuple(window.viewer.dims.point) == before:
                raise RuntimeError("the view did not move")
            props.idle(0.05)
            started = time.perf_counter()
            window.viewer.window._qt_viewer.canvas.native.update()
            props.drawn()
            bare.append(1000 * (time.perf_counter() - started))
            props.idle(0.05)
        window.close()
    return {
        "median": statistics.median(taken), "p95": float(np.percentile(taken, 95)), "bare": statistics.median(bare),
    }  # fmt: skip


def worklist() -> Figures:
    """Open a study of many cases, search in its list, and change the verdict on one candidate back and forth."""
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_lesion_points.core.records import Change, Verdict
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.app import open_window

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        props.write_study(root, 1, *SMALL)
        for number in range(2, CASES + 1):
            anat = root / f"sub-{number:04d}" / "anat"
            anat.mkdir(parents=True)
            (anat / f"sub-{number:04d}_FLAIR.nii.gz").touch()  # no image: nothing reads it
        random = np.random.default_rng(7)
        with Study.open(root, reader="benchmark") as study:
            for name in study.case_names:
                study.add_candidates(
                    name, props.candidates(name, random.uniform(-20, 20, (PER_CASE, 3)), random), "m", 2.0
                )
            started = time.perf_counter()
            study.summary()
            counts = 1000 * (time.perf_counter() - started)
        window = open_window()
        controller, search = window.dock.controller, window.dock.cases.search
        props.idle(1.0)
        started = time.perf_counter()
        controller.open_study(root, reader="benchmark", case="sub-01")
        while not controller.state.cases:
            QApplication.processEvents()
        props.drawn()
        opened = 1000 * (time.perf_counter() - started)
        while not controller.screen.case_ready:
            QApplication.processEvents()
        props.idle(1.0)
        letters, edits = [], []
        for letter in "sub-0999":
            started = time.perf_counter()
            QTest.keyClicks(search, letter)
            props.drawn()
            letters.append(1000 * (time.perf_counter() - started))
        search.clear()
        for verdict in (Verdict.REJECTED, Verdict.NONE) * 10:
            candidate = controller.state.candidates[0]
            started = time.perf_counter()
            judged = replace(candidate, verdict=verdict, reader="benchmark" if verdict else "")
            if not controller.store(Change("sub-01", "verdict", {}, {candidate.id: (candidate, judged)}), ""):
                raise RuntimeError(controller.state.notice.text)
            props.drawn()
            edits.append(1000 * (time.perf_counter() - started))
            props.idle(0.02)
        window.close()
    return {"open": opened, "filter": max(letters), "edit": statistics.median(edits), "counts": counts}


def follow() -> Figures:
    """Start a fine-tuning in the Train tab; the clock runs from its last validation to the candidates drawn."""
    from napari_lesion_points.core.events import Progress
    from napari_lesion_points.ui import staging

    with tempfile.TemporaryDirectory() as folder:
        props.write_study(Path(folder), 3, *SMALL)
        window = props.window(Path(folder))
        dock, controller = window.dock, window.dock.controller
        props.annotate(window)
        dock.show_tab("Train")
        staging.wait(lambda: not dock.jobs.listing, props.TIMEOUT_S, "the list of models")
        dock.train.unit.setCurrentIndex(dock.train.unit.findData("epochs"))
        dock.train.budget.setValue(EPOCHS)
        dock.train.start.click()
        staging.wait(lambda: not controller.state.job.running, props.TIMEOUT_S, "the first training")
        ends: list[float] = []
        run = dock.jobs.runner

        def watched(*args: Any) -> Iterator[Any]:
            for event in run(*args):
                if isinstance(event, Progress) and event.phase == "predicting" and not ends:
                    ends.append(time.perf_counter())
                yield event

        dock.jobs.runner = watched
        seen: list[float] = []

        dock.jobs.predicted.connect(lambda _: seen.append(time.perf_counter()))
        dock.train.budget.setValue(2)
        dock.train.init.setCurrentIndex(1)
        dock.train.start.click()
        staging.wait(lambda: bool(seen), props.TIMEOUT_S, "the new candidates")
        props.drawn()
        seconds = time.perf_counter() - ends[0]
        staging.wait(lambda: not controller.state.job.running, props.TIMEOUT_S, "the end of the job")
        found = len(controller.state.candidates)
        window.close()
    return {"seconds": seconds, "candidates": found}


def stall(seconds: float = STALL_S) -> Figures:
    """Listen to the heartbeat of the event loop while a `HurriedReader` works and a training runs, then without it."""
    from qtpy.QtCore import QEventLoop, QTimer

    from napari_lesion_points.ui import staging

    with tempfile.TemporaryDirectory() as folder:
        props.write_study(Path(folder), 3, *FULL)
        window = props.window(Path(folder))
        controller = window.dock.controller
        props.annotate(window)
        props.propose(window, 30)
        window.dock.jobs.train(minutes=seconds / 60 + 5, epochs=None, sigma_mm=2.0, init="", device="cpu")
        staging.wait(lambda: controller.state.job.message.startswith("training"), props.TIMEOUT_S, "the first step")

        def listen(span_s: float) -> Figures:
            reader, loop = HurriedReader(window), QEventLoop()
            QTimer.singleShot(round(1000 * span_s), loop.quit)
            with reader:
                loop.exec()
            return reader.figures()

        figures = listen(seconds)
        if not controller.state.job.running:
            raise RuntimeError(f"the training ended early: {controller.state.job.reason}")
        window.dock.jobs.stop()
        staging.wait(lambda: not controller.state.job.running, props.TIMEOUT_S, "the end of the training")
        figures["alone"] = listen(seconds / 8)
        window.close()
    return {"seconds": seconds, **figures}


def _run(measurement: str) -> Figures:
    """Run one measurement in a fresh process, which prints its figures as its last line."""
    command = [sys.executable, "-m", "benchmarks.window", measurement]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=props.TIMEOUT_S)
    figures: Figures = json.loads(answer.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Run the measurement that the command line names; `stall` takes its span in seconds."""
    measurements: dict[str, Callable[..., Figures]] = {
        f.__name__: f for f in (imported, dock, case, slider, candidate, worklist, follow, stall)
    }
    name, *numbers = sys.argv[1:]
    print(json.dumps(measurements[name](*map(float, numbers))))


if __name__ == "__main__":
    main()
