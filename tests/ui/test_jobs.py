"""Training and prediction from the panels, with an event generator in place of the child process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_lesion_points.core.events import (
    CasePredicted,
    Event,
    Finished,
    LossPoint,
    Progress,
    Started,
    Validation,
)
from napari_lesion_points.core.geometry import Volume
from napari_lesion_points.core.records import SHARED, CaseState, LesionPoint, Origin
from napari_lesion_points.store.volumes import write_volume
from napari_lesion_points.workflow.models import ModelCard, describe_model
from napari_lesion_points.workflow.specs import PredictSpec, TrainSpec

from .conftest import AFFINE


@pytest.fixture
def annotated(reading: Any) -> Any:
    """Two points in the first case, and the second done without lesions."""
    study = reading.controller.study
    from napari_lesion_points.core.records import Change

    study.apply(Change.adding(LesionPoint("sub-01", (1, 2, 3)), LesionPoint("sub-01", (4, 2, 3))))
    study.set_state("sub-02", CaseState.DONE)
    reading.controller.show_stored("")
    reading.until(lambda: reading.controller.state.cases[1].state is CaseState.DONE)  # from a worker
    return reading


def run_training(hand: Any, runner: Any) -> list[Any]:
    specs: list[Any] = []

    def noting(spec: Any, stop: threading.Event, _: Any) -> Iterator[Event]:
        specs.append(spec)
        yield from runner(spec, stop)

    hand.dock.jobs.runner = noting
    hand.show_tab("Train")
    hand.until(lambda: hand.dock.train.init.count() > 1)  # the models are there
    hand.dock.train.init.setCurrentIndex(0)  # from scratch
    hand.dock.train.start.click()
    return specs


def steps(spec: TrainSpec, stop: threading.Event) -> Iterator[Event]:
    yield Started("1 case", "CPU, 2 threads")
    for number in range(4):
        yield LossPoint(number / 10, number, 3.0 - number)
        yield Validation(number / 10, number, 0.2 * number, 0.5, 0.5, 0.3, 0.4)
        yield Progress("training", number / 4, 1.0, 50.0, f"step {number}")
    yield Finished("returned", "best F1 0.60 after 2 min", spec.out)


def test_training_uses_exactly_the_checked_cases_and_shows_its_course(annotated: Any) -> None:
    panel = annotated.dock.train
    annotated.show_tab("Train")
    assert [panel.table.item(r, 0).text() for r in range(panel.table.rowCount())] == ["sub-01", "sub-02"]
    assert panel.summary.text().startswith("2 cases, 2 points (1 without lesions). 1 in progress: ")
    specs = run_training(annotated, steps)
    annotated.until(lambda: annotated.controller.state.job.outcome != "")
    spec = specs[0]
    assert isinstance(spec, TrainSpec)
    assert {c.case: c.points_world for c in spec.cases} == {"sub-01": ((1, 2, 3), (4, 2, 3)), "sub-02": ()}
    assert (spec.minutes, spec.epochs, spec.sigma_mm, spec.device) == (2.0, None, 2.0, "auto")
    assert panel.outcome.text() == "Finished: best F1 0.60 after 2 min"
    assert "Training finished" in annotated.dock.message.label.text()
    assert [loss for _, loss in panel.curves.loss] == [3.0, 2.0, 1.0, 0.0]
    assert len(panel.curves.validation) == 4
    assert panel.start.isEnabled()


def test_each_training_has_a_folder_of_its_own_and_a_refused_one_leaves_none(annotated: Any) -> None:
    models = annotated.controller.study.models_dir
    (models / "model-001").mkdir(parents=True)  # of another window, which has just begun
    specs = run_training(annotated, steps)
    annotated.until(lambda: annotated.controller.state.job.outcome == "returned")
    assert Path(specs[0].out) == models / "model-002"
    annotated.dock.jobs.train(minutes=-1.0, epochs=None, sigma_mm=2.0, init="", device="auto")
    annotated.until(lambda: annotated.controller.state.job.outcome == "failed")
    assert "minutes is -1" in annotated.controller.state.notice.text
    assert sorted(path.name for path in models.iterdir()) == ["model-001", "model-002"]


def test_a_training_begins_with_the_starter_unless_told_otherwise(annotated: Any) -> None:
    panel = annotated.dock.train
    annotated.show_tab("Train")
    annotated.until(lambda: panel.init.count() > 1)
    assert panel.init.currentText().startswith("starter")
    assert (panel.start.text(), panel.sigma.value(), panel.sigma.isEnabled()) == ("Fine-tune", 1.5, False)
    panel.init.setFocus()
    annotated.qtbot.keyClick(panel.init, Qt.Key.Key_Home)
    assert panel.init.currentText() == "From scratch"
    assert (panel.start.text(), panel.sigma.value(), panel.sigma.isEnabled()) == ("Start training", 2.0, True)
    annotated.controller.update(models=())
    annotated.dock.jobs.list_models()
    annotated.until(lambda: panel.init.count() > 1)
    assert panel.init.currentText() == "From scratch"  # the choice stays


def test_models_are_listed_again_for_another_study_and_a_choice_ends_with_it(
    annotated: Any, dataset: Path, tmp_path: Path
) -> None:
    panel, starter = annotated.dock.train, describe_model(Path("starter"))
    annotated.show_tab("Train")
    annotated.until(lambda: panel.init.currentText().startswith("starter"))
    blind = annotated.dock.cases.blind
    blind.click()
    annotated.until(lambda: annotated.controller.state.reading == "maria" and annotated.controller.screen.case_ready)
    assert panel.init.currentText().startswith("starter")
    assert panel.start.text() == "Fine-tune"
    panel.init.setFocus()
    annotated.qtbot.keyClick(panel.init, Qt.Key.Key_Home)
    blind.click()
    annotated.until(lambda: annotated.controller.state.reading == SHARED and annotated.controller.screen.case_ready)
    assert panel.init.currentText() == "From scratch"  # the same study: the choice stays
    assert panel.start.text() == "Start training"
    annotated.show_tab("Predict")
    annotated.open(dataset, tmp_path / "elsewhere", "sub-01")
    annotated.until(lambda: not annotated.dock.jobs.listing)
    assert annotated.dock.predict.model.currentText().startswith("starter")
    annotated.show_tab("Train")
    assert panel.init.currentText().startswith("starter")
    assert panel.start.text() == "Fine-tune"

    older, newer = (replace(starter, path=tmp_path / name) for name in ("older", "newer"))
    annotated.controller.update(models=(newer, older, starter))
    annotated.qtbot.keyClick(panel.init, Qt.Key.Key_Down)
    assert panel.init.currentText().startswith("older")
    annotated.controller.update(models=(newer, starter))
    assert panel.init.currentText().startswith("newer")  # what was chosen is gone


def test_models_are_looked_for_beside_the_window_and_the_last_look_counts(
    annotated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, starter = annotated.dock.jobs, describe_model(Path("starter"))
    early, late = (replace(starter, path=Path(name)) for name in ("early", "late"))
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(_: Any) -> tuple[tuple[ModelCard, ...], str]:
        begun.set()
        go_on.wait(20)
        return (early,), ""

    monkeypatch.setattr("napari_lesion_points.ui.jobs._models_of", slow)
    jobs.list_models(lambda: order.append("first"))
    annotated.until(begun.is_set)
    monkeypatch.setattr("napari_lesion_points.ui.jobs._models_of", lambda _: ((late,), "damaged"))
    jobs.list_models(lambda: order.append("second"))
    annotated.until(lambda: not jobs.listing)
    assert order == ["first", "second"]
    go_on.set()
    annotated.qtbot.wait(200)
    state = annotated.controller.state
    assert (state.models, state.model, state.notice.text) == ((late,), "late", "damaged")


def test_what_was_to_follow_the_list_of_one_study_does_not_follow_that_of_another(
    annotated: Any, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, go_on = annotated.dock.jobs, threading.Event()
    order: list[str] = []
    monkeypatch.setattr("napari_lesion_points.ui.jobs._models_of", lambda _: go_on.wait(20) and ((), ""))
    jobs.list_models(lambda: order.append("one"))
    annotated.open(dataset, tmp_path / "elsewhere", "sub-01")
    jobs.list_models(lambda: order.append("other"))
    go_on.set()
    annotated.until(lambda: not jobs.listing)
    assert order == ["other"]


def test_an_unchecked_case_is_not_used(annotated: Any) -> None:
    annotated.show_tab("Train")
    annotated.dock.train.table.item(1, 0).setCheckState(Qt.CheckState.Unchecked)
    unfinished = "1 in progress: “Done” will say that the rest of it is healthy."
    assert annotated.dock.train.summary.text() == f"1 case, 2 points. {unfinished}"
    specs = run_training(annotated, steps)
    annotated.until(lambda: annotated.controller.state.job.outcome != "")
    assert [c.case for c in specs[0].cases] == ["sub-01"]


def test_cancel_is_a_stop_and_said_so(annotated: Any) -> None:
    def patient(_: Any, stop: threading.Event) -> Iterator[Event]:
        yield Started("1 case", "CPU")
        yield Progress("training", 0.3, 1.0, 100.0, "step 3")
        stop.wait(20)
        yield Finished("stopped", "Stopped on request; the best model so far is kept.")

    run_training(annotated, patient)
    annotated.until(lambda: annotated.controller.state.job.fraction > 0)
    assert "training: step 3 · about 2 min left" in annotated.dock.train.outcome.text()
    assert not annotated.dock.train.start.isEnabled()
    annotated.dock.train.cancel.click()
    assert "stopping" in annotated.dock.train.outcome.text()
    annotated.until(lambda: annotated.controller.state.job.outcome == "stopped")
    assert annotated.dock.train.outcome.text().startswith("Stopped: ")
    assert annotated.dock.train.start.isEnabled()


def test_a_failed_job_shows_its_reason(annotated: Any) -> None:
    def failing(_: Any, __: threading.Event) -> Iterator[Event]:
        yield Finished("failed", "The device ran out of memory. Choose the CPU.")

    run_training(annotated, failing)
    annotated.until(lambda: annotated.controller.state.job.outcome == "failed")
    assert "Choose the CPU" in annotated.dock.train.outcome.text()
    assert annotated.dock.message.label.text().startswith("Error: ")


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), None])
def test_a_job_that_breaks_or_just_ends_has_failed(annotated: Any, error: Exception | None) -> None:
    def broken(_: Any, __: threading.Event) -> Iterator[Event]:
        yield Progress("training", 0.1, 1.0, 1.0)
        if error:
            raise error

    run_training(annotated, broken)
    annotated.until(lambda: annotated.controller.state.job.outcome == "failed")
    assert ("CUDA" if error else "without saying how") in annotated.dock.train.outcome.text()


def test_editing_goes_on_while_a_job_runs_and_closing_stops_it(annotated: Any) -> None:
    stopped = threading.Event()

    def patient(_: Any, stop: threading.Event) -> Iterator[Event]:
        yield Started("1 case", "CPU")
        stop.wait(20)
        stopped.set()
        yield Finished("stopped", "")

    run_training(annotated, patient)
    annotated.until(lambda: "CPU" in annotated.controller.state.job.title)
    annotated.dock.show_tab("Annotate")
    annotated.click(tuple(annotated.controller.shown.grid.to_world([[7, 35, 12]])[0]))
    assert len(annotated.stored) == 3
    started = time.monotonic()
    annotated.dock.close_session()
    assert stopped.is_set()
    assert time.monotonic() - started < 5


def predicting(dataset_grid: Any) -> Any:
    def run(spec: PredictSpec, *_: Any) -> Iterator[Event]:
        yield Started("cases", "CPU")
        for case in spec.cases:
            heatmap = np.zeros(dataset_grid.shape, np.float32)
            heatmap[20, 20, 5] = 0.01
            path = Path(spec.heatmaps) / f"{case.case}_heatmap.nii.gz"
            write_volume(path, Volume(heatmap, dataset_grid), "lesion heatmap, mass per voxel, sigma_mm=2")
            x, y, z = dataset_grid.to_world([[20, 20, 5]])[0]
            found = LesionPoint(case.case, (x, y, z), existence=0.8, mass=0.8, entropy=0.7, origin=Origin.MODEL)
            yield CasePredicted(case.case, str(path), (found,), 2.0)
        yield Finished("returned", "Predicted.")

    return run


def test_a_prediction_is_stored_and_shown(annotated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_lesion_points.core.geometry import Grid

    grid = Grid((44, 50, 14), AFFINE)
    monkeypatch.setattr(
        "napari_lesion_points.workflow.planning.plan_prediction",
        lambda files, *, model, heatmaps, device, store: PredictSpec(
            str(model), tuple(type("C", (), {"case": f.case})() for f in files), str(heatmaps), device
        ),
    )
    annotated.dock.jobs.runner = predicting(grid)
    annotated.show_tab("Predict")
    annotated.controller.update(model="m")
    before = annotated.controller.study.annotations()
    annotated.dock.predict.all_cases.click()
    annotated.until(lambda: annotated.controller.state.job.outcome == "returned")
    annotated.until(lambda: annotated.controller.scene.heatmap is not None)
    assert [s.candidates for s in annotated.controller.study.summary()] == [1, 1, 1]
    assert annotated.controller.study.annotations() == before
    layer = annotated.controller.scene.heatmap
    s, p, left = annotated.controller.shown.to_layer(grid.to_world([[20, 20, 5]]))[0].round().astype(int)
    assert layer.data[s, p, left] == pytest.approx(0.01)
    assert annotated.dock.predict.count.text() == "1 of 1 shown"
    names = [one.name for one in annotated.viewer.layers]
    assert names == ["FLAIR", "T1w", "Heatmap", "Lesions", "Candidates"]


def test_after_a_training_the_open_case_shows_its_new_candidates(annotated: Any) -> None:
    from napari_lesion_points.core.geometry import Grid

    go_on = threading.Event()
    previews: list[PredictSpec] = []

    def training(spec: TrainSpec, stop: threading.Event, preview: Any) -> Iterator[Event]:
        yield Started("1 case", "CPU")
        previews.append(preview())
        go_on.wait(20)
        previews.append(preview())
        yield from (e for e in predicting(Grid((44, 50, 14), AFFINE))(previews[1]) if isinstance(e, CasePredicted))
        yield Finished("returned", "done", spec.out)

    annotated.dock.jobs.runner = training
    annotated.show_tab("Train")
    annotated.dock.train.start.click()
    annotated.until(lambda: bool(previews))
    annotated.controller.select_case("sub-03")
    annotated.until(lambda: annotated.controller.screen.case_ready)
    go_on.set()
    annotated.until(lambda: annotated.controller.state.job.outcome == "returned")
    annotated.until(lambda: annotated.controller.scene.heatmap is not None)
    assert [p.cases[0].case for p in previews] == ["sub-01", "sub-03"]  # the one that is open by then
    assert Path(previews[1].model).parent == annotated.controller.study.models_dir
    assert len(annotated.controller.scene.candidates.data) == 1
    assert [s.candidates for s in annotated.controller.study.summary()] == [0, 0, 1]
    assert [p.case for p in annotated.controller.state.queue] in ([], ["sub-03"])
    annotated.dock.show_tab("Review")
    assert [p.case for p in annotated.controller.state.queue] == ["sub-03"]


def test_before_there_is_a_model_of_ones_own_the_starter_is_chosen(annotated: Any) -> None:
    annotated.show_tab("Predict")
    assert annotated.dock.predict.model.currentText().startswith("starter")
    assert annotated.dock.predict.all_cases.isEnabled()
    assert "any of FLAIR" in annotated.dock.predict.details.text()
    assert "from simulated patients" in annotated.dock.predict.details.text()


def test_export_and_import_from_the_panel(annotated: Any, tmp_path: Path) -> None:
    panel = annotated.dock.exchange
    annotated.dock.show_tab("Export")
    panel.folder.setText(str(tmp_path / "out"))
    panel.formats["slicer"].setChecked(True)
    panel.export.click()
    annotated.until(lambda: annotated.controller.state.job.outcome == "returned")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"points.csv", "sub-01.mrk.json"}
    table = tmp_path / "more.csv"
    table.write_text("case,x_mm,y_mm,z_mm\nsub-01,0,0,0\nsub-03,5,5,5\n", encoding="utf-8")
    annotated.dock.jobs.import_points(table, "")
    annotated.until(lambda: annotated.controller.state.job.outcome == "returned")
    assert "2 new points" in panel.outcome.text()
    assert len(annotated.controller.editor.layer.data) == 3
    table.write_text("case,x_mm,y_mm,z_mm\nsub-01,900,0,0\n", encoding="utf-8")
    annotated.dock.jobs.import_points(table, "")
    annotated.until(lambda: annotated.controller.state.job.outcome == "failed")
    assert "outside" in annotated.dock.message.label.text()


def test_another_study_is_exported_to_a_folder_of_its_own(annotated: Any, dataset: Path, tmp_path: Path) -> None:
    panel = annotated.dock.exchange
    annotated.dock.show_tab("Export")
    assert Path(panel.folder.text()) == annotated.controller.study.store / "export"
    panel.folder.setText(str(tmp_path / "out"))
    annotated.controller.refresh()
    assert panel.folder.text() == str(tmp_path / "out")
    annotated.open(dataset, tmp_path / "elsewhere", "sub-01")
    assert Path(panel.folder.text()) == tmp_path / "elsewhere" / "export"


def test_the_report_of_the_cases_that_are_done_is_written_and_opened(
    annotated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_lesion_points.ui import exchange_panel

    opened: list[str] = []
    monkeypatch.setattr(exchange_panel.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    panel, study = annotated.dock.exchange, annotated.controller.study
    annotated.dock.show_tab("Export")
    panel.report.click()
    annotated.until(lambda: annotated.controller.state.job.outcome == "failed")
    assert "there is no case to report on" in panel.outcome.text()
    study.add_candidates("sub-01", [LesionPoint("sub-01", (1, 2, 3), existence=0.9, origin=Origin.MODEL)], "m", 2.0)
    study.set_state("sub-01", CaseState.DONE)
    panel.report.click()
    annotated.until(lambda: annotated.controller.state.job.outcome == "returned")
    path = study.store / "report.html"
    assert path.is_file()
    assert str(path) in panel.outcome.text()
    assert opened == [str(path)]


def test_a_job_can_follow_at_once(annotated: Any) -> None:
    """The end of a job's thread comes after its last event, and must not be taken for the end of the next job."""
    outcomes: list[str] = []

    def quick(*_: Any) -> Iterator[Event]:
        yield Finished("returned", f"number {len(outcomes)}")
        time.sleep(0.2)

    annotated.dock.jobs.runner = quick
    annotated.show_tab("Train")

    def again(screen: Any) -> None:
        if screen.state.job.outcome and len(outcomes) < 3:
            outcomes.append(screen.state.job.reason)
            annotated.dock.train.start.click()

    annotated.controller.changed.connect(again)
    annotated.dock.train.start.click()
    annotated.until(lambda: len(outcomes) == 3)
    annotated.qtbot.wait(600)
    assert outcomes == ["number 0", "number 1", "number 2"]
    assert annotated.controller.state.job.reason == "number 3"


