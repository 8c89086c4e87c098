"""Fixtures for all tests: real data beside the repository, and seeded randomness."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.heatmap import draw_gaussians
from napari_lesion_points.core.records import LesionPoint
from napari_lesion_points.store.points_file import write_points
from napari_lesion_points.store.volumes import write_volume

os.environ["LANGUAGE"] = "en"  # of which there is no catalogue: the tests compare texts

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


# The same examples in every run, and no verdict on the speed of a busy machine.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests with a window to one process, first: windows of two would fight for the keyboard."""
    windows = Path(__file__).parent / "ui"
    for item in items:
        if windows in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("windows"))
    items.sort(key=lambda item: windows not in item.path.parents)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans beside the repository. It may be read-only."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not found at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator with the same numbers in every run."""
    return np.random.default_rng(20220918)


@pytest.fixture(scope="session")
def blob_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cases of 28 x 30 x 26 voxels with FLAIR and T1w; do not write to it.

    Noise in a head, with bright blobs whose world points are in `truth.csv`; sub-04 has none.
    """
    root = tmp_path_factory.mktemp("blobs") / "study"
    rng = np.random.default_rng(31)
    affine = np.array([[-2.0, 0, 0, 28], [0, 2.0, 0, -25], [0, 0, 2.0, -30], [0, 0, 0, 1]])
    grid = Grid((28, 30, 26), affine)
    half = np.array(grid.shape) / 2
    at = np.moveaxis(np.indices(grid.shape), 0, -1)
    head = np.linalg.norm((at - half) / half, axis=-1) < 0.95
    truth = []
    for number in range(1, 5):
        case = f"sub-{number:02}"
        points_vox = half + rng.uniform(-0.45, 0.45, (3 if number < 4 else 0, 3)) * half
        blobs = draw_gaussians(grid.shape, points_vox, 1.0)
        for sequence, contrast in (("FLAIR", 2000), ("T1w", -600)):
            data = head * (100 + contrast * blobs + rng.normal(0, 8, grid.shape)).astype(np.float32)
            write_volume(root / case / "anat" / f"{case}_{sequence}.nii.gz", Volume(data, grid))
        truth += [LesionPoint(case, (x, y, z)) for x, y, z in grid.to_world(points_vox)]
    (root / "dataset_description.json").write_text('{"Name": "blobs", "BIDSVersion": "1.9.0"}', encoding="utf-8")
    write_points(root / "truth.csv", truth)
    return root


@pytest.fixture
def blob_study(blob_dataset: Path, tmp_path: Path) -> Path:
    """A copy of `blob_dataset` to write to."""
    return Path(shutil.copytree(blob_dataset, tmp_path / "study"))
