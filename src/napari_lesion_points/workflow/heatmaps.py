"""Heatmap files: mass per voxel, with the sigma they were made with noted in the header."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_lesion_points.core.calibration import Recalibration
from napari_lesion_points.core.fitting import Candidates, fit_gaussians
from napari_lesion_points.core.geometry import Grid
from napari_lesion_points.core.heatmap import peak_height, sigma_in_voxels
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import LesionPoint, Origin
from napari_lesion_points.errors import VolumeError
from napari_lesion_points.store.volumes import read_description, read_volume
from napari_lesion_points.workflow.specs import DEFAULT_SIGMA_MM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_NOTE = re.compile(r"sigma_mm=([0-9]+(?:\.[0-9]+)?)(?![0-9.e])")


def describe_heatmap(sigma_mm: float) -> str:
    """Return the note for a heatmap's header.

    Examples
    --------
    >>> describe_heatmap(2.0)
    'lesion heatmap, mass per voxel, sigma_mm=2'
    """
    return f"lesion heatmap, mass per voxel, sigma_mm={sigma_mm:g}"


#: The note in the header of what a segmentation or a network of distance maps draws.
SHARE = "lesion map, 0 to 1 per voxel"


def full_colour(path: Path, spacing: ArrayLike) -> float:
    """Return the value of a map's file that is shown in full colour: 1, or for a heatmap the height of one lesion."""
    if read_description(path) == SHARE:
        return 1.0
    return peak_height(sigma_in_voxels(noted_sigma(path), spacing))


def noted_sigma(path: Path) -> float:
    """Return the sigma (mm) that a heatmap's header notes, or the default for a heatmap from elsewhere."""
    noted = _NOTE.search(read_description(path))
    return float(noted[1]) if noted and float(noted[1]) > 0 else DEFAULT_SIGMA_MM


def detect(path: Path, *, sigma_mm: float | None = None, min_existence: float = 0.1) -> tuple[LesionPoint, ...]:
    """Fit candidates to a heatmap file.

    Parameters
    ----------
    path : Path
        NIfTI, mass per voxel; "sub-07_heatmap.nii.gz" gives the case "sub-07".
    sigma_mm : float, optional
        By default what the file's header notes, or 2 mm.
    min_existence : float
        See `fit_gaussians`.

    Raises
    ------
    VolumeError
        If the file cannot be read, or is known to hold no mass.
    """
    if read_description(path) == SHARE:
        raise VolumeError(f"{path}: holds a lesion map of 0 to 1, not a heatmap; its prediction has found the lesions.")
    heatmap = read_volume(path)
    sigma_mm = noted_sigma(path) if sigma_mm is None else sigma_mm
    found = fit_gaussians(heatmap.data, sigma_in_voxels(sigma_mm, heatmap.grid.spacing), min_existence=min_existence)
    case = re.sub(r"(_heatmap)?\.nii(\.gz)?$", "", path.name)
    return candidate_points(case, heatmap.grid, found)


def candidate_points(
    case: str, grid: Grid, found: Candidates, recalibration: Recalibration | None = None
) -> tuple[LesionPoint, ...]:
    """Return fitted candidates as lesion points in the world, in order of detection, existence recalibrated."""
    existence = found.existence if recalibration is None else recalibration(found.existence)
    return tuple(
        LesionPoint(case, (x, y, z), existence=float(p), mass=float(m), entropy=float(h), origin=Origin.MODEL)
        for (x, y, z), p, m, h in zip(
            grid.to_world(found.centers_vox), existence, found.mass, binary_entropy(existence), strict=True
        )
    )


def component_points(
    case: str, grid: Grid, centers_vox: NDArray[np.floating], score: NDArray[np.floating]
) -> tuple[LesionPoint, ...]:
    """Return connected components as lesion points in the world, by falling score; they have no mass."""
    return tuple(
        LesionPoint(case, (x, y, z), existence=float(p), entropy=float(h), origin=Origin.MODEL)
        for (x, y, z), p, h in zip(grid.to_world(centers_vox), score, binary_entropy(score), strict=True)
    )
