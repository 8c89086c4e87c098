"""SIGKILL at any moment: what was committed is there, and files are complete or absent."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_lesion_points.store.points_file import read_points
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import read_volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLICK = """
import sys
from pathlib import Path
from napari_lesion_points.core.records import Change, LesionPoint
from napari_lesion_points.store.study import Study

study = Study.open(Path(sys.argv[1]), sys.argv[2] or None, reader="ada")
for number in range(10**6):
    point = LesionPoint("sub-01", (number, 0, 0))
    study.apply(Change.adding(point))
    print(point.id, flush=True)
"""

WRITE_VOLUMES = """
import sys
from pathlib import Path
import numpy as np
from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.store.volumes import write_volume

grid = Grid((40, 40, 40), np.eye(4))
for number in range(10**6):
    write_volume(Path(sys.argv[1]), Volume(np.full(grid.shape, number % 1000, np.float32), grid))
    print(number, flush=True)
"""

WRITE_POINTS = """
import sys
from pathlib import Path
from napari_lesion_points.core.records import LesionPoint
from napari_lesion_points.store.points_file import write_points

for number in range(10**6):
    write_points(Path(sys.argv[1]), [LesionPoint("sub-01", (number, k, 0)) for k in range(200)])
    print(number, flush=True)
"""


def run_and_kill(program: str, *arguments: object, after_s: float) -> list[str]:
    """Run a program, kill it `after_s` after its first line, and return the complete lines that it printed."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    rest, _ = process.communicate()
    lines = (first + rest).split("\n")[:-1]
    assert lines, "the program ended before it printed"
    return lines


def test_every_click_that_was_confirmed_is_in_the_study(
    root: Path, store: str | None, open_study: Callable[..., Study]
) -> None:
    moments = random.Random(7)
    confirmed: list[str] = []
    for _ in range(4):
        confirmed += run_and_kill(CLICK, root, store or "", after_s=moments.uniform(0, 0.3))
        with open_study() as study:
            stored = [point.id for point in study.annotations()]
            history = [point_id for edit in study.history("01") for point_id in edit.change.annotations]
        assert set(confirmed) <= set(stored)
        assert stored == history  # no edit without its entry, no entry without its edit
        if store is None:
            connection = sqlite3.connect(study.store / "study.sqlite")
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            connection.close()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_an_image_being_replaced_is_the_old_or_the_new_one(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"sub-01_heatmap{ending}"
    moments = random.Random(8)
    for _ in range(2):
        last = int(run_and_kill(WRITE_VOLUMES, path, after_s=moments.uniform(0, 0.1))[-1])
        values = np.unique(read_volume(path).data)
        assert values.tolist() in ([last % 1000], [(last + 1) % 1000])


def test_a_table_being_replaced_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    last = int(run_and_kill(WRITE_POINTS, path, after_s=0.05)[-1])
    points = read_points(path)
    assert len(points) == 200
    assert {point.world[0] for point in points} in ({last}, {last + 1})
