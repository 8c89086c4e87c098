"""Measure prediction beside MONAI's sliding windows: time, the candidates that come out, and memory.

Both sides have the same network, trained for two minutes on simulated patients, the same standardised images, 48-voxel
windows that share a quarter, Gaussian weights, and the same cores; they take turns. MONAI is given the whole volume, as
it knows of no foreground; ours what `prepare_input` makes of it. MONAI runs in float32 with two windows at a time: a
single one would take three times as long, and is what its defaults do. The latter is `SlidingWindowInferer` with
nothing set but the window. The network has BatchNorm, so one float32 pass over a whole volume is what windows of
either side approximate; how far both are from that is measured on the small volumes.

`python -m benchmarks.prediction memory STUDY MODEL OUT` predicts a study and prints the largest memory that it took.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from benchmarks.record import Row
from napari_lesion_points.core.fitting import fit_gaussians
from napari_lesion_points.core.geometry import NETWORK_AXES, Grid, Volume
from napari_lesion_points.core.heatmap import peak_height, sigma_in_voxels
from napari_lesion_points.core.preparation import NetworkInput, prepare_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lesion_points.core.phantom import Phantom
    from napari_lesion_points.workflow.models import ModelCard

    Array = NDArray[np.float32]

TRAINING_CASES = 24
MINUTES = 2.0
PATIENTS = 4  # that the network has not seen, of 80 x 96 x 80 voxels
HEAD_SHAPE = (182, 218, 182)  # at 1 mm
LARGE_SHAPE = (512, 512, 400)  # at 0.5 mm, four sequences
WINDOW = (48, 48, 48)
OVERLAP = 0.25
TURNS = 3
AGAIN = "T1w", "ce-gadolinium_T1w"  # simulated patients have three sequences; this one is given twice
FLOOR = 0.1  # existence of what a prediction keeps


@dataclass(frozen=True, eq=False)
class Case:
    """What either side is given, and where ours lies in the other's array."""

    ours: NetworkInput
    whole: Array
    box: tuple[slice, ...]

    def in_whole(self, heatmap: Array) -> Array:
        """Put our heatmap where it belongs."""
        out = np.zeros(self.whole.shape[1:], np.float32)
        out[self.box] = heatmap
        return out


