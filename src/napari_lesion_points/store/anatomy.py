"""The MNI152 brain in nilearn's wheel: the anatomy of simulated patients.

Only the template files are used; nilearn itself, which takes seconds to import, is not loaded.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.phantom import GRID, Anatomy, make_anatomy
from napari_lesion_points.errors import VolumeError
from napari_lesion_points.store.volumes import read_volume


def template_path(name: str) -> Path:
    """Return the file of the MNI152 template `name`: "gm", "wm" or "t1" (1 mm, RAS, skull-stripped, 0 to 255).

    Raises
    ------
    VolumeError
        If nilearn is not installed, or ships no such template.
    """
    spec = find_spec("nilearn")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise VolumeError("the MNI152 templates come with nilearn, which is not installed; run `pip install nilearn`.")
    path = Path(folders[0]) / "datasets" / "data" / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise VolumeError(f"{path} is missing; install nilearn 0.10 or later.")
    return path


def load_anatomy(grid: Grid = GRID) -> Anatomy:
    """Load the MNI152 brain on a grid; 2 mm voxels by default.

    Raises
    ------
    VolumeError
        If nilearn's templates are not installed or not readable.
    """
    gm, wm, t1 = (read_volume(template_path(name)) for name in ("gm", "wm", "t1"))
    return make_anatomy(_unit(gm), _unit(wm), t1, grid)


def _unit(volume: Volume) -> Volume:
    """Scale 0 to 255 to 0 to 1."""
    return Volume(np.divide(volume.data, 255, dtype=np.float32), volume.grid)
