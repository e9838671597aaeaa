"""A device whose step follows a power of the distance to the bound."""

from typing import ClassVar

from pydantic import Field

from aimco.device.response import Response


class Power(Response):
    """Steps that fall as a power of the distance to the bound.

    dg+ = step_up (1 - g/g_max)^gamma_up, dg- = -step_down (1 - g/g_min)^gamma_down, g measured from mid-range;
    gamma = 0 is the constant step, 1 the soft bounds.
    Source: Wu 2025, response functions (1 -+ w/tau)^gamma_res.
    """

    soft: ClassVar[bool] = True
    fit_rank: ClassVar[int | None] = 2
    fit_starts: ClassVar[tuple[dict[str, float], ...]] = ({"gamma_up": 0.5, "gamma_down": 0.5}, {"gamma_up": 2.0, "gamma_down": 2.0})

    gamma_up: float = Field(default=2.0, ge=0, le=20, description="exponent of the up step")
    gamma_down: float = Field(default=2.0, ge=0, le=20, description="exponent of the down step")

    @staticmethod
    def step(g, up, p):
        return p.step_up * max(1 - g / p.g_max, 0) ** p.gamma_up if up else -p.step_down * max(1 - g / p.g_min, 0) ** p.gamma_down

    @staticmethod
    def slopes(g, up, p):
        bound, gamma = (p.g_max, p.gamma_up) if up else (p.g_min, p.gamma_down)
        left = max(1 - g / bound, 0)
        f, rate = (p.step_up if up else -p.step_down) * left**gamma, -1 / (bound * left + (1e-20 if up else -1e-20))
        return f, gamma * f * rate, gamma * f * rate * (gamma - 1) * rate
