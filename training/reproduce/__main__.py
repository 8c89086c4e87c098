"""Repeat the experiments of the paper on a study with known lesions, and write tables and a report.

    python -m training.reproduce --study DIR --out DIR [--only labels,jitter] [--minutes-per-run 5] [--seeds 3]
                                 [--real DIR --real-masks PATTERN]

DIR is a BIDS dataset with lesion masks in derivatives/truth and a column `split` (train, val, test) in
participants.tsv. --real names a second one, of two or more real patients, --real-masks a pattern of its lesion masks.
Its networks learn from the reader's clicks on one patient.
What OUT has is not made again; killed, it goes on with the network that was being trained. The report has the tables of
--only and all others for which OUT has what is needed, from as many seeds as it has. What each network found is kept
in OUT/networks (some kB each) and is enough for that; the models beside it are not read again, but to transfer them.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from napari_lesion_points.store.atomic import atomic_write
from training.reproduce.catalogue import EXPERIMENTS, Experiment
from training.reproduce.cohort import Cohort
from training.reproduce.networks import Bench, NotTrainedError
from training.reproduce.real import real_patients, real_patients_of
from training.reproduce.report import write_report
from training.reproduce.tables import Table, as_csv

_SEEDS = 3


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
    parser.add_argument("--seeds", type=int, default=_SEEDS)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--real-masks", default="derivatives/**/*_dseg.nii.gz")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    unknown = sorted(set(names) - set(EXPERIMENTS))
    if unknown:
        parser.error(f"no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    expected = sum(EXPERIMENTS[name].networks(arguments.seeds) for name in names)
    steps: int | None = arguments.steps_per_run
    minutes = None if steps else arguments.minutes_per_run
    bench = Bench(Cohort(arguments.study.resolve()), arguments.out, expected, minutes=minutes, steps=steps)
    command = f"python -m training.reproduce {shlex.join(sys.argv[1:])}"
    tables = {name: _of_what_is_there(bench, experiment) for name, experiment in EXPERIMENTS.items()}
    making: dict[str, Callable[[], Table | None]] = {
        name: partial(EXPERIMENTS[name].table, bench, arguments.seeds)
        for name in names
        if not (there := tables[name]) or there.seeds < arguments.seeds
    }
    tables["real"] = real_patients_of(bench)
    if arguments.real:
        making["real"] = partial(real_patients, bench, arguments.real, arguments.real_masks)
    _write(bench, tables.values(), command)
    for name, make in making.items():
        tables[name] = make()
        _write(bench, tables.values(), command)


def _of_what_is_there(bench: Bench, experiment: Experiment) -> Table | None:
    """Make a table without training, from as many seeds as there are, or None."""
    bench.may_train = False
    try:
        for seeds in range(_SEEDS, 0, -1):
            with suppress(NotTrainedError):
                return experiment.table(bench, seeds)
        return None
    finally:
        bench.may_train = True


def _write(bench: Bench, tables: Iterable[Table | None], command: str) -> None:
    some = [table for table in tables if table]
    for table in some:
        atomic_write(bench.out / f"{table.name}.csv", as_csv(table))
    write_report(bench.out / "report.html", some, bench.cohort.root.name, bench.budget, command)
    print(f"{bench.out / 'report.html'} has {', '.join(table.name for table in some) or 'nothing yet'}.", flush=True)


if __name__ == "__main__":
    main()
