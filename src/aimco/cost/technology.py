"""Technology: sourced energies, areas and rates of one fabrication technology."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from aimco.record import InputError, Listed, field_error, quantity
from aimco.units import F, Hz, J, Unit, V, W, m, m2

_PER_S = Unit(1.0, "1/s")


class Technology(Listed):
    """Energies, areas and rates of one fabrication technology.

    Args:
        pitch_m: distance of two cross-points. node_nm: process of the converters. mean_square_input: mean of (input / full scale)^2.
        wire_F_per_m, cell_F: capacitance of a line per length, and what each cell adds to it. select_V: swing of the word lines of
            select transistors, absent where cells have none.
        adc_bits, adc_Hz: resolution and rate of the record of an ADC, adc_J, adc_m2: energy of one conversion and area, absent where
            `converters` makes them. comparator_J, comparator_m2, clock_Hz: of one decision, for ramp and flash.
        dac_J, dac_m2: of a DAC of dac_bits with its driver, 2 being a sign and one bit. integrate_J: of one integration of one output.
        accumulate_J, accumulate_m2: of an addition behind an ADC, and of its adder; digital_J where absent.
        digital_J, digital_per_s: energy and rate of other digital operations. moved_J, moved_per_s: of a value between buffer and
            arrays. array_static_W: power that one array draws whatever it does. other_m2: of decoders, buffers and wiring of one array.
        layout: area of a chip over that of its parts.
        amplifier_W, node_m2: power of one bidirectional amplifier, and area of one node with its amplifier and diodes, in resistive
            networks. synapse_J, spike_J, walk_J, neuron_m2: of spiking networks, absent where these are not priced.
        sources: where each number comes from, or "assumed". tolerances: the factor within which each is taken to be right, either way.
    """

    listed_in: ClassVar[Path] = Path(__file__).parent / "technology"

    name: str
    pitch_m: float = quantity(m, gt=0, doc="cross-point pitch")
    node_nm: float = quantity(Unit(1e-9, "nm"), gt=0, doc="process node of the converters")
    mean_square_input: float = Field(gt=0, le=1, description="mean square of the normalised input")
    wire_F_per_m: float = quantity(Unit(1.0, "F/m"), ge=0, doc="wire capacitance per length")
    cell_F: float = quantity(F, ge=0, doc="capacitance of a cell on its line")
    select_V: float | None = quantity(V, None, gt=0, doc="swing of the lines of select transistors")
    adc_bits: float = Field(default=8.0, ge=1, le=24, description="resolution of the ADC of the record")
    adc_Hz: float = quantity(Hz, 1.28e9, gt=0, doc="rate of the ADC of the record")
    adc_J: float | None = quantity(J, None, ge=0, doc="energy of one analog-to-digital conversion")
    adc_m2: float | None = quantity(m2, None, ge=0, doc="area of one ADC")
    comparator_J: float | None = quantity(J, None, ge=0, doc="energy of one decision of a comparator")
    comparator_m2: float | None = quantity(m2, None, ge=0, doc="area of one comparator")
    clock_Hz: float | None = quantity(Hz, None, gt=0, doc="decisions of a comparator per second")
    dac_bits: float = Field(default=2.0, ge=2, le=24, description="resolution of the DAC of the record")
    dac_J: float = quantity(J, ge=0, doc="energy of one digital-to-analog conversion")
    dac_m2: float = quantity(m2, ge=0, doc="area of one DAC")
    integrate_J: float | None = quantity(J, None, ge=0, doc="energy of one integration of an output")
    accumulate_J: float | None = quantity(J, None, ge=0, doc="energy of one addition behind an ADC")
    accumulate_m2: float | None = quantity(m2, None, ge=0, doc="area of the adder behind an ADC")
    digital_J: float = quantity(J, ge=0, doc="energy of one digital operation")
    digital_per_s: float = quantity(_PER_S, gt=0, doc="digital operations per second")
    moved_J: float | None = quantity(J, None, ge=0, doc="energy of a value between buffer and arrays")
    moved_per_s: float | None = quantity(_PER_S, None, gt=0, doc="values between buffer and arrays per second")
    array_static_W: float = quantity(W, 0.0, ge=0, doc="power of one array whatever it does")
    other_m2: float | None = quantity(m2, None, ge=0, doc="area of decoders, buffers and wiring of one array")
    layout: float = Field(default=1.0, ge=1, le=100, description="area of a chip over that of its parts")
    amplifier_W: float | None = quantity(W, None, ge=0, doc="power of one bidirectional amplifier")
    node_m2: float | None = quantity(m2, None, ge=0, doc="area of a node with its amplifier and diodes")
    synapse_J: float | None = quantity(J, None, ge=0, doc="energy of one synaptic operation of a spike")
    spike_J: float | None = quantity(J, None, ge=0, doc="energy of one spike beside its synaptic operations")
    walk_J: float | None = quantity(J, None, ge=0, doc="energy of one step of one random-walk circuit")
    neuron_m2: float | None = quantity(m2, None, ge=0, doc="area of one spiking neuron")
    sources: dict[str, str] = Field(default={}, description="where each number comes from")
    tolerances: dict[str, float] = Field(default={}, description="factor within which each number is right")

    @model_validator(mode="after")
    def _factors(self) -> Self:
        for name, factor in self.tolerances.items():
            if factor < 1:
                raise field_error(f"tolerances.{name}", f"must be a factor of at least 1, got {factor:g}; 1.2 is a fifth either way")
        return self

    @property
    def line_capacitance_F(self) -> float:
        """Capacitance of a line per cell, F: wire_F_per_m pitch_m + cell_F."""
        return self.wire_F_per_m * self.pitch_m + self.cell_F

    def need(self, name: str, for_what: str) -> float:
        """A number that may be absent. Raises InputError, by its name, where it is."""
        value = getattr(self, name)
        if value is None:
            raise InputError(f"technology {self.name} has no {name}, which {for_what} needs; add it to a FILE.toml of it, with its source")
        return value
