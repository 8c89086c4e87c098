"""Devices: what each kind of hardware is given, with the hardware's answers replaced."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from napari_lesion_points.errors import DeviceError
from napari_lesion_points.learn import devices
from napari_lesion_points.learn.devices import Device, available_devices, choose_device


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with a CPU of four usable cores that has no bfloat16 units, and no GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(devices, "usable_cores", lambda: 4)
    return monkeypatch


def with_gpu(machine: pytest.MonkeyPatch, bfloat16: bool) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "device_count", lambda: 2)
    machine.setattr(torch.cuda, "get_device_name", lambda i: f"GPU {i}")
    machine.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(major=8 if bfloat16 else 7))


def test_a_cpu_without_bfloat16_units_runs_two_windows_in_float32(machine: pytest.MonkeyPatch) -> None:
    (cpu,) = available_devices()
    assert cpu == Device("cpu", "CPU, 4 threads (float32)", half=False)
    assert cpu.windows == 2
    for learning in (True, False):
        with cpu.autocast(learning=learning):
            assert not torch.is_autocast_enabled("cpu")


def test_a_cpu_with_bfloat16_units_runs_one_window_in_bfloat16(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    machine.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    (cpu,) = available_devices()
    assert cpu.half
    assert cpu.windows == 1
    with cpu.autocast():
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16


def test_a_gpu_comes_first_and_runs_in_the_half_precision_it_has(machine: pytest.MonkeyPatch) -> None:
    with_gpu(machine, bfloat16=True)
    found = available_devices()
    assert [d.name for d in found] == ["cuda:0", "cuda:1", "cpu"]
    assert found[0].label == "GPU 0 (bfloat16)"
    assert choose_device("auto") == choose_device("cuda") == found[0]
    assert found[0].half
    assert found[0].windows > 2


def test_an_older_gpu_predicts_in_float16_and_learns_in_float32(machine: pytest.MonkeyPatch) -> None:
    with_gpu(machine, bfloat16=False)
    gpu = choose_device("cuda:1")
    assert not gpu.half
    asked: list[tuple[str, torch.dtype]] = []
    machine.setattr(torch, "autocast", lambda kind, dtype: asked.append((kind, dtype)))
    gpu.autocast(learning=False)
    gpu.autocast()
    assert asked == [("cuda", torch.float16)]


def test_an_apple_gpu_runs_in_float32(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    mps = choose_device("auto")
    assert (mps.name, mps.half) == ("mps", False)
    assert mps.windows > 2


def test_a_device_that_is_not_there_is_named(machine: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match=r"'cuda' is not available; this machine has: cpu"):
        choose_device("cuda")
