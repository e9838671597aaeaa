"""Wired crossbars whose cells are not linear: hyperbolic, behind a selector, or self-rectifying; by Newton's method on the wired solver.

A cell takes I = g f(v) at the voltage v across it, f with a slope above 0. Each step solves the wired array of the slopes g f'(v), with
voltage sources v - f/f' in series. v and the currents J that the wires give the cells at v are then linear in the length t of the step,
and so the slope of the content along it is sum (I(v(t)) - J(t)) dv, which tells a step that is too long. The network has no gain: no
current at its ends is off by more than the sum of |I - J|, which is what is taken to the tolerance.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from aimco.arrays.laws import Law
from aimco.arrays.wired import WiredArray
from aimco.arrays.wires import Wires
from aimco.record import InputError

_NEWTON, _STEPS, _HALVINGS = 100, 500, 60
_STIFF, _MORE = (1.0, 1e2, 1e4, 1e6, 1e8), 100.0
_FINER, _FINEST = 0.01, 1e-12  # of the tolerance, to which each step is solved, and at least what


class WiredNonlinear:
    """A wired crossbar of cells that follow a law; reads and gradients as `WiredArray`, each vector by itself.

    Args:
        conductances: g, S, (rows, columns), at least 0; gradients of reads flow to them.
        wires: Lines of the array, exact.
        law: What every cell follows.

    Raises:
        InputError: as `WiredArray`; first-order wires.

    Example:
        >>> import torch
        >>> from aimco.arrays.laws.sinh import Sinh
        >>> array = WiredNonlinear(torch.full((4, 3), 5e-5), Wires(word_ohm=1.0), Sinh(scale_V=0.1))
        >>> bool((array.mvm(torch.ones(1, 4)) > 4 * 5e-5).all())
        True
    """

    def __init__(self, conductances: torch.Tensor, wires: Wires, law: Law) -> None:
        if wires.method != "exact":
            raise InputError(f"wires.method must be exact with cells that are not linear, got {wires.method}")
        self.linear, self.law = WiredArray(conductances, wires), law
        self.conductances, self.wires, self.shape = conductances, wires, self.linear.shape

    def mvm(self, voltages: torch.Tensor) -> torch.Tensor:
        """Currents into the sense amplifiers, A, when the rows are driven: (B, rows) -> (B, columns). Raises as `WiredArray.mvm`."""
        return _Read.apply(self.conductances, voltages, self, False)  # pyright: ignore[reportReturnType]

    def mvm_t(self, voltages: torch.Tensor) -> torch.Tensor:
        """Currents into the drivers, A, when the sense ends are driven: (B, columns) -> (B, rows)."""
        return _Read.apply(self.conductances, voltages, self, True)  # pyright: ignore[reportReturnType]

    def solve(self, voltages: torch.Tensor, transposed: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Currents that are read, and voltages across the cells, (B, rows, columns); float64."""
        given = self.linear.given(voltages, transposed)
        solutions = [self._newton(v, transposed, k) for k, v in enumerate(given)]
        lines = self.shape[not transposed]
        currents = np.array([c for c, _ in solutions]).reshape(len(given), lines)
        return torch.from_numpy(currents), torch.from_numpy(np.array([v for _, v in solutions]).reshape(len(given), *self.shape))

    def _newton(self, volts: np.ndarray, transposed: bool, number: int) -> tuple[np.ndarray, np.ndarray]:
        g, asked = self.linear.g, self.wires.tolerance
        fine, left = max(asked * _FINER, _FINEST), math.inf
        read, v, flows, error = self._start(volts, transposed, fine)
        largest = float(np.abs(read).max())
        for _ in range(_NEWTON):
            with np.errstate(over="ignore", invalid="ignore"):
                f, slope = self.law.per_siemens(v)
                largest = float(np.abs(read).max())
                left = float(np.abs(g * f - flows).sum()) + error * largest
            if left <= asked * largest or not math.isfinite(left):
                break
            new, to, off = self.linear.with_sources(g * slope, v - f / slope, volts, transposed, fine)
            dv = to - v
            t = self._length(v, dv, flows, g * (f + slope * dv))
            flows = flows + t * (g * (f + slope * dv) - flows)
            read, v, error = read + t * (new - read), v + t * dv, error + t * (off - error)
        if left <= asked * largest:
            return read, v
        raise RuntimeError(
            f"not solved: currents of vector {number} are up to {left / max(largest, 1e-300):.2g} of the largest off by Newton's method, "
            f"asked {asked:g}; allow a larger wires.tolerance, a wider law or smaller voltages"
        )

    def _start(self, volts: np.ndarray, transposed: bool, fine: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """A read of linear cells, so stiff that the law does not give far more current at their voltages: the read, v, J and its error."""
        g = self.linear.g
        for stiff in _STIFF:
            read, v, error = self.linear.with_sources(stiff * g, np.zeros(g.shape), volts, transposed, fine)
            flows = stiff * g * v
            with np.errstate(over="ignore", invalid="ignore"):
                if float(np.abs(g * self.law.per_siemens(v)[0]).max()) <= _MORE * float(np.abs(flows).max()):
                    break
        return read, v, flows, error

    def _length(self, v: np.ndarray, dv: np.ndarray, flows: np.ndarray, to: np.ndarray) -> float:
        """How far to go: all the way unless the content then rises by half of what it fell at first; else to where it is least."""

        def slope(t: float) -> float:
            with np.errstate(over="ignore", invalid="ignore"):
                f, _ = self.law.per_siemens(v + t * dv)
            return float(((self.linear.g * f - flows - t * (to - flows)) * dv)[dv != 0].sum())

        start, low, high = slope(0.0), 0.0, 1.0
        if not slope(1.0) > -0.5 * start:
            return 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            at = slope(middle)
            if abs(at) <= -0.5 * start:
                return middle
            low, high = (middle, high) if at < 0 else (low, middle)
        return low or high


class _Read(torch.autograd.Function):
    """A read with its gradients, by one read of the slopes from the other side."""

    @staticmethod
    def forward(ctx: Any, conductances: torch.Tensor, voltages: torch.Tensor, array: WiredNonlinear, transposed: bool) -> torch.Tensor:
        currents, across = array.solve(voltages, transposed)
        ctx.save_for_backward(across)
        ctx.array, ctx.transposed = array, transposed
        return currents.to(voltages.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, at_currents: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (across,), array = ctx.saved_tensors, ctx.array
        at_cells, at_volts = np.zeros(array.shape), []
        for v, c in zip(across.numpy(), at_currents.double().numpy(), strict=True):
            f, slope = array.law.per_siemens(v)
            back, theirs, _ = array.linear.with_sources(array.linear.g * slope, None, c, not ctx.transposed, 1e-11)
            at_cells -= f * theirs
            at_volts.append(back)
        given = torch.from_numpy(np.array(at_volts)).to(at_currents.dtype)
        return torch.from_numpy(at_cells).to(array.conductances.dtype), given, None, None
