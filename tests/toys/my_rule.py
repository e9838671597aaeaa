from pydantic import Field

from aimco import Rule


class Sparse(Rule):
    """Errors below a part of the largest of their sample send no pulses."""

    least: float = Field(default=0.1, ge=0, lt=1, description="part of the largest error")

    def update(self, arrays, state, x, d, lr):
        large = d.abs() >= self.least * d.abs().amax(2, keepdim=True)
        arrays["W"].pulse(x, d * large, lr)
