"""A capacitor that learns, and a pair of phase-change devices of higher significance that remembers: 3T-1C + 2 PCM."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator

from aimco.cell import Cell, passed, write_pair
from aimco.device.device import Device
from aimco.record import at


class CapacitorPcm(Cell):
    """Two significances: w = weight_max (F p + s c)/(F + 1), p = (g+ - g-) of the pair and c of the capacitor, each within -1..1.

    The capacitor, fine and linear but leaky, takes all updates. Every `transfer_every` updates it is read, its share is added to the
    pair by partial SETs (devices that are full are RESET and their difference is written anew), and it is set back to zero. With
    polarity inversion its sign s changes at each transfer, so that what an asymmetry of its steps adds in one turn is taken away
    in the next. The read circuit scales the currents of the pair, so that F stands for whatever conductances the two have.
    Source: Ambrogio 2018 (Nature 558:60), F = 3, transfer every 8000 samples, polarity inversion.

    Args:
        pcm: device of the pair, a `Device`, a catalogue name or a file.toml. significance: F. transfer_every: updates (samples).
        invert: whether the sign changes. full: fraction of the range beyond which a device of the pair is RESET.
    """

    alike: ClassVar[tuple[str, ...]] = ("significance", "full")
    transistors: ClassVar[int] = 5  # three of the capacitor, one of each device of the pair

    pcm: Device = Field(default_factory=lambda: Device.named("pcm"))
    significance: float = Field(default=3.0, gt=0, le=1000, description="share of the pair over that of the capacitor")
    transfer_every: int | None = Field(default=8000, ge=1, le=1_000_000_000, description="updates between transfers")
    invert: bool = True
    full: float = Field(default=0.9, gt=0, le=1, description="fraction of the range beyond which a device is RESET")

    @field_validator("pcm", mode="before")
    @classmethod
    def _named(cls, pcm: Any) -> Any:
        return Device.named(pcm) if isinstance(pcm, str) else pcm

    @field_validator("pcm")
    @classmethod
    def _rises(cls, pcm: Device) -> Device:
        if not pcm.response.one_sided:
            raise at("response.kind", f"must be one-sided, as pcm, for the pair of this cell, got {pcm.response.kind}")
        return pcm

    @property
    def signs(self):
        return (1, self.significance / 2, -self.significance / 2)

    @property
    def weight(self):
        return super().weight / (self.significance + 1)

    def devices(self, device):
        return [device, self.pcm, self.pcm]

    def write(self, crossbars, target, only=None):
        """Into the pair; what it cannot hold, and what it was missed by, into the capacitor."""
        capacitor, *pair = crossbars
        wanted = target * (self.significance + 1)
        write_pair(pair, (wanted / self.significance).clamp(-1, 1), only)
        capacitor.program(wanted - self.significance / 2 * (pair[0].state - pair[1].state), only=only)

    def refresh(self, tile, before, after):
        if not passed(self.transfer_every, before, after):
            return
        capacitor, pair = tile.crossbars[0], tile.crossbars[1:]
        c, plus, minus = (tile.read_devices(k) for k in range(3))
        change = tile.signs[0] * c * 2 / self.significance  # of the difference of the pair's states
        plus, minus = plus + change.clamp(min=0), minus - change.clamp(max=0)
        beyond = torch.maximum(plus, minus) > 2 * self.full - 1
        pair[0].program(plus, only=(change > 0) & ~beyond)
        pair[1].program(minus, only=(change < 0) & ~beyond)
        if beyond.any():
            write_pair(pair, ((plus - minus) / 2).clamp(-1, 1), beyond)
        capacitor.program(torch.zeros(capacitor.shape))
        if self.invert:
            tile.signs = (-tile.signs[0], *tile.signs[1:])
