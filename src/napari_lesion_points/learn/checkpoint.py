"""Weights and training state as safetensors bytes, with a JSON header; never pickle.

A model is one safetensors file whose header holds the text that describes it, so that weights and description cannot
part. What the text says is the caller's business.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from napari_lesion_points.core.events import Validation
from napari_lesion_points.errors import CheckpointError
from napari_lesion_points.learn.network import UNet, UNetConfig
from napari_lesion_points.learn.train import TrainState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_PARTS = ("weights", "average", "first", "second")


def pack(tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Return a safetensors file with `metadata` in its header."""
    return bytes(save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata))


def pack_state(state: TrainState) -> bytes:
    """Return a training state as a safetensors file."""
    tensors = {f"{part}/{k}": v for part in _PARTS for k, v in getattr(state, part).items()}
    best = asdict(state.best) if state.best else None
    return pack(tensors, {"state": json.dumps({"step": state.step, "elapsed_s": state.elapsed_s, "best": best})})


def unpack_state(path: Path) -> TrainState:
    """Return the training state in a file; CheckpointError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("state", "{}")
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); start the training anew.") from error
    parts = {
        part: {k.removeprefix(f"{part}/"): v for k, v in tensors.items() if k.startswith(f"{part}/")} for part in _PARTS
    }
    try:
        values = json.loads(text)
        best = Validation(**values["best"]) if values["best"] else None
        return TrainState(values["step"], values["elapsed_s"], best, **parts)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} holds no training state; start the training anew.") from error


def unpack(data: bytes, name: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises
    ------
    CheckpointError
        If the bytes are not a whole safetensors file; `name` is the file's, for the message.
    """
    try:
        tensors: dict[str, Tensor] = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{name} is damaged ({error}); train the model again or restore a copy.") from error
    return tensors


def network_from(tensors: Mapping[str, Tensor], config: UNetConfig, name: str) -> UNet:
    """Return the network with these weights.

    Raises
    ------
    CheckpointError
        If the weights are not those of such a network or are not finite.
    """
    network = UNet(config)
    expected = {k: v.shape for k, v in network.state_dict().items()}
    found = {k: v.shape for k, v in tensors.items()}
    if expected != found:
        wrong = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
        raise CheckpointError(f"{name} does not hold the network it describes ({asdict(config)}): see {wrong[:3]}.")
    if not all(torch.isfinite(v).all() for v in tensors.values()):
        raise CheckpointError(f"{name} holds weights that are not finite; train the model again.")
    network.load_state_dict(dict(tensors))
    return network
