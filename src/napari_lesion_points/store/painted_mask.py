"""The mask that a reader paints in a case: read for the viewer, and kept on the case's own grid.

A file is complete or absent, whenever the process dies. A file that a session did not write itself is copied to
`earlier` before the session replaces it: no slip of the hand costs what was painted on another day, and no second
window costs what was painted in the first.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.geometry import Volume
from napari_lesion_points.store.atomic import atomic_path, remove
from napari_lesion_points.store.volumes import read_labels, write_volume

if TYPE_CHECKING:
    from napari_lesion_points.core.geometry import Grid

EARLIER = "earlier"


@dataclass(frozen=True)
class Saved:
    """A mask on disk.

    Parameters
    ----------
    version : tuple of int, optional
        Tells this state of the file from any other; None if there is no file.
    displaced : Path, optional
        Copy of a file that was replaced and that somebody else had written.
    """

    version: tuple[int, ...] | None
    displaced: Path | None = None


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


def save_mask(path: Path, mask: Volume, grid: Grid, before: Saved | None) -> Saved:
    """Write a mask on the case's own grid; one without a voxel takes the file away.

    Parameters
    ----------
    path : Path
        See `Study.mask_path`.
    mask : Volume
        Labels on the voxels of `grid`, its axes in any order.
    grid : Grid
        The case's own.
    before : Saved, optional
        What this session wrote last. Any other file that is there is copied to `EARLIER`, named by its time, before it
        is replaced.

    Raises
    ------
    OutputError
        If it cannot be written or taken away; the file that was there stays.
    """
    found = _version(path)
    displaced = None
    if found is not None and (before is None or found != before.version):
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(found[0] // 10**9))
        displaced = path.parent / EARLIER / f"{stamp}.{found[0] // 1000 % 10**6:06}_{path.name}"
        with atomic_path(displaced) as temporary:
            shutil.copyfile(path, temporary)
    if mask.data.any():
        write_volume(path, Volume(mask.reoriented(grid.axcodes).data, grid), "lesion mask painted by a reader")
    else:
        remove(path)
    return Saved(_version(path), displaced if before is not None else None)


def _version(path: Path) -> tuple[int, ...] | None:
    if not path.is_file():
        return None
    known = path.stat()
    return known.st_mtime_ns, known.st_size, known.st_ino
