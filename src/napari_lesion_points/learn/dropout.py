"""MC dropout (Gal and Ghahramani 2016; the paper's reference 24): uncertainty of a segmentation by predicting it often.

1. Predict the case several times with dropout active, each time with other random numbers; the mean over the samples
   is the foreground probability.
2. Threshold it; connected components are lesions.
3. A lesion's probability is the mean over its voxels and the samples; its uncertainty is the entropy of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.components import detect_components
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.learn.predict import drops, predict_heatmap

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_lesion_points.core.preparation import NetworkInput
    from napari_lesion_points.learn.devices import Device
    from napari_lesion_points.learn.network import UNet

SAMPLES = 10
_PEAK = 0.5  # half of the most that a segmentation network draws: see `Label.peak`


@dataclass(frozen=True, eq=False)
class SampledLesions:
    """What MC dropout finds in a case, most probable voxel first.

    Parameters
    ----------
    probability : (I, J, K) float32
        Mean foreground probability on the case's grid.
    centers_vox : (K, 3) float
        Centres of mass of the lesions, voxel coordinates.
    existence : (K,) float
        Mean probability over each lesion's voxels and all samples.
    """

    probability: NDArray[np.float32]
    centers_vox: NDArray[np.float64]
    existence: NDArray[np.float64]

    @property
    def entropy(self) -> NDArray[np.float64]:
        """(K,) uncertainty of each lesion: binary entropy of its existence, in bits."""
        return binary_entropy(self.existence)


def predict_with_dropout(
    network: UNet,
    case: NetworkInput,
    size: tuple[int, int, int],
    threshold: float,
    device: Device,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Callable[[float], None] = lambda fraction: None,
) -> SampledLesions:
    """Find lesions in the mean of predictions with dropout.

    Parameters
    ----------
    network : UNet
        Trained on segmentations, on `device`. One without dropout is predicted once: all samples would be the same.
    case, size, device
        See `predict_heatmap`.
    threshold : float
        Voxels of at least this probability belong to lesions.
    samples : int
        Predictions, at least 1.
    seed : int
        The same seed gives the same result, on the same machine.
    progress : callable
        Called with the share done, in (0, 1].

    Raises
    ------
    ValueError
        If `samples` is less than 1.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}; expected 1 or more.")
    count = samples if drops(network) else 1
    seeds = np.random.default_rng(seed).integers(2**32, size=count)
    total = np.zeros(case.foreground.shape)
    for done, own in enumerate(seeds.tolist()):
        total += predict_heatmap(
            network,
            case,
            size,
            _PEAK,
            device,
            dropout_seed=own,
            progress=lambda share, done=done: progress((done + share) / count),  # type: ignore[misc]
        )
    probability = np.clip(total / count, 0, 1).astype(np.float32)  # an exponential output can exceed 1
    found = detect_components(probability, threshold, at_maximum=False)
    return SampledLesions(probability, found.centers_vox, np.clip(found.mean, 0, 1))
