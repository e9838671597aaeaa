"""A device whose step shrinks linearly to zero at the bound."""

from typing import ClassVar

from aimco.device.response import Response


class SoftBounds(Response):
    """Steps that shrink linearly to zero at the bound.

    dg+ = step_up (1 - g/g_max), dg- = -step_down (1 - g/g_min), g measured from mid-range.
    Source: Rasch 2024, eq. 4-5; Gokmen & Haensch 2020.
    """

    soft: ClassVar[bool] = True
    affine: ClassVar[bool] = True
    fit_rank: ClassVar[int | None] = 1

    @staticmethod
    def derive(p):
        return {"slope_up": p["step_up"] / p["g_max"], "slope_down": -p["step_down"] / p["g_min"]}

    @staticmethod
    def step(g, up, p):
        at_zero = p.step_up if up else -p.step_down
        slope = p.slope_up if up else p.slope_down
        return at_zero - slope * g

    @staticmethod
    def slopes(g, up, p):
        at_zero, slope = (p.step_up, -p.slope_up) if up else (-p.step_down, -p.slope_down)
        return at_zero + slope * g, slope, 0.0
