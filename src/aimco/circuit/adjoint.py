"""Exact gradients of what is read at the outputs of a settled network: one linear solve with the Jacobian, which is symmetric."""

from __future__ import annotations

import itertools

import torch

from aimco.circuit import newton
from aimco.circuit.elements import Ideal
from aimco.circuit.network import Layered
from aimco.circuit.ported import Ported
from aimco.circuit.settled import Settled
from aimco.record import InputError

_HELD = 1e30  # slope, S, of an ideal diode that conducts


def gradients(
    net: Layered, sources: torch.Tensor, settled: Settled, at_outputs: torch.Tensor, *, relative: float = 1e-12
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Gradients at the conductances, summed over samples, and at the sources, of a cost C of the output voltages.

    With J the Jacobian of Kirchhoff's law in the coordinates x and J lambda = dC/dx, dC/dG_ij = sum (lambda_j - lambda_i)(x_i - x_j).

    Args:
        sources: V, (B, inputs). settled: the operating point there. at_outputs: dC/du at the outputs, (B, outputs).
        relative: what conjugate gradients leave of the residual.

    Returns:
        dC/dG of each crossbar, then of the devices on inverted lines, in units of C per S; and dC/dV at the sources, (B, inputs).
    """
    if not net.reciprocal:
        raise InputError("gain must be one number for each layer for the adjoint: with others the network is not reciprocal")
    scales = net.scales
    right = [torch.zeros_like(u) for u in settled.nodes[:-1]] + [scales[-1] * at_outputs]
    size = sum(u.shape[1] for u in settled.nodes)
    adjoint, _ = newton.solve(net, right, _slopes(net, settled), relative=relative, steps=2 * size + 100)
    before, at_sources = [torch.zeros_like(sources), *adjoint[:-1]], adjoint[0] @ net.conductances[0].T
    if isinstance(net, Ported):
        p, u = zip(*net.drops(sources, settled), strict=True)
        pairs = zip(net.across(before, adjoint), net.across(p, u), itertools.cycle(scales), strict=False)
        return [-(a * b).sum(0) / scale for a, b, scale in pairs], at_sources
    found, inverted = [], []
    for k, ((p, u), scale) in enumerate(zip(net.drops(sources, settled), scales, strict=True)):
        squares = (adjoint[k] * u).sum(0) + (before[k] * p).sum(0)[:, None]
        products = p.T @ adjoint[k] + before[k].T @ u
        found.append((products - squares) / scale)
        if net.inverted[k] is not None:
            inverted.append((-products - squares) / scale)
    return [*found, *inverted], at_sources


def _slopes(net: Layered, settled: Settled) -> list[torch.Tensor]:
    slopes = []
    for pair, u in zip(net.diodes, settled.nodes, strict=False):
        if isinstance(pair, Ideal):
            slopes.append(torch.where(pair.free(u), 0.0, _HELD).to(u.dtype))
        else:
            slopes.append(pair.current(u)[1])
    return [*slopes, torch.zeros_like(settled.nodes[-1])]
