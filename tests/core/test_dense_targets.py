"""Distance maps against brute force: every voxel's distance, and Dijkstra on the graph of voxels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist

from napari_lesion_points.core.dense_targets import euclidean_map, geodesic_map

SPACING = np.array([1.0, 1.5, 3.0])


@pytest.mark.parametrize("decay", [0.5, 1.0, 3.0])
def test_a_euclidean_map_is_that_of_all_distances(decay: float) -> None:
    shape, centers = (14, 12, 9), np.array([[3.2, 4.1, 2.0], [9.0, 7.5, 6.3], [-1.0, 0.0, 0.0]])
    voxels = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)
    nearest = cdist(voxels * SPACING, centers * SPACING).min(axis=1).reshape(shape)
    expected = np.clip(1 - nearest / 6.0, 0, 1) ** decay
    assert_allclose(euclidean_map(shape, centers, SPACING, decay, reach_mm=6.0), expected, atol=1e-6)


def shortest(cost: np.ndarray, start: tuple[int, int, int]) -> np.ndarray:
    """Dijkstra's distances on the graph in which each voxel has 26 neighbours."""
    number = np.arange(cost.size).reshape(cost.shape)
    rows, columns, lengths = [], [], []
    for step in product((-1, 0, 1), repeat=3):
        if not any(step):
            continue
        here = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, cost.shape, strict=True))
        there = tuple(slice(max(s, 0), n - max(-s, 0)) for s, n in zip(step, cost.shape, strict=True))
        rows.append(number[here].ravel())
        columns.append(number[there].ravel())
        lengths.append((np.linalg.norm(step * SPACING) * (cost[here] + cost[there]) / 2).ravel())
    graph = coo_array((np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))), [cost.size] * 2)
    return np.asarray(dijkstra(graph.tocsr(), indices=number[start])).reshape(cost.shape)


def test_a_geodesic_map_in_a_flat_image_is_that_of_the_shortest_paths() -> None:
    found = geodesic_map(np.zeros((2, 9, 8, 6)), [[4, 3, 2]], SPACING, 1.0, reach_mm=7.0)
    distance = shortest(np.ones((9, 8, 6)), (4, 3, 2))
    assert_allclose(found, np.clip(1 - distance / 7.0, 0, 1), atol=1e-6)


def test_a_geodesic_map_takes_dijkstras_way_through_gradients() -> None:
    from scipy import ndimage

    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (9, 8, 6))
    slopes = [ndimage.gaussian_filter1d(image, 0.5, axis=axis, order=1) / s for axis, s in enumerate(SPACING)]
    distance = shortest(1 + 2.0 * np.sqrt(sum(s**2 for s in slopes)), (4, 3, 2))
    found = geodesic_map(image[None], [[4, 3, 2]], SPACING, 2.0, reach_mm=30.0, weight=2.0)
    assert_allclose(found, np.clip(1 - distance / 30.0, 0, 1) ** 2, atol=1e-6)


def test_a_geodesic_map_stops_at_the_edge_of_a_lesion() -> None:
    image = np.zeros((21, 21, 21))
    image[7:14, 7:14, 7:14] = 3.0
    flat, edged = (geodesic_map(x[None], [[10, 10, 10]], [1, 1, 1], 1.0) for x in (0 * image, image))
    assert_allclose(edged[10, 10, 8:13], flat[10, 10, 8:13], atol=0.1)
    assert edged[10, 10, 17] < 0.3 * flat[10, 10, 17]


def test_no_points_give_an_empty_map_and_several_give_the_larger() -> None:
    assert not euclidean_map((4, 4, 4), [], [1, 1, 1], 1.0).any()
    assert not geodesic_map(np.zeros((1, 4, 4, 4)), [], [1, 1, 1], 1.0).any()
    both = geodesic_map(np.zeros((1, 9, 9, 9)), [[1, 1, 1], [7, 7, 7]], [1, 1, 1], 1.0)
    ones = [geodesic_map(np.zeros((1, 9, 9, 9)), [c], [1, 1, 1], 1.0) for c in ([1, 1, 1], [7, 7, 7])]
    assert_array_equal(both, np.maximum(*ones))
