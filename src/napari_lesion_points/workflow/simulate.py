"""Write a study of simulated patients: a BIDS dataset with its truth.

    OUT/sub-0001/anat/sub-0001_{FLAIR,T1w,T2w}.nii.gz
    OUT/participants.tsv                                    seed, number of lesions and split of each patient
    OUT/derivatives/truth/points.csv                        centre (world mm) and size of each lesion
    OUT/derivatives/truth/sub-0001/anat/sub-0001_label-lesion_dseg.nii.gz

The study is made in a hidden folder beside OUT and renamed when complete.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points import __version__
from napari_lesion_points.core.geometry import Volume
from napari_lesion_points.core.phantom import FINE_GRID, GRID, simulate_patient
from napari_lesion_points.core.phantom.look import VARIED, draw_sequences
from napari_lesion_points.errors import OutputError
from napari_lesion_points.store.anatomy import load_anatomy
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.volumes import write_volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from napari_lesion_points.core.phantom import Anatomy, Phantom

_VARIED_LESIONS = (0, 25)
_ORIENTATIONS = ("RAS", "LPS", "LAS", "LIP", "PSR")  # axial, as most files are, sagittal and coronal


@dataclass(frozen=True)
class SimulationProgress:
    """A patient is written: how many of how many, which one, and its number of lesions."""

    done: int
    total: int
    case: str
    lesions: int


def simulate_study(
    out: Path, cases: int, seed: int, *, varied: bool = False, split: tuple[int, int, int] | None = None
) -> Iterator[SimulationProgress]:
    """Simulate patients and write them as a study; the same `cases` and `seed` write the same images and tables.

    Parameters
    ----------
    out : Path
        Folder to make; it may exist if it is empty. It appears when the last patient is done, after the last record.
    cases : int
        Number of patients, at least 1.
    seed : int
        At least 0. Studies of different seeds share no patient.
    varied : bool
        Patients of 1 mm that could come from any clinic: contrasts, scanners, sequences, orientation of the arrays and
        brain extraction differ (see `core.phantom`). By default all come from one good scanner, at 2 mm.
    split : (int, int, int), optional
        Percent of the patients for training, validation and test, noted in the column `split` of participants.tsv.

    Raises
    ------
    OutputError
        If `out` holds something or cannot be written.
    VolumeError
        If the template anatomy is not installed.
    ValueError
        If `cases` or `seed` is too small, or `split` is not of 100 percent.
    """
    if cases < 1 or seed < 0:
        raise ValueError(f"cases is {cases} and seed is {seed}; expected at least 1 and 0.")
    if split and (min(split) < 0 or sum(split) != 100):
        raise ValueError(f"split is {split}; expected three percentages whose sum is 100.")
    out = out.resolve()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"{out} exists and is not an empty folder; choose another.")
    anatomy = load_anatomy(FINE_GRID if varied else GRID)
    unfinished = out.with_name(f".{uuid.uuid4().hex[:8]}-{out.name}")
    truth = unfinished / "derivatives" / "truth"
    parts = _parts(cases, split) if split else []
    participants: list[tuple[object, ...]] = []
    points: list[tuple[str, int, str, str, str, int]] = []
    try:
        for number in range(1, cases + 1):
            case = f"sub-{number:04d}"
            patient_seed = int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])
            patient = _any_clinic(anatomy, patient_seed) if varied else simulate_patient(anatomy, patient_seed)
            _write_patient(patient, case, unfinished, truth)
            participants.append((case, patient_seed, len(patient.sizes), *parts[number - 1 : number]))
            for lesion, (world, voxels) in enumerate(zip(patient.centers_world, patient.sizes, strict=True), start=1):
                x, y, z = (f"{c:.4f}" for c in world)
                points.append((case, lesion, x, y, z, int(voxels)))
            yield SimulationProgress(number, cases, case, len(patient.sizes))
        columns = ("participant_id", "seed", "lesions", *(("split",) if split else ()))
        _write_table(unfinished / "participants.tsv", columns, participants, "\t")
        _write_table(truth / "points.csv", ("case", "lesion", "x_mm", "y_mm", "z_mm", "voxels"), points, ",")
        _write_description(unfinished, "Simulated patients with lesions", "raw")
        _write_description(truth, "Lesions of the simulated patients", "derivative")
        _rename(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _parts(cases: int, split: tuple[int, int, int]) -> list[str]:
    train, validation = (round(cases * percent / 100) for percent in split[:2])
    return ["train"] * train + ["val"] * validation + ["test"] * (cases - train - validation)


def _any_clinic(anatomy: Anatomy, seed: int) -> Phantom:
    rng = np.random.default_rng((seed, 1))
    names = draw_sequences(rng, tuple(VARIED))
    patient = simulate_patient(anatomy, seed, lesions=_VARIED_LESIONS, varied=True, sequences=names)
    axes = str(rng.choice(_ORIENTATIONS))
    turned = {name: volume.reoriented(axes) for name, volume in patient.sequences.items()}
    return replace(patient, sequences=turned, labels=patient.labels.reoriented(axes))


def _write_patient(patient: Phantom, case: str, root: Path, truth: Path) -> None:
    for sequence, volume in patient.sequences.items():
        rounded = Volume(np.rint(volume.data, dtype=np.float32).astype(np.int16), volume.grid)
        write_volume(root / case / "anat" / f"{case}_{sequence}.nii.gz", rounded)
    write_volume(truth / case / "anat" / f"{case}_label-lesion_dseg.nii.gz", patient.labels)


def _write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]], delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
    atomic_write(path, text.getvalue())


def _write_description(folder: Path, name: str, kind: str) -> None:
    """Write what BIDS requires of a dataset of the kind "raw" or "derivative"."""
    made_by = [{"Name": "napari-lesion-points", "Version": __version__}]
    description = {"Name": name, "BIDSVersion": "1.10.0", "DatasetType": kind, "GeneratedBy": made_by}
    atomic_write(folder / "dataset_description.json", json.dumps(description, indent=2) + "\n")


def _rename(folder: Path, target: Path) -> None:
    """Move a folder to where nothing or an empty folder is."""
    try:
        if target.exists():
            target.rmdir()
        folder.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror}). Choose another place.") from error
