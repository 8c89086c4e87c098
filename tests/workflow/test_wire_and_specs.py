"""What travels between processes arrives as it left, a job's spec too."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_lesion_points.core.events import (
    CasePredicted,
    Event,
    Finished,
    LossPoint,
    Progress,
    Started,
    Validation,
)
from napari_lesion_points.core.records import LesionPoint, Origin, Verdict
from napari_lesion_points.workflow.specs import (
    PredictSpec,
    SpecCase,
    TrainSpec,
    from_json,
    to_json,
)
from napari_lesion_points.workflow.wire import decode, encode

NUMBER = st.floats(-1e9, 1e9) | st.just(math.nan)
CANDIDATE = st.builds(
    LesionPoint,
    case=st.text(min_size=1),
    world=st.tuples(*[st.floats(-500, 500)] * 3),
    id=st.text("0123456789abcdef", min_size=1),
    existence=st.floats(0, 1) | st.just(math.nan),
    mass=NUMBER,
    entropy=st.floats(0, 1) | st.just(math.nan),
    origin=st.sampled_from(Origin),
    verdict=st.sampled_from(Verdict),
    reader=st.text(),
    created_utc=st.just("2026-01-01T00:00:00+00:00"),
)
EVENT = st.one_of(
    st.builds(Started, st.text(), st.text()),
    st.builds(Progress, st.text(), NUMBER, NUMBER, NUMBER, st.text()),
    st.builds(LossPoint, NUMBER, st.integers(), NUMBER),
    st.builds(Validation, NUMBER, st.integers(), NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, st.booleans()),
    st.builds(
        Validation, NUMBER, st.integers(), NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, dice=st.none() | st.floats(0, 1)
    ),
    st.builds(CasePredicted, st.text(), st.text(), st.tuples() | st.tuples(CANDIDATE, CANDIDATE), st.just(2.0)),
    st.builds(Finished, st.sampled_from(["returned", "failed", "stopped"]), st.text(), st.text()),
)


@given(EVENT)
def test_every_event_arrives_as_it_left(event: Event) -> None:
    line = encode(event)
    assert "\n" not in line
    assert line.isascii()
    # repr, because a NaN that was built anew equals nothing
    assert repr(decode(line)) == repr(event)


@given(EVENT, st.floats(0, 1, exclude_max=True))
def test_a_part_of_a_line_is_no_event(event: Event, share: float) -> None:
    line = encode(event)
    with pytest.raises(ValueError, match=r"no event|of this version|line 1"):
        decode(line[: int(share * len(line))])


@pytest.mark.parametrize(
    "line", ["", "3", "[]", "{}", "null", '{"event": "Sneezed"}', '{"event": "Started"}', "warning: x"]
)
def test_what_a_library_prints_is_no_event(line: str) -> None:
    with pytest.raises(ValueError, match=r"no event|of this version|line 1"):
        decode(line)


CASES = (
    SpecCase("sub-01", {"FLAIR": "a/b.nii.gz", "T1w": "c.nii"}, ((1.5, -2.25, 1e-7), (0.1, 0.2, 0.3)), True),
    SpecCase("sub-02_ses-ü", {"FLAIR": "x.nii"}),
)


@pytest.mark.parametrize(
    "spec",
    [
        TrainSpec("out", CASES, ("FLAIR",), 2.5, None, 1.75, (1.0, 1.1, 3.0), "model", "cpu", 7, 4.0, True),
        TrainSpec("out", (), (), None, 3),
        PredictSpec("model", CASES, "heatmaps", "cuda:1", 0.05),
        PredictSpec("model", CASES, "heatmaps", recalibration=(1.0, 0.9, -0.5)),
    ],
)
def test_a_spec_survives_its_file(spec: TrainSpec | PredictSpec) -> None:
    assert from_json(to_json(spec)) == spec
    assert hash(to_json(spec)) == hash(to_json(from_json(to_json(spec))))
