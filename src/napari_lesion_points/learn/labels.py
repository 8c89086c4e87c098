"""Labels: what a network is taught to draw, and how lesions are found in what it draws.

The paper compares its Gaussian heatmaps, in which candidates are fitted, with distance maps around the same points and
with segmentation masks, in which a threshold leaves connected components (CC). CC can be applied to heatmaps, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_lesion_points.core.components import detect_components
from napari_lesion_points.core.dense_targets import euclidean_map, geodesic_map
from napari_lesion_points.core.fitting import fit_gaussians
from napari_lesion_points.core.heatmap import peak_height
from napari_lesion_points.core.metrics import CaseDetections, figures_at, plateau
from napari_lesion_points.core.overlap import best_dice, overlap_by_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_lesion_points.core.metrics import DetectionFigures
    from napari_lesion_points.core.overlap import Overlap
    from napari_lesion_points.core.preparation import NetworkInput

Kind = Literal["heatmap", "euclidean", "geodesic", "segmentation"]
KINDS: tuple[Kind, ...] = ("heatmap", "euclidean", "geodesic", "segmentation")

_TRIED = tuple(percent / 100 for percent in range(5, 100, 5))


@dataclass(frozen=True)
class Label:
    """What to draw, and how to read it.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    decay : float
        Of the distance maps; the paper's p.
    components : bool
        Find lesions as connected components. Always so for all but the heatmap.
    """

    kind: Kind = "heatmap"
    decay: float = 2.0
    components: bool = False

    @property
    def fitted(self) -> bool:
        """Whether lesions are found by fitting Gaussians."""
        return self.kind == "heatmap" and not self.components

    def peak(self, sigma_vox: ArrayLike) -> float:
        """Return half of the most that a network can draw: see `heatmap_from_logits`."""
        return peak_height(sigma_vox) if self.kind == "heatmap" else 0.5

    @property
    def tried(self) -> tuple[float, ...]:
        """Thresholds of components, as shares of the most that a network can draw; a heatmap's lesion has half."""
        return tuple(share / 2 for share in _TRIED) if self.kind == "heatmap" else _TRIED

    @property
    def positive_weight(self) -> float:
        """How much more a lesion's voxel counts than background (paper: 3 for segmentations)."""
        return 3.0 if self.kind == "segmentation" else 1.0

    def target(self, case: NetworkInput) -> NDArray[np.float16] | None:
        """Draw a case's target from its points; None for heatmaps, which are drawn per patch.

        A segmentation has its target already: the mask is read beside the images.
        """
        centers, spacing = case.grid.to_voxel(case.points_world), case.grid.spacing
        if self.kind == "euclidean":
            return euclidean_map(case.foreground.shape, centers, spacing, self.decay).astype(np.float16)
        if self.kind == "geodesic":
            return geodesic_map(case.images, centers, spacing, self.decay).astype(np.float16)
        return case.target if self.kind == "segmentation" else None


@dataclass(frozen=True, eq=False)
class Found:
    """What can be detected in one case's map, by threshold; of a segmentation, also its overlap with the true mask."""

    case: str
    truth_world: NDArray[np.floating]
    by_threshold: dict[float, CaseDetections]
    overlaps: tuple[Overlap, ...] = ()


def find(label: Label, drawn: NDArray[np.float32], case: NetworkInput, sigma_vox: ArrayLike) -> Found | CaseDetections:
    """Find candidates in what a network drew for a case, as its label wants it."""
    return find_fitted(drawn, case, sigma_vox) if label.fitted else find_components(label, drawn, case, sigma_vox)


def find_fitted(drawn: NDArray[np.float32], case: NetworkInput, sigma_vox: ArrayLike) -> CaseDetections:
    """Fit candidates to a heatmap, down to the existence that predictions keep before anything is recalibrated."""
    found = fit_gaussians(drawn, sigma_vox)
    return CaseDetections(case.case, case.grid.to_world(found.centers_vox), found.existence, case.points_world)


def find_components(label: Label, drawn: NDArray[np.float32], case: NetworkInput, sigma_vox: ArrayLike) -> Found:
    """Find connected components at each of the thresholds that are tried."""
    tried = {t: components(label, drawn, t, sigma_vox) for t in label.tried}
    return Found(
        case.case,
        case.points_world,
        {
            t: CaseDetections(case.case, case.grid.to_world(centers), score, case.points_world)
            for t, (centers, score) in tried.items()
        },
        overlap_by_threshold(drawn, case.target >= 0.5, _TRIED)
        if label.kind == "segmentation" and case.target is not None
        else (),
    )


def components(
    label: Label, drawn: NDArray[np.float32], threshold: float, sigma_vox: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centres (voxels) and scores in [0, 1] of the components above a threshold.

    The threshold is a share of the most that a network can draw. A score is the highest voxel's share of what a lesion
    should have, which for heatmaps is half as much.
    """
    peak = label.peak(sigma_vox)
    found = detect_components(drawn / (2 * peak), threshold, at_maximum=label.kind != "segmentation")
    return found.centers_vox, np.clip(found.score * (2 if label.kind == "heatmap" else 1), 0, 1)


def choose_components(
    found: Sequence[Found], tolerance_mm: float
) -> tuple[float, DetectionFigures, list[CaseDetections]]:
    """Choose the threshold of connected components; return it, its figures and what is detected there."""
    thresholds = found[0].by_threshold if found else _TRIED
    tried = [(t, figures_at([f.by_threshold[t] for f in found], 0.0, tolerance_mm)) for t in thresholds]
    threshold, figures = plateau(tried)
    return threshold, figures, [f.by_threshold[threshold] for f in found]


def choose_mask_threshold(found: Sequence[Found]) -> tuple[float, float]:
    """Choose the threshold at which a segmentation's masks agree best with the true ones; return it and that Dice."""
    return best_dice([f.overlaps for f in found], _TRIED)
