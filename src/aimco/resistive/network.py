"""End-to-end analog networks of a design: resistive circuits whose conductances are devices, with the spread and noise of real parts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from aimco import rng
from aimco.arrays.spec import ArraySpec
from aimco.arrays.vertical import Vertical
from aimco.arrays.wires import Wires
from aimco.circuit import newton
from aimco.circuit.network import Layered
from aimco.ledger import Counts
from aimco.mapping import AnalogMatrix
from aimco.record import PathError
from aimco.resistive.base import START, Resistive
from aimco.resistive.record import LEAST, normal

_SETTLED = math.log(1000)  # time constants until 0.1 % of the way is left
_POWER_STEPS = 30  # of the iteration for the slowest mode
_COUNTED = ("settles", "source_drives", "dissipated_W")
_TIMING = ("settle_s", "point_s", "found_at")  # seconds so far; time of one operating point, found when there were so many
_FIND_EVERY = 1000  # operating points between two looks at the slowest mode
_LEAST_G = 1e-6  # of the largest conductance, that ideal moves leave


class EndToEnd(Resistive):
    """A resistive network built of the devices, cells and circuit of a design.

    A cell of one device makes one conductance: inputs are driven as +x and -x, and a bias line. A cell of a pair stands between a line
    and its inverse, and weighs by the difference of its devices. Under ideal moves there are no arrays, only the window of the device.
    A matrix cut over several arrays is joined by wires: nothing is converted between them. Where lines drop voltage (`array.wires`, or
    `network.circuit.vertical`) each crossbar is one array.

    Args:
        design: an `aimco.Design` with a resistive network. inputs, outputs: of the task. seed: of devices, parts and noise.
    """

    def __init__(self, design: Any, inputs: int, outputs: int, seed: int = 0) -> None:
        made, device, hidden = design.network.circuit, design.device, design.network.hidden
        self.record, self.seed, self.bias_V = made, seed, made.input_V
        paired = len(design.cell.signs) > 1
        nodes = [inputs + 1 if paired else 2 * inputs + 1, *hidden, 2 * outputs]
        super().__init__(
            [inputs, *hidden, outputs],
            [made.pair(n, k, seed) for k, n in enumerate(hidden)],
            [made.gains(n, k, seed) for k, n in enumerate(hidden)],
            [made.offsets(n, k, seed) for k, n in enumerate(hidden)],
            paired=paired,
            g_min=max(float(device.g_min), _LEAST_G * float(device.g_max)),
            g_max=float(device.g_max),
            seed=seed,
            tolerance=made.tolerance_V,
            dtype=getattr(torch, made.precision),
            arrays=_arrays(design, nodes),
        )
        self.rule, shapes = design.rule, [(int(g.shape[0]), int(g.shape[1])) for g in self.conductances]
        top = self.g_min + made.start * (self.g_max - self.g_min)
        self.units = [top * math.sqrt(rows * (1 + self.paired) + columns) / START for rows, columns in shapes]
        self.spread: list[torch.Tensor | None] = [self._spread_of(k, shape) for k, shape in enumerate(shapes * (1 + self.paired))]
        self.pulse_S = float(np.mean(device.step))
        spec = ArraySpec.of(design)
        if self.rule.arrays():
            names = [f"crossbar {k + 1}" for k in range(len(shapes))]
            self.matrices = {
                name: AnalogMatrix(spec, *shape, seeds=(seed,), names=(name,)) for name, shape in zip(names, shapes, strict=True)
            }
            self._program(float(np.mean(design.cell.weight_max)), float(np.mean(device.mid_range)), float(np.mean(device.half_range)))
        self.rule_state = {name: torch.zeros((), dtype=torch.int64) for name in ("updates", "sources", "reads")}
        self._ledger = {name: torch.zeros((), dtype=torch.float64) for name in (*_COUNTED, *_TIMING)}

    def _first(self, rows: int, columns: int, seed: int, *names: str | int) -> torch.Tensor:
        """Uniform from g_min to the part of the range that the circuit says, but for empty ones; of a pair one alone is above g_min."""
        top = self.record.start * (self.g_max - self.g_min)
        draws = self._draw((rows, columns), 0, "start", names[0])
        if self.paired:
            draws = (2 * draws - 1).mul_(-1 if len(names) > 1 else 1)
        draws = ((draws - self.record.empty) / (1 - self.record.empty)).clamp_(min=0)
        return (self.g_min + top * draws).to(self.dtype)

    def _draw(self, shape: Sequence[int], step: int, *names: str | int) -> torch.Tensor:
        """Uniform numbers in (0, 1) of a stream of this network."""
        draws = rng.uniform(rng.stream_keys((self.seed,), "end-to-end", *names), step, math.prod(shape))
        return torch.from_numpy(draws[0]).reshape(*shape)

    def _spread_of(self, k: int, shape: tuple[int, ...]) -> torch.Tensor | None:
        sigma = self.record.conductance_spread
        return (1 + sigma * normal(self.seed, shape, "conductance", k)).clamp_(min=LEAST).to(self.dtype) if sigma else None

    def _program(self, weight_max: float, mid: float, half: float) -> None:
        """Write the first conductances into the devices, and see what they became."""
        for k, matrix in enumerate(self.matrices.values()):
            g = self.conductances[k].double()
            state = (g - self.inverted[k].double()) / (2 * half) if self.paired else (g - mid) / half
            first = (weight_max * state).float()[None]
            matrix.program(first)
            self.written = (*self.written, matrix.missed(first))
        self._take()

    @torch.no_grad()
    def _take(self) -> None:
        """The conductances are what the devices hold."""
        for k, matrix in enumerate(self.matrices.values()):
            for own, held in zip((self.conductances, self.inverted), matrix.conductances(), strict=False):
                own[k].copy_(held[0])

    def seen(self):
        plus, inverted = super().seen()
        held = [*plus, *(inverted or [])]
        every = [g if factor is None else g * factor for g, factor in zip(held, self.spread, strict=True)]
        return every[: len(plus)], every[len(plus) :] or None

    def inputs(self, x):
        return self._noisy(super().inputs(x) * self.record.input_V, self.record.source_noise_V, "sources")

    def readout_noise(self, like):
        sigma = self.record.readout_noise_V
        return self._noisy(torch.zeros_like(like), sigma, "reads") if sigma else None

    def _noisy(self, volts: torch.Tensor, sigma: float, name: str) -> torch.Tensor:
        """With normal noise, new at each call."""
        if not sigma:
            return volts
        z = normal(self.seed, tuple(volts.shape), name, step=int(self.rule_state[name]))
        self.rule_state[name] += 1
        return volts + sigma * z.to(volts.dtype)

    def relax(self, driven, fixed, injected=None, start=None):
        self._look()
        settled = super().relax(driven, fixed, injected, start)
        phases = len(settled.outputs) // len(driven)
        if settled.power is None:
            lines = self.lines(driven)
            power = sum(float(self.circuit().dissipation(lines, fixed, each.nodes).sum()) for each in settled.phases(phases))
        else:
            power = float(settled.power.sum()) + phases * self.of_sources(driven)
        self._settled(phases * len(driven), power)
        return settled

    @torch.no_grad()
    def learn_at_once(self, x, target, beta, steps, *, centred=True):
        self._look()
        phases, of_sources = 2 + centred, self.of_sources(x)
        learned = super().learn_at_once(x, target, beta, steps, centred=centred)
        self._settled(phases * len(x), learned.power + phases * of_sources)
        return learned

    def _settled(self, points: int, power: float) -> None:
        """Into the ledger: operating points, their power, W, and their time as the circuit last had it."""
        drives, seconds = points * self.conductances[0].shape[0], points * self._ledger["point_s"]
        for name, amount in zip((*_COUNTED, "settle_s"), (points, drives, power, seconds), strict=True):
            self._ledger[name] += amount

    def _look(self) -> None:
        """Find the time of an operating point of the circuit as it is; it moves little while conductances do, and holds for a while."""
        ledger = self._ledger
        if not ledger["point_s"] or float(ledger["settles"] - ledger["found_at"]) >= _FIND_EVERY:
            ledger["point_s"].fill_(self.settle_s)
            ledger["found_at"].copy_(ledger["settles"])

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Differences of the outputs as they are read, V, (B, outputs)."""
        driven = self.inputs(x)
        return self.read(self.relax(driven, self.forced(driven)))

    def learn_from(self, x: torch.Tensor, labels: torch.Tensor, lr: float) -> torch.Tensor:
        """One step of the rule on samples (B, inputs) and labels (B,); returns the mean cost before."""
        target = self.rule.target_V * torch.nn.functional.one_hot(labels, self.conductances[-1].shape[1] // 2).to(self.dtype)
        return self.rule.step(self, x, target, lr)

    @property
    def at_once(self):
        return not self.matrices and super().at_once

    @torch.no_grad()
    def learn(self, slopes, steps):
        """By pulses of the devices, where there are such; of a pair the difference is moved, by one of its devices."""
        if not self.matrices:
            super().learn(slopes, steps)
            return
        every, layers, update = slopes.each(), len(steps), int(self.rule_state["updates"])
        for k, matrix in enumerate(self.matrices.values()):
            change = every[k] - every[k + layers] if self.paired else every[k]
            wanted = change.double() * (-steps[k] / self.pulse_S)
            pulses = self.rule.pulses(wanted, self._draw(tuple(change.shape), update, "pulses", k))
            matrix.pulse_rows(pulses.to(torch.int32)[None])
        self.rule_state["updates"] += 1
        self._take()

    def hold(self, seconds):
        super().hold(seconds)
        if self.matrices:
            self._take()

    @property
    def analog(self):
        return True

    @property
    def shapes(self):
        return {f"crossbar {k + 1}": (int(g.shape[0]), int(g.shape[1])) for k, g in enumerate(self.conductances)}

    @property
    def counts(self):
        settles, drives, watts, seconds = (float(self._ledger[name]) for name in (*_COUNTED, "settle_s"))
        circuit = Counts(settles=int(settles), source_drives=int(drives), dissipated_W=watts, settle_s=seconds)
        circuit.add(amplified=int(settles) * sum(g.shape[1] for g in self.conductances[:-1]))
        return {name: Counts() for name in self.shapes} | super().counts | {"circuit": circuit}

    @property
    def timed(self):
        return super().timed | {"circuit": {"settle_s": float(self._ledger["settle_s"])}}

    @property
    def settle_s(self) -> float:
        """Time of one operating point, s: as the circuit says, or until its slowest mode has 0.1 % of its way left."""
        return self.record.settle_s or _SETTLED * slowest(self.circuit(), self.record.node_F)

    def notes(self, member=0):
        told = [
            *super().notes(member),
            "circuits settle at once: energy is their power at the operating point times the time of their slowest mode",
        ]
        if self.record.vertical is not None:
            told.append("wires of three-dimensional arrays drop voltage; their area and their capacitances are not counted")
        return told

    def get_extra_state(self):
        saved = super().get_extra_state()
        kept = {"ledger": self._ledger, "rule": self.rule_state}
        return saved | {what: {n: t.clone() for n, t in own.items()} for what, own in kept.items()}

    def set_extra_state(self, state):
        super().set_extra_state(state)
        for name, own in self._ledger.items():
            own.copy_(state["ledger"][name])
        if self.matrices:
            self._take()


def _arrays(design: Any, nodes: Sequence[int]) -> list[Wires | Vertical | None] | None:
    """What each crossbar stands in where lines drop voltage: one array, planar or three-dimensional."""
    stack, array, shapes = design.network.circuit.vertical, design.array, list(itertools.pairwise(nodes))
    lines = [array.in_circuit(*shape) if stack is None else stack.holding(*shape) for shape in shapes]
    if all(line is None for line in lines):
        return None
    if design.network.circuit.precision != "float64":
        raise PathError("network.circuit.precision", "must be float64 where lines drop voltage, got float32")
    if design.network.circuit.gain_spread or design.network.circuit.diodes == "ideal":
        raise PathError("network.circuit.gain_spread", "must be 0, and diodes not ideal, where lines drop voltage in a resistive network")
    return lines


def slowest(net: Layered, node_F: float) -> float:
    """Slowest time constant of a circuit, s, the largest eigenvalue of J^-1 C: each device adds node_F to both of its lines.

    J is the Jacobian of Kirchhoff's law with no diode conducting; found by power iteration, each step a solve.
    """
    lines = [g.shape[0] + (net.conductances[k + 1].shape[1] if k + 1 < net.layers else 0) for k, g in enumerate(net.conductances)]
    mode = [torch.ones(1, g.shape[1], dtype=g.dtype) for g in net.conductances]
    none, size = [torch.zeros_like(v) for v in mode], sum(v.shape[1] for v in mode)
    tau = 0.0
    for _ in range(_POWER_STEPS):
        mode, _ = newton.solve(net, [node_F * n * v for n, v in zip(lines, mode, strict=True)], none, relative=1e-8, steps=2 * size + 100)
        before, tau = tau, math.sqrt(sum(float(v.square().sum()) for v in mode))
        mode = [v / tau for v in mode]
        if abs(tau - before) <= 1e-4 * tau:
            break
    return tau
