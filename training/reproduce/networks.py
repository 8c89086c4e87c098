"""Networks of the experiments: trained once each, and what they find in the validation and test cases, kept on disk."""

from __future__ import annotations

import gzip
import json
import math
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lesion_points.core.events import Finished
from napari_lesion_points.core.fitting import fit_gaussians
from napari_lesion_points.core.heatmap import sigma_in_voxels
from napari_lesion_points.core.metrics import CaseDetections
from napari_lesion_points.core.overlap import Overlap, overlap
from napari_lesion_points.learn.devices import choose_device
from napari_lesion_points.learn.dropout import predict_with_dropout
from napari_lesion_points.learn.labels import Found, Kind, Label, find_components
from napari_lesion_points.learn.predict import margin_around, predict_heatmap
from napari_lesion_points.learn.recipes import RECIPES
from napari_lesion_points.learn.train import PATCHES_PER_CASE
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.volumes import read_labels
from napari_lesion_points.workflow.jobs import run
from napari_lesion_points.workflow.models import describe_model
from napari_lesion_points.workflow.planning import plan_training
from napari_lesion_points.workflow.specs import SpecCase
from napari_lesion_points.workflow.training import load_input, load_network
from training.reproduce.cohort import Cohort

TOLERANCE_VOX = 6.0  # the paper's


@dataclass(frozen=True)
class Network:
    """One training.

    Parameters
    ----------
    name : str
        Its folder.
    cases : tuple of str
        Training cases; the cohort's validation cases are always kept aside.
    label : str
        See `learn.labels.Label`.
    sigma_vox : float
        Of heatmaps, voxels of the cohort.
    decay : float
        Of distance maps; the paper's p.
    seed : int
        Of the training, and of the jitter.
    jitter_mm : float
        How far clicks are off.
    dropout : float
        For MC dropout.
    parent : Network, optional
        Whose encoder is kept; for segmentations.
    effort : float
        Share of the budget of a training.
    """

    name: str
    cases: tuple[str, ...]
    label: Kind = "heatmap"
    sigma_vox: float = 1.5
    decay: float = 2.0
    seed: int = 0
    jitter_mm: float = 0.0
    dropout: float = 0.0
    parent: Network | None = None
    effort: float = 1.0


@dataclass(frozen=True, eq=False)
class Detected:
    """What a network finds in some cases.

    Parameters
    ----------
    fitted : list of CaseDetections
        By Gaussian fitting, without recalibration; empty unless the network draws heatmaps.
    unfitted : list of CaseDetections
        The same candidates, with the sum of the window as existence (the paper's unfitted one).
    components : list of Found
        Connected components, by threshold.
    sampled : list of CaseDetections
        By MC dropout, if the network has dropout and draws segmentations.
    overlap : Overlap
        Of all drawn masks with the true ones, if it draws segmentations.
    """

    fitted: list[CaseDetections]
    unfitted: list[CaseDetections]
    components: list[Found]
    sampled: list[CaseDetections]
    overlap: Overlap


class NotTrainedError(Exception):
    """What a table needs is not there, and is not wanted now."""


