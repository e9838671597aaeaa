"""An array of cells whose current is not proportional to their voltage, with or without resistance in its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from aimco.arrays.kinds import Array, ProgrammedArray, refuse_spikes
from aimco.arrays.laws import Law
from aimco.arrays.laws.sinh import Sinh
from aimco.arrays.wires import Wires
from aimco.record import PathError, field_error

if TYPE_CHECKING:
    import torch


class Nonlinear(Array):
    """Cells that take I = g f(v) at the voltage v across them; every read is solved by Newton's method.

    The conductance g of a device is what pulses and programming change; inputs are voltages up to `periphery.read_voltage`.

    Args:
        law: f of every cell.
        wires: Resistances of the lines; ideal when absent.
    """

    linear: ClassVar[bool] = False

    law: Law = Sinh()

    @model_validator(mode="after")
    def _exact(self) -> Self:
        if self.wires is not None and self.wires.method != "exact":
            raise field_error("wires.method", f"must be exact with cells that are not linear, got {self.wires.method}")
        return self

    def program(self, conductances):
        return Cells(conductances, self)

    def check(self, design):
        refuse_spikes(self, design)
        if getattr(design.network, "circuit", None) is not None:
            self.in_circuit(1, 1)
        if not self.law.both_ways and design.rule.arrays():
            why = f"for the transposed reads of the rule {design.rule.kind}, which drive the cells from their bit lines"
            raise PathError("array.law.kind", f"must be one that conducts both ways, as sinh or selector, {why}, got {self.law.kind}")

    def notes(self):
        return ["cells are not linear in reads; pulses and write-and-verify reach each device at full voltage"]


class Cells(ProgrammedArray):
    """Each vector is solved by itself.

    Args:
        conductances: S, (rows, columns).
        array: Whose cells they are.
    """

    def __init__(self, conductances: torch.Tensor, array: Nonlinear) -> None:
        from aimco.arrays.nonlinear import WiredNonlinear

        self._circuit = WiredNonlinear(conductances, array.wires or Wires(), array.law)

    def read(self, voltages, transposed):
        return self._circuit.solve(voltages, transposed)[0]
