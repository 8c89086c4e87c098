"""A segmentation from a heatmap network: the encoder is kept to the bit, the rest learns masks."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_lesion_points.core.events import Validation
from napari_lesion_points.core.heatmap import draw_gaussians
from napari_lesion_points.core.preparation import NetworkInput
from napari_lesion_points.learn.checkpoint import pack_state, unpack_state
from napari_lesion_points.learn.devices import Device
from napari_lesion_points.learn.labels import Label
from napari_lesion_points.learn.network import UNet, UNetConfig
from napari_lesion_points.learn.optimizers import Optimizer
from napari_lesion_points.learn.patches import PatchSettings
from napari_lesion_points.learn.recipes import RECIPES
from napari_lesion_points.learn.train import KeepModel, KeepState, TrainSettings, train

MakeCase = Callable[..., NetworkInput]

CONFIG = UNetConfig(1, filters=4, levels=2, norm="batch", bias=-4.0)
PATCHES = PatchSettings((16, 16, 16), (8, 8, 8), (1.2, 1.2, 1.2))
MASKS = Label("segmentation", components=True)


def network(seed: int = 0, **changes: Any) -> UNet:
    """A network whose BatchNorm has seen something."""
    torch.manual_seed(seed)
    made = UNet(replace(CONFIG, **changes))
    made(torch.randn(2, 1, 16, 16, 16))
    return made


def with_mask(case: NetworkInput) -> NetworkInput:
    blobs = draw_gaussians(case.foreground.shape, case.grid.to_voxel(case.points_world), 1.2)
    return replace(case, target=(blobs > 0.02).astype(np.float16))


def learn(net: UNet, cases: list[NetworkInput], aside: list[NetworkInput], epochs: int = 2, **more: Any) -> list[Any]:
    how = TrainSettings(replace(RECIPES["fast"], batch=2), PATCHES, epochs=epochs, label=MASKS)
    device = Device("cpu", "CPU", half=False)
    return list(train(net, cases, aside, how, device, started=time.monotonic(), **more))


def parts(weights: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Split weights into those of the encoder and the rest."""
    encoder = {k: v for k, v in weights.items() if k.startswith("encoder.")}
    return encoder, {k: v for k, v in weights.items() if k not in encoder}


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_frozen_encoder_stays_as_it_is_to_the_bit(
    make_case: MakeCase, replicas: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_lesion_points.learn.train.usable_cores", lambda: replicas)
    net = network()
    before = copy.deepcopy(net.state_dict())
    net.freeze_encoder()
    events = learn(net, [with_mask(make_case(1))], [])
    kept = [e for e in events if isinstance(e, KeepModel)][-1].weights
    state = [e for e in events if isinstance(e, KeepState)][-1].state
    assert any(k.endswith("running_var") for k in parts(before)[0])
    for weights in (kept, state.weights, state.average):
        encoder, rest = parts(weights)
        assert all(torch.equal(v, before[k]) for k, v in encoder.items())
        changed = [k for k, v in rest.items() if not torch.equal(v, before[k])]
        assert {k.split(".")[0] for k in changed} == {"lift", "skip", "decoder", "head"}
    trained = {k for k, _ in net.named_parameters() if not k.startswith("encoder.")}
    assert state.first.keys() == trained
    assert not any(k.startswith("encoder.") for k in state.second)


def test_all_of_it_learns_where_nothing_is_frozen(make_case: MakeCase) -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    learn(net, [with_mask(make_case(1))], [])
    assert not any(torch.equal(v, before[k]) for k, v in net.named_parameters() if "encoder.0.0.0" in k)
    assert not torch.equal(net.state_dict()["encoder.0.0.1.running_mean"], before["encoder.0.0.1.running_mean"])


def test_a_copy_is_frozen_as_well_and_evaluation_does_not_thaw() -> None:
    net = network()
    net.freeze_encoder()
    again = copy.deepcopy(net)
    again.eval()
    again.train()
    assert not any(m.training for m in again.encoder.modules())
    assert all(m.training for m in (again.lift, again.skip, again.decoder, again.head))


def test_the_optimizer_holds_what_is_trained_only() -> None:
    net = network()
    net.freeze_encoder()
    optimizer = Optimizer(net, 1e-3, 0.02, 1e-2)
    net(torch.randn(2, 1, 16, 16, 16)).square().mean().backward()
    before = copy.deepcopy(net.encoder.state_dict())
    optimizer.step(1.0)  # weight decay, too, leaves the encoder alone
    assert all(torch.equal(v, before[k]) for k, v in net.encoder.state_dict().items())
    first, second = optimizer.moments()
    assert first.keys() == {k for k, p in net.named_parameters() if p.requires_grad}
    assert second.keys() < first.keys()


def test_a_stopped_transfer_goes_on_from_its_file(make_case: MakeCase, tmp_path: Any) -> None:
    cases, asked = [with_mask(make_case(1))], iter(range(8))
    net = network()
    net.freeze_encoder()
    before = copy.deepcopy(net.encoder.state_dict())
    events = learn(net, cases, [], epochs=4, should_stop=lambda: next(asked, None) is None)
    state = [e for e in events if isinstance(e, KeepState)][-1].state
    path = tmp_path / "resume.safetensors"
    path.write_bytes(pack_state(state))
    fresh = network(5)
    fresh.freeze_encoder()
    end = [e for e in learn(fresh, cases, [], epochs=4, state=unpack_state(path)) if isinstance(e, KeepState)][-1].state
    assert end.step == 16 > state.step
    assert all(torch.equal(v, before[k.removeprefix("encoder.")]) for k, v in parts(end.weights)[0].items())


def test_masks_are_learned_and_dice_is_told(make_case: MakeCase) -> None:
    cases, aside = ([with_mask(make_case(s)) for s in some] for some in ((1, 2, 3, 4), (11, 12)))
    figures = [e for e in learn(network(), cases, aside, epochs=10) if isinstance(e, Validation)]
    assert (figures[-1].dice or 0) > 0.6
    assert 0 < (figures[-1].mask_threshold or 0) < 1


def test_the_papers_recipe_learns_masks_by_cross_entropy(make_case: MakeCase) -> None:
    paper = RECIPES["paper"]
    net = network(output="sigmoid", norm="instance")
    how = TrainSettings(replace(paper, batch=2, learning_rate=1e-2), PATCHES, epochs=3, label=MASKS)
    cases = [with_mask(make_case(1))]
    events = list(train(net, cases, cases, how, Device("cpu", "CPU", half=False), started=time.monotonic()))
    assert ([e for e in events if isinstance(e, Validation)][-1].dice or 0) > 0.3
