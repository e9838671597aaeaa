"""Learning rules, one file each, written only in the operations of the hardware.

A rule is a frozen record of its numbers. The arrays it asks for and its digital state are made once per layer and handed
back to it: `update(arrays, state, x, d, lr)` reads like the paper's pseudo-code. d is minus the gradient at the outputs
(the back-propagated error), so that E[dW] = lr x d^T descends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from aimco.arrays.crossbar import ReferencePolicy
from aimco.mapping import AnalogMatrix
from aimco.periphery import across
from aimco.record import Kinded


class Rule(Kinded):
    """How the arrays of a layer learn (abstract).

    Args:
        lr: learning rate eta, weight units.
    """

    kinds_in: ClassVar[str] = "aimco.learning"

    lr: float = Field(default=0.1, ge=0, le=1000, description="learning rate")

    def arrays(self) -> dict[str, ReferencePolicy]:
        """Arrays that a layer needs and what each is read against; none for a digital rule."""
        return {"W": "mid-range"}

    def start(self, arrays: Mapping[str, AnalogMatrix]) -> dict[str, torch.Tensor]:
        """Digital state of the rule for one layer: tensors, changed in place by `update`."""
        return {}

    def shares(self) -> dict[str, Any]:
        """How much of each array is in the weights of the layer, a number or (E,); the first, whole, holds the initial weights."""
        return {"W": 1.0}

    def mvm(self, arrays: Mapping[str, AnalogMatrix], x: torch.Tensor) -> torch.Tensor:
        """Outputs of the layer, y = x W, with W the sum of the shares."""
        return _sum((share, arrays[name].mvm(x)) for name, share in self.shares().items())

    def mvm_t(self, arrays: Mapping[str, AnalogMatrix], d: torch.Tensor) -> torch.Tensor:
        """Errors at the inputs of the layer, z = d W^T."""
        return _sum((share, arrays[name].mvm_t(d)) for name, share in self.shares().items())

    @property
    def weights_on(self) -> str:
        """The array that holds the initial weights."""
        return next(iter(self.shares()))

    def update(self, arrays: Mapping[str, AnalogMatrix], state: dict[str, torch.Tensor], x: torch.Tensor, d: torch.Tensor, lr: Any) -> None:
        """Learn from a batch (abstract): x (E, B, rows), d (E, B, columns), lr a number or (E, 1, 1)."""
        raise NotImplementedError

    def notes(self) -> list[str]:
        """Approximations in force under this rule."""
        return []


def _sum(parts: Iterable[tuple[Any, torch.Tensor]]) -> torch.Tensor:
    scaled = [part if np.ndim(share) == 0 and share == 1 else part * across(share, part.shape[0]) for share, part in parts]
    return scaled[0] if len(scaled) == 1 else torch.stack(scaled).sum(0)


def one_hot(arrays: AnalogMatrix, k: int) -> torch.Tensor:
    """The vector that selects row k, (E, 1, rows)."""
    u = torch.zeros(arrays.shape[0], 1, arrays.rows)
    u[:, :, k] = 1
    return u
