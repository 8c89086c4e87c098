"""Simulate patients with lesions whose place is known: for the demo, the tests and the first training.

A patient is a deformed template brain, imaged in FLAIR, T1w and T2w. Intensities are relative to white matter in T1w
until the last step. All that is random is drawn from one seed.

1. Deform the tissue maps of a template: rotation, scaling and a smooth displacement.
2. Mix tissue intensities per sequence; add the template's fine detail and the bright rims of normal ventricles.
3. Grow lesions in white matter, most of them near the ventricles: bright in FLAIR and T2w, dark in T1w.
4. Grow distractors of the same sizes at the same places, each visible in one sequence only. A threshold on any sequence
   takes them for lesions; whoever compares sequences does not.
5. Acquire: tissue texture, bias field, Rician noise, gain. Outside the brain is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_lesion_points.core.components import MIN_VOXELS, component_centres
from napari_lesion_points.core.geometry import Grid, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

#: 2 mm voxels that cover the MNI152 brain with about 8 mm to spare, in multiples of 16 for the network's levels.
GRID = Grid((80, 96, 80), np.array([[2, 0, 0, -79], [0, 2, 0, -112], [0, 0, 2, -73], [0, 0, 0, 1]]))


@dataclass(frozen=True)
class _Contrast:
    """How a sequence shows tissue, and by how much a lesion (lowest, highest) changes it."""

    csf: float
    gm: float
    wm: float
    detail: float  # share of the T1w template's fine detail that shows, inverted where negative
    rim: float  # brightness of the normal periventricular rim
    lesion: tuple[float, float]


_SEQUENCES = {
    "FLAIR": _Contrast(csf=0.15, gm=0.95, wm=0.68, detail=-0.2, rim=0.12, lesion=(0.25, 0.60)),
    "T1w": _Contrast(csf=0.25, gm=0.70, wm=1.00, detail=0.6, rim=-0.05, lesion=(-0.35, -0.10)),
    "T2w": _Contrast(csf=1.60, gm=0.85, wm=0.65, detail=-0.4, rim=0.08, lesion=(0.20, 0.55)),
}

#: Lesion volumes: 3 to 150 voxels of 2 mm. Log-uniform, since small lesions are the most common.
_LESION_MM3 = (24.0, 1200.0)

#: Lesion centres keep this distance, and their voxels a gap, so that each has one centre that readers would agree on.
_APART_MM = 10.0


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Tissue of a template brain.

    Parameters
    ----------
    gm, wm, csf : (I, J, K) float32
        Share of grey matter, white matter and fluid in each voxel. They sum to 1 in the brain and to 0 outside.
    t1 : (I, J, K) float32
        Template T1w, white matter at 1; 0 outside the brain.
    grid : Grid
        Of all four.
    """

    gm: Array
    wm: Array
    csf: Array
    t1: Array
    grid: Grid

    @cached_property
    def detail(self) -> Array:
        """(I, J, K) what the template's T1w shows beyond its tissue shares."""
        t1w = _SEQUENCES["T1w"]
        detail: Array = self.t1 - t1w.csf * self.csf - t1w.gm * self.gm - t1w.wm * self.wm
        return detail

    @cached_property
    def periventricular(self) -> Array:
        """(I, J, K) 1 in the ventricles, falling to 1/e at 6 mm from them."""
        spacing = self.grid.spacing
        depth_mm = ndimage.distance_transform_edt(self.gm + self.wm + self.csf > 0.5, sampling=spacing)
        ventricles = (self.csf > 0.5) & (depth_mm > 20)  # fluid this deep is no sulcus
        distance_mm = ndimage.distance_transform_edt(~ventricles, sampling=spacing)
        nearness: Array = np.exp(-distance_mm / 6).astype(np.float32)
        return nearness


@dataclass(frozen=True, eq=False)
class Phantom:
    """A simulated patient, all volumes on one grid.

    Parameters
    ----------
    sequences : dict of str to Volume
        FLAIR, T1w and T2w, float32, in arbitrary scanner units.
    brain : Volume
        uint8, 1 in the brain.
    labels : Volume
        uint16, k in the voxels of lesion k = 1, 2, ...; 0 elsewhere.
    centers_world : (K, 3) float
        Centre of mass of each lesion, world mm.
    sizes : (K,) int
        Voxels of each lesion.
    """

    sequences: dict[str, Volume]
    brain: Volume
    labels: Volume
    centers_world: NDArray[np.floating]
    sizes: NDArray[np.int64]


