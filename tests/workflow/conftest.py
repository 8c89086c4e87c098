"""Models made without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_lesion_points.workflow.models import FORMAT, METADATA_KEY, WEIGHTS

WriteModel = Callable[..., Path]

NETWORK = {"channels": 2, "filters": 4, "levels": 2, "norm": "batch", "bias": -4.0}

CARD: dict[str, Any] = {
    "format": FORMAT,
    "sequences": ["FLAIR", "T1w"],
    "spacing_mm": [2.0, 2.0, 2.0],
    "sigma_mm": 2.5,
    "patch_vox": [24, 24, 24],
    "network": {"channels": 2},
    "training_cases": ["sub-01"],
    "validation_cases": [],
    "threshold": 0.4,
    "f1": 0.5,
    "precision": None,
    "recall": None,
    "ece": None,
    "figures_on_training_cases": True,
    "seed": 0,
    "init": "",
    "minutes": 1.0,
    "device": "CPU",
    "version": "0",
    "created_utc": "2026-01-01T00:00:00+00:00",
}


@pytest.fixture
def write_model() -> WriteModel:
    """Write a model folder that can be described, not run; changes are to its card, ... takes a value away."""
    import json

    from safetensors.numpy import save_file

    def write(folder: Path, metadata: dict[str, str] | None = None, **changes: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        card = {k: v for k, v in {**CARD, **changes}.items() if v is not ...}
        text = {METADATA_KEY: json.dumps(card)} if metadata is None else metadata
        save_file({"w": np.zeros((20, 20), np.float32)}, folder / WEIGHTS, text)
        return folder

    return write


@pytest.fixture
def heatmap_model(tmp_path: Path, write_model: WriteModel) -> Path:
    """A small heatmap network that was never trained, as if from sub-01 and sub-02."""
    import json

    from napari_lesion_points.learn.checkpoint import pack
    from napari_lesion_points.learn.network import UNetConfig, fresh_network
    from napari_lesion_points.workflow.models import describe_model

    folder = write_model(tmp_path / "points", network=NETWORK, training_cases=["sub-01", "sub-02"])
    card = describe_model(folder)
    weights = fresh_network(UNetConfig(**card.network), 0).state_dict()
    (folder / WEIGHTS).write_bytes(pack(weights, {METADATA_KEY: json.dumps(card.to_json())}))
    return folder
