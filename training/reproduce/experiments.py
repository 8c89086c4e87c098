"""The experiments: which networks each needs, and the table it makes of what they find.

Every threshold is chosen on the validation cases, every figure is of the test cases.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_lesion_points.core.calibration import fit_recalibration
from napari_lesion_points.core.counts import count_coverage
from napari_lesion_points.core.matching import match_points
from napari_lesion_points.core.metrics import (
    CaseDetections,
    binary_entropy,
    expected_calibration_error,
    figures_at,
    operating_threshold,
    pooled_outcomes,
    recall_by_size,
)
from napari_lesion_points.core.retention import FRACTIONS, retention_curve
from napari_lesion_points.learn.labels import Kind, choose_components
from training.reproduce import paper
from training.reproduce.networks import Bench, Network

SIGMAS_VOX = (1.0, 1.25, 1.5)
OTHER_LABELS: tuple[Kind, ...] = ("segmentation", "euclidean", "geodesic")
JITTERS_MM = (1.0, 2.0, 3.0)
PATIENTS = (5, 10, 20, 40)
SHARES = (0.01, 0.05, 0.10)  # of the masks
DROPOUT = 0.1  # the paper's

#: Seconds that one image takes to annotate, of natural scenes, by one point for each class and by full masks (Bearman
#: et al., "What's the point: semantic segmentation with point supervision", ECCV 2016). Their ratio is what is used.
POINTS_S, MASKS_S = 22.1, 239.7


@dataclass(frozen=True)
class Curves:
    """What of a table can be drawn: x and y of each line."""

    x: str
    y: str
    lines: dict[str, tuple[list[float], list[float]]]


@dataclass(frozen=True)
class Table:
    """What an experiment found, as text, and as curves where that says more."""

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    curves: Curves | None = None


@dataclass(frozen=True)
class Experiment:
    """A table and how many networks it needs that no other experiment makes."""

    name: str
    networks: Callable[[int], int]
    make: Callable[[Bench, Sequence[int]], Table]


@dataclass(frozen=True)
class Figures:
    """One network's figures on the test cases, as shares of 1; `by_size` are recalls of small, medium, large."""

    f1: float
    precision: float
    recall: float
    by_size: tuple[float, float, float]
    ece: float
    mce: float


def heatmap(bench: Bench, seed: int, sigma_vox: float = SIGMAS_VOX[-1]) -> Network:
    """Return the network that most experiments share: the default, from all patients."""
    return Network(f"heatmap-{sigma_vox:g}-{seed}", bench.cohort.split["train"], sigma_vox=sigma_vox, seed=seed)


def by_fitting(bench: Bench, network: Network) -> Figures:
    """Return the figures of fitted candidates at the threshold of the validation cases."""
    threshold, _ = operating_threshold(bench.detect(network, "val").fitted, bench.tolerance_mm)
    return _figures(bench, bench.detect(network, "test").fitted, threshold)


def by_components(bench: Bench, network: Network) -> Figures:
    """Return the figures of connected components at the threshold of the validation cases."""
    threshold, _, _ = choose_components(bench.detect(network, "val").components, bench.tolerance_mm)
    return _figures(bench, [f.by_threshold[threshold] for f in bench.detect(network, "test").components], 0.0)


def labels(bench: Bench, seeds: Sequence[int]) -> Table:
    """Compare what is learned and how it is read: the paper's Tables 1 and 2."""
    rows = []
    for kind in OTHER_LABELS:
        some = [Network(f"{kind}-{seed}", bench.cohort.split["train"], kind, seed=seed) for seed in seeds]
        rows.append(_label_row(kind, "components", [by_components(bench, n) for n in some]))
    for sigma in SIGMAS_VOX:
        drawn = [heatmap(bench, seed, sigma) for seed in seeds]
        what = f"heatmap, sigma {sigma:g} voxels"
        rows.append(_label_row(what, "components", [by_components(bench, n) for n in drawn]))
        rows.append(_label_row(what, "fitting", [by_fitting(bench, n) for n in drawn]))
    return Table(
        "labels",
        "Label and detection (the paper's Tables 1 and 2)",
        (
            "label",
            "detection",
            "F1",
            "precision",
            "recall",
            "small",
            "medium",
            "large",
            "ECE",
            "MCE",
            "paper's F1, small",
        ),
        tuple(rows),
        "Percent, mean and standard deviation over seeds. Recall by size: 3 to 10, 11 to 50, more voxels. ECE and MCE "
        "of all candidates, as the network gives them.",
    )


