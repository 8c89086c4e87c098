"""The experiments by name, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from training.reproduce import experiments
from training.reproduce.causes import difference, mass, neighbours
from training.reproduce.experiments import annotation_time, jitter, labels, patients, transfer
from training.reproduce.judging import calibration, counts, matching, uncertainty
from training.reproduce.networks import Bench
from training.reproduce.tables import Table


@dataclass(frozen=True)
class Experiment:
    """A table and how many networks it needs that no other experiment makes."""

    name: str
    networks: Callable[[int], int]
    make: Callable[[Bench, Sequence[int]], Table]

    def table(self, bench: Bench, seeds: int) -> Table:
        """Return the table of so many seeds, from 0 on."""
        return replace(self.make(bench, range(seeds)), seeds=seeds)


EXPERIMENTS = {
    e.name: e
    for e in (
        Experiment(
            "labels", lambda seeds: seeds * (len(experiments.OTHER_LABELS) + len(experiments.SIGMAS_VOX)), labels
        ),
        Experiment("jitter", lambda seeds: seeds * len(experiments.JITTERS_MM), jitter),
        Experiment("patients", lambda seeds: seeds * (2 * len(experiments.PATIENTS) - 1), patients),
        Experiment("annotation-time", lambda seeds: seeds * 2, annotation_time),
        Experiment("mass", lambda seeds: 0, mass),
        Experiment("neighbours", lambda seeds: 0, neighbours),
        Experiment("matching", lambda seeds: 0, matching),
        Experiment("calibration", lambda seeds: seeds, calibration),
        Experiment("difference", lambda seeds: 0, difference),
        Experiment("uncertainty", lambda seeds: 0, uncertainty),
        Experiment("counts", lambda seeds: 0, counts),
        Experiment(
            "transfer",
            lambda seeds: (
                seeds * len(experiments.SHARES) * (len(experiments.SIGMAS_VOX) + len(experiments.OTHER_LABELS))
            ),
            transfer,
        ),
    )
}
