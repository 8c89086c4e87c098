"""Least squares of Gaussians with fixed axes in boxes of voxels, many boxes at once.

A box holds K Gaussians, each with a mass and a centre, and perhaps a constant background. Because a Gaussian with fixed
axes is a product of three 1D functions, every inner product of the normal equations is a product of 1D sums, and the
data enter through one contraction per axis. Coordinates are voxels, array axis order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.heatmap import gaussian_1d

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int_]

_MAX_ITERATIONS = 50  # half of the fits take 6 or less, 99 % of those amid crowded neighbours 37 or less
_TOLERANCE = 1e-4  # voxels, and relative mass: how far from the minimum a fit may end
_NO_DESCENT = 1e8  # damping at which no direction leads down: a minimum to machine precision


@dataclass(frozen=True, eq=False)
class Boxes:
    """B boxes of equal size, cut from a volume.

    Parameters
    ----------
    data : (B, I, J, K) float
        Voxel values.
    at : (B, 3, W) int
        Voxel index along each axis; W is the longest side, and what exceeds a shorter one is not `inside`.
    inside : (B, 3, W) bool
        The indices that count. `data` is 0 where an index along any axis does not.
    """

    data: Array
    at: Indices
    inside: NDArray[np.bool_]

    def __getitem__(self, which: NDArray[np.bool_]) -> Boxes:
        """Return some of the boxes."""
        return Boxes(self.data[which], self.at[which], self.inside[which])


def least_squares(
    boxes: Boxes, centers: Array, mass: Array, sigma: Array, *, background: bool = False
) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """Minimise |data - background - sum of mass * N(centre, sigma)|^2 in each box, by Levenberg and Marquardt.

    Along an axis with a single voxel the centre cannot be known, and stays.

    Parameters
    ----------
    boxes : Boxes
        B of them.
    centers : (B, K, 3) float
        Start.
    mass : (B, K) float
        Start.
    sigma : (3,) float
        Standard deviation in voxels.
    background : bool
        Whether a constant is fitted, too; it starts at 0.

    Returns
    -------
    centers : (B, K, 3) float
    mass : (B, K) float
    cost : (B,) float
        What is left of the sum of squares.
    converged : (B,) bool
        False where no finite minimum was reached: the other figures there mean nothing.
    """
    count, gaussians = mass.shape
    model = _Model(gaussians, background, sigma)
    values = model.values(centers, mass)
    size = values.shape[1]
    unknown = model.unknown([n == 1 for n in boxes.data.shape[1:]])
    absolute, relative = model.tolerance()
    result, costs, converged = values.copy(), np.einsum("bijk,bijk->b", boxes.data, boxes.data), np.zeros(count, bool)
    active, damping, raise_by, last = np.arange(count), np.full(count, 1e-3), np.full(count, 2.0), np.zeros(count)
    with np.errstate(all="ignore"):  # far from the box everything is 0 / 0, which ends that fit
        state = model.equations(boxes, values)
        for _ in range(_MAX_ITERATIONS):
            cost, gradient, normal = state[:, 0], state[:, 1 : size + 1], state[:, size + 1 :]
            diagonal = normal[:, :: size + 1]
            usable = diagonal > 0
            alive = (usable | unknown).all(axis=1)  # else it left the box, or has no mass
            ridge = np.where(usable, damping[:, None] * diagonal, 1.0)
            damped = normal.copy()
            damped[:, :: size + 1] += ridge
            step = np.linalg.solve(damped.reshape(-1, size, size), gradient[..., None])[..., 0]
            tried = values + step
            new = model.equations(boxes, tried)
            descent = cost - new[:, 0]
            better = descent >= 0
            # A neighbour in the box makes undamped steps too long, again and again. So the damping follows how much of
            # the promised descent came true (Nielsen 1999): after a good step it falls to a third, after a poor one it
            # rises.
            promised = (step * (ridge * step + gradient)).sum(axis=1)
            kept = 2 * np.where(promised > 0, descent / promised, 1.0) - 1
            was, damping = damping, damping * np.where(better, np.maximum(1 / 3, 1 - kept * kept * kept), raise_by)
            raise_by = np.where(better, 2.0, 2 * raise_by)
            if better.all():
                values, state = tried, new
            else:
                values, state = np.where(better[:, None], tried, values), np.where(better[:, None], new, state)
            # Steps that shrink by a factor each leave a geometric series: it ends when its sum is within tolerance.
            length = (1 + was) * (np.abs(step) / (absolute + relative * np.abs(values))).max(axis=1)
            arrived = (length * (length + 1) <= last) | (length < 0.01)
            last = np.where(better, length, last)
            ends = np.where(better, arrived, damping > _NO_DESCENT) | ~alive
            if ends.any():
                found, on = ends & alive, ~ends
                ended = active[found]
                result[ended], converged[ended] = values[found], True
                costs[ended] += state[found, 0]
                if not on.any():
                    break
                boxes, values, state = boxes[on], values[on], state[on]
                active, damping, raise_by, last = active[on], damping[on], raise_by[on], last[on]
    fitted = result[:, : 4 * gaussians].reshape(count, gaussians, 4)
    return fitted[..., 1:], fitted[..., 0], costs, converged


class _Model:
    """What the parameters of a box mean: mass and centre of each Gaussian in turn, then the background.

    The model's derivative by a parameter is a product of three 1D functions, one per axis, each out of Q: the Gaussians
    (the first K), their derivatives by the centre (K more), a constant.
    """

    def __init__(self, gaussians: int, background: bool, sigma: Array) -> None:
        self.sigma = sigma[:, None, None]
        self.gaussians = gaussians
        members, size = 4 * gaussians, 4 * gaussians + background
        functions = 2 * gaussians + background
        which = np.full((3, size), functions - 1)  # (3, P), of the Q functions along each axis
        which[:, :members] = np.repeat(np.arange(gaussians), 4)
        for axis in range(3):
            which[axis, 1 + axis : members : 4] += gaussians
        self._pairs = which[:, :, None] * functions + which[:, None]  # (3, P, P)
        self._triples = (which[0] * functions + which[1]) * functions + which[2]  # (P,)
        self._linear = np.array([*range(0, members, 4), *range(members, size)])
        self._owner = np.repeat(np.arange(0, size, 4), 4)[:size]

    def values(self, centers: Array, mass: Array) -> Array:
        """(B, P) parameters; the background starts at 0."""
        values = np.zeros((len(mass), len(self._owner)))
        members = values[:, : 4 * self.gaussians].reshape(*mass.shape, 4)
        members[..., 0], members[..., 1:] = mass, centers
        return values

    def unknown(self, along: list[bool]) -> NDArray[np.bool_]:
        """(P,) which parameters the data cannot tell, where that is so of the centres along some axes."""
        return np.array([False, *along] * (self.gaussians + 1))[: len(self._owner)]

    def tolerance(self) -> tuple[Array, Array]:
        """(P,) absolute and relative distance from the minimum; that of the background does not matter."""
        rest = len(self._owner) - 4 * self.gaussians
        absolute = np.array([0.0, *[_TOLERANCE] * 3] * self.gaussians + [np.inf] * rest)
        return absolute, np.array([_TOLERANCE, 0.0, 0.0, 0.0] * self.gaussians + [0.0] * rest)

    def equations(self, boxes: Boxes, values: Array) -> Array:
        """(B, 1 + P + P * P): cost without |data|^2, half its negative gradient, Gauss and Newton's matrix."""
        count, size = values.shape
        k = self.gaussians
        centers = values[:, : 4 * k].reshape(count, k, 4)[..., 1:].swapaxes(1, 2)[..., None]
        at = boxes.at[:, :, None]
        functions = np.empty((count, 3, 2 * k + (size > 4 * k), at.shape[-1]))
        functions[:, :, 2 * k :] = boxes.inside[:, :, None]
        np.multiply(gaussian_1d(at, centers, self.sigma), boxes.inside[:, :, None], out=functions[:, :, :k])
        np.multiply(functions[:, :, :k], (at - centers) / self.sigma**2, out=functions[:, :, k : 2 * k])

        products = (functions @ functions.swapaxes(2, 3)).reshape(count, 3, -1)
        gram = products[:, 0].take(self._pairs[0], axis=1)
        gram *= products[:, 1].take(self._pairs[1], axis=1)
        gram *= products[:, 2].take(self._pairs[2], axis=1)
        along_i, along_j, along_k = (functions[:, axis, :, :n] for axis, n in enumerate(boxes.data.shape[1:]))
        overlap = along_i @ boxes.data.reshape(count, boxes.data.shape[1], -1)
        overlap = along_j[:, None] @ overlap.reshape(count, -1, *boxes.data.shape[2:])
        overlap = overlap @ along_k[:, None].swapaxes(2, 3)
        overlap = overlap.reshape(count, -1).take(self._triples, axis=1)

        height = values.take(self._linear, axis=1)
        fitted = (gram.take(self._linear, axis=2) @ height[..., None])[..., 0]
        scale = values.take(self._owner, axis=1)  # the derivative by a centre goes with the mass
        scale[:, self._linear] = 1
        result = np.empty((count, 1 + size + size**2))
        result[:, 0] = (height * (fitted - 2 * overlap).take(self._linear, axis=1)).sum(axis=1)
        np.multiply(scale, overlap - fitted, out=result[:, 1 : size + 1])
        gram *= scale[:, :, None]
        gram *= scale[:, None]
        result[:, size + 1 :] = gram.reshape(count, -1)
        return result
