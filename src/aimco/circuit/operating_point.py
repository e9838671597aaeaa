"""Operating points of resistive circuits: what every solver returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch

ROUNDING = 4  # least error of a voltage, in roundings of the largest voltage


@dataclass(frozen=True)
class OperatingPoint:
    """Voltages at which Kirchhoff's current law holds.

    Args:
        nodes: Voltages u_l of each layer, V, (B, nodes).
        error: Estimated largest error of a voltage of each sample, V, (B,).
        residual: Largest current left over at a node of each sample, A, (B,).
        steps: Sweeps or Newton steps.
        power: Where the solver computes it along the way, W, (B,): `ResistiveCircuit.dissipation` less the part of the sources' own
            voltages squared.
    """

    nodes: list[torch.Tensor]
    error: torch.Tensor
    residual: torch.Tensor
    steps: int
    power: torch.Tensor | None = None

    @property
    def outputs(self) -> torch.Tensor:
        """Voltages of the last layer, V, (B, outputs)."""
        return self.nodes[-1]

    def phases(self, number: int) -> list[OperatingPoint]:
        """The points of `number` phases that were solved together, one after the other along the batch."""
        parts = zip(*(u.chunk(number) for u in self.nodes), strict=True)
        powers = [None] * number if self.power is None else self.power.chunk(number)
        rows = zip(parts, self.error.chunk(number), self.residual.chunk(number), powers, strict=True)
        return [OperatingPoint(list(nodes), error, residual, self.steps, power) for nodes, error, residual, power in rows]

    def to(self, dtype: torch.dtype) -> OperatingPoint:
        """The same point with voltages, error and residual in another precision."""
        if all(u.dtype == dtype for u in self.nodes):
            return self
        return OperatingPoint([u.to(dtype) for u in self.nodes], self.error.to(dtype), self.residual.to(dtype), self.steps, self.power)

    def within(self, tolerance: float, samples: int, method: str) -> OperatingPoint:
        """Return self if every sample converged to `tolerance`; raise otherwise.

        Args:
            tolerance: Of every voltage, V.
            samples: Samples of one phase.
            method: Name of the solver, for the message.

        Raises:
            RuntimeError: A sample did not converge; names it and its error.
        """
        if len(self.error) and not float(self.error.max()) <= tolerance:  # NaN is not
            worst = int(torch.nan_to_num(self.error, nan=torch.inf).argmax())
            raise RuntimeError(
                f"not settled: sample {worst % samples} is {float(self.error[worst]):.2g} V off after {self.steps} steps of {method}, "
                f"asked {tolerance:g} V; allow more steps, or use method newton or float64"
            )
        return self


def rounded(error: torch.Tensor, nodes: list[torch.Tensor]) -> torch.Tensor:
    """The error with what rounding adds to it, (B,)."""
    return error + ROUNDING * torch.finfo(error.dtype).eps * torch.stack([u.abs().amax(1) for u in nodes]).amax(0)
