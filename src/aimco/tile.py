"""Tile: a crossbar with its cell and periphery; the seven operations of the hardware, in units of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from aimco.arrays.crossbar import Crossbar, Direction, ReferencePolicy
from aimco.cell import Cell
from aimco.device.device import Device
from aimco.ledger import Counts, counts_of, tensors_of
from aimco.periphery import Periphery, across, finite, quantised

_ATTEMPTS = 10  # of bound management


class Tile:
    """One physical array and what stands around it.

    A read computes y = x W as the chip does: the input is scaled to full range (noise management), put on the levels of the
    DAC, multiplied by the array, noise is added, the current is cut and put on the levels of the ADC, and scaled back.

    Args:
        device, cell, periphery: what it is made of. rows, columns: size.
        seeds: one for each ensemble member. names: of this array, for its random streams. reference: see `Crossbar`.
    """

    def __init__(
        self,
        device: Device,
        cell: Cell,
        periphery: Periphery,
        rows: int,
        columns: int,
        *,
        seeds: Sequence[int] = (0,),
        names: tuple[str, ...] = ("tile",),
        reference: ReferencePolicy = "mid-range",
    ) -> None:
        self.crossbar = Crossbar(device, rows, columns, seeds=seeds, names=names, reference=reference, pulses=periphery.pulses)
        self.periphery, self.shape = periphery, self.crossbar.shape
        members = len(seeds)
        self.weight = np.broadcast_to(cell.weight, (members,)).astype(np.float64)
        self._weight = across(self.weight, members)
        ampere = np.asarray(device.half_range) * np.asarray(periphery.read_voltage)
        self._noise = across(np.asarray(periphery.output_noise) / ampere, members)
        self._range = across(np.asarray(periphery.adc.range_A) / ampere, members)
        self._dac, self._adc = across(periphery.dac.bits, members), across(periphery.adc.bits, members)
        noisy = bool(torch.as_tensor(self._noise).any()) or bool(np.any(device.read_noise))
        self._noisy = noisy
        self.ideal_reads = not noisy and not any(finite(v) for v in (self._dac, self._adc, self._range))
        self._counts = Counts()
        self._rates: dict[float, np.ndarray] = {}

    @property
    def step(self) -> np.ndarray:
        """Mean weight change of one pulse at mid-range, dw_min, (E,)."""
        return self.crossbar.step * self.weight

    def mvm(self, x: torch.Tensor) -> torch.Tensor:
        """y = x W: (E, B, rows) -> (E, B, columns)."""
        return self._read(x, "mvm")

    def mvm_t(self, d: torch.Tensor) -> torch.Tensor:
        """z = d W^T: (E, B, columns) -> (E, B, rows)."""
        return self._read(d, "mvm_t")

    def read_line(self, k: int) -> torch.Tensor:
        """Weights of row k, read once through the periphery, (E, columns)."""
        one = torch.zeros(self.shape[0], 1, self.shape[1])
        one[:, :, k] = 1
        self._counts.add(line_reads=1)
        return self.mvm(one)[:, 0]

    def _read(self, v: torch.Tensor, name: Direction) -> torch.Tensor:
        if self.ideal_reads:
            current = getattr(self.crossbar, name)(v)
            return current if isinstance(self._weight, float) and self._weight == 1 else current.mul_(self._weight)
        scale = v.abs().amax(-1, keepdim=True) if self.periphery.noise_management == "abs-max" else torch.ones(*v.shape[:2], 1)
        scale = torch.where(scale > 0, scale, torch.ones(()))
        current, saturated = self._convert(v, scale, name)
        attempts = _ATTEMPTS if self.periphery.bound_management == "iterative" else 0
        for attempt in range(1, attempts + 1):
            if not saturated.any():
                break
            scale = torch.where(saturated, 2 * scale, scale)
            once_more, still = self._convert(v, scale, name, saturated, attempt)
            current = torch.where(saturated, once_more, current)
            repeated = saturated.sum((1, 2)).numpy()
            self._counts.add(dac=repeated * v.shape[2], adc=repeated * current.shape[2])
            saturated = saturated & still
        return current.mul_(scale).mul_(self._weight)

    def _convert(
        self, v: torch.Tensor, scale: torch.Tensor, name: Direction, again: torch.Tensor | None = None, attempt: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Currents after the ADC (E, B, lines), and which vectors saturated it (E, B, 1)."""
        driven = quantised((v / scale).clamp_(-1, 1), self._dac)
        current = getattr(self.crossbar, name)(driven, again)
        if self._noisy:
            sigma, own = self._noise, self.crossbar.read_noise(driven)
            if own is not None:
                sigma = (own.square() + sigma**2).sqrt()
            current = current.addcmul_(self.crossbar.noise(name, tuple(current.shape), attempt), torch.as_tensor(sigma))
        if not finite(self._range):
            return current, torch.zeros(*v.shape[:2], 1, dtype=torch.bool)
        full = (current / self._range).clamp_(-1, 1)
        limit = torch.as_tensor(self._range)
        levels = torch.where(torch.isinf(limit), current, quantised(full, self._adc) * limit)
        return levels, (current.abs() > limit).any(-1, keepdim=True)

    def pulse(self, x: torch.Tensor, d: torch.Tensor, lr: Any) -> None:
        """Parallel pulsed update, E[dW] = lr x d^T, sample after sample. x (E, B, rows), d (E, B, columns), lr a number or (E,)."""
        self.crossbar.pulse(x, d, self._in_state(lr))

    def _in_state(self, lr: Any) -> np.ndarray:
        if not isinstance(lr, float):
            return np.broadcast_to(np.asarray(lr, np.float64).reshape(-1), self.weight.shape) / self.weight
        if lr not in self._rates:
            self._rates = {lr: np.full(self.weight.shape, lr) / self.weight}
        return self._rates[lr]

    def program(self, target: torch.Tensor, **options: Any) -> None:
        """Write and verify weights (E, rows, columns)."""
        self.crossbar.program(target / self._weight, **options)

    def reset(self, mask: torch.Tensor) -> None:
        """Reset the devices of the mask (E, rows, columns)."""
        self.crossbar.reset(mask)

    def hold(self, seconds: Any) -> None:
        """Let time pass."""
        self.crossbar.hold(seconds)

    @property
    def weights(self) -> torch.Tensor:
        """The stored weights, (E, rows, columns): for tests and plots; a chip cannot see them without reading."""
        return self.crossbar.state * self._weight

    @property
    def counts(self) -> Counts:
        """Everything done so far, the converters' work included."""
        (_, rows, columns), done = self.shape, self.crossbar.done
        forward, back = done["mvm"], done["mvm_t"]
        conversions = Counts(dac=forward * rows + back * columns, adc=forward * columns + back * rows)
        return self.crossbar.counts + self._counts + conversions

    def checkpoint(self) -> dict[str, Any]:
        """All that a later run needs to go on as if never stopped."""
        return self.crossbar.checkpoint() | {"converters": tensors_of(self._counts)}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.crossbar.restore(saved)
        self._counts = counts_of(saved["converters"])
