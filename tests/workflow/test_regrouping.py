"""One candidate that is two lesions, two that are one, and those that nobody is sure of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.records import CONSENSUS, CaseState, Change, LesionPoint, Origin, Verdict
from napari_lesion_points.errors import ConflictError
from napari_lesion_points.store.study import Study
from napari_lesion_points.workflow.regrouping import common_centre, merge_change, merge_partners, split_change
from napari_lesion_points.workflow.review import left_out, review_queue, verdict_change

CASE = "sub-01"


def candidate(x: float, existence: float, mass: float | None = None) -> LesionPoint:
    mass = existence if mass is None else mass
    return LesionPoint(CASE, (x, 0, 0), f"x{x:g}", existence, mass, float(binary_entropy(existence)), Origin.MODEL)


@pytest.fixture
def study(blob_study: Path) -> Iterator[Study]:
    """Candidates at 0, 6 and 20 mm along x, and one at 8 mm that is hardly there."""
    with Study.open(blob_study, reader="ada") as opened:
        opened.add_candidates(
            CASE, [candidate(0, 0.9), candidate(6, 0.3), candidate(20, 0.5), candidate(8, 0.05)], "m", 2
        )
        yield opened


def by_id(study: Study) -> dict[str, LesionPoint]:
    return {c.id: c for c in study.candidates(CASE)}


def places(study: Study) -> list[tuple[str, float]]:
    return sorted((a.id, a.world[0]) for a in study.annotations(CASE))


def verdicts(study: Study) -> dict[str, str]:
    return {c.id: str(c.verdict) for c in study.candidates(CASE) if c.verdict}


def everything(study: Study) -> object:
    return study.annotations(), study.candidates()


# unsure --------------------------------------------------------------------------------------------------------------


def test_what_is_put_aside_is_no_annotation_and_asked_again_on_demand_only(study: Study) -> None:
    study.apply(verdict_change(study, by_id(study)["x0"], Verdict.ACCEPTED))
    study.apply(verdict_change(study, by_id(study)["x0"], Verdict.UNSURE))  # on second thoughts
    assert study.annotations() == ()
    assert (by_id(study)["x0"].verdict, by_id(study)["x0"].reader) == (Verdict.UNSURE, "ada")
    assert [c.id for c in review_queue(study)] == ["x20", "x6"]
    assert [c.id for c in review_queue(study, [CASE], asking=Verdict.UNSURE)] == ["x0"]
    assert review_queue(study, min_existence=0.95, asking=Verdict.UNSURE) == ()


def test_a_training_learns_nothing_from_what_is_put_aside(study: Study) -> None:
    study.apply(verdict_change(study, by_id(study)["x8"], Verdict.UNSURE))
    study.apply(verdict_change(study, by_id(study)["x20"], Verdict.REJECTED))
    assert {c.id for c in left_out(study, CASE)} == {"x0", "x6", "x8"}
    study.set_state(CASE, CaseState.DONE)
    assert [c.id for c in left_out(study, CASE)] == ["x8"]


# split ---------------------------------------------------------------------------------------------------------------


def test_a_split_candidate_is_two_annotations_and_one_undo(study: Study) -> None:
    before = everything(study)
    change = split_change(study, by_id(study)["x0"], (-2, 0, 0), (2, 1, 0))
    study.apply(change)
    assert places(study) == [("x0", -2), ("x0-2", 2)]
    assert {(a.origin, a.verdict, a.reader, a.existence) for a in study.annotations()} == {
        (Origin.MODEL, Verdict.MOVED, "ada", 0.9)
    }
    assert verdicts(study) == {"x0": "moved"}
    assert study.history(CASE)[-1].change.label == "split"
    study.apply(change.inverse())
    assert everything(study) == before


@pytest.mark.parametrize(
    ("verdict", "left"), [(Verdict.ACCEPTED, [("x0", 0)]), (Verdict.REJECTED, []), (Verdict.UNSURE, [])]
)
def test_a_changed_mind_takes_both_parts_back(study: Study, verdict: Verdict, left: list[tuple[str, float]]) -> None:
    study.apply(split_change(study, by_id(study)["x0"], (-2, 0, 0), (2, 0, 0)))
    study.apply(verdict_change(study, by_id(study)["x0"], verdict))
    assert places(study) == left
    study.apply(split_change(study, by_id(study)["x0"], (-3, 0, 0), (3, 0, 0)))
    assert places(study) == [("x0", -3), ("x0-2", 3)]
    study.apply(verdict_change(study, by_id(study)["x0"], Verdict.MOVED, (1, 0, 0)))
    assert places(study) == [("x0", 1)]


def test_a_part_that_is_annotated_already_is_not_annotated_twice(study: Study) -> None:
    study.apply(Change.adding(LesionPoint(CASE, (-3, 0, 0), "by hand")))
    study.apply(split_change(study, by_id(study)["x0"], (-2, 0, 0), (3, 0, 0)))
    assert places(study) == [("by hand", -3), ("x0-2", 3)]


def test_two_places_of_one_lesion_are_no_split(study: Study) -> None:
    with pytest.raises(ValueError, match="one lesion"):
        split_change(study, by_id(study)["x0"], (-1, 0, 0), (2, 0, 0))


def test_in_the_consensus_the_parts_are_the_consensuss(study: Study) -> None:
    consensus = study.of(CONSENSUS)
    consensus.add_differences(CASE, [replace(candidate(0, 0.5), reader="bob")], "ada, bob")
    consensus.apply(split_change(consensus, consensus.candidates(CASE)[0], (-2, 0, 0), (2, 0, 0)))
    assert {a.reader for a in consensus.annotations()} == {CONSENSUS}
    assert consensus.candidates(CASE)[0].reader == "ada"


# merge ---------------------------------------------------------------------------------------------------------------


def test_partners_are_what_is_near_and_undecided_or_annotated(study: Study) -> None:
    def partners(name: str, min_existence: float = 0.1) -> list[str]:
        return [p.id for p in merge_partners(study, by_id(study)[name], min_existence)]

    assert partners("x0") == ["x6"]
    assert partners("x0", 0.0) == ["x6", "x8"]
    assert partners("x20", 0.0) == []
    study.apply(verdict_change(study, by_id(study)["x6"], Verdict.UNSURE))
    assert partners("x0") == ["x6"]
    study.apply(verdict_change(study, by_id(study)["x6"], Verdict.REJECTED))
    assert partners("x0") == []
    study.apply(Change.adding(LesionPoint(CASE, (7, 0, 0), "by hand")))
    assert partners("x0", 0.0) == ["by hand"]  # and not the candidate at 8 mm, which is that lesion
    study.apply(verdict_change(study, by_id(study)["x0"], Verdict.ACCEPTED))
    assert partners("x0") == ["by hand"]  # not itself


def test_two_candidates_become_one_lesion_at_their_centre_of_mass_in_one_undo(study: Study) -> None:
    before = everything(study)
    change = merge_change(study, by_id(study)["x6"], by_id(study)["x0"])
    study.apply(change)
    assert places(study) == [("x6", pytest.approx(6 * 0.3 / 1.2))]
    assert verdicts(study) == {"x0": "moved", "x6": "moved"}
    assert study.history(CASE)[-1].change.label == "merge"
    assert next(iter(change.candidates)) == "x6"  # the one under review
    assert review_queue(study, [CASE], 0.1) == (by_id(study)["x20"],)
    study.apply(change.inverse())
    assert everything(study) == before


def test_a_lesion_placed_by_hand_moves_half_way_and_stays_the_readers(study: Study) -> None:
    hand = LesionPoint(CASE, (4, 4, 0), "by hand", reader="bob")
    study.apply(Change.adding(hand))
    study.apply(merge_change(study, by_id(study)["x0"], hand))
    assert study.annotations() == (replace(hand, world=(2, 2, 0)),)
    assert verdicts(study) == {"x0": "moved"}


def test_merged_with_an_accepted_candidate_both_are_moved(study: Study) -> None:
    study.apply(verdict_change(study, by_id(study)["x0"], Verdict.ACCEPTED))
    study.apply(verdict_change(study, by_id(study)["x6"], Verdict.ACCEPTED))
    before = everything(study)
    change = merge_change(study, by_id(study)["x6"], study.annotations(CASE)[0])
    study.apply(change)
    assert places(study) == [("x0", pytest.approx(1.5))]
    assert verdicts(study) == {"x0": "moved", "x6": "moved"}
    assert study.annotations()[0].verdict is Verdict.MOVED
    study.apply(change.inverse())
    assert everything(study) == before


@pytest.mark.parametrize("meanwhile", ["moved", "deleted", "judged"])
def test_a_partner_that_is_not_as_it_was_is_not_merged_with(study: Study, meanwhile: str) -> None:
    clicked = LesionPoint(CASE, (3.0, 0, 0))
    if meanwhile != "judged":
        study.apply(Change.adding(clicked))
    wanted = "x6" if meanwhile == "judged" else clicked.id
    partner = next(p for p in merge_partners(study, by_id(study)["x0"]) if p.id == wanted)
    study.apply(
        {
            "moved": lambda: Change.moving(partner, (9, 0, 0)),
            "deleted": lambda: Change.deleting(partner),
            "judged": lambda: verdict_change(study, partner, Verdict.REJECTED),
        }[meanwhile]()
    )
    before = everything(study)
    with pytest.raises(ConflictError, match="is not stored as it was"):
        study.apply(merge_change(study, by_id(study)["x0"], partner))
    assert everything(study) == before


def test_the_part_of_a_split_can_be_merged_with(study: Study) -> None:
    study.apply(split_change(study, by_id(study)["x0"], (-3, 0, 0), (3, 0, 0)))
    partner = merge_partners(study, by_id(study)["x6"], 0.1)[0]
    assert partner.id == "x0-2"
    study.apply(merge_change(study, by_id(study)["x6"], partner))
    assert places(study) == [("x0", -3), ("x0-2", pytest.approx(common_centre((by_id(study)["x6"], partner))[0]))]


def test_the_common_centre_is_the_weighted_mean(rng: np.random.Generator) -> None:
    worlds, masses = rng.normal(0, 30, (5, 3)), rng.uniform(0.1, 2, 5)
    points = [LesionPoint(CASE, tuple(w), mass=m) for w, m in zip(worlds, masses, strict=True)]
    assert_allclose(common_centre(points), np.average(worlds, axis=0, weights=masses))
    without = [*points[:-1], replace(points[-1], mass=0.0)]
    assert_allclose(common_centre(without), worlds.mean(axis=0))
