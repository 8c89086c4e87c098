"""Small prepared cases: noise with bright blobs, whose places are the truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from napari_lesion_points.core.geometry import Grid
from napari_lesion_points.core.heatmap import draw_gaussians
from napari_lesion_points.core.preparation import NetworkInput

MakeCase = Callable[..., NetworkInput]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Networks this small lose more by waiting for a second thread, on a busy machine most of all, than they gain."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_case() -> MakeCase:
    def make(
        seed: int, shape: tuple[int, int, int] = (24, 24, 24), lesions: int = 3, spacing_mm: float = 2.0
    ) -> NetworkInput:
        rng = np.random.default_rng(seed)
        affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1])
        affine[:3, 3] = (-10, 20, 5)
        grid = Grid(shape, affine)
        points_vox = rng.uniform(4, np.array(shape) - 5, (lesions, 3))
        image = rng.normal(0, 0.5, shape) + 60 * draw_gaussians(shape, points_vox, 1.2)
        foreground = np.ones(shape, bool)
        foreground[:2] = False
        image[~foreground] = 0
        return NetworkInput(f"sub-{seed}", image[None].astype(np.float16), foreground, grid, grid.to_world(points_vox))

    return make
