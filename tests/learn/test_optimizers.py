"""Orthogonalised momentum, against the singular value decomposition; going on after a stop."""

from __future__ import annotations

import pytest
import torch

from napari_lesion_points.learn.network import UNet, UNetConfig
from napari_lesion_points.learn.optimizers import Optimizer, orthogonalise


@pytest.mark.parametrize("shape", [(16, 108), (32, 432), (48, 27)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    assert values.max() / values.min() > 1.4
    result = orthogonalise(matrix)
    assert result.shape == matrix.shape
    in_its_basis = u.T @ result @ v.T
    assert (in_its_basis.diagonal() > 0.6).all()
    assert (in_its_basis.diagonal() < 1.3).all()
    assert (in_its_basis - torch.diag(in_its_basis.diagonal())).abs().max() < 0.05


def test_the_size_of_a_gradient_does_not_matter_to_kernels() -> None:
    ends = []
    for size in (1.0, 1024.0):
        torch.manual_seed(0)
        network = UNet(UNetConfig(1, filters=4, levels=2))
        optimizer = Optimizer(network, learning_rate=0.0, kernel_rate=0.1, weight_decay=0.0)
        for parameter in network.parameters():
            parameter.grad = size * torch.randn_like(parameter)
        optimizer.step(1.0)
        ends.append(network.encoder[1][0][0].weight.detach())
    assert torch.allclose(*ends, atol=1e-3)


def test_without_a_kernel_rate_it_is_adamw() -> None:
    torch.manual_seed(0)
    a, b = UNet(UNetConfig(1, filters=4, levels=2)), UNet(UNetConfig(1, filters=4, levels=2))
    b.load_state_dict(a.state_dict())
    ours = Optimizer(a, learning_rate=0.01, kernel_rate=0.0, weight_decay=0.1)
    theirs = torch.optim.AdamW(b.parameters(), lr=0.01, weight_decay=0.1, eps=1e-6)
    for _ in range(3):
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        ours.step(1.0)
        theirs.step()
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_it_goes_on_from_its_moments() -> None:
    def gradients(network: UNet, seed: int) -> None:
        torch.manual_seed(seed)
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)

    network = UNet(UNetConfig(1, filters=4, levels=2))
    first = Optimizer(network, 0.01, 0.02, 1e-4)
    for seed in range(3):
        gradients(network, seed)
        first.step(1.0)
    again = UNet(network.config)
    again.load_state_dict(network.state_dict())
    second = Optimizer(again, 0.01, 0.02, 1e-4)
    second.restore(*first.moments(), step=3)
    for net, optimizer in ((network, first), (again, second)):
        gradients(net, 9)
        optimizer.step(0.5)
    assert all(torch.allclose(p, q) for p, q in zip(network.parameters(), again.parameters(), strict=True))