class Bench:
    """Trains what is missing and reads what is there.

    Parameters
    ----------
    cohort : Cohort
        What to learn and to be tested on.
    out : Path
        Folder of all that is made.
    minutes, steps : float, int
        Budget of each training: one of the two.
    expected : int
        Networks that the experiments will ask for, for the time left.

    Raises
    ------
    SystemExit
        If the folder has networks of another cohort, or of another budget.
    """

    def __init__(
        self, cohort: Cohort, out: Path, expected: int, *, minutes: float | None = None, steps: int | None = None
    ) -> None:
        self.cohort, self.out, self.expected, self.minutes, self.steps = cohort, out, expected, minutes, steps
        self.each = f"{steps} steps" if steps else f"{minutes:g} minutes"
        self.budget = f"the whole epochs nearest to {self.each}" if steps else self.each
        self.may_train = True
        self.tolerance_mm = TOLERANCE_VOX * cohort.spacing_mm
        self._asked: set[str] = set()
        self._took_s: list[float] = []
        self._claim()

    def detect(self, network: Network, part: str) -> Detected:
        """Return what a network finds in the cases of "val", "test" or "train"; it is trained first if need be.

        Raises
        ------
        NotTrainedError
            If that is not there, and nothing may be trained.
        """
        path = self.out / "networks" / network.name / f"found-{part}.json.gz"
        if not path.is_file() and not self.may_train:
            raise NotTrainedError(path)
        if self.may_train:
            self._asked.add(network.name)
        if not path.is_file():
            self._provide(network, part)
            self._predict(network, part, path)
        found = json.loads(gzip.decompress(path.read_bytes()))

        def some(kind: str) -> list[CaseDetections]:
            return [self._detections(case, x[kind]) for case, x in found.items() if kind in x]

        return Detected(
            some("fitted"),
            some("unfitted"),
            [self._components(case, x["components"]) for case, x in found.items()],
            some("sampled"),
            sum((Overlap(*x["overlap"]) for x in found.values() if "overlap" in x), Overlap(0, 0, 0)),
        )

    def model(self, network: Network) -> Path:
        """Return the folder of a network's model, which is there when its training is over."""
        return self.out / "networks" / network.name / "model"

    def _claim(self) -> None:
        """Note of which networks the folder is, unless it says so."""
        path = self.out / "networks" / "all.json"
        of = {"cohort": self.cohort.root.name, "each": self.each}
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, json.dumps(of))
        elif (there := json.loads(path.read_text(encoding="utf-8"))) != of:
            raise SystemExit(
                f"{path.parent} has networks of {there['cohort']}, {there['each']} each, not of {of['cohort']}, "
                f"{of['each']}; name another folder with --out."
            )

    def _provide(self, network: Network, part: str) -> None:
        """Train a network unless its model is there, and before it the one whose encoder it keeps."""
        if self.model(network).is_dir():
            return
        if network.parent:
            self._provide(network.parent, part)
        self._say(network, part)
        began = time.monotonic()
        self._train(network)
        self._took_s.append(time.monotonic() - began)

    def _train(self, network: Network) -> None:
        unfinished = self.model(network).with_name("unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        who = f"jitter-{network.jitter_mm:g}-{network.seed}" if network.jitter_mm else "exact"
        with self.cohort.clicked(self.out / "stores" / who, network.jitter_mm, network.seed) as study:
            spec = plan_training(
                study,
                out=unfinished,
                cases=network.cases,
                validation=self.cohort.split["val"],
                minutes=self.minutes and self.minutes * network.effort,
                epochs=self.steps and epochs_of(self.steps * network.effort, len(network.cases)),
                sigma_mm=None if network.parent else network.sigma_vox * self.cohort.spacing_mm,
                seed=network.seed,
                tolerance_mm=self.tolerance_mm,
                label=network.label,
                decay=network.decay,
                masks=self.cohort.masks if network.label == "segmentation" else None,
                init=self.model(network.parent) if network.parent else None,
                dropout=network.dropout or None,
            )
        for event in run(spec):
            if isinstance(event, Finished) and event.outcome != "returned":
                raise SystemExit(f"{network.name}: {event.reason}")
        unfinished.rename(self.model(network))

    def _predict(self, network: Network, part: str, path: Path) -> None:
        card, device = describe_model(self.model(network)), choose_device("auto")
        drawing = load_network(card)
        device.place(drawing)
        kind = Label(network.label, network.decay)
        sigma_vox = sigma_in_voxels(card.sigma_mm, card.spacing_mm)
        found: dict[str, Any] = {}
        for case in self.cohort.split[part]:
            files = {name: str(path) for name, path in self.cohort.files[case].sequences.items()}
            points = tuple(map(tuple, self.cohort.truth[case].world.tolist()))
            seen = load_input(SpecCase(case, files, points), card.sequences, card.spacing_mm)
            margin = margin_around(kind, RECIPES[card.recipe], sigma_vox)
            drawn = predict_heatmap(drawing, seen, card.patch_vox, kind.peak(sigma_vox), device, margin=margin)
            parts = find_components(kind, drawn, seen, sigma_vox).by_threshold
            found[case] = {"components": {t: _rows(x.centers_world, x.existence) for t, x in parts.items()}}
            if kind.fitted:
                fits = fit_gaussians(drawn, sigma_vox)
                centers = seen.grid.to_world(fits.centers_vox)
                found[case]["fitted"] = _rows(centers, fits.existence)
                found[case]["unfitted"] = _rows(centers, fits.unfitted_existence)
            if network.label == "segmentation":
                true = read_labels(self.cohort.masks[case]).resampled(seen.grid, order=0)
                counts = overlap(drawn >= card.mask_threshold, true.data)
                found[case]["overlap"] = [counts.both, counts.drawn_only, counts.true_only]
            if network.dropout:
                sampled = predict_with_dropout(drawing, seen, card.patch_vox, card.threshold, device, seed=network.seed)
                found[case]["sampled"] = _rows(seen.grid.to_world(sampled.centers_vox), sampled.existence)
        atomic_write(path, gzip.compress(json.dumps(found, separators=(",", ":")).encode(), mtime=0))

    def _detections(self, case: str, rows: list[list[float]]) -> CaseDetections:
        table = np.array(rows, float).reshape(-1, 4)
        return CaseDetections(case, table[:, :3], table[:, 3], self.cohort.truth[case].world)

    def _components(self, case: str, found: dict[str, list[list[float]]]) -> Found:
        by_threshold = {float(t): self._detections(case, rows) for t, rows in found.items()}
        return Found(case, self.cohort.truth[case].world, by_threshold)

    def _say(self, network: Network, part: str) -> None:
        left = max(self.expected - len(self._asked) + 1, 1)
        each_s = statistics.mean(self._took_s) if self._took_s else 60 * (self.minutes or math.nan)
        time_left = "" if math.isnan(each_s) else f" and {left * each_s / 3600:.1f} h"
        print(f"{network.name} on {part}; at most {left} networks{time_left} to go", flush=True)


def _rows(centers_world: NDArray[np.floating], existence: NDArray[np.floating]) -> list[list[float]]:
    """World mm and existence of each candidate."""
    table = np.column_stack([np.reshape(centers_world, (-1, 3)), existence])
    return [[round(float(x), 4) for x in row] for row in table]


def epochs_of(steps: float, cases: int) -> int:
    """Return the epochs over so many cases that come closest to a number of steps, at least one."""
    return max(round(steps * RECIPES["fast"].batch / (cases * PATCHES_PER_CASE)), 1)