def make_anatomy(gm: Volume, wm: Volume, t1: Volume, grid: Grid = GRID) -> Anatomy:
    """Bring a template's maps (grey and white matter in [0, 1], skull-stripped T1w) onto one grid.

    The brain is what the tissue maps enclose; fluid is what they leave of it. Averaging over the template's subjects
    has blurred the maps, so the shares are raised to the power 1.5: the cortex is then about as crisp as one person's.
    """
    grey, white, template = (v.resampled(grid).data.astype(np.float32) for v in (gm, wm, t1))
    tissue = _largest_part(ndimage.binary_opening(grey + white > 0.5, iterations=2))
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(tissue, iterations=4))
    shares = np.stack([grey, white, np.clip(1 - grey - white, 0, 1)]) ** 1.5 * brain
    grey, white, fluid = (shares / np.maximum(shares.sum(axis=0), 1e-6)).astype(np.float32)
    return Anatomy(grey, white, fluid, template * brain / template[white > 0.9].mean(), grid)


def simulate_patient(anatomy: Anatomy, seed: int, *, lesions: tuple[int, int] = (2, 8)) -> Phantom:
    """Simulate one patient; the same arguments give the same patient.

    Parameters
    ----------
    anatomy : Anatomy
        Template to deform. The patient has its grid.
    seed : int
        At least 0.
    lesions : (int, int)
        Fewest and most lesions, both included. There are fewer where white matter has no room for them.
    """
    rng = np.random.default_rng(seed)
    grid = anatomy.grid
    source = _deformation(rng, grid)
    csf, gm, wm, detail, near = (
        ndimage.map_coordinates(m, source, order=1)
        for m in (anatomy.csf, anatomy.gm, anatomy.wm, anatomy.detail, anatomy.periventricular)
    )
    brain = ndimage.binary_fill_holes(csf + gm + wm > 0.5)
    images = {}
    for name, s in _SEQUENCES.items():
        tissue = (level * share * rng.normal(1, 0.05) for level, share in ((s.csf, csf), (s.gm, gm), (s.wm, wm)))
        images[name] = sum(tissue) + s.detail * detail + s.rim * wm * near**2 * rng.uniform(0.5, 1.5)

    sites = np.where(wm > 0.6, 0.05 + near, 0)
    free = brain & (wm > 0.4)
    labels = np.zeros(grid.shape, dtype=np.uint16)
    centers: list[NDArray[np.floating]] = []
    wanted = int(rng.integers(lesions[0], lesions[1] + 1))
    for _ in range(20 * wanted):  # most attempts succeed in an adult brain
        blob = _grow(rng, sites, free, grid) if len(centers) < wanted else None
        if blob is None:
            break
        center = grid.to_world(blob.center_vox)
        if blob.core.sum() < MIN_VOXELS or any(np.linalg.norm(center - c) < _APART_MM for c in centers):
            continue
        centers.append(center)
        labels[blob.where][blob.core] = len(centers)
        free[blob.where] &= ~ndimage.binary_dilation(blob.core, np.ones((3, 3, 3)))
        for name, s in _SEQUENCES.items():
            images[name][blob.where] += blob.share * rng.uniform(*s.lesion)
    for _ in range(int(rng.integers(4, 12))):
        blob = _grow(rng, sites, free, grid)
        if blob is None:
            break
        name = str(rng.choice(list(_SEQUENCES)))
        images[name][blob.where] += blob.share * rng.uniform(*_SEQUENCES[name].lesion)

    truth = component_centres(Volume(labels, grid))
    return Phantom(
        {name: Volume(_acquire(rng, image, brain, grid), grid) for name, image in images.items()},
        Volume(brain.astype(np.uint8), grid),
        Volume(labels, grid),
        truth.centers_world,
        truth.sizes,
    )


@dataclass(frozen=True, eq=False)
class _Blob:
    """An irregular spot: the part of the grid it is in, its share of each voxel there, and the voxels it fills."""

    where: tuple[slice, slice, slice]
    share: Array
    core: NDArray[np.bool_]

    @property
    def center_vox(self) -> NDArray[np.floating]:
        """(3,) centre of mass of the filled voxels."""
        center: NDArray[np.floating] = np.argwhere(self.core).mean(axis=0) + [s.start for s in self.where]
        return center


