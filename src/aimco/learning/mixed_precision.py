"""Mixed precision: gradients are summed digitally, whole steps are sent to the array."""

from __future__ import annotations

import torch
from pydantic import Field

from aimco.arrays.doors import finite
from aimco.learning import Rule, Unit, per_sample, split_at_transfers, transfer_counter
from aimco.ledger import Work
from aimco.periphery import broadcast_members

_MOST = 2**30  # pulses that one write sends


class MixedPrecision(Rule):
    """A digital matrix chi holds what steps of the device are too coarse for.

    1. chi += lr x d^T, in float
    2. every `transfer_every` samples: n = round(chi / dw_min) pulses on each weight of W, one row after the other;
       chi -= n dw_min

    dw_min is the mean step of W. Source: Nandakumar 2020 (Frontiers in Neuroscience 14:406). Digital work per sample: 2 N^2 + N
    operations for N x N weights, which is why it is slow; memory: chi, one number per weight.

    Args:
        transfer_every: Samples between two writes of W.
        transfer_unit: What transfer_every counts, see `Unit`.
    """

    transfer_every: int = Field(default=100, ge=1, le=1_000_000, description="samples between writes of W")
    transfer_unit: Unit = "sample"

    def start(self, arrays):
        return transfer_counter() | {"chi": torch.zeros(arrays["W"].shape)}

    def work(self, rows, columns, vectors, batch):
        writes = per_sample(self.transfer_every, vectors, batch, unit=self.transfer_unit)
        return {"W": Work(all_pulsed=writes, digital=vectors * (2 * rows + 1) * columns)}

    def update(self, arrays, state, x, d, lr):
        w, chi = arrays["W"], state["chi"]
        step = broadcast_members(w.step, w.shape[0])
        for time, xs, ds in split_at_transfers(self.transfer_every, state, x, d, unit=self.transfer_unit):
            chi.baddbmm_(xs.transpose(1, 2), ds * lr)
            w.digital(xs.shape[1] * (2 * w.shape[1] + 1) * w.shape[2])
            if time is not None:
                pulses = finite("MixedPrecision.update", "what was gathered", torch.round(chi / step)).clamp_(-_MOST, _MOST)
                chi.sub_(pulses * step)
                w.pulse_rows(pulses.int())
