"""Periphery: converters, read noise, and the generators of update pulses at the edge of an array."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator, model_validator

from aimco.arrays.pulses import Pulses
from aimco.ensemble import PerMember, per_member
from aimco.record import Record, field_error, quantity
from aimco.units import A, F, Hz, V, s

_FLASH_BITS = 10


class Converter(Record):
    """A DAC or an ADC. Levels are spaced range / (2^(bits-1) - 1), zero among them.

    Args:
        bits: Resolution, 2 to 24, `inf` for none lost.
        shared_by: Rows or columns that take turns at one converter; a divisor of those of the array.
    """

    moved: ClassVar[Mapping[str, str]] = {"lines": "shared_by"}

    bits: float = Field(default=inf, ge=2, description="resolution; inf is exact")
    shared_by: int = Field(default=1, ge=1, le=65536, description="rows or columns that share one converter")

    @field_validator("bits")
    @classmethod
    def _in_range(cls, bits: float) -> float:
        if bits > 24 and bits != inf:
            raise ValueError(f"must be in 2..24 or inf, got {bits:g}")
        return bits


class Dac(Converter):
    """What drives the lines; its range is the read voltage.

    Args:
        serial: Bits one after the other: each line sends one pulse of +-read_voltage or none for each bit of |x|, every pulse is converted
            by the ADC, and the results are shifted and added digitally.
    """

    serial: bool = Field(default=False, description="one pulse for each bit, shifted and added after the ADC")

    @model_validator(mode="after")
    def _has_bits(self) -> Self:
        if self.serial and self.bits == inf:
            raise field_error("bits", "must be finite for inputs that are sent bit by bit, got inf; give 2..24")
        if self.serial and self.bits % 1:
            raise field_error("bits", f"must be a whole number for inputs that are sent bit by bit, got {self.bits:g}; give 2..24")
        return self

    @property
    def pulses(self) -> PerMember:
        """Pulses of one read: 1, or bits - 1 (the sign is the polarity), one number for each member where they differ."""
        if not self.serial:
            return 1
        pulses = np.asarray(self.bits).astype(np.int64) - 1
        return int(pulses.flat[0]) if (pulses == pulses.flat[0]).all() else pulses


class Adc(Converter):
    """What turns currents into numbers; its zero point and gain are drawn once for each converter.

    Args:
        range_A: Largest current, A; larger ones saturate.
        noise_A: Standard deviation of one conversion, referred to its input, A.
        offset_A: Standard deviation of the zero point, from converter to converter, A.
        gain_spread: Standard deviation of the gain, from converter to converter, relative.
        calibration: "percentile" takes the range, in each direction, from the first vectors that are read in it (or those given to
            `Tile.calibrate`): that below which `percentile` % of the magnitudes of their currents are, and `range_A` at most.
        kind: Successive approximation, a ramp that all share, or flash.
        rate_Hz: Conversions per second; with it lines are sampled at once and held, without it the array is read again for each of the
            lines that share an ADC.
    """

    range_A: float = quantity(A, inf, gt=0, doc="largest current of an ADC")
    noise_A: float = quantity(A, 0.0, ge=0, doc="standard deviation of a conversion")
    offset_A: float = quantity(A, 0.0, ge=0, doc="standard deviation of the zero point, converter to converter")
    gain_spread: float = Field(default=0.0, ge=0, lt=1, description="standard deviation of the gain, converter to converter")
    calibration: Literal["none", "percentile"] = "none"
    percentile: float = Field(default=99.9, gt=0, le=100, description="of the currents of the calibration batch")
    kind: Literal["sar", "ramp", "flash"] = "sar"
    rate_Hz: float | None = quantity(Hz, None, gt=0, doc="conversions per second of an ADC")

    @model_validator(mode="after")
    def _fits_in_a_chip(self) -> Self:
        if self.kind == "flash" and _FLASH_BITS < self.bits < inf:
            raise field_error(
                "bits", f"must be at most {_FLASH_BITS} in an ADC of kind flash, got {self.bits:g}: it has 2^bits - 1 comparators"
            )
        return self


class SenseAmplifier(Record):
    """One bit in place of an ADC: +1 where a current is at least 0 A, else -1; thresholds are currents of a row.

    Args:
        offset_A: Standard deviation of its zero point, from amplifier to amplifier, A; one for each line.
    """

    offset_A: float = quantity(A, 0.0, ge=0, doc="standard deviation of the zero point, amplifier to amplifier")


class Integrator(Record):
    """A capacitor that gathers the current of a line during a read.

    dQ/dt = I - Q / leak_s, so that T = read_s leaves I T' with T' = leak_s (1 - exp(-T / leak_s)), cut at Q = C V.

    Args:
        capacitance_F: C, its capacitance, F.
        swing_V: V, the largest voltage on it, either sign.
        leak_s: Time constant of its leak, s.
    """

    capacitance_F: float = quantity(F, gt=0, doc="capacitance")
    swing_V: float = quantity(V, inf, gt=0, doc="largest voltage on it")
    leak_s: float = quantity(s, inf, gt=0, doc="time constant of its leak")


class Periphery(Record):
    """Everything at the edge of an array.

    Args:
        read_voltage: Full-scale voltage of a read, V.
        read_s: Duration of one vector read, s.
        pulse_s: Duration of one update pulse, s.
        update_voltage: Amplitude on a selected device, V; rows and columns carry half of it each.
        dac: What drives the lines.
        adc: What makes numbers of currents.
        sense: Amplifiers in place of the ADC, which leave bits.
        integrator: Before either; ideal when absent.
        output_noise: Standard deviation of the current of one line, A.
        noise_management: "abs-max" scales each input vector to full range and back.
        bound_management: "iterative" halves the input and reads again while a current saturates the ADC; it has no hold on inputs sent bit
            by bit.
        pulses: The update pulses.
    """

    read_voltage: float = quantity(V, 0.2, gt=0, le=1000, doc="full-scale read voltage")
    read_s: float = quantity(s, 80e-9, gt=0, le=1e6, doc="duration of one read")
    pulse_s: float = quantity(s, 1e-9, gt=0, le=1e6, doc="duration of one update pulse")
    update_voltage: float = quantity(V, 1.0, gt=0, le=1000, doc="amplitude on a selected device")
    dac: Dac = Dac()
    adc: Adc = Adc()
    sense: SenseAmplifier | None = None
    integrator: Integrator | None = None
    output_noise: float = quantity(A, 0.0, ge=0, doc="standard deviation of an output current")
    noise_management: Literal["abs-max", "none"] = "abs-max"
    bound_management: Literal["iterative", "none"] = "iterative"
    pulses: Pulses = Pulses()

    @model_validator(mode="after")
    def _levels_have_a_range(self) -> Self:
        if self.adc.bits != inf and self.adc.range_A == inf and self.adc.calibration == "none":
            problem = f"must be finite for an ADC of {self.adc.bits:g} bits, got inf; give its largest current in A"
            raise field_error("adc.range_A", f"{problem}, or set adc.calibration")
        if self.sense is not None and self.adc != Adc(shared_by=self.adc.shared_by):
            raise field_error(
                "adc", "must be left out beside sense amplifiers, which stand in its place; only adc.shared_by applies to them"
            )
        if self.sense is not None and self.dac.serial:
            raise field_error("dac.serial", "must be false with sense amplifiers, whose bits cannot be shifted and added; give an ADC")
        return self

    @property
    def read_cycles(self) -> PerMember:
        """Cycles of `read_s` that the read of one vector takes: turns at ADCs and DACs, and pulses."""
        return self.adc.shared_by * self.dac.shared_by * self.dac.pulses


def broadcast_members(value: npt.ArrayLike, members: int) -> float | torch.Tensor:
    """A number as it is, or one per member as a tensor (E, 1, 1) float32, ready to multiply (E, B, lines)."""
    array = np.asarray(value, np.float64)
    if array.ndim == 0 or (array == array.flat[0]).all():
        return float(array.flat[0])
    return torch.as_tensor(per_member(array, members).astype(np.float32))[:, None, None]


def on_levels(currents: torch.Tensor, bits: float, largest: float) -> torch.Tensor:
    """What an ADC of these bits and this range makes of currents: cut at the range, on the nearest level."""
    cut = currents.clamp(-largest, largest)
    step = largest / (2 ** (bits - 1) - 1)
    return cut if step == 0 else torch.round(cut / step) * step
