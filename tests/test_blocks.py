"""Least squares by blocks: the minimum that a general solver finds, with parameters of each device, common ones, and bounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from aimco.device.fit.blocks import Slopes, solve

DEVICES, EACH = 5, 12


def problem(common: bool, seed: int):
    """Decays a exp(-b x) of several devices, with an offset in common where asked for: residuals, slopes, start."""
    draws = np.random.default_rng(seed)
    device = np.repeat(np.arange(DEVICES), EACH)
    x = np.tile(np.linspace(0, 2, EACH), DEVICES)
    a, b = draws.uniform(0.5, 2, DEVICES), draws.uniform(0.3, 1.5, DEVICES)
    y = a[device] * np.exp(-b[device] * x) + 0.1 * common + 0.01 * draws.standard_normal(x.size)

    def residuals(theta: np.ndarray) -> np.ndarray:
        a, b = theta[:DEVICES], theta[DEVICES : 2 * DEVICES]
        return a[device] * np.exp(-b[device] * x) + (theta[-1] if common else 0.0) - y

    def slopes(theta: np.ndarray, at: np.ndarray) -> Slopes:
        a, b = theta[:DEVICES][device], theta[DEVICES : 2 * DEVICES][device]
        decay = np.exp(-b * x)
        return Slopes(device, np.stack([decay, -a * x * decay], 1), np.ones((x.size, int(common))), DEVICES)

    return residuals, slopes, np.concatenate([np.ones(2 * DEVICES), np.zeros(int(common))])


@pytest.mark.parametrize("common", [True, False])
@pytest.mark.parametrize("highest", [np.inf, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_the_minimum_is_that_of_a_general_solver(common, highest, seed):
    residuals, slopes, start = problem(common, seed)
    low, high = np.full(start.size, -np.inf), np.full(start.size, np.inf)
    high[DEVICES : 2 * DEVICES] = highest
    start = np.minimum(start, high - 1e-9)
    found, cost = solve(residuals, slopes, start, (low, high), 200, 1e-14)
    general = optimize.least_squares(residuals, start, bounds=(low, high), xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert cost == pytest.approx(2 * general.cost, rel=1e-6)
    assert found == pytest.approx(general.x, abs=1e-4)  # the general one comes near to bounds from within
    assert (found <= high).all()
    assert not np.isfinite(highest) or (found == high).any()


@pytest.mark.parametrize("common", [True, False])
def test_the_whole_jacobian_is_that_of_differences(common):
    residuals, slopes, start = problem(common, 0)
    theta, size = start + 0.1, 1e-6
    columns = [(residuals(theta + size * row) - residuals(theta - size * row)) / (2 * size) for row in np.eye(theta.size)]
    assert slopes(theta, residuals(theta)).whole() == pytest.approx(np.stack(columns, 1), abs=1e-8)


def test_a_device_without_readings_stays_where_it_was():
    residuals, slopes, start = problem(False, 0)
    mask = slopes(start, residuals(start)).device != 2
    bounds = np.full(start.size, -np.inf), np.full(start.size, np.inf)

    def some(theta: np.ndarray, at: np.ndarray) -> Slopes:
        of_all = slopes(theta, residuals(theta))
        return Slopes(of_all.device[mask], of_all.local[mask], of_all.common[mask], DEVICES)

    found, _ = solve(lambda theta: residuals(theta)[mask], some, start, bounds, 100, 1e-12)
    assert found[[2, DEVICES + 2]] == pytest.approx(start[[2, DEVICES + 2]])
    assert abs(found[0] - start[0]) > 0.01
