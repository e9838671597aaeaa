"""What one backward pass leaves for an update, and what parameters in arrays ask of the layer that holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Protocol

import torch

from aimco.ensemble import Rate

Role = Literal["weight", "bias"]


class Pass:
    """What one backward pass leaves for an update.

    Args:
        rows: inputs on the rows, the constant of the bias row included, (E, B, rows).
        errors: gradients at the outputs, (E, B, columns).
        sums: of both, taken while they are in the cache: finite unless a number is not, or they are huge.
        vectors: that one sample gives the layer in all its passes.
    """

    __slots__ = ("errors", "rows", "sums", "vectors")

    def __init__(self, rows: torch.Tensor, errors: torch.Tensor, sums: tuple[torch.Tensor, torch.Tensor], vectors: int = 1) -> None:
        self.rows, self.errors, self.sums, self.vectors = rows, errors, sums, vectors

    @property
    def finite(self) -> bool:
        """Whether no number is NaN or infinite."""
        if math.isfinite(self.sums[0].item()) and math.isfinite(self.sums[1].item()):
            return True
        return bool(self.rows.isfinite().all() and self.errors.isfinite().all())  # the sum of large numbers may overflow


class _Taught(Protocol):
    """The rule of a layer, as an optimizer asks for its learning rate: a number, or one for each ensemble member."""

    @property
    def lr(self) -> float | tuple[float, ...]: ...


class Holder(Protocol):
    """A layer whose weights are in arrays, as its parameters and their gradients see it."""

    members: int
    rule: _Taught

    @property
    def title(self) -> str:
        """What messages call it."""
        ...

    def read_parameter(self, role: Role) -> torch.Tensor:
        """Numbers of the weight or the bias, read from the arrays."""
        ...

    def write_parameter(self, role: Role, values: torch.Tensor, only: torch.Tensor | None) -> None:
        """Write and verify them; those of a mask alone, all when absent."""
        ...

    def gradient_of(self, role: Role, one: Pass) -> torch.Tensor:
        """What the vectors of a pass come to at the weight or the bias."""
        ...

    def learn(self, due: Mapping[Role, tuple[torch.Tensor, Rate]]) -> None:
        """Update the arrays from the gradients at weight and bias, each with its learning rate."""
        ...
