"""What the default network's candidates are worth: how true they are, how sure, and how many.

No network is trained for these tables but the one with dropout.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_lesion_points.core.counts import count_coverage, count_distribution, lesion_count
from napari_lesion_points.core.intervals import bootstrap_figures
from napari_lesion_points.core.matching import assign_then_discard, match_points
from napari_lesion_points.core.metrics import (
    CaseDetections,
    binary_entropy,
    figures_at,
    froc,
    operating_threshold,
    pooled_outcomes,
    reliability_curve,
)
from napari_lesion_points.core.retention import FRACTIONS, retention_curve
from napari_lesion_points.workflow.recalibrations import METHODS, calibration_figures
from training.reproduce.experiments import dropping, heatmap
from training.reproduce.networks import Bench, Network
from training.reproduce.tables import Curves, Table, spread

Array = NDArray[np.float64]

_GREATEST_FALSE = 5.0  # false positives per case that are drawn


def matching(bench: Bench, seeds: Sequence[int]) -> Table:
    """Give each network's figures with their intervals, and as the paper matches; draw its FROC curve."""
    rows, lines = [], {}
    for seed in seeds:
        network = heatmap(bench, seed)
        threshold, _ = operating_threshold(_found(bench, network, "val", "fitted"), bench.tolerance_mm)
        found = _found(bench, network, "test", "fitted")
        figures = figures_at(found, threshold, bench.tolerance_mm)
        intervals = bootstrap_figures(found, threshold, bench.tolerance_mm)
        paper = figures_at(found, threshold, bench.tolerance_mm, assign_then_discard)
        cells = (
            f"{100 * getattr(figures, name):.1f} ({100 * low:.0f} to {100 * high:.0f})"
            for name, (low, high) in intervals.items()
        )
        rows.append((str(seed), *cells, f"{100 * paper.f1:.1f}"))
        false, recall = froc(found, bench.tolerance_mm)
        some = false <= _GREATEST_FALSE
        lines[f"seed {seed}"] = (false[some].tolist(), (100 * recall[some]).tolist())
    return Table(
        "matching",
        "Intervals, matching and the free-response curve",
        ("seed", "F1", "precision", "recall", "F1, matched as in the paper"),
        tuple(rows),
        "Percent. In brackets 95 % bootstrap intervals, patients drawn anew. The paper assigns all points to one "
        "another and then discards the pairs that are too far apart; everywhere else only near points can be paired.",
        Curves("false positives per patient", "recall (%)", lines),
    )


def calibration(bench: Bench, seeds: Sequence[int]) -> Table:
    """Ask how often candidates of some existence are true: the paper's Fig. 2a."""
    networks = [heatmap(bench, s) for s in seeds]
    fitted = [_outcomes(bench, n, "test", "fitted") for n in networks]
    dropped = [_sampled(bench, dropping(bench, s)) for s in seeds]
    known = [_outcomes(bench, n, "val", "fitted") for n in networks]
    ways = {
        "unfitted: the window's sum": [_outcomes(bench, n, "test", "unfitted") for n in networks],
        "fitted": fitted,
        "fitted, detections only": [_detections(bench, n) for n in networks],
        "segmentation, MC dropout": dropped,
    }
    curves = {}
    for name, outcomes in ways.items():
        if name == "fitted, detections only":
            continue  # the upper part of "fitted"
        existence, is_true = (np.concatenate(part) for part in zip(*outcomes, strict=True))
        curve = reliability_curve(existence, is_true)
        some = curve.counts > 0
        curves[name] = ((100 * curve.existence[some]).tolist(), (100 * curve.fraction_true[some]).tolist())
    curves["as it should be"] = ([0.0, 100.0], [0.0, 100.0])
    learnable = all(len(np.unique(is_true)) == 2 for _, is_true in known) and all(len(t) for _, t in fitted)
    for method, learn in METHODS.items() if learnable else ():
        ways[f"fitted, recalibrated: {method}"] = [
            (learn(*before, existence), is_true) for before, (existence, is_true) in zip(known, fitted, strict=True)
        ]
    rows = []
    for name, outcomes in ways.items():
        each = [calibration_figures(name, *one) for one in outcomes]
        count = statistics.mean(len(is_true) for _, is_true in outcomes)
        rows.append(
            (name, f"{count:.0f}", *(spread(getattr(f, figure) for f in each) for figure in ("ece", "mce", "brier")))
        )
    return Table(
        "calibration",
        "Existence and how often it is true (the paper's Figure 2a)",
        ("existence", "candidates", "ECE", "MCE", "Brier score"),
        tuple(rows),
        "Ten bins, percent; an MCE can hang on a bin of one candidate. What the segmentation finds are detections, so "
        "compare it with the detections of the heatmap. Recalibrated by maps learned from the validation cases; the "
        "program uses beta, with a prior. The curves are of all seeds together.",
        Curves("existence (%)", "candidates that are lesions (%)", curves),
    )


