"""Cases of a study folder: which files belong together, and their volumes on one grid.

Three layouts are understood, the first that yields a case wins:

1. BIDS: `sub-XX[/ses-YY]/anat/*.nii[.gz]` (also when the folder opened is one `sub-XX`);
2. one sub-folder of images per case;
3. loose images in the folder, or one image file: one case.

The names of the sequences must agree between cases, so a file's name is stripped of everything that names the case.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import obliquity

from napari_lesion_points.errors import StudyError, VolumeError
from napari_lesion_points.store.volumes import ENDINGS, read_grid, read_volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_lesion_points.core.geometry import Grid, Volume

#: Between the words of a file name. The hyphen comes first, as a set of a regular expression needs it.
_SEPARATORS = "-_. "

#: Last words of the names of images that are results, not sequences.
_RESULTS = {"mask", "dseg", "seg", "probseg", "roi", "heatmap", "points"}

#: Files of a case that are read at once. More would need more memory and, in the viewer, more of what drawing needs.
_READERS = 2

#: Top-level folders of a dataset that hold no cases.
_NOT_CASES = {"derivatives", "code", "sourcedata"}


@dataclass(frozen=True)
class CaseFiles:
    """The image files of one case.

    Parameters
    ----------
    case : str
        Identifier, for example "sub-07" or "sub-01_ses-1".
    sequences : mapping of str to Path
        At least one file by sequence name, for example "FLAIR" or "ce-gadolinium_T1w", sorted by name.
    """

    case: str
    sequences: Mapping[str, Path]


@dataclass(frozen=True, eq=False)
class Case:
    """The volumes of one case, all on the grid of its reference sequence.

    Parameters
    ----------
    case : str
        Identifier.
    volumes : mapping of str to Volume
        Float32 volumes by sequence name.
    reference : str
        Sequence whose grid it is.
    notes : tuple of str
        What was done to the images that the reader should know, one sentence each.
    """

    case: str
    volumes: Mapping[str, Volume]
    reference: str
    notes: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        """The grid that all volumes share."""
        return self.volumes[self.reference].grid


def find_cases(root: Path, images: Sequence[Path] = ()) -> tuple[CaseFiles, ...]:
    """Find the cases of a study folder (or the one case of an image file), sorted by name.

    With `images`, the folder's one case is made of these files and of no others. It is named after the words that
    their names begin with, "P-001" for `P-001_T1w` and `P-001_FLAIR`, so that each patient's files in one folder are a
    case of their own; after the folder if there are none, or all images of the folder begin with them.

    Links to absent files count, so that a dataset fetched in part says so when the case is opened.

    Raises
    ------
    StudyError
        If there is no case, two files of a case are the same sequence, or a name cannot be written as text.
    """
    cases = _found_cases(root, images)
    for case in cases:
        try:
            " ".join((case.case, *case.sequences)).encode()
        except UnicodeEncodeError as error:
            raise StudyError(
                f"{root}: {case.case!r} has a name that is not UTF-8, the folder's or a file's. Rename it."
            ) from error
    return cases


def _found_cases(root: Path, images: Sequence[Path]) -> tuple[CaseFiles, ...]:
    if images:
        case = _common_words(images, root) or root.resolve().name
        return (CaseFiles(case, _sequences(sorted(images), case)),)
    if root.is_file() and _is_image(root):
        return (CaseFiles(_stem(root), _sequences([root])),)
    if not root.is_dir():
        raise StudyError(f"{root}: is neither a folder nor a .nii or .nii.gz file. Check the path.")
    cases = tuple(_bids_cases(root)) or tuple(_folder_cases(_folders(root))) or tuple(_folder_cases([root.resolve()]))
    if not cases:
        raise StudyError(
            f"{root}: no images found. Looked for .nii and .nii.gz in sub-*/anat and sub-*/ses-*/anat (BIDS), in */ "
            f"(a folder per case) and in the folder itself; names ending in {', '.join(sorted(_RESULTS))} do not count."
        )
    return cases


def choose_reference(grids: Mapping[str, Grid]) -> str:
    """Choose the sequence on whose grid a case is read.

    The first of: the finest largest spacing (thin slices before thick ones), the smallest voxel, FLAIR, the name.
    Spacings are rounded to 0.01 mm, so that header noise decides nothing.
    """

    def rank(sequence: str) -> tuple[float, float, bool, str]:
        spacing = np.round(grids[sequence].spacing, 2)
        return float(spacing.max()), round(float(spacing.prod()), 4), _words(sequence)[-1] != "flair", sequence

    return min(grids, key=rank)


def reference_grid(files: CaseFiles) -> Grid:
    """Return the grid that `load_case` would use, from the headers alone; VolumeError if a file cannot be read."""
    grids = {sequence: read_grid(path) for sequence, path in files.sequences.items()}
    return grids[choose_reference(grids)]


def load_case(files: CaseFiles) -> Case:
    """Read all sequences of a case, side by side in threads, onto the grid of the reference sequence.

    Raises
    ------
    VolumeError
        If a file cannot be used (see `read_volume`) or shows another place than the reference does.
    """
    with ThreadPoolExecutor(_READERS) as pool:  # most of reading is decompression, which leaves Python to others
        volumes = dict(zip(files.sequences, pool.map(read_volume, files.sequences.values()), strict=True))
    reference = choose_reference({sequence: volume.grid for sequence, volume in volumes.items()})
    grid = volumes[reference].grid
    notes = []
    for sequence, volume in volumes.items():
        if not volume.grid.same_as(grid):
            shown = f"the grid of {reference} ({_describe(grid)})"
            notes.append(f"{sequence} ({_describe(volume.grid)}) was resampled to {shown}.")
        volumes[sequence] = _resampled(volume, grid, files.sequences[sequence], files.sequences[reference])
    return Case(files.case, volumes, reference, tuple(notes))


def read_sequences(files: CaseFiles, sequences: Iterable[str]) -> Iterator[Volume]:
    """Read sequences of a case one at a time, each onto the grid that `load_case` would use; errors as there.

    Nothing is kept: a case of many large sequences costs the memory of one.
    """
    grids = {sequence: read_grid(path) for sequence, path in files.sequences.items()}
    reference = choose_reference(grids)
    for sequence in sequences:
        path = files.sequences[sequence]
        yield _resampled(read_volume(path), grids[reference], path, files.sequences[reference])


def _resampled(volume: Volume, grid: Grid, path: Path, reference: Path) -> Volume:
    """Put a volume on the grid of its case; VolumeError if nothing of it is there."""
    resampled = volume.resampled(grid)
    if volume.data.any() and not resampled.data.any():
        raise VolumeError(
            f"{path}: does not overlap {reference} in space. "
            "Repair the header (sform/qform), or move the file out of the study."
        )
    return resampled


def _bids_cases(root: Path) -> Iterator[CaseFiles]:
    """Cases of a BIDS dataset, or of one subject's folder of it."""
    subjects = [root] if root.name.startswith("sub-") else [f for f in _folders(root) if f.name.startswith("sub-")]
    for subject in subjects:
        sessions = [f for f in _folders(subject) if f.name.startswith("ses-")]
        for folder in [subject, *sessions]:
            case = subject.name if folder is subject else f"{subject.name}_{folder.name}"
            if (folder / "anat").is_dir() and (images := _images(folder / "anat")):
                yield CaseFiles(case, _sequences(images))


