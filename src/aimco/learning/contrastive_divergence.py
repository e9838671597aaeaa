"""Event-driven contrastive divergence: spiking neurons learn by the spikes of two phases, by STDP that changes its sign between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from aimco.arrays.spec import Blueprint
from aimco.learning import Rule
from aimco.record import PathError


class ContrastiveDivergence(Rule):
    """Learning of a spiking Boltzmann machine.

    1. data phase: visible units are clamped to the sample and its label; each pair of spikes raises its weight, by
       lr tau_r^2/(2 tau_STDP T) exp(-|dt|/tau_STDP)
    2. reconstruction phase: all units run free; each pair lowers its weight by as much
    3. biases likewise, by the spikes of their units; nothing in the burn-in of a phase

    The mean change of a sample is lr (<v h>_data - <v h>_model), that of contrastive divergence with as many steps as refractory times
    fit in a phase.
    Source: Neftci 2014 (Front. Neurosci. 7:272).

    Args:
        lr: rate of weights and biases.
        update_mode: "ideal" changes weights exactly; "set" sends partial SET pulses, in the data phase to G+ of a pair and in the
            reconstruction phase to G-, of a number that makes the change on average, rounded at random.
        max_pulses: to one device in one phase.
    """

    moved: ClassVar[Mapping[str, str]] = {"moves": "update_mode", "most_pulses": "max_pulses"}
    teaches: ClassVar[str] = "spikes"

    lr: float = Field(default=0.1, ge=0, le=1000, description="learning rate")
    update_mode: Literal["ideal", "set"] = "ideal"
    max_pulses: int = Field(default=8, ge=1, le=1000, description="most pulses to one device in one phase")

    def arrays(self):
        return {} if self.update_mode == "ideal" else super().arrays()

    def check(self, design: Blueprint) -> None:
        if self.update_mode == "set" and design.cell.signs != (1, -1):
            raise PathError("cell.kind", f"must be pair6t2r or pair for rule.update_mode = 'set', got {design.cell.kind}")

    def notes(self):
        if self.update_mode == "ideal":
            return ["weights and biases are ideal numbers: no devices, and no energy of writing"]
        return [
            "SET pulses of a phase are sent together, after the sample; its spikes see weights that move as STDP asks in between",
            "biases are ideal numbers",
        ]
