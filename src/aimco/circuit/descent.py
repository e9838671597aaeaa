"""Operating points by block coordinate descent: every layer is solved exactly between its neighbours, every second layer at once.

Each node minimises the content of the network with all others fixed, so the content falls in every sweep. One hidden layer takes a
handful of sweeps; with depth the layers hang together and `newton` is faster. Source: Osana & Querlioz 2026 (arXiv 2609.07356);
Scellier 2024 (arXiv 2402.11674) for ideal diodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from aimco.circuit.settled import Settled

if TYPE_CHECKING:
    from aimco.circuit.network import Layered

_STEPS = 2000
ROUNDING = 4  # roundings of the largest voltage that its error is at least


def inflow(net: Layered, k: int, fixed: torch.Tensor, injected: torch.Tensor | None, nodes: list[torch.Tensor]) -> torch.Tensor:
    """Currents into layer k, counted from 0, that do not depend on its own voltages, A, (B, nodes)."""
    b = fixed if k == 0 else net.driven(k - 1, nodes[k - 1]) @ net.conductances[k]
    if k < net.layers - 1:
        return torch.addmm(b - net.shift[k], nodes[k + 1], net.back[k])
    return b if injected is None else b + injected


def settle(
    net: Layered,
    fixed: torch.Tensor,
    injected: torch.Tensor | None,
    start: list[torch.Tensor] | None,
    tolerance: float,
    steps: int = _STEPS,
) -> Settled:
    """Voltages of all layers, with the estimated error and residual of each sample.

    Sweeps shrink the error by a factor q that the last two moves m tell; what is left is then below q m/(1 - q).
    """
    nodes = [u.clone() for u in start] if start is not None else forward(net, fixed)
    order = [*range(0, net.layers, 2), *range(1, net.layers, 2)]
    before = None
    error = torch.full((len(fixed),), torch.inf, dtype=fixed.dtype, device=fixed.device)
    for step in range(1, steps + 1):
        moved = torch.zeros_like(error)
        for k in order:
            b = inflow(net, k, fixed, injected, nodes)
            new = net.diodes[k].solve(net.a[k], b, nodes[k], tolerance / 10) if k < len(net.diodes) else b / net.a[k]
            moved = torch.maximum(moved, (new - nodes[k]).abs().amax(1))
            nodes[k] = new
        if before is not None:
            rate = torch.clamp(moved / before, max=0.999)
            error = torch.where(moved == 0, 0.0, moved * rate / (1 - rate)) + tolerance / 10
        if step > 1 and bool((rounded(error, nodes) <= tolerance).all()):
            break
        before = torch.clamp(moved, min=torch.finfo(moved.dtype).tiny)
    return Settled(nodes, rounded(error, nodes), net.residual(fixed, injected, nodes), step)


def rounded(error: torch.Tensor, nodes: list[torch.Tensor]) -> torch.Tensor:
    """The error with what rounding adds to it, (B,)."""
    return error + ROUNDING * torch.finfo(error.dtype).eps * torch.stack([u.abs().amax(1) for u in nodes]).amax(0)


def forward(net: Layered, fixed: torch.Tensor) -> list[torch.Tensor]:
    """A first guess: each layer as if nothing followed it."""
    nodes, b = [], fixed
    for k in range(net.layers):
        u = b / net.into[k]
        if k < len(net.diodes):
            pair = net.diodes[k]
            u = torch.clamp(u, torch.as_tensor(pair.low, dtype=u.dtype) - 0.4, torch.as_tensor(pair.high, dtype=u.dtype) + 0.4)
            b = net.driven(k, u) @ net.conductances[k + 1]
        nodes.append(u)
    return nodes
