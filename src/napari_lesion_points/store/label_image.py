"""Points as a label image, for programs that know lesions as labelled voxels.

Label k marks the k-th point: the voxel that it lies in and the six that share a face with that one. Where labels meet,
the point whose own voxel it is wins; among equals the nearest point (mm), then the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.errors import GridError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: The voxel itself (first), then its face neighbours.
_STAMP = np.array([(0, 0, 0), (-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)])


def label_image(points_world: ArrayLike, grid: Grid) -> Volume:
    """Paint points into a label image.

    Parameters
    ----------
    points_world : (N, 3) float, world mm
        Points within the grid. Points in one voxel share the stamp's voxels by distance; of two at the very same place
        only the first shows.
    grid : Grid
        Where to paint.

    Returns
    -------
    Volume
        uint16 (uint32 from 65536 points on): 0, or k for the k-th point, counted from 1. All 0 without points.

    Raises
    ------
    GridError
        If points lie outside the grid.

    Examples
    --------
    >>> labels = label_image([[1.0, 1.0, 1.0]], Grid((3, 3, 3), np.eye(4)))
    >>> int(labels.data[1, 1, 1]), int((labels.data == 1).sum())
    (1, 7)
    """
    points = np.asarray(points_world, dtype=float).reshape(-1, 3)
    outside = np.flatnonzero(~grid.contains(points))
    if len(outside):
        named = "; ".join(f"{k + 1} at {np.round(points[k], 1).tolist()}" for k in outside[:5])
        raise GridError(
            f"{len(outside)} of {len(points)} points (x, y, z mm) lie outside the image: {named}. Leave them out."
        )
    last = np.array(grid.shape) - 1
    own = np.minimum(np.rint(grid.to_voxel(points)).astype(int), last)  # on the far face, rint may round outwards
    voxels = (own[:, None] + _STAMP).reshape(-1, 3)
    label = np.repeat(np.arange(1, len(points) + 1), len(_STAMP))
    neighbour = np.tile(np.arange(len(_STAMP)) > 0, len(points))
    distance_mm = np.linalg.norm(grid.to_world(voxels) - points[label - 1], axis=1)
    inside = ((voxels >= 0) & (voxels <= last)).all(axis=1)
    order = np.lexsort((label, distance_mm, neighbour))[::-1]  # the winner of a voxel is painted last
    order = order[inside[order]]
    data = np.zeros(grid.shape, dtype=np.uint16 if len(points) < 2**16 else np.uint32)
    data[tuple(voxels[order].T)] = label[order]
    return Volume(data, grid)
