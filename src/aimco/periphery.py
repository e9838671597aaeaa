"""Periphery: converters, read noise, and the generators of update pulses at the edge of an array."""

from __future__ import annotations

from math import inf
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from aimco.arrays.pulses import Pulses
from aimco.ensemble import per_member
from aimco.record import Record, at, quantity
from aimco.units import A, Hz, V, s

_FLASH_BITS = 10


class Converter(Record):
    """A DAC or an ADC. Levels are spaced range / (2^(bits-1) - 1), zero among them.

    Args:
        bits: resolution, 2 to 24, `inf` for none lost.
        range_A: largest current of an ADC, A; larger ones saturate. Unused by a DAC, whose range is the read voltage.
        lines: lines that take turns at one converter.
        kind: of an ADC: successive approximation, a ramp that all ADCs share, or flash. rate_Hz: its conversions per second; with it
            lines are sampled at once and held, without it the array is read again for each of the lines that share an ADC.
    """

    bits: float = Field(default=inf, ge=2, description="resolution; inf is exact")
    range_A: float = quantity(A, inf, gt=0, doc="largest current of an ADC")
    lines: int = Field(default=1, ge=1, le=65536, description="lines that share one converter")
    kind: Literal["sar", "ramp", "flash"] = "sar"
    rate_Hz: float | None = quantity(Hz, None, gt=0, doc="conversions per second of an ADC")

    @field_validator("bits")
    @classmethod
    def _in_range(cls, bits: float) -> float:
        if bits > 24 and bits != inf:
            raise ValueError(f"must be in 2..24 or inf, got {bits:g}")
        return bits

    @model_validator(mode="after")
    def _fits_in_a_chip(self) -> Self:
        if self.kind == "flash" and _FLASH_BITS < self.bits < inf:
            raise at("bits", f"must be at most {_FLASH_BITS} in an ADC of kind flash, got {self.bits:g}: it has 2^bits - 1 comparators")
        return self


class Periphery(Record):
    """Everything at the edge of an array.

    Args:
        read_voltage: full-scale voltage of a read, V. read_s: duration of one vector read, s. pulse_s: of one update pulse, s.
        update_voltage: amplitude on a selected device, V; rows and columns carry half of it each.
        dac, adc: converters. output_noise: standard deviation of the current of one line, A.
        noise_management: "abs-max" scales each input vector to full range and back. bound_management: "iterative" halves the
            input and reads again while a current saturates the ADC.
        pulses: the update pulses.
    """

    read_voltage: float = quantity(V, 0.2, gt=0, doc="full-scale read voltage")
    read_s: float = quantity(s, 80e-9, gt=0, doc="duration of one read")
    pulse_s: float = quantity(s, 1e-9, gt=0, doc="duration of one update pulse")
    update_voltage: float = quantity(V, 1.0, gt=0, doc="amplitude on a selected device")
    dac: Converter = Converter()
    adc: Converter = Converter()
    output_noise: float = quantity(A, 0.0, ge=0, doc="standard deviation of an output current")
    noise_management: Literal["abs-max", "none"] = "abs-max"
    bound_management: Literal["iterative", "none"] = "iterative"
    pulses: Pulses = Pulses()

    @model_validator(mode="after")
    def _levels_have_a_range(self) -> Self:
        if self.adc.bits != inf and self.adc.range_A == inf:
            raise at("adc.range_A", f"must be finite for an ADC of {self.adc.bits:g} bits, got inf; give its largest current in A")
        return self

    @property
    def read_cycles(self) -> int:
        """Reads of the array for one vector: lines that share an ADC, and rows that share a DAC, take turns."""
        return self.adc.lines * self.dac.lines


def across(value: Any, members: int) -> float | torch.Tensor:
    """A number as it is, or one per member as a tensor (E, 1, 1) float32, ready to multiply (E, B, lines)."""
    array = np.asarray(value, np.float64)
    if array.ndim == 0 or (array == array.flat[0]).all():
        return float(array.flat[0])
    return torch.as_tensor(per_member(array, members).astype(np.float32))[:, None, None]
