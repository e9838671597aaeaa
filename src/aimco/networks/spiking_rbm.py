"""A Boltzmann machine of spiking neurons, taught by event-driven contrastive divergence."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from aimco.networks import Network, Taught, checked_sizes, one_member, only
from aimco.record import PathError
from aimco.spiking.record import Spiking

_MOST_STEPS = 1e10  # of a run: a day for some hundred neurons


class SpikingRbm(Network):
    """A spiking Boltzmann machine (Neftci 2014).

    Args:
        hidden: hidden units, one layer.
        spiking: neurons and their time.
    """

    taught: ClassVar[Taught] = "spikes"
    ensembles: ClassVar[bool] = False

    hidden: tuple[int, ...] = Field(default=(500,), strict=False, max_length=32, description="hidden units")
    spiking: Spiking = Field(default=Spiking(), description="neurons and time")

    @field_validator("hidden")
    @classmethod
    def _sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if len(sizes) != 1:
            raise ValueError(f"must hold one layer in a network of kind spiking-rbm, got {list(sizes)}")
        return checked_sizes(sizes)

    def build(self, data, design, seeds):
        from torch import nn

        from aimco.spiking.machine import SpikingBoltzmannMachine

        one_member(self, data, seeds)
        self._check_steps(len(data.train_x), design.training.epochs)
        return nn.Sequential(SpikingBoltzmannMachine(design, data.inputs, data.outputs, seeds[0]))

    def _check_steps(self, samples: int, epochs: int) -> None:
        """Refuse training that would not end within days."""
        timing = self.spiking
        steps = samples * epochs * 2 * timing.phase_s / timing.dt_s
        if steps > _MOST_STEPS:
            asked = (
                f"{steps:.2g} of {epochs} epochs, {samples} samples and two phases of {timing.phase_s:g} s in steps of {timing.dt_s:g} s"
            )
            rule = f"must be such that training takes at most {_MOST_STEPS:g} steps, got {asked}"
            raise PathError("network.spiking.dt_s", f"{rule}; lengthen dt_s, shorten phase_s, or take fewer samples or epochs")

    def trainer(self, model, data):
        from aimco.descent import SelfTaught
        from aimco.spiking.machine import SpikingBoltzmannMachine

        return SelfTaught(only(model, SpikingBoltzmannMachine))

    def area_m2(self, rows, columns, technology):
        return (rows + columns) * (technology.neuron_m2 or 0.0)

    def notes(self, technology):
        if technology.synapse_J is not None:
            return []
        return [f"technology {technology.name} has no energies of spikes, which are not priced; take spiking-90nm or spiking-28nm"]

    def pictures(self, model, data):
        from aimco.spiking.machine import SpikingBoltzmannMachine
        from aimco.spiking.pictures import figure

        return {"spiking machine": figure(only(model, SpikingBoltzmannMachine), data.test_x, data.test_y, data.image)}
