"""Repeat the experiments of the paper on a study with known lesions, and write tables and a report.

    python -m training.reproduce --study DIR --out DIR [--only labels,jitter] [--minutes-per-run 5] [--seeds 3]
                                 [--real DIR --real-masks PATTERN]

DIR is a BIDS dataset with lesion masks in derivatives/truth and a column `split` (train, val, test) in
participants.tsv. --real names a second one, of two or more real patients, --real-masks a pattern of its lesion masks.
What OUT has is not made again; killed, it goes on with the network that was being trained.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import partial
from pathlib import Path

from napari_lesion_points.store.atomic import atomic_write
from training.reproduce.catalogue import EXPERIMENTS
from training.reproduce.cohort import Cohort
from training.reproduce.networks import Bench
from training.reproduce.real import real_patients
from training.reproduce.report import write_report
from training.reproduce.tables import as_csv


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
    parser.add_argument("--real", type=Path)
    parser.add_argument("--real-masks", default="derivatives/**/*_dseg.nii.gz")
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
    making = [partial(e.make, bench, range(arguments.seeds)) for e in some]
    if arguments.real:
        out = arguments.out / "real-patients"
        making.append(partial(real_patients, arguments.real, arguments.real_masks, out, arguments.minutes_per_run))
    each = f"{steps} steps" if steps else f"{minutes:g} minutes"
    command = f"python -m training.reproduce {shlex.join(sys.argv[1:])}"
    tables = []
    for make in making:
        table = make()
        tables.append(table)
        atomic_write(arguments.out / f"{table.name}.csv", as_csv(table))
        print(f"\n{table.title}\n{as_csv(table)}", flush=True)
        write_report(arguments.out / "report.html", tables, bench.cohort.root.name, each, arguments.seeds, command)


if __name__ == "__main__":
    main()
