"""Recipes: how a network is built and taught. "fast" is what two CPU cores learn from soonest; "paper" is the paper's.

A recipe holds what does not depend on the cases. `docs/results.md` has the measurements behind "fast".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_lesion_points.errors import TrainingError
from napari_lesion_points.learn.augment import AugmentSettings
from napari_lesion_points.learn.network import UNetConfig
from napari_lesion_points.learn.patches import PatchSettings

_SMALLEST_PATCH_VOX = 24  # three voxels at the coarsest level of "fast"; rounded up, two at that of "paper"


@dataclass(frozen=True)
class Recipe:
    """How to build and teach a network.

    Parameters
    ----------
    name : str
        What it is asked for by.
    network : UNetConfig
        The network; its `channels` are replaced by the number of sequences.
    loss : {"soft target", "squared error"}
        See `losses`.
    learning_rate, kernel_rate, weight_decay : float
        See `Optimizer`.
    fine_tuning : float
        Share of these rates when a model is fine-tuned: what it knows already should not be shaken off first.
    one_cycle : bool
        The rate rises and falls over the budget; else it is constant.
    average : float
        Decay per step of the weight average that is validated and kept; 0 keeps the weights themselves.
    batch : int
        Patches per step.
    patch_vox, early_patch_vox : int
        Patch size along each axis, at most, in the end and at first; smaller volumes get smaller patches.
    early : float
        Share of the budget that the smaller patches get.
    lesion_share : float
        Share of the patches that are placed on a lesion.
    augment : AugmentSettings
        How patches are varied, at the most.
    familiar : float
        How often each lesion is shown, on average, until patches are varied so much; before, less in proportion. What
        is new need not be varied to be learned from, and is learned sooner as it is. 0 varies all from the start.
    """

    name: str
    network: UNetConfig
    loss: Literal["soft target", "squared error"]
    learning_rate: float
    kernel_rate: float
    weight_decay: float
    fine_tuning: float
    one_cycle: bool
    average: float
    batch: int
    patch_vox: int
    early_patch_vox: int
    early: float
    lesion_share: float
    augment: AugmentSettings
    familiar: float

    def patches(self, shape: tuple[int, int, int], stride: int, sigma_vox: tuple[float, float, float]) -> PatchSettings:
        """Return how patches are drawn from cases of at most this shape, in multiples of the network's stride.

        Examples
        --------
        >>> RECIPES["paper"].patches((12, 40, 500), 16, (1.0, 1.0, 1.0)).size
        (32, 48, 192)
        """

        def size(greatest: int) -> tuple[int, int, int]:
            i, j, k = (-(-min(greatest, max(n, _SMALLEST_PATCH_VOX)) // stride) * stride for n in shape)
            return i, j, k

        return PatchSettings(
            size(self.patch_vox), size(self.early_patch_vox), sigma_vox, self.lesion_share, self.augment
        )

    def strength(self, patches: int, lesions: int) -> float:
        """Return the share of `augment` that applies after so many patches of cases with so many lesions in all."""
        shown = patches * self.lesion_share / max(lesions, 1)
        return min(shown / self.familiar, 1.0) if self.familiar else 1.0


RECIPES = {
    r.name: r
    for r in (
        Recipe(
            name="fast",
            network=UNetConfig(channels=1, norm="batch"),
            loss="soft target",
            learning_rate=3e-3,
            kernel_rate=0.02,
            weight_decay=1e-4,
            fine_tuning=0.3,
            one_cycle=True,
            average=0.995,
            batch=4,
            patch_vox=48,
            early_patch_vox=32,
            early=0.6,
            lesion_share=0.5,
            augment=AugmentSettings(affine_probability=0.7, intensity=0.2),
            familiar=15.0,
        ),
        Recipe(
            name="paper",
            network=UNetConfig(
                channels=1, filters=32, levels=5, dropout=0.1, decoder_dropout=0.1, output="exp", bias=-4.0
            ),
            loss="squared error",
            learning_rate=1e-4,
            kernel_rate=0.0,
            weight_decay=1e-5,
            fine_tuning=1.0,
            one_cycle=False,
            average=0.0,
            batch=4,
            patch_vox=192,
            early_patch_vox=192,
            early=0.0,
            lesion_share=0.0,
            augment=AugmentSettings(affine_probability=0.9, shear_deg=8.0, intensity=0.0),
            familiar=0.0,
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    """Return a recipe; TrainingError if there is none of this name."""
    if name not in RECIPES:
        raise TrainingError(f"no recipe {name!r}; choose one of: {', '.join(RECIPES)}.")
    return RECIPES[name]
