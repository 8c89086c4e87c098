"""The losses that turn logits and a target heatmap into a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def soft_target_loss(
    logits: Tensor, target: Tensor, peak: float, known: Tensor | None = None, positive_weight: float = 1.0
) -> Tensor:
    """Cross-entropy between sigmoid(logits) and the target heatmap scaled into [0, 0.5], per patch.

    The paper's squared error on exp(logits) needs hours to bring the background down; this loss has its minimum at the
    same heatmap and finds it in minutes. Summed over voxels, not averaged, so that its size does not depend on how much
    background a patch holds, and divided by the mass scale, so that one lesion counts as one.

    Parameters
    ----------
    logits, target : (B, 1, I, J, K) float
        `target` is the mass per voxel.
    peak : float
        Height of a unit-mass Gaussian, per voxel.
    known : (B, 1, I, J, K) bool, optional
        Where the target is known; the rest does not count.
    positive_weight : float
        How much more the target's presence counts than its absence.

    Returns
    -------
    () float
    """
    scale = 2 * peak
    wanted = (target / scale).clamp(max=1.0)
    weight = None if known is None else known.float()
    total = functional.binary_cross_entropy_with_logits(
        logits.float(),
        wanted,
        weight,
        reduction="sum",
        pos_weight=None if positive_weight == 1 else logits.new_tensor(positive_weight).float(),
    )
    return total * scale / len(logits)


def squared_error_loss(heatmap: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """Squared error between heatmaps, summed over the foreground and averaged over the patches (paper 3.1).

    A mean over voxels instead of the sum would let the empty heatmap win.

    Parameters
    ----------
    heatmap, target : (B, 1, I, J, K) float
        Mass per voxel.
    inside : (B, 1, I, J, K) bool
        The foreground, as far as the target is known there.

    Returns
    -------
    () float
    """
    return ((heatmap - target).square() * inside).sum() / len(heatmap)
