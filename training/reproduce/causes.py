"""Why the other tables come out as they do. No network is trained for these."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_lesion_points.core.matching import distances_mm
from napari_lesion_points.core.metrics import pooled_outcomes, recall_by_size
from training.reproduce import experiments
from training.reproduce.experiments import connected_components, drawn, fitted_candidates, heatmap, of_label
from training.reproduce.networks import Bench, Network
from training.reproduce.tables import Table, spread

NEAR_MM = 8.0  # of a lesion
DIFFERS = 0.1  # of existence


def mass(bench: Bench, seeds: Sequence[int]) -> Table:
    """Ask how many candidates share a lesion: why fitting finds large lesions less well than small ones."""
    rows = []
    for sigma in experiments.SIGMAS_VOX:
        each = [_shared(bench, heatmap(bench, s, sigma)) for s in seeds]
        for size, figures in zip(("small", "medium", "large"), zip(*each, strict=True), strict=True):
            rows.append((drawn(sigma), size, *(f"{statistics.mean(f):.2f}" for f in zip(*figures, strict=True))))
    return Table(
        "mass",
        "How many candidates share a lesion",
        ("label", "lesions", "candidates", "their existence", "that of the strongest"),
        tuple(rows),
        f"Means over the lesions of the test cases. A candidate belongs to the lesion nearest to it, within {NEAR_MM:g}"
        " mm. The network spreads the mass of a large lesion over its width, and several narrow Gaussians share it.",
    )


def neighbours(bench: Bench, seeds: Sequence[int]) -> Table:
    """Ask what is found of lesions that lie close together: where labels should differ most."""
    near_mm = bench.tolerance_mm
    cases = [bench.cohort.truth[case].world for case in bench.cohort.split["test"]]
    count = sum(int((_nearest_mm(world) <= near_mm).sum()) for world in cases)
    rows = []
    for name, detection, networks in (
        *((kind, "components", [of_label(bench, kind, s) for s in seeds]) for kind in experiments.OTHER_LABELS),
        (drawn(experiments.SIGMAS_VOX[-1]), "components", [heatmap(bench, s) for s in seeds]),
        (drawn(experiments.SIGMAS_VOX[-1]), "fitting", [heatmap(bench, s) for s in seeds]),
    ):
        read = fitted_candidates if detection == "fitting" else connected_components
        shares = []
        for network in networks:
            found, threshold = read(bench, network)
            distances = [_nearest_mm(c.truth_world) for c in found]
            apart = ((0.0, near_mm), (math.nextafter(near_mm, math.inf), math.inf))
            by_distance = recall_by_size(found, distances, threshold, bench.tolerance_mm, apart)
            shares.append([a / b if b else math.nan for a, b in by_distance])
        rows.append((name, detection, *(spread(column) for column in zip(*shares, strict=True))))
    return Table(
        "neighbours",
        "Lesions that lie close together",
        ("label", "detection", f"found, another within {near_mm:g} mm", "found, others"),
        tuple(rows),
        f"Percent of the lesions of the test cases, of which {count} of {sum(map(len, cases))} have another within "
        f"{near_mm:g} mm. Neighbours run together in maps that are flat or wide, and are then one component.",
    )


def difference(bench: Bench, seeds: Sequence[int]) -> Table:
    """Ask which is right where fitted existence and the window's sum differ."""
    columns = []
    for seed in seeds:
        found = bench.detect(heatmap(bench, seed), "test")
        fitted, is_true = pooled_outcomes(found.fitted, bench.tolerance_mm)
        unfitted, _ = pooled_outcomes(found.unfitted, bench.tolerance_mm)
        columns.append((fitted, unfitted, is_true))
    fitted, unfitted, is_true = (np.concatenate(part) for part in zip(*columns, strict=True))
    by = unfitted - fitted
    rows = []
    for name, some in (
        (f"the sum is greater by more than {DIFFERS:g}", by > DIFFERS),
        ("they differ by less", abs(by) <= DIFFERS),
        (f"the fit is greater by more than {DIFFERS:g}", by < -DIFFERS),
    ):
        means = (f"{100 * x[some].mean():.1f}" if some.any() else "" for x in (unfitted, fitted, is_true))
        rows.append((name, str(some.sum()), *means))
    return Table(
        "difference",
        "Where the fitted existence is not the window's sum",
        ("candidates where", "their number", "mean of the sum", "mean of the fit", "are lesions"),
        tuple(rows),
        "Percent, of all seeds together. A window's sum counts what neighbours and the background put into it.",
    )


def _shared(bench: Bench, network: Network) -> list[tuple[float, float, float]]:
    """By size of the lesions: candidates at a lesion, the sum of their existence, the greatest of it; means."""
    rows = []
    for found in bench.detect(network, "test").fitted:
        distances = distances_mm(found.centers_world, found.truth_world)
        near = (distances <= NEAR_MM) & (distances == distances.min(axis=1, keepdims=True, initial=np.inf))
        shares = np.where(near, found.existence[:, None], 0.0)
        at = near.sum(axis=0), shares.sum(axis=0), shares.max(axis=0, initial=0.0)
        rows.append(np.column_stack([bench.cohort.truth[found.case].sizes, *at]))
    table = np.concatenate(rows)
    some = [table[(table[:, 0] >= low) & (table[:, 0] <= high), 1:] for low, high in experiments.SIZES]
    return [(float(x), float(y), float(z)) for x, y, z in (t.mean(axis=0) if len(t) else (np.nan,) * 3 for t in some)]


def _nearest_mm(world: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance (mm) from each lesion to the nearest other, infinite for one alone."""
    distances = distances_mm(world, world)
    np.fill_diagonal(distances, np.inf)
    nearest: NDArray[np.float64] = distances.min(axis=1, initial=np.inf)
    return nearest
