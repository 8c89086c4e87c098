"""Reports: what they say about known cases, of tables and of a study, and that they need nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from napari_lesion_points.core.metrics import CaseDetections
from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Origin, Verdict
from napari_lesion_points.errors import OutputError, PointsFileError, StudyError
from napari_lesion_points.store.points_file import read_sizes
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow.evaluation import Comparison, evaluate_cases, read_comparison
from napari_lesion_points.workflow.report import (
    Report,
    case_line,
    false_positives,
    missed_lesions,
    render,
    write_report,
)
from napari_lesion_points.workflow.review import verdict_change
from napari_lesion_points.workflow.specs import SpecCase, TrainSpec, to_json
from napari_lesion_points.workflow.study_report import study_report, write_study_report

THRESHOLD, TOLERANCE_MM = 0.5, 6.0


def points(*at: float) -> np.ndarray:
    return np.array([[x, 0, 0] for x in at], dtype=float).reshape(-1, 3)


#: a: found; found too weakly; no candidate; and a false one. b: no lesion, a false one. c: neither.
CASES = (
    CaseDetections("a", points(0, 20, 99), np.array([0.9, 0.3, 0.7]), points(1, 22, 50)),
    CaseDetections("b", points(0), np.array([0.8]), points()),
    CaseDetections("c", points(), np.empty(0), points()),
)
SIZES = (np.array([5.0, 7.0, 60.0]), np.empty(0), np.empty(0))


class Page(HTMLParser):
    """Texts of an HTML page by table, and whatever it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
        self._cell = tag == "td" or (self._cell and tag != "tr")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag != "td"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data.strip()


def report_of(compared: Comparison, **changes: str) -> Report:
    evaluation = evaluate_cases(compared.cases, tolerance_mm=TOLERANCE_MM, threshold=THRESHOLD)
    texts = {"what": "these against those", "threshold_source": "given", "command": "a command"} | changes
    return Report(comparison=compared, evaluation=evaluation, **texts)


def test_a_missed_lesion_says_where_it_is_and_whether_a_candidate_was_too_weak() -> None:
    missed = missed_lesions(Comparison(CASES, None, SIZES), THRESHOLD, TOLERANCE_MM)
    assert [(m.case, m.world, m.voxels, m.below) for m in missed] == [
        ("a", (22, 0, 0), 7, 0.3),
        ("a", (50, 0, 0), 60, None),
    ]


def test_a_false_detection_says_how_far_the_next_lesion_is() -> None:
    found = false_positives(CASES, THRESHOLD, TOLERANCE_MM)
    assert [(f.case, f.world, f.existence, f.nearest_mm) for f in found] == [
        ("b", (0, 0, 0), 0.8, None),
        ("a", (99, 0, 0), 0.7, 49),
    ]


def test_a_case_has_its_counts_and_what_to_expect() -> None:
    line = case_line(CASES[0], THRESHOLD, TOLERANCE_MM)
    assert (line.lesions, line.tp, line.fp, line.fn) == (3, 1, 1, 2)
    assert line.count.expected == pytest.approx(1.9)
    assert (line.count.low, line.count.high, line.held) == (1, 3, True)


def test_the_page_has_the_figures_and_loads_nothing() -> None:
    page = Page(render(report_of(Comparison(CASES, (np.array([0.8, 0.2, 0.7]), np.array([0.5]), np.empty(0)), SIZES))))
    assert [row[:5] for row in page.rows if row and row[0] in "abc"] == [
        ["a", "3", "1", "2", "1"],
        ["b", "0", "0", "0", "1"],
        ["c", "0", "0", "0", "0"],
        ["a", "22.0", "0.0", "0.0", "7"],
        ["a", "50.0", "0.0", "0.0", "60"],
        ["b", "0.0", "0.0", "0.0", "0.80"],
        ["a", "99.0", "0.0", "0.0", "0.70"],
    ]
    assert [r[0] for r in page.rows if len(r) == 4] == ["fitted mass, not recalibrated", "as given"]
    assert "0.333" in page.text  # F1 of 1, 2, 2
    assert "a command" in page.text
    assert "For research only" in page.text
    assert page.tags.count("img") == 5
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_without_sizes_or_masses_these_are_left_out() -> None:
    page = Page(render(report_of(Comparison(CASES))))
    assert "Recall by size" not in page.text
    assert "not recalibrated" not in page.text
    assert page.tags.count("img") == 4


@pytest.mark.parametrize(
    "cases",
    [(), CASES[2:], (CaseDetections("d", points(), np.empty(0), points(1, 2)),)],
    ids=["no case", "neither lesions nor candidates", "no candidates"],
)
def test_what_there_is_nothing_of_is_said_so(cases: tuple[CaseDetections, ...]) -> None:
    text = Page(render(report_of(Comparison(cases)))).text
    assert f"{len(cases)} case" in text
    assert "nan" not in text.lower()


