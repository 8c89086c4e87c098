"""The one entry point of jobs: `python -m napari_lesion_points.workflow.job SPEC.json`.

Writes events to standard output, one line of JSON each, the last one `Finished`. A line on standard input is the spec
of a prediction to make when the training is over, in place of that of the line before; an empty line is none. Ends
early, keeping what it has, when standard input ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_lesion_points.core.events import CasePredicted, Event, Finished, Progress
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.workflow.specs import PredictSpec, TrainSpec, from_json
from napari_lesion_points.workflow.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


#: The viewer, and whatever else a person waits for, gets nine tenths of a core when both want it.
_NICE = 10


def execute(
    spec: TrainSpec | PredictSpec,
    should_stop: Callable[[], bool],
    preview: Callable[[], PredictSpec | None] = lambda: None,
    started: float | None = None,
) -> Iterator[Event]:
    """Run a job in this process; what goes wrong in a known way becomes `Finished("failed", reason)`.

    When a training has returned, `preview` is asked what to predict with the new model before the last event.
    `started` is when its budget began.
    """
    import torch

    from napari_lesion_points.workflow.prediction import run_prediction
    from napari_lesion_points.workflow.training import run_training

    out_of_memory = (MemoryError, torch.OutOfMemoryError)
    last: Finished | None = None
    try:
        if isinstance(spec, PredictSpec):
            yield from run_prediction(spec, should_stop)
            return
        for event in run_training(spec, should_stop, started):
            if isinstance(event, Finished):
                last = event
            else:
                yield event
        wanted = preview() if last and last.outcome == "returned" else None
        if wanted:
            events = run_prediction(wanted, should_stop)
            yield from (event for event in events if isinstance(event, Progress | CasePredicted))
    except (LesionPointsError, *out_of_memory) as error:
        reason = str(error)
        if isinstance(error, out_of_memory):
            reason = f"Memory ran out ({error}). Close other programs, use fewer cases, or device cpu."
        last = replace(last, reason=f"{last.reason} No prediction: {reason}") if last else Finished("failed", reason)
    if last:
        yield last


def main(path: str) -> int:
    """Run the job in a file; return the exit code: 0 returned or stopped, 1 failed."""
    started = time.monotonic()  # torch takes seconds to load, and whoever waits for a training waits for that, too
    # Before a thread waits for input: on Windows, loading a native library would wait for that read.
    from napari_lesion_points.workflow import prediction, training  # noqa: F401

    spec = from_json(Path(path).read_text(encoding="utf-8"))
    stop, told = threading.Event(), deque[str](maxlen=1)
    threading.Thread(target=_listen, args=(told, stop), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; who watches us decides
    if hasattr(os, "nice"):
        os.nice(_NICE)
    outcome = "failed"
    for event in execute(spec, stop.is_set, lambda: _prediction(told), started):
        try:
            print(encode(event), flush=True)
        except BrokenPipeError:  # nobody watches any more: end too, but keep what there is
            stop.set()
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(event, Finished):
            outcome = event.outcome
    return 1 if outcome == "failed" else 0


def _listen(told: deque[str], stop: threading.Event) -> None:
    for line in sys.stdin:
        told.append(line)
    stop.set()


def _prediction(told: deque[str]) -> PredictSpec | None:
    text = told[-1].strip() if told else ""
    spec = from_json(text) if text else None
    return spec if isinstance(spec, PredictSpec) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
