"""Several devices that add up to one weight, one of which takes each update in turn."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from aimco.cell import Cell, Polarity, passed, refresh_pair, write_pair


class MultiDevice(Cell):
    """N devices in parallel, w = weight_max/N times the sum of their states; a counter common to all cells says which one is pulsed.

    A pulse changes the weight by 1/N of what it would with one device, so that there are N times as many states, and what is
    random from device to device and from pulse to pulse averages out. The counter advances by one with each update.
    Differential: N devices raise the weight and N lower it, all only ever raised, refreshed like a pair.
    Source: Boybat 2018 (Nat. Commun. 9:2514), N in-memory devices per synapse with an arbitration counter.

    Args:
        count: N, devices of either sign, 1..16.
        differential: Whether there are N of either sign.
        refresh_every: As of `Pair`, when differential.
        full: As of `Pair`, when differential.
        wasted: As of `Pair`, when differential.
    """

    shared_fields: ClassVar[tuple[str, ...]] = ("full", "wasted")

    count: int = Field(default=4, ge=1, le=16, description="devices of either sign")
    differential: bool = False
    refresh_every: int | None = Field(default=1000, ge=1, le=1_000_000_000, description="updates between refreshes, when differential")
    full: float = Field(default=0.75, ge=0, le=1, description="fraction of the range above which the larger device is full")
    wasted: float = Field(default=0.25, ge=0, le=1, description="fraction of the range above which the smaller one wastes room")

    @property
    def signs(self):
        return (1,) * self.count + ((-1,) * self.count if self.differential else ())

    @property
    def weight(self):
        return super().weight / len(self.signs)

    @property
    def leads(self):
        return tuple(range(self.count))

    def route(self, before, count):
        for k in range(count):
            turn = (before + k) % self.count
            sides = ((turn, Polarity.UP), (self.count + turn, Polarity.DOWN))
            yield k, k + 1, sides if self.differential else ((turn, Polarity.BOTH),)

    def write(self, tile, target, only=None):
        crossbars = tile.crossbars
        for k in range(self.count):
            if self.differential:
                write_pair((crossbars[k], crossbars[self.count + k]), target, only)
            else:
                crossbars[k].program(target, only=only)

    def refresh(self, tile, before, after):
        if self.differential and passed(self.refresh_every, before, after):
            for k in range(self.count):
                refresh_pair(tile, (k, self.count + k), self.full, self.wasted)
