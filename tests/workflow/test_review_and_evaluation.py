"""Reviewing candidates, comparing them with the truth, and fitting heatmap files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_lesion_points.core.geometry import Grid, Volume
from napari_lesion_points.core.heatmap import draw_gaussians, sigma_in_voxels
from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Order, Origin, Verdict
from napari_lesion_points.errors import PointsFileError, VolumeError
from napari_lesion_points.store.points_file import write_points
from napari_lesion_points.store.study import Study
from napari_lesion_points.store.volumes import write_volume
from napari_lesion_points.workflow.evaluation import evaluate, write_evaluation
from napari_lesion_points.workflow.heatmaps import describe_heatmap, detect
from napari_lesion_points.workflow.prediction import _on_grid
from napari_lesion_points.workflow.review import review_queue, verdict_change


def candidate(case: str, x: float, existence: float) -> LesionPoint:
    entropy = float(binary_entropy(existence))
    return LesionPoint(case, (x, 0, 0), f"{case}-{x}", existence, existence, entropy, Origin.MODEL)


@pytest.fixture
def study(blob_study: Path) -> Iterator[Study]:
    with Study.open(blob_study, reader="ada") as opened:
        opened.add_candidates(
            "sub-01", [candidate("sub-01", x, p) for x, p in ((0, 0.9), (5, 0.45), (9, 0.05))], "m", 2
        )
        opened.add_candidates("sub-02", [candidate("sub-02", x, p) for x, p in ((1, 0.55), (6, 0.2))], "m", 2)
        yield opened


def test_the_most_uncertain_comes_first_and_the_judged_not_at_all(study: Study) -> None:
    ids = [c.id for c in review_queue(study)]
    assert ids == ["sub-01-5", "sub-02-1", "sub-02-6", "sub-01-0"]  # the first two are equally uncertain
    assert [c.id for c in review_queue(study, ["sub-02"])] == ["sub-02-1", "sub-02-6"]
    assert len(review_queue(study, min_existence=0)) == 5
    probable = [c.existence for c in review_queue(study, order=Order.PROBABLE)]
    assert probable == sorted(probable, reverse=True)
    by_case = review_queue(study, order=Order.CASE)
    assert [c.case for c in by_case] == sorted(c.case for c in by_case)
    assert [c.id for c in by_case if c.case == "sub-02"] == [i for i in ids if i.startswith("sub-02")]
    assert [c.existence for c in review_queue(study, min_existence=0.5)] == [0.55, 0.9]
    study.apply(verdict_change(study, review_queue(study)[0], Verdict.REJECTED))
    assert [c.id for c in review_queue(study)] == ids[1:]


@pytest.mark.parametrize(
    ("verdict", "world"), [(Verdict.ACCEPTED, None), (Verdict.MOVED, (1.0, 2.0, 3.0)), (Verdict.REJECTED, None)]
)
def test_a_verdict_given_twice_is_one_and_can_be_undone(
    study: Study, verdict: Verdict, world: tuple[float, float, float] | None
) -> None:
    before = study.candidates("sub-01")
    first = verdict_change(study, before[0], verdict, world)
    study.apply(first)
    once = (study.candidates("sub-01"), study.annotations("sub-01"))
    study.apply(verdict_change(study, once[0][0], verdict, world))
    assert (study.candidates("sub-01"), study.annotations("sub-01")) == once
    assert (once[0][0].verdict, once[0][0].reader) == (verdict, "ada")
    assert [a.world for a in once[1]] == ([] if verdict is Verdict.REJECTED else [world or before[0].world])
    assert all((a.origin, a.id, a.existence) == (Origin.MODEL, before[0].id, 0.9) for a in once[1])
    assert study.state("sub-01") is CaseState.IN_PROGRESS
    study.apply(study.history("sub-01")[1].change.inverse())
    study.apply(first.inverse())
    assert study.candidates("sub-01") == before
    assert study.annotations("sub-01") == ()


def test_what_lies_on_an_annotation_is_not_asked_about_and_not_annotated_twice(study: Study) -> None:
    by_hand = LesionPoint("sub-01", (1.0, 2.0, 0.0), "by hand")  # 2.2 mm from the candidate at 0, 4.5 mm from that at 5
    study.apply(Change.adding(by_hand))
    assert [c.id for c in review_queue(study)] == ["sub-01-5", "sub-02-1", "sub-02-6"]
    on_it, beside, _ = study.candidates("sub-01")
    change = verdict_change(study, on_it, Verdict.ACCEPTED)
    study.apply(change)
    assert [a.id for a in study.annotations("sub-01")] == ["by hand"]
    assert study.candidates("sub-01")[0].verdict is Verdict.ACCEPTED
    study.apply(verdict_change(study, beside, Verdict.ACCEPTED))
    assert [a.id for a in study.annotations("sub-01")] == ["by hand", "sub-01-5"]
    accepted = study.candidates("sub-01")[1]
    study.apply(verdict_change(study, accepted, Verdict.MOVED, (1.0, 2.0, 1.0)))  # it is that lesion after all
    assert [a.id for a in study.annotations("sub-01")] == ["by hand"]
    study.apply(verdict_change(study, study.candidates("sub-01")[0], Verdict.REJECTED))
    assert [a.id for a in study.annotations("sub-01")] == ["by hand"]


def test_one_annotation_accounts_for_one_candidate(study: Study) -> None:
    study.add_candidates("sub-03", [candidate("sub-03", x, 0.5) for x in (-2.0, 2.0)], "m", 2)
    study.apply(Change.adding(LesionPoint("sub-03", (0.5, 0.0, 0.0), "by hand")))
    assert [c.id for c in review_queue(study, ["sub-03"])] == ["sub-03--2.0"]


def test_a_changed_mind_leaves_one_annotation_or_none(study: Study) -> None:
    def judge(verdict: Verdict, world: tuple[float, float, float] | None = None) -> list[tuple[float, float, float]]:
        study.apply(verdict_change(study, study.candidates("sub-01")[0], verdict, world))
        return [a.world for a in study.annotations("sub-01")]

    assert judge(Verdict.ACCEPTED) == [(0, 0, 0)]
    assert judge(Verdict.MOVED, (1, 1, 1)) == [(1, 1, 1)]
    assert judge(Verdict.MOVED, (2, 2, 2)) == [(2, 2, 2)]
    assert judge(Verdict.REJECTED) == []
    assert judge(Verdict.ACCEPTED) == [(0, 0, 0)]
    assert judge(Verdict.NONE) == []
    assert study.candidates("sub-01")[0].reader == ""
    for edit in reversed(study.history("sub-01")):
        study.apply(edit.change.inverse())
    assert study.annotations("sub-01") == ()


@pytest.mark.parametrize(("verdict", "world"), [(Verdict.MOVED, None), (Verdict.ACCEPTED, (0.0, 0.0, 0.0))])
def test_a_place_belongs_to_a_moved_candidate_only(
    study: Study, verdict: Verdict, world: tuple[float, float, float] | None
) -> None:
    with pytest.raises(ValueError, match="moved candidate"):
        verdict_change(study, study.candidates()[0], verdict, world)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Case a: one found at 2 mm, one missed, one false; b: found at 5 mm; c: a lesion without candidates."""
    candidates, truth = tmp_path / "candidates.csv", tmp_path / "truth.csv"
    found = [candidate("a", 0, 0.9), candidate("a", 50, 0.3), candidate("b", 0, 0.6)]
    write_points(candidates, found)
    lesions = [("a", (2, 0, 0)), ("a", (90, 0, 0)), ("b", (5, 0, 0)), ("c", (0, 0, 0))]
    write_points(truth, [LesionPoint(case, world) for case, world in lesions])
    return candidates, truth


