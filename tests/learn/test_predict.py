"""Whole volumes by windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from napari_lesion_points.core.preparation import NetworkInput
from napari_lesion_points.learn import predict
from napari_lesion_points.learn.devices import Device
from napari_lesion_points.learn.network import UNet, UNetConfig
from napari_lesion_points.learn.predict import predict_heatmap

MakeCase = Callable[..., NetworkInput]

CPU = Device("cpu", "CPU", half=False)
SHAPES = [(24, 24, 24), (40, 25, 17), (9, 30, 16)]


class Echo(nn.Module):
    """Logits that are the first sequence, so the prediction at a voxel is known whatever the window."""

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


def test_it_does_not_matter_how_many_windows_run_together(make_case: MakeCase, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(1, filters=4, levels=2, bias=0.0))
    case = make_case(1, shape=(40, 25, 17))
    heatmaps = []
    for batch in (1, 2, 7):
        monkeypatch.setattr(predict, "_BATCH", batch)
        heatmaps.append(predict_heatmap(network, case, (16, 16, 16), 0.1, CPU))
    assert heatmaps[0].max() > 0.05
    assert_allclose(heatmaps[1], heatmaps[0], atol=1e-6)
    assert_allclose(heatmaps[2], heatmaps[0], atol=1e-6)


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
    case = make_case(1, shape=(40, 25, 17))
    shares: list[float] = []
    predict_heatmap(Echo(), case, (16, 16, 16), 0.1, CPU, progress=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1
    case.foreground[...] = False
    assert not predict_heatmap(Echo(), case, (16, 16, 16), 0.1, CPU).any()
