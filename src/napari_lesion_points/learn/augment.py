"""Random changes to a training patch: parameters are drawn first, then applied to images and points together.

Points are voxel coordinates of the patch. Flips and affine changes follow the paper's settings (flips p = 0.5 per axis,
rotation and shear up to 8 degrees, scale 0.9 to 1.1). Gain, shift and gamma per sequence are added: scanners differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[np.floating]

MAX_ROTATION_DEG = 8.0
SCALE = (0.9, 1.1)
#: A patch is cut so much larger than needed that a rotated and shrunk patch is still filled.
MARGIN = 1.25


@dataclass(frozen=True)
class AugmentSettings:
    """How much a patch is varied, flips apart, which cost nothing and are always drawn.

    Parameters
    ----------
    affine_probability : float
        How often a patch is rotated, scaled and sheared.
    shear_deg : float
        Greatest angle of the shear.
    intensity : float
        Standard deviation of gain, shift and log gamma.
    """

    affine_probability: float = 0.3
    shear_deg: float = 0.0
    intensity: float = 0.1

    def scaled(self, strength: float) -> AugmentSettings:
        """Return settings of a share in [0, 1] of this strength."""
        return replace(self, affine_probability=strength * self.affine_probability, intensity=strength * self.intensity)


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Drawn parameters for one patch.

    Parameters
    ----------
    matrix : (3, 3) float
        Maps offsets from the centre of the new patch to offsets from the centre of the old one, in voxels; flips are
        negative signs in it.
    gain, shift, gamma : (C,) float
        Per sequence: `sign(x) * |x| ** gamma * gain + shift`, applied to standardised intensities.
    interpolate : bool
        False when the matrix holds flips only, which need no interpolation.
    """

    matrix: Array
    gain: Array
    shift: Array
    gamma: Array
    interpolate: bool


def draw_augmentation(
    rng: np.random.Generator, channels: int, spacing: Array, settings: AugmentSettings
) -> Augmentation:
    """Draw parameters.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    channels : int
        Number of sequences.
    spacing : (3,) float
        mm per voxel: rotation, scaling and shear happen in mm, so that anisotropic voxels change as cubes do.
    settings : AugmentSettings
        How much.
    """
    flips = np.diag(rng.choice([-1.0, 1.0], 3))
    interpolate = bool(rng.random() < settings.affine_probability)
    matrix = flips
    if interpolate:
        angles = np.deg2rad(rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG, 3))
        scale = rng.uniform(*SCALE, 3)
        millimetres = _rotation(angles) @ np.diag(scale) @ _shear(rng, settings.shear_deg)
        matrix = np.diag(1 / spacing) @ millimetres @ np.diag(spacing) @ flips
    gain = np.exp(rng.normal(0, settings.intensity, channels))
    shift = rng.normal(0, settings.intensity, channels)
    gamma = np.exp(rng.normal(0, settings.intensity, channels))
    return Augmentation(matrix, gain, shift, gamma, interpolate)


def augment_images(images: Tensor, size: tuple[int, int, int], augmentation: Augmentation) -> Tensor:
    """Apply to an enlarged patch and cut the final one from its centre.

    Parameters
    ----------
    images : (C, I, J, K) float
        Patch at least as large as `size`, and `MARGIN` times as large for interpolation to find data everywhere.
    size : (3,) int
        Shape of the result.
    augmentation : Augmentation
        What to do.

    Returns
    -------
    (C, *size) float32
    """
    if augmentation.interpolate:
        images = _interpolate(images.float(), size, augmentation.matrix)
    else:
        start = [(n - s) // 2 for n, s in zip(images.shape[1:], size, strict=True)]
        images = images[(slice(None), *(slice(a, a + s) for a, s in zip(start, size, strict=True)))].float()
        flipped = [axis + 1 for axis in range(3) if augmentation.matrix[axis, axis] < 0]
        images = images.flip(flipped) if flipped else images
    gain, shift, gamma = (
        torch.as_tensor(v, dtype=torch.float32).reshape(-1, 1, 1, 1)
        for v in (augmentation.gain, augmentation.shift, augmentation.gamma)
    )
    inside = images != 0  # the background is exactly 0 and stays so
    return torch.where(inside, images.sign() * images.abs().pow(gamma) * gain + shift, 0.0)


def augment_points(
    points: Array, source_size: tuple[int, int, int], size: tuple[int, int, int], augmentation: Augmentation
) -> Array:
    """Where points of the enlarged patch lie in the final one: (N, 3) voxel coordinates to (N, 3)."""
    source, target = _centers(source_size, size, augmentation.interpolate)
    moved: Array = (points - source) @ np.linalg.inv(augmentation.matrix).T + target
    return moved


def _centers(source_size: tuple[int, int, int], size: tuple[int, int, int], interpolate: bool) -> tuple[Array, Array]:
    """Voxel coordinates of the two patches' centres; whole voxels apart when nothing is interpolated."""
    target = (np.array(size) - 1) / 2
    if interpolate:
        return (np.array(source_size) - 1) / 2, target
    return (np.array(source_size) - size) // 2 + target, target


def _interpolate(images: Tensor, size: tuple[int, int, int], matrix: Array) -> Tensor:
    source_size = np.array(images.shape[1:])
    # grid_sample wants coordinates in [-1, 1] between the outer faces, last axis first
    theta = np.diag(1 / source_size) @ matrix @ np.diag(np.array(size, dtype=float))
    theta = np.hstack([theta[::-1, ::-1], np.zeros((3, 1))])
    grid = functional.affine_grid(
        torch.as_tensor(theta.copy(), dtype=torch.float32)[None], [1, 1, *size], align_corners=False
    )
    return functional.grid_sample(images[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def _rotation(angles: Array) -> Array:
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = math.cos(angle), math.sin(angle)
        i, j = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = c
        turn[i, j], turn[j, i] = -s, s
        result = result @ turn
    return result


def _shear(rng: np.random.Generator, greatest_deg: float) -> Array:
    result = np.eye(3)
    result[np.triu_indices(3, 1)] = np.tan(np.deg2rad(rng.uniform(-greatest_deg, greatest_deg, 3)))
    return result
