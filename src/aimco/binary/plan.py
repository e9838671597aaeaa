"""How the layers of a binary network lie on arrays: groups, reads and digital work, known from sizes alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from aimco.arrays.spec import Blueprint
from aimco.mapping import groups


@dataclass(frozen=True)
class Placement:
    """One layer on arrays.

    Args:
        groups: Equal parts of the inputs, each sensed by itself; 1 where ADCs convert the sums and digital adders merge them.
        rows: Of one group, those that only fill up the last group of the first layer included.
        outputs: Of the layer.
        reads: Of the arrays for one vector: 1, or one for each bit of an output that amplifiers find bit by bit.
        digital: Additions and multiplications of one vector beside the sums of pieces: votes, and the normalisation of the outputs.
        sensed: Whether sense amplifiers read it; else ADCs.
    """

    groups: int
    rows: int
    outputs: int
    reads: int
    digital: int
    sensed: bool

    @property
    def inputs(self) -> int:
        """Rows of all groups."""
        return self.groups * self.rows


def placement(design: Blueprint, inputs: int, outputs: int, *, first: bool, last: bool, bits: int | None = None) -> Placement:
    """Where a layer of a binary network lies.

    Args:
        design: An `aimco.Design`: its arrays, and whether it has sense amplifiers.
        inputs: Of the layer.
        outputs: Of the layer.
        first: Whether its inputs are those of the network, which are cut wherever they fit: rows that nothing drives fill the last group.
        last: Whether its outputs are those of the network: sums, not bits.
        bits: Most bits of such a sum that amplifiers find; as many as tell all sums apart when absent.

    Example:
        >>> from aimco.design import Design
        >>> design = Design.of({"device": "ideal", "array": {"rows": 128}, "periphery": {"sense": {}}})
        >>> placement(design, 784, 256, first=True, last=False)
        Placement(groups=7, rows=112, outputs=256, reads=1, digital=1536, sensed=True)
    """
    normalised = 2 * outputs if last else 0
    if design.periphery.sense is None:
        return Placement(1, inputs, outputs, 1, normalised, False)
    count = -(-inputs // design.array.rows) if first else groups(inputs, design.array.rows)
    rows = -(-inputs // count)
    whole = rows.bit_length()  # a group of n rows has n + 1 sums
    reads = min(whole, bits or whole) if last else 1
    return Placement(count, rows, outputs, reads, (count - 1) * outputs + normalised, True)


def placements(design: Blueprint, sizes: Sequence[int], bits: int | None = None) -> list[Placement]:
    """Of the fully connected layers between sizes, the inputs of the network first."""
    last = len(sizes) - 2
    return [
        placement(design, *pair, first=k == 0, last=k == last, bits=bits if k == last else None)
        for k, pair in enumerate(itertools.pairwise(sizes))
    ]
