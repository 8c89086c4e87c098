"""Template anatomy: tissue maps on one grid, and their deformation into a patient's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_lesion_points.core.geometry import Grid, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

#: 2 mm voxels that cover the MNI152 brain with about 8 mm to spare, in multiples of 16 for the network's levels.
GRID = Grid((80, 96, 80), np.array([[2, 0, 0, -79], [0, 2, 0, -112], [0, 0, 2, -73], [0, 0, 0, 1]]))

#: 1 mm voxels that cover the MNI152 head down to the cerebellum.
FINE_GRID = Grid((176, 216, 184), np.array([[1, 0, 0, -87.5], [0, 1, 0, -126], [0, 0, 1, -80], [0, 0, 0, 1]]))

#: Intensities of fluid, grey and white matter that the template's own T1w shows; what is beyond them is its detail.
TEMPLATE_T1W = 0.25, 0.70, 1.00

_DEEP_MM = 20.0, 28.0  # grey matter turns from cortex into nuclei between these depths

_FOLDED_MM = 16.0, 22.0  # the cortex is folded anew as far as the first, and left as it is from the second
_FOLD_MM = 2.5, 5.0  # distance over which folds change
_FOLD_HEIGHT = 0.1, 0.35  # standard deviation of the noise on the way from fluid (0) over grey (0.5) to white (1)
_ATROPHY = 0.0, 0.12  # by how much sulci are wider than in the template, on that way
_EDGE = 0.15  # of that way, over which one tissue turns into the next


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
        csf, gm, wm = TEMPLATE_T1W
        detail: Array = self.t1 - csf * self.csf - gm * self.gm - wm * self.wm
        return detail

    @cached_property
    def depth_mm(self) -> Array:
        """(I, J, K) distance from the outside of the brain; 0 outside."""
        depth = ndimage.distance_transform_edt(self.gm + self.wm + self.csf > 0.5, sampling=self.grid.spacing)
        return depth.astype(np.float32)  # type: ignore[no-any-return]

    @cached_property
    def towards_ventricles(self) -> Array:
        """(3, I, J, K) vector along the axes of the grid towards the nearest ventricle: length 1 at its wall."""
        near = ndimage.gaussian_filter(self.periventricular, 2 / self.grid.spacing)
        return 6 * np.stack(np.gradient(near, *self.grid.spacing))

    @cached_property
    def deep(self) -> Array:
        """(I, J, K) share of grey matter that belongs to nuclei and not to the cortex."""
        low, high = _DEEP_MM
        nuclei: Array = (self.gm * np.clip((self.depth_mm - low) / (high - low), 0, 1)).astype(np.float32)
        return nuclei

    @cached_property
    def periventricular(self) -> Array:
        """(I, J, K) 1 in the ventricles, falling to 1/e at 6 mm from them."""
        ventricles = (self.csf > 0.5) & (self.depth_mm > 20)  # fluid this deep is no sulcus
        distance_mm = ndimage.distance_transform_edt(~ventricles, sampling=self.grid.spacing)
        nearness: Array = np.exp(-distance_mm / 6).astype(np.float32)
        return nearness


def make_anatomy(gm: Volume, wm: Volume, t1: Volume, grid: Grid = GRID) -> Anatomy:
    """Bring a template's maps (grey and white matter in [0, 1], skull-stripped T1w) onto one grid.

    The brain is what the tissue maps enclose; fluid is what they leave of it. Averaging over the template's subjects
    has blurred the maps, so the shares are raised to the power 1.5: the cortex is then about as crisp as one person's.
    """
    grey, white, template = (v.resampled(grid).data.astype(np.float32) for v in (gm, wm, t1))
    tissue = largest_part(ndimage.binary_opening(grey + white > 0.5, iterations=2))
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(tissue, iterations=4))
    shares = np.stack([grey, white, np.clip(1 - grey - white, 0, 1)]) ** 1.5 * brain
    grey, white, fluid = (shares / np.maximum(shares.sum(axis=0), 1e-6)).astype(np.float32)
    return Anatomy(grey, white, fluid, template * brain / template[white > 0.9].mean(), grid)


def deform(rng: np.random.Generator, anatomy: Anatomy, *, widen_mm: float = 0.0) -> Array:
    """Draw a deformation.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    anatomy : Anatomy
        Template to deform.
    widen_mm : float
        By how much the walls of the ventricles move outwards, at most: below 5, or space folds.

    Returns
    -------
    (3, I, J, K) float32
        Voxel coordinates in the template of each voxel of the patient.
    """
    grid = anatomy.grid
    turn = Rotation.from_euler("xyz", rng.uniform(-7, 7, 3), degrees=True).as_matrix()
    linear = turn * rng.uniform(0.92, 1.08, 3) * grid.spacing
    center = (np.array(grid.shape)[:, None, None, None] - 1) / 2
    at = np.indices(grid.shape, dtype=np.float32) - center
    bend = np.stack([smooth_noise(rng, grid.shape, 30 / grid.spacing) for _ in range(3)]) * 2  # mm
    source_mm = np.tensordot(linear, at, axes=1) + bend + rng.uniform(-3, 3, 3)[:, None, None, None]
    source: Array = (source_mm / grid.spacing[:, None, None, None] + center).astype(np.float32)
    if widen_mm:
        steps_mm = [widen_mm * ndimage.map_coordinates(t, source, order=1) for t in anatomy.towards_ventricles]
        source += np.stack(steps_mm) / grid.spacing[:, None, None, None].astype(np.float32)
    return source


def fold(rng: np.random.Generator, csf: Array, gm: Array, wm: Array, depth_mm: Array, grid: Grid) -> Array:
    """Fold the cortex as one person's is: a template's, averaged over many, has no gyri of its own.

    On the way from fluid over grey to white matter a voxel of the average stands where its shares put it. Noise moves
    it along, and it becomes the tissue that lies there: so grey matter stays between fluid and white matter, as a
    ribbon, and where the template is sure of a tissue nothing changes.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    csf, gm, wm : (I, J, K) float32
        Shares that sum to 1 in the brain and to 0 outside.
    depth_mm : (I, J, K) float32
        Distance from the outside of the brain.
    grid : Grid
        Of all of them.

    Returns
    -------
    (3, I, J, K) float32
        Shares of fluid, grey and white matter, of the same sum.
    """
    mean = np.stack([csf, gm, wm])
    inside = mean.sum(axis=0)
    noise = smooth_noise(rng, grid.shape, rng.uniform(*_FOLD_MM) / grid.spacing)
    moved = rng.uniform(*_FOLD_HEIGHT) * noise - rng.uniform(*_ATROPHY)
    way = 0.5 * gm + wm + moved * np.minimum(4 * (inside - mean.max(axis=0)), 1)
    white = np.clip((way - 0.75) / _EDGE + 0.5, 0, 1)
    fluid = np.clip((0.25 - way) / _EDGE + 0.5, 0, 1)
    folded = np.stack([fluid, 1 - fluid - white, white]) * inside
    low, high = _FOLDED_MM
    kept = np.clip((depth_mm - low) / (high - low), 0, 1)
    shares: Array = (folded + kept * (mean - folded)).astype(np.float32)
    return shares


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], scale_vox: NDArray[np.floating]) -> Array:
    """(I, J, K) random field of mean 0 and standard deviation 1 that changes over about `scale_vox` voxels per axis.

    Each voxel is a Gaussian-weighted sum of white noise at knots so far apart. The weights factor into the axes.
    """
    knots = np.ceil(np.array(shape) / scale_vox).astype(int) + 3  # one before, two beyond
    field: Array = rng.standard_normal(knots, dtype=np.float32)
    for voxels, scale in zip(shape, scale_vox, strict=True):
        at = np.arange(voxels) / scale + 1  # voxel centres, counted in knots
        weights = np.exp(-((at[:, None] - np.arange(len(field))) ** 2)).astype(np.float32)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        field = np.tensordot(field, weights, axes=(0, 1))  # the first axis becomes voxels, and the last
    return field


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected component (26-connectivity) of a mask that has one."""
    parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    largest: NDArray[np.bool_] = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    return largest