def test_what_a_name_holds_is_text_and_not_markup() -> None:
    odd = CaseDetections("<b>x</b>&", points(0), np.array([0.9]), points(50))
    page = render(report_of(Comparison((odd,)), command="evaluate '<script>alert(1)</script>'"))
    assert "script" not in Page(page).tags
    assert "b" not in Page(page).tags
    assert "<b>x</b>&" in Page(page).text


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write_report(report_of(Comparison(CASES)), tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_report(report_of(Comparison(CASES)), tmp_path / "file" / "report.html")


def test_sizes_of_a_table_belong_to_their_lesions(tmp_path: Path) -> None:
    truth, candidates = tmp_path / "truth.csv", tmp_path / "candidates.csv"
    truth.write_text("case,x_mm,y_mm,z_mm,voxels\nb,1,0,0,12\na,2,0,0,5\nb,30,0,0,70\n")
    candidates.write_text("case,x_mm,y_mm,z_mm,existence,mass\na,2,0,0,0.9,1.2\n")
    compared = read_comparison(candidates, truth)
    assert [c.case for c in compared.cases] == ["a", "b"]
    assert compared.sizes is not None
    assert [s.tolist() for s in compared.sizes] == [[5], [12, 70]]
    assert compared.masses is not None
    assert [m.tolist() for m in compared.masses] == [[1.2], []]
    truth.write_text("case,x_mm,y_mm,z_mm,voxels\na,2,0,0,5\na,9,0,0,\n")
    assert read_sizes(truth) is read_comparison(candidates, truth).sizes is None
    truth.write_text("case,x_mm,y_mm,z_mm,voxels\na,2,0,0,big\n")
    with pytest.raises(PointsFileError, match="voxels is 'big'"):
        read_sizes(truth)


def read_and_predicted(study: Study, model: Path) -> None:
    """sub-02: a candidate accepted, another rejected, and a lesion that was missed; sub-01 and sub-03: one each."""
    for case in ("sub-01", "sub-02", "sub-03"):
        found = [
            LesionPoint(case, (x, 0, 0), f"{case}-{x}", p, p / 2, 0.5, Origin.MODEL) for x, p in ((0, 0.9), (40, 0.6))
        ]
        study.add_candidates(case, found, str(model), 2.0)
        study.apply(verdict_change(study, study.candidates(case)[0], Verdict.ACCEPTED))
        study.apply(verdict_change(study, study.candidates(case)[1], Verdict.REJECTED))
    study.apply(Change.adding(LesionPoint("sub-02", (80, 0, 0), "by hand")))
    for case in ("sub-01", "sub-02"):
        study.set_state(case, CaseState.DONE)


def test_a_study_is_judged_in_the_cases_that_are_done_and_new_to_the_model(blob_study: Path, write_model) -> None:  # type: ignore[no-untyped-def]
    with Study.open(blob_study, reader="ada") as study:
        with pytest.raises(StudyError, match="no case to report on"):
            study_report(study)
        model = write_model(study.models_dir / "m")  # trained on sub-01
        read_and_predicted(study, model)
        assert study.models() == dict.fromkeys(("sub-01", "sub-02", "sub-03"), str(model))
        report = study_report(study)
        e = report.evaluation
        assert (e.cases, e.tp, e.fp, e.fn) == (1, 1, 1, 1)
        assert (e.threshold, report.threshold_source) == (0.4, "of model m, chosen on its training cases")
        assert report.notes[0].startswith("1 of the 2 annotations are candidates")
        assert "sub-01" in report.notes[1]
        path = write_study_report(study)
        assert path == study.store / "report.html"
        assert "sub-02" in path.read_text(encoding="utf-8")
        study.set_state("sub-02", CaseState.IN_PROGRESS)
        with pytest.raises(StudyError, match="sub-01 taught the model"):
            study_report(study)


def test_a_case_of_the_same_name_in_another_study_did_not_teach_the_model(blob_study: Path, write_model) -> None:  # type: ignore[no-untyped-def]
    with Study.open(blob_study) as study:
        model = write_model(study.models_dir / "m")
        read_and_predicted(study, model)
        elsewhere = blob_study.with_name("elsewhere.nii.gz")
        elsewhere.touch()
        gone = blob_study.with_name("gone.nii.gz")  # the study was moved
        for path, cases in ((elsewhere, 2), (gone, 1), (next(iter(study.files_of("sub-01").sequences.values())), 1)):
            spec = TrainSpec(str(model), (SpecCase("sub-01", {"FLAIR": str(path)}),), ("FLAIR",))
            (model / "job.json").write_text(to_json(spec), encoding="utf-8")
            assert study_report(study).evaluation.cases == cases
        (model / "job.json").write_text("{", encoding="utf-8")  # tells nothing, so the name decides
        assert study_report(study).evaluation.cases == 1


def test_without_the_models_threshold_the_best_is_taken_and_said(blob_study: Path, write_model) -> None:  # type: ignore[no-untyped-def]
    with Study.open(blob_study) as study:
        read_and_predicted(study, study.models_dir / "gone")
        report = study_report(study)
        assert report.evaluation.threshold_is_best
        assert report.threshold_source == "best for these cases; the model is gone"
        assert "flatters" in report.notes[1]
        other = write_model(study.models_dir / "other", training_cases=[])
        study.add_candidates("sub-01", (), str(other), 2.0)
        assert "several models" in study_report(study).threshold_source
        study.set_state("sub-04", CaseState.DONE)
        assert "not predicted: sub-04" in study_report(study).notes[-1]


def test_the_evaluation_is_plain_json() -> None:
    written = json.loads(json.dumps(report_of(Comparison(CASES)).evaluation.to_json(), allow_nan=False))
    assert written["paper_matching"] == {"tp": 1, "fp": 2, "fn": 2, "f1": 1 / 3, "precision": 1 / 3, "recall": 1 / 3}
    assert written["retention"][-1] == [1.0, 0.25]
    assert (written["count_coverage"], written["count_coverage_of_found"]) == (1.0, 1.0)
    assert re.fullmatch(r"[a-z0-9_]+", "".join(written))
