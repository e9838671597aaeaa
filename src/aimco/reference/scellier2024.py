"""Resistive networks with ideal diodes, narrow and wide (Scellier 2024)."""

from __future__ import annotations

from aimco.reference import Row, Settings
from aimco.reference._equilibrium import design, errors

SOURCE = "Scellier, arXiv 2402.11674 (2024): 1568-100-10 and 1568-1024-10 on MNIST, ideal diodes, error after 10 and 50 epochs"
NEEDS = "mnist"


def run(settings: Settings) -> list[Row]:
    """The error of 100 hidden nodes after 10 epochs, within 1 point of the published one, and of 1024 after 50, within 0.23.

    Each class is the difference of two outputs here, one node there.
    """
    narrow, wide = design("ideal", 100, 10), design("ideal", 1024, 50)
    cases = [("1569-100-20, 10 epochs", narrow, 3.46, 1.0)]
    return errors(settings, cases if settings.quick else [*cases, ("1569-1024-20, 50 epochs", wide, 1.57, 0.23)])
