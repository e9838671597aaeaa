"""What every solver of operating points returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Settled:
    """An operating point.

    Args:
        nodes: voltages u_l of each layer, V, (B, nodes). error: estimated largest error of a voltage of each sample, V, (B,).
        residual: largest current that is left over at a node of each sample, A, (B,). steps: sweeps or Newton steps.
        power: where the solver finds it along the way, W, (B,), as `Layered.dissipation` less that of the sources' own voltages squared.
    """

    nodes: list[torch.Tensor]
    error: torch.Tensor
    residual: torch.Tensor
    steps: int
    power: torch.Tensor | None = None

    @property
    def outputs(self) -> torch.Tensor:
        """Voltages of the last layer."""
        return self.nodes[-1]

    def phases(self, number: int) -> list[Settled]:
        """Those of phases that settled together."""
        parts = zip(*(u.chunk(number) for u in self.nodes), strict=True)
        powers = [None] * number if self.power is None else self.power.chunk(number)
        states = zip(parts, self.error.chunk(number), self.residual.chunk(number), powers, strict=True)
        return [Settled(list(nodes), error, residual, self.steps, power) for nodes, error, residual, power in states]

    def within(self, tolerance: float, samples: int, method: str) -> Settled:
        """Itself, of one or more phases of so many samples, found by a method, where every error is small enough.

        Raises:
            RuntimeError: it is not, with the sample and by how much.
        """
        if len(self.error) and not float(self.error.max()) <= tolerance:  # NaN is not
            worst = int(torch.nan_to_num(self.error, nan=torch.inf).argmax())
            raise RuntimeError(
                f"not settled: sample {worst % samples} is {float(self.error[worst]):.2g} V off after {self.steps} steps of {method}, "
                f"asked {tolerance:g} V; allow more steps, or use method newton or float64"
            )
        return self
