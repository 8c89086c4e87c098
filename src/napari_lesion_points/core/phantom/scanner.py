"""Scanner: images of a scene, or of a window of it, at any voxel size.

Sharpness, slice thickness, displacement and resampling are linear and separate by axis: one matrix each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from napari_lesion_points.core.phantom.anatomy import smooth_noise
from napari_lesion_points.core.phantom.scene import DETAIL, PER_MM, SHARE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lesion_points.core.phantom.look import Look, Scan
    from napari_lesion_points.core.phantom.scene import Scene

    Array = NDArray[np.float32]

_MARGIN_MM = 4.0  # seen around a window, for what is blurred into it
_LEAST_BLUR_VOX = 0.4  # narrower, and a sum over voxels is no Gaussian
_CSF_MM = 2.0  # fluid between brain and skull


@dataclass(frozen=True, eq=False)
class Window:
    """A box of voxels to image: where its first voxel's centre lies in the scene, voxels, and its own voxel size."""

    start_vox: tuple[float, float, float]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


def whole(scene: Scene) -> Window:
    """Return the window that is the scene's own grid."""
    i, j, k = (float(s) for s in scene.grid.spacing)
    return Window((0.0, 0.0, 0.0), scene.grid.shape, (i, j, k))


def scan(rng: np.random.Generator, scene: Scene, look: Look, window: Window) -> tuple[Array, NDArray[np.bool_]]:
    """Image a window of a scene.

    Parameters
    ----------
    rng : Generator
        Of texture, bias field and noise.
    scene : Scene
        What there is to see.
    look : Look
        How it looks.
    window : Window
        What to image, along the axes of the scene's grid.

    Returns
    -------
    images : (S, I, J, K) float32
        Positive in the foreground, 0 outside it.
    foreground : (I, J, K) bool
        Brain, or head where it was not cut off.
    """
    box = _box(scene, window)
    voxels = _Voxels.of(scene, box, look)
    axes = [_resampling(window, scene, box, axis) for axis in range(3)]
    foreground = _apply(voxels.foreground(look).astype(np.float32), axes) > 0.5
    kinds = np.zeros(voxels.spot.shape, np.intp)
    if look.patch_share:
        kinds = _kinds(smooth_noise(rng, kinds.shape, look.patch_mm / scene.grid.spacing), look)
    images = np.empty((len(look.sequences), *foreground.shape), np.float32)
    for s, settings in enumerate(look.scans):
        signal = voxels.brightness(look, s, kinds)
        if look.uneven_mm:
            places = smooth_noise(rng, signal.shape, look.uneven_mm / scene.grid.spacing)
            signal += places * np.tensordot(look.uneven[s], voxels.tissue[:4], axes=1)
        if settings.texture:
            signal += settings.texture * _texture(rng, signal.shape) * (voxels.outside_mm < 0)
        np.maximum(signal, 0, out=signal)
        signal = _apply(signal, [_acquisition(settings, scene, m, axis) for axis, m in enumerate(axes)])
        field = smooth_noise(rng, signal.shape, settings.bias_mm / np.array(window.spacing_mm))
        noise = rng.standard_normal((2, *signal.shape), dtype=np.float32)
        images[s] = _measured(settings, signal, field, noise) * foreground
    return images, foreground


def level(
    rng: np.random.Generator, scene: Scene, look: Look, index: tuple[NDArray[np.intp], ...]
) -> tuple[Array, Array]:
    """Mean and standard deviation, (S,) each, that the foreground of an image of the whole scene would have.

    Estimated from the voxels at `index`, so that a window can be standardised as the whole would be. They are taken as
    sharp, so the spread is too wide where small patches lie around the brain.
    """
    voxels = _Voxels.of(scene, index, look)
    inside = voxels.foreground(look)
    kinds = _kinds(rng.standard_normal(inside.shape), look) if look.patch_share else np.zeros(inside.shape, np.intp)
    mean, deviation = np.zeros((2, len(look.scans)), np.float32)
    for s, settings in enumerate(look.scans):
        spread = np.tensordot(look.uneven[s], voxels.tissue[:4], axes=1)[inside]
        places, field, *noise = rng.standard_normal((4, len(spread)), dtype=np.float32)
        signal = np.maximum(voxels.brightness(look, s, kinds)[inside] + places * spread, 0)
        values = _measured(settings, signal, field, np.stack(noise))
        mean[s], deviation[s] = values.mean(), values.std()
    return mean, deviation


