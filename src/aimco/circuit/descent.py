"""Operating points by block coordinate descent: every layer is solved exactly between its neighbours, every second layer at once.

Each node minimises the content of the circuit with all others fixed, so the content falls in every sweep. One hidden layer takes a
handful of sweeps; with depth the layers hang together and `newton` is faster. Source: Osana & Querlioz 2026 (arXiv 2609.07356);
Scellier 2024 (arXiv 2402.11674) for ideal diodes.
"""

from __future__ import annotations

import torch

from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.operating_point import OperatingPoint, rounded

STEPS = 2000


def solve(
    circuit: ResistiveCircuit,
    forced: torch.Tensor,
    injected: torch.Tensor | None,
    start: list[torch.Tensor] | None,
    tolerance: float,
    steps: int = STEPS,
) -> OperatingPoint:
    """Voltages of all layers, with the estimated error and the residual of each sample.

    Sweeps shrink the error by a factor q that the last two moves m tell; what is left is then below q m/(1 - q).

    Args:
        circuit: Of crossbars without inner nodes.
        forced: Currents that the sources send into the first layer, A, (B, nodes).
        injected: Currents into the outputs, A, (B, outputs).
        start: Voltages of a near operating point, V, (B, nodes) of each layer.
        tolerance: Of every voltage, V.
        steps: Most sweeps.
    """
    nodes = [u.clone() for u in start] if start is not None else forward(circuit, forced)
    order = [*range(0, circuit.layers, 2), *range(1, circuit.layers, 2)]
    before = None
    error = torch.full((len(forced),), torch.inf, dtype=forced.dtype, device=forced.device)
    for step in range(1, steps + 1):
        moved = torch.zeros_like(error)
        for k in order:
            b = inflow(circuit, k, forced, injected, nodes)
            a = circuit.a[k]
            new = circuit.diodes[k].solve(a, b, nodes[k], tolerance / 10) if k < len(circuit.diodes) else b / a
            moved = torch.maximum(moved, (new - nodes[k]).abs().amax(1))
            nodes[k] = new
        if before is not None:
            rate = torch.clamp(moved / before, max=0.999)
            error = torch.where(moved == 0, 0.0, moved * rate / (1 - rate)) + tolerance / 10
        if step > 1 and bool((rounded(error, nodes) <= tolerance).all()):
            break
        before = torch.clamp(moved, min=torch.finfo(moved.dtype).tiny)
    return OperatingPoint(nodes, rounded(error, nodes), residual(circuit, forced, injected, nodes), step)


def inflow(
    circuit: ResistiveCircuit, k: int, forced: torch.Tensor, injected: torch.Tensor | None, nodes: list[torch.Tensor]
) -> torch.Tensor:
    """Currents into layer k, counted from 0, that do not depend on its own voltages, A, (B, nodes)."""
    b = forced if k == 0 else circuit.driven(k - 1, nodes[k - 1]) @ circuit.conductances[k]
    if k < circuit.layers - 1:
        return torch.addmm(b - circuit.shift[k], nodes[k + 1], circuit.back[k])
    return b if injected is None else b + injected


def residual(circuit: ResistiveCircuit, forced: torch.Tensor, injected: torch.Tensor | None, nodes: list[torch.Tensor]) -> torch.Tensor:
    """Largest current left over at a node, A, (B,); nodes held by an ideal diode have none."""
    largest = []
    for k, u in enumerate(nodes):
        left = inflow(circuit, k, forced, injected, nodes) - circuit.loaded(k, u)
        if k < len(circuit.diodes):
            left = circuit.diodes[k].unbalanced(u, left)
        largest.append(left.abs().amax(1))
    return torch.stack(largest).amax(0)


def forward(circuit: ResistiveCircuit, forced: torch.Tensor) -> list[torch.Tensor]:
    """A first guess: each layer as if nothing followed it."""
    nodes, b = [], forced
    for k in range(circuit.layers):
        u = b / circuit.into[k]
        if k < len(circuit.diodes):
            pair = circuit.diodes[k]
            u = torch.clamp(u, torch.as_tensor(pair.low, dtype=u.dtype) - 0.4, torch.as_tensor(pair.high, dtype=u.dtype) + 0.4)
            b = circuit.driven(k, u) @ circuit.conductances[k + 1]
        nodes.append(u)
    return nodes
