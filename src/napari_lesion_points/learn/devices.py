"""Where the network runs, how many threads it may use, and in which precision."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from napari_lesion_points.errors import DeviceError


@dataclass(frozen=True)
class Device:
    """A place to compute.

    Parameters
    ----------
    name : str
        "cpu", "cuda", "cuda:1" or "mps".
    label : str
        For people: what it is, threads, precision.
    half : bool
        Whether convolutions run in bfloat16.
    """

    name: str
    label: str
    half: bool

    @property
    def kind(self) -> str:
        """What torch calls this kind of device: "cpu", "cuda" or "mps"."""
        return self.name.split(":")[0]

    @property
    def windows(self) -> int:
        """How many windows are predicted together.

        A CPU gains nothing by more than one, but float32 needs two: torch runs a single small one through a
        convolution that is several times slower.
        """
        if self.kind == "cpu":
            return 1 if self.half else 2
        return 8

    def place(self, network: nn.Module) -> None:
        """Move a network here and arrange its weights as convolutions are fastest.

        On a CPU with bfloat16 units those of one voxel lie next to each other; it takes a quarter off a training step.
        """
        network.to(self.name)
        if self.kind == "cpu" and self.half and any(isinstance(m, nn.BatchNorm3d) for m in network.modules()):
            network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def autocast(self, *, learning: bool = True) -> AbstractContextManager[object]:
        """Return the context in which the network runs.

        A GPU without bfloat16 units predicts in float16. Learning in that would need scaled losses, so it is float32.
        """
        if self.half:
            return torch.autocast(self.kind, dtype=torch.bfloat16)
        if self.kind == "cuda" and not learning:
            return torch.autocast(self.kind, dtype=torch.float16)
        return nullcontext()


def available_devices() -> tuple[Device, ...]:
    """List the devices of this machine, best first."""
    found = []
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        # NVIDIA's bfloat16 units came with compute capability 8; on older GPUs torch would emulate them, slowly.
        half = torch.version.hip is not None or torch.cuda.get_device_properties(i).major >= 8
        found.append(Device(f"cuda:{i}", f"{torch.cuda.get_device_name(i)} ({_precision(half)})", half))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU (float32)", half=False))
    half = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) if torch.backends.mkldnn.is_available() else False
    threads = usable_cores()
    found.append(Device("cpu", f"CPU, {threads} thread{'s' * (threads > 1)} ({_precision(half)})", half))
    return tuple(found)


def choose_device(name: str) -> Device:
    """Return the device called `name`; "auto" is the best there is, "cuda" the first GPU.

    Raises
    ------
    DeviceError
        If this machine has no such device.
    """
    devices = available_devices()
    for device in devices:
        if name in ("auto", device.name, device.name.split(":")[0]):
            return device
    raise DeviceError(f"device {name!r} is not available; this machine has: {', '.join(d.name for d in devices)}.")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _precision(half: bool) -> str:
    return "bfloat16" if half else "float32"