def _folder_cases(folders: Iterable[Path]) -> Iterator[CaseFiles]:
    """One case for each folder that holds images, named after it; after a link itself, not after what it leads to."""
    for folder in folders:
        if images := _images(folder):
            yield CaseFiles(folder.name, _sequences(images, folder.name))


def _common_words(images: Sequence[Path], root: Path) -> str:
    """Return the words that the names of all `images` begin with, or "" if those of all others in `root` do, too."""
    first, *others = (_stem(image) for image in images)
    beginnings = [first[: word.end()] for word in re.finditer(rf"[^{_SEPARATORS}]+", first)]
    common = [words for words in beginnings if all(_begins(other, words) for other in others)]
    if not common or all(_begins(_stem(image), common[-1]) for image in _images(root)):
        return ""
    return common[-1].strip(_SEPARATORS)


def _begins(name: str, words: str) -> bool:
    """Whether a name begins with whole words: "P-1_T1w" with "P-1", but "P-10_T1w" not."""
    rest = name.removeprefix(words)
    return name.startswith(words) and (not rest or rest[0] in _SEPARATORS)


def _sequences(images: Iterable[Path], case: str = "") -> dict[str, Path]:
    """Name the sequences of a case: the file name without ending, leading case name, `sub-` and `ses-` entities."""
    sequences: dict[str, Path] = {}
    for path in images:
        name = re.sub(r"(^|_)(sub|ses)-[^_]*", "", _stem(path).removeprefix(case)).strip(_SEPARATORS) or _stem(path)
        if name in sequences:
            raise StudyError(f"{path} and {sequences[name].name} are both named {name}. Move one out of the study.")
        sequences[name] = path
    return dict(sorted(sequences.items()))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise StudyError(f"{folder}: cannot be listed ({error.strerror}). Check its permissions.") from error


def _folders(root: Path) -> list[Path]:
    return [f for f in _entries(root) if f.is_dir() and f.name not in _NOT_CASES and not f.name.startswith(".")]


def _images(folder: Path) -> list[Path]:
    """Images directly in a folder that can be sequences, sorted."""
    images = [f for f in _entries(folder) if _is_image(f) and not f.is_dir()]
    return [image for image in images if _words(_stem(image))[-1] not in _RESULTS]


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and not path.name.startswith(".")


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _words(name: str) -> list[str]:
    return re.split("[-_]", name.lower())


def _describe(grid: Grid) -> str:
    """Spacing, and how far the axes are turned out of the world's, when that is half a degree or more."""
    spacing = " x ".join(f"{mm:.2f}" for mm in grid.spacing)
    degrees = float(np.degrees(obliquity(grid.affine)).max())
    return f"{spacing} mm" + (f", {degrees:.0f} deg oblique" if degrees >= 0.5 else "")
