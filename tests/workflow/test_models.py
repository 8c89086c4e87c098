"""Model folders: described without torch, refused when they are not ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_lesion_points.core.geometry import Grid
from napari_lesion_points.errors import CheckpointError
from napari_lesion_points.workflow.models import METADATA_KEY, RESUME, STARTER, WEIGHTS, describe_model, list_models

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
    everything = {"T2w": 1, "T1w": 2, "FLAIR": 3}
    assert card.choose(everything, "sub-01") == everything
    with pytest.raises(CheckpointError, match="sub-01 has no T1w"):
        card.choose({"FLAIR": 1}, "sub-01")


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
    (starter,) = list_models(tmp_path / "none")
    assert starter.name == STARTER
    write_model(tmp_path / "old", created_utc="2025-01-01T00:00:00+00:00")
    write_model(tmp_path / "new", created_utc="2026-06-01T00:00:00+00:00")
    (write_model(tmp_path / "bad") / WEIGHTS).write_bytes(b"x")
    write_model(tmp_path / "foreign", {METADATA_KEY: "{"})
    assert [card.name for card in list_models(tmp_path)] == ["new", "old", STARTER]


def test_a_model_for_any_subset_takes_what_means_its_sequences(tmp_path: Path, write_model: WriteModel) -> None:
    names = ["FLAIR", "T1w", "T2w", "ce-gadolinium_T1w"]
    card = describe_model(write_model(tmp_path / "any", sequences=names, network={"channels": 4, "presence": True}))
    assert card.any_subset
    assert card.choose({"T1_post_gd": 1, "t2_tse": 2, "SWI": 3}, "sub-01") == {"T2w": 2, "ce-gadolinium_T1w": 1}
    with pytest.raises(CheckpointError, match=r"needs one of FLAIR.*sub-01 has SWI"):
        card.choose({"SWI": 3}, "sub-01")


@pytest.mark.parametrize(("own", "expected"), [((0.5, 0.5, 4), 1.0), ((1.2, 1.2, 1.3), 1.2), ((3, 3, 3), 2.0)])
def test_a_model_for_a_range_works_at_the_voxel_size_of_the_case(
    tmp_path: Path, write_model: WriteModel, own: tuple[float, float, float], expected: float
) -> None:
    ranged = {"spacing_mm": [1, 1, 1], "sigma_mm": 1.5, "spacing_range_mm": [1.0, 2.0], "thickest_mm": 3.5}
    card = describe_model(write_model(tmp_path / "ranged", **ranged))
    grid = Grid((8, 8, 8), np.diag([*own, 1]))
    assert card.working([grid]) == ((expected,) * 3, pytest.approx(1.5 * expected))
    assert card.remark(["FLAIR"], grid) == ("voxels of 4.0 mm (trained up to 3.5)" if max(own) > 3.5 else "")
    assert card.remark(["T1w"], grid).endswith("no FLAIR")
    fixed = describe_model(write_model(tmp_path / "fixed"))
    assert (fixed.working([grid]), fixed.remark(["T1w"], grid)) == (((2.0, 2.0, 2.0), 2.5), "")
