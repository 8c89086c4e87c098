"""The optimizer: orthogonalised momentum ("Muon", Jordan et al. 2024) for convolution kernels, AdamW for all else.

A kernel's momentum, read as a matrix of output filters by inputs, is replaced by the nearest matrix whose singular
values are all about 1: directions that few voxels speak for, those of lesions, then move the weights as much as others.
Of all that was tried for learning soon, this gained most; see `docs/results.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

MOMENTUM = 0.95
#: Coefficients of the quintic iteration of Jordan et al.: five rounds bring singular values from (0, 1] to about 1.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5


class Optimizer:
    """Takes steps along the gradients of a network's parameters.

    Parameters
    ----------
    network : Module
        Whose parameters to change, in place; those that are frozen are not looked at.
    learning_rate : float
        Of AdamW, at a rate of 1.
    kernel_rate : float
        Of orthogonalised momentum for the kernels of hidden convolutions; 0 leaves everything to AdamW.
    weight_decay : float
        Decoupled, for both.
    """

    def __init__(self, network: nn.Module, learning_rate: float, kernel_rate: float, weight_decay: float) -> None:
        self._named = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self._kernels = {n: p for n, p in self._named.items() if kernel_rate and _is_hidden_kernel(p)}
        rest = [p for n, p in self._named.items() if n not in self._kernels]
        self._adam = torch.optim.AdamW(rest, lr=learning_rate, weight_decay=weight_decay, eps=1e-6)
        self._momentum: dict[str, Tensor] = {}
        self._learning_rate, self._kernel_rate, self._decay = learning_rate, kernel_rate, weight_decay

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Take a step; `rate` in [0, 1] scales both learning rates."""
        for group in self._adam.param_groups:
            group["lr"] = self._learning_rate * rate
        self._adam.step()
        for name, kernel in self._kernels.items():
            if kernel.grad is None:
                continue
            momentum = self._momentum.setdefault(name, torch.zeros_like(kernel))
            momentum.mul_(MOMENTUM).add_(kernel.grad)
            ahead = torch.add(kernel.grad, momentum, alpha=MOMENTUM).flatten(1)
            # a wide matrix of k rows has the norm sqrt(k) afterwards, a tall one less per weight: scale it up
            scale = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
            kernel.mul_(1 - self._kernel_rate * rate * self._decay)
            kernel.add_(orthogonalise(ahead).view_as(kernel), alpha=-self._kernel_rate * rate * scale)

    def moments(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return copies of the first and second moments by parameter name; kernels have no second."""
        first = {n: m.detach().cpu().clone() for n, m in self._momentum.items()}
        second = {}
        for name, parameter in self._named.items():
            if state := self._adam.state.get(parameter):
                first[name] = state["exp_avg"].detach().cpu().clone()
                second[name] = state["exp_avg_sq"].detach().cpu().clone()
        return first, second

    def restore(self, first: Mapping[str, Tensor], second: Mapping[str, Tensor], step: int) -> None:
        """Go on from what `moments` returned after so many steps."""
        for name, value in first.items():
            parameter = self._named[name]
            if name in self._kernels:
                self._momentum[name] = torch.empty_like(parameter).copy_(value)
            elif name in second:
                self._adam.state[parameter] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": torch.empty_like(parameter).copy_(value),
                    "exp_avg_sq": torch.empty_like(parameter).copy_(second[name]),
                }


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return the matrix with its singular values brought near 1 (between 0.6 and 1.3) and its singular vectors kept.

    Parameters
    ----------
    matrix : (M, N) float
        A singular value below about 1/1000 of the norm stays small.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result


def _is_hidden_kernel(parameter: Tensor) -> bool:
    """Whether it is a convolution's kernel of more than one voxel; the head's has one."""
    return parameter.ndim == 5 and parameter[0, 0].numel() > 1
