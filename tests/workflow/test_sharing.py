"""A model that is given away tells nothing of the patients that it learned from, and finds the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from napari_lesion_points.errors import CheckpointError, OutputError
from napari_lesion_points.workflow.models import JOB, STARTER, WEIGHTS, describe_model
from napari_lesion_points.workflow.sharing import share_model

WriteModel = Callable[..., Path]


def test_no_name_of_a_case_or_folder_is_in_what_is_shared(tmp_path: Path, write_model: WriteModel) -> None:
    own = write_model(
        tmp_path / "own", training_cases=["Müller", "Smith"], validation_cases=["Rossi"], init=str(tmp_path / "before")
    )
    (own / JOB).write_text('{"case": "Smith"}', encoding="utf-8")
    (own / "earlier" / "then").mkdir(parents=True)
    out = tmp_path / "shared"
    copied, card = share_model(own, out), describe_model(own)
    assert copied == describe_model(out)
    assert copied == replace(
        card, path=out.resolve(), training_cases=("(1)", "(2)"), validation_cases=("(3)",), init=""
    )
    assert {p.name for p in out.iterdir()} == {"model.safetensors", "model.json"}
    written = b"".join(p.read_bytes() for p in out.iterdir())
    for private in ("ller", "Smith", "Rossi", str(tmp_path)):
        assert private.encode() not in written
    assert (load_file(out / WEIGHTS)["w"] == load_file(own / WEIGHTS)["w"]).all()


def test_that_it_comes_from_the_starter_may_be_known(tmp_path: Path, write_model: WriteModel) -> None:
    assert share_model(write_model(tmp_path / "own", init=STARTER), tmp_path / "shared").init == STARTER


def test_what_is_there_is_not_mixed_with_a_model(tmp_path: Path, write_model: WriteModel) -> None:
    own = write_model(tmp_path / "own")
    with pytest.raises(OutputError, match="not an empty folder"):
        share_model(own, own)
    with pytest.raises(CheckpointError, match="holds no model"):
        share_model(tmp_path / "none", tmp_path / "shared")
    assert not (tmp_path / "shared").exists()
