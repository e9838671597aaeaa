"""Equilibrium propagation: a resistive network learns from two of its operating points."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field

from aimco.circuit import local_step
from aimco.circuit.circuit import ResistiveCircuit
from aimco.learning import Rule
from aimco.record import PathError, quantity
from aimco.resistive.network import ResistiveNetwork
from aimco.resistive.phases import DeviceSlopes, InputSlopes, Phases, Slopes
from aimco.units import S, V


class Equilibrium(Rule):
    """Local learning by the difference of two operating points.

    1. free phase: the sources drive the inputs, the outputs float at y
    2. nudged phases: currents -+beta dC/du flow into the outputs, C = sum (y - t)^2/2
    3. dC/dG_ij = ((dV_ij towards)^2 - (dV_ij away)^2)/(4 beta), dV the voltage across the device itself, times the square of the gains
       between its layer and the outputs: a rate for each layer
    4. G -= lr unit^2 dC/dG, the mean over the batch: exactly, or by pulses of each device, within what the devices have

    Source: Scellier & Bengio 2017 (Front. Comput. Neurosci. 11:24); Kendall 2020 (arXiv 2006.01981) for resistive networks; Laborieux 2021
    (Front. Neurosci. 15:633674) for the centred form. Digital work per sample: none; each device sees its own voltage.

    Args:
        lr: Rate, 1/V^2.
        layer_lr: Part of the rate for each crossbar, the last for all that follow.
        beta: Nudging current per error, S.
        centred: Nudge both ways; else towards the target only, which is biased by order beta.
        target_V: Wanted voltage of the output of the right class, V; 0 V of the others.
        update_mode: "ideal" changes conductances exactly; "proportional" sends the number of pulses that makes the change on average,
            rounded at random; "fixed" sends one pulse to each device whose change is large enough.
        max_pulses: Most pulses of one proportional update.
        threshold: Change, in pulses, above which a fixed pulse is sent.
    """

    moved: ClassVar[Mapping[str, str]] = {"moves": "update_mode", "most_pulses": "max_pulses"}
    teaches: ClassVar[str] = "circuit"

    lr: float = Field(default=10.0, ge=0, le=1e6, description="learning rate, 1/V^2")
    layer_lr: tuple[float, ...] = Field(default=(1.0, 0.5), strict=False, min_length=1, description="part of the rate for each crossbar")
    beta: float = quantity(S, 1e-6, gt=0, le=1, doc="nudging current per error")
    centred: bool = True
    target_V: float = quantity(V, 0.3, gt=0, le=10, doc="wanted voltage of the right output")
    update_mode: Literal["ideal", "proportional", "fixed"] = "proportional"
    max_pulses: int = Field(default=31, ge=1, le=10_000, description="most pulses of one update")
    threshold: float = Field(default=0.1, ge=0, le=1e6, description="change, in pulses, above which a fixed pulse is sent")

    @property
    def phases(self) -> int:
        """Operating points of one training sample."""
        return 3 if self.centred else 2

    def arrays(self):
        return {} if self.update_mode == "ideal" else super().arrays()

    def check(self, design):
        if design.cell.signs not in ((1,), (1, -1)):
            raise PathError("cell.kind", f"must be reference or pair in a resistive network, got {design.cell.kind}")

    def solve(self, network: ResistiveNetwork, x: torch.Tensor, target: torch.Tensor) -> Phases:
        """The phases of a batch: x (B, inputs), target (B, outputs) in V."""
        return network.phases(network.inputs(x), target, self.beta, centred=self.centred)

    def gradients(self, circuit: ResistiveCircuit, phases: Phases) -> list[torch.Tensor]:
        """dC/dG of each crossbar, then of the devices on inverted lines, V^2/S, summed over the batch: from the voltages across them."""
        return [slope.to(circuit.conductances[0].dtype) for slope in self.slopes(circuit, phases).each()]

    def slopes(self, circuit: ResistiveCircuit, phases: Phases) -> Slopes:
        """`gradients`, those of the first crossbar by the product with x alone.

        With P, p the sum and the difference of both states before a device, and U, u after it, the difference of the squares of the
        voltages across it is (P - U)(p - u) = P p + U u - P u - p U; across one on an inverted line it is P p + U u + P u + p U.
        """
        towards, away, rates = phases.towards.nodes, phases.away.nodes, circuit.rates(phases.span)
        if circuit.program and circuit.inverted[1] is None:
            common, move, moved, second = local_step.slopes(circuit, towards, away, rates)
            return InputSlopes(common, phases.x, move, phases.bias_V * moved, -2 * rates[0], [second], [])
        pairs = [(u + w, u - w) for u, w in zip(towards, away, strict=True)]
        if circuit.wired:
            return self._through_wires(circuit, phases, pairs, rates)
        common = [rate * (both * move).sum(0) for rate, (both, move) in zip(rates, pairs, strict=True)]
        others, inverted = [], []
        for k in range(1, circuit.layers):
            p, q = circuit.driven(k - 1, towards[k - 1]), circuit.driven(k - 1, away[k - 1])
            both, move = p + q, p - q
            squares = common[k] + rates[k] * (both * move).sum(0)[:, None]
            others.append(torch.addmm(squares, both.T, pairs[k][1], alpha=-rates[k]).addmm_(move.T, pairs[k][0], alpha=-rates[k]))
            if circuit.inverted[k] is not None:
                inverted.append(2 * squares - others[-1])
        move = pairs[0][1]
        return InputSlopes(common[0], phases.x, move, phases.bias_V * move.sum(0), -2 * rates[0], others, inverted)

    def _through_wires(
        self, circuit: ResistiveCircuit, phases: Phases, pairs: list[tuple[torch.Tensor, torch.Tensor]], rates: list[float]
    ) -> DeviceSlopes:
        """The same from the voltage across each device in its place between the wires: that is linear in the voltages of the ports."""
        assert phases.lines is not None
        sums, moves = ([pair[k] for pair in pairs] for k in (0, 1))
        driven = [[circuit.driven(k, u) for k, u in enumerate(point.nodes[:-1])] for point in (phases.towards, phases.away)]
        both = circuit.voltage_drops([2 * phases.lines, *(p + q for p, q in zip(*driven, strict=True))], sums)
        move = circuit.voltage_drops([torch.zeros_like(phases.lines), *(p - q for p, q in zip(*driven, strict=True))], moves)
        return DeviceSlopes([rate * (s * d).sum(0) for s, d, rate in zip(both, move, itertools.cycle(rates), strict=False)])

    @torch.no_grad()
    def step(self, network: ResistiveNetwork, x: torch.Tensor, target: torch.Tensor, lr: float | None = None) -> torch.Tensor:
        """Learn from one batch; returns its mean cost before.

        Where `network.fused` holds, `solve`, `slopes` and the change of the conductances are one compiled step instead.

        Args:
            network: Changed in place.
            x: Samples, (B, inputs).
            target: Wanted of the outputs, V, (B, outputs).
            lr: Rate, 1/V^2; that of the rule when absent.

        Raises:
            InputError: Shapes, or values that are not finite.
            RuntimeError: A sample did not converge; no conductance is changed then.
        """
        mean = (self.lr if lr is None else lr) / len(x)
        steps = [mean * part * unit**2 for part, unit in zip(self._parts(len(network.units)), network.units, strict=True)]
        if network.fused:
            error = network.fused_step(network.inputs(x), target, self.beta, steps, centred=self.centred)
        else:
            phases = self.solve(network, x, target)
            self._move(network, self.slopes(network.circuit(), phases), steps)
            error = phases.error
        return error.square().sum() / (2 * len(x))

    def _move(self, network: ResistiveNetwork, slopes: Slopes, steps: list[float]) -> None:
        """Change the conductances: by pulses of the devices, where there are such."""
        if network.devices is None:
            network.learn(slopes, steps)
        else:
            network.pulse([self.pulses(wanted, draws) for wanted, draws in network.wanted_pulses(slopes, steps)])

    def _parts(self, layers: int) -> list[float]:
        return [self.layer_lr[min(k, len(self.layer_lr) - 1)] for k in range(layers)]

    def pulses(self, wanted: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Pulses for changes that are wanted in units of one pulse: whole numbers, those above 0 up; draws uniform in (0, 1)."""
        if self.update_mode == "fixed":
            return torch.sign(wanted) * (wanted.abs() > self.threshold)
        return torch.floor(wanted + draws).clamp_(-self.max_pulses, self.max_pulses)

    def notes(self):
        return ["each device is pulsed by its own voltage; circuits that measure it are not priced"] if self.arrays() else []
