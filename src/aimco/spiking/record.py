"""The record of a spiking Boltzmann machine: its neurons and their time."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from aimco.neurons import NOISY, Neuron, check_noise, tangent
from aimco.record import InputError, Record, field_error, quantity
from aimco.units import Hz, s

MOST_STEPS = 1e7  # of a phase: a minute for some hundred neurons


class Spiking(Record):
    """Neurons and time of a spiking Boltzmann machine.

    Args:
        neuron: of both layers. dt_s: step, s. phase_s: of the data phase, and of the reconstruction phase, s. burn_in_s: at the start of
            each, in which nothing is learned, s. bias_Hz: rate of the bias units. high, low: probability of a unit clamped on, and off.
        labels: label units for each class. threshold: of an input, above which its unit is on; where absent, inputs are themselves
            the probabilities, cut to low..high. start: standard deviation of the initial weights.

    Source: Neftci 2014, Table 1; probabilities and labels as there.
    """

    neuron: Neuron = Neuron()
    dt_s: float = quantity(s, 1e-4, gt=0, le=1, doc="step")
    phase_s: float = quantity(s, 0.05, gt=0, le=1000, doc="length of each phase")
    burn_in_s: float = quantity(s, 0.01, ge=0, le=1000, doc="start of each phase in which nothing is learned")
    bias_Hz: float = quantity(Hz, 1000.0, gt=0, le=1e6, doc="rate of bias units")
    high: float = Field(default=0.98, gt=0, lt=1, description="probability of a unit clamped on")
    low: float = Field(default=1e-5, gt=0, lt=1, description="probability of a unit clamped off")
    labels: int = Field(default=4, ge=1, le=1000, description="label units for each class")
    threshold: float | None = Field(default=0.5, ge=0, le=1, description="input above which a unit is on; none: inputs are probabilities")
    start: float = Field(default=0.1, ge=0, le=10, description="standard deviation of the initial weights")

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if not self.dt_s <= self.neuron.refractory_s:
            raise field_error("dt_s", f"must be at most neuron.refractory_s = {self.neuron.refractory_s:g} s, got {self.dt_s:g}")
        if not self.phase_s / self.dt_s <= MOST_STEPS:
            raise field_error(
                "phase_s", f"must be at most {MOST_STEPS:g} steps of dt_s = {self.dt_s:g} s, got {self.phase_s:g}; lengthen dt_s"
            )
        if not self.burn_in_s < self.phase_s:
            raise field_error("burn_in_s", f"must be shorter than phase_s = {self.phase_s:g} s, got {self.burn_in_s:g}")
        if not self.bias_Hz * self.dt_s <= 1:
            raise field_error("bias_Hz", f"must be at most one spike in a step of dt_s = {self.dt_s:g} s, got {self.bias_Hz:g} Hz")
        if not self.low < self.high:
            raise field_error("low", f"must be below high = {self.high:g}, got {self.low:g}")
        try:
            self.neuron.clocks(self.dt_s)
        except InputError as error:
            raise field_error("dt_s", str(error).removeprefix("dt_s ")) from None
        try:
            check_noise(self.neuron, self.dt_s) if self.neuron.noise in NOISY else tangent(self.neuron)
        except InputError as error:
            field, _, rule = str(error).partition(" ")
            raise field_error(f"neuron.{field}", rule) from None
        return self
