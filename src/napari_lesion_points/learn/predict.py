"""Whole-volume prediction by overlapping windows.

A network that normalises over the patch it is given (InstanceNorm, GroupNorm) answers as in training only for windows
of the training patch's size. Any other network gets larger ones, up to `LARGEST_VOX`, that begin at multiples of its
stride: less is computed twice, and what is computed twice comes out alike. Windows
without foreground are skipped; where windows overlap, each counts more near its centre.

On a CPU, windows run at once, `AT_ONCE` at most, each with its share of the threads; on two cores that is one thread
each. Threads that share a convolution wait for each other after every layer, longest on a busy machine. Results are
added in the order of the windows, so the answer does not depend on the number of threads.

Memory, beside the case and the network: 8 bytes per voxel of the case, and for each window that runs about seven
times its voxels in the first level's filters: with 16 of them at most 0.2 GB in bfloat16. In float32 it is 0.8 GB for
each two that run together.
"""

from __future__ import annotations

import copy
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_lesion_points.learn.labels import Label
from napari_lesion_points.learn.network import heatmap_from_logits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from napari_lesion_points.core.preparation import NetworkInput
    from napari_lesion_points.learn.devices import Device
    from napari_lesion_points.learn.network import UNet
    from napari_lesion_points.learn.recipes import Recipe

OVERLAP = 0.25

#: Edge of the largest windows. A head of 160 x 192 x 160 takes 5.3 s of one core with 64, 3.8 s with 96 or 128, and
#: 3.4 s with 200, in five times the memory.
LARGEST_VOX = 96

#: Windows, or pairs of them, that run at once: more threads than this share them, so that memory stays bounded.
AT_ONCE = 4

#: Weight of a window's corners, where no other window may reach: what is left of float32 after a sum with 1.
_LEAST_WEIGHT = 1e-3

_DROPOUT = (nn.Dropout, nn.Dropout3d)
_PER_PATCH = (nn.InstanceNorm3d, nn.GroupNorm)


