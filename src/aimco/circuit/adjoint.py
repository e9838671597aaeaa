"""Exact gradients of what is read at the outputs of a solved circuit: one linear solve with the Jacobian, which is symmetric."""

from __future__ import annotations

import itertools

import torch

from aimco.circuit import newton
from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.operating_point import OperatingPoint
from aimco.record import InputError


def gradients(
    circuit: ResistiveCircuit, sources: torch.Tensor, point: OperatingPoint, at_outputs: torch.Tensor, *, relative: float = 1e-12
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Gradients at the conductances, summed over samples, and at the sources, of a cost C of the output voltages.

    With J the Jacobian of Kirchhoff's law in the coordinates x and J lambda = dC/dx, dC/dG_ij = sum (lambda_j - lambda_i)(x_i - x_j).

    Args:
        circuit: That was solved.
        sources: Voltages at its inputs, V, (B, inputs).
        point: The operating point there.
        at_outputs: dC/du at the outputs, (B, outputs).
        relative: Part of the residual that conjugate gradients leave.

    Returns:
        dC/dG of each crossbar, then of the devices on inverted lines, in units of C per S; and dC/dV at the sources, (B, inputs).

    Raises:
        InputError: Gains differ within a layer: the circuit is not reciprocal.
    """
    if not circuit.reciprocal:
        raise InputError("gain must be one number for each layer for the adjoint: with others the network is not reciprocal")
    scales, size = circuit.scales, sum(u.shape[1] for u in point.nodes)
    right = [torch.zeros_like(u) for u in point.nodes[:-1]] + [scales[-1] * at_outputs]
    slopes = [pair.conductance(u) for pair, u in zip(circuit.diodes, point.nodes, strict=False)] + [torch.zeros_like(point.nodes[-1])]
    adjoint, _ = newton.solve_jacobian(circuit, right, slopes, relative=relative, steps=2 * size + 100)
    before, at_sources = [torch.zeros_like(sources), *adjoint[:-1]], adjoint[0] @ circuit.conductances[0].T
    drops = circuit.drops(sources, point)
    if circuit.wired:
        p, u = zip(*drops, strict=True)
        pairs = zip(circuit.voltage_drops(before, adjoint), circuit.voltage_drops(p, u), itertools.cycle(scales), strict=False)
        return [-(a * b).sum(0) / scale for a, b, scale in pairs], at_sources
    plus, inverted = [], []
    for k, ((p, u), scale) in enumerate(zip(drops, scales, strict=True)):
        squares = (adjoint[k] * u).sum(0) + (before[k] * p).sum(0)[:, None]
        products = p.T @ adjoint[k] + before[k].T @ u
        plus.append((products - squares) / scale)
        if circuit.inverted[k] is not None:
            inverted.append((-products - squares) / scale)
    return [*plus, *inverted], at_sources
