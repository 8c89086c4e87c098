"""The command line: the same functions as the panels, with progress on standard error and exit codes.

Exit codes: 0 done; 1 failed, with the reason on standard error; 2 wrong usage; 130 stopped by Ctrl-C, keeping what
there is.
"""

from __future__ import annotations

import re
import shlex
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_lesion_points.core.events import (
    CasePredicted,
    Event,
    Finished,
    Progress,
    Started,
    Validation,
)
from napari_lesion_points.errors import LesionPointsError, StudyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_lesion_points.store.study import Study
    from napari_lesion_points.workflow.demo import DemoResult

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find lesions as points: annotate, train, predict, review, export. For research only.",
)

StudyArgument = Annotated[
    Path, typer.Argument(metavar="STUDY", help="BIDS dataset, folder of case folders, or images.")
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="LESION_POINTS_STORE",
        metavar="DIR|URL",
        help="Where to keep points and models; for a study on a read-only share. Or postgresql://USER@HOST/DATABASE.",
    ),
]
FilesOption = Annotated[
    Path | None,
    typer.Option("--files", envvar="LESION_POINTS_FILES", help="Where to keep models, when the store is a URL."),
]
ReaderOption = Annotated[str, typer.Option("--reader", help="Your name; by default that of your account.")]
BlindOption = Annotated[
    bool, typer.Option("--blind", help="See and make only points and verdicts of your own, not those of all.")
]
ReadingOption = Annotated[
    str,
    typer.Option(
        "--reading", help="Whose points: a blind reader's, or consensus; by default those of all.", metavar="NAME"
    ),
]
CasesOption = Annotated[str, typer.Option("--cases", help="Only these, separated by commas.", metavar="A,B")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]

STOPPED = 130


def main() -> None:
    """Run the command line; one of our errors becomes one line and exit code 1."""
    try:
        app()
    except LesionPointsError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything; an earlier demo's is replaced.")] = Path(
        "demo-output"
    ),
    minutes: Annotated[float, typer.Option(min=0.1, help="Of training.")] = 2.0,
    headless: Annotated[
        bool, typer.Option("--headless", help="Leave pictures of the window instead of opening it.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated study and the training.")] = 0,
) -> None:
    """Simulate a study, train on some cases, find the lesions of the others, compare with the truth, review."""
    from napari_lesion_points.workflow.demo import DemoResult, run_demo
    from napari_lesion_points.workflow.display import has_display, virtual_display

    typer.echo(
        f"About {minutes + 1.5:.0f} minutes: simulate, click, train for {minutes:g}, predict, compare.", err=True
    )
    show = _ProgressLine()
    training: list[Event] = []
    result: DemoResult | None = None
    for event in run_demo(out, minutes, seed):
        if isinstance(event, DemoResult):
            result = event
        else:
            show(event)
            if not any(isinstance(e, Finished) for e in training):
                training.append(event)
    show.end()
    if result is None:
        raise LesionPointsError("the demonstration ended early")
    e = result.evaluation
    typer.echo(f"\nOn {e.cases} cases without points, {result.lesions} lesions, tolerance {e.tolerance_mm:g} mm,")
    typer.echo(f"at the threshold {e.threshold:.2f} that was best in validation:\n")
    typer.echo("   F1    precision  recall   found  missed  false")
    typer.echo(f"  {e.f1:.2f}     {e.precision:.2f}      {e.recall:.2f}    {e.tp:5d}  {e.fn:6d}  {e.fp:5d}\n")
    if headless or not has_display():
        from napari_lesion_points.ui.app import take_pictures

        with virtual_display() as drawn:
            if drawn:
                for path in take_pictures(result.study, out, annotated=result.annotated[0], events=training):
                    typer.echo(f"picture: {path}")
            else:
                typer.echo("no pictures: there is no display. On Debian and Ubuntu: apt-get install xvfb.", err=True)
        typer.echo(f"everything is in {out}")
    else:
        typer.echo("Opening napari on the most uncertain lesion. Close the window to end.")
        open_study(result.study, review=True)


