"""Equilibrium propagation: a resistive network learns from two states that it settles to by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from aimco.circuit.network import Layered, Settled
from aimco.networks.resistive import Resistive
from aimco.record import InputError


@dataclass(frozen=True)
class Phases:
    """What one batch settled to: free, and nudged towards and away from the target. `away` is the free state when one-sided."""

    sources: torch.Tensor
    free: Settled
    towards: Settled
    away: Settled
    beta: float
    span: float


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
        circuit, sources = network.circuit(), network.sources(x)
        free = circuit.settle(sources, tolerance=network.tolerance)
        error = network.read(free) - target
        nudge = self.beta * torch.cat((error, -error), 1)
        towards = circuit.settle(sources, -nudge, start=free, tolerance=network.tolerance)
        if not self.centred:
            return Phases(sources, free, towards, free, self.beta, 2.0)
        away = circuit.settle(sources, nudge, start=free, tolerance=network.tolerance)
        return Phases(sources, free, towards, away, self.beta, 4.0)

    def gradients(self, circuit: Layered, phases: Phases) -> list[torch.Tensor]:
        """dC/dG of each crossbar, V^2/S, summed over the batch, from the voltages across its devices in the two states."""
        scales, found = circuit.scales, []
        ends = zip(circuit.drops(phases.sources, phases.towards), circuit.drops(phases.sources, phases.away), scales, strict=True)
        for k, ((p, u), (q, w), scale) in enumerate(ends):
            rate = (scales[-1] / scale) ** 2 / (phases.span * phases.beta)
            squares = rate * (u * u - w * w).sum(0)  # of (p - u)^2 - (q - w)^2, all but the products
            start = squares.expand(p.shape[1], -1) if k == 0 else squares + rate * (p * p - q * q).sum(0)[:, None]
            slope = torch.addmm(start, q.T, u - w, alpha=-2 * rate)
            found.append(slope if k == 0 else slope.addmm_((p - q).T, u, alpha=-2 * rate))
        return found

    @torch.no_grad()
    def step(self, network: Resistive, x: torch.Tensor, target: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
        """Learn from one batch; returns its mean cost before."""
        if len(self.lr) != len(network.conductances):
            raise InputError(f"lr must be one number for each of the {len(network.conductances)} crossbars, got {len(self.lr)}")
        phases = self.settle(network, x, target)
        for g, slope, lr in zip(network.conductances, self.gradients(network.circuit(), phases), self.lr, strict=True):
            g.sub_(slope, alpha=factor * lr * network.unit**2 / len(x))
        network.window()
        return (network.read(phases.free) - target).square().sum(1).mean() / 2