def rows() -> Iterator[Row]:
    """Simulate, train, and measure both sides."""
    import torch
    from monai.inferers.inferer import SlidingWindowInferer
    from monai.inferers.utils import sliding_window_inference

    from napari_lesion_points.core.phantom import simulate_patient
    from napari_lesion_points.learn.devices import choose_device, usable_cores
    from napari_lesion_points.learn.network import heatmap_from_logits
    from napari_lesion_points.learn.predict import predict_heatmap
    from napari_lesion_points.store.anatomy import load_anatomy
    from napari_lesion_points.workflow.training import load_network

    threads = usable_cores()
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        card = _train(Path(folder))
        network, placed, device = load_network(card).eval(), load_network(card), choose_device("cpu")
        device.place(placed)
        sigma = sigma_in_voxels(card.sigma_mm, card.spacing_mm)
        peak = peak_height(sigma)

        def heatmap_of(images: torch.Tensor) -> torch.Tensor:
            return heatmap_from_logits(network(images), peak)

        def ours(case: Case) -> Array:
            return case.in_whole(predict_heatmap(placed, case.ours, WINDOW, peak, device))

        def monai(case: Case, windows: int = 2) -> Array:
            images = torch.from_numpy(case.whole)[None]
            with torch.inference_mode():
                heatmap = sliding_window_inference(
                    images, WINDOW, windows, heatmap_of, overlap=OVERLAP, mode="gaussian"
                )
            return case.in_whole(np.asarray(heatmap)[0, 0][case.box] * case.ours.foreground)

        def defaults(case: Case) -> Array:
            with torch.inference_mode():
                return np.asarray(SlidingWindowInferer(WINDOW)(torch.from_numpy(case.whole)[None], heatmap_of))

        def one_pass(case: Case) -> Array:
            shape = case.ours.foreground.shape
            multiple = [(0, 0), *((0, -n % network.config.stride) for n in shape)]
            with torch.inference_mode():
                images = torch.from_numpy(np.pad(case.ours.images, multiple)).float()[None]
                heatmap = np.asarray(heatmap_of(images))[0, 0]
            return case.in_whole(heatmap[tuple(slice(n) for n in shape)] * case.ours.foreground)

        anatomy = load_anatomy()
        patients = [simulate_patient(anatomy, seed, lesions=(4, 8)) for seed in range(1000, 1000 + PATIENTS)]
        for patient in patients:
            patient.sequences[AGAIN[1]] = patient.sequences[AGAIN[0]]
        small = [_case(patient, card, patient.brain.grid, card.spacing_mm) for patient in patients]
        head = _case(patients[0], card, _around(patients[0].brain.grid, HEAD_SHAPE, 1.0), (1.0, 1.0, 1.0))
        for what, cases, turns in (("80 x 96 x 80", small, TURNS), ("182 x 218 x 182", [head], 2)):
            seconds: dict[str, list[float]] = {"ours": [], "monai": [], "defaults": []}
            difference, from_exact, monai_from_exact = _Difference(), _Difference(), _Difference()
            for turn in range(turns):
                for case in cases:
                    mine = _timed(seconds["ours"], ours, case)
                    other = _timed(seconds["monai"], monai, case)
                    if turn == 0:
                        difference.add(other, mine, sigma)
                        if cases is small:
                            exact = one_pass(case)
                            from_exact.add(exact, mine, sigma)
                            monai_from_exact.add(exact, other, sigma)
                        if case is cases[0]:
                            _timed(seconds["defaults"], defaults, case)
            best = {side: min(taken) for side, taken in seconds.items()}
            shown = f"{what}, {len(card.sequences)} sequences"
            mine_s = f"{best['ours']:.2f} s ({device.label})"
            yield Row(
                "prediction", f"{shown}, beside MONAI with the same window, overlap and weights",
                best["monai"] / best["ours"], "x", 6, "at least", mine_s, f"{best['monai']:.2f} s (float32)",
                threads=threads,
            )  # fmt: skip
            yield Row(
                "prediction", f"{shown}, beside MONAI's defaults", best["defaults"] / best["ours"], "x", 20, "at least",
                mine_s, f"{best['defaults']:.2f} s (float32, one window at a time)", threads=threads,
            )  # fmt: skip
            yield Row(
                "prediction", f"{shown}, largest difference of existence from MONAI's candidates",
                max(difference.existence), "", 0.02, "at most",
                f"{difference.unmatched} unmatched within 0.5 voxel", f"{len(difference.existence)} candidates",
                threads=threads,
            )  # fmt: skip
            if cases is small:
                yield Row(
                    "prediction", f"{shown}, largest difference of existence from one float32 pass over it all",
                    max(from_exact.existence), "", max(monai_from_exact.existence), "at most",
                    f"{from_exact.unmatched} unmatched within 0.5 voxel",
                    f"{max(monai_from_exact.existence):.3f}, {monai_from_exact.unmatched} unmatched (MONAI)",
                    threads=threads,
                )  # fmt: skip
        peak_gb = _memory(Path(folder), patients[0], card)
        yield Row(
            "prediction", f"largest memory of a prediction of {' x '.join(map(str, LARGE_SHAPE))}, "
            f"{len(card.sequences)} sequences, all of it", peak_gb, "GB", 16, "at most",
            f"{peak_gb * 1e9 / np.prod(LARGE_SHAPE):.1f} bytes per voxel of the scan", threads=threads,
        )  # fmt: skip


