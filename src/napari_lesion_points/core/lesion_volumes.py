"""From the probability of each voxel to lesions and their volumes.

1. Voxels at or above the threshold that share a face or an edge are one lesion (18-connectivity, as in the paper).
2. Those of fewer than `MIN_VOXELS` voxels are dropped.
3. The largest lesion gets label 1, the next 2, and so on; of equals the first in array order comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_lesion_points.core.components import MIN_VOXELS
from napari_lesion_points.core.geometry import Volume

if TYPE_CHECKING:
    from napari_lesion_points.core.geometry import Grid

_MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class LesionVolume:
    """One lesion of a label image.

    Parameters
    ----------
    label : int
        Its value in the image.
    voxels : int
        How many it has.
    volume_ml : float
        How much that is, in ml.
    center_world : (3,) float
        Its centre of mass, world mm.
    """

    label: int
    voxels: int
    volume_ml: float
    center_world: tuple[float, float, float]


def label_lesions(probability: Volume, threshold: float, min_voxels: int = MIN_VOXELS) -> Volume:
    """Cut a probability at a threshold into lesions.

    Parameters
    ----------
    probability : Volume
        (I, J, K) float.
    threshold : float
        Voxels of at least this value are lesion.
    min_voxels : int
        Smaller components are dropped.

    Returns
    -------
    Volume
        uint16 (uint32 from 65536 lesions on), on the same grid: 0, or k for the k-th largest lesion.

    Examples
    --------
    >>> from napari_lesion_points.core.geometry import Grid
    >>> drawn = np.zeros((4, 4, 9))
    >>> drawn[1, 1, :3] = drawn[1, 1, 4:8] = 0.9
    >>> label_lesions(Volume(drawn, Grid(drawn.shape, np.eye(4))), 0.5).data[1, 1].tolist()
    [2, 2, 2, 0, 1, 1, 1, 1, 0]
    """
    found, count = ndimage.label(
        np.asarray(probability.data, np.float32) >= threshold, ndimage.generate_binary_structure(3, 2)
    )
    sizes = np.bincount(found.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= min_voxels]
    label = np.zeros(count + 1, np.uint16 if len(order) < 2**16 else np.uint32)
    label[order + 1] = np.arange(1, len(order) + 1)
    return Volume(label[found], probability.grid)


def lesion_volumes(labels: Volume) -> tuple[LesionVolume, ...]:
    """Measure the lesions of a label image, by ascending label; none for an empty one."""
    inside = labels.data != 0
    values, which, sizes = np.unique(labels.data[inside], return_inverse=True, return_counts=True)
    sums = [np.bincount(which, weights=axis, minlength=values.size) for axis in np.nonzero(inside)]
    centers = labels.grid.to_world(np.stack(sums, axis=1) / np.maximum(sizes, 1)[:, None])
    ml = voxel_ml(labels.grid)
    return tuple(
        LesionVolume(int(k), int(n), float(n * ml), (float(x), float(y), float(z)))
        for k, n, (x, y, z) in zip(values, sizes, centers, strict=True)
    )


def voxel_ml(grid: Grid) -> float:
    """Return the volume of one voxel in ml, also where axes are not at right angles.

    Examples
    --------
    >>> from napari_lesion_points.core.geometry import Grid
    >>> round(voxel_ml(Grid((1, 1, 1), np.diag([2.0, -2.0, 2.5, 1.0]))), 12)
    0.01
    """
    return float(abs(np.linalg.det(grid.affine[:3, :3]))) / _MM3_PER_ML
