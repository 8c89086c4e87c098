"""Experiments on what is learned, and from what: which networks each needs, and the table it makes of what they find.

Every threshold is chosen on the validation cases, every figure is of the test cases.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_lesion_points.core.metrics import (
    CaseDetections,
    binary_entropy,
    expected_calibration_error,
    figures_at,
    operating_threshold,
    pooled_outcomes,
    recall_by_size,
)
from napari_lesion_points.learn.labels import Kind, choose_components
from training.reproduce import paper
from training.reproduce.networks import Bench, Network
from training.reproduce.tables import Curves, Table, means, spread

SIGMAS_VOX = (1.0, 1.25, 1.5)
OTHER_LABELS: tuple[Kind, ...] = ("segmentation", "euclidean", "geodesic")
JITTERS_MM = (1.0, 2.0, 3.0)
PATIENTS = (5, 10, 20, 40)
SHARES = (0.01, 0.05, 0.10)  # of the masks
TRANSFER_EFFORT = 60 / 180  # epochs of a transfer and of a segmentation, as the authors set them
DROPOUT = 0.1  # the paper's
SIZES = ((3, 10), (11, 50), (51, math.inf))  # voxels of small, medium and large lesions
HERE, PAPER = "here", "paper"

#: Seconds that one image takes to annotate, of natural scenes, by one point for each class and by full masks (Bearman
#: et al., "What's the point: semantic segmentation with point supervision", ECCV 2016). Their ratio is what is used.
POINTS_S, MASKS_S = 22.1, 239.7


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


def fitted_candidates(bench: Bench, network: Network) -> tuple[list[CaseDetections], float]:
    """Return fitted candidates of the test cases, and the threshold that the validation cases chose."""
    threshold, _ = operating_threshold(bench.detect(network, "val").fitted, bench.tolerance_mm)
    return bench.detect(network, "test").fitted, threshold


def connected_components(bench: Bench, network: Network) -> tuple[list[CaseDetections], float]:
    """Return connected components of the test cases at the threshold that the validation cases chose, and 0: all."""
    threshold, _, _ = choose_components(bench.detect(network, "val").components, bench.tolerance_mm)
    return [f.by_threshold[threshold] for f in bench.detect(network, "test").components], 0.0


def by_fitting(bench: Bench, network: Network) -> Figures:
    """Return the figures of fitted candidates at the threshold of the validation cases."""
    return _figures(bench, *fitted_candidates(bench, network))


def by_components(bench: Bench, network: Network) -> Figures:
    """Return the figures of connected components at the threshold of the validation cases."""
    return _figures(bench, *connected_components(bench, network))


def labels(bench: Bench, seeds: Sequence[int]) -> Table:
    """Compare what is learned and how it is read: the paper's Tables 1 and 3."""
    rows = []
    for kind in OTHER_LABELS:
        some = [of_label(bench, kind, seed) for seed in seeds]
        rows += [_label_row(kind, "components", [by_components(bench, n) for n in some])]
        rows += [(kind, "components", PAPER, *paper.DETECTION[kind, "components"], "", "")]
    for detection, read in (("components", by_components), ("fitting", by_fitting)):
        for sigma in SIGMAS_VOX:
            some = [heatmap(bench, seed, sigma) for seed in seeds]
            rows += [_label_row(drawn(sigma), detection, [read(bench, n) for n in some])]
        rows += [("heatmap", detection, PAPER, *paper.DETECTION["heatmap", detection], "", "")]
    return Table(
        "labels",
        "Label and detection (the paper's Tables 1 and 3)",
        ("label", "detection", "where", "F1", "precision", "recall", "small", "medium", "large", "ECE", "MCE"),
        tuple(rows),
        "Percent, mean and standard deviation over seeds. Recall by size: 3 to 10, 11 to 50, more voxels. ECE and MCE "
        "of all fitted candidates, as the network gives them; components have no probability. Sigma in voxels; the "
        "paper chose it on validation cases.",
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
        Curves("clicks off by (mm)", "F1 (%)", {"F1": ([0.0, *JITTERS_MM], means(rows, 1))}),
    )


