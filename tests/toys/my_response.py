from aimco import Response


class Saturating(Response):
    """Steps that shrink with the square of the state."""

    fall: float = 0.4

    @staticmethod
    def step(g, up, p):
        size = 1 - p.fall * g * g
        return p.step_up * size if up else -p.step_down * size
