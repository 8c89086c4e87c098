"""Points into a study and out of it: tables, 3D Slicer markups, masks and label images.

Importing twice is importing once: a point that is there already, by its id or by its place, stays as it is; so does one
that is near a lesion of a mask. Nothing that a reader placed is overwritten or removed. Points outside of the case's
images are refused, all of a file or none.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.matching import SAME_LESION_MM, match_points
from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Origin, Verdict
from napari_lesion_points.errors import OutputError, PointsFileError, StudyError
from napari_lesion_points.store.atomic import atomic_path
from napari_lesion_points.store.cases import reference_grid
from napari_lesion_points.store.label_image import label_image
from napari_lesion_points.store.points_file import read_points, write_points
from napari_lesion_points.store.slicer import read_markups, write_markups
from napari_lesion_points.store.volumes import read_labels, write_volume
from napari_lesion_points.workflow.history import write_history

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lesion_points.store.study import Study

ExportFormat = Literal["csv", "json", "nifti", "slicer", "history"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = ("csv", "json", "nifti", "slicer", "history")

#: Ids of points from masks are made from the mask's name, label and place, so that a second import finds them.
_MASK_POINTS = uuid.UUID("5f0c9dfe-6c0b-4c55-9f0a-6a0d6b2f8f7e")


@dataclass(frozen=True)
class MaskRead:
    """A mask was turned into points: how many of how many masks, whose, how many points, and how many of them new."""

    done: int
    total: int
    path: Path
    case: str
    points: int
    new: int


def import_points(study: Study, path: Path, case: str | None = None) -> tuple[Change, ...]:
    """Add the points of a file as annotations: one change per case, all of them in one transaction.

    Parameters
    ----------
    study : Study
        Where to.
    path : Path
        Our CSV or JSON, or 3D Slicer's .mrk.json or .fcsv. Candidates that nobody accepted are left out.
    case : str, optional
        Needed for Slicer's files, which do not name it; for tables, only this case's points are taken.

    Returns
    -------
    tuple of Change
        What was applied; empty when all points were there already.

    Raises
    ------
    PointsFileError
        If the file cannot be read, has candidates only and nobody accepted any, or a point lies outside of its case's
        images.
    StudyError
        If a case is unknown or the study cannot be written.
    """
    wanted = study.files_of(case).case if case else None
    if path.name.lower().endswith((".mrk.json", ".fcsv")):
        if wanted is None:
            raise PointsFileError(f"{path}: 3D Slicer's files do not name the case; say which case it belongs to.")
        points = [markup.point for markup in read_markups(path, wanted)]
    else:
        read = read_points(path)
        if wanted:  # other cases in it may be none of the study's
            read = tuple(p for p in read if p.case in (wanted, wanted.removeprefix("sub-")))
        points = [replace(p, case=study.files_of(p.case).case) for p in read]
    found = len(points)
    points = [p for p in points if p.origin is not Origin.MODEL or p.verdict in (Verdict.ACCEPTED, Verdict.MOVED)]
    if found and not points:
        raise PointsFileError(
            f"{path}: holds nothing but candidates that nobody has accepted ({found}). Accept them in the study that "
            "they are from and export it again, or predict this study."
        )
    taken = {p.id: p.case for p in study.annotations()}
    for p in points:
        if taken.setdefault(p.id, p.case) != p.case:
            raise PointsFileError(
                f"{path}: point {p.id!r} of {p.case} has the id of a point of {taken[p.id]}; renew it."
            )
    changes = []
    for name, of_case in groupby(sorted(points, key=lambda p: p.case), key=lambda p: p.case):
        group = tuple(of_case)
        _require_inside(study, path, name, group)
        new = _absent(study, name, group)
        if new:
            changes.append(Change.adding(*new, label="import"))
    study.apply(*changes)
    return tuple(changes)


def find_masks(study: Study, pattern: str) -> dict[str, Path]:
    """Return the masks that match a pattern, by case; see `points_from_masks`.

    Raises
    ------
    StudyError
        If no file matches, a file belongs to no case of the study or is one of its images, or a case has two.
    """
    found: dict[str, Path] = {}
    for path, case in _masks(study, pattern):
        if case in found:
            raise StudyError(f"{found[case]} and {path} are masks of the same case; narrow the pattern {pattern!r}.")
        found[case] = path
    return found


def points_from_masks(study: Study, pattern: str) -> Iterator[MaskRead]:
    """Turn lesion masks into annotations, and mark their cases as done.

    A lesion within `SAME_LESION_MM` of an annotation, matched one to one, is there already: the centre of one in a mask
    that was corrected is not quite where it was.

    Parameters
    ----------
    study : Study
        Where to.
    pattern : str
        Glob relative to the study folder, such as "derivatives/**/*_mask.nii.gz". The case is the "sub-..." (and
        "ses-...") in the path, the name of a folder that is one of the study's cases, or that of the file without its
        ending or without its last `_word`. A binary mask gives the centres of its components of 3 voxels or more, a
        label image, which has more than one value, those of its labels; an empty mask marks the case as done without
        lesions.

    Yields
    ------
    MaskRead
        After each mask's points are stored.

    Raises
    ------
    StudyError
        If no file matches, or a file belongs to no case of the study or is one of its images. What the program itself
        predicted, and earlier states of painted masks, do not match.
    VolumeError
        If a mask cannot be read.
    PointsFileError
        If a lesion lies outside of its case's images.
    """
    masks = _masks(study, pattern)
    root = _folder(study)
    for done, (path, case) in enumerate(masks, start=1):
        found = component_centres(read_labels(path))
        name = path.relative_to(root).as_posix()
        points = [
            LesionPoint(
                case,
                (x, y, z),
                id=uuid.uuid5(_MASK_POINTS, f"{case}:{name}:{label}:{x:.3f} {y:.3f} {z:.3f}").hex,
                origin=Origin.MASK,
                reader=study.reader,
            )
            for (x, y, z), label in zip(found.centers_world, found.labels, strict=True)
        ]
        _require_inside(study, path, case, points)
        new: dict[str, tuple[LesionPoint | None, LesionPoint | None]] = {
            p.id: (None, p) for p in _not_annotated(study, case, points)
        }
        before = study.state(case)
        if new or before is not CaseState.DONE:
            study.apply(Change(case, "points from mask", new, {}, (before, CaseState.DONE)))
        yield MaskRead(done, len(masks), path, case, len(points), len(new))


def _folder(study: Study) -> Path:
    return study.root if study.root.is_dir() else study.root.parent


def _masks(study: Study, pattern: str) -> list[tuple[Path, str]]:
    """Return the files that match a pattern, each with its case."""
    root = _folder(study)
    try:
        paths = sorted(path for path in root.glob(pattern) if not study.predicted_or_kept(path))
    except (ValueError, NotImplementedError) as error:
        raise StudyError(f"{pattern!r} is no pattern below {root} ({error}); give it relative to the study.") from error
    if not paths:
        raise StudyError(f"no file below {root} matches {pattern!r}; quote the pattern, relative to the study folder.")
    cases = [_case_of(path.relative_to(root), study) for path in paths]
    images = {image for files in study.files for image in files.sequences.values()}
    for path in paths:
        if path in images:
            raise StudyError(f"{path} is an image of the study, not a mask; narrow the pattern {pattern!r}.")
    return list(zip(paths, cases, strict=True))


def export_study(study: Study, out: Path, format: ExportFormat) -> tuple[Path, ...]:
    """Write a study's annotations, and its candidates, to a folder.

    A case without annotations gets no file, unless the folder has one of an earlier export: that is emptied.

    Parameters
    ----------
    study : Study
        What to write.
    out : Path
        Folder; made if missing. Files of the same names are replaced, whole or not at all.
    format : str
        "csv", "json": `points` and, if there are any, `candidates`, for all cases. "nifti": per case with annotations
        `CASE_points.nii.gz`, label k for the k-th of its rows in `points.csv`, which is written too, and the
        predicted heatmap if there is one. "slicer": per case `CASE.mrk.json`. "history": `history.csv`, all edits.

    Returns
    -------
    tuple of Path
        The files written.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    if format not in EXPORT_FORMATS:
        raise OutputError(f"format is {format!r}; expected one of {', '.join(EXPORT_FORMATS)}.")
    if format == "history":
        write_history(study, out / "history.csv")
        return (out / "history.csv",)
    annotations = study.annotations()
    by_case = {name: [a for a in annotations if a.case == name] for name in study.case_names}
    written: list[Path] = []
    if format in ("csv", "json", "nifti"):
        suffix = "json" if format == "json" else "csv"
        tables = {"points": [a for points in by_case.values() for a in points], "candidates": study.candidates()}
        for table, points in tables.items():
            path = out / f"{table}.{suffix}"
            if points or table == "points" or path.exists():
                write_points(path, points)
                written.append(path)
    for case, points in by_case.items():
        markups, path = out / f"{case}.mrk.json", out / f"{case}_points.nii.gz"
        if format == "slicer" and (points or markups.exists()):
            write_markups(markups, points)
            written.append(markups)
        if format == "nifti":
            if points or path.exists():
                labels = label_image([p.world for p in points], reference_grid(study.files_of(case)))
                write_volume(path, labels, "lesion points, label k is the case's k-th row in points.csv")
                written.append(path)
            heatmap = study.heatmap_path(case)
            target = out / heatmap.name
            if heatmap.is_file() and heatmap.resolve() != target.resolve():
                with atomic_path(target) as temporary:
                    shutil.copyfile(heatmap, temporary)
                written.append(target)
    return tuple(written)


