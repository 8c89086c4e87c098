"""Jobs of one session: training, prediction, export, import, report. Each in a worker, each with one of three outcomes.

A job is a generator of the records of `core.events`. Its last record is `Finished`: returned, failed or stopped,
with the reason. A generator that raises, or ends without a last record, has failed too, and that is said.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_lesion_points.core.events import CasePredicted, Event, Finished, LossPoint, Progress, Started, Validation
from napari_lesion_points.errors import LesionPointsError, OutputError
from napari_lesion_points.ui.curves import load_matplotlib
from napari_lesion_points.ui.session import JobState, Notice
from napari_lesion_points.ui.translation import _, ngettext

if TYPE_CHECKING:
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.worker import Task
    from napari_lesion_points.workflow.exchange import ExportFormat
    from napari_lesion_points.workflow.models import ModelCard
    from napari_lesion_points.workflow.specs import PredictSpec, TrainSpec

#: Runs a spec and yields its events; tests put their own in place. The last argument is that of `workflow.jobs.run`.
Runner = Callable[[Any, threading.Event, Callable[[], Any]], Iterator[Event]]

_LEVELS = {"returned": "info", "failed": "error", "stopped": "warning"}
_JOBS = {
    # Translators: jobs, as in "Training finished."
    "train": _("Training"),
    "predict": _("Prediction"),
    "export": _("Export"),
    "import": _("Import"),
    "report": _("Report"),
}

#: What is said of a job's end, without a reason and with one.
_ENDS = {
    "returned": (_("{job} finished."), _("{job} finished: {reason}")),
    "failed": (_("{job} failed."), _("{job} failed: {reason}")),
    "stopped": (_("{job} was stopped."), _("{job} was stopped: {reason}")),
}

_KNOWN = _("Its annotations and accepted candidates had been there already.")


def run_spec(spec: Any, stop: threading.Event, preview: Callable[[], Any]) -> Iterator[Event]:
    """Run a spec in a child process (see `workflow.jobs.run`)."""
    from napari_lesion_points.workflow.jobs import run

    yield from run(spec, stop, preview)


class JobControl(QObject):
    """Starts, follows and stops the one job that a session runs at a time.

    Attributes
    ----------
    curve : Signal(object)
        A `LossPoint` or `Validation` came; None clears the curves.
    predicted : Signal(str)
        New candidates of a case of the open study are stored.
    segmented : Signal(str)
        So is a new mask of it.
    proposed : Signal()
        The lesions that `propose` was asked for are there, and the case is still open.
    reported : Signal(str)
        The report that `report` was asked for is in this file.
    """

    curve = Signal(object)
    predicted = Signal(str)
    segmented = Signal(str)
    proposed = Signal()
    reported = Signal(str)

    def __init__(self, controller: Controller, runner: Runner = run_spec) -> None:
        super().__init__()
        self.runner = runner
        self._controller = controller
        self._task: Task | None = None
        self._stop = threading.Event()
        self._finished = False
        self._proposed_for = ""
        self._listing: Task | None = None
        self._after_listing: list[tuple[Study, Callable[[], None]]] = []

    def train(
        self,
        *,
        minutes: float | None,
        epochs: int | None,
        sigma_mm: float,
        init: str,
        device: str,
        resume: bool = False,
    ) -> None:
        """Train on the checked cases, then predict the case that is open by then.

        Of the checked cases, those that the model to be fine-tuned was validated on stay aside again.
        `init` is a model's folder, or "" for scratch; `resume` goes on with it.
        """
        study = self._controller.study
        if study is None or self.running:
            return
        cases = self._controller.screen.train_cases

        def plan() -> TrainSpec:
            from napari_lesion_points.workflow.planning import plan_training, resume_training

            if resume:
                return resume_training(Path(init))
            with _new_model(study.models_dir, "model") as out:
                return plan_training(
                    study, out=out, among=cases, minutes=minutes, epochs=epochs,
                    sigma_mm=None if init else sigma_mm, init=Path(init) if init else None, device=device,
                )  # fmt: skip

        self._train(study, plan)

    def segment(self, cases: tuple[str, ...], *, minutes: float, init: str, device: str) -> None:
        """Train a segmentation on the painted masks of cases, from a model or from scratch (""); predict as `train`."""
        study = self._controller.study
        if study is None or self.running:
            return

        def plan() -> TrainSpec:
            from napari_lesion_points.workflow.planning import plan_training

            with _new_model(study.models_dir, "segmentation") as out:
                return plan_training(
                    study, out=out, cases=cases, minutes=minutes, init=Path(init) if init else None, device=device,
                    label="segmentation", masks=study.painted_masks(),
                )  # fmt: skip

        self._train(study, plan)

    def _train(self, study: Study, plan: Callable[[], TrainSpec]) -> None:
        self.curve.emit(None)
        self._start("train", _("Training"), partial(self._training, study, plan))

    def _training(self, study: Study, plan: Callable[[], TrainSpec], stop: threading.Event) -> Iterator[Event]:
        """Plan a training, which reads all points that it learns from, and run it. Runs in a worker."""
        from napari_lesion_points.workflow.jobs import storing

        load_matplotlib()
        spec = plan()
        yield Started(spec.summary, "")
        events = self.runner(spec, stop, partial(self._preview, study, spec))
        yield from storing(study, events, spec.out, preview=True)

    def _preview(self, study: Study, training: TrainSpec) -> PredictSpec | None:
        """Plan the prediction of the case that is open now. Runs in a worker: it reads what never changes in place."""
        from napari_lesion_points.workflow.planning import plan_preview

        case = self._controller.state.wanted
        if self._controller.study is not study or not case:
            return None
        return plan_preview(training, study.files_of(case), study.heatmap_path(case).parent)

    def predict(self, model: str, cases: tuple[str, ...], device: str) -> None:
        """Predict cases with a model; candidates are stored as they come."""
        study = self._controller.study
        if study is None or self.running or not cases:
            return

        def predicting(stop: threading.Event) -> Iterator[Event]:
            from napari_lesion_points.workflow.jobs import storing
            from napari_lesion_points.workflow.planning import plan_prediction

            heatmaps = study.heatmap_path(cases[0]).parent
            files = [study.files_of(case) for case in cases]
            spec = plan_prediction(files, model=Path(model), heatmaps=heatmaps, device=device, store=study.store)
            yield from storing(study, self.runner(spec, stop, lambda: None), model)

        if len(cases) == 1:
            title = _("Predicting {case}").format(case=cases[0])
        else:
            several = ngettext("Predicting {count} case", "Predicting {count} cases", len(cases))
            title = several.format(count=len(cases))
        self._start("predict", title, predicting)

    def propose(self) -> None:
        """Predict the open case with the chosen model, the study's newest, or the starter, and go on to its review."""
        case = self._controller.state.shown

        def predict() -> None:
            if not self.running:
                self._proposed_for = case
                self.predict(self._controller.state.model, (case,), "auto")

        self.list_models(predict)

    def export(self, folder: Path, formats: tuple[ExportFormat, ...]) -> None:
        """Write the study's points in some formats."""
        study = self._controller.study
        if study is not None and not self.running:
            self._start("export", _("Exporting"), lambda stop: _exporting(study, folder, formats, stop))

    def import_points(self, path: Path, case: str) -> None:
        """Read a points file or Slicer markups into the study."""
        study = self._controller.study
        if study is not None and not self.running:
            self._start(
                "import", _("Importing {file}").format(file=path.name), lambda stop: _importing(study, path, case)
            )

    def import_masks(self, pattern: str) -> None:
        """Turn lesion masks, found by a pattern relative to the study, into points."""
        study = self._controller.study
        if study is not None and not self.running:
            self._start("import", _("Reading masks"), lambda stop: _importing_masks(study, pattern, stop))

    def report(self) -> None:
        """Compare the study's candidates with its annotations, and write a report into its store."""
        study = self._controller.study
        if study is not None and not self.running:
            self._start("report", _("Comparing candidates with annotations"), lambda stop: _reporting(study))

    @property
    def running(self) -> bool:
        """Whether a job runs."""
        return self._controller.state.job.running

    def stop(self) -> None:
        """Ask the job to stop; it answers with its last event."""
        self._stop.set()
        if self.running:
            self._controller.update(job=replace(self._controller.state.job, stopping=True))

    def close(self) -> None:
        """Stop the job for good: the window closes."""
        self._stop.set()

    def replay(self, title: str, events: Sequence[Event]) -> None:
        """Show the events of a training that ran elsewhere."""
        self.curve.emit(None)
        self._controller.update(job=JobState("train", running=True, title=title, message=title))
        for event in events:
            self._on_event(event)

    def list_devices(self) -> None:
        """Look for devices in a worker (a child process loads torch, this one does not)."""
        from napari_lesion_points.workflow.devices import list_devices

        self._controller.workers.start(
            list_devices,
            returned=lambda found: self._controller.update(devices=tuple((d.name, d.label) for d in found)),
            failed=lambda why: self._controller.say(
                _("No list of devices, so it is automatic: {why}").format(why=why), "warning"
            ),
        )  # fmt: skip

    def list_models(self, then: Callable[[], None] | None = None) -> None:
        """Look for the study's models in a worker; keep the choice, or take the newest. Then go on with `then`."""
        study = self._controller.study
        if study is None:
            return
        if self._listing:
            self._listing.forget()  # it may have looked too early
        if then:
            self._after_listing.append((study, then))
        self._listing = self._controller.workers.start(
            _models_of,
            study,
            returned=lambda found: self._listed(study, *found),
            failed=lambda why: self._listed(study, self._controller.state.models, why),
        )

    @property
    def listing(self) -> bool:
        """Whether the models are being looked for."""
        return self._listing is not None

    def _listed(self, study: Study, models: tuple[ModelCard, ...], why: str) -> None:
        self._listing = None
        after, self._after_listing = self._after_listing, []
        if self._controller.study is not study:
            return
        if why:
            self._controller.say(why, "error")
        paths = [str(card.path) for card in models]
        chosen = self._controller.state.model
        newest = next(iter(_detectors(models)), "")
        self._controller.update(models=models, model=chosen if chosen in paths else newest)
        for asked_of, go_on in after:
            if asked_of is study:
                go_on()

    def _choose(self, model: str) -> None:
        if model in _detectors(self._controller.state.models):
            self._controller.update(model=model)

    def _start(self, kind: str, title: str, events: Callable[[threading.Event], Iterator[Event]]) -> None:
        self._stop = stop = threading.Event()
        self._finished = False
        state = JobState(kind, running=True, title=title, message=title)
        self._controller.update(job=state, notice=Notice(f"{title} …"))

        study = self._controller.study

        def take(event: Event) -> None:
            self._take(study, event)

        def ended(why: str) -> None:
            if self._stop is stop:  # else the next job has started since this one's last event
                self._ended(study, why)

        self._task = self._controller.workers.start(
            events,
            stop,
            yielded=take,
            returned=lambda __: ended(_("it ended without saying how; see the log.")),
            failed=ended,
        )

    def _take(self, study: Study | None, event: Event) -> None:
        """Report an event of a job; of one of another study than the open one, only how far it is and how it ends."""
        now = self._controller.study
        if study is None or (now is not None and (now.root, now.store) == (study.root, study.store)):
            self._on_event(event)
        elif isinstance(event, Finished):
            self._finished, self._proposed_for = True, ""
            job = self._controller.state.job
            self._controller.update(job=job.finished(event))
            said = _("In {study}: {end}").format(study=study.root.name, end=_end(job, event))
            self._controller.say(said, _LEVELS[event.outcome])
        elif isinstance(event, Started | Progress):
            self._on_event(event)

    def _on_event(self, event: Event) -> None:
        job = self._controller.state.job
        if isinstance(event, Started):
            what = _("Training on {cases}").format(cases=event.total) if job.kind == "train" else job.title
            title = f"{what}, {event.device}" if event.device else what
            self._controller.update(job=replace(job, title=title, message=title))
        elif isinstance(event, Progress):
            message = f"{event.phase}: {event.message}" if event.message else event.phase
            self._controller.update(
                job=replace(job, fraction=event.fraction, remaining_s=event.remaining_s, message=message)
            )
        elif isinstance(event, LossPoint | Validation):
            self.curve.emit(event)
        elif isinstance(event, CasePredicted):
            self._controller.reload_heatmap(event.case)
            number = len(event.candidates)
            text = ngettext("{case}: {count} candidate.", "{case}: {count} candidates.", number)
            self._controller.show_stored(text.format(case=event.case, count=number))
            self.predicted.emit(event.case)
            if event.mask:
                self.segmented.emit(event.case)
        elif isinstance(event, Finished):
            self._finish(job, event)

    def _finish(self, job: JobState, event: Finished) -> None:
        self._finished = True
        self._controller.update(job=job.finished(event))
        if job.kind == "train":
            self.list_models(partial(self._choose, event.result))
        self._controller.show_stored(_end(job, event), _LEVELS[event.outcome])
        wanted, self._proposed_for = self._proposed_for, ""
        if job.kind == "predict" and event.outcome == "returned" and wanted == self._controller.state.shown:
            self.proposed.emit()
        if job.kind == "report" and event.outcome == "returned":
            self.reported.emit(event.result)

    def _ended(self, study: Study | None, why: str) -> None:
        """Turn an end without a last event into a failure that is shown."""
        if not self._finished:
            self._take(study, Finished("failed", why))


