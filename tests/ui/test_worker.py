"""Threads: values, results and errors of every kind come back to the window's thread."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from napari_lesion_points.errors import VolumeError
from napari_lesion_points.ui.worker import Workers


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    yield made
    made.close()


def test_values_and_result_arrive_in_this_thread(qtbot: Any, workers: Workers) -> None:
    seen: list[tuple[Any, bool]] = []

    def note(value: Any) -> None:
        seen.append((value, threading.current_thread() is threading.main_thread()))

    def count() -> Iterator[int]:
        yield from range(3)

    workers.start(count, yielded=note, returned=note)
    workers.start(lambda: "result", returned=note)
    qtbot.waitUntil(lambda: len(seen) == 5)
    assert all(here for _, here in seen)
    assert {value for value, _ in seen} == {0, 1, 2, None, "result"}


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), VolumeError("a.nii: truncated"), KeyError("x")])
def test_no_error_is_lost_in_a_generator(qtbot: Any, workers: Workers, error: Exception) -> None:
    said: list[str] = []

    def fail() -> Iterator[int]:
        yield 1
        raise error

    workers.start(fail, failed=said.append)
    qtbot.waitUntil(lambda: len(said) == 1)
    assert str(error) in said[0]
    assert ("Unexpected" in said[0]) == (not isinstance(error, VolumeError))


def test_what_is_forgotten_says_nothing_and_stops(qtbot: Any, workers: Workers) -> None:
    said: list[Any] = []
    go_on, ended = threading.Event(), threading.Event()

    def wait() -> Iterator[int]:
        try:
            go_on.wait(10)
            yield from range(1000)
        finally:
            ended.set()

    task = workers.start(wait, yielded=said.append, returned=said.append, failed=said.append)
    task.forget()
    go_on.set()
    assert ended.wait(10)
    qtbot.waitUntil(lambda: not task.running)
    qtbot.wait(20)
    assert said == []


def test_a_result_arrives_although_nobody_holds_the_task(qtbot: Any, workers: Workers) -> None:
    said: list[str] = []
    ended = workers.start(lambda: "first", returned=said.append)
    while ended.running:
        pass
    del ended
    workers.start(lambda: "second", returned=said.append)
    gc.collect()
    qtbot.waitUntil(lambda: sorted(said) == ["first", "second"])
    assert workers._tasks == []
