"""Points and changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Verdict

coordinates = st.tuples(*[st.floats(-200, 200)] * 3)


@given(coordinates)
def test_coordinates_are_plain_floats(world: tuple[float, float, float]) -> None:
    point = LesionPoint("sub-01", np.array(world))
    assert point.world == world
    assert [type(c) for c in point.world] == [float] * 3


def test_identity_and_time_are_filled_in_and_kept() -> None:
    first, second = LesionPoint("a", (0, 0, 0)), LesionPoint("a", (0, 0, 0))
    assert first.id != second.id
    assert first.created_utc.endswith("+00:00")
    moved = first.moved((1, 2, 3))
    assert (moved.id, moved.created_utc, moved.world) == (first.id, first.created_utc, (1, 2, 3))


def test_points_without_a_model_are_equal_though_their_existence_is_nan() -> None:
    point = LesionPoint("a", (0, 0, 0), id="1", created_utc="t")
    assert math.isnan(point.existence)
    assert point == LesionPoint("a", (0, 0, 0), id="1", created_utc="t")


def test_a_point_has_three_coordinates() -> None:
    with pytest.raises(ValueError, match="unpack"):
        LesionPoint("a", (0, 0))


def test_undoing_an_undo_is_redoing() -> None:
    a, b = LesionPoint("a", (0, 0, 0)), LesionPoint("a", (1, 1, 1), existence=0.5)
    accepted = LesionPoint("a", (1, 1, 1), id=b.id, existence=0.5, verdict=Verdict.ACCEPTED)
    change = Change(
        "a", "accept", {a.id: (None, a)}, {b.id: (b, accepted)}, state=(CaseState.NEW, CaseState.IN_PROGRESS)
    )
    undo = change.inverse()
    assert undo.annotations == {a.id: (a, None)}
    assert undo.candidates == {b.id: (accepted, b)}
    assert undo.state == (CaseState.IN_PROGRESS, CaseState.NEW)
    assert undo.inverse() == change


def test_adding_and_deleting_undo_each_other() -> None:
    points = [LesionPoint("a", (i, 0, 0)) for i in range(3)]
    assert Change.adding(*points).inverse().annotations == Change.deleting(*points).annotations


def test_moving_goes_back_to_where_it_was() -> None:
    point = LesionPoint("a", (1, 2, 3))
    (_, after), *rest = Change.moving(point, (4, 5, 6)).inverse().annotations.values()
    assert after == point
    assert not rest
