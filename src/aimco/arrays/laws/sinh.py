"""Cells in which electrons hop or tunnel."""

import numpy as np

from aimco.arrays.laws import Law
from aimco.record import quantity
from aimco.units import V


class Sinh(Law):
    """Hopping or tunnelling, f = v_0 sinh(v/v_0): g is the conductance at 0 V.

    Args:
        scale_V: v_0, V.
    """

    scale_V: float = quantity(V, 0.25, gt=0, le=100, doc="voltage in which the current becomes exponential")

    def per_siemens(self, v):
        return self.scale_V * np.sinh(v / self.scale_V), np.cosh(v / self.scale_V)

    def formula(self, v):
        return f"{self.scale_V:.17g}*sinh(({v})/{self.scale_V:.17g})"
