"""A device whose step is the same at every state."""

from aimco.device.response import Response


class ConstantStep(Response):
    """Equal steps up to hard bounds.  dg+ = step_up, dg- = -step_down.  Source: Gokmen & Vlasov 2016, eq. 2."""

    @staticmethod
    def step(g, up, p):
        return p.step_up if up else -p.step_down
