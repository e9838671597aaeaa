"""Laws of cells that are not linear, I = g f(v): a law is one file here, or a class in a user's own file."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from aimco.record import Kinded


class Law(Kinded):
    """f(v) of a cell, V, with f(0) = 0 and a slope above 0 (abstract)."""

    kinds_in: ClassVar[str] = "aimco.arrays.laws"
    both_ways: ClassVar[bool] = True  # whether a cell conducts as well from its bit line to its word line

    def per_siemens(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The law and its slope.

        Args:
            v: Voltages across cells, V.

        Returns:
            f(v), V, and f'(v).
        """
        raise NotImplementedError

    def formula(self, v: str) -> str:
        """f of an expression, for ngspice."""
        raise NotImplementedError


def softplus(x: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """s(x) = w ln(1 + exp(x/w)) and its slope."""
    return width * np.logaddexp(0, x / width), 0.5 * (1 + np.tanh(x / (2 * width)))


def softplus_formula(x: str, width: float) -> str:
    """s(x) for ngspice, which must not overflow."""
    return f"{width:.17g}*(max(({x})/{width:.17g},0)+ln(1+exp(-abs(({x})/{width:.17g}))))"
