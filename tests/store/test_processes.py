"""Two processes on one study: neither loses nor overwrites an edit of the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from napari_lesion_points.core.records import Change, LesionPoint
from napari_lesion_points.store.study import Study

#: Drags a ball that both see, adds points of its own, and drags the ball on, as often as it takes when somebody was
#: faster. It waits for a line before the first drag, so that both begin from the same place.
READ = """
import sys
import time
from pathlib import Path
from napari_lesion_points.core.records import Change, LesionPoint
from napari_lesion_points.errors import StudyError
from napari_lesion_points.store.study import Study

root, store, name, edits = Path(sys.argv[1]), sys.argv[2] or None, sys.argv[3], int(sys.argv[4])


def ball(study):
    return next(p for p in study.annotations("01") if p.id == "ball")


def dragged(study, ball):
    x, y, z = ball.world
    try:
        study.apply(Change.moving(ball, (x + 1, y, z)))
    except StudyError as error:
        if "Somebody else" not in str(error):
            raise
        return False
    return True


with Study.open(root, store, name) as study:
    seen = ball(study)
    print("ready", flush=True)
    sys.stdin.readline()
    print(dragged(study, seen), flush=True)
    for number in range(edits):
        study.apply(Change.adding(LesionPoint("sub-01", (number, 0, 0), f"{name}-{number}", reader=name)))
        while not dragged(study, ball(study)):
            pass
        time.sleep(0.002)  # a hand is slower, and SQLite hands its lock to whoever asks first
"""


def test_nothing_is_lost_and_nothing_overwritten(
    root: Path, store: str | None, open_study: Callable[..., Study]
) -> None:
    readers, edits = ("ada", "bob"), 25
    with open_study() as study:
        study.apply(Change.adding(LesionPoint("sub-01", (0, 0, 0), "ball")))
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", READ, str(root), store or "", reader, str(edits)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for reader in readers
        ]  # fmt: skip
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:  # both go at once
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        first = [process.communicate(timeout=120)[0].split()[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert sorted(first) == ["False", "True"]  # of two drags from the same place one is refused

        stored = {p.id: p for p in study.annotations()}
        assert stored.keys() == {"ball", *(f"{r}-{k}" for r in readers for k in range(edits))}
        drags = 1 + 2 * edits
        assert stored["ball"].world == (drags, 0, 0)  # each that was not refused counts
        history = study.history("01")
        assert [e.number for e in history] == list(range(1, 1 + len(stored) + drags))
        moves = [e.change.annotations["ball"] for e in history if e.change.label == "move"]
        assert [before.world[0] for before, _ in moves] == list(range(drags))  # each from where the one before ended
        assert {e.reader for e in history[1:]} == set(readers)
