"""Where a curve of accuracy against a device parameter leaves the allowed penalty, with an interval from the seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.stats import norm, t

_RESAMPLES = 1000
_LEVEL = 0.95
Kind = Literal["crossed", "any", "none"]


@dataclass(frozen=True)
class Threshold:
    """The worst value of a parameter that keeps the penalty within the allowed one.

    Args:
        kind: "crossed" within the values tried; "any" of them is tolerated, `value` being the worst tried; "none" of them is, `value`
            being the best tried.
        value: of the parameter. low, high: 95 % interval; None where fewer than two seeds or no crossing say nothing of it.
    """

    kind: Kind
    value: float
    low: float | None = None
    high: float | None = None


def penalty(values: np.ndarray, lost: np.ndarray, rises: bool) -> np.ndarray:
    """Mean points lost at each value, made monotone: the isotonic fit by pooling of neighbours that are out of order.

    Args:
        values: of the parameter, (V,). lost: points below the near-ideal device, (V, seeds). rises: whether larger values are worse.
    """
    order = np.argsort(values if rises else -values)
    fitted = np.empty(len(values))
    fitted[order] = isotonic_regression(lost.mean(1)[order]).x
    return fitted


def crossing(values: np.ndarray, lost: np.ndarray, allowed: float, rises: bool) -> tuple[Kind, float]:
    """Value at which the monotone penalty crosses the allowed one, linear in the logarithm of the value between those tried."""
    order = np.argsort(values if rises else -values)
    x, y = values[order], penalty(values, lost, rises)[order]
    if y[0] > allowed:
        return "none", float(x[0])
    above = np.flatnonzero(y > allowed)
    if len(above) == 0:
        return "any", float(x[-1])
    k = int(above[0])
    share = (allowed - y[k - 1]) / (y[k] - y[k - 1])
    return "crossed", float(np.exp(np.log(x[k - 1]) + share * np.log(x[k] / x[k - 1])))


def threshold(values: np.ndarray, lost: np.ndarray, allowed: float, rises: bool) -> Threshold:
    """The crossing of the allowed penalty, and its interval.

    Seeds are resampled with replacement, all values of a seed together (they share its devices, weights and order of samples), and the
    crossing found anew; the deviations of its logarithm are widened by t(n - 1)/z sqrt(n/(n - 1)) for n seeds, since few seeds resampled
    spread too little. An end of the interval that reaches the values tried is cut there.

    Args:
        values: of the parameter, > 0, (V,). lost: points below the near-ideal device of the same seed, (V, seeds).
        allowed: penalty, points. rises: whether larger values are worse.

    Example:
        >>> limit = threshold(np.array([1.0, 10.0]), np.array([[0.0], [1.0]]), 0.5, rises=True)
        >>> limit.kind, round(limit.value, 3)
        ('crossed', 3.162)
    """
    kind, value = crossing(values, lost, allowed, rises)
    seeds = lost.shape[1]
    if kind != "crossed" or seeds < 2:
        return Threshold(kind, value)
    draws = np.random.default_rng(0).integers(seeds, size=(_RESAMPLES, seeds))
    crossings = np.array([crossing(values, lost[:, draw], allowed, rises)[1] for draw in draws])
    wider = t.ppf((1 + _LEVEL) / 2, seeds - 1) / norm.ppf((1 + _LEVEL) / 2) * np.sqrt(seeds / (seeds - 1))
    ends = np.quantile(np.log(crossings / value), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    low, high = np.clip(value * np.exp(wider * ends), values.min(), values.max())
    return Threshold(kind, value, float(min(low, value)), float(max(high, value)))


def closer(values: np.ndarray, lost: np.ndarray, allowed: float, rises: bool, count: int) -> np.ndarray:
    """Values to try next: within the two neighbours of the crossing, evenly in the logarithm; none where all are tolerated.

    Where none is tolerated, those of the decade on the better side.
    """
    kind, value = crossing(values, lost, allowed, rises)
    if kind == "any":
        return np.empty(0)
    if kind == "none":
        return np.geomspace(value, value / 10 if rises else value * 10, count + 1)[1:]
    below, above = values[values <= value].max(), values[values >= value].min()
    return np.geomspace(below, above, count + 2)[1:-1]
