"""How far the starter gets on real patients, before and after a reader has given it clicks.

    python -m training.real_patients --study STUDY --masks "derivatives/consensus/*/anat/*mask.nii.gz" --out DIR

STUDY holds two or more patients with lesion masks, which stand for the reader. For each ordered pair of patients, the
starter proposes lesions on the first; the reader gives so many clicks: verdicts on the most uncertain candidates, then
the lesions that were missed. The starter is fine-tuned on these, and tested on the second patient, as it is tested
without any click. A network from scratch learns from the same clicks. Every model is tested at its own threshold: the
starter's comes from simulated patients, and fine-tuning keeps it. Nothing is chosen on a patient that is tested.

Results that DIR/results.jsonl has are not made again. DIR/clicks.png shows F1 against clicks.

Lesions of more than 500 mm³ count as confluent: their centre of mass is no place that a reader would click, and may be
farther than the tolerance from any peak. They are scored as all others are; a second row of figures leaves them out,
with the candidates that lie in them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.events import CasePredicted, Event, Finished
from napari_lesion_points.core.geometry import Volume
from napari_lesion_points.core.matching import TOLERANCE_MM, match_points
from napari_lesion_points.core.metrics import (
    CaseDetections,
    best_threshold,
    expected_calibration_error,
    figures_at,
    pooled_outcomes,
)
from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Verdict
from napari_lesion_points.errors import LesionPointsError
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.cases import find_cases
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import read_labels
from napari_lesion_points.workflow.jobs import run, storing
from napari_lesion_points.workflow.models import STARTER, describe_model
from napari_lesion_points.workflow.planning import plan_prediction, plan_training
from napari_lesion_points.workflow.review import review_queue, verdict_change

CONFLUENT_MM3 = 500.0
CLICKS = "5,10,20,all"  # all: until the patient is done
SCRATCH = "all"
LOG = "results.jsonl"
SIZES_MM3 = ((3, 10), (11, 50), (51, 500), (501, 10**9))


@dataclass(frozen=True)
class Result:
    """One model on one patient.

    `wanted` is the number of clicks asked for, None for all that the patient needs; `clicks` is how many were given.
    The model as it is, without clicks, has 0 and `trained_on` "". `init` is "" for training from scratch.
    """

    tested_on: str
    trained_on: str
    init: str
    wanted: int | None
    clicks: int
    threshold: float
    f1: float
    precision: float
    recall: float
    ece: float
    best_f1: float
    f1_without_confluent: float
    recall_by_size: dict[str, str]


def main() -> None:
    """Read the command line and run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--masks", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default=STARTER)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clicks", default=CLICKS)
    parser.add_argument("--scratch", default=SCRATCH, help="after how many clicks a network from scratch learns too")
    arguments = parser.parse_args()
    bench = Bench(arguments.study, arguments.masks, arguments.out, arguments.model, minutes=arguments.minutes)
    for patient in bench.patients:
        bench.test_untouched(patient)
    from_scratch = arguments.scratch.split(",")
    for wanted in arguments.clicks.split(","):
        inits = (arguments.model, "") if wanted in from_scratch else (arguments.model,)
        for first, second in permutations(bench.patients, 2):
            bench.learn(first, None if wanted == "all" else int(wanted), second, inits)
    draw(read_results(bench.log), arguments.out / "clicks.png")


