"""A three-dimensional array: word lines in layers, cells where they meet vertical pillars, a transistor below each pillar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from aimco.arrays.kinds import Array, ProgrammedArray, refuse_spikes, refuse_wires
from aimco.arrays.vertical import Stack
from aimco.record import PathError, field_error

if TYPE_CHECKING:
    import torch

_LARGEST = 1024  # word lines of a layer


class Vertical(Array):
    """Layers of word lines that cross vertical pillars, which end in bit lines; all resistances are felt by every read.

    Args:
        rows: Word lines of all layers together, a multiple of the layers.
        cols: Bit lines.
        stack: Layers, and what lines, pillars and transistors are like (all values assumed).
    """

    rows: int = Field(default=1024, ge=1, le=65536, description="word lines of all layers (inputs)")
    cols: int = Field(default=256, ge=1, le=1024, description="bit lines (outputs)")
    stack: Stack = Stack(layers=16)

    @model_validator(mode="after")
    def _stands(self) -> Self:
        refuse_wires(self, "its resistances are in array.stack")
        layers = self.stack.layers
        if self.stack.word_lines != "combs":
            raise field_error("stack.word_lines", f"must be combs, a word line for each input, got {self.stack.word_lines}")
        if self.rows % layers or self.rows > layers * _LARGEST:
            raise field_error(
                "rows", f"must be 1 to {_LARGEST} in each of the {layers} layers, all equal, got {self.rows}; take {64 * layers}"
            )
        return self

    def program(self, conductances):
        return ThroughPillars(conductances, self.stack)

    @property
    def layers(self):
        return self.stack.layers

    def in_circuit(self, rows, columns):
        if rows > self.rows or columns > self.cols:
            raise PathError("array.rows", f"x cols must be at least {rows} x {columns}, got {self.rows} x {self.cols}")
        return self.stack.holding(rows, columns)

    def check(self, design):
        refuse_spikes(self, design)

    def notes(self):
        note = "wires of three-dimensional arrays drop voltage in reads; pulses and write-and-verify reach each device at full voltage"
        return [f"{note}, and reads settle at once"]


class ThroughPillars(ProgrammedArray):
    """Read by the exact effective matrix, which serves both directions: the circuit is reciprocal.

    Args:
        conductances: S, (rows, columns), row after row into the layers.
        stack: Of the array, with as many word lines in a layer as they ask for.
    """

    def __init__(self, conductances: torch.Tensor, stack: Stack) -> None:
        from aimco.arrays.vertical import VerticalArray

        rows, columns = conductances.shape
        self._matrix = VerticalArray(conductances, stack.holding(rows, columns)).matrix[:rows]

    def read(self, voltages, transposed):
        return voltages @ (self._matrix.T if transposed else self._matrix)
