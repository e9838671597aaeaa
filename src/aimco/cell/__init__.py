"""Cells: how devices make one signed weight. A cell is one file here; weights become conductances nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from aimco.record import Kinded


class Cell(Kinded):
    """A weight made of devices (abstract), w = weight_max times the sum of signs x states.

    Args:
        weight_max: weight of a device at the top of its nominal range, > 0: w = weight_max (g - g_ref) / half range.
    """

    kinds_in: ClassVar[str] = "aimco.cell"
    signs: ClassVar[tuple[int, ...]] = (1,)  # of the devices of one cell

    weight_max: float = Field(default=1.0, gt=0, description="weight at the top of the nominal range")

    @property
    def weight(self) -> Any:
        """Weight of a state of one (half the nominal range), (E,) in an ensemble."""
        return np.asarray(self.weight_max)

    def write(self, crossbars: Sequence[Any], target: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """Write and verify the devices so that they make weights of `target` x weight_max (E, R, C); `only` some of them."""
        crossbars[0].program(target, only=only)

    def refresh(self, tile: Any, before: int, after: int) -> None:
        """What is done to the devices between updates; `before` and `after` are the updates so far. Nothing by default."""
