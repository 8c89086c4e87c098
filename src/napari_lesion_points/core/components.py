"""Turn lesion masks into points: one centre of mass per lesion.

A *binary mask* (one distinct value besides 0) is split into connected components, where voxels that share a face, an
edge or a corner belong together (26-connectivity). A *label image* (several values besides 0) says itself which voxels
form a lesion, connected or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_lesion_points.errors import VolumeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lesion_points.core.geometry import Volume

#: Components below this many voxels are noise of a raters' vote or of resampling, not lesions.
MIN_VOXELS = 3


@dataclass(frozen=True, eq=False)
class Components:
    """Lesions of a mask, by ascending label.

    Parameters
    ----------
    centers_world : (K, 3) float
        Centres of mass, world mm. That of a crescent may lie outside the lesion.
    sizes : (K,) int
        Voxels per lesion.
    labels : (K,) int
        A label image's own labels; the number of the component, from 1, for a binary mask.
    """

    centers_world: NDArray[np.floating]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]


def component_centres(labels: Volume, min_voxels: int = MIN_VOXELS, *, label_image: bool | None = None) -> Components:
    """Find the lesions of a binary mask or label image.

    Parameters
    ----------
    labels : Volume
        (I, J, K) booleans or whole numbers; 0 is background.
    min_voxels : int
        Smaller components of a binary mask are dropped. The labels of a label image are its author's decision and are
        kept whatever their size.
    label_image : bool, optional
        Which of the two it is, when that is known; a label image of a single lesion cannot be told from a mask, and is
        taken for one.

    Returns
    -------
    Components
        With no rows for an empty mask.

    Raises
    ------
    VolumeError
        If a value is not a whole number, as in a probability map.

    Examples
    --------
    >>> from napari_lesion_points.core.geometry import Grid, Volume
    >>> mask = np.zeros((8, 8, 8), bool)
    >>> mask[1:4, 5, 5] = mask[7, 7, 7] = True
    >>> component_centres(Volume(mask, Grid(mask.shape, np.diag([2.0, 2.0, 2.0, 1.0])))).centers_world
    array([[ 4., 10., 10.]])
    """
    inside = labels.data != 0
    values = labels.data[inside]
    whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise VolumeError(
            f"a mask or label image holds whole numbers, but this one holds {values[whole != values][0]}; "
            "threshold a probability map first."
        )
    binary = not label_image
    if label_image is None:
        binary = bool(whole.size) and whole.min() == whole.max()
    if binary:
        whole = ndimage.label(inside, np.ones((3, 3, 3)))[0][inside]
    found, which, sizes = np.unique(whole, return_inverse=True, return_counts=True)
    sums = [np.bincount(which, weights=axis, minlength=found.size) for axis in np.nonzero(inside)]
    keep = sizes >= (min_voxels if binary else 1)
    centers_vox = np.stack(sums, axis=1)[keep] / sizes[keep, None]
    return Components(labels.grid.to_world(centers_vox), sizes[keep], found[keep].astype(np.int64))


@dataclass(frozen=True, eq=False)
class Detections:
    """What connected components of a map find (the paper's CC).

    Parameters
    ----------
    centers_vox : (K, 3) float
        Voxel coordinates.
    score, mean : (K,) float
        Highest value in each component, and the mean over its voxels.
    """

    centers_vox: NDArray[np.float64]
    score: NDArray[np.float64]
    mean: NDArray[np.float64]


def detect_components(
    values: NDArray[np.floating], threshold: float, *, at_maximum: bool, min_voxels: int = MIN_VOXELS
) -> Detections:
    """Find lesions in a predicted map as the paper's comparisons do (4): threshold, connected components, a point each.

    Voxels belong together when they share a face or an edge (18-connectivity).

    Parameters
    ----------
    values : (I, J, K) float
        Heatmap, distance map or segmentation probability.
    threshold : float
        Voxels of at least this value count.
    at_maximum : bool
        The point is the component's highest voxel (maps of points); else its centre of mass (segmentations).
    min_voxels : int
        Smaller components are dropped.
    """
    above = values >= threshold
    labels, count = ndimage.label(above, ndimage.generate_binary_structure(3, 2))
    voxels = np.stack(np.nonzero(above), axis=1)
    which, value = labels[above] - 1, values[above].astype(np.float64)
    sizes = np.bincount(which, minlength=count)
    descending = np.argsort(-value, kind="stable")
    highest = descending[np.unique(which[descending], return_index=True)[1]]
    if at_maximum:
        centers = voxels[highest].astype(np.float64)
    else:
        sums = [np.bincount(which, weights=axis, minlength=count) for axis in voxels.T]
        centers = np.stack(sums, axis=1) / sizes[:, None]
    score, mean = value[highest], np.bincount(which, weights=value, minlength=count) / sizes
    keep = np.flatnonzero(sizes >= min_voxels)
    keep = keep[np.argsort(-score[keep], kind="stable")]
    return Detections(centers[keep], score[keep], mean[keep])
