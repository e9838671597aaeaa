"""Tiki-Taka: gradients gather on a fast array, a slow array learns from what it reads there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field

from aimco import rates
from aimco.arrays.spec import ArraySpec
from aimco.ensemble import per_member
from aimco.learning import Referenced, Unit, layers_of, one_hot, per_sample, split_at_transfers, transfer_counter
from aimco.ledger import Work
from aimco.mapping import AnalogMatrix
from aimco.periphery import broadcast_members
from aimco.tunable import Tunable


class TikiTaka(Referenced):
    """Two arrays: A takes the gradient, C takes what is read from A, so that the asymmetry of A drops out.

    1. y = x (gamma A + C), z = d (gamma A + C)^T
    2. A += lr_fast x d^T, by pulses
    3. every `transfer_every` updates: v = row t of A, C += lr transfer_lr u v^T with u one-hot at t; t = t + 1 mod rows

    A starts at its reference, the symmetry point, and is read against it.
    Source: Gokmen & Haensch 2020, algorithm 1. Digital work per sample: one line of A through the ADC every
    `transfer_every` samples; memory: none.

    Args:
        lr_fast: Learning rate of A, weight units; as the device suggests when absent (`aimco.rates.tiki_taka_rates`).
        lr: Learning rate of C, times transfer_lr.
        gamma: Share of A in the weights.
        transfer_every: Updates of A between two reads of it (samples).
        transfer_lr: Factor on lr for the transfer; as the device and the rows of the layer suggest when absent.
        transfer_unit: What transfer_every counts, see `Unit`.
    """

    lr_fast: float | None = Field(default=None, gt=0, le=1000, description="learning rate of A; as the device suggests when absent")
    gamma: float = Field(default=0.0, ge=0, le=100, description="share of A in the weights")
    transfer_every: int = Field(default=1, ge=1, le=1_000_000, description="updates between transfers")
    transfer_lr: float | None = Field(default=None, ge=0, le=1000, description="factor on lr for transfers")
    transfer_unit: Unit = "sample"

    def tunables(self, design):
        layer = rates.Layer(rates.units_of(design.device), 64, design.periphery.pulses.length, batch=design.training.batch)
        fast = rates.tiki_taka_rates(layer, transfer_every=self.transfer_every).lr_fast
        return Tunable("rule.lr", 0.005, 20.0), Tunable("rule.lr_fast", 1e-4, 100.0, min(max(fast, 1e-4), 100.0))

    def arrays(self):
        return {"A": self.against, "C": ArraySpec()}

    def start(self, arrays):
        self.find(arrays["A"])
        return transfer_counter()

    def coefficients(self):
        return {"C": 1.0} | ({"A": self.gamma} if np.any(self.gamma) else {})

    def work(self, rows, columns, vectors, batch):
        transfers = per_sample(self.transfer_every, vectors, batch, unit=self.transfer_unit)
        return {"A": Work(updates=vectors, rows_read=transfers), "C": Work(row_updates=transfers)}

    def update(self, arrays, state, x, d, lr):
        a, c = arrays["A"], arrays["C"]
        fast, factor = self._rates(a, state, x.shape[1])
        transfer_lr = lr * broadcast_members(factor, x.shape[0])
        for read, xs, ds in split_at_transfers(self.transfer_every, state, x, d, unit=self.transfer_unit):
            a.send(xs, ds, fast)
            if read is not None:
                t = read % a.rows
                c.send(one_hot(c, t), a.read_row(t)[:, None], transfer_lr)

    def _rates(self, a: AnalogMatrix, state: Mapping[str, torch.Tensor], vectors: int) -> tuple[np.ndarray, np.ndarray]:
        """lr_fast and transfer_lr of each member, (E,)."""
        if "rates" not in a.cache:
            members, batch = a.shape[0], max(vectors // int(state["vectors"]), 1)
            suggested = [rates.tiki_taka_rates(layer, transfer_every=self.transfer_every) for layer in layers_of(a, batch)]
            fast = [one.lr_fast for one in suggested] if self.lr_fast is None else self.lr_fast
            factor = [one.transfer_lr for one in suggested] if self.transfer_lr is None else self.transfer_lr
            a.cache["rates"] = per_member(fast, members), per_member(factor, members)
        return a.cache["rates"]
