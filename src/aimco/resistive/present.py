"""The circuit of a resistive network with its present conductances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch

from aimco.circuit.circuit import ResistiveCircuit

Stamp = tuple[tuple[int, int], ...]  # where conductances are in memory, and how often they changed


@dataclass(frozen=True)
class Present:
    """The circuit of the conductances as they were at `stamp`, and what its inputs weigh by.

    Args:
        stamp: Of the conductances.
        circuit: Of the conductances.
        difference: What inputs x weigh by, G+ - G-, S, (inputs, nodes).
        out_of_sources: What x^2 and then the bias weigh by in its power, S, (inputs + 1,), where it is compiled.
    """

    stamp: Stamp
    circuit: ResistiveCircuit
    difference: torch.Tensor
    out_of_sources: torch.Tensor

    @classmethod
    def of(cls, stamp: Stamp, circuit: ResistiveCircuit, paired: bool) -> Self:
        """Of a circuit whose inputs are driven as x and -x, or where they are paired as x alone."""
        first = circuit.conductances[0]
        half = len(first) // 2
        sums = circuit.out_of_sources.double() if circuit.program else torch.empty(0)
        if paired:
            return cls(stamp, circuit, first[:-1], sums)
        if circuit.program:
            sums = torch.cat((sums[:half] + sums[half:-1], sums[-1:]))
        return cls(stamp, circuit, first[:half] - first[half : 2 * half], sums)