@pytest.mark.parametrize(
    ("tolerance_mm", "threshold", "counts"),
    [(6, 0.1, (2, 1, 2)), (6, 0.5, (2, 0, 2)), (6, 0.9, (1, 0, 3)), (4, 0.1, (1, 2, 3)), (6, 0.95, (0, 0, 4))],
)
def test_figures_of_hand_made_cases(
    tables: tuple[Path, Path], tolerance_mm: float, threshold: float, counts: tuple[int, int, int]
) -> None:
    result = evaluate(*tables, tolerance_mm=tolerance_mm, threshold=threshold)
    tp, fp, fn = counts
    assert (result.tp, result.fp, result.fn) == counts
    assert result.f1 == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert (result.threshold, result.threshold_is_best) == (threshold, False)
    assert (result.cases, result.missing_cases) == (3, ("c",))


def test_without_a_threshold_the_best_is_taken_and_named(tables: tuple[Path, Path], tmp_path: Path) -> None:
    result = evaluate(*tables)
    assert result.threshold_is_best
    assert 0.3 < result.threshold <= 0.6
    assert (result.tp, result.fp, result.fn) == (2, 0, 2)
    named = evaluate(*tables, cases=["a", "b", "healthy"])
    assert (named.cases, named.fn, named.missing_cases) == (3, 1, ())
    written = json.loads(write_evaluation(named, tmp_path / "new" / "out").read_text())
    assert written["tp"] == 2
    assert written["threshold_is_best"] is True
    assert {"f1", "precision", "recall", "tp", "fp", "fn", "threshold"} <= written.keys()


