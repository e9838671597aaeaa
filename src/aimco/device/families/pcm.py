"""Phase-change memory: partial SET pulses raise the conductance, only a RESET lowers it."""

from math import exp
from typing import ClassVar

from pydantic import Field

from aimco.device.response import Response
from aimco.record import quantity
from aimco.units import S


class Pcm(Response):
    """Steps up that level off exponentially; a down pulse does nothing, as melting takes a RESET.

    dg+ = step_up (1 - a_up exp(gamma_up g/g_max)) / (1 - a_up), g measured from mid-range; a_up < 0 and gamma_up < 0 make
    steps large at the bottom.
    Source: Nandakumar 2020 (Front. Neurosci.), mushroom cell of doped GST, in the form of Gong 2018.
    """

    one_sided: ClassVar[bool] = True
    fit_rank: ClassVar[int | None] = 2
    fit_starts: ClassVar[tuple[dict[str, float], ...]] = ({"a_up": -2.0, "gamma_up": -2.5}, {"a_up": 0.05, "gamma_up": 3.0})

    step_down: float = quantity(S, 1e-9, gt=0, doc="unused: there is no gradual step down")
    a_up: float = Field(default=-2.2355, lt=1, ge=-100, description="weight of the exponential")
    gamma_up: float = Field(default=-2.5, ge=-50, le=50, description="rate of the exponential")

    @staticmethod
    def step(g, up, p):
        return p.step_up * max((1 - p.a_up * exp(p.gamma_up * g / p.g_max)) / (1 - p.a_up), 0) if up else 0.0

    @staticmethod
    def slopes(g, up, p):
        rate = p.gamma_up / p.g_max
        part, scale = p.a_up * exp(rate * g), (p.step_up if up else 0.0) / (1 - p.a_up)
        slope = -scale * rate * part if part < 1 else 0.0
        return scale * max(1 - part, 0), slope, slope * rate
