"""Equilibrium propagation: a resistive network learns from two states that it settles to by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from aimco.circuit.network import Layered, Settled
from aimco.networks.resistive import Doubled, Resistive, doubled
from aimco.record import InputError


@dataclass(frozen=True)
class Phases:
    """What one batch x settled to: free, and nudged towards and away from the target. `away` is the free state when one-sided."""

    x: torch.Tensor
    free: Settled
    towards: Settled
    away: Settled
    beta: float
    span: float

    @property
    def sources(self) -> torch.Tensor:
        """Voltages at the inputs, (B, 2 inputs + 1)."""
        return doubled(self.x)


@dataclass(frozen=True)
class EquilibriumPropagation:
    """Local learning by the difference of two operating points.

    1. free phase: the sources drive the inputs, the outputs float at y
    2. nudged phases: currents -+beta dC/du flow into the outputs, C = sum (y - t)^2/2
    3. dC/dG_ij = ((dV_ij towards)^2 - (dV_ij away)^2)/(4 beta), dV the voltage across the device itself, times the square of the gains
       between its layer and the outputs: a rate for each layer
    4. G -= lr unit^2 dC/dG, the mean over the batch, within the window

    Source: Scellier & Bengio 2017 (Front. Comput. Neurosci. 11:24); Kendall 2020 (arXiv 2006.01981) for resistive networks; Laborieux 2021
    (Front. Neurosci. 15:633674) for the centred form.

    Args:
        lr: of each crossbar, 1/V^2. beta: current per error, S. centred: nudge both ways; else towards the target only, which is biased
            by order beta.
    """

    lr: Sequence[float]
    beta: float = 1e-6
    centred: bool = True

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise InputError(f"beta must be above 0, got {self.beta:g} S")

    def settle(self, network: Resistive, x: torch.Tensor, target: torch.Tensor) -> Phases:
        """The phases of a batch: x (B, inputs), target (B, outputs) in V."""
        circuit, x, fixed = network.circuit(), network.inputs(x), network.forced(x)
        if circuit.compiled:  # differences of voltages ask for more digits than conductances do
            fixed = fixed.double()
        free = circuit.relax(fixed, tolerance=network.tolerance)
        error = network.read(free) - target
        nudge = self.beta * torch.cat((-error, error), 1)
        if not self.centred:
            towards = circuit.relax(fixed, nudge, start=free, tolerance=network.tolerance)
            return Phases(x, free, towards, free, self.beta, 2.0)
        nudged = circuit.relax(fixed, torch.cat((nudge, -nudge)), start=free, tolerance=network.tolerance)
        towards, away = nudged.phases(2)
        return Phases(x, free, towards, away, self.beta, 4.0)

    def gradients(self, circuit: Layered, phases: Phases) -> list[torch.Tensor]:
        """dC/dG of each crossbar, V^2/S, summed over the batch, from the voltages across its devices in the two states."""
        first, others = self._slopes(circuit, phases)
        return [slope.to(g.dtype) for slope, g in zip((first.whole(), *others), circuit.conductances, strict=True)]

    def _slopes(self, circuit: Layered, phases: Phases) -> tuple[Doubled, list[torch.Tensor]]:
        """`gradients`, the first crossbar as the product of x alone.

        With P, p the sum and the difference of both states before a device, and U, u after it, the difference of the squares of the
        voltages across it is (P - U)(p - u) = P p + U u - P u - p U.
        """
        towards, away, scales = phases.towards.nodes, phases.away.nodes, circuit.scales
        rates = [(scales[-1] / scale) ** 2 / (phases.span * phases.beta) for scale in scales]
        pairs = [(u + w, u - w) for u, w in zip(towards, away, strict=True)]
        own = [rate * (both * move).sum(0) for rate, (both, move) in zip(rates, pairs, strict=True)]
        move = pairs[0][1]
        first, others = Doubled(own[0], phases.x.T @ move.to(phases.x.dtype), move.sum(0), -2 * rates[0]), []
        for k in range(1, circuit.layers):
            p, q = circuit.driven(k - 1, towards[k - 1]), circuit.driven(k - 1, away[k - 1])
            both, move = p + q, p - q
            start = own[k] + rates[k] * (both * move).sum(0)[:, None]
            others.append(torch.addmm(start, both.T, pairs[k][1], alpha=-rates[k]).addmm_(move.T, pairs[k][0], alpha=-rates[k]))
        return first, others

    @torch.no_grad()
    def step(self, network: Resistive, x: torch.Tensor, target: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
        """Learn from one batch; returns its mean cost before."""
        if len(self.lr) != len(network.conductances):
            raise InputError(f"lr must be one number for each of the {len(network.conductances)} crossbars, got {len(self.lr)}")
        phases = self.settle(network, x, target)
        steps = [factor * lr * network.unit**2 / len(x) for lr in self.lr]
        network.learn(*self._slopes(network.circuit(), phases), steps)
        return (network.read(phases.free) - target).square().sum(1).mean() / 2