def _absent(study: Study, case: str, points: Sequence[LesionPoint]) -> tuple[LesionPoint, ...]:
    """Return the points that are not yet in the study, by id or place; of several at one place only the first."""
    present = study.annotations(case)
    ids, places = {a.id for a in present}, {_place(a) for a in present}
    new = {_place(p): p for p in reversed(points) if p.id not in ids and _place(p) not in places}
    return tuple(reversed(new.values()))


def _not_annotated(study: Study, case: str, points: Sequence[LesionPoint]) -> tuple[LesionPoint, ...]:
    """Return those lesions of a mask that are not yet in the study, by id, place or nearness.

    An annotation that has the id or place of one lesion stands for that one, and for no other that is near.
    """
    absent = _absent(study, case, points)
    ids, places = {p.id for p in points}, {_place(p) for p in points}
    others = [a for a in study.annotations(case) if a.id not in ids and _place(a) not in places]
    near = match_points([p.world for p in absent], [a.world for a in others], SAME_LESION_MM)
    return tuple(absent[i] for i in near.unmatched_predicted)


def _require_inside(study: Study, path: Path, case: str, points: Sequence[LesionPoint]) -> None:
    inside = reference_grid(study.files_of(case)).contains([p.world for p in points])
    outside = [p.world for p, ok in zip(points, inside, strict=True) if not ok]
    if outside:
        x, y, z = outside[0]
        raise PointsFileError(
            f"{path}: {len(outside)} of {len(points)} points lie outside the images of {case}, the first at "
            f"({x:.1f}, {y:.1f}, {z:.1f}) mm. Check that the file belongs to this case and is in RAS mm."
        )


def _place(point: LesionPoint) -> tuple[float, ...]:
    """Return where a point is, to the micrometre: beyond what any file of ours rounds to."""
    return tuple(round(c, 3) for c in point.world)


def _case_of(relative: Path, study: Study) -> str:
    """Return the case that a path names."""
    text = relative.as_posix()
    stem = re.sub(r"\.nii(\.gz)?$", "", relative.name, flags=re.IGNORECASE)
    subject = re.search(r"sub-[A-Za-z0-9]+", text)
    session = re.search(r"ses-[A-Za-z0-9]+", text)
    names = [f"{subject[0]}_{session[0]}"] if subject and session else []
    names += [subject[0]] if subject else []
    names += [part for part in reversed(relative.parts)]
    names += [stem, stem.rpartition("_")[0]]
    for name in names:
        if name in study.case_names:
            return name
    raise StudyError(f"{relative} names no case of this study ({', '.join(study.case_names[:5])}, ...).")