class Bench:
    """The patients, their truth, the results so far, and the budget of each training: minutes or epochs."""

    def __init__(
        self,
        study: Path,
        masks: str,
        out: Path,
        model: str,
        *,
        minutes: float | None = None,
        epochs: int | None = None,
    ) -> None:
        self.files = {f.case: f for f in find_cases(study)}
        self.patients = tuple(self.files)
        self.masks = {
            c: next(read_labels(p) for p in sorted(study.glob(masks)) if p.name.startswith(f"{c}_"))
            for c in self.patients
        }
        self.study, self.out, self.model = study, out, model
        self.minutes, self.epochs = minutes, epochs
        out.mkdir(parents=True, exist_ok=True)
        self.log = out / LOG

    def test_untouched(self, patient: str) -> None:
        """Test the model on a patient, without any click."""
        if not self._has(patient, "", self.model, 0):
            self._test(Path(self.model), patient, "", self.model, 0, 0)

    def learn(self, first: str, wanted: int | None, second: str, inits: Sequence[str]) -> None:
        """Let the reader click on the first patient, train from each model ("" is scratch), test on the second."""
        missing = [init for init in inits if not self._has(second, first, init, wanted)]
        if not missing:
            return
        how_many = "all" if wanted is None else str(wanted)
        with tempfile.TemporaryDirectory() as store, Study.open(self.study, Path(store), reader="masks") as study:
            clicks = self._click(study, first, wanted)
            for init in missing:
                out = self.out / "models" / f"{first}-{how_many}-{Path(init).name or 'scratch'}"
                start = Path(init) if init else None
                try:
                    spec = plan_training(
                        study, out=out, cases=[first], minutes=self.minutes, epochs=self.epochs, init=start
                    )
                except LesionPointsError as error:  # no lesion among so few clicks
                    print(f"{first}, {how_many} clicks, from {init or 'scratch'}: {error}", flush=True)
                    continue
                for _ in _to_its_end(run(spec)):
                    pass
                self._test(out, second, first, init, wanted, clicks)

    def _has(self, tested_on: str, trained_on: str, init: str, wanted: int | None) -> bool:
        key = tested_on, trained_on, init, wanted
        return any((r.tested_on, r.trained_on, r.init, r.wanted) == key for r in read_results(self.log))

    def _test(self, model: Path, patient: str, trained_on: str, init: str, wanted: int | None, clicks: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            spec = plan_prediction([self.files[patient]], model=model, heatmaps=Path(folder))
            candidates = [c for e in _to_its_end(run(spec)) if isinstance(e, CasePredicted) for c in e.candidates]
        result = Result(
            tested_on=patient, trained_on=trained_on, init=init, wanted=wanted, clicks=clicks,
            **self._figures(patient, candidates, describe_model(model).threshold),
        )  # fmt: skip
        before = self.log.read_text(encoding="utf-8") if self.log.is_file() else ""
        atomic_write(self.log, f"{before}{json.dumps(asdict(result))}\n")
        print(result, flush=True)

    def _click(self, study: Study, case: str, wanted: int | None) -> int:
        """Give verdicts on proposals, then add what was missed; return how many clicks that took."""
        spec = plan_prediction([self.files[case]], model=Path(self.model), heatmaps=study.heatmap_path(case).parent)
        for _ in _to_its_end(storing(study, run(spec), self.model)):
            pass
        truth = np.asarray(component_centres(self.masks[case]).centers_world)
        queue = review_queue(study, [case])
        pairs = dict(match_points([c.world for c in queue], truth, TOLERANCE_MM).pairs)
        changes: list[Callable[[], Change]] = []
        for i, candidate in enumerate(queue):
            if i in pairs:
                place = as_world(truth[pairs[i]])
                changes.append(partial(verdict_change, study, candidate, Verdict.MOVED, place))
            else:
                changes.append(partial(verdict_change, study, candidate, Verdict.REJECTED))
        missed = sorted(set(range(len(truth))) - set(pairs.values()))
        changes += [partial(Change.adding, LesionPoint(case, as_world(truth[k]))) for k in missed]
        for change in changes[:wanted]:
            study.apply(change())
        if wanted is None:
            study.set_state(case, CaseState.DONE)
        return len(changes[:wanted])

    def _figures(self, case: str, candidates: list[LesionPoint], threshold: float) -> dict[str, Any]:
        mask = self.masks[case]
        found = component_centres(mask)
        mm3 = (found.sizes * float(np.prod(mask.grid.spacing))).round()
        truth = np.asarray(found.centers_world, float)
        places = np.array([c.world for c in candidates]).reshape(-1, 3)
        existence = np.array([c.existence for c in candidates])
        everything = CaseDetections(case, places, existence, truth)
        figures = figures_at([everything], threshold, TOLERANCE_MM)
        ece, _ = expected_calibration_error(*pooled_outcomes([everything], TOLERANCE_MM))
        detected = places[existence >= threshold]
        matched = match_points(detected, truth, TOLERANCE_MM).pairs[:, 1]
        by_size = {}
        for low, high in SIZES_MM3:
            some = np.flatnonzero((mm3 >= low) & (mm3 <= high))
            by_size[f"{low}-{high}"] = f"{np.isin(some, matched).sum()} of {len(some)}"
        confluent = mm3 > CONFLUENT_MM3
        inside = self._in_confluent(mask, places)
        others = CaseDetections(case, places[~inside], existence[~inside], truth[~confluent])
        return {
            "threshold": threshold,
            "f1": round(figures.f1, 3),
            "precision": round(figures.precision, 3),
            "recall": round(figures.recall, 3),
            "ece": round(ece, 3),
            "best_f1": round(best_threshold([everything], TOLERANCE_MM)[1].f1, 3),
            "f1_without_confluent": round(figures_at([others], threshold, TOLERANCE_MM).f1, 3),
            "recall_by_size": by_size,
        }

    def _in_confluent(self, mask: Volume, places: np.ndarray) -> np.ndarray:
        """Whether a place lies in, or within 2 mm of, a confluent lesion."""
        parts, _ = ndimage.label(mask.data != 0, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())
        large = np.flatnonzero(sizes * np.prod(mask.grid.spacing) > CONFLUENT_MM3)
        confluent = np.isin(parts, large[large > 0])
        near = ndimage.distance_transform_edt(~confluent, sampling=mask.grid.spacing) <= 2
        at = np.clip(mask.grid.to_voxel(places).round().astype(int), 0, np.array(mask.grid.shape) - 1)
        return np.asarray(near[tuple(at.T)])


def _to_its_end(events: Iterator[Event]) -> Iterator[Event]:
    """Pass on a job's events; SystemExit unless it returned, as nothing can be said of what it did not do."""
    for event in events:
        yield event
        if isinstance(event, Finished) and event.outcome != "returned":
            raise SystemExit(event.reason)


def read_results(log: Path) -> list[Result]:
    """Return the results in a file, none if it is not there."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return [Result(**json.loads(line)) for line in lines]


def draw(results: list[Result], path: Path) -> None:
    """Draw F1 on the other patient against the clicks given: lines from the model, crosses from scratch."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    patients = sorted({r.tested_on for r in results})
    figure, axes = plt.subplots(1, len(patients), figsize=(4.2 * len(patients), 3.4), sharey=True, layout="constrained")
    for ax, patient in zip(np.atleast_1d(axes), patients, strict=True):
        tuned = sorted((r for r in results if r.tested_on == patient and r.init), key=lambda r: r.clicks)
        scratch = [r for r in results if r.tested_on == patient and not r.init]
        clicks = [r.clicks for r in tuned]
        for name, color in (("f1", "#0072b2"), ("f1_without_confluent", "#009e73"), ("ece", "#d55e00")):
            label = name.replace("f1", "F1").replace("ece", "ECE").replace("_", " ")
            ax.plot(clicks, [getattr(r, name) for r in tuned], "o-", color=color, markersize=4, label=label)
        ax.plot([r.clicks for r in scratch], [r.f1 for r in scratch], "x", color="#0072b2", label="F1, from scratch")
        ax.set_title(f"tested on {patient}")
        ax.set_xlabel("clicks on the other patient")
        ax.set_ylim(0, 1)
        ax.grid(alpha=0.3)
    np.atleast_1d(axes)[0].legend(fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def as_world(place: np.ndarray) -> tuple[float, float, float]:
    """Return a place as plain numbers."""
    x, y, z = place.tolist()
    return x, y, z


if __name__ == "__main__":
    main()
