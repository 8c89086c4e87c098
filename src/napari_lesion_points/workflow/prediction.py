"""The prediction job: heatmap and candidates of whole cases, by a trained model; a segmentation also gives a mask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from napari_lesion_points.core.calibration import Recalibration
from napari_lesion_points.core.events import CasePredicted, Event, Finished, Progress, Started
from napari_lesion_points.core.fitting import fit_gaussians
from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.heatmap import sigma_in_voxels
from napari_lesion_points.core.lesion_volumes import label_lesions
from napari_lesion_points.errors import GridError, PredictionError, VolumeError
from napari_lesion_points.learn.devices import choose_device
from napari_lesion_points.learn.labels import Kind, Label, components
from napari_lesion_points.learn.predict import margin_around, predict_heatmap
from napari_lesion_points.learn.recipes import RECIPES
from napari_lesion_points.store.cases import reference_grid
from napari_lesion_points.store.volumes import write_volume
from napari_lesion_points.workflow.heatmaps import SHARE, candidate_points, component_points, describe_heatmap
from napari_lesion_points.workflow.models import describe_model
from napari_lesion_points.workflow.specs import PredictSpec
from napari_lesion_points.workflow.training import load_input, load_network


def run_prediction(spec: PredictSpec, should_stop: Callable[[], bool]) -> Iterator[Event]:
    """Execute a prediction spec. Each case's heatmap is on disk before its event is yielded.

    Raises
    ------
    PredictionError
        At the end, if files of some cases could not be read; it names them. The other cases are predicted.
    """
    started = time.monotonic()
    device = choose_device(spec.device)
    yield Started(spec.summary, device.label)
    card = describe_model(Path(spec.model))
    label = Label(cast("Kind", card.label), card.decay, card.components)
    recalibration = Recalibration(*(spec.recalibration or card.recalibration))
    # A map that makes more than that of any mass has seen none so small: then it is the mass itself that counts.
    least_mass = recalibration.inverse(spec.min_existence) or spec.min_existence
    network = load_network(card)
    device.place(network)
    total = len(spec.cases)
    failed: list[str] = []
    remarks: list[str] = []
    for i, case in enumerate(spec.cases):
        if should_stop():
            yield Finished("stopped", f"Stopped on request after {i - len(failed)} of {total} cases; those are kept.")
            return
        elapsed = time.monotonic() - started
        left = elapsed / i * (total - i) if i else math.nan
        yield Progress("predicting", i / total, elapsed, left, f"{case.case} ({i + 1} of {total})")
        try:
            grid = reference_grid(case.files)
            spacing_mm, sigma_mm = card.working([grid])
            seen = load_input(case, card.sequences, spacing_mm)
        except (VolumeError, GridError) as error:
            failed.append(f"{case.case} ({error})")
            continue
        sigma = sigma_in_voxels(sigma_mm, spacing_mm)
        if remark := card.remark(case.sequences, grid):
            remarks.append(f"{case.case}: {remark}")
        try:
            heatmap = predict_heatmap(
                network,
                seen,
                card.patch_vox,
                label.peak(sigma),
                device,
                margin=margin_around(label, RECIPES[card.recipe], sigma),
                progress=partial(_go_on, should_stop),
            )
        except _StoppedError:
            yield Finished("stopped", f"Stopped on request after {i - len(failed)} of {total} cases; those are kept.")
            return
        if label.fitted:
            found = fit_gaussians(heatmap, sigma, min_existence=least_mass)
            candidates = candidate_points(case.case, seen.grid, found, recalibration)
        else:
            centers, score = components(label, heatmap, card.threshold, sigma)
            candidates = component_points(case.case, seen.grid, centers, score)
        candidates = tuple(c for c in candidates if c.existence >= spec.min_existence)
        path, mask = (Path(spec.heatmaps) / f"{case.case}_{kind}.nii.gz" for kind in ("heatmap", "dseg"))
        drawn = Volume(heatmap, seen.grid)
        is_mass = label.kind == "heatmap"
        on_case = _on_grid(drawn, grid) if is_mass else drawn.resampled(grid)
        write_volume(path, on_case, describe_heatmap(sigma_mm) if is_mass else SHARE)
        masks = label.kind == "segmentation"
        if masks:
            write_volume(mask, label_lesions(on_case, card.mask_threshold), "lesions of a segmentation, largest first")
        yield CasePredicted(case.case, str(path), candidates, sigma_mm, str(mask) if masks else "")
    elapsed = time.monotonic() - started
    yield Progress("predicting", 1.0, elapsed, 0.0)
    if failed:
        done = f"{total - len(failed)} of {total} cases predicted. " if total > 1 else ""
        raise PredictionError(f"{done}Not predicted: {'; '.join(failed)}")
    unlike = f" Unlike all that the model was trained on, so check with care: {'; '.join(remarks)}." if remarks else ""
    yield Finished("returned", f"Predicted {spec.summary} in {elapsed:.0f} s.{unlike}", spec.heatmaps)


class _StoppedError(Exception):
    """The user asked to stop in the middle of a case."""


def _go_on(should_stop: Callable[[], bool], _fraction: float) -> None:
    if should_stop():
        raise _StoppedError


def _on_grid(heatmap: Volume, grid: Grid) -> Volume:
    """Put a heatmap on another grid, keeping mass: values are per voxel."""
    ratio = np.prod(grid.spacing) / np.prod(heatmap.grid.spacing)
    return Volume(np.multiply(heatmap.data, ratio, dtype=np.float32), heatmap.grid).resampled(grid)
