"""The study that the experiments are made on: its split, its true lesions, and what a reader would have clicked."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Origin
from napari_lesion_points.errors import StudyError
from napari_lesion_points.store.cases import CaseFiles, find_cases
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import read_labels

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Truth:
    """One case's lesions: centres (K, 3) in world mm, sizes (K,) in voxels."""

    world: NDArray[np.float64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class Cohort:
    """A BIDS dataset with lesion masks in `derivatives/truth` and a column `split` in participants.tsv."""

    root: Path

    @cached_property
    def split(self) -> dict[str, tuple[str, ...]]:
        """Cases of each of `SPLITS`, in the table's order; StudyError without the column."""
        table = self.root / "participants.tsv"
        try:
            with table.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
        except OSError as error:
            raise StudyError(f"{table} cannot be read ({error}); experiments need a study with a split.") from error
        if not rows or "split" not in rows[0]:
            raise StudyError(
                f"{table} has no column 'split': say there which cases are for {', '.join(SPLITS)}. "
                "`lesion-points simulate --split 40 10 50` writes such a study."
            )
        return {part: tuple(r["participant_id"] for r in rows if r["split"] == part) for part in SPLITS}

    @cached_property
    def files(self) -> dict[str, CaseFiles]:
        """Images by case."""
        return {f.case: f for f in find_cases(self.root)}

    @cached_property
    def masks(self) -> dict[str, Path]:
        """Mask files by case."""
        found = sorted((self.root / "derivatives" / "truth").rglob("*_dseg.nii.gz"))
        return {next(c for c in self.files if path.name.startswith(f"{c}_")): path for path in found}

    @cached_property
    def truth(self) -> dict[str, Truth]:
        """True lesions by case."""
        found = {case: component_centres(read_labels(path), label_image=True) for case, path in self.masks.items()}
        return {case: Truth(np.asarray(c.centers_world), c.sizes) for case, c in found.items()}

    @property
    def spacing_mm(self) -> float:
        """Voxel size of the first mask, mm."""
        return float(read_labels(next(iter(self.masks.values()))).grid.spacing[0])

    def clicked(self, store: Path, jitter_mm: float = 0.0, seed: int = 0) -> Study:
        """Open the study as a reader left it who clicked every lesion of every case, `jitter_mm` off its centre.

        The distance off is that of a normal distribution in space whose root mean square is `jitter_mm`.
        """
        study = Study.open(self.root, store, reader="truth")
        rng = np.random.default_rng([seed, 1])
        for case in self.split["train"] + self.split["val"]:
            offset = rng.normal(0, jitter_mm / 3**0.5, (len(self.truth[case].world), 3))
            if study.state(case) is CaseState.DONE:
                continue
            off = offset if case in self.split["train"] else np.zeros_like(offset)
            places = [(float(x), float(y), float(z)) for x, y, z in self.truth[case].world + off]
            if places and not study.annotations(case):
                study.apply(Change.adding(*(LesionPoint(case, p, origin=Origin.MASK) for p in places), label="import"))
            study.set_state(case, CaseState.DONE)
        return study
