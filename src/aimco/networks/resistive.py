"""One circuit of crossbars, diodes and amplifiers, taught by equilibrium propagation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from aimco.networks import Network, Taught, checked_sizes
from aimco.record import InputError, PathError
from aimco.resistive.record import Circuit

if TYPE_CHECKING:
    from torch import nn

    from aimco.data.data import Data


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

        return SelfTaught(only(model))

    def area_m2(self, rows, columns, technology):
        return columns * technology.need("node_m2", "a resistive network")

    def pictures(self, model, data):
        from aimco.resistive.pictures import figure

        return {"circuit": figure(only(model), data.test_x, data.test_y)}


def one_member(network: Network, data: Data, seeds: Sequence[int]) -> None:
    """Refuse a task without classes, and several members, of a network that learns classes alone and by itself."""
    if data.classes is None or data.train_y.ndim > 1:
        needs = "needs classes to tell apart, one label for each sample"
        raise InputError(f"network.kind {network.kind} {needs}, and task {data.name} has none; take digits or mnist")
    if len(seeds) > 1:
        raise InputError(f"network.kind {network.kind} must be built for one member at a time, got {len(seeds)}; evaluate_many does so")


def only(model: nn.Module) -> Any:
    """The one part of a network that is no chain of layers."""
    return next(model.children())