@dataclass(frozen=True, eq=False)
class _Voxels:
    """What is in some voxels of a scene, in arrays of any one shape.

    `tissue` (7, ...) has the shares of the tissues, of fluid outside the brain, of bone and of scalp.
    """

    tissue: Array
    detail: Array
    rim: Array
    extent: Array
    spot: NDArray[np.uint16]
    outside_mm: Array

    @classmethod
    def of(cls, scene: Scene, where: tuple[slice, ...] | tuple[NDArray[np.intp], ...], look: Look) -> _Voxels:
        """Return the voxels that an index of the scene's arrays takes."""
        outside_mm = np.divide(scene.surface[where], -PER_MM, dtype=np.float32)
        tissue = np.zeros((7, *outside_mm.shape), np.float32)
        np.divide(scene.tissue[(slice(None), *where)], SHARE, out=tissue[:4])
        skin = outside_mm > -1
        beyond = 1 - np.minimum(tissue[:4, skin].sum(axis=0), 1)
        near = 0.0
        for shell, thickness in zip(tissue[4:], (_CSF_MM, look.bone_mm, look.scalp_mm), strict=True):
            from_inside = np.clip(outside_mm[skin] - near + 0.5, 0, 1)
            near += thickness
            shell[skin] = beyond * from_inside * np.clip(near - outside_mm[skin] + 0.5, 0, 1)
        return cls(
            tissue,
            np.divide(scene.detail[where], DETAIL, dtype=np.float32),
            np.divide(scene.rim[where], SHARE, dtype=np.float32),
            np.divide(scene.extent[where], SHARE, dtype=np.float32),
            scene.spot[where],
            outside_mm,
        )

    def foreground(self, look: Look) -> NDArray[np.bool_]:
        """Whether a voxel is in the brain, or in the head where that is whole."""
        whole_mm = _CSF_MM + look.bone_mm + look.scalp_mm
        inside: NDArray[np.bool_] = self.outside_mm < (whole_mm if look.strip_mm is None else look.strip_mm)
        return inside

    def brightness(self, look: Look, s: int, kinds: NDArray[np.intp]) -> Array:
        """Return the brightness of each voxel in sequence s; `kinds` are those of the tissue around the brain."""
        levels = np.array([*look.tissue[s], look.tissue[s, 0], look.bone[s], look.scalp[s]], np.float32)
        signal: Array = np.tensordot(levels, self.tissue, axes=1)
        signal += look.detail[s] * self.detail
        signal += look.rim[s] * self.rim
        signal += look.spot[s][self.spot] * self.extent
        around = look.patch_share * np.clip(self.outside_mm - _CSF_MM, 0, 1)
        signal += around * (look.patches[s][kinds] - signal)
        return signal


def _kinds(field: NDArray[np.floating], look: Look) -> NDArray[np.intp]:
    """Cut a normal field into as many kinds, each as frequent."""
    count = look.patches.shape[1]
    kinds: NDArray[np.intp] = np.minimum((ndtr(field) * count).astype(np.intp), count - 1)
    return kinds


def _measured(settings: Scan, signal: Array, field: Array, noise: Array) -> Array:
    """Apply gamma, the bias field and Rician noise."""
    if settings.gamma != 1:
        signal = signal**settings.gamma
    signal = signal * np.exp(settings.bias * field)
    measured: Array = np.hypot(signal + settings.noise * noise[0], settings.noise * noise[1])
    return measured


def _box(scene: Scene, window: Window) -> tuple[slice, slice, slice]:
    """Return the part of the scene that a window needs."""
    spacing = scene.grid.spacing
    first = np.array(window.start_vox) - _MARGIN_MM / spacing
    last = window.start_vox + (np.array(window.shape) - 1) * window.spacing_mm / spacing + _MARGIN_MM / spacing
    low = np.clip(np.floor(first), 0, np.array(scene.grid.shape) - 1).astype(int)
    high = np.clip(np.ceil(last) + 1, low + 1, scene.grid.shape).astype(int)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return i, j, k


def _resampling(window: Window, scene: Scene, box: tuple[slice, ...], axis: int) -> Array:
    """(n, m) matrix from the box's voxels to the window's, by linear interpolation; beyond the box its edge repeats."""
    at = window.start_vox[axis] + np.arange(window.shape[axis]) * (window.spacing_mm[axis] / scene.grid.spacing[axis])
    return _interpolation(at - box[axis].start, box[axis].stop - box[axis].start)


def _interpolation(at: NDArray[np.floating], length: int) -> Array:
    at = np.clip(at, 0, length - 1)
    weights: Array = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(length))).astype(np.float32)
    return weights


def _acquisition(settings: Scan, scene: Scene, resampling: Array, axis: int) -> Array:
    """(n, m) matrix of what the scanner does along an axis, followed by resampling."""
    spacing, length = float(scene.grid.spacing[axis]), resampling.shape[1]
    at = np.arange(length)
    matrix = resampling
    if settings.slice_mm and axis == settings.slice_axis:
        step = settings.slice_mm / spacing
        centers = np.arange(0, length + step, step)
        profile = np.clip(0.5 * step + 0.5 - np.abs(centers[:, None] - at), 0, 1)
        profile = profile[profile.sum(axis=1) > 0]
        profile /= profile.sum(axis=1, keepdims=True)
        matrix = matrix @ _interpolation(at / step, len(profile)) @ profile.astype(np.float32)
    shift = settings.shift_mm[axis] / spacing
    if settings.blur_mm or shift:
        sigma = max(settings.blur_mm / spacing, _LEAST_BLUR_VOX)
        spread = np.exp(-0.5 * ((np.clip(at[:, None] + shift, 0, length - 1) - at) / sigma) ** 2)
        matrix = matrix @ (spread / spread.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def _apply(x: Array, axes: list[Array]) -> Array:
    """Apply a matrix along each axis."""
    for axis, matrix in enumerate(axes):
        x = np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(x)


def _texture(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """(I, J, K) noise that neighbours share, standard deviation 1."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    for axis in range(3):  # a quarter from either neighbour
        noise = 0.5 * noise + 0.25 * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))
    texture: Array = noise / np.float32(0.375**1.5)
    return texture
