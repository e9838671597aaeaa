"""A device whose step changes linearly with its state and stops at hard bounds."""

from typing import ClassVar

from pydantic import Field

from aimco.device.response import Response


class LinearStep(Response):
    """Steps that change linearly with the state, between hard bounds.

    dg+ = step_up (1 - gamma_up g), dg- = -step_down (1 + gamma_down g), g in units of half the nominal range from its
    middle, no step below zero; gamma = 0 is the constant step; 1, without spread of the bounds, the soft bounds.
    Source: the linear-step device of Gokmen & Haensch 2020; Li 2018 and Tang 2018 are described by it.
    """

    fit_rank: ClassVar[int | None] = 1

    gamma_up: float = Field(default=0.1, ge=-1, le=5, description="slope of the up step, by which it falls from mid-range to the top")
    gamma_down: float = Field(
        default=0.1, ge=-1, le=5, description="slope of the down step, by which it falls from mid-range to the bottom"
    )

    @staticmethod
    def step(g, up, p):
        return p.step_up * max(1 - p.gamma_up * g, 0) if up else -p.step_down * max(1 + p.gamma_down * g, 0)

    @staticmethod
    def slopes(g, up, p):
        scale, gamma = (p.step_up, -p.gamma_up) if up else (-p.step_down, p.gamma_down)
        left = 1 + gamma * g
        return scale * max(left, 0), scale * gamma if left > 0 else 0.0, 0.0
