"""Gradients computed in shares are those of the whole batch."""

from __future__ import annotations

import torch

from napari_lesion_points.learn.devices import Device
from napari_lesion_points.learn.network import UNet, UNetConfig
from napari_lesion_points.learn.replicas import Replicas
from napari_lesion_points.learn.train import replica_count

CONFIG = UNetConfig(1, filters=4, levels=2)
CPU = Device("cpu", "CPU", half=False)


def test_shares_add_up_to_the_batch() -> None:
    torch.manual_seed(0)
    network, images = UNet(CONFIG), torch.randn(4, 1, 8, 8, 8)

    def loss(replica: UNet, images: torch.Tensor) -> torch.Tensor:
        return replica(images).square().mean()

    whole = loss(network, images)
    whole.backward()
    expected = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    with Replicas(network, 2, cores=2) as replicas:
        for _ in range(2):  # the second time the gradients of the first are gone
            mean = replicas.gradient(lambda replica, i: loss(replica, images[2 * i : 2 * i + 2]))
        assert torch.isclose(torch.tensor(mean), whole.detach())
        found = [p.grad for p in network.parameters()]
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(expected, found, strict=True) if b is not None)
        assert len(found) == len(expected)


def test_replicas_follow_the_weights() -> None:
    network = UNet(CONFIG)
    with Replicas(network, 2, cores=2) as replicas, torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.25)
        seen = []
        with torch.enable_grad():
            replicas.gradient(lambda replica, i: seen.append(replica) or replica.head.bias.sum() + _touch(replica))
    assert all(float(p.detach().mean()) == 0.25 for replica in seen for p in replica.parameters())
    assert len({id(replica) for replica in seen}) == 2


def _touch(replica: UNet) -> torch.Tensor:
    return sum((p.sum() * 0 for p in replica.parameters()), torch.zeros(()))


def test_a_batch_is_cut_evenly_and_never_with_dropout() -> None:
    assert replica_count(CONFIG, 1, CPU) == 1
    assert 4 % replica_count(CONFIG, 4, CPU) == 0
    assert replica_count(UNetConfig(1, dropout=0.1), 4, CPU) == 1
    assert replica_count(CONFIG, 4, Device("cuda:0", "GPU", half=True)) == 1
