"""Model folders: described without torch, refused when they are not ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_lesion_points.errors import CheckpointError
from napari_lesion_points.workflow.models import METADATA_KEY, RESUME, WEIGHTS, describe_model, list_models

WriteModel = Callable[..., Path]


def test_a_card_says_what_the_header_says(tmp_path: Path, write_model: WriteModel) -> None:
    folder = write_model(tmp_path / "mine", something_new=3)
    card = describe_model(folder)
    assert (card.name, card.path) == ("mine", folder.resolve())
    assert (card.sequences, card.spacing_mm, card.patch_vox) == (("FLAIR", "T1w"), (2.0, 2.0, 2.0), (24, 24, 24))
    assert (card.sigma_mm, card.threshold, card.f1, card.recall) == (2.5, 0.4, 0.5, None)
    assert describe_model(folder / WEIGHTS) == card
    assert not card.resumable
    (folder / RESUME).touch()
    assert card.resumable
    card.require(["T2w", "T1w", "FLAIR"], "sub-01")
    with pytest.raises(CheckpointError, match="sub-01 has no T1w"):
        card.require(["FLAIR"], "sub-01")


@pytest.mark.parametrize("cut", [0, 5, 200, -1])
def test_a_truncated_model_is_damaged(tmp_path: Path, write_model: WriteModel, cut: int) -> None:
    weights = write_model(tmp_path / "m") / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        describe_model(tmp_path / "m")


@pytest.mark.parametrize("metadata", [{"a": "b"}, {METADATA_KEY: "{"}, {METADATA_KEY: "[1]"}, {METADATA_KEY: "{}"}])
def test_a_model_of_somebody_else_is_refused(tmp_path: Path, write_model: WriteModel, metadata: dict[str, str]) -> None:
    write_model(tmp_path / "m", metadata)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        describe_model(tmp_path / "m")


def test_a_newer_an_incomplete_and_no_model_are_told_apart(tmp_path: Path, write_model: WriteModel) -> None:
    with pytest.raises(CheckpointError, match="format 99"):
        describe_model(write_model(tmp_path / "newer", format=99))
    with pytest.raises(CheckpointError, match="incomplete"):
        describe_model(write_model(tmp_path / "less", sigma_mm=...))
    with pytest.raises(CheckpointError, match="holds no model"):
        describe_model(tmp_path / "none")


def test_models_are_listed_newest_first_without_the_damaged(tmp_path: Path, write_model: WriteModel) -> None:
    assert list_models(tmp_path / "none") == ()
    write_model(tmp_path / "old", created_utc="2025-01-01T00:00:00+00:00")
    write_model(tmp_path / "new", created_utc="2026-06-01T00:00:00+00:00")
    (write_model(tmp_path / "bad") / WEIGHTS).write_bytes(b"x")
    write_model(tmp_path / "foreign", {METADATA_KEY: "{"})
    assert [card.name for card in list_models(tmp_path)] == ["new", "old"]
