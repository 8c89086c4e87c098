"""Which cases are listed and which comes next: functions, no window needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_lesion_points.core.records import CaseState
from napari_lesion_points.store.study import CaseSummary
from napari_lesion_points.ui.screen import following_case, resolve
from napari_lesion_points.ui.session import State
from napari_lesion_points.ui.summaries import Summaries
from napari_lesion_points.ui.worklist import (
    Choice,
    Column,
    Show,
    Way,
    cells,
    listed,
    neighbours,
    next_case,
    ordered,
    progress,
    tip,
)

CASES = (
    CaseSummary("sub-01", CaseState.DONE, 3, 5, 5, "motion artefact"),
    CaseSummary("sub-02", CaseState.IN_PROGRESS, 2, 10, 4, "", 1.5),
    CaseSummary("sub-03", CaseState.DONE, 0, 4, 1, "", 0.5),
    CaseSummary("sub-04", CaseState.NEW, 0, 0, 0, "Motion, again"),
    CaseSummary("sub-05", CaseState.NEW, 0, 8, 0, "", 2.5),
)


def names(cases: tuple[CaseSummary, ...]) -> str:
    return "".join(s.case[-1] for s in cases)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), "12345"),
        (Choice(Show.NEW), "45"),
        (Choice(Show.IN_PROGRESS), "2"),
        (Choice(Show.DONE), "13"),
        (Choice(Show.TO_REVIEW), "235"),
        (Choice(search="MOTION"), "14"),
        (Choice(search="04 motion"), "4"),
        (Choice(Show.DONE, "motion"), "1"),
        (Choice(column=Column.CASE, descending=True), "54321"),
        (Choice(column=Column.STATE), "45213"),  # equals stay in the study's order
        (Choice(column=Column.POINTS, descending=True), "12345"),
        (Choice(column=Column.REVIEWED), "45321"),
        (Choice(column=Column.BENEFIT, descending=True), "52314"),
    ],
)
def test_the_list_is_filtered_searched_and_sorted(choice: Choice, expected: str) -> None:
    assert names(listed(ordered(CASES, choice), choice)) == expected
    assert names(resolve(State(cases=CASES, choice=choice)).case_rows) == expected


def test_any_order_of_many_cases_is_that_of_sorted(rng: np.random.Generator) -> None:
    states = list(CaseState)
    cases = tuple(
        CaseSummary(
            f"sub-{k:04}", states[rng.integers(3)], int(rng.integers(5)), 9, int(rng.integers(9)), "", 0.1 * k % 7
        )
        for k in range(1000)
    )
    values = {
        Column.STATE: lambda s: states.index(s.state), Column.POINTS: lambda s: s.annotations,
        Column.REVIEWED: lambda s: s.reviewed, Column.BENEFIT: lambda s: s.benefit,
    }  # fmt: skip
    for column, value in values.items():
        for sign, descending in ((1, False), (-1, True)):
            oracle = sorted(range(1000), key=lambda k, v=value, sign=sign: (sign * v(cases[k]), k))
            assert ordered(cases, Choice(column=column, descending=descending)) == tuple(cases[k] for k in oracle)


def test_next_and_previous_are_those_of_the_list_as_it_is_shown() -> None:
    new = Choice(Show.NEW)
    rows = listed(CASES, new)
    assert neighbours(CASES, rows, "sub-02") == ("", "sub-04")  # which is not listed itself
    assert neighbours(CASES, rows, "sub-05") == ("sub-04", "")
    assert neighbours(CASES, rows, "") == ("", "")
    screen = resolve(State(cases=CASES, wanted="sub-02", choice=Choice(column=Column.BENEFIT, descending=True)))
    assert (screen.previous_case, screen.next_case, screen.case_row) == ("sub-05", "sub-03", 1)
    assert resolve(State(cases=CASES, wanted="sub-02", choice=new)).case_row == -1


def test_next_by_benefit_then_in_order_and_never_a_finished_case() -> None:
    seen: list[str] = []
    at = "sub-01"
    for _ in range(3):
        at = next_case(CASES, Way.BENEFIT, "", frozenset(seen), at)
        seen.append(at)
    assert seen == ["sub-05", "sub-02", "sub-04"]  # the last has no prediction
    assert next_case(CASES, Way.BENEFIT, "", frozenset(seen), at) == "sub-05"  # all were opened: from the best again
    finished = tuple(replace(s, state=CaseState.DONE) for s in CASES)
    assert next_case(finished, Way.BENEFIT, "") == next_case(CASES[:1], Way.CHANCE, "") == ""


def chance(cases: tuple[CaseSummary, ...], seed: str) -> list[str]:
    order: list[str] = []
    while len(order) < len(cases):
        order.append(next_case(cases, Way.CHANCE, seed, frozenset(order), order[-1] if order else ""))
    return order


def test_the_order_by_chance_belongs_to_the_study() -> None:
    many = tuple(CaseSummary(f"sub-{k:02}", CaseState.NEW, 0, 0, 0, "", float(k)) for k in range(40))
    order = chance(many, "ms")
    assert sorted(order) == [s.case for s in many]
    assert order != [s.case for s in many]
    assert chance(many, "ms") == order != chance(many, "other")
    assert [c for c in order if c != "sub-07"] == chance((*many[:7], *many[8:]), "ms")  # others keep their order
    gains = tuple(replace(s, benefit=-s.benefit) for s in many)
    assert chance(gains, "ms") == order  # whatever a model says


def test_chance_prefers_no_case() -> None:
    first = [chance(tuple(CaseSummary(c, CaseState.NEW, 0, 0, 0) for c in "abcd"), str(k))[0] for k in range(400)]
    counts = [first.count(c) for c in "abcd"]
    assert sum((n - 100) ** 2 / 100 for n in counts) < 16.3  # chi-squared, 3 degrees of freedom, p = 0.001


def test_the_reader_goes_on_as_before() -> None:
    state = State(root="/data/ms", cases=CASES, wanted="sub-01", shown="sub-01")
    assert following_case(resolve(state)) == "sub-02"
    assert following_case(resolve(replace(state, way=Way.BENEFIT))) == "sub-05"


def test_what_the_list_tells_of_a_case() -> None:
    assert list(cells(CASES[0]).values()) == ["sub-01 ✎", "done", "3", "5/5", "–"]
    assert list(cells(CASES[2]).values()) == ["sub-03", "done, no lesions", "–", "1/4", "0.5"]
    assert "motion artefact" in tip(CASES[0])
    assert "2.5" in tip(CASES[4])


def test_progress_counts_what_waits_and_tells_the_time_left() -> None:
    assert progress((), ()) == ""
    assert progress(CASES, ()) == "2 of 5 done · 5 points · 14 to review"
    assert progress(CASES, (0, 3600, 7200, 10800)).endswith("14 to review · about 3 h left")
    assert progress(CASES[:1], (0, 1, 2, 3)) == "1 of 1 done · 3 points"


class _Study:
    def __init__(self) -> None:
        self.cases = CASES

    def summary(self, case: str = "") -> tuple[CaseSummary, ...]:
        return tuple(s for s in self.cases if case in ("", s.case))


class _Session:
    """A session whose workers wait until they are told to go on."""

    def __init__(self) -> None:
        self.study, self.state, self.workers = _Study(), State(cases=CASES), self
        self.waiting: list[Callable[[], None]] = []

    def start(self, read: Callable[[], Any], returned: Callable[[Any], None], failed: object) -> None:
        found = read()
        self.waiting.append(lambda: returned(found))

    def update(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)


def test_counts_that_were_read_before_an_edit_do_not_undo_it() -> None:
    session = _Session()
    summaries: Any = Summaries(session)  # type: ignore[arg-type]
    study = session.study
    study.cases = (*CASES[:4], replace(CASES[4], annotations=9))  # somebody else's
    summaries.renew(study)
    study.cases = (replace(CASES[0], annotations=4), *study.cases[1:])
    session.update(cases=summaries.again(study, "sub-01"))
    assert [s.annotations for s in session.state.cases] == [4, 2, 0, 0, 0]
    for _ in range(3):
        summaries.renew(study)  # while one is being read
    session.waiting.pop(0)()
    assert [s.annotations for s in session.state.cases] == [4, 2, 0, 0, 9]
    assert len(session.waiting) == 1  # three wishes, one reading
    study.cases = (*study.cases[:3], replace(CASES[3], annotations=1), study.cases[4])
    session.waiting.pop(0)()
    assert [s.annotations for s in session.state.cases] == [4, 2, 0, 0, 9]  # as it was when that was read
    summaries.renew(study)
    session.study = _Study()  # another was opened
    session.waiting.pop(0)()
    assert [s.annotations for s in session.state.cases] == [4, 2, 0, 0, 9]
