"""Fits in boxes against SciPy's: several Gaussians, a background, boxes cut by a border."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import curve_fit

from napari_lesion_points.core.heatmap import peak_height
from napari_lesion_points.core.least_squares import Boxes, least_squares

SIGMA = np.array([1.0, 1.4, 0.7])
SHAPE = (9, 11, 8)


def model(at: np.ndarray, *values: float) -> np.ndarray:
    total = np.full(at.shape[1], values[-1])
    for mass, *center in np.reshape(values[:-1], (-1, 4)):
        away = (at - np.array(center)[:, None]) / SIGMA[:, None]
        total += mass * peak_height(SIGMA) * np.exp(-0.5 * (away**2).sum(axis=0))
    return total


@pytest.mark.parametrize("gaussians", [1, 2])
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("inside", [(9, 11, 8), (9, 7, 5)])
def test_boxes_are_fitted_as_scipy_fits_them(
    gaussians: int, background: bool, inside: tuple[int, int, int], rng: np.random.Generator
) -> None:
    count = 6
    within = np.arange(max(SHAPE)) < np.array(inside)[:, None]
    truth_mass = rng.uniform(0.5, 1.5, (count, gaussians))
    truth = np.array([[4.0, 3, 3]]) + np.arange(gaussians)[:, None] * [0, 3.2, -1.5] + rng.normal(0, 0.3, (count, 1, 3))
    every = np.indices(SHAPE).reshape(3, -1)
    counted = (every < np.array(inside)[:, None]).all(axis=0)
    values = np.concatenate([truth_mass[..., None], truth], axis=2).reshape(count, -1)
    data = np.array([model(every, *v, 0.003 * background) for v in values])
    data = (data + rng.normal(0, 0.01 * peak_height(SIGMA), data.shape)) * counted
    start = truth + rng.normal(0, 0.2, truth.shape)
    boxes = Boxes(
        data.reshape(count, *SHAPE),
        np.broadcast_to(np.arange(max(SHAPE)), (count, 3, max(SHAPE))),
        np.broadcast_to(within, (count, 3, max(SHAPE))),
    )
    centers, mass, cost, converged = least_squares(boxes, start, truth_mass * 0.8, SIGMA, background=background)
    assert converged.all()
    for b in range(count):
        first = np.concatenate([0.8 * truth_mass[b][:, None], start[b]], axis=1).ravel()
        at, seen = every[:, counted], data[b, counted]
        if background:
            expected, _ = curve_fit(model, at, seen, p0=[*first, 0.0], ftol=1e-12, xtol=1e-12)
        else:
            expected, _ = curve_fit(lambda x, *v: model(x, *v, 0.0), at, seen, p0=first, ftol=1e-12, xtol=1e-12)
            expected = np.append(expected, 0.0)
        members = expected[:-1].reshape(-1, 4)
        assert_allclose(mass[b], members[:, 0], atol=5e-4)
        assert_allclose(centers[b], members[:, 1:], atol=5e-4)
        assert_allclose(cost[b], np.sum((seen - model(at, *expected)) ** 2), rtol=1e-3)


def test_a_fit_without_a_minimum_says_so_and_spoils_no_other() -> None:
    at = np.broadcast_to(np.arange(7), (3, 3, 7))
    data = np.zeros((3, 7, 7, 7))
    every = np.indices((7, 7, 7)).reshape(3, -1)
    for b in (0, 2):
        data[b] = model(every, 0.9, 3.2, 2.8, 3.1, 0.0).reshape(7, 7, 7)
    boxes = Boxes(data, at, np.ones(at.shape, bool))
    start = np.array([[[3.0, 3, 3]], [[900.0, 3, 3]], [[3.0, 3, 3]]])
    centers, mass, _, converged = least_squares(boxes, start, np.ones((3, 1)), SIGMA)
    assert converged.tolist() == [True, False, True]
    assert_allclose(mass[[0, 2]], 0.9, atol=1e-4)
    assert_allclose(centers[[0, 2], 0], [[3.2, 2.8, 3.1]] * 2, atol=1e-4)
