"""Cells: how devices make one signed weight. A cell is one file here; weights become conductances nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from pydantic import Field

from aimco.device.device import Device
from aimco.ensemble import PerMember
from aimco.record import Kinded


class Polarity(IntEnum):
    """Which pulses of an update a device takes; the two sides of a pair share them out."""

    DOWN = -1  # those that would step down, as steps up
    BOTH = 0
    UP = 1  # those that step up


Taking = tuple[tuple[int, Polarity], ...]  # devices, and which pulses each takes


class Devices(Protocol):
    """The devices at one place of all cells, as a cell sees them; see `aimco.arrays.crossbar.Crossbar`."""

    @property
    def state(self) -> torch.Tensor:
        """States (E, R, C)."""
        ...

    def program(self, target: torch.Tensor, *, only: torch.Tensor | None = None, retry: bool = True) -> None:
        """Write and verify states (E, R, C); `retry` those of one-sided devices that overshoot."""
        ...

    def program_difference(self, other: Self, difference: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """RESET these and others, and write and verify the difference of their states."""
        ...


class Places(Protocol):
    """The devices of all cells, by their places, as a cell sees them; see `aimco.tile.Tile`."""

    signs: tuple[float, ...]

    @property
    def crossbar(self) -> Devices:
        """Those at the first place."""
        ...

    @property
    def crossbars(self) -> Sequence[Devices]:
        """Those at each place."""
        ...

    def read_devices(self, k: int) -> torch.Tensor:
        """States of the k-th devices of all cells, read row by row, (E, R, C)."""
        ...


class Cell(Kinded):
    """A weight made of devices (abstract), w = weight times the sum of signs x states.

    Args:
        weight_max: Largest weight, 1e-6..1e6: that of a cell whose devices are at the ends of their nominal ranges.
    """

    kinds_in: ClassVar[str] = "aimco.cell"
    transistors: ClassVar[int] = 0  # of one cell; none where the source names none
    capacitive: ClassVar[bool] = False  # whether the device of the design is a capacitor in it, whose charge leaks
    transfers: ClassVar[bool] = False  # whether what one device learned can be moved to others, as the rule `weight-transfer` asks

    weight_max: float = Field(default=1.0, ge=1e-6, le=1e6, description="weight at the top of the nominal range")

    @property
    def signs(self) -> tuple[float, ...]:
        """Share of each device in the weight, relative to `weight`; negative where it is read with the other sign."""
        return (1,)

    @property
    def weight(self) -> np.ndarray:
        """Weight of a state of one (half the nominal range) of a device whose sign is 1, (E,) in an ensemble."""
        return np.asarray(self.weight_max)

    @property
    def leads(self) -> tuple[int, ...]:
        """Devices whose pulse slots are counted; the others take the same slots beside one of these."""
        return (0,)

    def devices(self, device: Device) -> list[Device]:
        """The device at each place of the cell."""
        return [device] * len(self.signs)

    @property
    def rises_only(self) -> bool:
        """Whether each of its devices is only ever raised, as one-sided devices must be."""
        return all(polarity != Polarity.BOTH for _, _, taking in self.route(0, 1) for _, polarity in taking)

    @property
    def reference_error(self) -> PerMember:
        """Standard deviation of what the devices are read against, in half ranges; 0 by default."""
        return 0.0

    def reference(self, asked: str) -> str:
        """What the devices are read against, where the rule asks for nothing but mid-range."""
        return asked

    def route(self, before: int, count: int) -> Iterator[tuple[int, int, Taking]]:
        """Which devices take the next `count` updates after `before`: (first, last, taking) in turn. All take all by default."""
        yield 0, count, ((0, Polarity.BOTH),)

    def write(self, tile: Places, target: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """Write and verify the devices so that they make weights of `target` x weight_max (E, R, C); `only` some of them."""
        tile.crossbar.program(target, only=only)

    def refresh(self, tile: Places, before: int, after: int) -> None:
        """What is done to the devices between updates; `before` and `after` are the updates so far. Nothing by default."""

    def transfer(self, tile: Places, invert: bool) -> None:
        """Move what the device that learns holds to those that remember; `invert` turns its sign. Not every cell has it: `transfers`."""
        raise NotImplementedError(f"a cell of kind {self.kind} has no transfer")


def passed(every: int | None, before: int, after: int) -> bool:
    """Whether a multiple of `every` updates was reached; never when absent."""
    return every is not None and before // every != after // every


def refresh_pair(tile: Places, places: tuple[int, int], full: float, wasted: float) -> None:
    """Read two devices of every cell; where the larger is above `full` of the range and the smaller above `wasted`, write them anew."""
    plus, minus = (tile.read_devices(k) for k in places)
    crowded = (torch.maximum(plus, minus) > 2 * full - 1) & (torch.minimum(plus, minus) > 2 * wasted - 1)
    if crowded.any():
        write_pair([tile.crossbars[k] for k in places], (plus - minus) / 2, crowded)


def write_pair(pair: Sequence[Devices], target: torch.Tensor, only: torch.Tensor | None) -> None:
    """RESET two devices and write a difference of -1..1 (E, R, C), by the programming of the device."""
    plus, minus = pair
    plus.program_difference(minus, 2 * target, only)