def test_no_candidates_give_figures_and_json_without_nan(tables: tuple[Path, Path], tmp_path: Path) -> None:
    write_points(tables[0], [])
    result = evaluate(*tables)
    assert (result.f1, result.recall, result.fn) == (0, 0, 4)
    assert math.isnan(result.ece)
    assert json.loads(write_evaluation(result, tmp_path).read_text())["ece"] is None


def test_a_table_without_existence_is_refused(tables: tuple[Path, Path]) -> None:
    with pytest.raises(PointsFileError, match="no existence"):
        evaluate(tables[1], tables[1])


OBLIQUE = np.array([[-1.9, 0.3, 0.1, 30], [0.3, 1.95, 0.2, -20], [0.1, -0.2, 3.0, -10], [0, 0, 0, 1]])


def heatmap_file(folder: Path, sigma_mm: float, note: str) -> tuple[Path, np.ndarray]:
    grid = Grid((30, 32, 20), OBLIQUE)
    centers_vox = np.array([[9.3, 10.6, 8.2], [20.7, 20.1, 11.9]])
    sigma_vox = sigma_in_voxels(sigma_mm, grid.spacing)
    data = draw_gaussians(grid.shape, centers_vox[:1], sigma_vox) + 0.4 * draw_gaussians(
        grid.shape, centers_vox[1:], sigma_vox
    )
    path = folder / "sub-07_heatmap.nii.gz"
    write_volume(path, Volume(data, grid), note)
    return path, grid.to_world(centers_vox)


@pytest.mark.parametrize(
    ("sigma_mm", "note", "given"), [(3.0, describe_heatmap(3.0), None), (2.0, "", None), (2.5, "", 2.5)]
)
def test_a_heatmap_file_gives_its_candidates_in_the_world(
    tmp_path: Path, sigma_mm: float, note: str, given: float | None
) -> None:
    path, centers_world = heatmap_file(tmp_path, sigma_mm, note)
    found = detect(path, sigma_mm=given)
    assert_allclose([p.world for p in found], centers_world, atol=0.02)
    assert_allclose([p.mass for p in found], [1, 0.4], atol=0.005)
    assert_allclose([p.entropy for p in found], binary_entropy([p.existence for p in found]))
    assert {(p.case, p.origin) for p in found} == {("sub-07", Origin.MODEL)}
    assert len(detect(path, sigma_mm=given, min_existence=0.5)) == 1
    with pytest.raises(VolumeError, match="no such file"):
        detect(tmp_path / "absent.nii.gz")


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, (1.0, 1.0, 3.0)])
def test_a_heatmap_on_another_grid_keeps_its_mass_and_its_places(spacing_mm: float | tuple[float, ...]) -> None:
    fine = Grid((40, 40, 40), np.diag([1.5, 1.5, 1.5, 1]))
    centers_vox = np.array([[13.3, 14.1, 15.2], [27.8, 25.0, 24.4]])
    heatmap = Volume(draw_gaussians(fine.shape, centers_vox, 2.0), fine)
    other = Grid((40, 40, 40), fine.affine).with_spacing(spacing_mm).reoriented("LPS")
    moved = _on_grid(heatmap, other)
    assert moved.data.sum(dtype=float) == pytest.approx(2, abs=0.02)
    at = np.argwhere(moved.data > -1)
    half = other.to_world(at)[:, 0] < fine.to_world(centers_vox)[:, 0].mean()
    weights = moved.data[tuple(at.T)].astype(float)
    for side, expected in ((half, centers_vox[0]), (~half, centers_vox[1])):
        centre = np.average(other.to_world(at[side]), axis=0, weights=weights[side])
        assert_allclose(centre, fine.to_world(expected)[0], atol=0.15)
