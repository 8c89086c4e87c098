"""How soon a network learns: F1 against minutes and against annotated cases, by the command line a user has.

Needs a study with points.csv and label images in derivatives/truth and the split of its cases in participants.tsv. The
environment variable LESION_POINTS_STUDY names its folder; the published figures are of the GadSim benchmark with 200
cases (40 % training, 10 % validation, 50 % test). Every training is kept as a line of learning.jsonl; those that are
there are not repeated. Nothing else should run beside it.

    LESION_POINTS_STUDY=DIR python -m benchmarks learning        what is missing (all of it: two hours)
    python -m benchmarks.learning                                draw the curves from what is there
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import Row, versions
from training.reproduce.cohort import Cohort

RUNS = Path(__file__).with_name("learning.jsonl")
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "learning.png"
STUDY = "LESION_POINTS_STUDY"
SEEDS = (0, 1, 2)
MINUTES = (2.0, 5.0, 10.0)
CASES = (3, 10, 30)  # besides all; each for FEW_MINUTES
FEW_MINUTES = 5.0
TOLERANCE_MM = 12.0
TARGETS = {2.0: 0.68, 5.0: 0.80, 10.0: 0.88}
FEW_TARGET = {10: 0.70}
STARTER = "starter"  # fine-tuned on the same points, by one seed
STARTER_CASES = (3, 10)


@dataclass(frozen=True)
class Run:
    """One training and what it reached on the test cases; `took_s` is the training's wall clock, loading included.

    `init` is the model it started from, "" for none.
    """

    cases: int
    minutes: float
    seed: int
    f1: float
    precision: float
    recall: float
    ece: float
    threshold: float
    took_s: float
    version: str
    init: str = ""


def rows() -> Iterator[Row]:
    """Run what is missing, then compare means over seeds with the targets."""
    measure()
    scratch, everything = _from(""), _everything()
    for minutes, target in TARGETS.items():
        some = [r for r in scratch if (r.cases, r.minutes) == (everything, minutes)]
        yield _row(f"F1 after {minutes:g} min, {everything} cases", some, "f1", target)
        yield _row(f"ECE after {minutes:g} min, {everything} cases", some, "ece", 0.06)
        worst = max(abs(r.took_s - 60 * minutes) for r in some)
        yield Row(
            "learning",
            f"budget of {minutes:g} min kept to",
            worst,
            "s",
            1.0,
            "at most",
            "worst of the seeds",
            threads=2,
        )
    for cases, target in FEW_TARGET.items():
        some = [r for r in scratch if (r.cases, r.minutes) == (cases, FEW_MINUTES)]
        yield _row(f"F1 after {FEW_MINUTES:g} min, {cases} cases", some, "f1", target)


def _row(what: str, runs: list[Run], figure: str, target: float) -> Row:
    values = [getattr(r, figure) for r in sorted(runs, key=lambda r: r.seed)]
    each = f"{len(values)} seeds: " + ", ".join(f"{v:.3f}" for v in values)
    sense = "at least" if figure == "f1" else "at most"
    return Row("learning", what, statistics.mean(values), figure.upper(), target, sense, ours=each, threads=2)  # type: ignore[arg-type]


def measure() -> None:
    """Run the trainings that `RUNS` does not have."""
    have = {(r.cases, r.minutes, r.seed, r.init) for r in load()}
    if STUDY not in os.environ:
        if not have:
            raise SystemExit(f"set {STUDY} to the folder of the study to learn from; see benchmarks/learning.py")
        return
    study = Path(os.environ[STUDY])
    split = Cohort(study).split
    everything = len(split["train"])
    judged = [(everything, m) for m in MINUTES] + [(n, FEW_MINUTES) for n in FEW_TARGET]
    drawn = [(n, FEW_MINUTES) for n in CASES if n not in FEW_TARGET]
    wanted = [(n, m, s, "") for some in (judged, drawn) for s in SEEDS for n, m in some]
    tuned = [(n, FEW_MINUTES) for n in STARTER_CASES] + [(everything, m) for m in MINUTES]
    wanted += [(n, m, SEEDS[0], STARTER) for n, m in tuned]
    missing = [run for run in wanted if run not in have]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if missing:
            _call("points", study, "--from-masks", "derivatives/truth/**/*_dseg.nii.gz", "--store", work / "store")
        for cases, minutes, seed, init in missing:
            run = _train(study, work, split, cases, minutes, seed, init)
            with RUNS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(run)) + "\n")
            print(run, flush=True)


def _train(
    study: Path, work: Path, split: dict[str, tuple[str, ...]], cases: int, minutes: float, seed: int, init: str
) -> Run:
    out = work / f"{init}{cases}-{minutes:g}-{seed}"
    out.mkdir()
    for name, members in (("train", split["train"][:cases]), ("val", split["val"]), ("test", split["test"])):
        (out / f"{name}.txt").write_text("\n".join(members), encoding="utf-8")
    store, model, found = ("--store", work / "store"), out / "model", out / "found"
    begin = time.monotonic()
    _call(
        "train", study, *store, "--out", model, "--minutes", minutes, "--seed", seed, "--tolerance-mm", TOLERANCE_MM,
        "--cases", f"@{out / 'train.txt'}", "--validation", f"@{out / 'val.txt'}", *(("--init", init) if init else ()),
    )  # fmt: skip
    took = time.monotonic() - begin
    _call("predict", study, *store, "--model", model, "--out", found, "--cases", f"@{out / 'test.txt'}")
    card = json.loads((model / "model.json").read_text(encoding="utf-8"))
    _call(
        "evaluate", "--candidates", found / "candidates.csv", "--truth", study / "derivatives/truth/points.csv",
        "--cases", f"@{out / 'test.txt'}", "--tolerance-mm", TOLERANCE_MM, "--threshold", card["threshold"],
        "--out", out / "figures",
    )  # fmt: skip
    reached: dict[str, Any] = json.loads((out / "figures" / "metrics.json").read_text(encoding="utf-8"))
    figures = {k: round(reached[k], 4) for k in ("f1", "precision", "recall", "ece")}
    return Run(
        cases, minutes, seed, **figures, threshold=card["threshold"], took_s=round(took, 1),
        version=versions()["napari-lesion-points"], init=init,
    )  # fmt: skip


def _call(*arguments: object) -> None:
    command = [sys.executable, "-m", "napari_lesion_points.cli", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def load() -> list[Run]:
    """Return the runs so far."""
    if not RUNS.exists():
        return []
    return [Run(**json.loads(line)) for line in RUNS.read_text(encoding="utf-8").splitlines()]


def _from(init: str) -> list[Run]:
    return [r for r in load() if r.init == init]


def _everything() -> int:
    return max(r.cases for r in load())


def draw() -> None:
    """Draw F1 against minutes and against annotated cases, every run a dot, the mean a line."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    everything = _everything()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    looks: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("", "from scratch", {"linestyle": "-", "marker": "o"}),
        (STARTER, "from the starter", {"linestyle": ":", "marker": "^"}),
    )
    for init, name, look in looks:
        done = _from(init)
        against = (
            (f"minutes of training, {everything} cases", [r for r in done if r.cases == everything], "minutes"),
            (f"annotated cases, {FEW_MINUTES:g} minutes", [r for r in done if r.minutes == FEW_MINUTES], "cases"),
        )
        for ax, (label, runs, along) in zip(axes, against, strict=True):
            groups = _grouped(runs, along)
            at = sorted(groups)
            for measured, color in (("f1", "#0072b2"), ("ece", "#d55e00")):
                means = [statistics.mean(getattr(r, measured) for r in groups[x]) for x in at]
                ax.plot(at, means, color=color, linestyle=look["linestyle"], label=f"{measured.upper()}, {name}")
            for x in at:
                each = [r.f1 for r in groups[x]]
                ax.plot([x] * len(each), each, look["marker"], color="#0072b2", markersize=4, alpha=0.6)
            if not init:
                ax.set_xscale("log")
                ax.set_xticks(at, [f"{x:g}" for x in at])
                ax.minorticks_off()
                ax.set_xlabel(label)
                ax.set_ylim(0, 1)
                ax.grid(alpha=0.3)
    axes[0].plot(list(TARGETS), list(TARGETS.values()), "_", color="black", markersize=14, label="target")
    axes[1].plot(list(FEW_TARGET), list(FEW_TARGET.values()), "_", color="black", markersize=14)
    axes[0].set_ylabel("test cases")
    axes[0].legend(loc="center right")
    figure.savefig(FIGURE, dpi=150)
    print(FIGURE)


def _grouped(runs: list[Run], name: str) -> dict[float, list[Run]]:
    groups: dict[float, list[Run]] = {}
    for run in runs:
        groups.setdefault(getattr(run, name), []).append(run)
    return groups


if __name__ == "__main__":
    draw()
