"""Tile: a crossbar with its cell and periphery; the seven operations of the hardware, in units of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from aimco.arrays.crossbar import Crossbar, ReferencePolicy
from aimco.cell import Cell
from aimco.device.device import Device
from aimco.ledger import Counts
from aimco.periphery import Periphery, across, finite, quantised


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
        self._unit = bool((self.weight == 1).all())
        ampere = np.asarray(device.half_range) * np.asarray(periphery.read_voltage)
        self._noise = across(np.asarray(periphery.output_noise) / ampere, members)
        self._range = across(np.asarray(periphery.adc.range_A) / ampere, members)
        self._dac, self._adc = across(periphery.dac.bits, members), across(periphery.adc.bits, members)
        noisy = bool(torch.as_tensor(self._noise).any()) or bool(np.any(device.read_noise))
        self._noisy = noisy
        self.ideal_reads = not noisy and not any(finite(v) for v in (self._dac, self._adc, self._range))
        self._counts = Counts()
        self._vectors = {"read": 0, "read_t": 0}
        self._rates: dict[float, np.ndarray] = {}

    @property
    def step(self) -> np.ndarray:
        """Mean weight change of one pulse at mid-range, dw_min, (E,)."""
        return self.crossbar.step * self.weight

    def mvm(self, x: torch.Tensor) -> torch.Tensor:
        """y = x W: (E, B, rows) -> (E, B, columns)."""
        return self._read(x, "read")

    def mvm_t(self, d: torch.Tensor) -> torch.Tensor:
        """z = d W^T: (E, B, columns) -> (E, B, rows)."""
        return self._read(d, "read_t")

    def read_line(self, k: int) -> torch.Tensor:
        """Weights of row k, read once through the periphery, (E, columns)."""
        one = torch.zeros(self.shape[0], 1, self.shape[1])
        one[:, :, k] = 1
        self._counts.add(line_reads=1)
        return self.mvm(one)[:, 0]

    def _read(self, v: torch.Tensor, name: Literal["read", "read_t"]) -> torch.Tensor:
        multiply = self.crossbar.mvm if name == "read" else self.crossbar.mvm_t
        self._vectors[name] += v.shape[1]
        if self.ideal_reads:
            return multiply(v) if self._unit else multiply(v).mul_(self._weight)
        scale = v.abs().amax(-1, keepdim=True) if self.periphery.noise_management == "abs-max" else torch.ones(*v.shape[:2], 1)
        scale = torch.where(scale > 0, scale, torch.ones(()))
        current, saturated = self._convert(v, scale, multiply, name)
        if self.periphery.bound_management == "iterative":
            current, scale = self._within_bounds(v, scale, current, saturated, multiply, name)
        return current.mul_(scale).mul_(self._weight)

    def _convert(self, v: torch.Tensor, scale: torch.Tensor, multiply: Any, name: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Currents after the ADC, and which vectors saturated it."""
        driven = quantised((v / scale).clamp_(-1, 1), self._dac)
        current = multiply(driven)
        if self._noisy:
            sigma, own = self._noise, self.crossbar.read_noise(driven)
            if own is not None:
                sigma = (own.square() + sigma**2).sqrt()
            current = current.addcmul_(self.crossbar.noise(name, tuple(current.shape)), torch.as_tensor(sigma))
        if not finite(self._range):
            return current, None
        saturated = (current.abs() > self._range).any(-1, keepdim=True)
        full = (current / self._range).clamp_(-1, 1)
        return quantised(full, self._adc) * self._range, saturated

    def _within_bounds(self, v, scale, current, saturated, multiply, name) -> tuple[torch.Tensor, torch.Tensor]:
        """Bound management: vectors whose currents saturate are read again at half the input, up to ten times."""
        for _ in range(10):
            if saturated is None or not saturated.any():
                break
            scale = torch.where(saturated, 2 * scale, scale)
            again, still = self._convert(v, scale, multiply, name)
            current = torch.where(saturated, again, current)
            self._vectors[name] += v.shape[1]
            saturated = saturated & still
        return current, scale

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

    def hold(self, seconds: float) -> None:
        """Let time pass."""
        self.crossbar.hold(seconds)

    @property
    def weights(self) -> torch.Tensor:
        """The stored weights, (E, rows, columns): for tests and plots; a chip cannot see them without reading."""
        return self.crossbar.state * self._weight

    @property
    def counts(self) -> Counts:
        """Everything done so far, the converters' work included."""
        (_, rows, columns), (forward, back) = self.shape, self._vectors.values()
        conversions = Counts(dac=forward * rows + back * columns, adc=forward * columns + back * rows)
        return self.crossbar.counts + self._counts + conversions

    def checkpoint(self) -> dict[str, Any]:
        """All that a later run needs to go on as if never stopped."""
        return self.crossbar.checkpoint() | {"converters": dict(self._counts), "vectors": dict(self._vectors)}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.crossbar.restore(saved)
        self._counts, self._vectors = Counts(saved["converters"]), dict(saved["vectors"])
