"""Floating-point training without arrays: the baseline."""

from __future__ import annotations

from aimco.learning import Rule


class Digital(Rule):
    """Plain stochastic gradient descent in float32; device, cell, array and periphery play no part."""

    def arrays(self):
        return {}

    def notes(self):
        return ["digital baseline: no arrays, energy and area are not computed"]
