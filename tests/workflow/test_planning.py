"""What a study becomes as a job: what it learns from, what is kept aside, and what cannot be trained is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Origin, Verdict, patient_of
from napari_lesion_points.errors import CheckpointError, StudyError, TrainingError
from napari_lesion_points.store.cases import CaseFiles
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow.lineage import learned_cases, trained_cases
from napari_lesion_points.workflow.models import STARTER, describe_model
from napari_lesion_points.workflow.planning import plan_prediction, plan_training, resume_training
from napari_lesion_points.workflow.review import verdict_change
from napari_lesion_points.workflow.specs import (
    DEFAULT_MINUTES,
    DEFAULT_SIGMA_MM,
    PredictSpec,
    SpecCase,
    TrainSpec,
    from_json,
    to_json,
)

WriteModel = Callable[..., Path]


@pytest.fixture
def study(blob_study: Path) -> Any:
    """sub-01 to sub-03 with a point each, sub-04 without any."""
    with Study.open(blob_study, reader="ada") as opened:
        for k, case in enumerate(opened.case_names[:3]):
            opened.apply(Change.adding(LesionPoint(case, (k, 2, 3))))
        yield opened


def test_a_plan_is_a_snapshot_of_the_points(study: Study, tmp_path: Path) -> None:
    spec = plan_training(study, out=tmp_path / "model", seed=5)
    study.apply(Change.adding(LesionPoint("sub-01", (9, 9, 9))))
    assert [(c.case, c.points_world, c.validation) for c in spec.cases] == [
        ("sub-01", ((0, 2, 3),), False),
        ("sub-02", ((1, 2, 3),), False),
        ("sub-03", ((2, 2, 3),), False),
    ]
    assert spec.sequences == ("FLAIR", "T1w")
    assert (spec.minutes, spec.epochs, spec.sigma_mm, spec.seed) == (DEFAULT_MINUTES, None, DEFAULT_SIGMA_MM, 5)
    assert spec.summary == "3 cases, 3 points"
    assert all(Path(path).is_file() for c in spec.cases for path in c.sequences.values())


def test_candidates_without_a_verdict_are_unknown_until_the_case_is_done(study: Study, tmp_path: Path) -> None:
    proposed = [LesionPoint("sub-01", (x, 2, 3), existence=0.6, entropy=0.9, origin=Origin.MODEL) for x in (1, 20, 40)]
    study.add_candidates("sub-01", proposed, "model", 2.0)
    study.apply(verdict_change(study, study.candidates("sub-01")[1], Verdict.REJECTED))

    spec = from_json(to_json(plan_training(study, out=tmp_path / "model")))
    assert [(c.judged_world, c.unfinished) for c in spec.cases] == [(((20, 2, 3),), True), ((), True), ((), True)]

    def unknown() -> dict[str, Any]:
        spec = from_json(to_json(plan_training(study, out=tmp_path / "model")))
        return {c.case: c.unknown_world for c in spec.cases}  # type: ignore[union-attr]

    # the first is 1 mm from an annotation
    assert unknown() == {"sub-01": ((40, 2, 3),), "sub-02": (), "sub-03": ()}
    study.set_state("sub-01", CaseState.DONE)
    assert unknown()["sub-01"] == ()
    finished = plan_training(study, out=tmp_path / "model").cases[0]
    assert (finished.judged_world, finished.unfinished) == ((), False)
    study.apply(verdict_change(study, study.candidates("sub-01")[2], Verdict.UNSURE))
    assert unknown()["sub-01"] == ((40, 2, 3),)  # the reader has said that nobody knows, also of a case that is done


def test_cases_are_chosen_by_name_and_done_without_lesions_counts(study: Study, tmp_path: Path) -> None:
    study.set_state("sub-04", CaseState.DONE)
    spec = plan_training(study, out=tmp_path, cases=["04", "sub-01", "01"], validation=["03", "03"], epochs=2)
    assert [(c.case, len(c.points_world), c.validation) for c in spec.cases] == [
        ("sub-04", 0, False),
        ("sub-01", 1, False),
        ("sub-03", 1, True),
    ]
    assert (spec.minutes, spec.epochs) == (None, 2)
    rest = plan_training(study, out=tmp_path, validation=["sub-02"])
    assert [c.case for c in rest.cases if not c.validation] == ["sub-01", "sub-03", "sub-04"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"minutes": 0}, TrainingError, "minutes is 0"),
        ({"minutes": math.nan}, TrainingError, "minutes is nan"),
        ({"epochs": -1}, TrainingError, "epochs is -1"),
        ({"sigma_mm": 0.0}, TrainingError, "sigma_mm is 0"),
        ({"decay": -1.0}, TrainingError, "decay is -1"),
        ({"tolerance_mm": math.nan}, TrainingError, "tolerance_mm is nan"),
        ({"seed": -1}, TrainingError, "seed is -1"),
        ({"minutes": 1, "epochs": 1}, TrainingError, "not both"),
        ({"cases": ["sub-09"]}, StudyError, "sub-09"),
        ({"cases": ["sub-04"]}, StudyError, "sub-04: no points yet"),
        ({"validation": ["sub-04"]}, StudyError, "sub-04: no points yet"),
        ({"cases": ["sub-01"], "validation": ["01"]}, TrainingError, "sub-01 cannot be"),
        ({"cases": (), "validation": ["01", "02", "03"]}, TrainingError, "no case has points"),
        ({"init": Path("nowhere")}, CheckpointError, "nowhere"),
        ({"recipe": "grandmother"}, TrainingError, "'grandmother'; choose one of: fast, paper"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    study: Study, tmp_path: Path, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        plan_training(study, out=tmp_path, **arguments)


def test_a_study_without_points_has_nothing_to_learn(blob_study: Path, tmp_path: Path) -> None:
    with Study.open(blob_study) as empty, pytest.raises(TrainingError, match="no case has points"):
        plan_training(empty, out=tmp_path)


def test_cases_that_share_no_sequence_cannot_be_trained_together(study: Study, tmp_path: Path) -> None:
    flair = study.root / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz"
    t1 = study.root / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    flair.unlink()
    with Study.open(study.root) as opened:
        assert plan_training(opened, out=tmp_path).sequences == ("T1w",)
    t1.unlink()
    with Study.open(study.root) as opened, pytest.raises(TrainingError, match="no sequence in common"):
        plan_training(opened, out=tmp_path)


def test_fine_tuning_keeps_what_the_model_is(study: Study, tmp_path: Path, write_model: WriteModel) -> None:
    model = write_model(tmp_path / "model", sequences=["T1w"])
    spec = plan_training(study, out=tmp_path / "new", init=model, sigma_mm=2.5)
    assert (spec.init, spec.sequences, spec.sigma_mm, spec.spacing_mm) == (str(model), ("T1w",), 2.5, (2.0, 2.0, 2.0))
    with pytest.raises(TrainingError, match=r"trained with 2\.5"):
        plan_training(study, out=tmp_path / "new", init=model, sigma_mm=2.0)
    write_model(tmp_path / "model", sequences=["FLAIR", "T2w"])
    with pytest.raises(CheckpointError, match="sub-01 has no T2w"):
        plan_training(study, out=tmp_path / "new", init=model)


def test_the_model_to_start_from_is_found_from_any_folder(
    study: Study, tmp_path: Path, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    for named in ("model", "model/model.safetensors", model):
        assert plan_training(study, out=tmp_path / "new", init=Path(named)).init == str(model)
    assert plan_training(study, out=tmp_path / "new", init=Path(STARTER)).init == STARTER
    write_model(tmp_path / STARTER)  # a folder here, of the same name
    assert plan_training(study, out=tmp_path / "new", init=Path(STARTER)).init == str(tmp_path / STARTER)
    assert plan_training(study, out=tmp_path / "new").init == ""


def test_fine_tuning_replays_what_the_model_knows(study: Study, tmp_path: Path, write_model: WriteModel) -> None:
    def split(**arguments: Any) -> tuple[list[str], list[str]]:
        cases = plan_training(study, out=tmp_path / "new", init=model, **arguments).cases
        return [c.case for c in cases if not c.validation], [c.case for c in cases if c.validation]

    study.set_state("sub-03", CaseState.DONE)
    # sub-04 has no points any more, sub-77 is of another study
    model = write_model(tmp_path / "model", training_cases=["sub-01", "sub-04", "sub-77"], validation_cases=["sub-03"])
    assert split(cases=["02"]) == (["sub-02", "sub-01"], ["sub-03"])
    assert split() == (["sub-01", "sub-02"], ["sub-03"])
    assert split(cases=["03"]) == (["sub-03", "sub-01"], [])  # asked for by name
    assert split(cases=["03"], validation=["02"]) == (["sub-03", "sub-01"], ["sub-02"])


def test_fine_tuning_takes_no_case_of_another_study_for_one_of_its_own(
    study: Study, tmp_path: Path, write_model: WriteModel
) -> None:
    model = write_model(tmp_path / "model", training_cases=["sub-01", "sub-02"])
    theirs = tmp_path / "theirs.nii.gz"
    theirs.touch()
    own = {k: str(v) for k, v in study.files_of("02").sequences.items()}
    cases = (SpecCase("sub-01", {"FLAIR": str(theirs)}), SpecCase("sub-02", own))
    (model / "job.json").write_text(to_json(TrainSpec(str(model), cases, ("FLAIR",))), encoding="utf-8")
    spec = plan_training(study, out=tmp_path / "new", init=model, cases=["03"])
    assert [c.case for c in spec.cases] == ["sub-03", "sub-02"]
    child = write_model(tmp_path / "child", training_cases=["sub-03"], init=str(model))
    assert learned_cases(study, describe_model(child)) == {"sub-02", "sub-03"}
    write_model(tmp_path / "child", training_cases=["sub-03"], init=str(tmp_path / "gone"))
    assert learned_cases(study, describe_model(child)) == {"sub-03"}


def test_the_model_to_start_from_is_not_trained_over(study: Study, tmp_path: Path, write_model: WriteModel) -> None:
    model = write_model(tmp_path / "model")
    with pytest.raises(TrainingError, match="the model to start from; name another folder"):
        plan_training(study, out=tmp_path / "x" / ".." / "model", init=model)


def test_no_case_that_a_grandparent_learned_from_is_set_aside(
    study: Study, tmp_path: Path, write_model: WriteModel
) -> None:
    first = write_model(tmp_path / "first", training_cases=["sub-01"], validation_cases=["sub-02"])
    second = write_model(tmp_path / "second", training_cases=["sub-03"], init=str(first))
    assert trained_cases(study, describe_model(second)) == {"sub-01", "sub-03"}
    assert learned_cases(study, describe_model(second)) == {"sub-01", "sub-02", "sub-03"}
    for known in ("sub-01", "sub-03"):
        with pytest.raises(TrainingError, match=f"{known}: the model to start from has learned from it"):
            plan_training(study, out=tmp_path / "new", init=second, cases=["sub-02"], validation=[known])


def test_masks_are_new_to_an_encoder_that_has_seen_the_points(
    study: Study, tmp_path: Path, write_model: WriteModel
) -> None:
    def validated(init: Path) -> set[str]:
        plan = plan_training(
            study, out=tmp_path / "new", label="segmentation", masks=masks, init=init, cases=["01"], validation=["02"]
        )
        return {c.case for c in plan.cases if c.validation}

    masks = {case: tmp_path / f"{case}.nii.gz" for case in study.case_names}
    points = write_model(tmp_path / "points", training_cases=["sub-01", "sub-02"])
    assert validated(points) == {"sub-02"}
    drawn = write_model(tmp_path / "drawn", training_cases=["sub-01"], label="segmentation", init=str(points))
    assert validated(drawn) == {"sub-02"}
    drawn = write_model(tmp_path / "more", training_cases=["sub-02"], label="segmentation", init=str(points))
    with pytest.raises(TrainingError, match="sub-02: the model to start from has learned from it"):
        validated(drawn)


def test_what_a_model_was_validated_on_stays_aside(study: Study, tmp_path: Path, write_model: WriteModel) -> None:
    def split(*among: str) -> tuple[list[str], list[str]]:
        cases = plan_training(study, out=tmp_path / "new", init=model, among=among).cases
        return [c.case for c in cases if not c.validation], [c.case for c in cases if c.validation]

    model = write_model(tmp_path / "model", training_cases=["sub-01"], validation_cases=["sub-03"])
    assert split("sub-01", "sub-02", "sub-03") == (["sub-01", "sub-02"], [])  # nobody has said that all is there
    study.set_state("sub-03", CaseState.DONE)
    assert split("sub-01", "sub-02", "sub-03") == split() == (["sub-01", "sub-02"], ["sub-03"])
    assert split("sub-02") == (["sub-02"], [])  # neither replayed nor validated on what is not among them
    assert split("sub-03") == (["sub-03"], [])


def test_a_model_keeps_its_recipe(study: Study, tmp_path: Path, write_model: WriteModel) -> None:
    assert plan_training(study, out=tmp_path / "new").recipe == "fast"
    assert plan_training(study, out=tmp_path / "new", recipe="paper").recipe == "paper"
    model = write_model(tmp_path / "model", recipe="paper")
    assert plan_training(study, out=tmp_path / "new", init=model).recipe == "paper"
    with pytest.raises(TrainingError, match="trained by the recipe paper"):
        plan_training(study, out=tmp_path / "new", init=model, recipe="fast")


def test_from_five_cases_on_a_fifth_is_held_out(tmp_path: Path, write_model: WriteModel) -> None:
    root = tmp_path / "many"
    for k in range(23):
        (root / f"sub-{k:02}" / "anat").mkdir(parents=True)
        (root / f"sub-{k:02}" / "anat" / f"sub-{k:02}_FLAIR.nii.gz").touch()
    with Study.open(root) as many:
        for case in many.case_names[:20]:
            for k in range(int(case[-2:]) % 5):
                many.apply(Change.adding(LesionPoint(case, (k, 0, 0))))
            many.set_state(case, CaseState.DONE)
        spec = plan_training(many, out=tmp_path / "m", seed=1)
        aside = [c for c in spec.cases if c.validation]
        assert (len(spec.cases), len(aside)) == (20, 4)
        assert len({c.case for c in spec.cases}) == 20
        # with lesions as often as the rest: neither the richest nor the poorest only
        assert 1 <= sum(len(c.points_world) for c in aside) / len(aside) <= 3
        assert spec == plan_training(many, out=tmp_path / "m", seed=1)
        others = {
            tuple(c.case for c in plan_training(many, out=tmp_path, seed=s).cases if c.validation) for s in range(5)
        }
        assert len(others) > 1
        few = plan_training(many, out=tmp_path, cases=["01", "02", "03", "04"])
        assert not [c for c in few.cases if c.validation]
        five = plan_training(many, out=tmp_path, cases=["01", "02", "03", "04", "05"])
        assert len([c for c in five.cases if c.validation]) == 1
        # the one case that is new is learned from, and of two one
        four = write_model(tmp_path / "four", sequences=["FLAIR"], training_cases=many.case_names[1:5])
        for new, held_out in ((["05"], 0), (["05", "06"], 1)):
            spec = plan_training(many, out=tmp_path, cases=new, init=four)
            assert len([c for c in spec.cases if c.validation]) == held_out
        # a fifth of all is held out, also when the study grows
        grown = write_model(
            tmp_path / "grown", sequences=["FLAIR"],
            training_cases=many.case_names[1:5], validation_cases=many.case_names[:1],
        )  # fmt: skip
        spec = plan_training(many, out=tmp_path, init=grown)
        aside = [c.case for c in spec.cases if c.validation]
        assert (len(spec.cases), len(aside), aside[0]) == (20, 4, "sub-00")
        assert not set(aside) & set(many.case_names[1:5])
        # nobody has said that the lesions of these are all there
        for case in many.case_names[1:5]:
            many.set_state(case, CaseState.IN_PROGRESS)
        begun = plan_training(many, out=tmp_path, cases=["01", "02", "03", "04", "05", "06"])
        assert {c.case for c in begun.cases if c.validation} < {"sub-05", "sub-06"}


@pytest.fixture
def visits(tmp_path: Path) -> Iterator[Study]:
    """Eight patients with two sessions each, all done."""
    for k in range(16):
        case, visit = f"sub-{k // 2 + 1:02}", f"ses-{k % 2 + 1}"
        folder = tmp_path / "visits" / case / visit / "anat"
        folder.mkdir(parents=True)
        (folder / f"{case}_{visit}_FLAIR.nii.gz").touch()
    with Study.open(tmp_path / "visits") as opened:
        for case in opened.case_names:
            opened.apply(Change.adding(LesionPoint(case, (1, 2, 3))))
            opened.set_state(case, CaseState.DONE)
        yield opened


def test_sessions_of_a_patient_are_on_one_side(visits: Study, tmp_path: Path, write_model: WriteModel) -> None:
    def split(**arguments: Any) -> tuple[set[str], set[str]]:
        cases = plan_training(visits, out=tmp_path / "m", **arguments).cases
        return {c.case for c in cases if not c.validation}, {c.case for c in cases if c.validation}

    for seed in range(10):
        training, aside = split(seed=seed)
        assert len(training | aside) == 16
        assert len(aside) == 4
        assert not {patient_of(c) for c in training} & {patient_of(c) for c in aside}
    first, second = "sub-01_ses-1", "sub-01_ses-2"
    training, aside = split(validation=[first])
    assert aside == {first}
    assert len(training) == 14
    with pytest.raises(TrainingError, match="sub-01 cannot be for training and for validation"):
        split(cases=[second, "sub-02_ses-1"], validation=[first])
    visits.set_state(second, CaseState.IN_PROGRESS)  # its patient cannot be set aside whole
    assert all(first not in split(seed=seed)[1] for seed in range(10))
    visits.set_state(second, CaseState.DONE)
    model = write_model(
        tmp_path / "old", sequences=["FLAIR"], training_cases=[first], validation_cases=["sub-02_ses-1"]
    )
    assert trained_cases(visits, describe_model(model)) == {first, second}
    assert learned_cases(visits, describe_model(model)) == {first, second, "sub-02_ses-1", "sub-02_ses-2"}
    for seed in range(5):
        training, aside = split(init=model, seed=seed)
        assert {"sub-02_ses-1", "sub-02_ses-2"} <= aside
        assert {first, second} <= training
    with pytest.raises(TrainingError, match=f"{second}: the model to start from has learned from it"):
        split(init=model, cases=["sub-03_ses-1"], validation=[second])


def test_a_prediction_needs_the_models_sequences(tmp_path: Path, write_model: WriteModel) -> None:
    model = write_model(tmp_path / "model")
    files = CaseFiles("sub-01", {"FLAIR": Path("a"), "T1w": Path("b"), "T2w": Path("c")})
    spec = plan_prediction([files], model=model, heatmaps=tmp_path / "out", device="cpu")
    assert spec == PredictSpec(
        str(model), (SpecCase("sub-01", {"FLAIR": "a", "T1w": "b", "T2w": "c"}),), str(tmp_path / "out"), "cpu"
    )
    with pytest.raises(CheckpointError, match="sub-02 has no T1w"):
        plan_prediction([CaseFiles("sub-02", {"FLAIR": Path("a")})], model=model, heatmaps=tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", '{"job": "TrainSpec", "cases": []}', to_json(PredictSpec("m", (), "h"))]
)
def test_only_an_interrupted_training_can_go_on(tmp_path: Path, text: str) -> None:
    with pytest.raises(TrainingError, match="no interrupted training"):
        resume_training(tmp_path)
    (tmp_path / "resume.safetensors").touch()
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(TrainingError, match=r"job\.json"):
        resume_training(tmp_path)
    cases = (SpecCase("sub-01", {"FLAIR": "a.nii.gz"}, ((1.5, -2.25, 1e-7),)),)
    spec = TrainSpec("elsewhere", cases, ("FLAIR",))
    (tmp_path / "job.json").write_text(to_json(spec))
    resumed = resume_training(tmp_path)
    assert (resumed.resume, resumed.out, resumed.cases) == (True, str(tmp_path), cases)