def _end(job: JobState, event: Finished) -> str:
    """Say how a job ended."""
    return _ENDS[event.outcome][bool(event.reason)].format(job=_JOBS[job.kind], reason=event.reason)


@contextmanager
def _new_model(folder: Path, kind: str) -> Iterator[Path]:
    """Make the first free folder model-001, model-002 and so on, so that no other window takes it.

    It is taken away again if the block fails. OutputError if it cannot be made.
    """
    number = 1
    while True:
        out = folder / f"{kind}-{number:03d}"
        try:
            out.mkdir(parents=True)
            break
        except FileExistsError:
            number += 1
        except OSError as error:
            raise OutputError(
                f"{out}: cannot be made ({error.strerror}). Open the study with another store."
            ) from error
    try:
        yield out
    except LesionPointsError:
        out.rmdir()
        raise


def _models_of(study: Study) -> tuple[tuple[ModelCard, ...], str]:
    """Return the models as they count in the study, or as they are and why. Runs in a worker."""
    from napari_lesion_points.workflow.calibrations import calibrated_models
    from napari_lesion_points.workflow.models import list_models

    models = list_models(study.models_dir)
    try:
        return calibrated_models(study, models), ""
    except LesionPointsError as error:
        return models, str(error)


def _detectors(models: Sequence[ModelCard]) -> list[str]:
    """Return the folders of the models that find points; what a segmentation is for, its own tab knows."""
    return [str(card.path) for card in models if card.label != "segmentation"]