def jitter(bench: Bench, seeds: Sequence[int]) -> Table:
    """Train on clicks that miss the centre: what the paper leaves to future work."""
    rows = [("0", *_percent([by_fitting(bench, heatmap(bench, s)) for s in seeds]))]
    for off_mm in JITTERS_MM:
        some = [Network(f"jitter-{off_mm:g}-{s}", bench.cohort.split["train"], seed=s, jitter_mm=off_mm) for s in seeds]
        rows.append((f"{off_mm:g}", *_percent([by_fitting(bench, n) for n in some])))
    return Table(
        "jitter",
        "Clicks that miss the centre",
        ("off by (mm, root mean square)", "F1", "precision", "recall", "ECE"),
        tuple(rows),
        "Validation and test points are exact.",
        Curves("clicks off by (mm)", "F1 (%)", {"F1": ([0.0, *JITTERS_MM], _means(rows, 1))}),
    )


def patients(bench: Bench, seeds: Sequence[int]) -> Table:
    """Annotate more patients, by chance or those that the network is least sure of."""
    rows = []
    for count in (*PATIENTS, len(bench.cohort.split["train"])):
        row = [str(count)]
        for choose in (by_chance, by_uncertainty):
            networks = [choose(bench, seed, count) for seed in seeds]
            lesions = statistics.mean(_lesions(bench, n.cases) for n in networks)
            row += [_spread([by_fitting(bench, n).f1 for n in networks]), f"{lesions:.0f}"]
        rows.append(tuple(row))
    return Table(
        "patients",
        "Annotated patients, and which",
        ("patients", "F1, by chance", "their lesions", "F1, most uncertain next", "their lesions"),
        tuple(rows),
        f"Both begin with the same {PATIENTS[0]}. From one row to the next, the network of the row before predicts the "
        "patients that are left, and those whose candidates' entropies add up to most are annotated by a reader who "
        "clicks every lesion.",
        Curves(
            "annotated patients",
            "F1 (%)",
            {
                "by chance": (_means(rows, 0), _means(rows, 1)),
                "most uncertain next": (_means(rows, 0), _means(rows, 3)),
            },
        ),
    )


def by_chance(bench: Bench, seed: int, count: int) -> Network:
    """Return the network that learns from `count` patients drawn by chance; more patients include the fewer."""
    everything = bench.cohort.split["train"]
    if count >= len(everything):
        return heatmap(bench, seed)
    order = np.random.default_rng(seed).permutation(len(everything))
    return Network(f"chance-{count}-{seed}", tuple(everything[i] for i in order[:count]), seed=seed)


def by_uncertainty(bench: Bench, seed: int, count: int) -> Network:
    """Return the network that learns from `count` patients, the later ones chosen by those before it."""
    everything = bench.cohort.split["train"]
    if count <= PATIENTS[0] or count >= len(everything):
        return by_chance(bench, seed, count)
    before = by_uncertainty(bench, seed, PATIENTS[PATIENTS.index(count) - 1])
    unsure = {
        found.case: float(binary_entropy(found.existence).sum())
        for found in bench.detect(before, "train").fitted
        if found.case not in before.cases
    }
    ranked = sorted(unsure, key=lambda case: -unsure[case])
    return Network(f"uncertain-{count}-{seed}", before.cases + tuple(ranked[: count - len(before.cases)]), seed=seed)


def annotation_time(bench: Bench, seeds: Sequence[int]) -> Table:
    """Spend the same time on points of many patients or on masks of few."""
    rows = []
    for count in (PATIENTS[-1], len(bench.cohort.split["train"])):
        few = max(round(count * POINTS_S / MASKS_S), 1)
        points = [by_fitting(bench, by_chance(bench, s, count)) for s in seeds]
        masks = [by_components(bench, _segmenting(bench, s, few, from_detection=False)) for s in seeds]
        rows.append((f"points of {count} patients", *_percent(points)))
        rows.append((f"masks of {few} patients", *_percent(masks)))
    return Table(
        "annotation-time",
        "Points or masks, in the same time",
        ("annotated", "F1", "precision", "recall", "ECE"),
        tuple(rows),
        f"Masks are taken to cost {MASKS_S / POINTS_S:.1f} times as long as points: {MASKS_S} against {POINTS_S} s per "
        "image (Bearman et al., ECCV 2016, natural images).",
    )