def uncertainty(bench: Bench, seeds: Sequence[int]) -> Table:
    """Set uncertain detections aside: the paper's Fig. 2b, against MC dropout on a segmentation."""
    heatmaps, segmentations = [heatmap(bench, s) for s in seeds], [dropping(bench, s) for s in seeds]
    rows = []
    for name, networks, judge in (
        ("heatmap: detections", heatmaps, _detections),
        ("segmentation, MC dropout: detections", segmentations, _sampled),
        ("heatmap: all candidates", heatmaps, _decisions),
    ):
        each = [judge(bench, n) for n in networks]
        curves = [retention_curve(binary_entropy(existence), is_right) for existence, is_right in each]
        count = statistics.mean(len(existence) for existence, _ in each)
        rows.append((name, f"{count:.0f}", *(spread(column) for column in zip(*curves, strict=True))))
    return Table(
        "uncertainty",
        "Accuracy of the least uncertain (the paper's Figure 2b)",
        ("of", "their number", *(f"{100 * f:.0f} %" for f in FRACTIONS)),
        tuple(rows),
        "Percent of the least uncertain detections that are lesions; of all candidates, those below the threshold "
        "included, how many were rightly taken or rejected. Thresholds are those of the validation cases.",
        Curves(
            "least uncertain (%)",
            "accuracy (%)",
            {row[0]: ([100 * f for f in FRACTIONS], [float(cell.split()[0]) for cell in row[2:]]) for row in rows},
        ),
    )


def counts(bench: Bench, seeds: Sequence[int]) -> Table:
    """Ask whether the interval of the number of lesions holds the true number as often as it says."""
    rows = []
    for name, every in (
        ("fitted", [_found(bench, heatmap(bench, s), "test", "fitted") for s in seeds]),
        ("fitted, recalibrated", [_recalibrated(bench, heatmap(bench, s)) for s in seeds]),
    ):
        held, should_hold, held_found, errors = [], [], [], []
        for found in every:
            existence, lesions = [c.existence for c in found], [len(c.truth_world) for c in found]
            on = [len(match_points(c.centers_world, c.truth_world, bench.tolerance_mm).pairs) for c in found]
            held.append(count_coverage(existence, lesions))
            should_hold.append(statistics.mean(map(_held_by_itself, existence)))
            held_found.append(count_coverage(existence, on))
            errors.append(statistics.mean(abs(float(e.sum()) - n) for e, n in zip(existence, lesions, strict=True)))
        rows.append((name, spread(held), spread(should_hold), spread(held_found), f"{statistics.mean(errors):.2f}"))
    return Table(
        "counts",
        "The number of lesions",
        (
            "existence",
            "90 % interval holds it",
            "would, were existence right",
            "but for lesions that no candidate is on",
            "mean absolute error, lesions",
        ),
        tuple(rows),
        "Percent of test cases. Numbers are whole, so an interval should hold more than 90 %: how much more is in the "
        "second column, from existence alone.",
    )


def _held_by_itself(existence: Array) -> float:
    """Return the probability, if existence is right, that the interval of the number of lesions holds it."""
    interval = lesion_count(existence)
    return float(count_distribution(existence)[interval.low : interval.high + 1].sum())


def _detections(bench: Bench, network: Network) -> tuple[Array, NDArray[np.bool_]]:
    """Return existence and truth of the candidates above the threshold of the validation cases."""
    threshold, _ = operating_threshold(_found(bench, network, "val", "fitted"), bench.tolerance_mm)
    existence, is_true = _outcomes(bench, network, "test", "fitted")
    return existence[existence >= threshold], is_true[existence >= threshold]


def _decisions(bench: Bench, network: Network) -> tuple[Array, NDArray[np.bool_]]:
    """Return existence of all candidates, and whether that threshold is right about them."""
    threshold, _ = operating_threshold(_found(bench, network, "val", "fitted"), bench.tolerance_mm)
    existence, is_true = _outcomes(bench, network, "test", "fitted")
    return existence, (existence >= threshold) == is_true


def _sampled(bench: Bench, network: Network) -> tuple[Array, NDArray[np.bool_]]:
    """Return existence and truth of what MC dropout finds, at the threshold of the validation cases already."""
    return _outcomes(bench, network, "test", "sampled")


def _recalibrated(bench: Bench, network: Network) -> list[CaseDetections]:
    """Return what a network finds in the test cases, its existence mapped as the validation cases teach."""
    known, found = _outcomes(bench, network, "val", "fitted"), _found(bench, network, "test", "fitted")
    return [replace(c, existence=METHODS["beta"](*known, c.existence)) for c in found]


def _found(bench: Bench, network: Network, part: str, kind: str) -> list[CaseDetections]:
    """Return what a network finds, "fitted", "unfitted" or "sampled"."""
    found: list[CaseDetections] = getattr(bench.detect(network, part), kind)
    return found


def _outcomes(bench: Bench, network: Network, part: str, kind: str) -> tuple[Array, NDArray[np.bool_]]:
    """Return existence and truth of all candidates."""
    return pooled_outcomes(_found(bench, network, part, kind), bench.tolerance_mm)
