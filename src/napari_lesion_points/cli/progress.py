"""Jobs on the command line: progress on standard error, Ctrl-C, and exit codes."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer

from napari_lesion_points.core.events import CasePredicted, Event, Finished, Progress, Started, Validation

#: Exit code of what Ctrl-C stopped.
STOPPED = 130


def follow(events: Iterable[Event]) -> Finished:
    """Show events as they come; return the last."""
    show, finished = ProgressLine(), Finished("failed", "the job ended without a word")
    for event in events:
        show(event)
        if isinstance(event, Finished):
            finished = event
    show.end()
    return finished


def exit_unless_returned(finished: Finished) -> None:
    """Say how a job ended, and end the command with its exit code unless it returned."""
    failed = finished.outcome == "failed"
    typer.echo(f"error: {finished.reason}" if failed else finished.reason, err=failed)
    if finished.outcome != "returned":
        raise typer.Exit(1 if finished.outcome == "failed" else STOPPED)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn Ctrl-C into an event that asks the job to stop."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class ProgressLine:
    """Progress on standard error: one line rewritten on a terminal, a line now and then elsewhere."""

    _EVERY_S = 15.0

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._open = False
        self._last = (-self._EVERY_S, "")

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Progress):
            left = f", {_duration(event.remaining_s)} left" if event.remaining_s == event.remaining_s else ""
            text = f"{event.phase} {100 * event.fraction:3.0f} %{left}  {event.message}"
            now = time.monotonic()
            if self._terminal:
                sys.stderr.write(f"\r\x1b[K{text}")
                sys.stderr.flush()
                self._open = True
            elif now - self._last[0] >= self._EVERY_S or event.phase != self._last[1]:
                typer.echo(text, err=True)
                self._last = (now, event.phase)
        elif isinstance(event, Started):
            self._say(f"{event.total} on {event.device}")
        elif isinstance(event, Validation):
            where = "training cases" if event.on_training_cases else "validation"
            dice = "" if event.dice is None else f"Dice {event.dice:.2f}, "
            self._say(
                f"{event.minutes:.1f} min: {dice}F1 {event.f1:.2f}, precision {event.precision:.2f}, "
                f"recall {event.recall:.2f}, ECE {event.ece:.2f} ({where}, threshold {event.threshold:.2f})"
            )
        elif isinstance(event, CasePredicted):
            self._say(f"{event.case}: {len(event.candidates)} candidates")

    def end(self) -> None:
        """Leave the line."""
        if self._open:
            sys.stderr.write("\r\x1b[K")
            self._open = False

    def _say(self, text: str) -> None:
        self.end()
        typer.echo(text, err=True)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
