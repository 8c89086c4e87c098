"""A simulated reader works through a study in the real window: what proposals spare, and whether labels are as good.

    python -m benchmarks.reader --study STUDY --out OUT --cases 5 --rounds 6 --minutes 5
    python -m benchmarks.reader --study STUDY --out OUT --cases 5 --rounds 6 --minutes 5 --publish

STUDY has the split of its cases in participants.tsv (columns participant_id and split: train, val, test) and the
centres of their lesions in derivatives/truth/points.csv. The reader (`benchmarks.reading`) knows these. It works
through the window's own controls, on a virtual display or a real one, with mouse, wheel and key events; jobs are the
real ones in their child process. In each round it reads the next cases of the training split and then trains on all so
far, in the first round from scratch, later from its newest model. There are three ways of working, and the first round
is the same in all:

hand       every case is annotated by hand
search     the newest model proposes lesions; the reader judges all, then searches the case for what was missed
proposals  the same, but the reader does not search

After each round the new model is tested on the cases of the test split, at the threshold of its own card, outside of
the window; nothing else of them is used. OUT keeps the store of each round and rounds.jsonl, so that a run which was
interrupted goes on with the round in which it was; rows.json and reader.png are made of them. `--publish` also writes
reader.jsonl and the rows of latest.json beside this file, and docs/images/reader.png. Nothing else should run beside.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.hand import Effort, Hand, World
from benchmarks.heartbeat import Heartbeat
from benchmarks.reading import JUDGED_MM, Reader
from benchmarks.record import Row, keep, table, versions
from napari_lesion_points.core.events import CasePredicted, Finished
from napari_lesion_points.core.matching import match_points
from napari_lesion_points.core.records import LesionPoint
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.store.cases import find_cases
from napari_lesion_points.store.points_file import read_points
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow.evaluation import compare, evaluate_cases
from napari_lesion_points.workflow.jobs import run
from napari_lesion_points.workflow.models import describe_model
from napari_lesion_points.workflow.planning import plan_prediction
from training.reproduce.cohort import Cohort

WAYS = {
    "hand": "by hand",
    "search": "proposals, then a search",
    "proposals": "proposals only",
}
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "reader.png"
PUBLISHED = Path(__file__).with_name("reader.jsonl")


@dataclass(frozen=True)
class Setup:
    """What makes two runs comparable; see the command line."""

    study: str
    cases: int
    minutes: float | None
    epochs: int | None
    test_cases: int
    existence: float
    jitter_mm: float
    tolerance_mm: float
    seed: int


@dataclass(frozen=True)
class Round:
    """One way of working after a round. All counts are those of this round and the ones before, as is `effort`.

    Parameters
    ----------
    way : str
        One of `WAYS`; a first round is that of "hand".
    number : int
        From 1.
    cases, lesions : int
        Read so far, and lesions in these.
    accepted, moved, rejected, placed : int
        Verdicts, and lesions clicked without a proposal.
    effort : Effort
        What that took, the starts of the trainings included.
    missed, false : int
        Lesions of the cases so far that have no annotation within `JUDGED_MM`, and annotations that are none.
    error_mm : float
        Mean distance of the other annotations from their lesions.
    stall_p99_ms, stall_worst_ms, training_stall_ms : float
        Gaps of the event loop's heartbeat while the reader of this round reads, and the worst while it trains.
    f1, precision, recall, ece, threshold, f1_interval
        Of the new model on the test cases, and the threshold of its card; None for an ECE without candidates.
    took_s : float
        Wall clock of this round, training included.
    """

    way: str
    number: int
    cases: int
    lesions: int
    accepted: int
    moved: int
    rejected: int
    placed: int
    effort: Effort
    missed: int
    false: int
    error_mm: float
    stall_p99_ms: float
    stall_worst_ms: float
    training_stall_ms: float
    f1: float
    precision: float
    recall: float
    ece: float | None
    threshold: float
    f1_interval: tuple[float, float]
    took_s: float
    version: str

    @property
    def presses(self) -> int:
        """Clicks and keys."""
        return self.effort.clicks + self.effort.keys

    @classmethod
    def from_json(cls, line: str) -> Round:
        """Return the round that `to_json` wrote."""
        fields = json.loads(line)
        low, high = fields.pop("f1_interval")
        return cls(**{**fields, "effort": Effort(**fields["effort"])}, f1_interval=(low, high))

    def to_json(self) -> str:
        """Return a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


