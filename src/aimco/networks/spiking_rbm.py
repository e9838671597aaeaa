"""A Boltzmann machine of spiking neurons, taught by event-driven contrastive divergence."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from aimco.networks import Network, Taught, checked_sizes, one_member, only
from aimco.spiking.record import Spiking


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
        return nn.Sequential(SpikingBoltzmannMachine(design, data.inputs, data.outputs, seeds[0]))

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
