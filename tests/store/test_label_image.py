"""Points painted as labels, against a slow and obvious version."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_lesion_points.core.geometry import Grid
from napari_lesion_points.errors import GridError
from napari_lesion_points.store.label_image import label_image

SHAPE = (5, 6, 7)
OBLIQUE = Grid(SHAPE, np.array([[-0.7, 0.1, 0.2, 9], [0.1, 0.7, -0.3, 4], [0.05, 0.1, 3.0, -7], [0, 0, 0, 1]]))


def slow_labels(points: np.ndarray, grid: Grid) -> np.ndarray:
    """For each voxel in turn: who of those that reach it has the best claim."""
    data = np.zeros(grid.shape, int)
    own = np.floor(grid.to_voxel(points) + 0.5).clip(0, np.array(grid.shape) - 1)
    for voxel in np.ndindex(grid.shape):
        steps = np.abs(own - voxel).sum(axis=1)
        distances = np.linalg.norm(grid.to_world([voxel])[0] - points, axis=1)
        claims = sorted((steps[k], distances[k], k + 1) for k in range(len(points)) if steps[k] <= 1)
        data[voxel] = claims[0][2] if claims else 0
    return data


#: Tenths of voxels that no two voxels are equally far from, so that no rounding decides.
AT = st.tuples(*[st.integers(0, 10 * n - 1).map(lambda k: k / 10 - 0.46) for n in SHAPE])


@settings(max_examples=30, deadline=None)
@given(at=st.lists(AT, max_size=5))
def test_equals_the_slow_version(at: list[tuple[float, float, float]]) -> None:
    points = OBLIQUE.to_world(at)
    labels = label_image(points, OBLIQUE)
    assert labels.grid is OBLIQUE
    assert labels.data.dtype == np.uint16
    np.testing.assert_array_equal(labels.data, slow_labels(points, OBLIQUE))


def test_touching_points_keep_their_own_voxels() -> None:
    labels = label_image(OBLIQUE.to_world([[2, 2, 2], [2, 2, 3], [2, 3, 2]]), OBLIQUE).data
    assert (labels[2, 2, 2], labels[2, 2, 3], labels[2, 3, 2]) == (1, 2, 3)
    assert np.bincount(labels.ravel())[1:].min() >= 4


def test_the_corners_of_the_grid_belong_to_it() -> None:
    corners = np.array(list(np.ndindex(2, 2, 2))) * np.array(SHAPE) - 0.5
    labels = label_image(np.array(corners) * 0.999999, Grid(SHAPE, np.eye(4))).data
    assert all(labels[tuple(np.array(c) * (np.array(SHAPE) - 1))] == k for k, c in enumerate(np.ndindex(2, 2, 2), 1))
    assert np.count_nonzero(labels) == 8 * 4


def test_no_points_and_outside_points() -> None:
    assert not label_image([], OBLIQUE).data.any()
    with pytest.raises(
        GridError, match=r"1 of 2 points \(x, y, z mm\) lie outside the image: 2 at \[900\.0, 0\.0, 0\.0\]"
    ):
        label_image([OBLIQUE.to_world([[1, 1, 1]])[0], [900, 0, 0]], OBLIQUE)


def test_many_points_get_wider_labels() -> None:
    grid = Grid((41, 41, 41), np.eye(4))
    at = np.argwhere(np.ones(grid.shape))[: 2**16]
    labels = label_image(at, grid).data
    assert labels.dtype == np.uint32
    assert labels[tuple(at.T)].tolist() == list(range(1, 2**16 + 1))
