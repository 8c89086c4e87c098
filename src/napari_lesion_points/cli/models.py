"""Commands of a model: train it, find lesions with it, and measure how well it does."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_lesion_points.cli.opening import known_case, open_reading, split_names
from napari_lesion_points.cli.options import (
    CasesOption,
    DeviceOption,
    FilesOption,
    ReadingOption,
    StoreOption,
    StudyArgument,
    ToleranceOption,
)
from napari_lesion_points.cli.progress import exit_unless_returned, follow, interruptible
from napari_lesion_points.core.events import CasePredicted, Event
from napari_lesion_points.errors import StudyError

if TYPE_CHECKING:
    from napari_lesion_points.store.study import Study


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
    from napari_lesion_points.workflow.planning import plan_training, resume_training

    if resume:
        spec = resume_training(out)
    else:
        with open_reading(study, store, files, reading=reading) as opened:
            spec = plan_training(
                opened,
                out=out.resolve(),
                cases=split_names(cases),
                validation=split_names(validation),
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
    with interruptible() as stop:
        exit_unless_returned(follow(run(spec, stop)))


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
    from napari_lesion_points.workflow.planning import plan_prediction
    from napari_lesion_points.workflow.segmentation import write_volumes

    opened: Study | None = None
    try:
        opened = open_reading(study, store, files)
    except StudyError as error:
        if store:
            raise
        typer.echo(f"note: candidates are written to {out} only, not to the study ({error})", err=True)
    try:
        known = {f.case: f for f in (opened.files if opened else find_cases(study))}
        wanted = [known_case(name, known) for name in split_names(cases)] or list(known)
        spec = plan_prediction(
            [known[name] for name in wanted],
            model=model,
            heatmaps=out.resolve(),
            device=device,
            min_existence=min_existence,
            store=opened.store if opened else None,
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

        with interruptible() as stop:
            events = run(spec, stop)
            finished = follow(collect(storing(opened, events, spec.model) if opened else events))
        write_points(out / "candidates.csv", found)
        typer.echo(f"{len(found)} candidates in {out / 'candidates.csv'}")
        if drawn:
            write_volumes(out / "volumes.csv", drawn)
            typer.echo(f"volumes of lesions in {out / 'volumes.csv'}")
        exit_unless_returned(finished)
    finally:
        if opened:
            opened.close()


def share(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
) -> None:
    """Copy a model without names of cases and folders, to give it away."""
    from napari_lesion_points.workflow.sharing import share_model

    copied = share_model(model, out)
    typer.echo(f"{copied.path}: weights and figures; its {len(copied.training_cases)} training cases are numbered")


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


def evaluate(
    candidates: Annotated[Path, typer.Option(metavar="CSV", help="Candidates with existence.")],
    truth: Annotated[Path, typer.Option(metavar="CSV", help="True lesions.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and report.html.")],
    tolerance_mm: ToleranceOption = 6.0,
    threshold: Annotated[
        float | None, typer.Option(help="Of existence; by default the best one, reported as such.")
    ] = None,
    cases: CasesOption = "",
) -> None:
    """Compare candidates with true lesions: figures in metrics.json, and a report to read and to print."""
    from napari_lesion_points.workflow.evaluation import evaluate_cases, read_comparison, write_evaluation
    from napari_lesion_points.workflow.report import FILE, report_of_tables, write_report

    names = split_names(cases) or None
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
