"""What the compiled descent needs of the conductances of a circuit with one hidden layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from aimco.circuit.elements import DiodePair, Ideal, Shockley, Value
from aimco.circuit.operating_point import ROUNDING
from aimco.kernels import circuits


@dataclass(frozen=True)
class Program:
    """Arguments of `aimco.kernels.circuits.solve` that follow from the conductances.

    Args:
        law: Of the diodes.
        known: What is known of each hidden node, (FIELDS, nodes).
        back: Conductances of the second crossbar over the gains, transposed, S, (outputs, nodes).
        a: Sum of the conductances at each output, S, (outputs,).
        contraction: Part of a move of the outputs that a sweep leaves at most, and how far hidden nodes follow it at most.
        rounding: Relative error of the conductances.
    """

    law: int
    known: np.ndarray
    back: np.ndarray
    a: np.ndarray
    contraction: tuple[float, float]
    rounding: float


def program(
    crossbar: torch.Tensor, load: torch.Tensor, into: torch.Tensor, diodes: DiodePair, amplifiers: tuple[Value, Value]
) -> Program | None:
    """The program of a circuit, or None where descent stays with torch: other diodes, sources too far apart, other processors.

    Args:
        crossbar: Conductances of the second crossbar, S, (nodes, outputs).
        load: What they load their nodes by, S, (nodes, outputs).
        into: Sums of the columns of the first crossbar, S, (nodes,).
        diodes: Of the hidden layer.
        amplifiers: Their gain, and their offset, V.
    """
    if type(diodes) not in (Shockley, Ideal) or not crossbar.is_cpu:
        return None
    known = _known(diodes, *amplifiers, len(crossbar))
    law = _law(diodes)
    if law == circuits.SHOCKLEY and np.any(known[circuits.HIGH] - known[circuits.LOW] > 2 * circuits.WIDEST * known[circuits.THERMAL]):
        return None
    back, a = np.empty((crossbar.shape[1], crossbar.shape[0])), np.empty(crossbar.shape[1])
    contraction = circuits.program(crossbar.numpy(), load.numpy(), into.numpy(), known, back, a)
    return Program(law, known, back, a, contraction, ROUNDING * torch.finfo(crossbar.dtype).eps)


def _law(diodes: DiodePair) -> int:
    if not isinstance(diodes, Shockley):
        return circuits.IDEAL
    return circuits.NGSPICE if diodes.as_ngspice else circuits.SHOCKLEY


def _known(diodes: DiodePair, gain: Value, offset: Value, nodes: int) -> np.ndarray:
    known = np.zeros((circuits.FIELDS, nodes))
    fields: dict[int, Value] = {circuits.LOW: diodes.low, circuits.HIGH: diodes.high, circuits.GAIN: gain, circuits.OFFSET: offset}
    fields[circuits.THERMAL] = 1.0
    if isinstance(diodes, Shockley):
        fields |= {circuits.SATURATION: diodes.saturation, circuits.THERMAL: diodes.thermal}
    for row, value in fields.items():
        known[row] = value
    return known