@app.command("open")
def open_study(
    study: StudyArgument,
    store: StoreOption = "",
    files: FilesOption = None,
    reader: ReaderOption = "",
    blind: BlindOption = False,
    reading: ReadingOption = "",
    case: Annotated[str, typer.Option(help="Case to show first.")] = "",
    review: Annotated[bool, typer.Option("--review", help="Begin with the most uncertain candidate.")] = False,
) -> None:
    """Open a study in napari."""
    from napari_lesion_points.ui import app as window

    opened = _open(study, store, files, reader, blind=blind, reading=reading)  # what is wrong is said before a window
    window.open_study(opened, case or None, review)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same study.")] = 0,
    varied: Annotated[
        bool, typer.Option("--varied", help="As if from any clinic: 1 mm, other contrasts, scanners and sequences.")
    ] = False,
) -> None:
    """Write a study of simulated patients with known lesions."""
    from napari_lesion_points.workflow.simulate import simulate_study

    show, started = _ProgressLine(), time.monotonic()
    for made in simulate_study(out, cases, seed, varied=varied):
        elapsed = time.monotonic() - started
        left = elapsed / made.done * (made.total - made.done)
        show(Progress("simulating", made.done / made.total, elapsed, left, f"{made.case}, {made.lesions} lesions"))
    show.end()
    typer.echo(str(out))


@app.command()
def points(
    study: StudyArgument,
    from_masks: Annotated[str, typer.Option("--from-masks", metavar="GLOB", help="Masks, relative to the study.")],
    store: StoreOption = "",
    files: FilesOption = None,
    reader: ReaderOption = "",
    blind: BlindOption = False,
) -> None:
    """Turn lesion masks into points, one per lesion; a case with an empty mask is done, without lesions."""
    from napari_lesion_points.workflow.exchange import points_from_masks

    with _open(study, store, files, reader, blind=blind) as opened:
        for read in points_from_masks(opened, from_masks):
            count = f"{read.points} point{'' if read.points == 1 else 's'}" if read.points else "no lesions"
            typer.echo(f"{read.case}: {count} ({read.path.name})")


@app.command("import")
def import_file(
    study: StudyArgument,
    file: Annotated[Path, typer.Argument(help="Our CSV or JSON, or 3D Slicer's .mrk.json or .fcsv.")],
    case: Annotated[str, typer.Option(help="Needed for 3D Slicer's files.")] = "",
    store: StoreOption = "",
    files: FilesOption = None,
    reader: ReaderOption = "",
    blind: BlindOption = False,
) -> None:
    """Add the points of a file to a study."""
    from napari_lesion_points.workflow.exchange import import_points

    with _open(study, store, files, reader, blind=blind) as opened:
        changes = import_points(opened, file, case or None)
        for change in changes:
            typer.echo(f"{change.case}: {len(change.annotations)} new")
        if not changes:
            typer.echo("nothing new")


