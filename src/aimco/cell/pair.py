"""Two devices whose difference is the weight, both only ever raised, and set back in time."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from aimco.cell import Cell, Polarity, passed, refresh_pair, write_pair


class Pair(Cell):
    """Differential pair: w = weight_max (g+ - g-) / (g_max - g_min); pulses up raise g+, pulses down raise g-.

    What only rises fills up. Every `refresh_every` updates both devices are read; where the larger is above `full` of the range
    and the smaller above `wasted`, both are RESET and their difference is written again into one of them.
    Source: Burr 2014; Nandakumar 2020; the refresh of Ambrogio 2018.

    Args:
        refresh_every: Updates (samples) between refreshes; none when absent.
        full: Fraction of the range above which the larger device is full, 0..1.
        wasted: Fraction of the range above which the smaller one wastes room, 0..1.
    """

    shared_fields: ClassVar[tuple[str, ...]] = ("full", "wasted")

    refresh_every: int | None = Field(default=1000, ge=1, le=1_000_000_000, description="updates between refreshes")
    full: float = Field(default=0.75, ge=0, le=1, description="fraction of the range above which the larger device is full")
    wasted: float = Field(default=0.25, ge=0, le=1, description="fraction of the range above which the smaller one wastes room")

    @property
    def signs(self):
        return (1, -1)

    @property
    def weight(self):
        return super().weight / 2

    def route(self, before, count):
        yield 0, count, ((0, Polarity.UP), (1, Polarity.DOWN))

    def write(self, tile, target, only=None):
        write_pair(tile.crossbars, target, only)

    def refresh(self, tile, before, after):
        if passed(self.refresh_every, before, after):
            refresh_pair(tile, (0, 1), self.full, self.wasted)