def _grow(rng: np.random.Generator, sites: Array, free: NDArray[np.bool_], grid: Grid) -> _Blob | None:
    """Grow a spot of random volume from a random site into free voxels; None where no site is free.

    Voxels are ranked by their distance from the site in a random ellipsoid, roughened by noise; the first ones make up
    the volume. `sites` is the weight of each voxel as a site.
    """
    cumulative = np.where(free, sites, 0).ravel().cumsum(dtype=float)
    if cumulative[-1] == 0:
        return None
    chosen = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1]), side="right")
    seed = np.array(np.unravel_index(chosen, grid.shape))
    volume_mm3 = np.exp(rng.uniform(*np.log(_LESION_MM3)))
    radius_mm = (volume_mm3 * 3 / (4 * np.pi)) ** (1 / 3)
    stretch = np.exp(rng.normal(0, 0.25, 3))
    axes = Rotation.random(rng=rng).as_matrix() / (stretch / stretch.prod() ** (1 / 3))

    reach = np.ceil(2 * radius_mm / grid.spacing).astype(int) + 1
    low, high = np.maximum(seed - reach, 0), np.minimum(seed + reach + 1, grid.shape)
    where = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    steps_mm = (np.moveaxis(np.indices(high - low), 0, -1) + low - seed) * grid.spacing
    rough = ndimage.gaussian_filter(rng.normal(0, 1, high - low), 1)
    distance_mm = np.linalg.norm(steps_mm @ axes, axis=-1) + 0.35 * radius_mm * rough / rough.std()

    count = max(round(volume_mm3 / float(np.prod(grid.spacing))), MIN_VOXELS)
    ranked = np.sort(distance_mm[free[where]])
    edge_mm = ranked[min(count, len(ranked)) - 1]
    core = _largest_part(free[where] & (distance_mm <= edge_mm))
    outside = ndimage.distance_transform_edt(~core)  # voxels; partial volume reaches one voxel beyond
    share = np.where(core, 1.0, np.clip(0.5 * (2 - outside), 0, 0.35)).astype(np.float32)
    return _Blob(where, ndimage.gaussian_filter(share, 0.4), core)


def _deformation(rng: np.random.Generator, grid: Grid) -> Array:
    """(3, I, J, K) voxel coordinates in the template of each voxel of the patient."""
    turn = Rotation.from_euler("xyz", rng.uniform(-7, 7, 3), degrees=True).as_matrix()
    linear = turn * rng.uniform(0.92, 1.08, 3) * grid.spacing
    center = (np.array(grid.shape)[:, None, None, None] - 1) / 2
    at = np.indices(grid.shape, dtype=np.float32) - center
    bend = np.stack([_smooth_noise(rng, grid, 30) for _ in range(3)]) * 2  # mm
    source_mm = np.tensordot(linear, at, axes=1) + bend + rng.uniform(-3, 3, 3)[:, None, None, None]
    source: Array = (source_mm / grid.spacing[:, None, None, None] + center).astype(np.float32)
    return source


def _acquire(rng: np.random.Generator, image: Array, brain: NDArray[np.bool_], grid: Grid) -> Array:
    """Measure an image: texture of the tissue, bias field, Rician noise and gain."""
    texture = ndimage.gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), 1)
    signal = (image + 0.02 * texture / texture.std()) * np.exp(0.08 * _smooth_noise(rng, grid, 50))
    noise = rng.standard_normal((2, *grid.shape), dtype=np.float32) * rng.uniform(0.015, 0.04)
    measured = np.hypot(signal + noise[0], noise[1]) * brain * rng.uniform(300, 900)
    acquired: Array = measured.astype(np.float32)
    return acquired


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected component (26-connectivity) of a mask that has one."""
    parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    largest: NDArray[np.bool_] = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    return largest


def _smooth_noise(rng: np.random.Generator, grid: Grid, scale_mm: float) -> Array:
    """(I, J, K) random field of mean 0 and standard deviation 1 that changes over about `scale_mm`.

    Each voxel is a Gaussian-weighted sum of white noise at knots `scale_mm` apart. The weights factor into the axes.
    """
    knots = np.ceil(np.array(grid.shape) * grid.spacing / scale_mm).astype(int) + 3  # one before, two beyond
    field = rng.standard_normal(knots, dtype=np.float32)
    for voxels, spacing in zip(grid.shape, grid.spacing, strict=True):
        at = np.arange(voxels) * (spacing / scale_mm) + 1  # voxel centres, counted in knots
        weights = np.exp(-((at[:, None] - np.arange(len(field))) ** 2)).astype(np.float32)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        field = np.tensordot(field, weights, axes=(0, 1))  # the first axis becomes voxels, and the last
    return field