def patients(bench: Bench, seeds: Sequence[int]) -> Table:
    """Annotate more patients, by chance or those that the network is least sure of."""
    rows = []
    for count in (*PATIENTS, len(bench.cohort.split["train"])):
        row = [str(count)]
        for choose in (by_chance, by_uncertainty):
            networks = [choose(bench, seed, count) for seed in seeds]
            lesions = statistics.mean(_lesions(bench, n.cases) for n in networks)
            row += [spread([by_fitting(bench, n).f1 for n in networks]), f"{lesions:.0f}"]
        rows.append(tuple(row))
    return Table(
        "patients",
        "Annotated patients, and which",
        ("patients", "F1, by chance", "their lesions", "F1, most uncertain next", "their lesions"),
        tuple(rows),
        f"{_beside(bench)} Both begin with the same {PATIENTS[0]}. From one row to the next, the network of the row "
        "before predicts the patients that are left, and those whose candidates' entropies add up to most are "
        "annotated by a reader who clicks every lesion.",
        Curves(
            "annotated patients",
            "F1 (%)",
            {
                "by chance": (means(rows, 0), means(rows, 1)),
                "most uncertain next": (means(rows, 0), means(rows, 3)),
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
        masks = [by_components(bench, _segmenting(bench, s, few, None)) for s in seeds]
        rows.append((f"points of {count} patients", *_percent(points)[:3]))
        rows.append((f"masks of {few} patients", *_percent(masks)[:3]))
    return Table(
        "annotation-time",
        "Points or masks, in the same time",
        ("annotated", "F1", "precision", "recall"),
        tuple(rows),
        f"{_beside(bench)} Patients for masks all have lesions, those for points may have none, which favours masks, "
        "and so do the validation patients, who are many beside few. Masks are taken to cost "
        f"{MASKS_S / POINTS_S:.1f} times as long as points: {MASKS_S} against {POINTS_S} s per "
        "image (Bearman et al., ECCV 2016, natural images).",
    )


def transfer(bench: Bench, seeds: Sequence[int]) -> Table:
    """Learn masks of few patients, from networks of other labels and from nothing: the paper's Tables 2 and 4."""
    everything = bench.cohort.split["train"]
    whole = [of_label(bench, "segmentation", seed) for seed in seeds]
    rows = _transfer_rows(bench, "nothing", 1.0, len(everything), whole)
    for share in SHARES:
        few = max(round(share * len(everything)), 1)
        for start in ("nothing", *map(drawn, SIGMAS_VOX), *OTHER_LABELS[1:]):
            networks = [_segmenting(bench, s, few, _start(bench, start, s)) for s in seeds]
            rows += _transfer_rows(bench, start, share, few, networks)
    return Table(
        "transfer",
        "From detection to segmentation (the paper's Tables 2 and 4)",
        ("encoder learned", "masks (patients)", "where", "segmentation F1", "detection F1", "precision", "recall"),
        tuple(rows),
        f"Percent. {_beside(bench)} The encoder of the other network is kept, decoder and classifier learn, in a third "
        "of the budget (the authors' 60 epochs of 180). Segmentation F1 is Dice over the voxels of all test cases. "
        "Subsets differ between seeds.",
    )


def of_label(bench: Bench, kind: Kind, seed: int) -> Network:
    """Return the network that learns another label from all patients."""
    return Network(f"{kind}-{seed}", bench.cohort.split["train"], kind, seed=seed)


def drawn(sigma_vox: float) -> str:
    """Return what a table calls heatmaps of this width."""
    return f"heatmap, sigma {sigma_vox:g}"


def _start(bench: Bench, learned: str, seed: int) -> Network | None:
    """Return the network of a row of the transfer, which may be none."""
    known: dict[str, Network] = {kind: of_label(bench, kind, seed) for kind in OTHER_LABELS}
    return (known | {drawn(sigma): heatmap(bench, seed, sigma) for sigma in SIGMAS_VOX}).get(learned)


def _segmenting(bench: Bench, seed: int, count: int, parent: Network | None) -> Network:
    """Return the network that learns the masks of patients drawn by chance from those with lesions."""
    everything = bench.cohort.split["train"]
    order = np.random.default_rng(seed).permutation(len(everything))
    cases = tuple(everything[i] for i in order if len(bench.cohort.truth[everything[i]].world))[:count]
    if len(cases) < count:
        raise SystemExit(f"{len(cases)} training patients have lesions; masks of {count} are wanted.")
    if parent is None:
        return Network(f"masks-{count}-{seed}", cases, "segmentation", seed=seed)
    name = f"masks-{count}-from-{parent.name}"
    return Network(name, cases, "segmentation", seed=seed, parent=parent, effort=TRANSFER_EFFORT)


def _transfer_rows(
    bench: Bench, start: str, share: float, count: int, networks: Sequence[Network]
) -> list[tuple[str, ...]]:
    key = (start, f"{100 * share:.0f} % ({count})")
    dice = spread([bench.detect(n, "test").overlap.dice for n in networks])
    here = (*key, HERE, dice, *_percent([by_components(bench, n) for n in networks])[:3])
    theirs = paper.TRANSFER.get((start, share))
    return [here, (*key, PAPER, *theirs)] if theirs else [here]


def dropping(bench: Bench, seed: int) -> Network:
    """Return the network with dropout that segments all patients."""
    cases = bench.cohort.split["train"]
    return Network(f"dropout-{seed}", cases, "segmentation", seed=seed, dropout=DROPOUT)


def _beside(bench: Bench) -> str:
    return f"Besides, {len(bench.cohort.split['val'])} validation patients choose network and thresholds."


def _figures(bench: Bench, found: Sequence[CaseDetections], threshold: float) -> Figures:
    tolerance = bench.tolerance_mm
    figures = figures_at(found, threshold, tolerance)
    sizes = [bench.cohort.truth[c.case].sizes for c in found]
    small, medium, large = (
        a / b if b else math.nan for a, b in recall_by_size(found, sizes, threshold, tolerance, SIZES)
    )
    ece, mce = expected_calibration_error(*pooled_outcomes(found, tolerance))
    return Figures(figures.f1, figures.precision, figures.recall, (small, medium, large), ece, mce)


def _label_row(label: str, detection: str, figures: Sequence[Figures]) -> tuple[str, ...]:
    own = [[f.f1, f.precision, f.recall, *f.by_size, f.ece, f.mce] for f in figures]
    row = [spread(column) for column in zip(*own, strict=True)]
    if detection == "components":
        row[-2:] = "", ""
    return (label, detection, HERE, *row)


def _percent(figures: Sequence[Figures]) -> tuple[str, ...]:
    return tuple(spread([getattr(f, name) for f in figures]) for name in ("f1", "precision", "recall", "ece"))


def _lesions(bench: Bench, cases: Iterable[str]) -> int:
    return sum(len(bench.cohort.truth[c].world) for c in cases)
