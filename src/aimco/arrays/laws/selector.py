"""Cells behind a threshold selector."""

from pydantic import Field

from aimco.arrays.laws import Law, softplus, softplus_formula
from aimco.record import quantity
from aimco.units import V


class Selector(Law):
    """A cell behind a threshold, f = s(v - v_t) - s(-v - v_t) + leak v, s(x) = w ln(1 + exp(x/w)): g far above it.

    Args:
        threshold_V: v_t, V.
        width_V: w, V, in which the selector turns on.
        leak: Part of g that is left below the threshold.
    """

    threshold_V: float = quantity(V, 0.2, ge=0, le=100, doc="voltage at which the selector turns on")
    width_V: float = quantity(V, 0.02, gt=0, le=100, doc="width of turning on")
    leak: float = Field(default=1e-3, gt=0, le=1, description="part of the conductance below the threshold")

    def per_siemens(self, v):
        (up, up_slope), (down, down_slope) = (softplus(x, self.width_V) for x in (v - self.threshold_V, -v - self.threshold_V))
        return up - down + self.leak * v, up_slope + down_slope + self.leak

    def formula(self, v):
        up, down = (softplus_formula(f"{sign}({v})-{self.threshold_V:.17g}", self.width_V) for sign in ("", "-"))
        return f"({up})-({down})+{self.leak:.17g}*({v})"
