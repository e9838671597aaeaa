"""What can be done about wires: conductances that make up for them, smaller arrays, and how far a single cell can be read at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from aimco.arrays import doors
from aimco.arrays.vertical import VerticalArray, VerticalWires
from aimco.arrays.wired import WiredArray
from aimco.arrays.wires import Wires
from aimco.circuit.linear import Linear
from aimco.record import InputError

_LEAST = 1e-30  # S, below which nothing is divided by


def effective(conductances: torch.Tensor, wires: Wires | VerticalWires) -> torch.Tensor:
    """The exact effective matrix of conductances (rows, columns) in an array, S, float64."""
    if isinstance(wires, VerticalWires):
        return VerticalArray(conductances, wires).matrix[: len(conductances), : conductances.shape[1]]
    return WiredArray(conductances, wires).matrix()


def in_tiles(conductances: torch.Tensor, wires: Wires, rows: int, columns: int) -> torch.Tensor:
    """The effective matrix of conductances cut over planar arrays of at most this size, whose currents are summed without wires."""
    if rows < 1 or columns < 1:
        raise InputError(f"rows and columns of an array must be at least 1, got {rows} x {columns}")
    strips = conductances.detach().double().split(rows)
    return torch.cat([torch.cat([WiredArray(tile, wires).matrix() for tile in strip.split(columns, 1)], 1) for strip in strips])


@dataclass(frozen=True)
class Compensated:
    """Conductances that make up for wires.

    Args:
        conductances: To program, S, (rows, columns).
        gain: What the effective matrix is of the one wanted.
        error: What is left, |W - a W*|/|a W*|.
        at_bounds: Share of the cells that the bounds stop.
        steps: Effective matrices made.
    """

    conductances: torch.Tensor
    gain: float
    error: float
    at_bounds: float
    steps: int


def compensated(
    wanted: torch.Tensor,
    wires: Wires | VerticalWires,
    *,
    g_min: float = 0.0,
    g_max: float = float("inf"),
    gain: float | None = None,
    tolerance: float = 1e-3,
    steps: int = 60,
) -> Compensated:
    """Conductances whose effective matrix is gain x wanted, within bounds: each is raised by what it was short of, g <- g a W*/W(g).

    Args:
        wanted: W*, S, (rows, columns), at least 0.
        wires: Planar or three-dimensional array.
        g_min: Least conductance of a device, S.
        g_max: Largest conductance of a device, S.
        gain: a; when absent the largest at which no device has to go beyond g_max.
        tolerance: Stop at this error, or when a step no longer lessens it by a hundredth.
        steps: Give up after so many.

    Raises:
        InputError: bounds, a gain of 0 or below, entries below 0.
    """
    wanted = _wanted(wanted, g_min, g_max, gain)
    g, best = wanted.clamp(g_min, g_max), None
    for step in range(1, steps + 1):
        trial, next_g = _step(g, wanted, wires, (g_min, g_max), gain, tolerance, step)
        settled = best is not None and trial.error > 0.99 * best.error and step > 5
        best = trial if best is None or trial.error < best.error or gain is None else best
        if trial.error <= tolerance or settled:
            break
        g = next_g
    assert best is not None
    return best


def _wanted(wanted: torch.Tensor, g_min: float, g_max: float, gain: float | None) -> torch.Tensor:
    """The matrix that is asked for, float64, if it can be asked for."""
    if not 0 <= g_min < g_max:
        raise InputError(f"g_min must be at least 0 and below g_max, got {g_min:g} and {g_max:g} S")
    if gain is not None and not gain > 0:
        raise InputError(f"gain must be above 0, got {gain:g}")
    wanted = doors.matrix("compensated", "wanted", wanted)
    if not bool((wanted >= 0).all()) or not wanted.any():
        raise InputError("wanted must be at least 0 S, and not 0 everywhere")
    return wanted


def _step(
    g: torch.Tensor,
    wanted: torch.Tensor,
    wires: Wires | VerticalWires,
    bounds: tuple[float, float],
    gain: float | None,
    tolerance: float,
    step: int,
) -> tuple[Compensated, torch.Tensor]:
    """What conductances make of the wanted matrix, and the conductances of the next step."""
    (g_min, g_max), matrix = bounds, effective(g, wires)
    short = torch.where(wanted > 0, wanted / matrix.clamp(min=_LEAST), 1.0)
    a = min(1.0, float(g_max / (g * short).max())) if gain is None else gain
    error = float((matrix - a * wanted).norm() / (a * wanted).norm())
    stopped = ((g <= g_min) & (a * short < 1)) | ((g >= g_max) & (a * short > 1))
    share = float((stopped & ((a * short - 1).abs() > tolerance)).double().mean())
    return Compensated(g, a, error, share, step), (g * a * short).clamp(g_min, g_max)


@dataclass(frozen=True)
class Margin:
    """Currents of a bit line, A, when the cell that is read is on and off, and (on - off)/on."""

    on_A: float
    off_A: float

    @property
    def margin(self) -> float:
        """Share of the current that tells the two states apart; 0 cannot be read."""
        return (self.on_A - self.off_A) / self.on_A


def read_margin(
    wires: VerticalWires,
    on_S: float,
    off_S: float,
    *,
    unselected: Literal["grounded", "half", "floating"] = "floating",
    cell: tuple[int, int, int] | None = None,
    read_V: float = 0.1,
) -> Margin:
    """Reading one cell of a three-dimensional array past its sneak paths, all other cells being on: the worst they can be.

    Args:
        wires: The array.
        on_S: Conductance of a cell that is on, S.
        off_S: Conductance of a cell that is off, S.
        unselected: Other word lines: "grounded", at "half" the voltage, or "floating".
        cell: (layer, row, column) of the cell that is read; the farthest when absent. Transistors of its row alone are on.
        read_V: Voltage of its word line, V.

    Raises:
        InputError: conductances that are not above each other, a cell beyond the array, another scheme.
    """
    size = (wires.layers, wires.rows, wires.columns)
    layer, row, column = cell or tuple(n - 1 for n in size)
    if not 0 <= off_S < on_S:
        raise InputError(f"off_S must be at least 0 and below on_S, got {off_S:g} and {on_S:g} S")
    if not all(0 <= k < n for k, n in zip((layer, row, column), size, strict=True)):
        raise InputError(f"cell must be below (layers, rows, columns) = {size}, got {(layer, row, column)}")
    if unselected not in ("grounded", "half", "floating"):
        raise InputError(f"unselected must be grounded, half or floating, got {unselected}")
    chosen = layer * (wires.inputs // wires.layers) + (row if wires.word_lines == "combs" else 0)
    currents = []
    for value in (on_S, off_S):
        g = torch.full(size, on_S, dtype=torch.float64)
        g[layer, row, column] = value
        array = VerticalArray(g, wires, selected=[row])
        currents.append(_read_one(array, chosen, column, {"grounded": 0.0, "half": read_V / 2, "floating": None}[unselected], read_V))
    return Margin(*currents)


def _read_one(array: VerticalArray, chosen: int, column: int, others_V: float | None, read_V: float) -> float:
    """Current of a bit line, A, with one word line at the read voltage and the others at a voltage, or floating when absent."""
    (count, cells, wires, held, _), inputs = array.branches, array.wires.inputs
    volts, driven = np.zeros(len(held)), np.ones(len(held), bool)
    volts[:inputs] = others_V or 0.0
    volts[chosen] = read_V
    driven[:inputs] = others_V is not None
    driven[chosen] = True
    end = int(driven[:inputs].sum()) + column
    return float(Linear(count, cells, wires, held[driven]).currents(volts[driven][:, None])[end, 0])
