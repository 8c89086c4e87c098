"""The network: a 3D U-Net from MRI sequences to a heatmap's logits.

As in the paper's published settings: per level two convolution - normalisation - LeakyReLU blocks, max-pooling on the
way down, nearest upsampling on the way up, where the upsampled branch and the skip branch are convolved separately and
added. Filters double per level. Nothing in it is missing on a CPU or on Apple's MPS (no transposed 3D convolution).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Output = Literal["sigmoid", "exp"]


@dataclass(frozen=True)
class UNetConfig:
    """Size of the network.

    Parameters
    ----------
    channels : int
        MRI sequences in.
    filters : int
        Filters of the first level; doubled per level. 16 learns fastest on two CPU cores; the paper has 32.
    levels : int
        Resolution levels, at least 2. Patches must be divisible by 2 ** (levels - 1). The paper has 5.
    fold : int
        Blocks of fold ** 3 voxels become channels before the first level, and back after the last: nothing is lost,
        and the costly full-resolution convolutions go. 1 is the paper's network.
    norm : {"batch", "instance"}
        Normalisation. With BatchNorm a voxel's answer does not depend on how much else is in the patch, so that whole
        heads can be predicted in few large windows. The paper has InstanceNorm.
    dropout, decoder_dropout : float
        Channel dropout after each level on the way down, and dropout of single values on both branches of each level on
        the way up (paper: 0.1 each). Short trainings see each patch once or twice and have no use for them.
    presence : bool
        The network is told which sequences a case has: a sequence that it lacks is 0 throughout, and for each one there
        is a second channel that is 1 where it is not 0. For networks that take any subset of their sequences.
    output : {"sigmoid", "exp"}
        What makes a heatmap of the logits: see `heatmap_from_logits`. The paper has exp.
    bias : float
        Start of the last bias: the network begins by predicting next to nothing everywhere (paper: -4).
    """

    channels: int
    filters: int = 16
    levels: int = 4
    fold: int = 1
    norm: Literal["batch", "instance"] = "instance"
    dropout: float = 0.0
    decoder_dropout: float = 0.0
    presence: bool = False
    output: Output = "sigmoid"
    bias: float = -8.0

    @property
    def stride(self) -> int:
        """Patches must be multiples of so many voxels along each axis."""
        return int(self.fold * 2 ** (self.levels - 1))


class UNet(nn.Module):
    """(B, channels, I, J, K) standardised intensities -> (B, 1, I, J, K) logits."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        cell = config.fold**3
        inputs = config.channels * (2 if config.presence else 1)
        widths = [config.filters * 2**i for i in range(config.levels)]
        self.encoder = nn.ModuleList(
            nn.Sequential(_conv(a, b, config.norm), _conv(b, b, config.norm))
            for a, b in zip([inputs * cell, *widths[:-1]], widths, strict=True)
        )
        self.lift = nn.ModuleList(_conv(b, a, config.norm) for a, b in pairwise(widths))
        self.skip = nn.ModuleList(_conv(a, a, config.norm) for a in widths[:-1])
        self.decoder = nn.ModuleList(_conv(a, a, config.norm) for a in widths[:-1])
        self.dropout = nn.Dropout3d(config.dropout)
        self.decoder_dropout = nn.Dropout(config.decoder_dropout)
        self.head = nn.Conv3d(widths[0], cell, 1)
        nn.init.constant_(self.head.bias, config.bias)  # type: ignore[arg-type]
        self._frozen = False

    def freeze_encoder(self) -> None:
        """Keep the way down as it is from now on, what BatchNorm has seen included; the rest goes on learning."""
        self._frozen = True
        self.encoder.requires_grad_(False)
        self.encoder.eval()

    @torch.no_grad()
    def shorten_kernels(self, share: float = 1.0) -> None:
        """Bring the kernels that learn a share of the way back to the length of fresh ones; the answers stay as before.

        The normalisation after a convolution makes the length of its kernel irrelevant. But a kernel grows with each
        step, and the longer it is, the less a step turns it: a network that has learned for hours hardly learns anew.
        """
        for block in self.modules():
            if not (isinstance(block, nn.Sequential) and isinstance(block[0], nn.Conv3d)):
                continue
            kernel, norm = block[0].weight, block[1]
            if not kernel.requires_grad:
                continue
            fresh = math.sqrt(len(kernel) / 3)  # torch draws weights of variance 1 / (3 inputs)
            factor = (fresh / float(kernel.norm())) ** share
            kernel.mul_(factor)
            if isinstance(norm, nn.BatchNorm3d) and norm.running_mean is not None and norm.running_var is not None:
                norm.running_mean.mul_(factor)
                norm.running_var.mul_(factor**2)

    def train(self, mode: bool = True) -> UNet:
        """Switch between training and evaluation; a frozen encoder stays in evaluation."""
        super().train(mode)
        if self._frozen:
            self.encoder.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Run the network."""
        if self.config.presence:
            x = torch.cat([x, (x != 0).to(x.dtype)], dim=1)
        x, skips = fold(x, self.config.fold), []
        for level, block in enumerate(self.encoder):
            x = block(x if level == 0 else _halved(x))
            if level:
                x = self.dropout(x)
            skips.append(x)
        skips.pop()
        for lift, skip, decoder in zip(self.lift[::-1], self.skip[::-1], self.decoder[::-1], strict=True):
            up = self.decoder_dropout(_doubled(lift(x)))
            x = decoder(up + self.decoder_dropout(skip(skips.pop())))
        return unfold(self._logits(x), self.config.fold)

    def _logits(self, x: Tensor) -> Tensor:
        """Apply the head, in float32: in bfloat16 logits near -8 are so coarse that existence would be off by percents.

        A product of matrices, as torch's convolution of one voxel rearranges channels that lie next to each other.
        """
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.head.weight.float().flatten(1), self.head.bias.float()  # type: ignore[union-attr]
            logits: Tensor = (weight @ x.float().flatten(2) + bias[:, None]).unflatten(2, x.shape[2:])
        return logits


def fresh_network(config: UNetConfig, seed: int) -> UNet:
    """Return a network with random weights, the same for the same seed."""
    torch.manual_seed(seed)
    return UNet(config)


def fold(x: Tensor, factor: int) -> Tensor:
    """(B, C, I, J, K) -> (B, C * factor ** 3, I / factor, ...): each block of voxels becomes one with more channels."""
    if factor == 1:
        return x
    b, c, *size = x.shape
    i, j, k = (n // factor for n in size)
    blocks = x.reshape(b, c, i, factor, j, factor, k, factor)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * factor**3, i, j, k)


def unfold(x: Tensor, factor: int) -> Tensor:
    """Undo `fold`."""
    if factor == 1:
        return x
    b, c, i, j, k = x.shape
    blocks = x.reshape(b, c // factor**3, factor, factor, factor, i, j, k)
    return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // factor**3, i * factor, j * factor, k * factor)


def _halved(x: Tensor) -> Tensor:
    """Max-pool; as it is: autocast would make float32 of it first, and the next convolution would undo that."""
    with torch.autocast(x.device.type, enabled=False):
        return functional.max_pool3d(x, 2)


def _doubled(x: Tensor) -> Tensor:
    """Upsample to the nearest voxel, as it is."""
    with torch.autocast(x.device.type, enabled=False):
        return functional.interpolate(x, scale_factor=2, mode="nearest")


def _conv(inputs: int, outputs: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm3d(outputs) if norm == "batch" else nn.InstanceNorm3d(outputs, affine=True),
        nn.LeakyReLU(0.01, inplace=True),
    )


def heatmap_from_logits(logits: Tensor, peak: float, output: Output = "sigmoid") -> Tensor:
    """Heatmap, mass per voxel: exp(logits), or sigmoid(logits) times twice the height of a unit-mass Gaussian."""
    logits = logits.float()
    return logits.exp() if output == "exp" else torch.sigmoid(logits) * (2 * peak)
