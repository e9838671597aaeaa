"""What a resistive network and its learning rule exchange: operating points of a batch, and the slopes that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from aimco.circuit.operating_point import OperatingPoint


@dataclass(frozen=True)
class Phases:
    """Operating points of a batch: free, and nudged towards and away from the target.

    Args:
        x: Voltages of the inputs, V, (B, inputs).
        error: Of the free outputs, V, (B, outputs).
        free: The free point.
        towards: The point nudged towards the target.
        away: The point nudged away from it; the free one where nudging is one-sided.
        span: Of the nudges, S.
        bias_V: Voltage of the bias line, V.
        lines: Voltages of all lines at the inputs, V, where crossbars have wires.
    """

    x: torch.Tensor
    error: torch.Tensor
    free: OperatingPoint
    towards: OperatingPoint
    away: OperatingPoint
    span: float
    bias_V: float
    lines: torch.Tensor | None = None


class Slopes(Protocol):
    """dC/dG summed over the samples of a batch."""

    def each(self) -> list[torch.Tensor]:
        """Of each crossbar, then of the devices on inverted lines, V^2/S, (rows, columns)."""
        ...


@dataclass(frozen=True)
class DeviceSlopes:
    """Slopes of every device by itself.

    Args:
        slopes: As `each` returns them.
    """

    slopes: list[torch.Tensor]

    def each(self) -> list[torch.Tensor]:
        """As `Slopes.each`."""
        return self.slopes


@dataclass(frozen=True)
class InputSlopes:
    """Slopes that are a product with x in the first crossbar: common + scale x^T d in the rows of x, common - scale x^T d in those of -x.

    Args:
        common: What all rows have in common, (columns,).
        x: Voltages of the inputs, V, (B, inputs).
        move: d, (B, columns).
        bias: In the row of the bias, in place of x^T d, (columns,).
        scale: Of x^T d.
        others: Of the crossbars that follow.
        inverted: Of the devices on their inverted lines, where there are any.
    """

    common: torch.Tensor
    x: torch.Tensor
    move: torch.Tensor
    bias: torch.Tensor
    scale: float
    others: list[torch.Tensor]
    inverted: list[torch.Tensor]

    def each(self) -> list[torch.Tensor]:
        """As `Slopes.each`."""
        product = self.x.T @ self.move.to(self.x.dtype)
        if not self.inverted:
            rows = torch.cat((product, -product, self.bias[None]))
            return [self.common + self.scale * rows, *self.others]
        rows = self.scale * torch.cat((product, self.bias[None]))
        return [self.common + rows, *self.others, self.common - rows, *self.inverted]