def predict_heatmap(
    network: UNet,
    case: NetworkInput,
    size: tuple[int, int, int],
    peak: float,
    device: Device,
    *,
    margin: tuple[int, int, int] = (0, 0, 0),
    overlap: float = OVERLAP,
    dropout_seed: int | None = None,
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
        Patches of the training, voxels; multiples of the network's stride.
    peak : float
        Height of a unit-mass Gaussian, per voxel (see `heatmap_from_logits`).
    device : Device
        Where the network is. On a CPU the calling thread's `torch.get_num_threads()` says how many threads to use.
    margin : (3,) int
        How far (voxels) around the foreground the heatmap counts, too: see `margin_around`.
    overlap : float
        Share of `size` that two windows have in common, at least.
    dropout_seed : int, optional
        Leave dropout active, with random numbers of this seed; by default nothing is dropped. Windows then run one
        after the other, as they draw from one stream; that of the caller stays as it was.
    progress : callable
        Called with the share done, in (0, 1], in the calling thread. What it raises ends the prediction.

    Returns
    -------
    (I, J, K) float32
        Mass per voxel on the case's grid, 0 outside the foreground and its margin.
    """
    network.eval()
    shape = case.foreground.shape
    shared = tuple(int(s * overlap) for s in size)
    step = 1
    if not any(isinstance(m, _PER_PATCH) for m in network.modules()):
        step = network.config.stride
        size = _larger(shape, shared, step)
        network = _fused(network, torch.bfloat16 if device.half else torch.float32)
    padded = tuple(max(-(-n // step) * step, s) for n, s in zip(shape, size, strict=True))
    images = case.images
    if padded != shape:
        images = np.pad(images, [(0, 0), *((0, p - n) for p, n in zip(padded, shape, strict=True))])
    source = torch.from_numpy(images)
    windows = [
        where
        for corner in product(*(_starts(n, s, v, step) for n, s, v in zip(padded, size, shared, strict=True)))
        if case.foreground[where := tuple(slice(a, a + s) for a, s in zip(corner, size, strict=True))].any()
    ]
    batch = device.windows
    batches = [windows[i : i + batch] for i in range(0, len(windows), batch)]
    threads = torch.get_num_threads()
    workers = min(threads, AT_ONCE, len(batches)) if device.kind == "cpu" and dropout_seed is None else 1

    def run(some: list[tuple[slice, ...]]) -> NDArray[np.float32]:
        torch.set_num_threads(max(threads // workers, 1))
        with torch.inference_mode():
            images = torch.stack([source[(slice(None), *w)] for w in some]).float().to(device.name)
            with device.autocast(learning=False):
                logits: Tensor = network(images)
            heatmaps: NDArray[np.float32] = heatmap_from_logits(logits, peak, network.config.output)[:, 0].cpu().numpy()
        return heatmaps

    weight = _importance(size)
    total, weights = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    pool = ThreadPoolExecutor(max(workers, 1))
    try:
        with _dropping(network, dropout_seed, device):
            for i, (some, heatmaps) in enumerate(zip(batches, pool.map(run, batches), strict=True)):
                for where, heatmap in zip(some, heatmaps, strict=True):
                    total[where] += weight * heatmap
                    weights[where] += weight
                progress((i + 1) / len(batches))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # threads that others start take the number that was set last
    np.divide(total, weights, out=total, where=weights > 0)
    heatmap = np.ascontiguousarray(total[tuple(slice(n) for n in shape)])
    inside = case.foreground
    for axis, voxels in enumerate(margin):
        inside = ndimage.maximum_filter1d(inside, 2 * voxels + 1, axis=axis, mode="constant")
    heatmap[~inside] = 0
    return heatmap


def margin_around(label: Label, recipe: Recipe, sigma_vox: ArrayLike) -> tuple[int, int, int]:
    """Return how far (voxels) around the foreground a network's answer counts.

    The Gaussian of a lesion at the surface of the brain reaches beyond it. Where that was taught, it is kept whole: cut
    off, it would be fitted with less mass and off its place. Distance maps and masks end with the foreground, and the
    squared error is one inside it only (paper 3.1).

    Examples
    --------
    >>> from napari_lesion_points.learn.recipes import RECIPES
    >>> margin_around(Label(), RECIPES["fast"], (1.5, 1.5, 0.6))
    (5, 5, 2)
    >>> margin_around(Label(), RECIPES["paper"], (1.5, 1.5, 0.6))
    (0, 0, 0)
    """
    if label.kind != "heatmap" or recipe.loss == "squared error":
        return 0, 0, 0
    i, j, k = np.ceil(3 * np.asarray(sigma_vox)).astype(int).tolist()
    return i, j, k


def drops(network: nn.Module) -> bool:
    """Whether a network has dropout that drops anything."""
    return any(isinstance(m, _DROPOUT) and m.p > 0 for m in network.modules())


@contextmanager
def _dropping(network: nn.Module, seed: int | None, device: Device) -> Iterator[None]:
    """Leave dropout active in the block, with random numbers of a seed; None: do nothing."""
    if seed is None:
        yield
        return
    dropouts = [m for m in network.modules() if isinstance(m, _DROPOUT)]
    with torch.random.fork_rng([device.name] if device.kind == "cuda" else []):
        torch.manual_seed(seed)
        for m in dropouts:
            m.train()
        try:
            yield
        finally:
            for m in dropouts:
                m.eval()


def _fused(network: UNet, precision: torch.dtype) -> UNet:
    """Return a copy for prediction: each BatchNorm is part of the convolution before it, whose weights are rounded."""
    network = copy.deepcopy(network)
    for block in network.modules():
        if isinstance(block, nn.Sequential) and len(block) > 1:
            conv, norm = block[0], block[1]
            if isinstance(conv, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                block[0], block[1] = fuse_conv_bn_eval(conv, norm).to(precision), nn.Identity()
    return network


def _larger(shape: tuple[int, ...], shared: tuple[int, ...], stride: int) -> tuple[int, int, int]:
    """Return the size of windows that divide the volume evenly: a small one is one window, and exact."""
    counts = [max(1, math.ceil((n - v) / (LARGEST_VOX - v))) for n, v in zip(shape, shared, strict=True)]
    edges = ((n + (count - 1) * v) / count for n, v, count in zip(shape, shared, counts, strict=True))
    i, j, k = (math.ceil(edge / stride) * stride for edge in edges)
    return i, j, k


def _starts(length: int, window: int, shared: int, step: int = 1) -> list[int]:
    """First voxels of windows that cover `length` evenly and have at least `shared` voxels in common.

    They are multiples of `step`, if `length - window` is. Pooling joins blocks of voxels: two windows of which one
    begins in the middle of a block of the other give existence probabilities that differ by up to 0.1.
    """
    count = math.ceil((length - window) / max((window - shared) // step * step, step)) + 1
    return [int(a) * step for a in np.linspace(0, (length - window) / step, count).round()]


def _importance(size: tuple[int, ...]) -> NDArray[np.float32]:
    """Weight of each voxel of a window: a Gaussian around its centre, sigma an eighth of the window."""
    x, y, z = (np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in size)
    weight: NDArray[np.float32] = np.maximum(x[:, None, None] * y[:, None] * z, _LEAST_WEIGHT).astype(np.float32)
    return weight
