"""Intensities as the network sees them: zero mean and unit variance inside the foreground, 0 outside (paper 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: A volume has had its background removed (skull-stripped or masked) when at least this share of it is exactly 0 ...
_MASKED_SHARE = 0.15

#: ... at least four of the six faces of the box around the rest hold hardly anything else: noise in air fills them, and
#: a brain that is cut at top and bottom leaves four that are empty ...
_FACE_SHARE = 0.1

#: ... and the rest is no box, not even a tilted one: that would be the field of view of a sequence, resampled onto the
#: grid of another. The volume of a body over the root of the determinant of its second moments depends neither on its
#: size nor on stretch or tilt: 41.6 for any box, up to 42.3 for what two boxes share, tilted by up to 45 degrees;
#: 43.4 to 44.4 for the brains of 200 simulated patients, of 2 real ones and of MNI152, 46.8 for any ellipsoid.
_BOX_RATIO = 42.8


def foreground_mask(volumes: Sequence[NDArray[np.floating]]) -> NDArray[np.bool_]:
    """Where the head or brain is: the region in which intensities are standardised and lesions are looked for.

    Parameters
    ----------
    volumes : sequence of (I, J, K) float
        The sequences of a case on one grid; at least one.

    Returns
    -------
    (I, J, K) bool
        Where any volume is skull-stripped, the voxels that are not 0 in one of those. Otherwise the voxels above
        Otsu's threshold in a smoothed volume, the largest component of each. Holes filled; all True if that is empty.
    """
    removed = [v for v in volumes if _background_removed(v)]
    mask = np.zeros(volumes[0].shape, bool)
    for volume in removed or volumes:
        mask |= volume != 0 if removed else _head(volume)
    mask = ndimage.binary_fill_holes(mask)
    return mask if mask.any() else np.ones_like(mask)


def otsu_threshold(values: NDArray[np.floating], bins: int = 256) -> float:
    """Return the threshold that best separates two classes of intensities (Otsu 1979): maximal between-class variance.

    A constant array gives its value.
    """
    counts, edges = np.histogram(values, bins=bins)
    centers = (edges[1:] + edges[:-1]) / 2
    below, above = counts.cumsum(), counts[::-1].cumsum()[::-1]
    sum_below = (counts * centers).cumsum()
    mean_below = sum_below / np.maximum(below, 1)
    mean_above = (sum_below[-1] - sum_below) / np.maximum(above - counts, 1)
    between = below * (above - counts) * (mean_below - mean_above) ** 2
    return float(edges[1:][between.argmax()]) if between.any() else float(values.max())


def standardise(volume: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Zero mean and unit variance inside the mask, 0 outside. A volume constant inside the mask becomes all 0.

    Voxels of exactly 0 do not count for mean and variance: a sequence has them where another one sees more of the head.

    Parameters
    ----------
    volume : (I, J, K) float
        Raw intensities, finite.
    mask : (I, J, K) bool
        Foreground; at least one voxel.
    """
    inside = volume[mask].astype(np.float32, copy=False)
    seen = inside[inside != 0]
    out = np.zeros(volume.shape, np.float32)
    if seen.size:
        mean = np.float32(seen.mean(dtype=np.float64))
        seen -= mean
        deviation = np.sqrt(np.square(seen).mean(dtype=np.float64))
        if deviation > 0:
            out[mask] = (inside - mean) / np.float32(deviation)
    return out


def bounding_box(mask: NDArray[np.bool_], margin: int = 0) -> tuple[slice, slice, slice]:
    """Return the smallest box around the True voxels, `margin` voxels wider; the whole array if none is True."""
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return slice(0, mask.shape[0]), slice(0, mask.shape[1]), slice(0, mask.shape[2])
    i, j, k = (
        slice(max(s.start - margin, 0), min(s.stop + margin, n)) for s, n in zip(boxes[0], mask.shape, strict=True)
    )
    return i, j, k


def _background_removed(volume: NDArray[np.floating]) -> bool:
    filled = volume != 0
    if not 0 < filled.mean() <= 1 - _MASKED_SHARE:
        return False
    filled = filled[bounding_box(filled)]
    faces = [filled.take(end, axis=axis).mean() for axis in range(3) for end in (0, -1)]
    return sum(share < _FACE_SHARE for share in faces) >= 4 and _moment_ratio(filled) > _BOX_RATIO


def _moment_ratio(body: NDArray[np.bool_]) -> float:
    """Return the volume of a body over the root of the determinant of its second moments (see `_BOX_RATIO`)."""
    volume = np.count_nonzero(body)
    moments = np.eye(3) / 12  # those of one voxel
    for i, j in ((0, 1), (1, 2), (2, 0)):
        plane = body.sum(axis=3 - i - j, dtype=float)
        if i > j:
            plane = plane.T
        x, y = (np.arange(n) - np.arange(n) @ plane.sum(axis=1 - axis) / volume for axis, n in enumerate(plane.shape))
        moments[i, i] += x**2 @ plane.sum(axis=1) / volume
        moments[i, j] = moments[j, i] = x @ plane @ y / volume
    return float(volume / np.sqrt(np.linalg.det(moments)))


def _head(volume: NDArray[np.floating]) -> NDArray[np.bool_]:
    smooth = ndimage.gaussian_filter(volume.astype(np.float32, copy=False), 1.0)
    return _largest_component(smooth > otsu_threshold(smooth))


def _largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    # One plane at a time: bincount makes an int64 copy of what it counts.
    sizes = np.zeros(count + 1, int)
    for plane in labels:
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest: NDArray[np.bool_] = labels == sizes.argmax()
    return largest