class _Difference:
    """How far candidates of two heatmaps are from one another, over cases."""

    def __init__(self) -> None:
        self.existence: list[float] = [0.0]
        self.unmatched = 0

    def add(self, one: Array, two: Array, sigma: NDArray[np.float64]) -> None:
        """Compare both ways; what only one of them keeps, as its existence is just above the floor, is matched too."""
        found = [fit_gaussians(heatmap, sigma, min_existence=FLOOR / 2) for heatmap in (one, two)]
        for a, b in (found, found[::-1]):
            distance = cdist(a.centers_vox, b.centers_vox)
            for row, existence in zip(distance, a.existence, strict=True):
                if existence < FLOOR:
                    continue
                if not row.size or row.min() > 0.5:
                    self.unmatched += 1
                else:
                    self.existence.append(float(abs(existence - b.existence[row.argmin()])))


def _timed(seconds: list[float], run: Callable[[Case], Array], case: Case) -> Array:
    started = time.perf_counter()
    heatmap = run(case)
    seconds.append(time.perf_counter() - started)
    return heatmap


def _train(folder: Path) -> ModelCard:
    """Train as the command line does, on patients whose points are the truth."""
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.workflow.exchange import import_points
    from napari_lesion_points.workflow.jobs import run
    from napari_lesion_points.workflow.models import describe_model
    from napari_lesion_points.workflow.planning import plan_training
    from napari_lesion_points.workflow.simulate import simulate_study

    for _ in simulate_study(folder / "study", TRAINING_CASES, seed=0):
        pass
    for path in (folder / "study").glob(f"sub-*/anat/*_{AGAIN[0]}.nii.gz"):
        shutil.copy(path, path.with_name(path.name.replace(*AGAIN)))
    with Study.open(folder / "study") as study:
        import_points(study, folder / "study" / "derivatives" / "truth" / "points.csv", None)
        spec = plan_training(study, out=folder / "model", minutes=MINUTES, device="cpu")
    for _ in run(spec):
        pass
    return describe_model(folder / "model")


def _case(patient: Phantom, card: ModelCard, grid: Grid, spacing_mm: tuple[float, float, float]) -> Case:
    volumes = [patient.sequences[s].resampled(grid) for s in card.sequences]
    case = prepare_input("patient", volumes, spacing_mm)
    turned = grid.reoriented(NETWORK_AXES)
    start = turned.to_voxel(case.grid.to_world([[0, 0, 0]]))[0].round().astype(int)
    box = tuple(slice(int(a), int(a) + n) for a, n in zip(start, case.foreground.shape, strict=True))
    whole = np.zeros((len(volumes), *turned.shape), np.float32)
    whole[(slice(None), *box)] = case.images
    return Case(case, whole, box)


def _around(grid: Grid, shape: tuple[int, int, int], spacing_mm: float) -> Grid:
    """Return a grid of that shape and spacing with the same centre."""
    affine = grid.affine.copy()
    affine[:3, :3] *= spacing_mm / grid.spacing
    center = grid.to_world([(np.array(grid.shape) - 1) / 2])[0]
    affine[:3, 3] = center - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def _memory(folder: Path, patient: Phantom, card: ModelCard) -> float:
    """Write a large case and return the GB that predicting it takes, in a process of its own."""
    from napari_lesion_points.store.volumes import write_volume

    grid = _around(patient.brain.grid, LARGE_SHAPE, 0.5)
    for sequence in card.sequences:
        volume = patient.sequences[sequence].resampled(grid)
        data = (1000 * volume.data / volume.data.max()).astype(np.int16)
        write_volume(folder / "large" / "sub-1" / "anat" / f"sub-1_{sequence}.nii", Volume(data, grid))
    command = [sys.executable, "-m", "benchmarks.prediction", "memory"]
    command += [str(folder / "large"), str(card.path), str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _predict_and_tell(study: Path, model: Path, out: Path) -> None:
    import resource  # not on Windows

    from napari_lesion_points.store.cases import find_cases
    from napari_lesion_points.workflow.job import execute
    from napari_lesion_points.workflow.planning import plan_prediction

    *_, finished = execute(plan_prediction(find_cases(study), model=model, heatmaps=out, device="cpu"), lambda: False)
    print(finished, file=sys.stderr)
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9))


if __name__ == "__main__":
    _predict_and_tell(*map(Path, sys.argv[2:5]))
