"""Whole-volume prediction by overlapping windows.

Windows have the size of the training patches, so that InstanceNorm sees what it saw in training; those without
foreground are skipped. Where windows overlap, each counts more near its centre.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_lesion_points.learn.network import heatmap_from_logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_lesion_points.core.preparation import NetworkInput
    from napari_lesion_points.learn.devices import Device
    from napari_lesion_points.learn.network import UNet

OVERLAP = 0.25
_BATCH = 2  # float32 on a CPU is slow for a single window


def predict_heatmap(
    network: UNet,
    case: NetworkInput,
    size: tuple[int, int, int],
    peak: float,
    device: Device,
    *,
    overlap: float = OVERLAP,
    progress: Callable[[float], None] = lambda fraction: None,
) -> NDArray[np.float32]:
    """Predict the heatmap of a prepared case.

    Parameters
    ----------
    network : UNet
        On `device`; put into evaluation mode.
    case : NetworkInput
        What to predict.
    size : (3,) int
        Window, voxels; multiples of the network's stride.
    peak : float
        Height of a unit-mass Gaussian, per voxel (see `heatmap_from_logits`).
    device : Device
        Where the network is.
    overlap : float
        Share of a window that the next one covers again, at least.
    progress : callable
        Called with the share done, in (0, 1].

    Returns
    -------
    (I, J, K) float32
        Mass per voxel on the case's grid, 0 outside the foreground.
    """
    images, shape = case.images, case.foreground.shape
    padded = [max(n, s) for n, s in zip(shape, size, strict=True)]
    if tuple(padded) != shape:
        images = np.pad(images, [(0, 0), *((0, p - n) for p, n in zip(padded, shape, strict=True))])
    windows = [
        where
        for corner in product(*(_starts(n, s, overlap) for n, s in zip(padded, size, strict=True)))
        if case.foreground[where := tuple(slice(a, a + s) for a, s in zip(corner, size, strict=True))].any()
    ]
    weight = _importance(size)
    total, weights = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    source = torch.from_numpy(images)
    network.eval()
    with torch.inference_mode():
        for i in range(0, len(windows), _BATCH):
            some = windows[i : i + _BATCH]
            batch = torch.stack([source[(slice(None), *w)] for w in some]).float().to(device.name)
            with device.autocast():
                logits = network(batch)
            predicted = heatmap_from_logits(logits, peak)[:, 0].cpu().numpy()
            for where, patch in zip(some, predicted, strict=True):
                total[where] += weight * patch
                weights[where] += weight
            progress(min(i + _BATCH, len(windows)) / len(windows))
    inside = tuple(slice(n) for n in shape)
    heatmap: NDArray[np.float32] = np.where(case.foreground, total[inside] / np.maximum(weights[inside], 1e-6), 0)
    return heatmap.astype(np.float32, copy=False)


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """First voxels of windows that cover `length` evenly with at least the given overlap."""
    if length <= window:
        return [0]
    count = int(np.ceil((length - window) / (window * (1 - overlap)))) + 1
    return [int(a) for a in np.linspace(0, length - window, count).round()]


def _importance(size: tuple[int, int, int]) -> NDArray[np.float32]:
    """Weight of each voxel of a window: a Gaussian around its centre, sigma a quarter of the window."""
    x, y, z = (np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 4)) ** 2) for n in size)
    weight: NDArray[np.float32] = (x[:, None, None] * y[:, None] * z).astype(np.float32)
    return weight
