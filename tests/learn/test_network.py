"""Shapes, the start and the loss of the network."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from napari_lesion_points.core.heatmap import draw_gaussians, peak_height
from napari_lesion_points.learn.devices import Device
from napari_lesion_points.learn.losses import soft_target_loss, squared_error_loss
from napari_lesion_points.learn.network import UNet, UNetConfig, fold, heatmap_from_logits, unfold


@pytest.mark.parametrize(
    ("config", "stride"),
    [
        (UNetConfig(1, filters=2, levels=2), 2),
        (UNetConfig(3, filters=2, levels=4), 8),
        (UNetConfig(2, filters=2, levels=3, fold=2), 8),
    ],
)
def test_any_multiple_of_the_stride_keeps_its_shape(config: UNetConfig, stride: int) -> None:
    assert config.stride == stride
    i, j, k = 2 * stride, 3 * stride, 4 * stride
    logits = UNet(config).eval()(torch.randn(2, config.channels, i, j, k))
    assert logits.shape == (2, 1, i, j, k)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_folding_moves_blocks_of_voxels_into_channels_and_back(factor: int) -> None:
    x = torch.randn(2, 3, 6, 12, 18)
    folded = fold(x, factor)
    assert folded.shape == (2, 3 * factor**3, 6 // factor, 12 // factor, 18 // factor)
    block = x[1, :, factor : 2 * factor, :factor, 2 * factor : 3 * factor]
    assert torch.equal(folded[1, :, 1, 0, 2], block.reshape(-1))
    assert torch.equal(unfold(folded, factor), x)


def test_a_fresh_network_predicts_next_to_nothing() -> None:
    torch.manual_seed(0)
    peak = peak_height(1.0)
    with torch.no_grad():
        heatmap = heatmap_from_logits(
            UNet(UNetConfig(1, filters=4, levels=3)).eval()(torch.randn(1, 1, 16, 16, 16)), peak
        )
    assert heatmap.min() > 0
    assert heatmap.max() < 0.05 * peak


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    network, x = UNet(UNetConfig(1, filters=4, levels=2, dropout=0.5)), torch.randn(1, 1, 8, 8, 8)
    network.train()
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def targets(*centers_vox: tuple[float, float, float]) -> torch.Tensor:
    return torch.from_numpy(draw_gaussians((12, 12, 12), centers_vox, 1.0))[None, None]


def test_the_loss_is_least_where_the_heatmap_is_the_target() -> None:
    peak = peak_height(1.0)
    target = targets((5.3, 6, 6.6))
    logits = torch.logit((target / (2 * peak)).clamp(1e-9, 1 - 1e-9))
    logits.requires_grad_()
    least = soft_target_loss(logits, target, peak)
    least.backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-7
    assert torch.allclose(heatmap_from_logits(logits, peak), target, atol=1e-6)
    torch.manual_seed(0)
    for size in (0.01, 0.1, 1.0):
        assert soft_target_loss(logits + size * torch.randn_like(logits), target, peak) > least


def test_the_loss_has_the_targets_mass_as_its_gradient() -> None:
    # "One lesion counts as one": the gradient's sum is the mass that is missing, per patch, whatever the background.
    peak = peak_height(1.0)
    for target, mass in ((targets((6, 6, 6)), 1.0), (targets((3, 3, 6), (8, 8, 6)), 2.0), (targets(), 0.0)):
        logits = torch.full_like(target, -30).requires_grad_()
        soft_target_loss(logits, target, peak).backward()
        assert logits.grad is not None
        assert float(logits.grad.sum()) == pytest.approx(-mass, abs=0.02)


def test_the_loss_does_not_depend_on_the_number_of_patches() -> None:
    logits, target, peak = torch.randn(1, 1, 12, 12, 12), targets((6, 6, 6)), peak_height(1.0)
    one = soft_target_loss(logits, target, peak)
    three = soft_target_loss(logits.repeat(3, 1, 1, 1, 1), target.repeat(3, 1, 1, 1, 1), peak)
    assert torch.isclose(one, three)


def test_heaped_lesions_beyond_the_ceiling_keep_the_loss_finite() -> None:
    target = 5 * targets((6, 6, 6))
    assert torch.isfinite(soft_target_loss(torch.zeros_like(target), target, peak_height(1.0)))


def test_squared_error_counts_the_foreground_only() -> None:
    heatmap, target = torch.rand(2, 1, 4, 4, 4), torch.rand(2, 1, 4, 4, 4)
    inside = torch.rand(2, 1, 4, 4, 4) > 0.5
    expected = sum(float((heatmap[i] - target[i])[inside[i]].square().sum()) for i in range(2)) / 2
    assert float(squared_error_loss(heatmap, target, inside)) == pytest.approx(expected)


def test_the_papers_output_is_an_exponential() -> None:
    logits = torch.tensor([-4.0, 0.0, 1.0])
    assert torch.equal(heatmap_from_logits(logits, 0.06, "exp"), logits.exp())


def test_logits_are_float32_in_half_precision_too() -> None:
    torch.manual_seed(0)
    network, x = UNet(UNetConfig(1, filters=4, levels=2)).eval(), torch.randn(1, 1, 8, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = network(x)
    assert logits.dtype == torch.float32
    assert (logits - logits.bfloat16().float()).abs().max() > 0.001
    assert torch.allclose(logits, network(x), atol=0.1)


def test_a_network_that_is_told_which_sequences_there_are_knows_a_missing_one_from_a_dark_one() -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(2, filters=4, levels=2, presence=True)).eval()
    assert network.encoder[0][0][0].in_channels == 4
    seen = torch.rand(1, 2, 8, 8, 8) + 0.5
    dark, missing = seen.clone(), seen.clone()
    dark[:, 1], missing[:, 1] = 1e-6, 0
    plain = UNet(UNetConfig(2, filters=4, levels=2)).eval()
    assert torch.allclose(plain(dark), plain(missing), atol=1e-4)
    assert not torch.allclose(network(dark), network(missing), atol=1e-3)


@pytest.mark.parametrize("half", [False, True])
def test_where_a_network_is_placed_does_not_change_its_answer(half: bool) -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(2, filters=4, levels=3, norm="batch")).eval()
    x = torch.randn(1, 2, 16, 16, 16)
    before = network(x)
    Device("cpu", "CPU", half).place(network)
    laid_out = network.encoder[1][0][0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert laid_out == half
    assert torch.allclose(network(x), before, atol=1e-5)


def test_what_is_unknown_does_not_count() -> None:
    torch.manual_seed(0)
    logits, target, peak = torch.randn(1, 1, 12, 12, 12), targets((6, 6, 6)), peak_height(1.0)
    known = torch.ones_like(target, dtype=torch.bool)
    known[..., :6] = False
    other = torch.where(known, logits, 5.0)
    assert soft_target_loss(logits, target, peak, known) == soft_target_loss(other, target, peak, known)
    whole = soft_target_loss(logits, target, peak)
    assert soft_target_loss(logits, target, peak, torch.ones_like(known)) == pytest.approx(float(whole), rel=1e-6)
    assert soft_target_loss(logits, target, peak, known) < whole


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_shorter_kernels_answer_the_same(norm: Literal["batch", "instance"]) -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(2, filters=4, levels=3, norm=norm, bias=0.0))
    fresh = {name: p.norm().item() for name, p in network.named_parameters() if p.ndim == 5}
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(9 if p.ndim == 5 else 1.5)
    network.encoder[0].requires_grad_(False)
    x = torch.randn(2, 2, 16, 16, 16)
    for _ in range(20):
        network(3 * torch.randn(2, 2, 16, 16, 16))  # BatchNorm sees what is not standard normal
    before = network.eval()(x)
    network.shorten_kernels(0.5)
    torch.testing.assert_close(network(x), before, rtol=1e-2, atol=1e-2)
    for name, p in network.named_parameters():
        if p.ndim == 5:
            longer = 9.0 if name.startswith(("encoder.0", "head")) else 3.0
            assert p.norm().item() / fresh[name] == pytest.approx(longer, rel=0.15), name
