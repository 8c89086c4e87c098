"""Training patches cut from prepared cases: images, and the target heatmap drawn from the points.

A share of the patches holds a lesion at a random place inside them; the others lie anywhere on the foreground. Patches
lie inside the volume, as a prediction's windows do. Those to be rotated are cut with a margin, and padded with 0 where
that leaves the volume. The target is drawn after the points have moved, so it is exact and never interpolated.
It is NaN around places that nobody has judged. Of a case that nobody has finished, a model that is fine-tuned is its
own teacher: away from what was judged, the target is what it drew before (docs/decisions/0035-unfinished-cases.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from napari_lesion_points.core.heatmap import draw_gaussians, peak_height
from napari_lesion_points.learn.augment import (
    MARGIN,
    AugmentSettings,
    augment_images,
    augment_points,
    draw_augmentation,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_lesion_points.core.preparation import NetworkInput

_EDGE_SHARE = 0.35  # a lesion is placed at most so far (share of the patch) from the patch's centre

#: Share of a Gaussian's height that it has two sigmas from its centre: nearer than that to a place that nobody has
#: judged, the target is unknown, unless a lesion lies as near.
_NEAR = math.exp(-2)

#: Share of its height at which a Gaussian ends, for all practical purposes, three sigmas from its centre.
_FAINT = math.exp(-4.5)


@dataclass(frozen=True)
class PatchSettings:
    """How patches are drawn.

    Parameters
    ----------
    size : (3,) int
        Voxels.
    early_size : (3,) int
        Smaller ones for the first part of a training: more lesions per second, before their surroundings matter.
    sigma_vox : (3,) float
        Of the target.
    lesion_share : float
        Share of the patches that are placed on a lesion, where the case has one.
    augment : AugmentSettings
        How patches are varied.
    """

    size: tuple[int, int, int]
    early_size: tuple[int, int, int]
    sigma_vox: tuple[float, float, float]
    lesion_share: float = 0.5
    augment: AugmentSettings = field(default_factory=AugmentSettings)


class PatchSource(Protocol):
    """Draws training patches."""

    def batch(self, count: int, *, early: bool = False, strength: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return images and targets; see `PatchSampler.batch`."""
        ...


class PatchSampler:
    """Draws patches from cases, reproducibly for a generator's state."""

    def __init__(self, cases: Sequence[NetworkInput], settings: PatchSettings, rng: np.random.Generator) -> None:
        self._settings = settings
        self._rng = rng
        self._cases = [_Case(c) for c in cases]
        self._with_lesions = [c for c in self._cases if len(c.points_vox)]

    def batch(self, count: int, *, early: bool = False, strength: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return images (count, C, *size) and target heatmaps (count, 1, *size), both float32.

        The target is NaN where it is not known. `early` asks for the early size; `strength` in [0, 1] is the share of
        the augmentation to apply.
        """
        size = self._settings.early_size if early else self._settings.size
        augment = self._settings.augment.scaled(strength)
        patches = [self._patch(size, augment) for _ in range(count)]
        return torch.stack([p[0] for p in patches]), torch.stack([p[1] for p in patches])

    def _patch(self, patch_size: tuple[int, int, int], augment: AugmentSettings) -> tuple[Tensor, Tensor]:
        s, rng = self._settings, self._rng
        on_lesion = bool(self._with_lesions) and rng.random() < s.lesion_share
        case = (self._with_lesions if on_lesion else self._cases)[
            rng.integers(len(self._with_lesions if on_lesion else self._cases))
        ]
        size, shape = np.array(patch_size), np.array(case.images.shape[1:])
        if on_lesion:
            center = case.points_vox[rng.integers(len(case.points_vox))] + rng.uniform(-1, 1, 3) * size * _EDGE_SHARE
        else:
            center = case.foreground_vox[rng.integers(len(case.foreground_vox))].astype(float)
        half = (size - 1) / 2
        center = np.where(shape > size, np.clip(center, half, np.maximum(shape - 1 - half, half)), (shape - 1) / 2)
        augmentation = draw_augmentation(rng, len(case.images), case.spacing, augment)
        i, j, k = tuple(int(n) for n in np.ceil(size * MARGIN)) if augmentation.interpolate else patch_size
        source_size = (int(i), int(j), int(k))
        start = np.round(center - (np.array(source_size) - 1) / 2).astype(int)
        images = augment_images(_extract(case.images, start, source_size), patch_size, augmentation)
        points = augment_points(case.points_vox - start, source_size, patch_size, augmentation)
        peak = peak_height(s.sigma_vox)
        still = replace(augmentation, gain=np.ones(1), shift=np.zeros(1), gamma=np.ones(1))

        def cut(volume: Tensor) -> Tensor:
            """Cut and move a volume as the images are, its values untouched."""
            return augment_images(_extract(volume, start, source_size), patch_size, still)

        def near(places: NDArray[np.floating], share: float) -> NDArray[np.bool_]:
            moved = augment_points(places - start, source_size, patch_size, augmentation)
            return draw_gaussians(patch_size, moved, s.sigma_vox) > share * peak

        if case.target is not None and not len(case.unknown_vox):
            return images, cut(case.target)
        drawn = draw_gaussians(patch_size, points, s.sigma_vox)
        lesion = drawn >= _NEAR * peak
        target = drawn if case.target is None else cut(case.target)[0].numpy()
        if case.believed is not None:
            unjudged = ~lesion & ~near(case.judged_vox, _FAINT)
            target[unjudged] = np.maximum(target, cut(case.believed)[0].numpy())[unjudged]
        if len(case.unknown_vox):
            target[near(case.unknown_vox, _NEAR) & ~lesion] = np.nan
        return images, torch.from_numpy(target)[None]


class _Case:
    """A prepared case with what sampling needs looked up once."""

    def __init__(self, case: NetworkInput) -> None:
        self.images = torch.from_numpy(case.images)
        self.target = None if case.target is None else torch.from_numpy(case.target)[None]
        self.spacing = case.grid.spacing
        self.believed = None if case.believed is None else torch.from_numpy(case.believed)[None]
        self.unknown_vox = case.grid.to_voxel(case.unknown_world)
        self.judged_vox = case.grid.to_voxel(case.judged_world)
        self.points_vox = case.grid.to_voxel(case.points_world)
        self.foreground_vox = np.argwhere(case.foreground[::2, ::2, ::2]).astype(np.int16) * 2
        if not len(self.foreground_vox):
            self.foreground_vox = np.array([[n // 2 for n in case.foreground.shape]], np.int16)


def _extract(images: Tensor, start: NDArray[np.int_], size: tuple[int, int, int]) -> Tensor:
    """Return images[:, start:start + size], with 0 where that leaves the volume."""
    lower = [int(a) for a in start]
    upper = [a + s for a, s in zip(lower, size, strict=True)]
    shape = images.shape[1:]
    inside = images[(slice(None), *(slice(max(a, 0), max(b, 0)) for a, b in zip(lower, upper, strict=True)))]
    if all(a >= 0 and b <= n for a, b, n in zip(lower, upper, shape, strict=True)):
        return inside
    patch = images.new_zeros((len(images), *size))
    where = tuple(slice(max(-a, 0), max(-a, 0) + n) for a, n in zip(lower, inside.shape[1:], strict=True))
    patch[(slice(None), *where)] = inside
    return patch
