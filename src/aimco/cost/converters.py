"""Converters: energy, area and time of one conversion against resolution, rate, node and kind."""

from __future__ import annotations

from math import ceil, exp, inf, log
from typing import NamedTuple

from aimco.cost.technology import Technology
from aimco.ensemble import PerMember
from aimco.periphery import Converter, Periphery
from aimco.units import pJ, um2

_LEAST_BITS = 4  # of the regression


class ConverterCost(NamedTuple):
    """Energy of one conversion (J) and area of the converter (m^2)."""

    energy_J: float
    area_m2: float


def regression(bits: float, rate_Hz: float, node_nm: float) -> ConverterCost:
    """An ADC as the survey of published ones has it, at its most efficient.

    FOM = min(213.7807 - 2.871903 ln f, 128.3068 + 3.220514 ceil(b)), SNDR = 6.02 b + 1.76, both dB,
    E / pJ = exp(26.0496216 + 1.8800369 ln node - 2.8291256 ln b - 1.4702022) / (2 10^((FOM - SNDR) / 10)),
    area / um^2 = exp(1.3461916 + 0.9932795 ln node + 0.1807154 ln f + 0.2991243 ln(E / pJ)).
    Below 4 bits the energy is that of 4 times b / 4, as of so many cycles of the same comparator (assumed).

    Args:
        bits: effective number b. rate_Hz: conversions per second f. node_nm: of the process.

    Source: Andrulis et al., arXiv 2404.06553, on the survey of B. Murmann.

    Example:
        >>> regression(8, 1.2e9, 32)
        ConverterCost(energy_J=1.846...e-12, area_m2=6.310...e-09)
    """
    b = max(bits, _LEAST_BITS)
    merit = min(213.7807 - 2.871903 * log(rate_Hz), 128.3068 + 3.220514 * ceil(b))
    scale = exp(26.0496216 + 1.8800369 * log(node_nm) - 2.8291256 * log(b) - 1.4702022)
    energy = scale / (2 * 10 ** ((merit - (6.02 * b + 1.76)) / 10)) * min(bits / _LEAST_BITS, 1.0)
    area = exp(1.3461916 + 0.9932795 * log(node_nm) + 0.1807154 * log(rate_Hz) + 0.2991243 * log(energy))
    return ConverterCost(energy * pJ, area * um2)


def steps(kind: str, bits: float) -> float:
    """Comparator cycles one after the other: b of a SAR, 2^b of a ramp whose counter all share, 1 of a flash."""
    return {"sar": bits, "ramp": 2.0**bits, "flash": 1.0}[kind]


def comparisons(kind: str, bits: float) -> float:
    """Decisions of comparators in one conversion: b of a SAR, 2^b of a ramp, 2^b - 1 of a flash."""
    return 2.0**bits - 1 if kind == "flash" else steps(kind, bits)


def _bits(adc: Converter, technology: Technology) -> float:
    """Resolution that is paid for: of an exact ADC that of the technology's record."""
    return technology.adc_bits if adc.bits == inf else adc.bits


def adc(periphery: Periphery, technology: Technology) -> ConverterCost:
    """Price of the ADCs of a design; of its sense amplifiers, one comparator each, where it has these.

    A SAR is the technology's record, scaled from its bits and rate to those asked for as the regression goes; without a record of the
    energy it is its comparator decisions, and without these the regression itself. Ramp and flash are comparator decisions; a ramp has
    one comparator and a latch of its size for each bit, a flash 2^b - 1 comparators (areas assumed).

    Raises:
        InputError: the technology lacks the comparator that a ramp or flash needs.
    """
    if periphery.sense is not None:
        return ConverterCost(*(technology.need(name, "a sense amplifier") for name in ("comparator_J", "comparator_m2")))
    asked, bits = periphery.adc, _bits(periphery.adc, technology)
    modelled = regression(bits, asked.rate_Hz or min(1 / periphery.read_s, technology.adc_Hz), technology.node_nm)
    if asked.kind != "sar":
        one = technology.need("comparator_J", f"an ADC of kind {asked.kind}")
        area = technology.need("comparator_m2", f"an ADC of kind {asked.kind}")
        return ConverterCost(comparisons(asked.kind, bits) * one, area * (1 + bits if asked.kind == "ramp" else 2.0**bits - 1))
    if asked.bits == inf and not asked.rate_Hz:  # nothing to scale to
        modelled = regression(technology.adc_bits, technology.adc_Hz, technology.node_nm)
    known = regression(technology.adc_bits, technology.adc_Hz, technology.node_nm)
    energy, area = modelled
    if technology.adc_J is not None:
        energy = technology.adc_J * modelled.energy_J / known.energy_J
    elif technology.comparator_J is not None:
        energy = comparisons("sar", bits) * technology.comparator_J
    if technology.adc_m2 is not None:
        area = technology.adc_m2 * modelled.area_m2 / known.area_m2
    return ConverterCost(energy, area)


def dac(periphery: Periphery, technology: Technology) -> ConverterCost:
    """Price of one input value: b - 1 bits and a sign, in energy by b - 1 from the record; an exact DAC is taken as the record.

    Where bits come one after the other, of one pulse. Area: by its 2^(b-1) - 1 elements (assumed).
    """
    known = technology.dac_bits - 1
    magnitude = known if periphery.dac.bits == inf else max(periphery.dac.bits - 1, 1.0)
    magnitude = 1.0 if periphery.dac.serial else magnitude
    return ConverterCost(technology.dac_J * magnitude / known, technology.dac_m2 * (2.0**magnitude - 1) / (2.0**known - 1))


def input_cycles(periphery: Periphery) -> PerMember:
    """Read cycles in which one vector is given: rows that share a DAC take turns, bits too where they come one after the other."""
    return periphery.dac.shared_by * periphery.dac.pulses


def array_reads(periphery: Periphery) -> PerMember:
    """Reads of the array for one vector: those of its input cycles, again for each line of an ADC unless lines are held."""
    return input_cycles(periphery) if periphery.adc.rate_Hz else periphery.read_cycles


def conversion_s(periphery: Periphery, technology: Technology) -> float:
    """Time of one conversion, s: 1 / rate_Hz, or the steps of its kind at the technology's clock; none of its own for an exact ADC."""
    if periphery.adc.rate_Hz:
        return 1 / periphery.adc.rate_Hz
    if periphery.adc.bits == inf:
        return 0.0
    if technology.clock_Hz is None:
        if periphery.adc.kind != "sar":
            technology.need("clock_Hz", f"an ADC of kind {periphery.adc.kind} without rate_Hz")
        return 0.0
    return steps(periphery.adc.kind, periphery.adc.bits) / technology.clock_Hz
