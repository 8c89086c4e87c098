"""Slices, panes and pixels, against the affine and slow oracles; without a window."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from napari_lesion_points.core.geometry import DISPLAY_AXES, Grid, Volume
from napari_lesion_points.ui.planes import (
    ORIENTATIONS,
    Content,
    Focus,
    View,
    close_up_mm,
    companions,
    crosshair,
    nearest_voxel,
    reach_mm,
    scale_bar_mm,
    shows_whole,
    slice_of,
    tiling,
)

SHAPE = (9, 20, 14)


def clinical(axcodes: str, degrees: float = 12.0) -> Volume:
    """An oblique volume of thick slices in a scanner's axis order."""
    angle = np.radians(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.7, 0.9, 4.0])
    affine[:3, 3] = (-20, 11, 5)
    grid = Grid((14, 20, 9), affine)
    data = np.random.default_rng(4).normal(size=grid.shape).astype(np.float32)
    return Volume(data, grid).reoriented(axcodes)


def view_of(name: str, grid: Grid, size: tuple[float, float] = (300, 200), field_mm: float | None = None) -> View:
    middle = tuple((n - 1) / 2 for n in grid.shape)
    return View(ORIENTATIONS[name], grid.shape, tuple(grid.spacing), size, Focus(middle, field_mm))


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LAS", "PIR", "SLA"])
def test_the_letters_tell_the_truth_for_any_scanner(name: str, axcodes: str) -> None:
    """nibabel's affines as oracle: going to the patient's left moves to the side of the pane that says L, and so on."""
    shown = clinical(axcodes).reoriented(DISPLAY_AXES)
    view = view_of(name, shown.grid)
    left, right, top, bottom = view.orientation.letters
    sides = {left: (-1, 0), right: (1, 0), top: (0, -1), bottom: (0, 1)}
    directions = {"L": (-1, 0, 0), "R": (1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    middle = nib.affines.apply_affine(shown.grid.affine, (np.array(shown.grid.shape) - 1) / 2)
    here = view.to_pixels(shown.grid.to_voxel([middle]))[0]
    for letter, side in sides.items():
        there = view.to_pixels(shown.grid.to_voxel([middle + np.array(directions[letter])]))[0]
        assert np.dot(there - here, side) > 0.9 * np.linalg.norm(there - here), letter


def test_the_convention_is_radiological() -> None:
    assert ORIENTATIONS["axial"].letters == "RLAP"
    assert ORIENTATIONS["coronal"].letters == "RLSI"
    assert ORIENTATIONS["sagittal"].letters == "APSI"


@pytest.mark.parametrize("field_mm", [None, 6.0])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_picture_of_a_slice_has_each_voxel_where_its_pixels_are(name: str, field_mm: float | None) -> None:
    shown = clinical("LPS").reoriented(DISPLAY_AXES)
    view = view_of(name, shown.grid, field_mm=field_mm)
    axis, index = view.orientation.axis, shown.grid.shape[view.orientation.axis] // 2
    picture = slice_of(shown.data, view.orientation, index)
    x0, y0, width, height = view.rectangle()
    for voxel in np.ndindex(*shown.grid.shape):
        if voxel[axis] == index:
            x, y = view.to_pixels([voxel])[0]
            column = int((x - x0) / width * picture.shape[1])
            row = int((y - y0) / height * picture.shape[0])
            assert picture[row, column] == shown.data[voxel]


@pytest.mark.parametrize("field_mm", [None, 25.0])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_pixels_and_voxels_are_each_other_s_inverse(
    name: str, field_mm: float | None, rng: np.random.Generator
) -> None:
    grid = clinical("LPS").reoriented(DISPLAY_AXES).grid
    view = view_of(name, grid, field_mm=field_mm)
    for voxel in rng.uniform(0, 1, (20, 3)) * grid.shape:
        x, y = view.to_pixels([voxel])[0]
        np.testing.assert_allclose(view.to_voxel(x, y, voxel[view.orientation.axis]), voxel)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_millimetre_is_as_long_in_each_direction(name: str) -> None:
    grid = clinical("LPS").reoriented(DISPLAY_AXES).grid
    view = view_of(name, grid, field_mm=50.0)
    assert view.zoom == pytest.approx(200 / 50.0)
    start = np.array(view.center)
    for axis in view.orientation.order[1:]:
        step = start.copy()
        step[axis] += 10 / grid.spacing[axis]
        apart = view.to_pixels([step])[0] - view.to_pixels([start])[0]
        assert np.linalg.norm(apart) == pytest.approx(10 * view.zoom)


@pytest.mark.parametrize("size", [(300, 200), (100, 400), (1, 1)])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_without_a_field_the_whole_slice_just_fits(name: str, size: tuple[float, float]) -> None:
    grid = clinical("LPS").reoriented(DISPLAY_AXES).grid
    x, y, width, height = view_of(name, grid, size).rectangle()
    assert min(x, y) == pytest.approx(0, abs=1e-9)
    assert x + width <= size[0] + 1e-9
    assert y + height <= size[1] + 1e-9


@pytest.mark.parametrize("margin_mm", [0.0, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 3.0, 4.0, 6.6, 10.0])
def test_every_point_is_on_a_slice_however_thick(margin_mm: float, spacing_mm: float) -> None:
    slices_mm = np.arange(12) * spacing_mm
    for at in np.linspace(-0.5, 11.5, 241) * spacing_mm:
        assert np.abs(slices_mm - at).min() <= reach_mm(margin_mm, spacing_mm)
    assert reach_mm(margin_mm, spacing_mm) >= margin_mm


def test_a_place_outside_is_taken_to_the_border() -> None:
    assert nearest_voxel([-3.0, 4.6, 99.0], SHAPE).tolist() == [0, 5, 13]


def test_panes_show_what_the_canvas_does_not() -> None:
    names = ("FLAIR", "T1w", "T2w")
    assert companions("planes", "sagittal", "T1w", names) == (Content("axial", "T1w"), Content("coronal", "T1w"))
    assert companions("sequences", "coronal", "T1w", names) == (Content("coronal", "FLAIR"), Content("coronal", "T2w"))
    assert len(companions("sequences", "axial", "FLAIR", ("FLAIR",))) == 2  # nothing to compare with: planes
    assert companions("", "axial", "FLAIR", names) == ()
    assert companions("planes", "axial", "", ()) == ()


def test_tiles_are_as_large_as_can_be(rng: np.random.Generator) -> None:
    for _ in range(200):
        count, (width, height) = int(rng.integers(1, 9)), rng.uniform(50, 900, 2)
        rows, columns = tiling(count, width, height)
        assert rows * columns >= count
        sides = [min(width / c, height / -(-count // c)) for c in range(1, count + 1)]
        assert min(width / columns, height / rows) == pytest.approx(max(sides))


def test_a_jump_looks_closer_only_at_whole_slices() -> None:
    whole = Focus((0.0, 0.0, 0.0))
    close = whole.at((4, 5, 6), 90.0)
    assert close.center == (4.0, 5.0, 6.0)
    assert close.field_mm == 90.0
    assert whole.at((4, 5, 6), None).field_mm is None
    assert Focus((0.0, 0.0, 0.0), 33.0).at((4, 5, 6), 90.0).field_mm == 33.0


def test_a_close_up_is_closer_than_the_whole_of_a_small_volume() -> None:
    assert close_up_mm((14, 50, 44), (4.0, 1.0, 1.25)) == pytest.approx(0.6 * 56)


def test_the_panes_follow_a_crosshair_that_leaves_them() -> None:
    focus = Focus((10.0, 10.0, 10.0), 40.0)
    spacing = (4.0, 1.0, 1.0)
    assert focus.following((10, 20, 4), spacing) is focus
    assert focus.following((15, 10, 10), spacing).center == (15.0, 10.0, 10.0)  # five thick slices are 20 mm
    assert Focus((0.0, 0.0, 0.0)).following((50, 0, 0), spacing).field_mm is None


def test_zooming_ends_at_whole_slices_and_at_a_small_lesion() -> None:
    focus = Focus((0.0, 0.0, 0.0)).zoomed(2.0, (1, 2, 3), 200.0)
    assert focus == Focus((1.0, 2.0, 3.0), 100.0)
    assert focus.zoomed(0.4, (1, 2, 3), 200.0).field_mm is None
    assert focus.zoomed(1000.0, (1, 2, 3), 200.0).field_mm == 12.0


def test_a_canvas_that_shows_nearly_all_shows_all() -> None:
    assert shows_whole((200, 100), (600, 500), 2.95)
    assert not shows_whole((200, 100), (600, 500), 3.5)


def test_the_scale_bar_is_round_and_fits() -> None:
    for zoom in np.geomspace(0.5, 40, 60):
        mm = scale_bar_mm(float(zoom), 110)
        assert mm in (1, 2, 5, 10, 20, 50, 100)
        assert mm * zoom <= 110
        assert mm == 100 or mm * 2.5 * zoom > 110


def test_the_crosshair_leaves_what_it_points_at_and_the_letters_free() -> None:
    lines = crosshair(100, 80, (300, 200), 4.0)
    for (x0, y0), (x1, y1) in lines:
        assert (x0 == x1 == 100) or (y0 == y1 == 80)
        assert min(abs(x0 - 100) + abs(y0 - 80), abs(x1 - 100) + abs(y1 - 80)) >= 28
        assert 32 <= min(x0, x1) <= max(x0, x1) <= 300 - 32 or x0 == x1
    assert all(a == b or 0 in (*a, *b) for a, b in crosshair(-5, -5, (300, 200), 4.0))