def _exporting(study: Study, folder: Path, formats: tuple[ExportFormat, ...], stop: threading.Event) -> Iterator[Event]:
    from napari_lesion_points.workflow.exchange import export_study

    written = 0
    for number, name in enumerate(formats):
        if stop.is_set():
            said = ngettext(
                "{count} file had been written to {folder}.", "{count} files had been written to {folder}.", written
            )
            yield Finished("stopped", said.format(count=written, folder=folder), str(folder))
            return
        yield Progress(_("export"), number / len(formats), 0.0, math.nan, _("writing {format}").format(format=name))
        written += len(export_study(study, folder, name))
    said = ngettext("{count} file written to {folder}.", "{count} files written to {folder}.", written)
    yield Finished("returned", said.format(count=written, folder=folder), str(folder))


def _reporting(study: Study) -> Iterator[Event]:
    from napari_lesion_points.workflow.study_report import write_study_report

    path = write_study_report(study)
    yield Finished("returned", _("see {file}").format(file=path), str(path))


def _importing(study: Study, path: Path, case: str) -> Iterator[Event]:
    from napari_lesion_points.workflow.exchange import import_points

    changes = import_points(study, path, case or None)
    points = sum(len(change.annotations) for change in changes)
    said = _("{points} in {cases} from {file}.").format(
        points=ngettext("{count} new point", "{count} new points", points).format(count=points),
        cases=ngettext("{count} case", "{count} cases", len(changes)).format(count=len(changes)),
        file=path.name,
    )
    yield Finished("returned", said if changes else f"{said} {_KNOWN}")


def _importing_masks(study: Study, pattern: str, stop: threading.Event) -> Iterator[Event]:
    from napari_lesion_points.workflow.exchange import points_from_masks

    read = points = 0
    for mask in points_from_masks(study, pattern):
        read, points = mask.done, points + mask.points
        found = ngettext("{case}: {count} point", "{case}: {count} points", mask.points)
        message = found.format(case=mask.case, count=mask.points)
        yield Progress(_("import"), mask.done / mask.total, 0.0, math.nan, message)
        if stop.is_set() and mask.done < mask.total:
            said = ngettext(
                "{count} of {total} mask had been read; its points are kept.",
                "{count} of {total} masks had been read; their points are kept.",
                mask.total,
            )
            yield Finished("stopped", said.format(count=read, total=mask.total))
            return
    said = _("{points} from {masks}; read cases are marked as done.").format(
        points=ngettext("{count} point", "{count} points", points).format(count=points),
        masks=ngettext("{count} mask", "{count} masks", read).format(count=read),
    )
    yield Finished("returned", said)
