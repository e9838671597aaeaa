"""Stochastic gradient descent by parallel pulses."""

from __future__ import annotations

from aimco.learning import Rule


class Sgd(Rule):
    """Back-propagation with the rank-1 update done in the array: w_ij += lr x_i d_j by coincidence of pulses.

    On a device with asymmetric steps it also pulls the weights to the symmetry point (Wu 2024, eq. 6).
    Source: Gokmen & Vlasov 2016. Digital work per sample: none beyond the layer's own.
    """

    def update(self, arrays, state, x, d, lr):
        arrays["W"].pulse(x, d, lr)
