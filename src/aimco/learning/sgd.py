"""Stochastic gradient descent by parallel pulses."""

from __future__ import annotations

from typing import Literal

from aimco.learning import Referenced
from aimco.ledger import Work


class Sgd(Referenced):
    """Back-propagation with the rank-1 update done in the array: w_ij += lr x_i d_j by coincidence of pulses.

    On a device with asymmetric steps it also pulls the weights to the symmetry point (Wu 2024, eq. 6).
    Source: Gokmen & Vlasov 2016. Digital work per sample: none beyond the layer's own and the scaling of the pulse trains.

    Args:
        reference: what W is read against; zero-shifting (Kim 2019) makes it the symmetry point.
    """

    reference: Literal["symmetry-point", "resting-point", "none"] = "none"

    def arrays(self):
        return {"W": self.against}

    def start(self, arrays):
        self.find(arrays["W"])
        return {}

    def work(self, rows, columns, vectors, batch):
        return {"W": Work(updates=vectors)}

    def mvm(self, arrays, state, x):
        return arrays["W"].read("mvm", x)

    def mvm_t(self, arrays, state, d):
        return arrays["W"].read("mvm_t", d)

    def update(self, arrays, state, x, d, lr):
        arrays["W"].send(x, d, lr)
