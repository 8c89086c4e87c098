"""Grids in space: where the voxels of an array lie in the world.

Conventions
-----------
* World coordinates are mm, RAS+ (x grows to the right, y to anterior, z to superior).
* Voxel coordinates are float array indices in the array's own axis order; an integer is the centre of a voxel.
* A grid's affine maps voxel to world. Geometry travels with its array: every operation that crops, flips or resamples
  a volume returns a volume with the grid that belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_lesion_points.errors import GridError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

#: Axis letters and their world axis and sign: "L" is the negative direction of world x, for example.
_AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}

#: Axis order of arrays shown to a reader. Slices along the first axis then appear in radiological convention:
#: anterior up, the patient's left on the right-hand side of the screen.
DISPLAY_AXES = "SPL"

#: Axis order of arrays given to a network, so that every case meets it in the same orientation.
NETWORK_AXES = "RAS"


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and placement of a 3D array.

    Parameters
    ----------
    shape : (3,) int
        Number of voxels along each array axis, each at least 1.
    affine : (4, 4) float
        Voxel to world (mm, RAS+). Invertible and finite.

    Raises
    ------
    GridError
        If the shape is not three positive numbers or the affine is not an invertible, finite 4 x 4 matrix.

    Examples
    --------
    >>> grid = Grid((10, 20, 30), np.diag([2.0, 2.0, 3.0, 1.0]))
    >>> grid.spacing
    array([2., 2., 3.])
    >>> grid.to_world([[1, 1, 1]])
    array([[2., 2., 3.]])
    """

    shape: tuple[int, int, int]
    affine: Array

    def __post_init__(self) -> None:
        """Check once, and make the affine read-only."""
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GridError(f"shape is {self.shape}; a grid has three axes of at least one voxel.")
        affine = np.array(self.affine, dtype=float)
        if affine.shape != (4, 4):
            raise GridError(f"affine has shape {affine.shape}; expected (4, 4).")
        if not np.isfinite(affine).all():
            raise GridError("affine holds values that are not finite; repair the header (sform/qform) of the image.")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if (lengths < 1e-6).any() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
            raise GridError(
                f"affine {affine[:3, :3].tolist()} is singular; repair the header (sform/qform) of the image."
            )
        affine.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @cached_property
    def spacing(self) -> Array:
        """(3,) float, mm per voxel in array axis order."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0), dtype=np.float64)

    @cached_property
    def inverse(self) -> Array:
        """(4, 4) float, world to voxel."""
        return np.asarray(np.linalg.inv(self.affine), dtype=np.float64)

    @property
    def axcodes(self) -> str:
        """Closest anatomical direction of each array axis, for example "RAS" or "LPS"."""
        signs = {v: k for k, v in _AXES.items()}
        world_axes, directions = _closest_axes(self.affine)
        return "".join(signs[w, d] for w, d in zip(world_axes, directions, strict=True))

    def to_world(self, points_vox: ArrayLike) -> Array:
        """Voxel coordinates (N, 3) to world mm (N, 3). No points give a (0, 3) array."""
        points = np.asarray(points_vox, dtype=float).reshape(-1, 3)
        return points @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_voxel(self, points_world: ArrayLike) -> Array:
        """World mm (N, 3) to voxel coordinates (N, 3). No points give a (0, 3) array."""
        points = np.asarray(points_world, dtype=float).reshape(-1, 3)
        return points @ self.inverse[:3, :3].T + self.inverse[:3, 3]

    def contains(self, points_world: ArrayLike) -> NDArray[np.bool_]:
        """Whether each world point (N, 3) lies in a voxel of the grid (within half a voxel of a centre)."""
        at = self.to_voxel(points_world)
        inside: NDArray[np.bool_] = np.all((at >= -0.5) & (at <= np.array(self.shape) - 0.5), axis=1)
        return inside

    def same_as(self, other: Grid, tolerance_mm: float = 1e-2) -> bool:
        """Whether both grids have the same shape and all corners within `tolerance_mm` of each other."""
        if self.shape != other.shape:
            return False
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(self.shape) - 1)
        return bool(np.abs(self.to_world(corners) - other.to_world(corners)).max() <= tolerance_mm)

    def reoriented(self, axcodes: str) -> Grid:
        """Return the same voxels with array axes in the order `axcodes` (closest axes, no resampling)."""
        order, flips = self._reorientation(axcodes)
        shape = tuple(self.shape[a] for a in order)
        step = np.zeros((4, 4))
        step[3, 3] = 1
        for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
            step[old, new] = -1 if flip else 1
            step[old, 3] = self.shape[old] - 1 if flip else 0
        return Grid((shape[0], shape[1], shape[2]), self.affine @ step)

    def cropped(self, box: tuple[slice, slice, slice]) -> Grid:
        """Return the grid of `array[box]`; slices need a start and a stop, without a step."""
        start = np.array([s.start for s in box], dtype=float)
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world(start)[0]
        i, j, k = (s.stop - s.start for s in box)
        return Grid((i, j, k), affine)

    def with_spacing(self, spacing_mm: ArrayLike) -> Grid:
        """Cover the same extent with voxels of the given size (mm, per axis); the outer faces' lower corner is kept."""
        spacing = np.broadcast_to(np.asarray(spacing_mm, dtype=float), 3)
        if not (np.isfinite(spacing) & (spacing > 0)).all():
            raise GridError(f"spacing_mm is {spacing_mm}; expected positive numbers of mm.")
        shape = np.maximum(np.round(np.array(self.shape) * self.spacing / spacing), 1).astype(int)
        affine = self.affine.copy()
        affine[:3, :3] *= spacing / self.spacing
        lower = self.affine @ np.array([-0.5, -0.5, -0.5, 1.0])
        affine[:3, 3] = lower[:3] + affine[:3, :3] @ np.full(3, 0.5)
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def _reorientation(self, axcodes: str) -> tuple[list[int], list[bool]]:
        """For each new axis: the old axis it comes from, and whether it is flipped."""
        world_axes, directions = _closest_axes(self.affine)
        order, flips = [], []
        for code in axcodes:
            world, sign = _AXES[code]
            old = world_axes.index(world)
            order.append(old)
            flips.append(directions[old] != sign)
        return order, flips


