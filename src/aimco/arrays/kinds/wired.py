"""An array whose lines, drivers and sense amplifiers have resistance: every read is the operating point of that circuit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from aimco.arrays.kinds import Array, ProgrammedArray
from aimco.arrays.wires import Wires
from aimco.record import PathError

if TYPE_CHECKING:
    import torch


_CLOSE = 1e-5  # of the effective matrix, to which compensation brings it: finer than the steps of devices


class Wired(Array):
    """Word lines and bit lines that drop voltage (IR drop).

    Pulses, and reads that verify a programmed device, reach each device at full voltage all the same.

    Args:
        wires: Resistances, 1 Ohm for each segment when absent (assumed).
        compensation: "effective-matrix" writes, in place of each weight, what makes reads through the wires give it, as far as the range of
            the devices lets it (`aimco.arrays.mitigation.compensated`); for cells of one device. The weights themselves when absent.
    """

    wires: Wires = Wires(word_ohm=1.0, bit_ohm=1.0)
    compensation: Literal["effective-matrix"] | None = Field(default=None, description="what is written to make up for wires")

    @property
    def ideal(self):
        return self.wires.ideal

    def program(self, conductances):
        return ThroughWires(conductances, self.wires)

    @property
    def compensates(self):
        return self.compensation is not None and not self.ideal

    def compensated(self, wanted, g_min, g_max):
        from aimco.arrays.mitigation import compensated

        return compensated(wanted, self.wires, g_min=g_min, g_max=g_max, gain=1.0, tolerance=_CLOSE).conductances

    def in_circuit(self, rows, columns):
        if self.ideal:
            return None
        if rows > self.rows or columns > self.cols:
            raise PathError("array.rows", f"x cols must be at least {rows} x {columns} with wires, got {self.rows} x {self.cols}")
        return self.wires

    def check(self, design):
        if self.compensation is not None and len(design.cell.signs) > 1:
            raise PathError("array.compensation", f"must be absent with cells of several devices, as {design.cell.kind}")


class ThroughWires(ProgrammedArray):
    """Solved vector by vector as long as the effective matrix would cost more solutions than were asked for.

    Args:
        conductances: S, (rows, columns).
        wires: Of the array.
    """

    def __init__(self, conductances: torch.Tensor, wires: Wires) -> None:
        from aimco.arrays.wired import WiredArray

        self._circuit, self._matrix = WiredArray(conductances, wires), None

    def read(self, voltages, transposed):
        matrix, circuit = self._matrix, self._circuit
        if matrix is None:
            if circuit.wires.method == "first-order":
                matrix = circuit.first_order()[0]
            elif self.reads >= min(circuit.shape):
                matrix = circuit.matrix()
            else:
                return circuit.solve(voltages, transposed)[0]
            self._matrix = matrix
        return voltages @ (matrix.T if transposed else matrix)
