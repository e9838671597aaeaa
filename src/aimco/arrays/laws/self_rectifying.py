"""Cells that conduct one way."""

import math
from typing import ClassVar

from pydantic import Field

from aimco.arrays.laws import Law, softplus, softplus_formula
from aimco.record import quantity
from aimco.units import V


class SelfRectifying(Law):
    """A cell that conducts one way, f = v/rho + (1 - 1/rho) (s(v) - s(0)), s(x) = w ln(1 + exp(x/w)): g from word to bit line.

    Args:
        ratio: rho, forward over reverse conductance.
        width_V: w, V, of the turn between them.
    """

    both_ways: ClassVar[bool] = False

    ratio: float = Field(default=100.0, ge=1, le=1e9, description="forward over reverse conductance")
    width_V: float = quantity(V, 0.02, gt=0, le=100, doc="width of the turn at 0 V")

    def per_siemens(self, v):
        soft, slope = softplus(v, self.width_V)
        forward = 1 - 1 / self.ratio
        return v / self.ratio + forward * (soft - self.width_V * math.log(2)), 1 / self.ratio + forward * slope

    def formula(self, v):
        forward = 1 - 1 / self.ratio
        return f"({v})/{self.ratio:.17g}+{forward:.17g}*({softplus_formula(v, self.width_V)}-{self.width_V * math.log(2):.17g})"
