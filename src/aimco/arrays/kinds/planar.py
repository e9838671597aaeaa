"""An array whose lines have no resistance: a read is the product with the conductances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from aimco.arrays.kinds import Array, ProgrammedArray, refuse_wires

if TYPE_CHECKING:
    import torch


class Planar(Array):
    """Word lines and bit lines without resistance, I = G^T V (Ohm and Kirchhoff)."""

    @model_validator(mode="after")
    def _without_wires(self) -> Self:
        refuse_wires(self, "set array.kind = 'wired'")
        return self

    @property
    def ideal(self):
        return True

    def program(self, conductances):
        return Product(conductances)

    def in_circuit(self, rows, columns):
        return None


class Product(ProgrammedArray):
    """Conductances read without loss.

    Args:
        conductances: S, (rows, columns).
    """

    def __init__(self, conductances: torch.Tensor) -> None:
        self.conductances = conductances

    def read(self, voltages, transposed):
        return voltages @ (self.conductances.T if transposed else self.conductances)