@dataclass(frozen=True, eq=False)
class Volume:
    """An array and the grid it lives on.

    Parameters
    ----------
    data : (I, J, K) array
        Values in the grid's axis order.
    grid : Grid
        Its shape must be the array's.
    """

    data: NDArray[np.generic]
    grid: Grid

    def __post_init__(self) -> None:
        """Check that array and grid agree."""
        if self.data.shape != self.grid.shape:
            raise GridError(f"array of shape {self.data.shape} does not fit a grid of shape {self.grid.shape}.")

    def reoriented(self, axcodes: str) -> Volume:
        """Return the same voxels as a view with array axes in the order `axcodes`."""
        order, flips = self.grid._reorientation(axcodes)
        data = self.data.transpose(order)[tuple(slice(None, None, -1 if f else None) for f in flips)]
        return Volume(data, self.grid.reoriented(axcodes))

    def resampled(self, grid: Grid, order: int = 1) -> Volume:
        """Interpolate onto another grid; outside the volume is 0.

        Parameters
        ----------
        grid : Grid
            Where the values are wanted.
        order : int
            Spline order: 0 keeps labels, 1 (linear) for images. Images are smoothed first along axes that become
            coarser (Gaussian, sigma = 0.4 of the ratio beyond 1), so that no fine structure aliases.
        """
        if self.grid.same_as(grid):
            return Volume(self.data, grid)
        # Rounded, so that no last bit makes an exact 0 beside a masked image something else: 0 is background there.
        matrix = (self.grid.inverse @ grid.affine).round(9)
        data: NDArray[np.generic] = self.data
        if order > 0:
            data = np.asarray(data, dtype=np.float32)
            steps = np.abs(matrix[:3, :3]).max(axis=1)  # source voxels passed per target voxel, by source axis
            blur = np.where(steps > 1.05, 0.4 * np.sqrt(np.maximum(steps**2 - 1, 0)), 0)
            if blur.any():
                data = ndimage.gaussian_filter(data, blur, mode="nearest")
        moved = ndimage.affine_transform(
            data,
            matrix[:3, :3],
            matrix[:3, 3],
            output_shape=grid.shape,
            order=order,
            mode="grid-constant",
            prefilter=order > 1,
        )
        return Volume(moved, grid)


def _closest_axes(affine: Array) -> tuple[list[int], list[int]]:
    """For each array axis: the world axis it runs along most closely (each used once) and the sign."""
    from scipy.optimize import linear_sum_assignment

    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    world, array = linear_sum_assignment(-np.abs(cosines))
    of_array = {int(a): int(w) for w, a in zip(world, array, strict=True)}
    axes = [of_array[a] for a in range(3)]
    return axes, [1 if cosines[w, a] > 0 else -1 for a, w in enumerate(axes)]
