"""What a learning rule lets a search change: the numbers that depend on the device, with the range in which to look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tunable:
    """One number of a design that is tuned for a device, looked for by ratios.

    Args:
        path: Dotted field of the design, as "rule.lr_fast".
        low: Smallest value.
        high: Largest value.
        prior: Value that is tried first; where absent, what the design has, which rules take in the device's own units.
        spread: Ratio within which two of three first values lie around the prior.

    Raises:
        ValueError: Values that are not 0 < low <= prior <= high, or a spread of 1 or less.
    """

    path: str
    low: float
    high: float
    prior: float | None = None
    spread: float = 3.0

    def __post_init__(self) -> None:
        if not (0 < self.low <= (self.prior or self.low) <= self.high and self.low < self.high and self.spread > 1):
            raise ValueError(f"{self.path} must have 0 < low <= prior <= high and a spread above 1")
