"""Training on simulated blobs: what is learned, what is kept, and going on after a stop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_lesion_points.core.events import LossPoint, Progress, Validation
from napari_lesion_points.core.fitting import fit_gaussians
from napari_lesion_points.core.heatmap import peak_height
from napari_lesion_points.core.metrics import CaseDetections, best_threshold
from napari_lesion_points.core.preparation import NetworkInput
from napari_lesion_points.errors import CheckpointError, DeviceError, TrainingError
from napari_lesion_points.learn.checkpoint import (
    network_from,
    pack,
    pack_state,
    unpack,
    unpack_state,
)
from napari_lesion_points.learn.devices import Device, available_devices, choose_device
from napari_lesion_points.learn.network import UNet, UNetConfig
from napari_lesion_points.learn.patches import PatchSettings
from napari_lesion_points.learn.predict import predict_heatmap
from napari_lesion_points.learn.recipes import RECIPES, recipe_named
from napari_lesion_points.learn.train import (
    VALIDATIONS,
    WARM_UP,
    KeepModel,
    KeepState,
    TrainSettings,
    one_cycle,
    train,
)
from napari_lesion_points.workflow import models

MakeCase = Callable[..., NetworkInput]

CPU = Device("cpu", "CPU", half=False)
CONFIG = UNetConfig(1, filters=4, levels=2, dropout=0.0, bias=-4.0)
PATCHES = PatchSettings((16, 16, 16), (8, 8, 8), (1.2, 1.2, 1.2))


def network(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return UNet(CONFIG)


def settings(epochs: int = 1, seed: int = 0, **recipe: Any) -> TrainSettings:
    return TrainSettings(replace(RECIPES["fast"], **{"batch": 2, **recipe}), PATCHES, epochs=epochs, seed=seed)


def run(net: UNet, cases: list[NetworkInput], aside: list[NetworkInput], how: TrainSettings, **more: Any) -> list[Any]:
    return list(train(net, cases, aside, how, CPU, started=time.monotonic(), **more))


def of_kind(kind: type, events: list[Any]) -> list[Any]:
    return [e for e in events if isinstance(e, kind)]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def stop_after(count: int) -> Callable[[], bool]:
    """Say no so many times when asked, then yes."""
    asked = iter(range(count))
    return lambda: next(asked, None) is None


@pytest.fixture(scope="module")
def taught(make_case: MakeCase) -> tuple[list[Any], list[NetworkInput], list[NetworkInput]]:
    """A training that has learned its blobs."""
    cases, aside = [make_case(s) for s in (1, 2, 3, 4)], [make_case(s) for s in (11, 12)]
    return run(network(), cases, aside, settings(10)), cases, aside


@pytest.mark.slow
def test_blobs_are_learned_and_found_in_new_cases(
    taught: tuple[list[Any], list[NetworkInput], list[NetworkInput]],
) -> None:
    events, _, aside = taught
    figures = of_kind(Validation, events)
    assert figures[-1].f1 > 0.6  # at a threshold for existence that means what it says, which takes longer to learn
    assert 0 < figures[-1].threshold < 1
    assert not figures[-1].on_training_cases
    kept = of_kind(KeepModel, events)[-1]
    assert kept.validation in figures
    lesions, best = sum(len(c.points_world) for c in aside), max(f.f1 for f in figures)
    assert kept.validation.f1 >= best - max(0.02, (best * (1 - best) / lesions) ** 0.5)
    found, model = [], network_from(kept.weights, CONFIG, "model")
    for case in aside:
        fits = fit_gaussians(
            predict_heatmap(model, case, PATCHES.size, peak_height(PATCHES.sigma_vox), CPU), PATCHES.sigma_vox
        )
        found.append(CaseDetections(case.case, case.grid.to_world(fits.centers_vox), fits.existence, case.points_world))
    assert best_threshold(found, 6.0)[1].f1 > 0.85


@pytest.mark.slow
def test_fine_tuning_never_replaces_a_better_model(
    make_case: MakeCase,
    taught: tuple[list[Any], list[NetworkInput], list[NetworkInput]],
) -> None:
    events, _, aside = taught
    model = network_from(of_kind(KeepModel, events)[-1].weights, CONFIG, "model")
    before = copy.deepcopy(model.state_dict())
    healthy = [make_case(s, lesions=0) for s in (21, 22)]  # it forgets its lesions over these
    tuned = run(model, healthy, aside, settings(3, learning_rate=0.3, kernel_rate=0.0), fine_tune=True)
    figures, kept = of_kind(Validation, tuned), of_kind(KeepModel, tuned)
    assert figures[0].step == 0
    assert figures[-1].f1 < figures[0].f1
    assert [k.validation.step for k in kept] == [0]
    assert same(kept[0].weights, before)


def test_the_same_seed_and_epochs_give_the_same_weights(make_case: MakeCase) -> None:
    cases = [make_case(1), make_case(2, lesions=0)]
    ends = []
    for seed in (3, 3, 4):
        events = run(network(), cases, [cases[0]], settings(1, seed=seed))
        ends.append(of_kind(KeepModel, events)[-1].weights)
        # As many looks as planned, however long each takes: else the clock would choose which model is kept.
        assert len(of_kind(Validation, events)) == VALIDATIONS
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


def test_an_epoch_is_eight_patches_per_case(make_case: MakeCase) -> None:
    events = run(network(), [make_case(1), make_case(2), make_case(3)], [], settings(2, batch=4))
    state = of_kind(KeepState, events)[-1].state
    assert state.step == 2 * 3 * 8 / 4
    assert type(events[-1]) is KeepState
    assert [v.step for v in of_kind(Validation, events)] == [3, 6, 9, 12]
    assert all(v.on_training_cases for v in of_kind(Validation, events))
    fractions = [p.fraction for p in of_kind(Progress, events)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert all(math.isfinite(p.loss) for p in of_kind(LossPoint, events))


def test_a_budget_in_minutes_is_kept(make_case: MakeCase) -> None:
    started = time.monotonic()
    events = list(
        train(network(), [make_case(1)], [], replace(settings(), epochs=None, minutes=0.1), CPU, started=started)
    )
    assert time.monotonic() - started < 0.1 * 60 + 3
    assert of_kind(KeepModel, events)[-1].validation == of_kind(Validation, events)[-1]  # the one at the end


def test_stopping_before_the_first_validation_keeps_a_model_without_figures(make_case: MakeCase) -> None:
    events = run(network(), [make_case(1)], [], settings(50), should_stop=stop_after(3))
    assert [type(e) for e in events if isinstance(e, KeepModel | KeepState)] == [KeepModel, KeepState]
    kept, state = of_kind(KeepModel, events)[0], of_kind(KeepState, events)[0].state
    assert kept.validation is None
    assert 0 < state.step < 10
    assert same(kept.weights, state.average)


def test_stopping_later_keeps_the_best_so_far(make_case: MakeCase) -> None:
    how = settings(4)  # 16 steps; the first look is after 4
    events: list[Any] = []
    stream: Iterator[Any] = train(
        network(), [make_case(1)], [], how, CPU, started=time.monotonic(),
        should_stop=lambda: bool(of_kind(Validation, events)),
    )  # fmt: skip
    for event in stream:
        events.append(event)
    state = of_kind(KeepState, events)[-1].state
    assert state.step == 4
    assert of_kind(KeepModel, events)[-1].validation == state.best


def test_whoever_goes_on_knows_of_the_model_that_was_kept(make_case: MakeCase) -> None:
    kept: list[Validation | None] = []
    told: list[tuple[Validation | None, int]] = []
    for event in train(network(), [make_case(1)], [], settings(4), CPU, started=time.monotonic()):
        if isinstance(event, KeepModel):
            kept.append(event.validation)
        elif isinstance(event, KeepState):
            told.append((event.state.best, len(kept)))
    assert len(kept) > 1
    assert {number for _, number in told} == set(range(1, len(kept) + 1))  # one after each
    assert all(best == kept[number - 1] for best, number in told)


def test_a_stopped_training_goes_on_from_its_file(make_case: MakeCase, tmp_path: Path) -> None:
    cases, how = [make_case(1), make_case(2)], settings(4)  # 32 steps
    first = run(network(), cases, [], how, should_stop=stop_after(12))
    state = of_kind(KeepState, first)[-1].state
    assert 0 < state.step < 32
    path = tmp_path / "resume.safetensors"
    path.write_bytes(pack_state(state))
    loaded = unpack_state(path)
    assert (loaded.step, loaded.elapsed_s, loaded.best) == (state.step, state.elapsed_s, state.best)
    for part in ("weights", "average", "first", "second"):
        assert same(getattr(loaded, part), getattr(state, part))
    assert loaded.first.keys() == dict(network().named_parameters()).keys()

    again = run(network(seed=9), cases, [], how, state=loaded)
    end = of_kind(KeepState, again)[-1].state
    assert end.step == 32
    assert end.elapsed_s > state.elapsed_s
    assert min(p.fraction for p in of_kind(Progress, again)) >= state.step / 32
    assert all(v.step > state.step for v in of_kind(Validation, again))


def test_resuming_starts_from_the_weights_that_were_kept(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case(1)
    state = of_kind(KeepState, run(network(), [case], [], settings(1)))[-1].state
    path = tmp_path / "resume.safetensors"
    path.write_bytes(pack_state(state))
    done = run(network(seed=9), [case], [], settings(1), state=unpack_state(path))  # its budget is used up
    assert of_kind(KeepState, done)[-1].state.step == state.step
    assert same(of_kind(KeepState, done)[-1].state.weights, state.weights)
    assert same(of_kind(KeepModel, done)[-1].weights, state.average)


def test_a_loss_that_stays_infinite_is_an_error(make_case: MakeCase) -> None:
    case = make_case(1)
    case.images[...] = float("inf")
    with pytest.raises(TrainingError, match="not finite"):
        run(network(), [case], [], settings(20))


def test_a_short_training_without_one_good_step_is_an_error_too(make_case: MakeCase) -> None:
    case = make_case(1)
    case.images[...] = float("nan")
    with pytest.raises(TrainingError, match="not finite"):
        run(network(), [case], [], settings(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"minutes": 1.0}, "one of the two"), ({"epochs": None}, "one of the two")],
)
def test_one_budget_and_one_case_are_needed(make_case: MakeCase, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        run(network(), [make_case(1)], [], replace(settings(1), **changes))
    with pytest.raises(TrainingError, match="no cases"):
        run(network(), [], [make_case(1)], settings(1))


def test_the_average_of_a_batch_norm_network_has_seen_the_patches(make_case: MakeCase) -> None:
    net = UNet(replace(CONFIG, norm="batch"))
    events = run(net, [make_case(1)], [], settings(2))
    kept = of_kind(KeepModel, events)[-1].weights
    seen = [v for k, v in kept.items() if k.endswith("running_mean")]
    assert seen
    assert all(v.abs().max() > 0 for v in seen)
    again = network_from(unpack(pack(kept, {}), "m"), net.config, "m")
    assert same(again.state_dict(), kept)


def test_recipes_are_known_by_name() -> None:
    assert tuple(RECIPES) == models.RECIPES
    assert recipe_named("paper").network.output == "exp"
    with pytest.raises(TrainingError, match="choose one of: fast, paper"):
        recipe_named("cake")


@pytest.mark.parametrize("name", RECIPES)
def test_patches_of_any_volume_are_multiples_of_the_stride(name: str) -> None:
    stride = RECIPES[name].network.stride
    for voxels in range(1, 250):
        patches = RECIPES[name].patches((voxels, 64, 8), stride, (1.0, 1.0, 1.0))
        assert all(n % stride == 0 and n >= 24 for n in (*patches.size, *patches.early_size))
        assert patches.size[0] >= min(voxels, RECIPES[name].patch_vox)


def test_patches_are_varied_more_the_better_lesions_are_known() -> None:
    fast = RECIPES["fast"]
    assert fast.strength(0, lesions=10) == 0
    half = fast.familiar / 2 * 10 / fast.lesion_share
    assert fast.strength(int(half), lesions=10) == pytest.approx(0.5, rel=0.02)
    assert fast.strength(int(half), lesions=5) == pytest.approx(1, rel=0.02)
    assert fast.strength(10**9, lesions=0) == 1
    assert RECIPES["paper"].strength(0, lesions=10) == 1
    assert fast.augment.scaled(0.5).intensity == fast.augment.intensity / 2


def test_the_paper_trains_too(make_case: MakeCase) -> None:
    paper = RECIPES["paper"]
    net = UNet(replace(paper.network, channels=1, filters=2))
    patches = replace(PATCHES, size=(32, 32, 32), early_size=(32, 32, 32), augment=paper.augment)
    # at the paper's rate the background takes hours to go down; the rest is its own
    how = TrainSettings(replace(paper, learning_rate=1e-2), patches, epochs=6)
    losses = [e.loss for e in of_kind(LossPoint, run(net, [make_case(1, shape=(32, 32, 32))], [], how))]
    assert losses[-1] < 0.7 * losses[0]
    assert min(losses) > 0


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    at = [i / 1000 for i in range(1001)]
    rates = [one_cycle(f) for f in at]
    top = rates.index(max(rates))
    assert (at[top], rates[top]) == (WARM_UP, 1)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] > 0
    assert rates[-1] == pytest.approx(0)


def test_weights_survive_their_file() -> None:
    net = network(1)
    data = pack(net.state_dict(), {"note": "a"})
    again = network_from(unpack(data, "m"), CONFIG, "m")
    assert same(again.state_dict(), net.state_dict())


@pytest.mark.parametrize("cut", [0, 4, 60, -1])
def test_a_truncated_file_is_damaged(cut: int, tmp_path: Path) -> None:
    data = pack(network().state_dict(), {})[:cut]
    with pytest.raises(CheckpointError, match=r"m\.safetensors is damaged"):
        unpack(data, "m.safetensors")
    path = tmp_path / "resume.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        unpack_state(path)


@pytest.mark.parametrize(
    "metadata", [{}, {"state": "{}"}, {"state": "no json"}, {"state": "[1]"}, {"state": '{"step": 3}'}]
)
def test_a_foreign_file_holds_no_training_state(metadata: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "resume.safetensors"
    path.write_bytes(pack(network().state_dict(), metadata))
    with pytest.raises(CheckpointError, match=r"resume\.safetensors"):
        unpack_state(path)
    with pytest.raises(CheckpointError, match=r"absent"):
        unpack_state(tmp_path / "absent")


def test_weights_of_another_network_or_not_finite_are_refused() -> None:
    tensors = network().state_dict()
    with pytest.raises(CheckpointError, match="m does not hold"):
        network_from(tensors, replace(CONFIG, filters=8), "m")
    with pytest.raises(CheckpointError, match="does not hold"):
        network_from({k: v for k, v in tensors.items() if "head" not in k}, CONFIG, "m")
    broken = {**tensors, "head.bias": torch.tensor([math.nan])}
    with pytest.raises(CheckpointError, match="not finite"):
        network_from(broken, CONFIG, "m")


def test_the_state_of_another_network_is_refused(make_case: MakeCase) -> None:
    state = of_kind(KeepState, run(network(), [make_case(1)], [], settings(1), should_stop=stop_after(1)))[-1].state
    with pytest.raises(CheckpointError, match="another network"):
        run(UNet(replace(CONFIG, filters=8)), [make_case(1)], [], settings(1), state=state)


def test_auto_is_the_first_device_and_every_machine_has_a_cpu() -> None:
    devices = available_devices()
    assert devices[-1].name == "cpu"
    assert choose_device("auto") == devices[0]
    assert choose_device("cpu") == devices[-1]
    with pytest.raises(DeviceError, match="abacus"):
        choose_device("abacus")
