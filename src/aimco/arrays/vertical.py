"""A three-dimensional array: word lines in layers, cells where they meet vertical pillars, a select transistor below each pillar.

X x Y pillars cross L layers. Word line (l, y) runs along x and is driven at x = 0; the cell g(l, y, x) joins it to pillar (y, x) at
height l. The foot of the pillar leads through its transistor to bit line x, which runs along y and is sensed at y = 0. With all
transistors on, one read is the product with an (L Y) x X matrix, I_x = sum_(l,y) g(l,y,x) V(l,y), as far as wires let it.
Where a layer is one plane, its word lines are one node and one input.

Drops along a bit line and in transistors cost gain, which a number mends; those along pillars cost layers differently, which a gain for
each height mends in part. Source: circuit of vertical resistive memories (Park, IEDM 2012; Deng, IEDM 2013); all default values assumed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import Field

from aimco.arrays import doors
from aimco.record import InputError, Record, quantity
from aimco.units import F, Ohm

if TYPE_CHECKING:  # and where it is used: solvers of sparse matrices take a quarter of a second to import
    from aimco.circuit.linear import Branches, Linear


class Stack(Record):
    """What a three-dimensional array is made of, whatever its size (all values assumed).

    Args:
        layers: L, heights at which cells sit.
        word_lines: "combs", one line for each layer and row, or "planes", one node for each layer.
        word_ohm: Of a word line, per pitch, Ohm.
        bit_ohm: Of a bit line, per pitch, Ohm.
        pillar_ohm: Of a pillar, per layer, Ohm.
        select_ohm: Of a select transistor that is on, Ohm.
        off_ohm: Of a select transistor that is off, Ohm.
        sense_ohm: Of what ends a bit line, Ohm: 0 is a virtual ground, else one over the input conductance of the next neuron.
        cell_F: Capacitance of a cell, F.
        word_F: Capacitance of a node of a word line to ground, F.
        bit_F: Capacitance of a node of a bit line to ground, F.
        pillar_F: Capacitance of a node of a pillar to ground, F.
    """

    layers: int = Field(ge=1, le=1024, description="heights at which cells sit")
    word_lines: Literal["combs", "planes"] = "combs"
    word_ohm: float = quantity(Ohm, 10.0, ge=0, doc="of a word line, per pitch")
    pillar_ohm: float = quantity(Ohm, 100.0, ge=0, doc="of a pillar, per layer")
    select_ohm: float = quantity(Ohm, 1e3, ge=0, doc="of a select transistor that is on")
    off_ohm: float = quantity(Ohm, 1e12, gt=0, doc="of a select transistor that is off")
    bit_ohm: float = quantity(Ohm, 10.0, ge=0, doc="of a bit line, per pitch")
    sense_ohm: float = quantity(Ohm, 0.0, ge=0, doc="of what ends a bit line")
    cell_F: float = quantity(F, 1e-16, ge=0, doc="of a cell")
    word_F: float = quantity(F, 5e-17, gt=0, doc="of a node of a word line to ground")
    bit_F: float = quantity(F, 5e-17, gt=0, doc="of a node of a bit line to ground")
    pillar_F: float = quantity(F, 5e-17, gt=0, doc="of a node of a pillar to ground")

    def holding(self, rows: int, columns: int) -> VerticalWires:
        """The array with as many word lines in a layer as a matrix of this size asks for."""
        return VerticalWires(rows=-(-rows // self.layers), columns=columns, **{n: getattr(self, n) for n in Stack.model_fields})


class VerticalWires(Stack):
    """A three-dimensional array of one size.

    Args:
        rows, columns: Y, X. Others as `Stack`.
    """

    rows: int = Field(ge=1, le=1024, description="word lines of a layer")
    columns: int = Field(ge=1, le=1024, description="bit lines")

    @property
    def inputs(self) -> int:
        """Voltages that a read takes."""
        return self.layers * (self.rows if self.word_lines == "combs" else 1)


@dataclass(frozen=True)
class Settling:
    """How a read settles.

    Args:
        slowest_s: Longest time constant of the array, s.
        settle_s: Time until the currents stay within 1 % of the largest, s, (B,).
        energy_J: Energy that the drivers give until then, J, (B,).
    """

    slowest_s: float
    settle_s: torch.Tensor
    energy_J: torch.Tensor


class VerticalArray:
    """A three-dimensional array whose cells are programmed; its circuit is factored once.

    Args:
        conductances: S, (layers, rows, columns), or a matrix that `placed` lays out.
        wires: Size and resistances.
        selected: Rows whose transistors are on; all when absent.

    Raises:
        InputError: shapes, conductances below 0 or not finite, more rows than the layers hold.

    Example:
        >>> import torch
        >>> wires = VerticalWires(layers=4, rows=2, columns=3)
        >>> VerticalArray(torch.full((8, 3), 1e-6), wires).mvm(torch.ones(1, 8)).shape
        torch.Size([1, 3])
    """

    def __init__(self, conductances: torch.Tensor, wires: VerticalWires, *, selected: Sequence[int] | None = None) -> None:
        self.wires = wires
        cells = placed(conductances, wires) if isinstance(conductances, torch.Tensor) and conductances.ndim == 2 else conductances
        self.conductances = doors.conductances("VerticalArray", cells, (wires.layers, wires.rows, wires.columns))
        every = np.arange(wires.rows)
        self.selected = np.isin(every, every if selected is None else doors.indices("VerticalArray", "selected", selected, wires.rows))

    @functools.cached_property
    def branches(self) -> tuple[int, Branches, Branches, np.ndarray, Branches]:
        """The circuit: nodes, cells, wires, held nodes (drivers, then sense ends), capacitors; what `Linear` and netlists take."""
        from aimco.circuit.linear import Branches

        spec, g = self.wires, self.conductances.numpy()
        size, (l, y, x) = g.size, g.shape
        word, pillar = np.arange(size).reshape(g.shape), size + np.arange(size).reshape(g.shape)
        bit = 2 * size + np.arange(y * x).reshape(y, x)
        drivers = 2 * size + y * x + np.arange(spec.inputs)
        ends, ground = drivers[-1] + 1 + np.arange(x), drivers[-1] + 1 + x
        lead = np.broadcast_to(drivers.reshape(l, -1), (l, y))
        if spec.word_lines == "planes":
            fed = [(word[:, 0, 0], drivers, spec.word_ohm), (word[:, 1:], word[:, :-1], 0.0), (word[:, :, 1:], word[:, :, :-1], 0.0)]
        else:
            fed = [(word[:, :, 0], lead, spec.word_ohm), (word[:, :, 1:], word[:, :, :-1], spec.word_ohm)]
        on = np.where(self.selected[:, None], spec.select_ohm, spec.off_ohm) * np.ones((1, x))
        stems = [(pillar[1:], pillar[:-1], spec.pillar_ohm), (pillar[0], bit, on), (bit[1:], bit[:-1], spec.bit_ohm)]
        wires = Branches.joined([*fed, *stems, (bit[0], ends, spec.sense_ohm)])
        to_ground = [(n, np.full(n.shape, ground), c) for n, c in ((word, spec.word_F), (pillar, spec.pillar_F), (bit, spec.bit_F))]
        capacitors = Branches.joined([(word, pillar, spec.cell_F), *to_ground])
        held = np.concatenate([drivers, ends, [ground]])
        return ground + 1, Branches.joined([(word, pillar, g)]), wires, held, capacitors

    @functools.cached_property
    def circuit(self) -> Linear:
        """The circuit, factored."""
        from aimco.circuit.linear import Linear

        return Linear(*self.branches)

    def _held(self, voltages: torch.Tensor) -> np.ndarray:
        """Voltages of all held nodes, (held, B)."""
        given = doors.matrix("VerticalArray", "voltages", voltages, self.wires.inputs).numpy()
        return np.concatenate([given.T, np.zeros((self.wires.columns + 1, len(given)))])

    @property
    def _ends(self) -> np.ndarray:
        return self.wires.inputs + np.arange(self.wires.columns)

    def mvm(self, voltages: torch.Tensor) -> torch.Tensor:
        """Currents of the bit lines, A: (B, inputs) -> (B, columns) float64; inputs are layer after layer."""
        return torch.from_numpy(self.circuit.currents(self._held(voltages))[self._ends].T.copy())

    @functools.cached_property
    def matrix(self) -> torch.Tensor:
        """The exact effective matrix, S, (inputs, columns), by driving each bit line: the circuit is reciprocal."""
        driven = np.zeros((self.wires.inputs + self.wires.columns + 1, self.wires.columns))
        driven[self._ends, np.arange(self.wires.columns)] = 1
        return torch.from_numpy(self.circuit.currents(driven)[: self.wires.inputs].copy())

    @property
    def ideal(self) -> torch.Tensor:
        """The matrix that wires without resistance would give, S, (inputs, columns)."""
        on = self.conductances * torch.from_numpy(self.selected)[:, None]
        return on.reshape(-1, self.wires.columns) if self.wires.word_lines == "combs" else on.sum(1)

    def gains(self) -> torch.Tensor:
        """Calibration for each height: what is left of the conductances of a layer, by least squares, (layers,).

        Inputs of layer l divided by their gain undo what the heights lose differently.
        """
        exact, ideal = (m.reshape(self.wires.layers, -1) for m in (self.matrix, self.ideal))
        return (exact * ideal).sum(1) / (ideal**2).sum(1)

    def settling(self, voltages: torch.Tensor) -> Settling:
        """How reads with these inputs settle after a step from 0 V, (B, inputs)."""
        from aimco.circuit.linear import settle_time

        seconds, joules = [], []
        for held in self._held(voltages).T:
            response = self.circuit.response(held)
            seconds.append(settle_time(response, self._ends))
            joules.append(float(-held @ (response[0] * seconds[-1] + self.circuit.charge(held))))
        return Settling(self.circuit.slowest(), torch.tensor(seconds), torch.tensor(joules))


def placed(matrix: torch.Tensor, wires: VerticalWires) -> torch.Tensor:
    """A matrix of conductances (rows, columns) in the cells, (L, Y, X) float64: row k at layer k // Y and word line k % Y, others 0 S.

    Raises:
        InputError: more rows than the layers hold, more columns than there are bit lines, or planes, which have one input for a layer.
    """
    matrix = doors.matrix("placed", "matrix", matrix)
    (rows, columns), most = matrix.shape, wires.layers * wires.rows
    if wires.word_lines != "combs":
        raise InputError("vertical.word_lines must be combs for a matrix of layers x rows inputs, got planes: give (layers, rows, columns)")
    if rows > most or columns > wires.columns:
        raise InputError(
            f"matrix must be at most {most} x {wires.columns}, layers x rows and columns, got {rows} x {columns}; add layers or cut it"
        )
    cells = torch.zeros(most, wires.columns, dtype=torch.float64)
    cells[:rows, :columns] = matrix
    return cells.reshape(wires.layers, wires.rows, wires.columns)


def residual(reads: torch.Tensor, ideal: torch.Tensor) -> tuple[float, float]:
    """The best gain for all reads, and the error it leaves, |I - a I_0| / |a I_0|."""
    gain = (reads * ideal).sum() / (ideal**2).sum()
    return float(gain), float(torch.linalg.norm(reads - gain * ideal) / torch.linalg.norm(gain * ideal))
