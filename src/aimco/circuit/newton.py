"""Operating points of deep circuits: inexact Newton, each step solved by conjugate gradients without forming a matrix.

In the coordinates x_l = u_l/(A_1 ... A_(l-1)) the Jacobian is symmetric and positive definite: the conductances between layers, and on
its diagonal their sums and the slopes of the diodes. It is also the matrix of the adjoint.
"""

from __future__ import annotations

import torch

from aimco.circuit import descent
from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.operating_point import OperatingPoint, rounded

Blocks = list[torch.Tensor]  # one tensor for each layer, (B, nodes)
_STEPS, _INNER = 80, 400
_INEXACT = 1e-3  # of the preconditioned residual, by which a step is solved


def multiply(circuit: ResistiveCircuit, v: Blocks, slopes: Blocks) -> Blocks:
    """The Jacobian times v, in the coordinates x."""
    blocks = []
    for k in range(circuit.layers):
        product = circuit.loaded(k, v[k], slopes[k])
        if k:
            product = torch.addmm(product, v[k - 1], circuit.conductances[k], alpha=-1)
        if k < circuit.layers - 1:
            product = torch.addmm(product, v[k + 1], circuit.conductances[k + 1].T, alpha=-1)
        blocks.append(product)
    return blocks


def solve_jacobian(circuit: ResistiveCircuit, right: Blocks, slopes: Blocks, *, relative: float, steps: int = _INNER) -> tuple[Blocks, int]:
    """Solve J x = b by conjugate gradients with the diagonal as preconditioner, all samples at once.

    Args:
        circuit: Whose Jacobian J is, in the coordinates x.
        right: b, (B, nodes) of each layer.
        slopes: Of the diodes at each node, S.
        relative: Part of the preconditioned residual that is left.
        steps: Most steps.

    Returns:
        x, and the steps taken.
    """
    inverse = [1 / (circuit.diagonal(k) + slope) for k, slope in enumerate(slopes)]
    x, r = [torch.zeros_like(b) for b in right], [b.clone() for b in right]
    z = [m * b for m, b in zip(inverse, r, strict=True)]
    p, rho = [b.clone() for b in z], _dot(r, z)
    goal = rho * relative**2
    taken = 0
    for taken in range(1, steps + 1):  # noqa: B007
        ap = multiply(circuit, p, slopes)
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


def _diodes(circuit: ResistiveCircuit, nodes: Blocks) -> tuple[Blocks, Blocks]:
    """Currents of the diodes and their slopes at voltages u; none at the outputs."""
    laws = [pair.current(u) for pair, u in zip(circuit.diodes, nodes, strict=False)]
    none = torch.zeros_like(nodes[-1])
    return [i for i, _ in laws] + [none], [g for _, g in laws] + [none]


def solve(
    circuit: ResistiveCircuit,
    forced: torch.Tensor,
    injected: torch.Tensor | None,
    start: Blocks | None,
    tolerance: float,
    steps: int = _STEPS,
) -> OperatingPoint:
    """Voltages of all layers; the error of a sample is estimated by its last step. Arguments as of `descent.solve`.

    Near the solution the error after a step is far below the step itself, up to what conjugate gradients left of it.
    """
    nodes = [u.clone() for u in start] if start is not None else descent.forward(circuit, forced)
    scales = circuit.scales
    error = torch.full((len(forced),), torch.inf, dtype=forced.dtype, device=forced.device)
    taken = 0
    for taken in range(1, steps + 1):  # noqa: B007
        currents, slopes = _diodes(circuit, nodes)
        left = [descent.inflow(circuit, k, forced, injected, nodes) - circuit.loaded(k, u) - currents[k] for k, u in enumerate(nodes)]
        right = [b / scale for b, scale in zip(left, scales, strict=True)]
        moves, _ = solve_jacobian(circuit, right, slopes, relative=_INEXACT)
        moves = [scale * move for scale, move in zip(scales, moves, strict=True)]
        limited = [pair.limited(u, move) for pair, u, move in zip(circuit.diodes, nodes, moves, strict=False)] + [moves[-1]]
        nodes = [u + move for u, move in zip(nodes, limited, strict=True)]
        error = torch.stack([move.abs().amax(1) for move in moves]).amax(0)
        if bool((rounded(error, nodes) <= tolerance).all()):
            break
    return OperatingPoint(nodes, rounded(error, nodes), descent.residual(circuit, forced, injected, nodes), taken)