@app.command()
def train(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    cases: CasesOption = "",
    validation: Annotated[
        str, typer.Option(metavar="A,B", help="Cases kept aside; by default a fifth of five or more.")
    ] = "",
    minutes: Annotated[float | None, typer.Option(help="Budget, wall clock; by default 10.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Budget in epochs instead.")] = None,
    sigma_mm: Annotated[float | None, typer.Option(help="Gaussians' standard deviation; by default 2.")] = None,
    tolerance_mm: Annotated[
        float, typer.Option(min=0, max=1000, help="Distance that counts as found, in validation.")
    ] = 6.0,
    init: Annotated[
        Path | None, typer.Option(help="Model to fine-tune, or whose encoder a segmentation is to keep.")
    ] = None,
    freeze_encoder: Annotated[
        bool | None,
        typer.Option(
            "--freeze-encoder/--tune-encoder",
            help="Keep the encoder of INIT as it is; by default when a segmentation starts from another label.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="fast (the default), or paper: the paper's own setting.")] = None,
    label: Annotated[
        str | None,
        typer.Option(help="What to draw: heatmap (the default), segmentation, or for comparison euclidean, geodesic."),
    ] = None,
    decay: Annotated[
        float | None, typer.Option(min=0.1, max=20, help="Of distance maps: the paper's p; by default 2.")
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Share that a new network drops while it learns; by default the recipe's.")
    ] = None,
    components: Annotated[
        bool, typer.Option("--components", help="Find lesions as connected components of a heatmap, without fitting.")
    ] = False,
    masks: Annotated[str, typer.Option(metavar="PATTERN", help="Lesion masks to learn a segmentation from.")] = "",
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of weights and patches.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted training in OUT.")] = False,
    store: StoreOption = "",
    files: FilesOption = None,
    reading: ReadingOption = "",
) -> None:
    """Train a model on a study's points, or fine-tune one. Ctrl-C keeps the best so far."""
    from napari_lesion_points.workflow.exchange import find_masks
    from napari_lesion_points.workflow.jobs import run
    from napari_lesion_points.workflow.specs import plan_training, resume_training

    if resume:
        spec = resume_training(out)
    else:
        with _open(study, store, files, reading=reading) as opened:
            spec = plan_training(
                opened,
                out=out.resolve(),
                cases=_names(cases),
                validation=_names(validation),
                minutes=minutes,
                epochs=epochs,
                sigma_mm=sigma_mm,
                init=init,
                device=device,
                seed=seed,
                tolerance_mm=tolerance_mm,
                recipe=recipe,
                label=label,
                decay=decay,
                components=components,
                masks=find_masks(opened, masks) if masks else None,
                freeze_encoder=freeze_encoder,
                dropout=dropout,
            )
    with _interruptible() as stop:
        _exit_unless_returned(_follow(run(spec, stop)))


@app.command()
def predict(
    study: StudyArgument,
    model: Annotated[Path, typer.Option(help="Folder of a trained model.")],
    out: Annotated[Path, typer.Option(help="Folder for heatmaps or masks, and tables.")],
    cases: CasesOption = "",
    device: DeviceOption = "auto",
    min_existence: Annotated[float, typer.Option(min=0, max=1, help="Less probable candidates are not kept.")] = 0.1,
    store: StoreOption = "",
    files: FilesOption = None,
) -> None:
    """Find candidates: a heatmap per case and one candidates.csv; they are in the study, too, ready for review.

    A segmentation also gives CASE_dseg.nii.gz, whose labels are lesions, and their volumes in volumes.csv.
    """
    from napari_lesion_points.core.records import LesionPoint
    from napari_lesion_points.store.cases import find_cases
    from napari_lesion_points.store.points_file import write_points
    from napari_lesion_points.workflow.jobs import run, storing
    from napari_lesion_points.workflow.segmentation import write_volumes
    from napari_lesion_points.workflow.specs import plan_prediction

    opened: Study | None = None
    try:
        opened = _open(study, store, files)
    except StudyError as error:
        if store:
            raise
        typer.echo(f"note: candidates are written to {out} only, not to the study ({error})", err=True)
    try:
        known = {f.case: f for f in (opened.files if opened else find_cases(study))}
        wanted = [_known(name, known) for name in _names(cases)] or list(known)
        spec = plan_prediction(
            [known[name] for name in wanted],
            model=model,
            heatmaps=out.resolve(),
            device=device,
            min_existence=min_existence,
        )
        found: list[LesionPoint] = []
        drawn: dict[str, Path] = {}

        def collect(events: Iterator[Event]) -> Iterator[Event]:
            for event in events:
                if isinstance(event, CasePredicted):
                    found.extend(event.candidates)
                    if event.mask:
                        drawn[event.case] = Path(event.mask)
                yield event

        with _interruptible() as stop:
            events = run(spec, stop)
            finished = _follow(collect(storing(opened, events, str(model.resolve())) if opened else events))
        write_points(out / "candidates.csv", found)
        typer.echo(f"{len(found)} candidates in {out / 'candidates.csv'}")
        if drawn:
            write_volumes(out / "volumes.csv", drawn)
            typer.echo(f"volumes of lesions in {out / 'volumes.csv'}")
        _exit_unless_returned(finished)
    finally:
        if opened:
            opened.close()


@app.command()
def detect(
    heatmap: Annotated[Path, typer.Argument(help="NIfTI, mass per voxel.")],
    out: Annotated[Path, typer.Option(metavar="CSV", help="Table to write.")],
    sigma_mm: Annotated[
        float | None, typer.Option(min=0.1, max=100, help="By default what the heatmap's header notes, or 2.")
    ] = None,
    min_existence: Annotated[float, typer.Option(min=0, max=1, help="Less probable candidates are left out.")] = 0.1,
) -> None:
    """Fit candidates to a heatmap file."""
    from napari_lesion_points.store.points_file import write_points
    from napari_lesion_points.workflow.heatmaps import detect as fit

    found = fit(heatmap, sigma_mm=sigma_mm, min_existence=min_existence)
    write_points(out, found)
    typer.echo(f"{len(found)} candidates in {out}")


@app.command()
def evaluate(
    candidates: Annotated[Path, typer.Option(metavar="CSV", help="Candidates with existence.")],
    truth: Annotated[Path, typer.Option(metavar="CSV", help="True lesions.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and report.html.")],
    tolerance_mm: Annotated[float, typer.Option(min=0, max=1000, help="Greatest distance of a match.")] = 6.0,
    threshold: Annotated[
        float | None, typer.Option(help="Of existence; by default the best one, reported as such.")
    ] = None,
    cases: CasesOption = "",
) -> None:
    """Compare candidates with true lesions: figures in metrics.json, and a report to read and to print."""
    from napari_lesion_points.workflow.evaluation import evaluate_cases, read_comparison, write_evaluation
    from napari_lesion_points.workflow.report import FILE, report_of_tables, write_report

    names = _names(cases) or None
    compared = read_comparison(candidates, truth, names)
    result = evaluate_cases(compared.cases, tolerance_mm=tolerance_mm, threshold=threshold)
    path = write_evaluation(result, out)
    chosen = "best for these cases" if result.threshold_is_best else "given"
    low, high = result.f1_interval
    typer.echo(
        f"F1 {result.f1:.3f} ({low:.3f} to {high:.3f})  precision {result.precision:.3f}  "
        f"recall {result.recall:.3f}  ECE {result.ece:.3f}"
    )
    typer.echo(f"{result.tp} found, {result.fn} missed, {result.fp} false; threshold {result.threshold:.3f} ({chosen})")
    command = shlex.join(["lesion-points", *sys.argv[1:]])
    report = report_of_tables(candidates, truth, compared, result, all_cases=names is None, command=command)
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(str(path))
    typer.echo(str(write_report(report, out / FILE)))


@app.command()
def export(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    format: Annotated[str, typer.Option(help="csv, json, nifti or slicer; or history: every edit.")] = "csv",
    store: StoreOption = "",
    files: FilesOption = None,
    reading: ReadingOption = "",
) -> None:
    """Write a study's points, and candidates, or its history, to files."""
    from napari_lesion_points.workflow.exchange import EXPORT_FORMATS, export_study

    chosen = next((f for f in EXPORT_FORMATS if f == format), None)
    if chosen is None:
        raise typer.BadParameter(f"{format!r}; expected one of {', '.join(EXPORT_FORMATS)}.", param_hint="--format")
    with _open(study, store, files, reading=reading) as opened:
        for path in export_study(opened, out, chosen):
            typer.echo(str(path))


@app.command()
def agreement(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(metavar="CSV", help="Table to write.")],
    readers: Annotated[str, typer.Option(metavar="A,B", help="Only these; by default all that read.")] = "",
    tolerance_mm: Annotated[float, typer.Option(min=0, max=1000, help="Greatest distance of a match.")] = 6.0,
    store: StoreOption = "",
    files: FilesOption = None,
) -> None:
    """Compare what readers found, and what they say of candidates."""
    from napari_lesion_points.workflow.agreement import ALL_CASES, study_agreement, write_agreement

    with _open(study, store, files) as opened:
        rows = study_agreement(opened, _names(readers), tolerance_mm)
    write_agreement(out, rows)
    for row in rows:
        if row.case == ALL_CASES:
            typer.echo(row.words)
    typer.echo(str(out))


@app.command()
def consensus(
    study: StudyArgument,
    readers: Annotated[str, typer.Option(metavar="A,B", help="The two to compare.")],
    tolerance_mm: Annotated[float, typer.Option(min=0, max=1000, help="Greatest distance of a match.")] = 6.0,
    store: StoreOption = "",
    files: FilesOption = None,
    reader: ReaderOption = "",
) -> None:
    """Keep what two readers agree in, and list where they differ, to be settled with `open --reading consensus`."""
    from napari_lesion_points.workflow.consensus import begin_consensus

    names = _names(readers)
    if len(names) != 2:
        raise typer.BadParameter(f"{readers!r}; expected two names, A,B.", param_hint="--readers")
    with _open(study, store, files, reader) as opened:
        for case, found in begin_consensus(opened, names[0], names[1], tolerance_mm):
            waiting = sum(not difference.settled for difference in found)
            typer.echo(f"{case}: {len(found)} difference{'' if len(found) == 1 else 's'}, {waiting} to settle")


def _open(
    study: Path, store: str = "", files: Path | None = None, reader: str = "", *, blind: bool = False, reading: str = ""
) -> Study:
    """Open a study in the reading that was asked for."""
    from napari_lesion_points.core.records import CONSENSUS, SHARED
    from napari_lesion_points.store.study import Study

    if blind and reading:
        raise typer.BadParameter("--blind is your own reading; leave out --reading.", param_hint="--reading")
    opened = Study.open(study, store or None, reader, files=files, blind=blind)
    if not reading:
        return opened
    known = {*opened.readings(), CONSENSUS, SHARED}
    if reading not in known:
        opened.close()
        raise StudyError(f"nothing was read by {reading!r}. This study has readings of {', '.join(sorted(known))}.")
    return opened.of(reading)


def _names(text: str) -> list[str]:
    """Split "A,B" or "A B"; "@file" names a text file of names."""
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(f"{path}: cannot be read as a list of cases ({error}).") from error
    return [name for name in re.split(r"[,\s]+", text) if name]


def _known(name: str, known: Iterable[str]) -> str:
    names = list(known)
    for candidate in (name, f"sub-{name}"):
        if candidate in names:
            return candidate
    raise StudyError(f"case {name!r} is not in the study; it has {', '.join(names[:10])}.")


def _follow(events: Iterable[Event]) -> Finished:
    """Show events as they come; return the last."""
    show, finished = _ProgressLine(), Finished("failed", "the job ended without a word")
    for event in events:
        show(event)
        if isinstance(event, Finished):
            finished = event
    show.end()
    return finished


def _exit_unless_returned(finished: Finished) -> None:
    failed = finished.outcome == "failed"
    typer.echo(f"error: {finished.reason}" if failed else finished.reason, err=failed)
    if finished.outcome != "returned":
        raise typer.Exit(1 if finished.outcome == "failed" else STOPPED)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn Ctrl-C into an event that asks the job to stop."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class _ProgressLine:
    """Progress on standard error: one line rewritten on a terminal, a line now and then elsewhere."""

    _EVERY_S = 15.0

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._open = False
        self._last = (-self._EVERY_S, "")

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            left = f", {_duration(event.remaining_s)} left" if event.remaining_s == event.remaining_s else ""
            text = f"{event.phase} {100 * event.fraction:3.0f} %{left}  {event.message}"
            now = time.monotonic()
            if self._terminal:
                sys.stderr.write(f"\r\x1b[K{text}")
                sys.stderr.flush()
                self._open = True
            elif now - self._last[0] >= self._EVERY_S or event.phase != self._last[1]:
                typer.echo(text, err=True)
                self._last = (now, event.phase)
        elif isinstance(event, Started):
            self._say(f"{event.total} on {event.device}")
        elif isinstance(event, Validation):
            where = "training cases" if event.on_training_cases else "validation"
            dice = "" if event.dice is None else f"Dice {event.dice:.2f}, "
            self._say(
                f"{event.minutes:.1f} min: {dice}F1 {event.f1:.2f}, precision {event.precision:.2f}, "
                f"recall {event.recall:.2f}, ECE {event.ece:.2f} ({where}, threshold {event.threshold:.2f})"
            )
        elif isinstance(event, CasePredicted):
            self._say(f"{event.case}: {len(event.candidates)} candidates")

    def end(self) -> None:
        """Leave the line."""
        if self._open:
            sys.stderr.write("\r\x1b[K")
            self._open = False

    def _say(self, text: str) -> None:
        self.end()
        typer.echo(text, err=True)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"


if __name__ == "__main__":
    main()
