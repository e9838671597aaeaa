"""Cells: how devices make one signed weight. A cell is one file here; weights become conductances nowhere else."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from aimco.record import Kinded


class Cell(Kinded):
    """A weight made of devices (abstract).

    Args:
        weight_max: weight of a device at the top of its nominal range, > 0: w = weight_max (g - g_ref) / half range.
    """

    kinds_in: ClassVar[str] = "aimco.cell"

    weight_max: float = Field(default=1.0, gt=0, description="weight at the top of the nominal range")

    @property
    def weight(self) -> Any:
        """Weight of a state of one (half the nominal range), (E,) in an ensemble."""
        return np.asarray(self.weight_max)
