"""Presets of window and level, drags, and what stays from case to case."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lesion_points.ui.windowing import PRESETS, Windowing, dragged, preset_limits


@pytest.fixture
def head(rng: np.random.Generator) -> np.ndarray:
    """Air, tissue around 500, and a hot voxel."""
    data = rng.normal(0, 1, (40, 40, 40))
    data[12:28, 12:28, 12:28] = rng.normal(500, 50, (16, 16, 16))
    data[20, 20, 20] = 1e6
    return data


def test_automatic_limits_come_from_the_head(head: np.ndarray) -> None:
    low, high = preset_limits(head, "FLAIR")["auto"]
    assert 350 < low < 450
    assert 580 < high < 720


def test_presets_do_what_their_names_say(head: np.ndarray) -> None:
    limits = preset_limits(head, "FLAIR")
    assert tuple(limits) == PRESETS
    width = {name: high - low for name, (low, high) in limits.items()}
    assert width["narrow"] == pytest.approx(width["auto"] / 2)
    assert width["narrow"] < width["auto"] < width["wide"]
    assert limits["wide"][1] == 1e6
    assert limits["lesion"][0] > limits["auto"][0]  # most of the brain darker: bright lesions stand out


def test_lesions_are_dark_in_t1w_but_not_with_contrast_medium(head: np.ndarray) -> None:
    dark, bright = preset_limits(head, "t1_mprage"), preset_limits(head, "ce-gadolinium_T1w")
    assert dark["lesion"][1] < dark["auto"][1]
    assert bright["lesion"][1] > bright["auto"][1]


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_image_of_one_value_has_limits(value: float) -> None:
    for low, high in preset_limits(np.full((4, 5, 6), value), "T2w").values():
        assert high > low


def test_a_drag_changes_width_and_level_alone() -> None:
    auto = (100.0, 300.0)
    low, high = dragged(auto, 50, 0, auto)
    assert low + high == pytest.approx(400)
    assert high - low > 200
    low, high = dragged(auto, 0, 50, auto)
    assert high - low == pytest.approx(200)
    assert low + high < 400
    back = dragged(dragged(auto, 80, -30, auto), -80, 30, auto)
    np.testing.assert_allclose(back, auto)
    low, high = dragged(auto, -1e4, 0, auto)
    assert high - low == pytest.approx(2.0)


def test_the_choice_holds_for_the_next_case_whatever_its_intensities() -> None:
    windowing, first, second = Windowing(), {"auto": (0.0, 100.0)}, {"auto": (1000.0, 3000.0)}
    for presets in (first, second):
        presets.update(dict.fromkeys(PRESETS[1:], (0.0, 1.0)))
    assert windowing.limits("FLAIR", first) == (0.0, 100.0)
    windowing.own("FLAIR", (25.0, 75.0), first)
    assert windowing.chosen("FLAIR") == "own"
    assert windowing.limits("FLAIR", second) == (1500.0, 2500.0)
    assert windowing.limits("T1w", second) == (1000.0, 3000.0)
    assert [windowing.step("FLAIR") for _ in range(5)] == [*PRESETS, PRESETS[0]]
