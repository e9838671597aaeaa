"""Arrays with wires as crossbars of a resistive network: driven at their rows, ending at its nodes, reduced to these ports."""

from __future__ import annotations

import numpy as np
import torch

from aimco.arrays.vertical import VerticalArray, VerticalWires
from aimco.arrays.wires import Wires
from aimco.circuit.linear import Branches, Linear
from aimco.circuit.port_reduction import IdealPorts, WiredPorts
from aimco.record import InputError


def crossbar_ports(conductances: torch.Tensor, array: Wires | VerticalWires | None) -> IdealPorts:
    """The ports of a crossbar of devices in the array it stands in.

    What ends a bit line is in series with the node it leads to. Rows of a three-dimensional array that the crossbar leaves are at 0 V.

    Args:
        conductances: Of the devices, S, (rows, columns).
        array: Planar, three-dimensional, or None where lines have no resistance.

    Raises:
        InputError: More rows than the layers hold, columns that are not those of the array.
    """
    if array is None or (isinstance(array, Wires) and array.ideal):
        return IdealPorts(conductances)
    if isinstance(array, Wires):
        return WiredPorts(conductances, *_planar(conductances, array), len(conductances))
    if conductances.shape[1] != array.columns:
        raise InputError(f"vertical.columns must be {conductances.shape[1]}, the nodes that the crossbar ends at, got {array.columns}")
    vertical = VerticalArray(conductances, array)
    return WiredPorts(conductances, vertical.circuit, vertical.branches[1], array.inputs)


def _planar(conductances: torch.Tensor, wires: Wires) -> tuple[Linear, Branches]:
    """The circuit of `aimco.arrays.wired`, and its cells."""
    g = conductances.detach().double().numpy()
    (n, m), size = g.shape, g.size
    word, bit = np.arange(size).reshape(n, m), size + np.arange(size).reshape(n, m)
    drivers, ends = 2 * size + np.arange(n), 2 * size + n + np.arange(m)
    driver, sense = wires.driver_ohm + wires.word_ohm, wires.sense_ohm + wires.bit_ohm
    lines = [(word[:, 0], drivers, driver), (bit[-1], ends, sense)]
    lines += [(word[:, 1:], word[:, :-1], wires.word_ohm), (bit[1:], bit[:-1], wires.bit_ohm)]
    if wires.both_sides:
        lines.append((word[:, -1], drivers, driver))
    cells = Branches.joined([(word, bit, g)])
    return Linear(2 * size + n + m, cells, Branches.joined(lines), np.concatenate([drivers, ends])), cells
