"""MC dropout: repeatable, an average of samples, and the plain prediction where there is nothing to drop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.core.preparation import NetworkInput
from napari_lesion_points.learn.devices import Device
from napari_lesion_points.learn.dropout import predict_with_dropout
from napari_lesion_points.learn.network import UNet, UNetConfig, fresh_network
from napari_lesion_points.learn.predict import drops, predict_heatmap

MakeCase = Callable[..., NetworkInput]

CPU = Device("cpu", "CPU", half=False)
SIZE = (16, 16, 16)


def network(dropout: float, norm: str = "instance") -> UNet:
    config = UNetConfig(1, filters=4, levels=2, norm=norm, dropout=dropout, decoder_dropout=dropout, bias=0.0)
    return fresh_network(config, seed=0)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_same_seed_gives_the_same_and_another_seed_another(make_case: MakeCase, norm: str) -> None:
    drawing, case = network(0.3, norm), make_case(1, shape=(24, 20, 17))
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    found = [predict_with_dropout(drawing, case, SIZE, 0.5, CPU, samples=3, seed=seed) for seed in (5, 5, 6)]
    assert_array_equal(found[0].probability, found[1].probability)
    assert_array_equal(found[0].existence, found[1].existence)
    assert np.abs(found[0].probability - found[2].probability).max() > 1e-4
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(m.training for m in drawing.modules())


def test_the_number_of_threads_changes_no_sample(make_case: MakeCase) -> None:
    drawing, case, found = network(0.3), make_case(1, shape=(24, 20, 17)), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(predict_heatmap(drawing, case, SIZE, 0.5, CPU, dropout_seed=5))
        torch.set_num_threads(1)
    assert_allclose(found[1], found[0], atol=1e-5)


def test_the_probability_is_the_mean_over_the_samples(make_case: MakeCase) -> None:
    drawing, case = network(0.3), make_case(1)
    seeds = np.random.default_rng(4).integers(2**32, size=4).tolist()
    slow = np.mean([predict_heatmap(drawing, case, SIZE, 0.5, CPU, dropout_seed=s) for s in seeds], axis=0)
    shares: list[float] = []
    found = predict_with_dropout(drawing, case, SIZE, 0.5, CPU, samples=4, seed=4, progress=shares.append)
    assert_allclose(found.probability, slow, atol=1e-6)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    plain = predict_heatmap(drawing, case, SIZE, 0.5, CPU)
    assert np.abs(found.probability - plain).max() > 1e-4


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_without_dropout_it_is_the_plain_prediction(make_case: MakeCase, norm: str) -> None:
    plain, case = network(0.0, norm), make_case(1)
    found = predict_with_dropout(plain, case, SIZE, 0.5, CPU)
    assert not drops(plain)
    assert drops(network(0.1))
    assert_array_equal(found.probability, predict_heatmap(plain, case, SIZE, 0.5, CPU))


class Drawing(torch.nn.Module):
    """Logits that are the first sequence: two boxes of known probabilities."""

    config = UNetConfig(1, levels=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1]


def test_a_lesion_is_as_uncertain_as_the_mean_of_its_voxels(make_case: MakeCase) -> None:
    case = make_case(1, shape=(16, 16, 16))
    drawn = np.full(case.foreground.shape, 0.01)
    drawn[4:6, 4:6, 4:6] = 0.8
    drawn[4, 4, 4] = 0.9
    drawn[10:12, 10, 10:12] = 0.6
    case.foreground[...] = True
    case.images[0] = np.log(drawn / (1 - drawn))
    found = predict_with_dropout(Drawing(), case, SIZE, 0.5, CPU)  # type: ignore[arg-type]
    assert_allclose(found.centers_vox, [[4.5, 4.5, 4.5], [10.5, 10, 10.5]])
    assert_allclose(found.existence, [(7 * 0.8 + 0.9) / 8, 0.6], atol=1e-3)
    assert_allclose(found.entropy, binary_entropy(found.existence))
    assert_allclose(found.probability, drawn, atol=1e-3)


def test_no_samples_are_refused(make_case: MakeCase) -> None:
    with pytest.raises(ValueError, match="samples is 0"):
        predict_with_dropout(network(0.1), make_case(1), SIZE, 0.5, CPU, samples=0)
