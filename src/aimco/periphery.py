"""Periphery: converters, read noise, and the generators of update pulses at the edge of an array."""

from __future__ import annotations

from math import inf
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from aimco.record import Record, quantity
from aimco.units import A, V, s


class Converter(Record):
    """A DAC or an ADC. Levels are spaced range / (2^(bits-1) - 1), zero among them.

    Args:
        bits: resolution, 2..16, `inf` for none lost.
        range_A: largest current of an ADC, A; larger ones saturate. Unused by a DAC, whose range is the read voltage.
        lines: lines that take turns at one converter.
    """

    bits: float = Field(inf, ge=2, description="resolution; inf is exact")
    range_A: float = quantity(A, inf, gt=0, doc="largest current of an ADC")
    lines: int = Field(1, ge=1, le=65536, description="lines that share one converter")


class Pulses(Record):
    """How updates are sent as pulses.

    Args:
        length: longest pulse train BL, 1..31 slots.
        update_management: balance the two sides by sqrt(max|d| / max|x|).
        update_bl_management: shorten the train to ceil(lr max|x| max|d| / dw_min).
        mode: "exact" steps every coincidence; "aggregated" takes all of a sample's coincidences in one step where they are
            many; "auto" aggregates when a whole train moves a device by less than a quarter of half its range.
    """

    length: int = Field(31, ge=1, le=31, description="slots of the longest pulse train")
    update_management: bool = True
    update_bl_management: bool = True
    mode: Literal["auto", "exact", "aggregated"] = "auto"


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


def across(value: Any, members: int) -> float | torch.Tensor:
    """A number as it is, or one per member as a tensor (E, 1, 1) float32, ready to multiply (E, B, lines)."""
    array = np.asarray(value, np.float64)
    if array.ndim == 0 or (array == array.flat[0]).all():
        return float(array.flat[0])
    return torch.as_tensor(np.broadcast_to(array, (members,)).astype(np.float32))[:, None, None]


def finite(value: float | torch.Tensor) -> bool:
    """Whether a limit is in force for any member."""
    return bool(torch.isfinite(value).any()) if isinstance(value, torch.Tensor) else value != inf


def quantised(v: torch.Tensor, bits: float | torch.Tensor) -> torch.Tensor:
    """Values in [-1, 1] on the levels of a converter: round(v (2^(bits-1) - 1)) / (2^(bits-1) - 1); exact for inf."""
    if not finite(bits):
        return v
    steps = 2 ** (bits - 1) - 1
    rounded = torch.round(v * steps) / steps
    return torch.where(torch.isinf(steps), v, rounded) if isinstance(steps, torch.Tensor) else rounded
