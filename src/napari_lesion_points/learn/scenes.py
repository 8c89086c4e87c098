"""Training patches of simulated patients, each imaged anew: other contrasts, another scanner, other sequences.

A scene holds the anatomy and the lesions; only the window that is wanted is imaged, so that a network never sees the
same image twice. See `core.phantom`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_lesion_points.core.heatmap import draw_gaussians
from napari_lesion_points.core.phantom.look import draw_look, draw_sequences
from napari_lesion_points.core.phantom.scanner import Window, level, scan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_lesion_points.core.phantom.scene import Scene
    from napari_lesion_points.learn.patches import PatchSettings

_NEAR_MM = 15.0  # of the brain: what may be foreground in a whole head
_SAMPLED = 3000  # voxels of a scene that tell its mean brightness
_EDGE_SHARE = 0.35  # a lesion is placed at most so far (share of the patch) from the patch's centre
_FINEST_HALF = 0.5  # share of the patches whose voxels are in the finest third of the range


@dataclass(frozen=True, eq=False)
class _Place:
    """A scene with what sampling needs looked up once."""

    scene: Scene
    centers_vox: NDArray[np.floating]
    sample: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, scene: Scene) -> _Place:
        inside = np.nonzero(scene.labels)
        which = scene.labels[inside]
        sizes = np.bincount(which, minlength=scene.lesions + 1)[1:]
        sums = [np.bincount(which, weights=axis, minlength=scene.lesions + 1)[1:] for axis in inside]
        near = np.flatnonzero(scene.surface > -6 * _NEAR_MM)
        chosen = np.random.default_rng(0).choice(near, _SAMPLED)
        return cls(scene, np.stack(sums, axis=1) / sizes[:, None], np.unravel_index(chosen, scene.grid.shape))


class ScenePatches:
    """Draws patches from scenes, reproducibly for a generator's state.

    Parameters
    ----------
    scenes : sequence of Scene
        At least one, of cubic voxels.
    sequences : sequence of str
        The network's channels; a patch has some of them, the others are 0.
    settings : PatchSettings
        Sizes, sigma and the share of patches placed on a lesion; the augmentation is not used.
    spacing_mm : (float, float)
        Finest and coarsest voxels.
    rng : Generator
        Source of randomness.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        sequences: Sequence[str],
        settings: PatchSettings,
        spacing_mm: tuple[float, float],
        rng: np.random.Generator,
    ) -> None:
        self._places = [_Place.of(s) for s in scenes]
        self._with_lesions = [p for p in self._places if len(p.centers_vox)]
        self._sequences, self._settings, self._spacing_mm, self._rng = tuple(sequences), settings, spacing_mm, rng

    def batch(self, count: int, *, early: bool = False, strength: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return images (count, C, *size) and target heatmaps (count, 1, *size), both float32."""
        size = self._settings.early_size if early else self._settings.size
        patches = [self._patch(size) for _ in range(count)]
        return torch.stack([p[0] for p in patches]), torch.stack([p[1] for p in patches])

    def _patch(self, size: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        rng = self._rng
        on_lesion = bool(self._with_lesions) and rng.random() < self._settings.lesion_share
        places = self._with_lesions if on_lesion else self._places
        place = places[rng.integers(len(places))]
        scene = place.scene
        finest, coarsest = self._spacing_mm
        spread = rng.random() / 3 if rng.random() < _FINEST_HALF else rng.random()
        spacing_mm = finest * (coarsest / finest) ** spread
        step = spacing_mm / float(scene.grid.spacing[0])  # scene voxels per patch voxel
        if on_lesion:
            offset = rng.uniform(-1, 1, 3) * np.array(size) * step * _EDGE_SHARE
            center = place.centers_vox[rng.integers(len(place.centers_vox))] + offset
        else:
            at = rng.integers(_SAMPLED)
            center = np.array([axis[at] for axis in place.sample], float)
        half = (np.array(size) - 1) / 2 * step
        shape = np.array(scene.grid.shape) - 1
        center = np.where(shape > 2 * half, np.clip(center, half, np.maximum(shape - half, half)), shape / 2)
        i, j, k = center - half
        window = Window((float(i), float(j), float(k)), size, (spacing_mm,) * 3)

        names = draw_sequences(rng, self._sequences)
        look = draw_look(rng, scene, names, varied=True)
        seen, foreground = scan(rng, scene, look, window)
        mean, deviation = level(rng, scene, look, place.sample)
        images = np.zeros((len(self._sequences), *size), np.float32)
        for name, x, m, d in zip(names, seen, mean, deviation, strict=True):
            images[self._sequences.index(name)] = (x - m) / d * foreground
        target = draw_gaussians(size, (place.centers_vox - (i, j, k)) / step, self._settings.sigma_vox)
        flipped = [axis + 1 for axis in range(3) if rng.random() < 0.5]
        return torch.from_numpy(images).flip(flipped), torch.from_numpy(target)[None].flip(flipped)
