"""Whole volumes by windows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from napari_lesion_points.core.fitting import fit_gaussians
from napari_lesion_points.core.heatmap import draw_gaussians, peak_height
from napari_lesion_points.core.preparation import NetworkInput
from napari_lesion_points.learn import predict
from napari_lesion_points.learn.devices import Device
from napari_lesion_points.learn.labels import Label
from napari_lesion_points.learn.network import UNet, UNetConfig
from napari_lesion_points.learn.predict import margin_around, predict_heatmap
from napari_lesion_points.learn.recipes import RECIPES

MakeCase = Callable[..., NetworkInput]

CPU = Device("cpu", "CPU", half=False)
SHAPES = [(24, 24, 24), (40, 25, 17), (9, 30, 16)]


class Echo(nn.Module):
    """Logits that are the first sequence, so the prediction at a voxel is known whatever the window."""

    config = UNetConfig(1, levels=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6])
def test_every_voxel_of_the_foreground_is_predicted_and_none_beside_it(
    make_case: MakeCase, shape: tuple[int, int, int], overlap: float
) -> None:
    case = make_case(1, shape=shape, lesions=1)
    case.foreground[...] = np.random.default_rng(0).random(shape) < 0.01  # sparse, so that windows are skipped
    heatmap = predict_heatmap(Echo(), case, (16, 16, 16), 0.25, CPU, overlap=overlap)
    expected = 0.5 / (1 + np.exp(-case.images[0].astype(float)))
    assert heatmap.shape == shape
    assert heatmap.dtype == np.float32
    assert_allclose(heatmap, np.where(case.foreground, expected, 0), atol=1e-5)


def test_a_lesion_at_the_surface_of_the_brain_keeps_its_mass_and_place(make_case: MakeCase) -> None:
    sigma_vox, center = (1.5, 1.5, 1.0), (9.6, 12.2, 11.8)
    peak = peak_height(sigma_vox)
    share = np.clip(draw_gaussians((24, 24, 24), [center], sigma_vox) / (2 * peak), 1e-6, None)
    case = make_case(1, lesions=0)
    case.images[0] = np.log(share / (1 - share))
    case.foreground[:10] = False  # the brain begins at 10, the lesion is at 9.6
    margin = margin_around(Label(), RECIPES["fast"], sigma_vox)
    whole, cut = (predict_heatmap(Echo(), case, (24, 24, 24), peak, CPU, margin=m) for m in (margin, (0, 0, 0)))
    assert not whole[:4].any()
    assert (whole[5:] > 0).all()
    found = fit_gaussians(whole, sigma_vox)
    assert_allclose(found.centers_vox, [center], atol=0.1)
    assert found.mass[0] == pytest.approx(1, abs=0.03)
    assert fit_gaussians(cut, sigma_vox).mass[0] < 0.8


class Stencil(nn.Module):
    """Two convolutions with BatchNorm between: what a voxel gets depends on its surroundings, not on the window."""

    config = UNetConfig(1, levels=2)

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1, bias=False), nn.BatchNorm3d(4), nn.LeakyReLU(0.01))
        self.head = nn.Conv3d(4, 1, 1)
        norm = self.block[1]
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -1, 1)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(x))


def instance_norm() -> nn.Module:
    return UNet(UNetConfig(1, filters=4, levels=2, bias=0.0))


@pytest.mark.parametrize("make_network", [instance_norm, Stencil])
def test_the_answer_does_not_depend_on_threads_nor_on_how_many_windows_run_together(
    make_case: MakeCase, monkeypatch: pytest.MonkeyPatch, make_network: Callable[[], nn.Module]
) -> None:
    torch.manual_seed(0)
    network, case = make_network(), make_case(1, shape=(40, 25, 17))
    monkeypatch.setattr(predict, "LARGEST_VOX", 20)
    heatmaps = []
    for windows, threads in ((1, 1), (2, 1), (7, 1), (2, 3)):
        monkeypatch.setattr(Device, "windows", windows)
        torch.set_num_threads(threads)
        heatmaps.append(predict_heatmap(network, case, (16, 16, 16), 0.1, CPU))
        assert torch.get_num_threads() == threads
        torch.set_num_threads(1)
    assert heatmaps[0].max() > 0.05
    assert_allclose(heatmaps[1], heatmaps[0], atol=1e-6)
    assert_allclose(heatmaps[2], heatmaps[0], atol=1e-6)
    assert_array_equal(heatmaps[3], heatmaps[1])


@pytest.mark.parametrize("half", [False, True])
def test_a_network_that_does_not_look_at_the_window_answers_as_for_the_whole_volume(
    make_case: MakeCase, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    # Far from a border a voxel sees the same surroundings in each window, so the windows must agree with one pass.
    torch.manual_seed(0)
    network, case = Stencil().eval(), make_case(1, shape=(40, 26, 18))
    monkeypatch.setattr(predict, "LARGEST_VOX", 20)
    heatmap = predict_heatmap(network, case, (16, 16, 16), 0.1, Device("cpu", "CPU", half))
    with torch.no_grad():
        whole = torch.sigmoid(network(torch.from_numpy(case.images).float()[None]))[0, 0].numpy() * 0.2
    # A window's outermost voxels miss a neighbour, and count little beside the window that has it.
    expected = np.where(case.foreground, whole, 0)
    assert_allclose(heatmap, expected, atol=0.01)
    assert np.abs(heatmap - expected).mean() < (5e-4 if half else 2e-4)


@pytest.mark.parametrize("shape", [(80, 96, 78), (16, 16, 16), (300, 9, 97), (17, 95, 40)])
def test_large_windows_cover_the_volume_and_stay_within_bounds(shape: tuple[int, int, int]) -> None:
    shared, stride = (12, 12, 12), 8
    size = predict._larger(shape, shared, stride)
    padded = [max(-(-n // stride) * stride, s) for n, s in zip(shape, size, strict=True)]
    starts = [predict._starts(n, s, v, stride) for n, s, v in zip(padded, size, shared, strict=True)]
    counts = [len(some) for some in starts]
    assert all(a % stride == 0 for some in starts for a in some)
    assert all(s % stride == 0 and s <= predict.LARGEST_VOX for s in size)
    for n, s, some in zip(padded, size, starts, strict=True):
        assert (some[0], some[-1] + s) == (0, n)
        assert all(b - a <= s - 12 for a, b in pairwise(some))  # as much in common as asked
    assert (max(counts) == 1) == (max(shape) <= predict.LARGEST_VOX)


def test_what_progress_raises_ends_the_prediction_at_once(make_case: MakeCase) -> None:
    calls = []

    class Counting(Echo):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(len(x))
            return super().forward(x)

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    case = make_case(1, shape=(400, 16, 16))
    with pytest.raises(KeyboardInterrupt):
        predict_heatmap(Counting(), case, (16, 16, 16), 0.1, Device("cpu", "CPU", half=True), progress=stop)
    assert len(calls) < 6


def test_one_window_is_the_network_itself(make_case: MakeCase) -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(1, filters=4, levels=2, bias=0.0)).train()
    case = make_case(1, shape=(16, 16, 16))
    heatmap = predict_heatmap(network, case, (16, 16, 16), 0.1, CPU)
    assert not network.training
    with torch.no_grad():
        whole = torch.sigmoid(network(torch.from_numpy(case.images).float()[None]))[0, 0].numpy() * 0.2
    assert_allclose(heatmap, np.where(case.foreground, whole, 0), atol=1e-6)


def test_progress_rises_to_one_and_no_foreground_is_no_work(make_case: MakeCase) -> None:
    case = make_case(1, shape=(300, 25, 17))
    shares: list[float] = []
    predict_heatmap(Echo(), case, (16, 16, 16), 0.1, CPU, progress=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1
    case.foreground[...] = False
    assert not predict_heatmap(Echo(), case, (16, 16, 16), 0.1, CPU).any()
