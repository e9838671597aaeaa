"""Weight transfer: a fast device learns, and what it learned is moved to devices that remember, at set times."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from aimco.learning import Rule, Unit, split_at_transfers, transfer_counter
from aimco.record import PathError


class WeightTransfer(Rule):
    """SGD by pulses on the capacitor of each cell; every `transfer_every` samples its share of the weights goes to the pair beside it.

    1. y = x W, z = d W^T, W = weight_max (F p + s c)/(F + 1)
    2. c += s lr x d^T, by pulses
    3. every `transfer_every` samples: p += s c / F by closed-loop writes; with polarity inversion s = -s; c = what the writes missed

    With inversion, what the asymmetry and the leak of a capacitor add to its weight in one turn they take away in the next.
    Source: Ambrogio 2018 (Nature 558:60), transfer every 8000 samples, polarity inversion. Digital work per sample: none; per
    transfer, the writes with verify; memory: none.

    Args:
        transfer_every: Samples between transfers.
        transfer_unit: What it counts, see `Unit`; by default vectors, since they are what fills the capacitors.
        invert: Whether the sign of the capacitors changes with each transfer.
    """

    transfers: ClassVar[bool] = True

    transfer_every: int = Field(default=8000, ge=1, le=1_000_000_000, description="samples between transfers")
    transfer_unit: Unit = "vector"
    invert: bool = True

    def check(self, design):
        if not design.cell.transfers:
            raise PathError("cell.kind", f"must be capacitor-pcm for rule.kind = 'weight-transfer', got {design.cell.kind}")

    def start(self, arrays):
        return transfer_counter()

    def update(self, arrays, state, x, d, lr):
        w = arrays["W"]
        for time, xs, ds in split_at_transfers(self.transfer_every, state, x, d, unit=self.transfer_unit):
            w.send(xs, ds, lr)
            if time is not None:
                w.transfer(self.invert)