@pytest.mark.parametrize("way", ["viewer", "dock"])
def test_closing_viewer_or_dock_stops_the_job(annotated: Any, way: str) -> None:
    stopped = threading.Event()

    def patient(_: Any, stop: threading.Event) -> Iterator[Event]:
        yield Started("1 case", "CPU")
        stop.wait(20)
        stopped.set()
        yield Finished("stopped", "")

    run_training(annotated, patient)
    annotated.until(lambda: "CPU" in annotated.controller.state.job.title)  # it has started
    controller = annotated.controller
    if way == "viewer":
        annotated.viewer.close()
    else:
        annotated.viewer.window.remove_dock_widget(annotated.dock)
    annotated.until(lambda: controller.closed)
    assert stopped.is_set()


def test_a_job_of_another_study_only_ends_and_that_is_said(reading: Any, dataset: Path, tmp_path: Path) -> None:
    go_on = threading.Event()

    def slow(spec: Any, _: threading.Event) -> Iterator[Event]:
        yield Started("1 case", "CPU")
        go_on.wait(20)
        yield CasePredicted("sub-01", str(tmp_path / "none.nii.gz"), (), 2.0)
        yield Finished("returned", "1 case")

    reading.dock.jobs._start("predict", "Predicting", lambda stop: slow(None, stop))
    reading.open(dataset, tmp_path / "elsewhere", "sub-01")
    reading.controller.say("Here.")
    go_on.set()
    reading.until(lambda: reading.controller.state.job.outcome == "returned")
    assert reading.controller.state.notice.text == "In study: Prediction finished: 1 case"
