"""The one entry point of jobs: `python -m napari_lesion_points.workflow.job SPEC.json`.

Writes events to standard output, one line of JSON each, the last one `Finished`. Ends early, keeping what it has, when
standard input ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from napari_lesion_points.core.events import Event, Finished
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.workflow.specs import PredictSpec, TrainSpec, from_json
from napari_lesion_points.workflow.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def execute(spec: TrainSpec | PredictSpec, should_stop: Callable[[], bool]) -> Iterator[Event]:
    """Run a job in this process; what goes wrong in a known way becomes `Finished("failed", reason)`."""
    import torch

    from napari_lesion_points.workflow.prediction import run_prediction
    from napari_lesion_points.workflow.training import run_training

    try:
        if isinstance(spec, TrainSpec):
            yield from run_training(spec, should_stop)
        else:
            yield from run_prediction(spec, should_stop)
    except LesionPointsError as error:
        yield Finished("failed", str(error))
    except (MemoryError, torch.OutOfMemoryError) as error:
        yield Finished("failed", f"Memory ran out ({error}). Close other programs, use fewer cases, or device cpu.")


def main(path: str) -> int:
    """Run the job in a file; return the exit code: 0 returned or stopped, 1 failed."""
    # Before a thread waits for input: on Windows, loading a native library would wait for that read.
    from napari_lesion_points.workflow import prediction, training  # noqa: F401

    spec = from_json(Path(path).read_text(encoding="utf-8"))
    stop = threading.Event()
    threading.Thread(target=_wait_for_end_of_input, args=(stop,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; who watches us decides
    if hasattr(os, "nice"):
        os.nice(5)  # the viewer comes first
    outcome = "failed"
    for event in execute(spec, stop.is_set):
        try:
            print(encode(event), flush=True)
        except BrokenPipeError:  # nobody watches any more: end too, but keep what there is
            stop.set()
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(event, Finished):
            outcome = event.outcome
    return 1 if outcome == "failed" else 0


def _wait_for_end_of_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
