"""Coordinates and appearance of what is shown."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.store.cases import Case
from napari_lesion_points.ui import layers


def oblique(degrees: float, spacing: tuple[float, float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing)
    affine[:3, 3] = (-20, 11, 5)
    return affine


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, 1, -1)])
def test_layer_coordinates_address_the_displayed_array(flip: tuple[int, int, int], rng: np.random.Generator) -> None:
    """nibabel as oracle: the value at a world point is the value at its layer coordinates."""
    affine = oblique(12, (0.9, 1.1, 3.5)) @ np.diag([*flip, 1])
    data = rng.normal(size=(9, 8, 7)).astype(np.float32)
    shown = layers.displayed(Case("a", {"T1w": Volume(data, Grid(data.shape, affine))}, "T1w", ()))
    assert shown.grid.axcodes == "SPL"
    assert nib.aff2axcodes(shown.grid.affine) == ("S", "P", "L")
    for voxel in [(0, 0, 0), (8, 7, 6), (3, 5, 2)]:
        at_world = nib.affines.apply_affine(affine, voxel)
        at_layer = shown.to_layer([at_world])[0]
        np.testing.assert_allclose(at_layer, np.round(at_layer), atol=1e-9)
        assert shown.volumes["T1w"].data[tuple(np.round(at_layer).astype(int))] == data[voxel]
        np.testing.assert_allclose(shown.to_world([at_layer])[0], at_world, atol=1e-9)


def test_a_click_in_the_scaled_view_is_the_world_point() -> None:
    grid = Grid((9, 8, 7), oblique(12, (0.9, 1.1, 3.5))).reoriented("SPL")
    shown = layers.DisplayedCase("a", grid, {}, {})
    wanted = grid.to_world([[2.25, 3.5, 4.75]])[0]
    np.testing.assert_allclose(layers.clicked(shown, np.array([2.25, 3.5, 4.75]) * grid.spacing), wanted)


def test_nothing_predicted_hides_nothing() -> None:
    colors = layers.HEAT.map(np.array([0.0, 1e-4, 0.5, 1.0]))
    assert colors[0, 3] == 0
    assert (np.diff(colors[:, 3]) > 0).all()


def test_flair_comes_first() -> None:
    assert layers.sequence_order(("T1w", "ce-gadolinium_T1w", "acq-3d_FLAIR", "T2w"))[0] == "acq-3d_FLAIR"
