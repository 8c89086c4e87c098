"""What a network sees of a case does not depend on how the scanner stored it."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from napari_lesion_points.core.geometry import NETWORK_AXES, Grid, Volume
from napari_lesion_points.core.preparation import network_spacing, prepare_input

ORIENTATIONS = [
    "".join(axes[i] for i in order) for order in permutations(range(3)) for axes in product("LR", "PA", "IS")
]


def turned(spacing: tuple[float, float, float], degrees: tuple[float, float, float]) -> np.ndarray:
    """An affine with voxels of this size, turned about the three world axes."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(spacing)
    affine[:3, 3] = (-31.0, 12.5, 40.0)
    return affine


def head_with_blob(grid: Grid, blob_world: np.ndarray) -> Volume:
    """An ellipsoid of grey on zero, with one bright blob (sigma 3 mm) at a world point."""
    at = np.moveaxis(np.indices(grid.shape), 0, -1)
    half = np.array(grid.shape) / 2
    inside = np.linalg.norm((at - half + 0.5) / half, axis=-1) < 0.9
    distance_mm = np.linalg.norm(grid.to_world(at.reshape(-1, 3)) - blob_world, axis=1).reshape(grid.shape)
    return Volume((inside * (50 + 200 * np.exp(-0.5 * (distance_mm / 3) ** 2))).astype(np.float32), grid)


@pytest.mark.parametrize("spacing_mm", [(1.5, 2.0, 2.5), (2.0, 2.0, 2.0)], ids=["own spacing", "resampled"])
def test_every_orientation_of_a_file_gives_the_same_input(
    rng: np.random.Generator, spacing_mm: tuple[float, float, float]
) -> None:
    grid = Grid((18, 16, 12), turned((1.5, 2.0, 2.5), (4, -7, 10)))
    volumes = [head_with_blob(grid, grid.to_world([[8, 9, 6]])[0]) for _ in range(2)]
    volumes[1] = Volume(volumes[1].data * rng.uniform(0.5, 1, grid.shape).astype(np.float32), grid)
    points_world = grid.to_world(rng.uniform(3, 9, (4, 3)))
    expected = prepare_input("a", volumes, spacing_mm, points_world)
    assert len(ORIENTATIONS) == 48
    for axcodes in ORIENTATIONS:
        found = prepare_input("a", [v.reoriented(axcodes) for v in volumes], spacing_mm, points_world)
        assert found.grid.same_as(expected.grid, 1e-6)
        assert_array_equal(found.foreground, expected.foreground)
        assert_allclose(found.images, expected.images, atol=2e-3)  # float16
        assert_array_equal(found.points_world, points_world)


@pytest.mark.parametrize(
    ("shape", "spacing", "degrees"),
    [
        ((40, 44, 36), (1.0, 1.0, 1.0), (0, 0, 0)),
        ((40, 44, 12), (1.0, 1.0, 4.0), (0, 0, 0)),
        ((40, 12, 44), (0.9, 4.5, 0.9), (12, 0, 0)),
        ((40, 44, 18), (1.1, 0.9, 3.0), (20, -15, 9)),
    ],
    ids=["isotropic", "thick slices", "thick coronal, turned", "oblique"],
)
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.0, 2.0, 3.0)])
def test_a_blob_stays_at_its_world_point(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    degrees: tuple[float, float, float],
    spacing_mm: tuple[float, float, float],
) -> None:
    grid = Grid(shape, turned(spacing, degrees)).reoriented("LAS")
    blob_world = grid.to_world([np.array(grid.shape) * [0.4, 0.55, 0.5]])[0]
    seen = prepare_input("a", [head_with_blob(grid, blob_world)], spacing_mm, [blob_world])
    assert seen.grid.axcodes == NETWORK_AXES
    assert seen.images.shape[1:] == seen.foreground.shape == seen.grid.shape
    assert seen.images.dtype == np.float16
    at = seen.grid.to_voxel(seen.points_world)[0]
    brightest = np.argwhere(seen.images[0] > np.quantile(seen.images[0][seen.foreground], 0.998)).mean(axis=0)
    # Within half a voxel of the coarser of the two grids, per axis in mm.
    error_mm = np.abs(brightest - at) * seen.grid.spacing
    assert (error_mm <= np.maximum(max(spacing), max(spacing_mm)) / 2 + 0.1).all()


def test_cropping_keeps_a_margin_and_the_foreground_whole() -> None:
    grid = Grid((40, 40, 40), np.eye(4))
    i, j, k = np.indices(grid.shape)
    brain = ((i - 19.5) / 10) ** 2 + ((j - 19.5) / 8) ** 2 + ((k - 12) / 12.5) ** 2 < 1  # in 10:30, 12:28, 0:25
    data = np.where(brain, np.random.default_rng(1).uniform(1, 2, grid.shape), 0).astype(np.float32)
    seen = prepare_input("a", [Volume(data, grid)], (1, 1, 1))
    assert seen.foreground.shape == (28, 24, 29)
    assert seen.foreground.sum() == brain.sum()
    assert_allclose(seen.grid.to_world([[0, 0, 0]]), [[6, 8, 0]])
    assert not seen.images[:, ~seen.foreground].any()
    assert seen.points_world.shape == (0, 3)


def test_a_spacing_within_two_percent_is_not_resampled() -> None:
    grid = Grid((20, 20, 20), np.diag([1.01, 1.0, 0.99, 1]))
    data = np.random.default_rng(1).uniform(1, 2, grid.shape).astype(np.float32)
    seen = prepare_input("a", [Volume(data, grid)], (1, 1, 1))
    assert_allclose(seen.grid.spacing, [1.01, 1.0, 0.99])


def test_the_networks_spacing_is_the_median_in_its_own_axes_and_not_too_fine() -> None:
    grids = [
        Grid((9, 9, 9), np.diag([0.5, 2.0, 3.0, 1])),
        Grid((9, 9, 9), np.diag([0.7, 2.2, 4.0, 1])).reoriented("SAL"),
        Grid((9, 9, 9), np.diag([0.6, 2.1, 5.0, 1])).reoriented("PIR"),
    ]
    assert network_spacing(grids, 1.5) == (1.0, 2.1, 4.0)
    assert network_spacing(grids, 4.5) == (3.0, 3.0, 4.0)
