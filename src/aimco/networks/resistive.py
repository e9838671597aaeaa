"""One circuit of crossbars, diodes and amplifiers, taught by equilibrium propagation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from aimco.networks import Network, Taught, checked_sizes, one_member, only
from aimco.record import PathError
from aimco.resistive.record import Circuit

if TYPE_CHECKING:
    pass


class Resistive(Network):
    """A resistive network (Kendall 2020).

    Args:
        hidden: nodes of the hidden layers.
        circuit: diodes and amplifiers between the crossbars, and how far they are from each other.
    """

    taught: ClassVar[Taught] = "circuit"
    ensembles: ClassVar[bool] = False

    hidden: tuple[int, ...] = Field(default=(32,), strict=False, max_length=32, description="nodes of the hidden layers")
    circuit: Circuit = Field(default=Circuit(), description="diodes and amplifiers")

    @field_validator("hidden")
    @classmethod
    def _sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return checked_sizes(sizes)

    def check(self, design):
        if not self.hidden:
            raise PathError("network.hidden", "must hold at least one layer in a resistive network, got none")

    def build(self, data, design, seeds):
        from torch import nn

        from aimco.resistive.network import ResistiveNetwork

        one_member(self, data, seeds)
        return nn.Sequential(ResistiveNetwork.of_design(design, data.inputs, data.outputs, seeds[0]))

    def trainer(self, model, data):
        from aimco.descent import SelfTaught
        from aimco.resistive.network import ResistiveNetwork

        return SelfTaught(only(model, ResistiveNetwork))

    def area_m2(self, rows, columns, technology):
        return columns * technology.need("node_m2", "a resistive network")

    def pictures(self, model, data):
        from aimco.resistive.network import ResistiveNetwork
        from aimco.resistive.pictures import figure

        return {"circuit": figure(only(model, ResistiveNetwork), data.test_x, data.test_y)}
