"""A capacitor that learns, and a pair of phase-change devices of higher significance that remembers: 3T-1C + 2 PCM."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, field_validator

from aimco.cell import Cell, write_pair
from aimco.device.device import Device
from aimco.record import field_error


class CapacitorPcm(Cell):
    """Two significances: w = weight_max (F p + s c)/(F + 1), p = (g+ - g-) of the pair and c of the capacitor, each within -1..1.

    The capacitor, fine and linear but leaky, takes all updates. A transfer, which the rule `weight-transfer` asks for, reads it, adds
    its share to the pair by partial SETs (devices that are full are RESET and their difference is written anew), and writes into it
    what the pair was missed by, nearly nothing on fine devices. Its sign s, +1 at first, may change with a transfer: polarity
    inversion. Under other rules the pair keeps the first weights.
    The read circuit scales the currents of the pair, so that F stands for whatever conductances the two have.
    Source: Ambrogio 2018 (Nature 558:60), F = 3.

    Args:
        pcm: Device of the pair, a `Device`, a catalogue name or a file.toml.
        significance: F, share of the pair over that of the capacitor.
        full: Fraction of the range beyond which a device of the pair is RESET.
    """

    shared_fields: ClassVar[tuple[str, ...]] = ("significance", "full")
    transistors: ClassVar[int] = 5  # three of the capacitor, one of each device of the pair
    transfers: ClassVar[bool] = True
    capacitive: ClassVar[bool] = True

    pcm: Device = Field(default_factory=lambda: Device.named("pcm"))
    significance: float = Field(default=3.0, gt=0, le=1000, description="share of the pair over that of the capacitor")
    full: float = Field(default=0.9, gt=0, le=1, description="fraction of the range beyond which a device is RESET")

    @field_validator("pcm", mode="before")
    @classmethod
    def _named(cls, pcm: object) -> object:
        return Device.named(pcm) if isinstance(pcm, str) else pcm

    @field_validator("pcm")
    @classmethod
    def _rises(cls, pcm: Device) -> Device:
        if not pcm.response.one_sided:
            raise field_error("response.kind", f"must be one-sided, as pcm, for the pair of this cell, got {pcm.response.kind}")
        return pcm

    @property
    def signs(self):
        return (1, self.significance / 2, -self.significance / 2)

    @property
    def weight(self):
        return super().weight / (self.significance + 1)

    def devices(self, device):
        return [device, self.pcm, self.pcm]

    def write(self, tile, target, only=None):
        """Into the pair; what it cannot hold, and what it was missed by, into the capacitor."""
        capacitor, *pair = tile.crossbars
        wanted = target * (self.significance + 1)
        write_pair(pair, (wanted / self.significance).clamp(-1, 1), only)
        left = wanted - self.significance / 2 * (pair[0].state - pair[1].state)
        capacitor.program(tile.signs[0] * left, only=only)

    def transfer(self, tile, invert):
        capacitor, pair = tile.crossbars[0], tile.crossbars[1:]
        c, plus, minus = (tile.read_devices(k) for k in range(3))
        share = self.significance / 2
        change = tile.signs[0] * c / share  # of the difference of the pair's states
        plus, minus = plus + change.clamp(min=0), minus - change.clamp(max=0)
        beyond = torch.maximum(plus, minus) > 2 * self.full - 1
        pair[0].program(plus, only=(change > 0) & ~beyond, retry=False)
        pair[1].program(minus, only=(change < 0) & ~beyond, retry=False)
        if beyond.any():
            write_pair(pair, ((plus - minus) / 2).clamp(-1, 1), beyond)
        if invert:
            tile.signs = (-tile.signs[0], *tile.signs[1:])
        left = share * ((plus - minus) - (pair[0].state - pair[1].state))
        capacitor.program(tile.signs[0] * left)
