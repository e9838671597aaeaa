"""Operating points of deep networks: inexact Newton, each step solved by conjugate gradients without forming a matrix.

In the coordinates x_l = u_l/(A_1 ... A_(l-1)) the Jacobian is symmetric and positive definite: the conductances between layers, and on
its diagonal their sums and the slopes of the diodes. It is also the matrix of the adjoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from aimco.circuit import descent
from aimco.circuit.settled import Settled

if TYPE_CHECKING:
    from aimco.circuit.network import Layered

Blocks = list[torch.Tensor]
_STEPS, _INNER = 80, 400
_INEXACT = 1e-3  # of the preconditioned residual, by which a step is solved


def multiply(net: Layered, v: Blocks, slopes: Blocks) -> Blocks:
    """The Jacobian times v, in the coordinates x."""
    out = []
    for k in range(net.layers):
        product = net.loaded(k, v[k], slopes[k])
        if k:
            product = torch.addmm(product, v[k - 1], net.conductances[k], alpha=-1)
        if k < net.layers - 1:
            product = torch.addmm(product, v[k + 1], net.conductances[k + 1].T, alpha=-1)
        out.append(product)
    return out


def solve(net: Layered, right: Blocks, slopes: Blocks, *, relative: float, steps: int = _INNER) -> tuple[Blocks, int]:
    """Conjugate gradients with the diagonal as preconditioner on the Jacobian, all samples at once."""
    inverse = [1 / (net.diagonal(k) + slope) for k, slope in enumerate(slopes)]
    x, r = [torch.zeros_like(b) for b in right], [b.clone() for b in right]
    z = [m * b for m, b in zip(inverse, r, strict=True)]
    p, rho = [b.clone() for b in z], _dot(r, z)
    goal = rho * relative**2
    taken = 0
    for taken in range(1, steps + 1):  # noqa: B007
        ap = multiply(net, p, slopes)
        bend = _dot(p, ap)
        alpha = torch.where(bend > 0, rho / bend, 0.0)[:, None]
        x, r = _add(x, alpha, p), _add(r, -alpha, ap)
        z = [m * b for m, b in zip(inverse, r, strict=True)]
        new = _dot(r, z)
        if bool((new <= goal).all()):
            break
        beta = torch.where(rho > 0, new / rho, 0.0)[:, None]
        p, rho = _add(z, beta, p), new
    return x, taken


def _dot(u: Blocks, v: Blocks) -> torch.Tensor:
    return torch.stack([(a * b).sum(1) for a, b in zip(u, v, strict=True)]).sum(0)


def _add(u: Blocks, alpha: torch.Tensor, v: Blocks) -> Blocks:
    return [a + alpha * b for a, b in zip(u, v, strict=True)]


def slopes_at(net: Layered, nodes: Blocks) -> tuple[Blocks, Blocks]:
    """Currents of the diodes and their slopes at voltages u; none at the outputs."""
    found = [pair.current(u) for pair, u in zip(net.diodes, nodes, strict=False)]
    none = torch.zeros_like(nodes[-1])
    return [i for i, _ in found] + [none], [g for _, g in found] + [none]


def settle(
    net: Layered,
    fixed: torch.Tensor,
    injected: torch.Tensor | None,
    start: Blocks | None,
    tolerance: float,
    steps: int = _STEPS,
) -> Settled:
    """Voltages of all layers, the last step of each sample as the estimate of its error (B,), its residual, and Newton steps.

    Near the solution the error after a step is far below the step itself, up to what conjugate gradients left of it.
    """
    nodes = [u.clone() for u in start] if start is not None else descent.forward(net, fixed)
    scales = net.scales
    error = torch.full((len(fixed),), torch.inf, dtype=fixed.dtype, device=fixed.device)
    taken = 0
    for taken in range(1, steps + 1):  # noqa: B007
        currents, slopes = slopes_at(net, nodes)
        left = [descent.inflow(net, k, fixed, injected, nodes) - net.loaded(k, u) - currents[k] for k, u in enumerate(nodes)]
        right = [b / scale for b, scale in zip(left, scales, strict=True)]
        moves, _ = solve(net, right, slopes, relative=_INEXACT)
        moves = [scale * move for scale, move in zip(scales, moves, strict=True)]
        limited = [pair.limited(u, move) for pair, u, move in zip(net.diodes, nodes, moves, strict=False)] + [moves[-1]]
        nodes = [u + move for u, move in zip(nodes, limited, strict=True)]
        error = torch.stack([move.abs().amax(1) for move in moves]).amax(0)
        if bool((descent.rounded(error, nodes) <= tolerance).all()):
            break
    return Settled(nodes, descent.rounded(error, nodes), net.residual(fixed, injected, nodes), taken)