def calibration(bench: Bench, seeds: Sequence[int]) -> Table:
    """Ask how often candidates of some existence are true: the paper's Fig. 2a."""
    rows = []
    for name, kind in (("unfitted: the window's sum", "unfitted"), ("fitted", "fitted")):
        errors = [_errors(bench, _found(bench, heatmap(bench, s), "test", kind)) for s in seeds]
        rows.append((name, *(_spread(column) for column in zip(*errors, strict=True))))
    recalibrated = [_errors(bench, _recalibrated(bench, heatmap(bench, s))) for s in seeds]
    rows.append(("fitted, recalibrated", *(_spread(column) for column in zip(*recalibrated, strict=True))))
    drops = [_errors(bench, bench.detect(_dropping(bench, s), "test").sampled) for s in seeds]
    rows.append(("segmentation, MC dropout", *(_spread(column) for column in zip(*drops, strict=True))))
    return Table(
        "calibration",
        "Existence and how often it is true (the paper's Figure 2a)",
        ("existence", "ECE", "MCE"),
        tuple(rows),
        "Ten bins, percent. Recalibrated on the validation cases, by beta calibration with a prior.",
    )


def uncertainty(bench: Bench, seeds: Sequence[int]) -> Table:
    """Set uncertain candidates aside: the paper's Fig. 2b, against MC dropout on a segmentation."""
    rows = []
    for name, networks, kind in (
        ("heatmap, fitted mass", [heatmap(bench, s) for s in seeds], "fitted"),
        ("segmentation, MC dropout", [_dropping(bench, s) for s in seeds], "sampled"),
    ):
        curves = []
        for network in networks:
            threshold, _ = operating_threshold(_found(bench, network, "val", kind), bench.tolerance_mm)
            existence, is_true = pooled_outcomes(_found(bench, network, "test", kind), bench.tolerance_mm)
            curves.append(retention_curve(binary_entropy(existence), (existence >= threshold) == is_true))
        rows.append((name, *(_spread(column) for column in zip(*curves, strict=True))))
    return Table(
        "uncertainty",
        "Accuracy of the least uncertain candidates (the paper's Figure 2b)",
        ("uncertainty", *(f"{100 * f:.0f} %" for f in FRACTIONS)),
        tuple(rows),
        "Percent of candidates whose decision, lesion or not at the threshold of the validation cases, is right.",
        Curves(
            "least uncertain candidates (%)",
            "accuracy (%)",
            {row[0]: ([100 * f for f in FRACTIONS], [float(cell.split()[0]) for cell in row[1:]]) for row in rows},
        ),
    )


def counts(bench: Bench, seeds: Sequence[int]) -> Table:
    """Ask whether the interval of the number of lesions holds the true number as often as it says."""
    rows = []
    for name, every in (
        ("fitted", [_found(bench, heatmap(bench, s), "test", "fitted") for s in seeds]),
        ("fitted, recalibrated", [_recalibrated(bench, heatmap(bench, s)) for s in seeds]),
    ):
        held, held_found, errors = [], [], []
        for found in every:
            existence, lesions = [c.existence for c in found], [len(c.truth_world) for c in found]
            on = [len(match_points(c.centers_world, c.truth_world, bench.tolerance_mm).pairs) for c in found]
            held.append(count_coverage(existence, lesions))
            held_found.append(count_coverage(existence, on))
            errors.append(statistics.mean(abs(float(e.sum()) - n) for e, n in zip(existence, lesions, strict=True)))
        rows.append((name, _spread(held), _spread(held_found), f"{statistics.mean(errors):.2f}"))
    return Table(
        "counts",
        "The number of lesions",
        ("existence", "90 % interval holds it", "without lesions that no candidate is on", "mean error, lesions"),
        tuple(rows),
        "Percent of test cases. Numbers are whole, so an interval holds 90 % or more.",
    )


def transfer(bench: Bench, seeds: Sequence[int]) -> Table:
    """Learn masks of few patients, from a detection network and from scratch: the paper's Table 4."""
    everything = bench.cohort.split["train"]
    rows = []
    for share in SHARES:
        few = max(round(share * len(everything)), 1)
        for start in ("detection network", "scratch"):
            networks = [_segmenting(bench, s, few, start == "detection network") for s in seeds]
            theirs = paper.TRANSFER.get((start, share), "")
            rows.append((start, f"{100 * share:.0f} % ({few})", *_segmented(bench, networks), theirs))
    whole = [Network(f"segmentation-{s}", everything, "segmentation", seed=s) for s in seeds]
    rows.append(("scratch", f"100 % ({len(everything)})", *_segmented(bench, whole), paper.TRANSFER["scratch", 1.0]))
    return Table(
        "transfer",
        "From detection to segmentation (the paper's Table 4)",
        (
            "start",
            "masks (patients)",
            "segmentation F1",
            "detection F1",
            "precision",
            "recall",
            "paper's segmentation F1",
        ),
        tuple(rows),
        "Percent. The encoder of the detection network is kept, decoder and classifier learn. Segmentation F1, also "
        "the paper's, is Dice over the voxels of all test cases. Subsets differ between seeds.",
    )


