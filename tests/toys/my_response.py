from aimco import Response


class Saturating(Response):
    """Steps that shrink as the square of the distance from a point beyond each bound."""

    fall: float = 0.4

    @staticmethod
    def step(g, up, p):
        ahead = 1 - p.fall * g if up else 1 + p.fall * g
        return p.step_up * ahead * ahead if up else -p.step_down * ahead * ahead
