"""What is done with the masks that a segmentation drew: the volumes of their lesions."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from napari_lesion_points.core.lesion_volumes import lesion_volumes
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.volumes import read_labels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_lesion_points.core.lesion_volumes import LesionVolume

#: Columns of the table of volumes. `lesion` is the label in the mask, or "total" in the last row of each case.
COLUMNS = ("case", "lesion", "voxels", "volume_ml", "x_mm", "y_mm", "z_mm")


def volumes_of(mask: Path) -> tuple[LesionVolume, ...]:
    """Measure the lesions of a label image file; VolumeError if it cannot be read."""
    return lesion_volumes(read_labels(mask))


def write_volumes(path: Path, masks: Mapping[str, Path]) -> None:
    """Write a table of the lesions in label images: a row per lesion, and one per case with the total.

    Parameters
    ----------
    path : Path
        CSV file.
    masks : mapping of str to Path
        Label images by case.

    Raises
    ------
    VolumeError, OutputError
        If a mask cannot be read or the table cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for case, mask in masks.items():
        lesions = volumes_of(mask)
        for one in lesions:
            place = (f"{mm:.3f}" for mm in one.center_world)
            table.writerow((case, one.label, one.voxels, f"{one.volume_ml:.6f}", *place))
        total_ml = sum(one.volume_ml for one in lesions)
        table.writerow((case, "total", sum(one.voxels for one in lesions), f"{total_ml:.6f}", "", "", ""))
    atomic_write(path, text.getvalue())