def _segmenting(bench: Bench, seed: int, count: int, from_detection: bool) -> Network:
    drawn = by_chance(bench, seed, PATIENTS[-1]).cases
    cases = tuple(c for c in drawn if len(bench.cohort.truth[c].world))[:count]  # an empty mask teaches no lesion
    if from_detection:
        return Network(f"transfer-{count}-{seed}", cases, "segmentation", seed=seed, parent=heatmap(bench, seed))
    return Network(f"masks-{count}-{seed}", cases, "segmentation", seed=seed)


def _segmented(bench: Bench, networks: Sequence[Network]) -> tuple[str, ...]:
    dice = _spread([bench.detect(n, "test").overlap.dice for n in networks])
    return (dice, *_percent([by_components(bench, n) for n in networks])[:3])


def _dropping(bench: Bench, seed: int) -> Network:
    cases = bench.cohort.split["train"]
    return Network(f"dropout-{seed}", cases, "segmentation", seed=seed, dropout=DROPOUT)


def _recalibrated(bench: Bench, network: Network) -> list[CaseDetections]:
    map_existence = fit_recalibration(*pooled_outcomes(bench.detect(network, "val").fitted, bench.tolerance_mm))
    return [replace(c, existence=map_existence(c.existence)) for c in bench.detect(network, "test").fitted]


def _found(bench: Bench, network: Network, part: str, kind: str) -> list[CaseDetections]:
    """Return what a network finds, "fitted", "unfitted" or "sampled"."""
    found: list[CaseDetections] = getattr(bench.detect(network, part), kind)
    return found


def _errors(bench: Bench, found: Sequence[CaseDetections]) -> tuple[float, float]:
    return expected_calibration_error(*pooled_outcomes(found, bench.tolerance_mm))


EXPERIMENTS = {
    e.name: e
    for e in (
        Experiment("labels", lambda seeds: seeds * (len(OTHER_LABELS) + len(SIGMAS_VOX)), labels),
        Experiment("jitter", lambda seeds: seeds * len(JITTERS_MM), jitter),
        Experiment("patients", lambda seeds: seeds * (2 * len(PATIENTS) - 1), patients),
        Experiment("annotation-time", lambda seeds: seeds * 2, annotation_time),
        Experiment("calibration", lambda seeds: seeds, calibration),
        Experiment("uncertainty", lambda seeds: 0, uncertainty),
        Experiment("counts", lambda seeds: 0, counts),
        Experiment("transfer", lambda seeds: seeds * 2 * len(SHARES), transfer),
    )
}


def _figures(bench: Bench, found: Sequence[CaseDetections], threshold: float) -> Figures:
    tolerance = bench.tolerance_mm
    figures = figures_at(found, threshold, tolerance)
    sizes = [bench.cohort.truth[c.case].sizes for c in found]
    small, medium, large = (a / max(b, 1) for a, b in recall_by_size(found, sizes, threshold, tolerance))
    ece, mce = expected_calibration_error(*pooled_outcomes(found, tolerance))
    return Figures(figures.f1, figures.precision, figures.recall, (small, medium, large), ece, mce)


def _label_row(label: str, detection: str, figures: Sequence[Figures]) -> tuple[str, ...]:
    own = [[f.f1, f.precision, f.recall, *f.by_size, f.ece, f.mce] for f in figures]
    theirs = paper.DETECTION[label.split(",")[0], detection]
    return (label, detection, *(_spread(column) for column in zip(*own, strict=True)), f"{theirs[0]}, {theirs[3]}")


def _percent(figures: Sequence[Figures]) -> tuple[str, ...]:
    return tuple(_spread([getattr(f, name) for f in figures]) for name in ("f1", "precision", "recall", "ece"))


def _spread(values: Iterable[float]) -> str:
    """Mean and standard deviation, percent."""
    some = [100 * v for v in values]
    return f"{statistics.mean(some):.1f}" + (f" ± {statistics.stdev(some):.1f}" if len(some) > 1 else "")


def _means(rows: Iterable[Sequence[str]], column: int) -> list[float]:
    """Numbers of a column, without their spread."""
    return [float(row[column].split()[0]) for row in rows]


def _lesions(bench: Bench, cases: Iterable[str]) -> int:
    return sum(len(bench.cohort.truth[c].world) for c in cases)
