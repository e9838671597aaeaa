"""The first resistive network trained by equilibrium propagation on MNIST (Kendall et al. 2020)."""

from __future__ import annotations

from aimco.reference import Row, Settings
from aimco.reference._equilibrium import design, errors

SOURCE = "Kendall et al., arXiv 2006.01981 (2020): 1569-100-20 on MNIST in SPICE, exponential diodes, error after 10 epochs"
NEEDS = "mnist"


def run(settings: Settings) -> list[Row]:
    """The error after 10 epochs, within 1 point of the published one."""
    return errors(settings, [("1569-100-20, 10 epochs", design("shockley", 100, 10), 3.43, 1.0)])
