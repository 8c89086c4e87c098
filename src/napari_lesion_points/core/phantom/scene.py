"""Scene: what there is to see in a patient, before a scanner has seen it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_lesion_points.core.components import MIN_VOXELS
from napari_lesion_points.core.phantom.anatomy import deform, fold
from napari_lesion_points.core.phantom.spots import Spot, grow, warp_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lesion_points.core.geometry import Grid, Volume
    from napari_lesion_points.core.phantom.anatomy import Anatomy

#: What a voxel is made of, in the order of `Scene.tissue`.
TISSUES = ("csf", "gm", "deep", "wm")

#: Steps of the compact maps: a share of 1 is 255, a detail of 1 is 200, 1 mm from the brain is 6.
SHARE, DETAIL, PER_MM = 255.0, 200.0, 6.0

_PLAIN_MM3 = (24.0, 1200.0)  # 3 to 150 voxels of 2 mm
_VARIED_MM3 = (4.0, 2500.0)
#: Lesion centres keep this distance, and their voxels a gap, so that each has one centre that readers would agree on.
_APART_MM = 10.0


@dataclass(frozen=True, eq=False)
class Scene:
    """A patient before any scanner has seen it.

    Parameters
    ----------
    tissue : (4, I, J, K) uint8
        Share of each of `TISSUES`, in 255ths.
    detail : (I, J, K) int8
        The template's fine detail, in 200ths of the brightness of white matter in T1w.
    rim : (I, J, K) uint8
        White matter at the walls of the ventricles, which is bright in normal brains too, in 255ths.
    extent : (I, J, K) uint8
        Share of a spot in each voxel, in 255ths.
    spot : (I, J, K) uint16
        Which spot: k = 1 ... `lesions` are the lesions, what follows are others; 0 is none.
    labels : (I, J, K) uint16
        k in the voxels that lesion k fills.
    surface : (I, J, K) int8
        Distance from the surface of the brain in sixths of a mm, positive inside, as far as that fits.
    lesions, spots : int
        Number of lesions; of all spots.
    grid : Grid
        Of all arrays.
    """

    tissue: NDArray[np.uint8]
    detail: NDArray[np.int8]
    rim: NDArray[np.uint8]
    extent: NDArray[np.uint8]
    spot: NDArray[np.uint16]
    labels: NDArray[np.uint16]
    surface: NDArray[np.int8]
    lesions: int
    spots: int
    grid: Grid

    @property
    def brain(self) -> NDArray[np.bool_]:
        """(I, J, K) where the brain is."""
        return self.surface > 0


def draw_scene(
    rng: np.random.Generator,
    anatomy: Anatomy,
    *,
    lesions: tuple[int, int],
    varied: bool = False,
    masks: Sequence[Volume] = (),
) -> Scene:
    """Draw a patient.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    anatomy : Anatomy
        Template to deform. The patient has its grid.
    lesions : (int, int)
        Fewest and most lesions to grow, both included. There are fewer where white matter has no room for them.
    varied : bool
        Lesions of all sizes, at any distance, ventricles of all sizes, and a cortex folded anew.
    masks : sequence of Volume
        Lesions of real patients in the template's space: those of one of them come first.
    """
    grid = anatomy.grid
    source = deform(rng, anatomy, widen_mm=rng.uniform(0, 4.5) if varied else 0.0)
    csf, gm, deep, wm, detail, near = (
        ndimage.map_coordinates(m, source, order=1)
        for m in (anatomy.csf, anatomy.gm, anatomy.deep, anatomy.wm, anatomy.detail, anatomy.periventricular)
    )
    if varied:
        depth_mm = ndimage.map_coordinates(anatomy.depth_mm, source, order=1)
        csf, gm, wm = fold(rng, csf, gm, wm, depth_mm, grid)
        deep = np.minimum(deep, gm)
    brain = ndimage.binary_fill_holes(csf + gm + wm > 0.5)

    sites = np.where(wm > 0.6, 0.05 + near, 0)
    free = brain & (wm > 0.4)
    extent, labels = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint16)
    spot = np.zeros(grid.shape, np.uint16)
    centers: list[NDArray[np.floating]] = []

    def add(found: Spot, number: int) -> None:
        share = np.rint(SHARE * found.share * brain[found.where]).astype(np.uint8)
        more = share > extent[found.where]
        extent[found.where][more] = share[more]
        spot[found.where][more] = number
        free[found.where] &= ~ndimage.binary_dilation(found.core, np.ones((3, 3, 3)))

    def add_lesion(found: Spot) -> None:
        centers.append(grid.to_world(found.center_vox))
        add(found, len(centers))
        labels[found.where][found.core] = len(centers)

    if masks:
        for found in warp_mask(rng, masks[int(rng.integers(len(masks)))], grid, source, brain):
            add_lesion(found)
    wanted = len(centers) + int(rng.integers(lesions[0], lesions[1] + 1))
    apart_mm = 0.0 if varied else _APART_MM
    sizes_mm3 = _VARIED_MM3 if varied else _PLAIN_MM3
    for _ in range(20 * (wanted - len(centers))):  # most attempts succeed in an adult brain
        grown = grow(rng, sites, free, grid, sizes_mm3) if len(centers) < wanted else None
        if grown is None:
            break
        center = grid.to_world(grown.center_vox)
        if grown.core.sum() >= MIN_VOXELS and all(np.linalg.norm(center - c) >= apart_mm for c in centers):
            add_lesion(grown)
    spots = len(centers)
    for _ in range(int(rng.integers(4, 12))):
        grown = grow(rng, sites, free, grid, sizes_mm3)
        if grown is None:
            break
        spots += 1
        add(grown, spots)

    gm -= deep
    inside = ndimage.distance_transform_edt(brain, sampling=grid.spacing)
    outside = ndimage.distance_transform_edt(~brain, sampling=grid.spacing)
    return Scene(
        tissue=_shares(np.stack([csf, gm, deep, wm])),
        detail=np.clip(np.rint(DETAIL * detail), -127, 127).astype(np.int8),
        rim=_shares(wm * near**2),
        extent=extent,
        spot=spot,
        labels=labels,
        surface=np.clip(np.rint(PER_MM * (inside - outside)), -127, 127).astype(np.int8),
        lesions=len(centers),
        spots=spots,
        grid=grid,
    )


def _shares(x: NDArray[np.floating]) -> NDArray[np.uint8]:
    shares: NDArray[np.uint8] = np.rint(SHARE * np.clip(x, 0, 1)).astype(np.uint8)
    return shares
