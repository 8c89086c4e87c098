"""What is left of a heatmap while Gaussians are taken away, and where it is highest.

The maximum of each block of voxels is kept, so peaks are found among few numbers, and taking away a Gaussian renews
only the blocks that it reaches. Coordinates are voxels, array axis order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.heatmap import add_gaussians

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int_]
    Box = tuple[slice, ...]

_BLOCK = 8  # edge of a block in voxels; with 4 searching costs more, with 16 renewing
LARGEST = 1e30  # leaves room in float32 for masses; no heatmap comes near it


class Residual:
    """A copy of a heatmap that shrinks.

    Parameters
    ----------
    heatmap : (I, J, K) array
        Not changed. Voxels that are not finite, or larger than `LARGEST`, become 0.

    Attributes
    ----------
    values : (I, J, K) float32
        What is left.
    broken : (I, J, K) bool, or None
        The voxels that became 0; None if there are none.
    floor : float
        Nothing at or under this value is a peak: a constant heatmap has none, nor has a negative one.
    """

    def __init__(self, heatmap: NDArray[np.generic]) -> None:
        self.shape = heatmap.shape
        padded = np.empty([-(-n // _BLOCK) * _BLOCK for n in self.shape], np.float32)
        for axis, n in enumerate(self.shape):
            padded[(slice(None),) * axis + (slice(n, None),)] = -np.inf
        self._padded = padded
        self.values = padded[tuple(slice(n) for n in self.shape)]
        with np.errstate(over="ignore", invalid="ignore"):
            self.values[...] = heatmap
        self.broken: NDArray[np.bool_] | None = None
        self._block_max = _block_maxima(padded)
        low = float(self.values.min(initial=np.inf))
        if not (low >= -LARGEST and self._block_max.max(initial=0) <= LARGEST):
            self.broken = ~(np.abs(self.values) <= LARGEST)
            self.values[self.broken] = 0
            self._block_max = _block_maxima(padded)
            low = float(self.values.min())
        self.floor = max(low, 0.0)

    def peaks(self, above: float, visible: float, reach: Array, most: int) -> tuple[Indices, Array]:
        """Peaks that nothing higher is near: the global maximum, and others.

        Parameters
        ----------
        above : float
            There is no peak if the global maximum is not higher.
        visible : float
            Peaks beside the global maximum are higher than this.
        reach : (3,) float
            Nothing nearer than this along all axes is higher, nor as high and first in array order.
        most : int
            At most so many, the highest.

        Returns
        -------
        voxels : (N, 3) int
            Highest first; of equal ones, the first in array order.
        heights : (N,) float
        """
        highest = self._block_max.max(initial=-np.inf)
        if not highest > above:
            return np.empty((0, 3), dtype=int), np.empty(0)
        near = _neighbourhood_maxima(self._block_max, np.ceil(reach / _BLOCK))
        i, j, k = np.nonzero(
            (self._block_max == near) & (self._block_max > min(visible, np.nextafter(highest, -np.inf)))
        )
        inside = np.unravel_index(self._blocks()[i, :, j, :, k].reshape(len(i), -1).argmax(axis=1), (_BLOCK,) * 3)
        voxels = np.stack([i, j, k], axis=1) * _BLOCK + np.stack(inside, axis=1)
        heights = self._block_max[i, j, k].astype(float)
        order = np.lexsort((np.ravel_multi_index(tuple(voxels.T), self.shape), -heights))[:most]
        voxels, heights = voxels[order], heights[order]
        close = (np.abs(voxels[:, None] - voxels) < reach).all(axis=2)
        first = ~np.tril(close & (heights[:, None] == heights), -1).any(axis=1)
        return voxels[first], heights[first]

    def subtract(self, centers: Array, sigma: Array, mass: Array) -> None:
        """Take (N,) masses times Gaussians at (N, 3) centres away."""
        self._renew(add_gaussians(self.values, centers, sigma, -mass))

    def exclude(self, voxels: Indices, radius: Indices) -> None:
        """Cut the boxes of voxels within `radius` (3,) down to the floor: no peak is found there again."""
        start, stop = np.maximum(voxels - radius, 0), np.minimum(voxels + radius + 1, self.shape)
        boxes = [tuple(map(slice, a, b)) for a, b in zip(start.tolist(), stop.tolist(), strict=True)]
        for box in boxes:
            self.values[box] = np.minimum(self.values[box], self.floor)
        self._renew(boxes)

    def _blocks(self) -> NDArray[np.float32]:
        i, j, k = self._block_max.shape
        return self._padded.reshape(i, _BLOCK, j, _BLOCK, k, _BLOCK)

    def _renew(self, boxes: list[Box]) -> None:
        if not boxes:
            return
        changed = np.zeros(self._block_max.shape, dtype=bool)
        for box in boxes:
            changed[tuple([slice(s.start // _BLOCK, -(-s.stop // _BLOCK)) for s in box])] = True
        i, j, k = np.nonzero(changed)
        self._block_max[i, j, k] = self._blocks()[i, :, j, :, k].reshape(len(i), _BLOCK**3).max(axis=1)


def _block_maxima(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maximum of each block; one axis after the other, because that runs along whole rows first."""
    i, j, k = (n // _BLOCK for n in voxels.shape)
    slabs = voxels.reshape(i, _BLOCK, j * _BLOCK, k * _BLOCK).max(axis=1)
    bars = slabs.reshape(i, j, _BLOCK, k * _BLOCK).max(axis=2)
    maxima: NDArray[np.float32] = bars.reshape(i, j, k, _BLOCK).max(axis=3)
    return maxima


def _neighbourhood_maxima(values: NDArray[np.float32], reach: Array) -> NDArray[np.float32]:
    """Maximum over the neighbours up to `reach` (3,) away, one axis after the other."""
    for axis, n in enumerate(values.shape):
        along = np.moveaxis(values, axis, 0)
        maxima = along.copy()
        for shift in range(1, int(min(reach[axis], n - 1)) + 1):
            np.maximum(maxima[shift:], along[:-shift], out=maxima[shift:])
            np.maximum(maxima[:-shift], along[shift:], out=maxima[:-shift])
        values = np.moveaxis(maxima, 0, axis)
    return values
