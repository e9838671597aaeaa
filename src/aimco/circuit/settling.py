"""How long a resistive circuit takes to settle."""

from __future__ import annotations

import math

import torch

from aimco.circuit import newton
from aimco.circuit.circuit import ResistiveCircuit

_STEPS = 30  # of the power iteration


def slowest(circuit: ResistiveCircuit, node_F: float) -> float:
    """Slowest time constant of a circuit, s: the largest eigenvalue of J^-1 C, by power iteration, each step a solve.

    J is the Jacobian of Kirchhoff's law with no diode conducting.

    Args:
        circuit: Of the conductances as they are.
        node_F: Capacitance that each device adds to both of its lines, F.
    """
    pairs = list(zip(circuit.conductances, [*circuit.conductances[1:], None], strict=True))
    lines = [g.shape[0] + (0 if after is None else after.shape[1]) for g, after in pairs]
    mode = [torch.ones(1, g.shape[1], dtype=g.dtype) for g in circuit.conductances]
    none, size = [torch.zeros_like(v) for v in mode], sum(v.shape[1] for v in mode)
    tau = 0.0
    for _ in range(_STEPS):
        charge = [node_F * n * v for n, v in zip(lines, mode, strict=True)]
        mode, _ = newton.solve_jacobian(circuit, charge, none, relative=1e-8, steps=2 * size + 100)
        before, tau = tau, math.sqrt(sum(float(v.square().sum()) for v in mode))
        mode = [v / tau for v in mode]
        if abs(tau - before) <= 1e-4 * tau:
            break
    return tau
