"""End-to-end analog networks of a design: resistive circuits whose conductances are devices, with the spread and noise of real parts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from aimco import rng
from aimco.arrays.vertical import Stack, Vertical
from aimco.arrays.wires import Wires
from aimco.circuit import newton
from aimco.circuit.elements import DiodePair, Ideal, PiecewiseLinear, Shockley
from aimco.circuit.network import Layered
from aimco.ledger import Counts
from aimco.mapping import AnalogMatrix
from aimco.networks.resistive import START, Resistive
from aimco.record import PathError, Record, quantity
from aimco.units import A, F, V, s

_SETTLED = math.log(1000)  # time constants until .1 % of the way is left
_POWER_STEPS = 30  # of the iteration for the slowest mode
_LEAST = 0.05  # of a value, that spread leaves
_LEAST_G = 1e-6  # of the largest conductance, that ideal moves leave


class Circuit(Record):
    """What stands between the crossbars of a resistive network, and how far its parts are from each other.

    Args:
        diodes: "shockley", exponential; "ideal", held between two voltages; "piecewise-linear", measured points of one diode.
        low_V, high_V: of the sources behind the diodes, V. mirrored: half of the hidden nodes have sources of -high_V and -low_V: with
            low_V = 0 and a high_V that no node reaches, one half of a layer rectifies upwards and the other downwards.
        saturation_A, ideality: of shockley diodes, I_s (A) and n.
        volts, amperes: points of a measured diode, V and A.
        input_V: what a source drives for an input of 1, and for the bias, V. gain: A of the amplifiers.
        start: part of the range of the devices that initial conductances fill. empty: part of the devices that start at the lowest.
        diode_spread, gain_spread, conductance_spread: standard deviation from part to part, relative: of saturation currents and
            source voltages, of gains, and of the conductance that a device has in the circuit. offset_spread_V: of amplifiers, V.
        source_noise_V: standard deviation of what a source drives, new for each sample, V. readout_noise_V: of each reading of
            an output, V. tolerance_V: to which every voltage is solved, V. precision: of the solution.
        node_F: capacitance that each device adds to the two lines it is on, F. settle_s: time of one operating point, s; from
            the slowest mode of the circuit when absent. vertical: what three-dimensional arrays the crossbars stand in, if any.
    """

    diodes: Literal["shockley", "ideal", "piecewise-linear"] = "shockley"
    low_V: float = quantity(V, -0.3, ge=-100, le=100, doc="lower source voltage of the diodes")
    high_V: float = quantity(V, 0.3, ge=-100, le=100, doc="upper source voltage of the diodes")
    mirrored: bool = Field(default=False, description="half of the hidden nodes have the sources of opposite signs")
    saturation_A: float = quantity(A, 2.52e-9, gt=0, le=1, doc="saturation current of the diodes")
    ideality: float = Field(default=1.752, gt=0, le=10, description="ideality factor of the diodes")
    volts: tuple[float, ...] = Field(default=(0.0, 0.6, 0.7), strict=False, description="voltages of a measured diode, V")
    amperes: tuple[float, ...] = Field(default=(0.0, 1e-6, 1e-3), strict=False, description="currents of a measured diode, A")
    input_V: float = quantity(V, 1.0, gt=0, le=10_000, doc="voltage of an input of 1")
    gain: float = Field(default=4.0, gt=0, le=1e6, description="voltage gain of the amplifiers")
    start: float = Field(default=0.5, gt=0, le=1, description="part of the range that initial conductances fill")
    empty: float = Field(default=0.0, ge=0, lt=1, description="part of the devices that start at the lowest conductance")
    diode_spread: float = Field(default=0.0, ge=0, le=1, description="relative spread of the diodes")
    gain_spread: float = Field(default=0.0, ge=0, le=1, description="relative spread of the gains")
    conductance_spread: float = Field(default=0.0, ge=0, le=1, description="relative spread of conductances in the circuit")
    offset_spread_V: float = quantity(V, 0.0, ge=0, le=10, doc="spread of the offsets of amplifiers")
    source_noise_V: float = quantity(V, 0.0, ge=0, le=10, doc="noise of the sources")
    readout_noise_V: float = quantity(V, 0.0, ge=0, le=10, doc="noise of reading an output")
    tolerance_V: float = quantity(V, 1e-6, gt=0, le=0.1, doc="to which voltages are solved")
    precision: Literal["float32", "float64"] = "float64"
    node_F: float = quantity(F, 1e-15, gt=0, le=1e-6, doc="capacitance per device and line")
    settle_s: float | None = quantity(s, None, gt=0, doc="time of one operating point")
    vertical: Stack | None = None

    @model_validator(mode="after")
    def _buildable(self):
        if self.vertical is not None and self.vertical.word_lines == "planes":
            raise PathError("vertical.word_lines", "must be combs in a resistive network, got planes: these have one input for a layer")
        try:
            self.pair(1, 0, 0)
        except ValueError as error:
            field, _, rule = str(error).partition(" ")
            raise PathError({"diodes.low": "low_V"}.get(field, field.removeprefix("diodes.")), rule) from None
        return self

    def pair(self, nodes: int, layer: int, seed: int) -> DiodePair:
        """The diodes of a hidden layer, each node's own where they are spread."""
        spread = self._spread(self.diode_spread, nodes, seed, "diodes", layer)
        low, high = self.low_V * spread, self.high_V * spread
        if self.mirrored:
            turned, own = torch.arange(nodes) >= (nodes + 1) // 2, torch.ones(nodes, dtype=getattr(torch, self.precision))
            low, high = torch.where(turned, -own * high, own * low), torch.where(turned, -own * low, own * high)
        bounds: dict[str, Any] = {"low": low, "high": high}
        if self.diodes == "ideal":
            return Ideal(**bounds)
        if self.diodes == "piecewise-linear":
            return PiecewiseLinear(**bounds, volts=self.volts, amperes=self.amperes)
        own = self._spread(self.diode_spread, nodes, seed, "saturation", layer)
        return Shockley(**bounds, saturation=self.saturation_A * own, ideality=self.ideality)

    def gains(self, nodes: int, layer: int, seed: int) -> Any:
        """Gains of the amplifiers of a hidden layer."""
        return self.gain * self._spread(self.gain_spread, nodes, seed, "gain", layer)

    def offsets(self, nodes: int, layer: int, seed: int) -> Any:
        """Offsets of the amplifiers of a hidden layer, V."""
        return self.offset_spread_V * _normal(seed, (nodes,), "offset", layer) if self.offset_spread_V else 0.0

    def _spread(self, sigma: float, nodes: int, seed: int, *names: str | int) -> Any:
        """1 + sigma z for each node, at least .05; the number 1 where there is no spread."""
        if not sigma:
            return 1.0
        return (1 + sigma * _normal(seed, (nodes,), *names)).clamp_(min=_LEAST).to(getattr(torch, self.precision))


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
        parts = (design.cell, design.array, design.periphery)
        if self.rule.arrays():
            names = [f"crossbar {k + 1}" for k in range(len(shapes))]
            self.matrices = {
                name: AnalogMatrix(device, *parts, *shape, seeds=(seed,), names=(name,)) for name, shape in zip(names, shapes, strict=True)
            }
            self._program(float(np.mean(design.cell.weight_max)), float(np.mean(device.mid_range)), float(np.mean(device.half_range)))
        self.rule_state = {name: torch.zeros((), dtype=torch.int64) for name in ("updates", "sources", "reads")}
        self._ledger = {name: torch.zeros((), dtype=torch.float64) for name in ("settles", "source_drives", "dissipated_W")}

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
        return (1 + sigma * _normal(self.seed, shape, "conductance", k)).clamp_(min=_LEAST).to(self.dtype) if sigma else None

    def _program(self, weight_max: float, mid: float, half: float) -> None:
        """Write the first conductances into the devices, and see what they became."""
        for k, matrix in enumerate(self.matrices.values()):
            g = self.conductances[k].double()
            state = (g - self.inverted[k].double()) / (2 * half) if self.paired else (g - mid) / half
            matrix.program((weight_max * state).float()[None])
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

    def read(self, settled):
        return self._noisy(super().read(settled), self.record.readout_noise_V, "reads")

    def _noisy(self, volts: torch.Tensor, sigma: float, name: str) -> torch.Tensor:
        """With normal noise, new at each call."""
        if not sigma:
            return volts
        z = _normal(self.seed, tuple(volts.shape), name, step=int(self.rule_state[name]))
        self.rule_state[name] += 1
        return volts + sigma * z.to(volts.dtype)

    def relax(self, driven, fixed, injected=None, start=None):
        settled = super().relax(driven, fixed, injected, start)
        points, lines = len(settled.outputs), self.lines(driven)
        power = 0.0
        for k in range(points // len(driven)):
            nodes = [u[k * len(driven) : (k + 1) * len(driven)] for u in settled.nodes]
            power += float(self.circuit().dissipation(lines, fixed, nodes).sum())
        for total, amount in zip(self._ledger.values(), (points, points * lines.shape[1], power), strict=True):
            total += amount
        return settled

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Differences of the outputs as they are read, V, (B, outputs)."""
        driven = self.inputs(x)
        return self.read(self.relax(driven, self.forced(driven)))

    def learn_from(self, x: torch.Tensor, labels: torch.Tensor, lr: float) -> torch.Tensor:
        """One step of the rule on samples (B, inputs) and labels (B,); returns the mean cost before."""
        target = self.rule.target_V * torch.nn.functional.one_hot(labels, self.conductances[-1].shape[1] // 2).to(self.dtype)
        return self.rule.step(self, x, target, lr)

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
        settles, drives, watts = (float(v) for v in self._ledger.values())
        circuit = Counts(settles=int(settles), source_drives=int(drives), dissipated_W=watts, settle_s=settles * self.settle_s)
        circuit.add(amplified=int(settles) * sum(g.shape[1] for g in self.conductances[:-1]))
        return {name: Counts() for name in self.shapes} | super().counts | {"circuit": circuit}

    @property
    def settle_s(self) -> float:
        """Time of one operating point, s: as the circuit says, or until its slowest mode has .1 % of its way left."""
        return self.record.settle_s or _SETTLED * slowest(self.circuit(), self.record.node_F)

    @property
    def sample_s(self):
        return self.rule.phases * self.settle_s

    def notes(self):
        told = ["circuits settle at once: energy is their power at the operating point times the time of their slowest mode"]
        if self.record.vertical is not None:
            told.append("wires of three-dimensional arrays drop voltage; their area and their capacitances are not counted")
        return told

    def get_extra_state(self):
        saved = super().get_extra_state()
        kept = {"ledger": self._ledger, "rule": self.rule_state}
        return saved | {what: {n: t.clone() for n, t in own.items()} for what, own in kept.items()}

    def set_extra_state(self, state):
        super().set_extra_state(state)
        for name, tensor in state["ledger"].items():
            self._ledger[name].copy_(tensor)
        if self.matrices:
            self._take()


def _arrays(design: Any, nodes: Sequence[int]) -> list[Wires | Vertical] | None:
    """What each crossbar stands in where lines drop voltage: one array, planar or three-dimensional."""
    stack, array, shapes = design.network.circuit.vertical, design.array, list(itertools.pairwise(nodes))
    if stack is None and (array.wires is None or array.wires.ideal):
        return None
    if design.network.circuit.precision != "float64":
        raise PathError("network.circuit.precision", "must be float64 where lines drop voltage, got float32")
    if design.network.circuit.gain_spread or design.network.circuit.diodes == "ideal":
        raise PathError("network.circuit.gain_spread", "must be 0, and diodes not ideal, where lines drop voltage in a resistive network")
    if stack is not None:
        return [stack.holding(*shape) for shape in shapes]
    for rows, columns in shapes:
        if rows > array.rows or columns > array.cols:
            raise PathError("array.rows", f"x cols must be at least {rows} x {columns} with wires, got {array.rows} x {array.cols}")
    return [array.wires] * len(shapes)


def _normal(seed: int, shape: tuple[int, ...], *names: str | int, step: int = 0) -> torch.Tensor:
    return rng.normal(rng.stream_keys((seed,), "end-to-end", *names), step, shape)[0].double()


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
