"""Simulated patients: the truth is true, and visible where it should be. The brain is a ball with a ventricle."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.phantom import GRID, Anatomy, Phantom, make_anatomy, simulate_patient
from napari_lesion_points.core.phantom.anatomy import deform, fold
from napari_lesion_points.core.phantom.look import VARIED, Look, draw_look
from napari_lesion_points.core.phantom.scanner import Window, level, scan, whole
from napari_lesion_points.core.phantom.scene import Scene, draw_scene


def ball(grid: Grid) -> Anatomy:
    """Anatomy of a 60 mm ball: a ventricle, white matter, cortex and a rim of fluid."""
    center_world = grid.to_world((np.array(grid.shape) - 1) / 2)
    voxels = np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3)
    radius_mm = np.linalg.norm(grid.to_world(voxels) - center_world, axis=1).reshape(grid.shape)
    shells = [radius_mm < 10, radius_mm < 48, radius_mm < 57, radius_mm < 60]
    fluid, wm, gm, rim = (s.astype(np.float32) for s in (shells[0], *(b & ~a for a, b in pairwise(shells))))
    return Anatomy(gm, wm, fluid + rim, (wm + 0.7 * gm + 0.25 * (fluid + rim)).astype(np.float32), grid)


def centered(spacing_mm: list[float], extent_mm: float = 136) -> Grid:
    i, j, k = (round(extent_mm / s) for s in spacing_mm)
    return Grid((i, j, k), np.diag([*spacing_mm, 1]))


ANATOMY = ball(centered([2, 2, 2]))


@pytest.fixture(scope="module")
def patients() -> list[Phantom]:
    return [simulate_patient(ANATOMY, seed) for seed in range(3)]


def test_the_same_seed_is_the_same_patient(patients: list[Phantom]) -> None:
    again, other = simulate_patient(ANATOMY, 1), patients[2]
    for name, volume in patients[1].sequences.items():
        assert_array_equal(volume.data, again.sequences[name].data)
        assert not np.array_equal(volume.data, other.sequences[name].data)
    assert_array_equal(patients[1].labels.data, again.labels.data)


def test_points_are_the_centres_of_the_labels(patients: list[Phantom]) -> None:
    for patient in patients:
        found = component_centres(patient.labels)
        assert_allclose(patient.centers_world, found.centers_world)
        assert_array_equal(patient.sizes, found.sizes)
        assert found.labels.tolist() == list(range(1, len(patient.sizes) + 1))


def test_lesions_are_as_many_as_asked_apart_and_of_3_to_150_voxels(patients: list[Phantom]) -> None:
    for patient in patients:
        assert 2 <= len(patient.sizes) <= 8
        assert 3 <= patient.sizes.min() <= patient.sizes.max() <= 150
        gaps = patient.centers_world[:, None] - patient.centers_world
        distances_mm = np.linalg.norm(gaps, axis=-1)[~np.eye(len(patient.sizes), dtype=bool)]
        assert distances_mm.min() >= 10
        assert len(component_centres(Volume(patient.labels.data > 0, patient.labels.grid)).sizes) == len(patient.sizes)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_number_of_lesions_can_be_set(count: int) -> None:
    patient = simulate_patient(ANATOMY, 3, lesions=(count, count))
    assert patient.centers_world.shape == (count, 3)
    assert patient.labels.data.max() == count


def test_there_are_fewer_lesions_where_there_is_no_room() -> None:
    patient = simulate_patient(ball(centered([8, 8, 8])), 0, lesions=(90, 90))
    assert 5 < len(patient.sizes) < 90
    assert_allclose(patient.centers_world, component_centres(patient.labels).centers_world)


def test_lesions_show_in_every_sequence(patients: list[Phantom]) -> None:
    signs = {"FLAIR": 1, "T1w": -1, "T2w": 1}
    changes: dict[str, list[float]] = {name: [] for name in signs}
    for patient in patients:
        lesion = patient.labels.data > 0
        around = ndimage.binary_dilation(lesion, iterations=4) & ~ndimage.binary_dilation(lesion, iterations=2)
        for name, volume in patient.sequences.items():
            inside, outside = volume.data[lesion].mean(), np.median(volume.data[around])
            changes[name].append(signs[name] * (inside - outside) / outside)
    for name, change in changes.items():
        assert min(change) > 0.03, f"{name}: {change}"


def test_fluid_is_dark_in_flair_and_bright_in_t2w(patients: list[Phantom]) -> None:
    middle = tuple(slice(n // 2 - 1, n // 2 + 2) for n in ANATOMY.grid.shape)
    for patient in patients:
        fluid = {name: v.data[middle].mean() / np.median(v.data[v.data > 0]) for name, v in patient.sequences.items()}
        assert fluid["FLAIR"] < 0.5
        assert fluid["T1w"] < 0.5
        assert fluid["T2w"] > 1.5


def test_lesions_lie_in_the_brain_and_nothing_outside_it(patients: list[Phantom]) -> None:
    for patient in patients:
        assert patient.brain.data[patient.labels.data > 0].all()
        for volume in patient.sequences.values():
            assert np.isfinite(volume.data).all()
            assert volume.data.dtype == np.float32
            assert not volume.data[patient.brain.data == 0].any()
            assert (volume.data[patient.brain.data == 1] > 0).all()


def test_a_threshold_on_flair_also_takes_what_is_no_lesion(patients: list[Phantom]) -> None:
    others = []
    for patient in patients:
        flair, labels = patient.sequences["FLAIR"], patient.labels.data
        bright = flair.data >= np.median(flair.data[labels > 0])  # keeps half of the lesions' voxels
        parts, count = ndimage.label(bright, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        of_lesion = ndimage.maximum(labels, parts, range(1, count + 1)) > 0
        others.append(np.count_nonzero(~of_lesion & (sizes >= 3)))
    assert sum(others) > len(patients)


def test_other_grids_have_lesions_of_the_same_volume_in_mm() -> None:
    grid = centered([1.5, 2, 4])
    tilted = grid.affine @ np.array([[0.98, 0.2, 0, 5], [-0.2, 0.98, 0, 7], [0, 0, 1, 9], [0, 0, 0, 1]])
    anatomy = ball(Grid(grid.shape, tilted))
    patient = simulate_patient(anatomy, 0, lesions=(4, 4))
    assert patient.labels.grid is anatomy.grid
    assert_allclose(patient.centers_world, component_centres(patient.labels).centers_world)
    assert (patient.sizes * np.prod(anatomy.grid.spacing) < 1300).all()


def test_an_anatomy_is_made_of_shares_on_the_wanted_grid() -> None:
    fine = ball(centered([2, 2, 2]))
    spill = ndimage.gaussian_filter(fine.wm, 1)  # a template's maps are blurred
    anatomy = make_anatomy(*(Volume(x, fine.grid) for x in (fine.gm, spill, 80 * fine.t1)), centered([4, 4, 4]))
    total = anatomy.gm + anatomy.wm + anatomy.csf
    brain = total > 0
    assert_allclose(total[brain], 1, atol=1e-5)
    assert np.count_nonzero(brain) * 64 == pytest.approx(4 / 3 * np.pi * 57**3, rel=0.05)
    assert anatomy.csf[tuple(n // 2 for n in anatomy.grid.shape)] == pytest.approx(1, abs=1e-3)
    assert anatomy.t1[anatomy.wm > 0.9].mean() == pytest.approx(1, rel=1e-3)
    assert not anatomy.t1[~brain].any()


def test_nearness_to_the_ventricles_falls_to_1_over_e_at_6_mm() -> None:
    along = ANATOMY.periventricular[34, 34, 34:]  # from the ball's centre, 2 mm per voxel; the ventricle ends at 10 mm
    assert along[0] == 1
    assert along[4 + 3] == pytest.approx(np.exp(-1), rel=0.05)
    assert (along[15:] < 0.06).all()  # the fluid of the outer rim is no ventricle


def test_the_default_grid_fits_four_halvings() -> None:
    assert [n % 16 for n in GRID.shape] == [0, 0, 0]
    assert GRID.spacing.tolist() == [2, 2, 2]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene(np.random.default_rng(5), ANATOMY, lesions=(6, 6), varied=True)


def plain_scans(look: Look) -> Look:
    """Return the same look by a perfect scanner."""
    clean = {"texture": 0.0, "bias": 0.0, "noise": 0.0, "gamma": 1.0, "blur_mm": 0.0, "slice_mm": 0.0}
    scans = tuple(replace(s, **clean, shift_mm=(0.0, 0.0, 0.0)) for s in look.scans)
    return replace(look, scans=scans, patch_share=0.0, uneven_mm=0.0)


def test_varied_patients_differ_in_looks_and_have_true_labels() -> None:
    patients = [simulate_patient(ANATOMY, seed, varied=True, lesions=(3, 3)) for seed in range(4)]
    for patient in patients:
        assert tuple(patient.sequences) == tuple(VARIED)
        assert_allclose(patient.centers_world, component_centres(patient.labels, label_image=True).centers_world)
        for volume in patient.sequences.values():
            assert np.isfinite(volume.data).all()
            assert volume.data.min() >= 0
    flair = [p.sequences["FLAIR"].data for p in patients]
    contrast = [x[34, 34, 34] / np.median(x[x > 0]) for x in flair]  # fluid of the ventricle
    assert np.ptp(contrast) > 0.05
    again = simulate_patient(ANATOMY, 2, varied=True, lesions=(3, 3))
    assert_array_equal(again.sequences["T2w"].data, patients[2].sequences["T2w"].data)


def test_a_head_may_be_whole_or_cut_off_at_the_brain(scene: Scene) -> None:
    look = plain_scans(draw_look(np.random.default_rng(0), scene, varied=True))
    sizes = []
    for strip_mm in (-3.0, 3.0, None):
        images, foreground = scan(np.random.default_rng(0), scene, replace(look, strip_mm=strip_mm), whole(scene))
        assert not images[:, ~foreground].any()
        sizes.append(np.count_nonzero(foreground))
    assert sizes[0] < np.count_nonzero(scene.brain) < sizes[1] < sizes[2]


def test_patches_of_other_tissue_lie_around_the_brain_and_not_in_it(scene: Scene) -> None:
    look = replace(plain_scans(draw_look(np.random.default_rng(0), scene, varied=True)), strip_mm=None)
    shells, foreground = scan(np.random.default_rng(0), scene, look, whole(scene))
    patches, _ = scan(np.random.default_rng(0), scene, replace(look, patch_share=1.0, patch_mm=6.0), whole(scene))
    outside_mm = -scene.surface / 6.0
    assert_array_equal(patches[:, outside_mm < 2], shells[:, outside_mm < 2])
    around = patches[:, (outside_mm > 3) & foreground]
    for s, kinds in enumerate(look.patches):
        assert_allclose(np.abs(around[s][:, None] - kinds).min(axis=1), 0, atol=1e-5)
        assert len(np.unique(around[s].round(3))) == len(kinds)


def test_the_cortex_is_folded_where_the_template_is_unsure_and_only_there() -> None:
    grid = centered([2, 2, 2])
    voxels = np.indices(grid.shape).astype(np.float32)
    depth_mm = 2 * np.minimum(voxels, np.array(grid.shape)[:, None, None, None] - 1 - voxels).min(axis=0)
    sure = voxels[0] < 20
    gm = np.where(sure, 0, 0.5).astype(np.float32)
    csf, wm = np.where(sure, [[[[0]]], [[[1]]]], [[[[0.3]]], [[[0.2]]]]).astype(np.float32)
    before = np.stack([csf, gm, wm])
    after = fold(np.random.default_rng(0), csf, gm, wm, depth_mm, grid)
    assert_allclose(after.sum(axis=0), 1, atol=1e-6)
    kept = sure | (depth_mm >= 22)
    assert_allclose(after[:, kept], before[:, kept], atol=1e-6)
    folded = after[:, ~sure & (depth_mm < 16)]
    assert not (folded[[0, 2]] > 0).all(axis=0).any()  # grey matter stays between fluid and white matter
    assert (folded.max(axis=1) == 1).all()  # all three are there, where each was a share before
    assert_array_equal(after, fold(np.random.default_rng(0), csf, gm, wm, depth_mm, grid))


def test_a_tissue_is_uneven_as_much_as_its_look_says(scene: Scene) -> None:
    look = plain_scans(draw_look(np.random.default_rng(0), scene, ["FLAIR"], varied=True))
    even = scan(np.random.default_rng(0), scene, look, whole(scene))[0][0]
    rough = replace(look, uneven=np.array([[0, 0, 0, 0.05]], np.float32), uneven_mm=6.0)
    added = scan(np.random.default_rng(0), scene, rough, whole(scene))[0][0] - even
    csf, gm, _, wm = scene.tissue
    assert added[wm == 255].std() == pytest.approx(0.05, rel=0.15)
    assert not added[(wm == 0) & (csf + gm == 255)].any()


def test_a_window_shows_what_the_whole_shows_there(scene: Scene) -> None:
    look = plain_scans(draw_look(np.random.default_rng(1), scene, varied=True))
    images, foreground = scan(np.random.default_rng(0), scene, look, whole(scene))
    part, inside = scan(np.random.default_rng(0), scene, look, Window((20, 25, 30), (16, 12, 10), (2.0, 2.0, 2.0)))
    assert_allclose(part, images[:, 20:36, 25:37, 30:40], atol=1e-5)
    assert_array_equal(inside, foreground[20:36, 25:37, 30:40])
    coarse, _ = scan(np.random.default_rng(0), scene, look, Window((20, 25, 30), (6, 5, 4), (4.0, 4.0, 4.0)))
    assert_allclose(coarse, images[:, 20:32:2, 25:35:2, 30:38:2], atol=1e-5)
    fine, _ = scan(np.random.default_rng(0), scene, look, Window((20, 25, 30), (3, 3, 3), (1.0, 1.0, 1.0)))
    assert_allclose(fine[:, 1, 0, 0], images[:, 20:22, 25, 30].mean(axis=1), atol=1e-5)


def test_blur_slices_and_displacement_are_those_of_scipy(scene: Scene) -> None:
    look = plain_scans(draw_look(np.random.default_rng(1), scene, ["FLAIR"], varied=True))
    grid = whole(scene)
    sharp = scan(np.random.default_rng(0), scene, look, grid)[0][0]

    def seen(**how: object) -> np.ndarray:
        changed = replace(look, scans=tuple(replace(s, **how) for s in look.scans), strip_mm=None)
        return scan(np.random.default_rng(0), scene, changed, grid)[0][0]

    sharp = seen()
    inner = (slice(20, 48),) * 3
    blurred = ndimage.gaussian_filter(sharp, 1.5, truncate=8)
    assert_allclose(seen(blur_mm=3.0)[inner], blurred[inner], atol=2e-3)
    shifted = ndimage.shift(blurred, (-2, 0, 1), order=0)
    assert_allclose(seen(blur_mm=3.0, shift_mm=(4.0, 0.0, -2.0))[inner], shifted[inner], atol=2e-3)
    thick = seen(slice_mm=6.0, slice_axis=1)  # centred on voxels 0, 3, 6, ...
    assert_allclose(thick[20:48, 24, 20:48], sharp[20:48, 23:26, 20:48].mean(axis=1), atol=1e-5)
    assert_allclose(thick[inner][:, 5], (2 * thick[20:48, 24, 20:48] + thick[20:48, 27, 20:48]) / 3, atol=1e-5)


def test_a_window_is_standardised_as_the_whole_would_be(scene: Scene) -> None:
    look = replace(draw_look(np.random.default_rng(2), scene, varied=True), patch_share=0.0, uneven_mm=6.0)
    look = replace(look, scans=tuple(replace(s, bias_mm=15.0) for s in look.scans))  # so that one field is like another
    images, foreground = scan(np.random.default_rng(0), scene, look, whole(scene))
    where = np.nonzero(scene.surface > -80)
    chosen = np.random.default_rng(3).choice(len(where[0]), 4000)
    mean, deviation = level(np.random.default_rng(4), scene, look, tuple(axis[chosen] for axis in where))
    for x, m, d in zip(images, mean, deviation, strict=True):
        assert m == pytest.approx(x[foreground].mean(), rel=0.15)
        assert d == pytest.approx(x[foreground].std(), rel=0.35)


def test_lesions_of_a_mask_lie_where_they_lie_in_the_template_or_its_mirror_image() -> None:
    grid = centered([2, 2, 2])
    mask = np.zeros(grid.shape, np.uint8)
    mask[50:54, 30:34, 36:40] = 1
    mask[32:36, 50:54, 32:36] = 1
    distances = []
    for seed in range(8):
        found = draw_scene(np.random.default_rng(seed), ANATOMY, lesions=(0, 0), masks=[Volume(mask, grid)])
        assert found.lesions <= 2
        for center in component_centres(Volume(found.labels, grid), label_image=True).centers_world:
            places = [[51.5, 31.5, 37.5], [67 - 51.5, 31.5, 37.5], [33.5, 51.5, 33.5]]
            distances.append(np.linalg.norm(grid.to_world(places) - center, axis=1).min())
    assert len(distances) > 6
    assert max(distances) < 20  # rotation by 7 degrees at 50 mm, and the bend


def test_ventricles_of_varied_patients_are_wider() -> None:
    fluid = []
    for widen_mm in (0.0, 4.0):
        source = deform(np.random.default_rng(0), ANATOMY, widen_mm=widen_mm)
        inner = ndimage.map_coordinates(ANATOMY.csf, source, order=1)[24:44, 24:44, 24:44]
        fluid.append(inner.sum())
    radius = np.cbrt(np.array(fluid) * 8 * 3 / (4 * np.pi))
    assert radius[1] - radius[0] == pytest.approx(3, abs=1.5)
