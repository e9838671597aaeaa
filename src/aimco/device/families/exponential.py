"""A device whose step falls exponentially towards the bound."""

from math import exp
from typing import ClassVar

from pydantic import Field

from aimco.device.response import Response


class Exponential(Response):
    """Steps that change exponentially with the state and stop where they reach zero.

    dg+ = step_up max(0, (1 - a_up exp(gamma_up g/g_max)) / (1 - a_up)), dg- = -step_down max(0, (1 - a_down exp(gamma_down
    g/g_min)) / (1 - a_down)), g measured from mid-range. With 0 < a < 1 and gamma > 0 steps fall towards the bound that they lead
    to; with a < 0 and gamma < 0 they are large at the other bound and level off.
    Source: Gong 2018 (resistive memory); exponential-step device of Gokmen & Haensch 2020.
    """

    fit_rank: ClassVar[int | None] = 2
    fit_starts: ClassVar[tuple[dict[str, float], ...]] = (
        {"a_up": 0.05, "gamma_up": 3.0, "a_down": 0.05, "gamma_down": 3.0},
        {"a_up": -0.5, "gamma_up": -2.0, "a_down": -0.5, "gamma_down": -2.0},
        {"a_up": 0.05, "gamma_up": 3.0, "a_down": -0.5, "gamma_down": -2.0},
        {"a_up": -0.5, "gamma_up": -2.0, "a_down": 0.05, "gamma_down": 3.0},
    )

    a_up: float = Field(default=0.00081, lt=1, ge=-100, description="weight of the exponential, up")
    a_down: float = Field(default=0.36833, lt=1, ge=-100, description="weight of the exponential, down")
    gamma_up: float = Field(default=12.44625, ge=-50, le=50, description="rate of the exponential, up")
    gamma_down: float = Field(default=12.78785, ge=-50, le=50, description="rate of the exponential, down")

    @staticmethod
    def step(g, up, p):
        if up:
            return p.step_up * max((1 - p.a_up * exp(p.gamma_up * g / p.g_max)) / (1 - p.a_up), 0)
        return -p.step_down * max((1 - p.a_down * exp(p.gamma_down * g / p.g_min)) / (1 - p.a_down), 0)

    @staticmethod
    def slopes(g, up, p):
        a, rate = (p.a_up, p.gamma_up / p.g_max) if up else (p.a_down, p.gamma_down / p.g_min)
        part, scale = a * exp(rate * g), (p.step_up if up else -p.step_down) / (1 - a)
        slope = -scale * rate * part if part < 1 else 0.0
        return scale * max(1 - part, 0), slope, slope * rate
