"""A measured table: the distribution of the change by one pulse, state by state, taken as it is."""

from __future__ import annotations

import numpy as np
from pydantic import Field, field_validator
from scipy import stats

from aimco.device.response import Response

Table = tuple[tuple[float, ...], ...]
_WIDEST = 3.0  # standard deviations at the ends of a row
_NO_NOISE: Table = ((1.0, 1.0), (1.0, 1.0))


class JumpTable(Response):
    """Jump table: dg = step_up T_up(g, z), z a standard normal number; dg- = -step_down T_down(g, z).

    Row k of a table is the state g_min + k (g_max - g_min)/(rows - 1); its values are quantiles of the change at the normal deviates
    -3 to +3, evenly spaced, of which those between are interpolated. The noise from cycle to cycle is in the tables; the fields for it
    are not used.
    Source: lookup tables of Jacobs-Gedrim 2017 (conductance change against conductance, as cumulative distributions).

    Args:
        up, down: changes relative to step_up and to -step_down, rows of equal length, 2 at least of each.
    """

    up: Table = Field(default=_NO_NOISE, description="change by an up pulse over step_up, by state and quantile")
    down: Table = Field(default=_NO_NOISE, description="change by a down pulse over -step_down, by state and quantile")

    @field_validator("up", "down", mode="before")
    @classmethod
    def _as_tuples(cls, table: object) -> object:
        return tuple(tuple(row) if isinstance(row, list) else row for row in table) if isinstance(table, list | tuple) else table

    @field_validator("up", "down")
    @classmethod
    def _rectangular(cls, table: Table) -> Table:
        if len(table) < 2 or len({len(row) for row in table}) != 1 or len(table[0]) < 2:
            raise ValueError("must have 2 rows or more of equal length of 2 or more")
        if not np.isfinite(np.array(table)).all():
            raise ValueError("must hold finite numbers")
        return table

    def own_noise(self) -> float:
        sizes = []
        for table in (np.array(self.up), np.array(self.down)):
            middle = np.array([np.interp((len(table) - 1) / 2, range(len(table)), column) for column in table.T])
            weights = _weights(middle.size)
            mean = float(middle @ weights)
            sizes.append(float(np.sqrt(max((middle**2) @ weights - mean**2, 0.0))) / abs(mean))
        return float(np.mean(sizes))

    def tables(self) -> dict[str, float | np.ndarray]:
        up, down = np.array(self.up), -np.array(self.down)
        if up.shape != down.shape:
            raise ValueError(f"response.down must be as large as response.up, {up.shape[0]} x {up.shape[1]}, got {down.shape}")
        both = np.stack([down, up])
        return {"jump": both, "last_row": up.shape[0] - 1.0, "last_level": up.shape[1] - 1.0}

    @staticmethod
    def pulse(g, n, up, p, noise):
        row = min(max((g + 1) * 0.5, 0), 1) * p.last_row
        level = (min(max(noise, -3), 3) + 3) / 6 * p.last_level
        i, j, side = int(row), int(level), int(up)
        i_next, j_next = int(min(row + 1, p.last_row)), int(min(level + 1, p.last_level))
        down_row, down_level = row - i, level - j
        low = p.jump[side, i, j] + down_level * (p.jump[side, i, j_next] - p.jump[side, i, j])
        high = p.jump[side, i_next, j] + down_level * (p.jump[side, i_next, j_next] - p.jump[side, i_next, j])
        return g + (low + down_row * (high - low)) * (p.step_up if up else p.step_down)


def _weights(levels: int) -> np.ndarray:
    """Share of each quantile in the mean: that of the normal distribution, values between the quantiles interpolated."""
    z = np.linspace(-8, 8, 16001)
    at = (np.clip(z, -_WIDEST, _WIDEST) + _WIDEST) / (2 * _WIDEST) * (levels - 1)
    density = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    hats = np.maximum(1 - np.abs(at - np.arange(levels)[:, None]), 0)
    return hats @ density


def from_quantiles(
    states: np.ndarray, probability: np.ndarray, change: np.ndarray, low: float, high: float, *, rows: int = 32, levels: int = 25
) -> np.ndarray:
    """A table (rows, levels) on the grid of this family, in the unit of `change`.

    Args:
        states: where the distribution of the change was measured (C,), rising. probability: 0..1, rising (R,). change: quantiles (R, C).
        low, high: range of the states of the table.
    """
    wanted = stats.norm.cdf(np.linspace(-_WIDEST, _WIDEST, levels))
    at_levels = np.stack([np.interp(wanted, probability, column) for column in change.T])
    return np.stack([np.interp(np.linspace(low, high, rows), states, quantile) for quantile in at_levels.T], 1)


def response(up: np.ndarray, down: np.ndarray) -> JumpTable:
    """The response of tables (rows, levels) of changes in S, up positive and down negative.

    Raises:
        ValueError: a mean step at mid-range that goes the wrong way.
    """
    sizes = []
    for table, sign in ((up, 1), (down, -1)):
        mean = sign * (table @ _weights(table.shape[1]))
        middle = np.interp(0.5, np.linspace(0, 1, mean.size), mean)
        sizes.append(float(middle if middle > 0 else mean.mean()))
    if min(sizes) <= 0:
        raise ValueError("the mean change must be positive for up pulses and negative for down pulses")
    tables = (tuple(tuple(float(f"{v:.5g}") for v in row) for row in t / s) for t, s in ((up, sizes[0]), (-down, sizes[1])))
    return JumpTable(step_up=sizes[0], step_down=sizes[1], up=next(tables), down=next(tables))
