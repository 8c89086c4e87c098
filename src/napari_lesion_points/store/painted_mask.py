"""The mask that a reader paints in a case: read for the viewer, and kept on the case's own grid.

A file is complete or absent, whenever the process dies. What a session finds is copied to `earlier` before the session
first replaces it, so that no slip of the hand costs what was painted on another day.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.geometry import Volume
from napari_lesion_points.store.atomic import atomic_path
from napari_lesion_points.store.volumes import read_labels, write_volume

if TYPE_CHECKING:
    from pathlib import Path

    from napari_lesion_points.core.geometry import Grid

EARLIER = "earlier"


def read_mask(path: Path, grid: Grid) -> Volume:
    """Read a mask or label image onto a grid in any orientation; empty when there is no such file.

    Returns
    -------
    Volume
        uint8 if no label is above 255, else uint16 or uint32. Its array is new and may be painted in.

    Raises
    ------
    VolumeError
        If the file cannot be read.
    """
    if not path.is_file():
        return Volume(np.zeros(grid.shape, np.uint8), grid)
    found = read_labels(path).reoriented(grid.axcodes).resampled(grid, order=0)
    return Volume(np.array(found.data, np.min_scalar_type(int(found.data.max(initial=0))), order="C"), grid)


def save_mask(path: Path, mask: Volume, grid: Grid, *, keep_earlier: bool) -> None:
    """Write a mask on the case's own grid; one without a voxel takes the file away.

    Parameters
    ----------
    path : Path
        See `Study.mask_path`.
    mask : Volume
        Labels on the voxels of `grid`, its axes in any order.
    grid : Grid
        The case's own.
    keep_earlier : bool
        Copy the file that is there to `EARLIER`, named by its time, before it is replaced.

    Raises
    ------
    OutputError
        If it cannot be written; the file that was there stays.
    """
    if keep_earlier and path.is_file():
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(path.stat().st_mtime))
        with atomic_path(path.parent / EARLIER / f"{stamp}_{path.name}") as temporary:
            shutil.copyfile(path, temporary)
    if mask.data.any():
        write_volume(path, Volume(mask.reoriented(grid.axcodes).data, grid), "lesion mask painted by a reader")
    else:
        path.unlink(missing_ok=True)
