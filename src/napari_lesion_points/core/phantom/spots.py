"""Spots: lesions, and what looks like one. Grown from a random site, or taken from the masks of real patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_lesion_points.core.components import MIN_VOXELS
from napari_lesion_points.core.phantom.anatomy import largest_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lesion_points.core.geometry import Grid, Volume

    Array = NDArray[np.float32]
    Box = tuple[slice, slice, slice]

_REACH_VOX = 3  # beyond its voxels, within which a spot taken from a mask fades


@dataclass(frozen=True, eq=False)
class Spot:
    """An irregular spot: the part of the grid it is in, its share of each voxel there, and the voxels it fills."""

    where: Box
    share: Array
    core: NDArray[np.bool_]

    @property
    def center_vox(self) -> NDArray[np.floating]:
        """(3,) centre of mass of the filled voxels."""
        center: NDArray[np.floating] = np.argwhere(self.core).mean(axis=0) + [s.start for s in self.where]
        return center


def grow(
    rng: np.random.Generator, sites: Array, free: NDArray[np.bool_], grid: Grid, volumes_mm3: tuple[float, float]
) -> Spot | None:
    """Grow a spot of random volume from a random site into free voxels; None where no site is free.

    Voxels are ranked by their distance from the site in a random ellipsoid, roughened by noise; the first ones make up
    the volume.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    sites : (I, J, K) float
        Weight of each voxel as a site.
    free : (I, J, K) bool
        Voxels that may be filled.
    grid : Grid
        Of both.
    volumes_mm3 : (float, float)
        Smallest and largest volume. Log-uniform, since small lesions are the most common.
    """
    cumulative = np.where(free, sites, 0).ravel().cumsum(dtype=float)
    if cumulative[-1] == 0:
        return None
    chosen = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1]), side="right")
    seed = np.array(np.unravel_index(chosen, grid.shape))
    volume_mm3 = np.exp(rng.uniform(*np.log(volumes_mm3)))
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
    core = largest_part(free[where] & (distance_mm <= edge_mm))
    outside = ndimage.distance_transform_edt(~core)  # voxels; partial volume reaches one voxel beyond
    share = np.where(core, 1.0, np.clip(0.5 * (2 - outside), 0, 0.35)).astype(np.float32)
    return Spot(where, ndimage.gaussian_filter(share, 0.4), core)


def warp_mask(
    rng: np.random.Generator, mask: Volume, grid: Grid, source: Array, brain: NDArray[np.bool_]
) -> list[Spot]:
    """Bring the lesions of a real patient into a simulated one, as they lie: some of them, each with a fading edge.

    Parameters
    ----------
    rng : Generator
        Says which lesions are kept, whether left and right are swapped, and how far edges fade.
    mask : Volume
        Lesions of a patient in the space of the template.
    grid : Grid
        Of the patient, which is also that of the template.
    source : (3, I, J, K) float32
        Deformation: where each voxel lies in the template.
    brain : (I, J, K) bool
        Lesions are cut off at its border.
    """
    affine = mask.grid.inverse @ grid.affine
    if rng.random() < 0.5:
        affine = mask.grid.inverse @ np.diag([-1.0, 1, 1, 1]) @ grid.affine
    at = np.tensordot(affine[:3, :3].astype(np.float32), source, axes=1)
    at += affine[:3, 3].astype(np.float32)[:, None, None, None]
    inside = ndimage.map_coordinates((mask.data != 0).astype(np.float32), at, order=1) > 0.5
    labels, _ = ndimage.label(inside & brain, np.ones((3, 3, 3)))
    kept_share, fade_vox = rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0)
    spots = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if rng.random() > kept_share:
            continue
        i, j, k = (slice(max(s.start - _REACH_VOX, 0), s.stop + _REACH_VOX) for s in box)
        core = labels[i, j, k] == label
        if core.sum() >= MIN_VOXELS:
            where = tuple(slice(s.start, s.start + n) for s, n in zip((i, j, k), core.shape, strict=True))
            share = ndimage.gaussian_filter(core.astype(np.float32), fade_vox)
            spots.append(Spot((where[0], where[1], where[2]), share, core))
    return spots
