"""The gradient of a batch, computed by all cores: each replica of the network takes its share of the patches.

Two replicas on one core each are faster than one network on two cores, because no layer waits for the slower core.
Replicas share the weights; each has gradients of its own, which are added up in a fixed order, so that a run repeats.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from torch import Tensor

    from napari_lesion_points.learn.network import UNet


class Replicas:
    """Copies of a network that share its weights, each with a thread.

    Parameters
    ----------
    network : UNet
        The first replica; the one to optimise.
    count : int
        How many, itself included.
    cores : int
        To share among them.

    Used as a context manager, which ends the threads.
    """

    def __init__(self, network: UNet, count: int, cores: int) -> None:
        self._networks = [network, *(_sharing(network) for _ in range(count - 1))]
        threads = max(1, cores // count)
        # the number of threads that torch uses belongs to the thread that asks for it
        self._pool = ThreadPoolExecutor(count, "replica", initializer=lambda: torch.set_num_threads(threads))

    def __enter__(self) -> Replicas:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the threads."""
        self._pool.shutdown()

    def __len__(self) -> int:
        return len(self._networks)

    def gradient(self, loss: Callable[[UNet, int], Tensor]) -> float:
        """Set the gradients of the first network's parameters to those of the mean loss, and return that.

        Parameters
        ----------
        loss : callable
            Called as `loss(network, i)` in the thread of replica i; returns the loss of its share of the batch.
        """

        def work(i: int) -> float:
            network = self._networks[i]
            network.train()
            network.zero_grad(set_to_none=True)
            value = loss(network, i) / len(self)
            value.backward()
            return float(value.detach())

        total = sum(self._pool.map(work, range(len(self))))
        if len(self) > 1:
            for same in zip(*(n.parameters() for n in self._networks), strict=True):
                for other in same[1:]:
                    if same[0].requires_grad:  # else it is frozen, and there is nothing to add
                        same[0].grad.add_(other.grad)
        return total


def _sharing(network: UNet) -> UNet:
    """Return a copy of a network whose parameters lie in the same memory."""
    replica = copy.deepcopy(network)
    for mine, original in zip(replica.parameters(), network.parameters(), strict=True):
        mine.data = original.data
    return replica
