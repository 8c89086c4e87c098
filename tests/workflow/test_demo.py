"""The demonstration replaces its own earlier folders, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_lesion_points.core.events import Progress
from napari_lesion_points.errors import OutputError
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow import demo
from napari_lesion_points.workflow.simulate import SimulationProgress


@pytest.fixture(autouse=True)
def _one_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate nothing but the first record: the demonstration has then begun."""

    def simulate_study(out: Path, cases: int, seed: int) -> Iterator[SimulationProgress]:
        out.mkdir()
        yield SimulationProgress(1, cases, "sub-0001", 3)

    monkeypatch.setattr(demo, "simulate_study", simulate_study)


def test_a_study_that_is_no_demonstration_is_left_alone(blob_study: Path) -> None:
    Study.open(blob_study).close()
    before = sorted(blob_study.parent.rglob("*"))
    assert blob_study.name == "study"
    with pytest.raises(OutputError, match="holds other files"):
        next(demo.run_demo(blob_study.parent, 1))
    assert sorted(blob_study.parent.rglob("*")) == before


def test_an_earlier_demonstration_is_replaced_whatever_it_came_to(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    for _ in range(2):
        assert isinstance(next(demo.run_demo(out, 1)), Progress)
        assert sorted(path.name for path in out.iterdir()) == [demo.MARKER, "study"]
        (out / "candidates.csv").touch()


def test_a_file_is_no_folder_for_a_demonstration(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        next(demo.run_demo(tmp_path / "out", 1))
