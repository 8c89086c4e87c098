"""NIfTI files as volumes.

World coordinates are those of the file's affine (NIfTI: RAS+ mm), and array axes stay in the file's order. What cannot
be a 3D scan (more than one volume, complex, colour, not finite) is refused with the file's name and what to do.
"""

from __future__ import annotations

import gzip
import math
import zlib
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.errors import GridError, OutputError, VolumeError
from napari_lesion_points.store.atomic import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: File name endings of the images that we read and write.
ENDINGS = (".nii.gz", ".nii")

#: What reading a damaged file can raise: header nonsense, a gzip stream cut short or garbled, sizes beyond memory.
_DAMAGED = (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError, OverflowError, MemoryError)

_GZIP = 31  # what zlib calls a window of 2^15 bytes with gzip's header and checksum
_DESCRIPTION_BYTES = 80  # NIfTI-1 and NIfTI-2, field `descrip`


def read_volume(path: Path) -> Volume:
    """Read one 3D image as float32, its scaling applied.

    Raises
    ------
    VolumeError
        If the file is missing, damaged, not NIfTI, not one 3D volume of real numbers, has a singular affine, or holds
        values that are not finite.
    """
    image = _open(path)
    stored = _array(image, path)
    with np.errstate(over="ignore"):  # too large for float32: infinite, and refused below
        data = stored.astype(np.float32, copy=False)
    finite = np.isfinite(data) if stored.dtype.kind == "f" else np.True_
    if not finite.all():
        at = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise VolumeError(
            f"{path}: {data.size - np.count_nonzero(finite)} voxels are not finite; the first is {data[at]} at {at}. "
            "Replace them with 0 before opening the file."
        )
    return Volume(data, _grid(image, path))


def read_labels(path: Path) -> Volume:
    """Read one 3D label image or mask as int32. Files of a floating type pass when all their values are whole numbers.

    Raises
    ------
    VolumeError
        As `read_volume`, and if a value is not a whole number of 32 bits.
    """
    image = _open(path)
    data = _array(image, path)
    with np.errstate(invalid="ignore"):
        labels = data.astype(np.int32)
    wrong = labels != data
    if wrong.any():
        raise VolumeError(
            f"{path}: holds {data[wrong][0]}, which is not a label. Threshold the image to 0 and 1 first."
        )
    return Volume(labels, _grid(image, path))


def read_grid(path: Path) -> Grid:
    """Read shape and affine only; VolumeError as `read_volume`, except that no voxel is looked at."""
    return _grid(_open(path), path)


def read_description(path: Path) -> str:
    """Read the free text of the header ("" if there is none); VolumeError as `read_grid`."""
    return bytes(_open(path).header["descrip"].item()).decode(errors="replace").strip("\0 ")


def write_volume(path: Path, volume: Volume, description: str = "") -> None:
    """Write a volume as NIfTI-1: complete or not at all.

    Parameters
    ----------
    path : Path
        Ends in .nii or .nii.gz. An existing file is replaced.
    volume : Volume
        Integers keep their type, booleans become uint8, anything else float32. The affine is stored as the sform and,
        as far as a rotation can express it, as the qform.
    description : str
        Stored in the header; at most 80 bytes of UTF-8.

    Raises
    ------
    OutputError
        If the ending or the description does not fit the format, or the place cannot be written to.
    """
    if not path.name.lower().endswith(ENDINGS):
        raise OutputError(f"{path}: images are written as NIfTI; let the name end in .nii.gz or .nii.")
    if len(description.encode()) > _DESCRIPTION_BYTES:
        raise OutputError(f"{path}: description {description!r} is over {_DESCRIPTION_BYTES} bytes long. Shorten it.")
    kind = volume.data.dtype.kind
    dtype = volume.data.dtype if kind in "iu" else np.dtype(np.uint8 if kind == "b" else np.float32)
    image = nib.Nifti1Image(volume.data.astype(dtype, copy=False), volume.grid.affine, dtype=dtype)
    image.set_sform(volume.grid.affine, code="aligned")
    image.set_qform(volume.grid.affine, code="aligned")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode()
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def _open(path: Path) -> nib.Nifti1Image:
    """Read the header and check that the file holds one 3D volume of real numbers."""
    if not path.is_file():
        remedy = "Fetch the data that this link stands for." if path.is_symlink() else "Check the path."
        raise VolumeError(f"{path}: no such file. {remedy}")
    try:
        image = nib.load(path, mmap=False)
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    if not isinstance(image, nib.Nifti1Image):  # NIfTI-2 images are a subclass
        raise VolumeError(f"{path}: is a {type(image).__name__}, not one NIfTI file. Convert it to .nii.gz first.")
    if len(image.shape) < 3 or any(n != 1 for n in image.shape[3:]):
        raise VolumeError(f"{path}: has shape {image.shape}; expected one 3D volume. Split or stack it first.")
    if image.get_data_dtype().kind not in "iuf":
        raise VolumeError(f"{path}: holds {image.get_data_dtype()} values. Convert it to real numbers first.")
    return image


def _array(image: nib.Nifti1Image, path: Path) -> NDArray[np.generic]:
    """Read the (I, J, K) values, scaled as the header says and otherwise in the type of the file."""
    try:
        if path.name.lower().endswith(".gz"):  # whole, for the checksum behind the voxels that nobody else reads
            needed = int(image.header["vox_offset"]) + math.prod(image.shape) * image.get_data_dtype().itemsize
            image = type(image).from_bytes(_decompressed(path.read_bytes(), needed))
        with np.errstate(over="ignore", invalid="ignore"):
            data: NDArray[np.generic] = np.asarray(image.dataobj)
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    return data.reshape(image.shape[:3])


def _decompressed(data: bytes, needed: int) -> bytes:
    """Decompress a gzip stream and check its sum; in one piece of the size it says it has, in two thirds of the time.

    Of several members, each with its own size, that may give less than is `needed`: then the slow way is taken.
    """
    size = int.from_bytes(data[-4:], "little")
    whole = zlib.decompress(data, wbits=_GZIP, bufsize=max(1, min(size, 2 * needed)))
    return whole if len(whole) >= needed else gzip.decompress(data)


def _grid(image: nib.Nifti1Image, path: Path) -> Grid:
    """Shape and affine as a grid."""
    i, j, k = image.shape[:3]
    try:
        return Grid((i, j, k), image.affine)
    except GridError as error:
        raise VolumeError(f"{path}: {error}") from error


def _damaged(path: Path, error: BaseException) -> VolumeError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return VolumeError(f"{path}: not a readable NIfTI file ({reason}). Copy or convert it again.")
