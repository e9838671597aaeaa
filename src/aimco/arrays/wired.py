"""Wires that drop voltage: the exact circuit of a crossbar with resistive word lines, bit lines, drivers and sense amplifiers.

Word line i is driven at its first column and, if so asked, at its last; bit line j is sensed, at 0 V, at its last row. Between
neighbours, and from an end to its driver or sense amplifier, lies one segment of wire:

    V_i - driver - word - w(i,0) - word - w(i,1) ... w(i,m-1) [- word - driver - V_i]
    b(0,j) - bit - b(1,j) ... b(n-1,j) - bit - sense - 0 V,        the cell g(i,j) from w(i,j) to b(i,j)

The array is linear and reciprocal, I = W^T V and I' = W V' with one effective matrix W, (rows, columns); a transposed read drives the
sense ends and reads the drivers. With the drops x of a read of V and x' of a transposed read of c,
d(c.I)/dg_ij = -x_ij x'_ij and d(c.I)/dV = W c (Tellegen).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from aimco.arrays import doors
from aimco.arrays.wires import Wires

_STEPS = 500
_FINE = 1e-11  # tolerance of the two reads of a gradient
_AT_ONCE = 2**25  # numbers: cells x vectors whose drops are kept side by side
_SHARED = 2**16  # cells x vectors from which waking the other threads pays


class WiredArray:
    """A crossbar whose cells are programmed: its lines are eliminated once and serve every read, transposed read and gradient.

    Args:
        conductances: S, (rows, columns), at least 0; gradients of reads flow to them.
        wires: Lines of the array.

    Raises:
        InputError: an array of size zero, conductances below 0 or not finite.

    Example:
        >>> import torch
        >>> array = WiredArray(torch.full((4, 3), 5e-5), Wires(word_ohm=1.0, bit_ohm=1.0))
        >>> bool((array.mvm(torch.ones(1, 4)) < 4 * 5e-5).all())
        True
    """

    def __init__(self, conductances: torch.Tensor, wires: Wires) -> None:
        from aimco.kernels import wires as kernel

        g = np.ascontiguousarray(doors.conductances("WiredArray", conductances).numpy())
        self.conductances, self.wires, self.shape, self.g = conductances, wires, g.shape, g
        driver, sense = wires.driver_ohm + wires.word_ohm, wires.sense_ohm + wires.bit_ohm
        both = wires.both_sides and driver > 0
        self._ends = driver, both, sense
        self._lines = (wires.word_ohm, driver, 1 / driver if both else 0.0, wires.bit_ohm, sense)
        self._state = kernel.factor(g, wires.word_ohm, driver, both, wires.bit_ohm, sense)

    def mvm(self, voltages: torch.Tensor) -> torch.Tensor:
        """Currents into the sense amplifiers, A, when the rows are driven: (B, rows) -> (B, columns).

        Raises:
            InputError: shapes, voltages that are not finite.
            RuntimeError: not solved to the tolerance, with the vector and by how much.
        """
        return _Read.apply(self.conductances, voltages, self, False)  # pyright: ignore[reportReturnType]

    def mvm_t(self, voltages: torch.Tensor) -> torch.Tensor:
        """Currents into the drivers, A, when the sense ends are driven: (B, columns) -> (B, rows)."""
        return _Read.apply(self.conductances, voltages, self, True)  # pyright: ignore[reportReturnType]

    def matrix(self) -> torch.Tensor:
        """The exact effective matrix W, S, (rows, columns) float64, by unit vectors on the shorter side."""
        rows, columns = self.shape
        if rows <= columns:
            return self.solve(torch.eye(rows, dtype=torch.float64), False)[0]
        return self.solve(torch.eye(columns, dtype=torch.float64), True)[0].T.contiguous()

    def first_order(self) -> tuple[torch.Tensor, float]:
        """Effective matrix g_ij/(1 + a_ij), right to first order in the resistances, and the error of its currents.

        a_ij is the drop at cell ij per volt when all the cells of its own row, or its own column, draw their ideal currents: the
        other lines do not see each other's drops. The error is the largest of a current, relative to the largest, with all rows at 1 V.
        """
        g = self.conductances.detach().double()
        word, driver, far, bit, sense = self._lines
        row = _drops(g, word, driver) if not far else _drops_both(g, word, driver)
        effective = g / (1 + row + _drops(g.T.flip(1), bit, sense).flip(1).T)
        exact = self.solve(torch.ones(1, self.shape[0], dtype=torch.float64), False)[0][0]
        return effective, float((effective.sum(0) - exact).abs().max() / exact.abs().max().clamp(min=torch.finfo(torch.float64).tiny))

    def solve(
        self, voltages: torch.Tensor, transposed: bool, *, tolerance: float | None = None, drops: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Currents that are read, and voltages from word line to bit line across the cells, (B, rows, columns), if asked; float64."""
        from aimco.kernels import wires as kernel

        (n, m), given = self.shape, self.given(voltages, transposed)
        count, groups = len(given), self._state[2].shape[0]
        v, c = np.zeros((count, groups, kernel.TOGETHER)), np.zeros((count, m))
        (c if transposed else v.reshape(count, -1))[:, : given.shape[1]] = given
        rows, columns, across = np.empty_like(v), np.empty_like(c), np.empty((count if drops else 0, n, m))
        taken, errors, asked = np.zeros(count, np.int64), np.zeros(count), tolerance or self.wires.tolerance
        chunks = min(count, torch.get_num_threads()) if n * m * count > _SHARED else 1
        kernel.solve_all(self._state, self._lines, v, c, transposed, asked, _STEPS, chunks, across, rows, columns, taken, errors)
        if not (errors <= asked).all():
            worst = int(np.nan_to_num(errors, nan=np.inf).argmax())
            raise RuntimeError(
                f"not solved: currents of vector {worst} are {errors[worst]:.2g} of the largest off after {taken[worst]} steps, "
                f"asked {asked:g}; allow a larger array.wires.tolerance"
            )
        return torch.from_numpy(rows.reshape(count, -1)[:, :n].copy() if transposed else columns), torch.from_numpy(across)

    def given(self, voltages: torch.Tensor, transposed: bool) -> np.ndarray:
        """Voltages that a read can take, float64. Raises InputError for others."""
        return doors.matrix(("WiredArray.mvm", "WiredArray.mvm_t")[transposed], "voltages", voltages, self.shape[transposed]).numpy()

    def with_sources(
        self, cells: np.ndarray, sources: np.ndarray | None, voltages: np.ndarray, transposed: bool, tolerance: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """One read of other cells in the same wires, each with a voltage source in series: currents, voltages across cells, relative error.

        Args:
            cells: S, (rows, columns).
            sources: V, against the current from word to bit line, none when absent.
            voltages: One vector.
        """
        from aimco.kernels import wires as kernel

        driver, both, sense = self._ends
        state = kernel.factor(cells, self.wires.word_ohm, driver, both, self.wires.bit_ohm, sense)
        v, c = np.zeros((state[2].shape[0], kernel.TOGETHER)), np.zeros(self.shape[1])
        (c if transposed else v.reshape(-1))[: len(voltages)] = voltages
        u, w, *rooms = (np.empty(self.shape) for _ in range(6))
        rows, columns = np.empty_like(v), np.empty_like(c)
        e = np.empty((0, 0)) if sources is None else sources
        for finest in (1, 10, 100, 1e3, 1e5, 1e7):  # as fine as rounding lets it be
            room = (u, w, tuple(rooms), (rows, columns))
            _, error = kernel.solve(state, self._lines, v, c, e, transposed, tolerance * finest, _STEPS, *room)
            if error <= tolerance * finest:
                break
        return (rows.reshape(-1)[: self.shape[0]].copy() if transposed else columns), np.subtract(w, u), error


class _Read(torch.autograd.Function):
    """A read with its gradients: of the cells by a second read from the other side, of the voltages by the currents of that one."""

    @staticmethod
    def forward(ctx: Any, conductances: torch.Tensor, voltages: torch.Tensor, wired: WiredArray, transposed: bool) -> torch.Tensor:
        ctx.save_for_backward(voltages)
        ctx.wired, ctx.transposed = wired, transposed
        return wired.solve(voltages, transposed)[0].to(voltages.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, at_currents: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (voltages,), wired, (of_cells, _, *_) = ctx.saved_tensors, ctx.wired, ctx.needs_input_grad
        fine, parts = min(_FINE, wired.wires.tolerance), []
        g = torch.zeros(wired.shape, dtype=torch.float64)
        for k in range(0, len(voltages), max(1, _AT_ONCE // g.numel())):
            some = slice(k, k + max(1, _AT_ONCE // g.numel()))
            back, theirs = wired.solve(at_currents[some], not ctx.transposed, tolerance=fine, drops=of_cells)
            parts.append(back)
            if of_cells:
                g -= (wired.solve(voltages[some], ctx.transposed, tolerance=fine, drops=True)[1] * theirs).sum(0)
        at_voltages = torch.cat(parts) if parts else torch.zeros_like(voltages)
        return g.to(wired.conductances.dtype) if of_cells else None, at_voltages.to(voltages.dtype), None, None


def _drops(g: torch.Tensor, segment: float, end: float) -> torch.Tensor:
    """Drops along rows held at their first column, per volt, when every cell draws g: the current through each segment, summed up."""
    through = g.flip(1).cumsum(1).flip(1)
    return torch.cat([end * through[:, :1], segment * through[:, 1:]], 1).cumsum(1)


def _drops_both(g: torch.Tensor, segment: float, end: float) -> torch.Tensor:
    """The same for rows held at both ends: a voltage of the far end takes the drop there away, in proportion to the way."""
    near = _drops(g, segment, end)
    ohm = end + segment * torch.arange(g.shape[1], dtype=g.dtype)
    whole = ohm[-1] + end
    return near - ohm / whole * (near[:, -1:])
