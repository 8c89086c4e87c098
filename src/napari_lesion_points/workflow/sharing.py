"""A model to give away: what it has learned, without the names of those it learned from."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_lesion_points.errors import CheckpointError, OutputError
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.workflow.models import CARD, METADATA_KEY, STARTER, WEIGHTS, describe_model, model_folder

if TYPE_CHECKING:
    from pathlib import Path

    from napari_lesion_points.workflow.models import ModelCard


def share_model(model: Path, out: Path) -> ModelCard:
    """Copy a model without names of cases and folders.

    Its cases are numbered, "(1)", "(2)" and so on; the model that it was fine-tuned from is forgotten unless that is
    the starter; the job with its points and files, and earlier states of the model, stay behind.

    Parameters
    ----------
    model : Path
        Folder of a trained model.
    out : Path
        Folder to make; it may exist if it is empty.

    Returns
    -------
    ModelCard
        That of the copy.

    Raises
    ------
    CheckpointError
        If there is no model, or it is damaged.
    OutputError
        If `out` holds something or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save

    card, weights = describe_model(model), model_folder(model) / WEIGHTS
    try:
        tensors = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{weights} is damaged ({error}); train the model again or restore a copy.") from error
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"{out} exists and is not an empty folder; choose another.")
    trained = len(card.training_cases)
    values = replace(
        card,
        training_cases=tuple(f"({k + 1})" for k in range(trained)),
        validation_cases=tuple(f"({trained + k + 1})" for k in range(len(card.validation_cases))),
        init=card.init if card.init == STARTER else "",
    ).to_json()
    atomic_write(out / WEIGHTS, save(tensors, {METADATA_KEY: json.dumps(values, allow_nan=False)}))
    atomic_write(out / CARD, json.dumps(values, indent=1))
    return describe_model(out)