class Played(NamedTuple):
    """What a round in the window gave: effort, verdicts, gaps of the heartbeat (ms), and the new model's folder."""

    effort: Effort
    verdicts: dict[str, int]
    reading: list[float]
    training: list[float]
    model: Path


def main() -> None:
    """Read the command line, play what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=5, help="read in each round")
    parser.add_argument("--rounds", type=int, default=6)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=5.0, help="of each training")
    budget.add_argument("--epochs", type=int, help="of each training, instead")
    parser.add_argument("--ways", default=",".join(WAYS), help="of working, separated by commas; by hand always is one")
    parser.add_argument("--test-cases", type=int, default=1000, help="the first so many of the test split")
    parser.add_argument("--existence", type=float, default=0.1, help="the least that is reviewed: the window's slider")
    parser.add_argument("--jitter-mm", type=float, default=1.0, help="standard deviation of a click along each axis")
    parser.add_argument("--tolerance-mm", type=float, default=12.0, help="of a match with a test lesion")
    parser.add_argument("--seed", type=int, default=0, help="of the clicks")
    parser.add_argument("--publish", action="store_true", help="keep rows and figure in the repository, too")
    o = parser.parse_args()
    if unknown := set(o.ways.split(",")) - {*WAYS}:
        parser.error(f"no such way: {', '.join(sorted(unknown))}")
    setup = Setup(
        str(o.study.resolve()), o.cases, None if o.epochs else o.minutes, o.epochs, o.test_cases, o.existence,
        o.jitter_mm, o.tolerance_mm, o.seed,
    )  # fmt: skip
    bench = Bench(setup, o.out.resolve())
    for way in sorted({"hand", *o.ways.split(",")}, key=list(WAYS).index):
        for number in range(1 if way == "hand" else 2, o.rounds + 1):
            bench.play(way, number)
    done = [r for r in bench.rounds() if r.number <= o.rounds]
    measured = list(rows(done, setup))
    keep(measured, o.out / "rows.json")
    draw(done, o.out / "reader.png")
    if o.publish:
        PUBLISHED.write_text("".join(r.to_json() for r in done), encoding="utf-8")
        keep(measured)
        draw(done, FIGURE)
    print(table(measured))


class Bench:
    """The reader's study, the rounds so far, and the stores that they left."""

    def __init__(self, setup: Setup, out: Path) -> None:
        self.setup = setup
        self.source = Path(setup.study)
        self.log = out / "rounds.jsonl"
        self.root = out / "study"
        self.stores = out / "stores"
        split = Cohort(self.source).split
        self.train, self.test = split["train"], split["test"][: setup.test_cases]
        self.truth = read_points(self.source / "derivatives" / "truth" / "points.csv")
        out.mkdir(parents=True, exist_ok=True)
        kept, wanted = out / "setup.json", json.dumps(asdict(setup), indent=1) + "\n"
        if kept.exists() and kept.read_text(encoding="utf-8") != wanted:
            raise SystemExit(f"{out} holds rounds of another setup (see {kept}). Name another --out.")
        kept.write_text(wanted, encoding="utf-8")

    def rounds(self) -> list[Round]:
        """Return the rounds so far."""
        if not self.log.exists():
            return []
        return [Round.from_json(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def play(self, way: str, number: int) -> None:
        """Play a round unless it is there: in a copy of the store that the round before left."""
        have = {(r.way, r.number): r for r in self.rounds()}
        if (way, number) in have:
            return
        before = have.get((way, number - 1)) or have.get(("hand", number - 1))
        store = self.stores / f"{way}-{number}"
        shutil.rmtree(store, ignore_errors=True)
        if before:
            shutil.copytree(self.stores / f"{before.way}-{before.number}", store)
        started = time.monotonic()
        played = self._read(way, number, store)
        took_s = time.monotonic() - started
        lesions = {case: self.lesions(case) for n in range(1, number + 1) for case in self._cases(n)}
        found = self._tested(played.model)
        verdicts: dict[str, Any] = {n: k + (getattr(before, n) if before else 0) for n, k in played.verdicts.items()}
        result = Round(
            way=way, number=number, cases=len(lesions), lesions=sum(map(len, lesions.values())),
            **verdicts, effort=played.effort.plus(before.effort) if before else played.effort,
            **self._labels(store, lesions),
            stall_p99_ms=round(float(np.percentile(played.reading, 99)), 1),
            stall_worst_ms=round(max(played.reading), 1), training_stall_ms=round(max(played.training), 1),
            **{name: found[name] for name in ("f1", "precision", "recall", "ece", "threshold", "f1_interval")},
            took_s=round(took_s, 1), version=versions()["napari-lesion-points"],
        )  # fmt: skip
        with self.log.open("a", encoding="utf-8") as file:
            file.write(result.to_json())
        print(
            f"{way}, round {number}: {result.cases} cases, {result.lesions} lesions, {result.presses} clicks and keys, "
            f"{result.effort.wheel} notches; F1 {result.f1:.3f}; {took_s:.0f} s",
            flush=True,
        )

    def lesions(self, case: str) -> tuple[World, ...]:
        """Return the centres of the lesions of a case, world mm."""
        return tuple(p.world for p in self.truth if p.case == case)

    def _cases(self, number: int) -> tuple[str, ...]:
        """Return the cases of a round."""
        cases = self.train[(number - 1) * self.setup.cases : number * self.setup.cases]
        if len(cases) < self.setup.cases:
            raise SystemExit(f"{self.source} has {len(self.train)} cases to learn from: too few for {number} rounds.")
        return cases

    def _link(self, case: str) -> None:
        """Put a case into the reader's study, which has no other than those it has to read."""
        for image in sorted((self.source / case).rglob("*.nii*")):
            link = self.root / image.relative_to(self.source)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(image.resolve())

    def _read(self, way: str, number: int, store: Path) -> Played:
        """Read the cases of a round in a window, and train."""
        from napari_lesion_points.ui import staging
        from napari_lesion_points.ui.app import open_window
        from napari_lesion_points.ui.garbage import collect_between_events

        cases = self._cases(number)
        for case in cases:
            self._link(case)
        lesions = {case: self.lesions(case) for case in cases}
        window = open_window(self.root, store, reader="simulated", case=cases[0])
        try:
            collect_between_events(window.dock)  # as `lesion-points open` does
            staging.resize(window)
            staging.show_case(window)
            hand, reading, training = Hand(window), Heartbeat(), Heartbeat()
            reader = Reader(hand, lesions, self.setup.jitter_mm, np.random.default_rng((self.setup.seed, number)))
            for case in cases:
                with reading:
                    if way == "hand":
                        reader.by_hand(case)
                    else:
                        reader.with_proposals(case, way == "search", self.setup.existence)
                print(f"{way}, round {number}: {case}, {len(lesions[case])} lesions, {reader.verdicts}", flush=True)
            with training:
                model = reader.train(minutes=self.setup.minutes, epochs=self.setup.epochs)
        finally:
            window.close()
        return Played(hand.effort, reader.verdicts, reading.gaps, training.gaps, Path(model))

    def _labels(self, store: Path, lesions: dict[str, tuple[World, ...]]) -> dict[str, Any]:
        """Compare the annotations that are stored with the lesions there are."""
        with Study.open(self.root, store, reader="simulated") as study:
            annotated = {case: [p.world for p in study.annotations(case)] for case in lesions}
        pairs = [match_points(annotated[case], truth, JUDGED_MM) for case, truth in lesions.items()]
        apart = np.concatenate([m.distances_mm for m in pairs])
        return {
            "missed": sum(len(m.unmatched_truth) for m in pairs),
            "false": sum(len(m.unmatched_predicted) for m in pairs),
            "error_mm": round(float(apart.mean()), 3) if len(apart) else 0.0,
        }

    def _tested(self, model: Path) -> dict[str, Any]:
        """Predict the test cases with a model, compare with their lesions at its own threshold; return all figures."""
        files = {f.case: f for f in find_cases(self.source)}
        found: list[LesionPoint] = []
        with tempfile.TemporaryDirectory() as heatmaps:
            for event in run(plan_prediction([files[c] for c in self.test], model=model, heatmaps=Path(heatmaps))):
                if isinstance(event, CasePredicted):
                    found += event.candidates
                elif isinstance(event, Finished) and event.outcome != "returned":
                    raise LesionPointsError(event.reason)
        compared = compare(self.test, found, self.truth)
        threshold = describe_model(model).threshold
        return evaluate_cases(compared.cases, tolerance_mm=self.setup.tolerance_mm, threshold=threshold).to_json()


#: What is compared per lesion: its name, its unit, and where it is in a round.
_COUNTS: tuple[tuple[str, str, Callable[[Round], float]], ...] = (
    ("clicks and keys", "", lambda r: r.presses),
    ("notches of the wheel", "", lambda r: r.effort.wheel),
    ("seconds by the keystroke-level model", " s", lambda r: r.effort.seconds),
)


def rows(done: Sequence[Round], setup: Setup) -> Iterator[Row]:
    """Compare the last rounds of the ways, as far as they differ: from the second round on."""
    last = max(r.number for r in done)
    of = {(r.way, r.number): r for r in done}
    first, hand = of["hand", 1], of["hand", last]
    budget = f"{setup.minutes:g} min" if setup.epochs is None else f"{setup.epochs} epochs"
    told = f"{last} rounds of {setup.cases} cases and {budget}"
    lesions = max(hand.lesions - first.lesions, 1)
    for way in ("search", "proposals"):
        if last == 1 or (way, last) not in of:
            continue
        ours = of[way, last]
        yield Row(
            "reader", f"{told}: F1 on the test cases, {WAYS[way]}, over that by hand", _over(ours.f1, hand.f1), "x",
            0.95, "at least", f"{ours.f1:.3f} ({ours.missed} of {ours.lesions} lesions not annotated)",
            f"{hand.f1:.3f} (by hand)", threads=2,
        )  # fmt: skip
        for name, unit, count in _COUNTS:
            mine, by_hand = ((count(r) - count(first)) / lesions for r in (ours, hand))
            yield Row(
                "reader", f"{told}: {name} per lesion from the second round on, {WAYS[way]}, over those by hand",
                _over(mine, by_hand), "x", 1.0, "at most", f"{mine:.1f}{unit}", f"{by_hand:.1f}{unit} (by hand)",
                threads=2,
            )  # fmt: skip
    worst = max(done, key=lambda r: r.stall_worst_ms)
    slow = max(r.stall_p99_ms for r in done)
    trained = max(r.training_stall_ms for r in done)
    for name, value, target, which in (
        ("99th percentile", slow, 50, "of the worst round"),
        ("worst", worst.stall_worst_ms, 150, f"{WAYS[worst.way]}, round {worst.number}; {trained:.0f} ms in training"),
    ):
        yield Row("reader", f"{told}: stall while reading, {name}", value, "ms", target, "at most", which, threads=2)


def _over(ours: float, other: float) -> float:
    return ours / other if other else float(ours > 0)


def draw(done: Sequence[Round], path: Path) -> None:
    """Draw F1 against cases and against modelled time, and clicks and keys against cases, a line for each way."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    colors = dict(zip(WAYS, ("#0072b2", "#d55e00", "#009e73"), strict=True))
    start = next(r for r in done if (r.way, r.number) == ("hand", 1))
    for way, label in WAYS.items():
        own = sorted((r for r in done if r.way == way and r.number > 1), key=lambda r: r.number)
        if way != "hand" and not own:
            continue
        some = [start, *own]
        style = {"color": colors[way], "marker": "o", "markersize": 4, "label": label}
        axes[0].plot([r.cases for r in some], [r.f1 for r in some], **style)
        axes[1].plot([r.cases for r in some], [r.presses for r in some], **style)
        axes[2].plot([r.effort.seconds / 60 for r in some], [r.f1 for r in some], **style)
    for ax, x, y in (
        (axes[0], "cases read", "F1 on the test cases"),
        (axes[1], "cases read", "clicks and keys so far"),
        (axes[2], "modelled minutes of the reader", "F1 on the test cases"),
    ):
        ax.set_xlabel(x)
        ax.set_ylabel(y)
        ax.grid(alpha=0.3)
        ax.set_ylim(0, 1 if y.startswith("F1") else None)
    axes[0].legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
