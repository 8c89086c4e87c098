"""Repeat the experiments of the paper on a study with known lesions, and write tables and a report.

    python -m training.reproduce --study DIR --out DIR [--only labels,jitter] [--minutes-per-run 5] [--seeds 3]

DIR is a BIDS dataset with lesion masks in derivatives/truth and a column `split` (train, val, test) in
participants.tsv. What OUT has is not made again; killed, it goes on with the network that was being trained.
"""

from __future__ import annotations

import argparse
import csv
import io
import shlex
import sys
from pathlib import Path

from napari_lesion_points.store.atomic import atomic_write
from training.reproduce.cohort import Cohort
from training.reproduce.experiments import EXPERIMENTS, Table
from training.reproduce.networks import Bench
from training.reproduce.report import write_report


def main() -> None:
    """Read the command line, run what is missing, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="of " + ",".join(EXPERIMENTS))
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes-per-run", type=float, default=5.0)
    budget.add_argument(
        "--steps-per-run", type=int, help="instead, for figures that a machine repeats however busy it is"
    )
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    unknown = sorted(set(names) - set(EXPERIMENTS))
    if unknown:
        parser.error(f"no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    some = [EXPERIMENTS[name] for name in names]
    expected = sum(e.networks(arguments.seeds) for e in some)
    steps: int | None = arguments.steps_per_run
    minutes = None if steps else arguments.minutes_per_run
    bench = Bench(Cohort(arguments.study.resolve()), arguments.out, expected, minutes=minutes, steps=steps)
    tables = []
    for experiment in some:
        table = experiment.make(bench, range(arguments.seeds))
        tables.append(table)
        atomic_write(arguments.out / f"{table.name}.csv", as_csv(table))
        print(f"\n{table.title}\n{as_csv(table)}", flush=True)
        each = f"{steps} steps" if steps else f"{minutes:g} minutes"
        command = f"python -m training.reproduce {shlex.join(sys.argv[1:])}"
        write_report(arguments.out / "report.html", tables, bench.cohort.root.name, each, arguments.seeds, command)


def as_csv(table: Table) -> str:
    """Return a table as CSV text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.header, *table.rows])
    return text.getvalue()


if __name__ == "__main__":
    main()
