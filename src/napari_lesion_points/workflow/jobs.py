"""Running a job in a process of its own, watched from here.

Training and prediction happen in a child process, so that running out of memory or a crash in native code takes neither
the viewer nor a point with it, and so that torch never loads in the viewer's process. The child writes events to its
standard output, one line of JSON each. Lines on its standard input tell it what to predict when a training is over; the
end of that stream, also when this process is killed, asks it to stop, so no job outlives its viewer.
"""

from __future__ import annotations

import math
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from napari_lesion_points.core.events import CasePredicted, Event, Finished, Progress
from napari_lesion_points.errors import BusyError, LesionPointsError
from napari_lesion_points.store.atomic import atomic_path
from napari_lesion_points.workflow.calibrations import on_scale
from napari_lesion_points.workflow.specs import PredictSpec, TrainSpec, to_json
from napari_lesion_points.workflow.wire import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_lesion_points.store.study import Study

#: After being asked to stop, a job may take so long (s) to finish its step and write what it has; then it is killed.
GRACE_S = 60.0

#: So long (s) a prediction waits for a study that another program keeps busy.
PATIENCE_S = 30.0

_POLL_S = 0.1


def run(
    spec: TrainSpec | PredictSpec,
    stop: threading.Event | None = None,
    preview: Callable[[], PredictSpec | None] = lambda: None,
) -> Iterator[Event]:
    """Run a job and yield its events; the last is always `Finished`. Blocks between events; works in any thread.

    Parameters
    ----------
    spec : TrainSpec or PredictSpec
        What to do.
    stop : threading.Event
        Set it to ask the job to stop. A stopped training keeps its best model and can be resumed.
    preview : callable
        Asked again and again, in this thread, what a training that returns is to predict with its new model; that costs
        no start of another process. What it said last counts. See `workflow.planning.plan_preview`.

    Notes
    -----
    Closing the generator stops the job too. No error is raised for what goes wrong in the job: that is an outcome,
    `Finished("failed", reason)`.
    """
    stop = stop or threading.Event()
    yield Progress("starting", 0.0, 0.0, math.nan, "loading the network library")
    with tempfile.TemporaryDirectory(prefix="lesion-points-") as folder:
        job = Path(folder) / "job.json"
        job.write_text(to_json(spec), encoding="utf-8")
        child = _start(job)
        lines: queue.Queue[str | None] = queue.Queue()
        errors: deque[str] = deque(maxlen=40)
        readers = [
            threading.Thread(target=_read_into_queue, args=(child.stdout, lines), daemon=True),
            threading.Thread(target=_read_into, args=(child.stderr, errors), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            yield from _watch(child, lines, errors, stop, preview)
        finally:
            _end(child)
            for reader in readers:
                reader.join()
            for stream in (child.stdout, child.stderr):
                if stream:
                    stream.close()


def storing(study: Study, events: Iterator[Event], model: str, *, preview: bool = False) -> Iterator[Event]:
    """Pass on a job's events, each case's files and candidates being in the study before its event is.

    Candidates are kept on the scale that the study has for the model by then: it may be recalibrated meanwhile. If the
    study is busy, this waits, at most `PATIENCE_S`. The job ends with this generator, also when that raises; but what
    cannot be kept of the `preview` of a training is only told with the last event, for its model is there.
    """
    lost = ""
    try:
        for event in events:
            if isinstance(event, CasePredicted):
                try:
                    here = _stored(study, event, model)
                except LesionPointsError as error:
                    if not preview:
                        raise
                    lost = f" No prediction: {error}"
                else:
                    yield here
            elif isinstance(event, Finished) and lost:
                yield replace(event, reason=f"{event.reason}{lost}".lstrip())
            else:
                yield event
    finally:
        if isinstance(events, Generator):
            events.close()  # now, and not when the last reference to a failure is gone


def _stored(study: Study, found: CasePredicted, model: str) -> CasePredicted:
    """Keep what was found in a case; return it as the study has it."""
    _keep(found.heatmap, study.heatmap_path(found.case))
    if found.mask:
        _keep(found.mask, study.segmentation_path(found.case))
    return _add_when_free(study, found, model)


def _add_when_free(study: Study, found: CasePredicted, model: str) -> CasePredicted:
    """Store candidates; what was refused because the study is busy, perhaps being recalibrated, is tried again."""
    until = time.monotonic() + PATIENCE_S
    while True:
        here = replace(found, candidates=on_scale(study, Path(model), found.candidates))
        try:
            study.add_candidates(here.case, here.candidates, model, here.sigma_mm)
            return here
        except BusyError:
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_S)


def _keep(file: str, kept: Path) -> None:
    if Path(file).resolve() != kept.resolve():
        with atomic_path(kept) as temporary:
            shutil.copyfile(file, temporary)


def _watch(
    child: subprocess.Popen[str],
    lines: queue.Queue[str | None],
    errors: deque[str],
    stop: threading.Event,
    preview: Callable[[], PredictSpec | None],
) -> Iterator[Event]:
    asked: float | None = None
    told: PredictSpec | None = None
    while True:
        wanted = preview()
        if wanted != told and asked is None:
            told = wanted
            _tell(child, wanted)
        if stop.is_set() and asked is None:
            asked = time.monotonic()
            _ask_to_stop(child)
        if asked is not None and time.monotonic() - asked > GRACE_S:
            child.kill()
        try:
            line = lines.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if line is None:
            yield _unexpected_end(child.wait(), errors, stopped=asked is not None)
            return
        try:
            event = decode(line)
        except ValueError:
            errors.append(line)  # a library that prints to standard output, or half a line of a child that was killed
            continue
        yield event
        if isinstance(event, Finished):
            return


def _start(job: Path) -> subprocess.Popen[str]:
    flags = [getattr(subprocess, f, 0) for f in ("CREATE_NO_WINDOW", "BELOW_NORMAL_PRIORITY_CLASS")]  # of Windows
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "napari_lesion_points.workflow.job", str(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        creationflags=sum(flags),
        env={"THP_MEM_ALLOC_ENABLE": "1", **os.environ},  # torch asks Linux for large pages: a tenth less time
    )


def _tell(child: subprocess.Popen[str], wanted: PredictSpec | None) -> None:
    if child.stdin:
        with suppress(OSError):  # it has ended already
            child.stdin.write((to_json(wanted).replace("\n", " ") if wanted else "") + "\n")
            child.stdin.flush()


def _ask_to_stop(child: subprocess.Popen[str]) -> None:
    if child.stdin and not child.stdin.closed:
        with suppress(OSError):  # it has ended already
            child.stdin.close()


def _end(child: subprocess.Popen[str]) -> None:
    _ask_to_stop(child)
    try:
        child.wait(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _read_into_queue(stream: IO[str] | None, lines: queue.Queue[str | None]) -> None:
    for line in stream or ():
        lines.put(line.rstrip("\n"))
    lines.put(None)


def _read_into(stream: IO[str] | None, lines: deque[str]) -> None:
    for line in stream or ():
        if line.strip():
            lines.append(line.rstrip())


def _unexpected_end(code: int, errors: deque[str], *, stopped: bool) -> Finished:
    if stopped:
        return Finished("stopped", "The job did not answer and was ended; what it had saved before is kept.")
    last = errors[-1] if errors else "it printed nothing"
    if code < 0:
        why = "the system ended it, most often because memory ran out" if code == -9 else f"signal {-code} ended it"
        return Finished("failed", f"The job ended early: {why}. Close other programs or use fewer cases. ({last})")
    return Finished("failed", f"The job ended early with code {code}: {last}")
