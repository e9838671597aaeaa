"""A device whose step is the same at every state."""

from typing import ClassVar

from aimco.device.response import Response


class ConstantStep(Response):
    """Equal steps up to hard bounds.  dg+ = step_up, dg- = -step_down.  Source: Gokmen & Vlasov 2016, eq. 2."""

    affine: ClassVar[bool] = True
    fit_rank: ClassVar[int | None] = 0

    @staticmethod
    def step(g, up, p):
        return p.step_up if up else -p.step_down

    @staticmethod
    def slopes(g, up, p):
        return p.step_up if up else -p.step_down, 0.0, 0.0
