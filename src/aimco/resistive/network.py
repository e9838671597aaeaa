"""Resistive networks: crossbars, diodes and amplifiers as one circuit, from the sources at the inputs to the voltages at the outputs.

Every number has two signs on two lines: an input x is driven as +x and -x, and an output is the difference of two nodes, since
conductances are positive. One more line carries a bias. There is no converter between layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import nn

from aimco.arrays.doors import finite
from aimco.arrays.ports import crossbar_ports
from aimco.arrays.spec import Blueprint
from aimco.arrays.vertical import VerticalWires
from aimco.circuit import local_step
from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.operating_point import OperatingPoint
from aimco.circuit.port_reduction import PortReducedCircuit
from aimco.circuit.solvers import solve_forced
from aimco.ledger import Counts
from aimco.nn.layers import Arrays
from aimco.record import InputError
from aimco.resistive.autograd import Outputs
from aimco.resistive.devices import DeviceArrays
from aimco.resistive.meter import Meter
from aimco.resistive.parts import Parts, designed_conductances, first_conductances, parts_of
from aimco.resistive.phases import Phases, Slopes
from aimco.resistive.present import Present, Stamp
from aimco.resistive.record import LEAST, normal, uniform

_PARTS = Parts()


class ResistiveNetwork(Arrays):
    """A resistive network as a torch module: y = differences of its output voltages, V, with the adjoint as backward.

    It may stand alone, or be built from a design (`of_design`): then devices in arrays may hold its conductances, and it counts its
    operating points, their power and their time.

    Args:
        sizes: Inputs, hidden nodes of each layer, outputs; the circuit has 2 inputs + 1 sources and 2 outputs output nodes.
        parts: Diodes, amplifiers, noise, arrays and the window of the conductances.
        seed: Of the first conductances, of spread and of noise.
        conductances: The first ones, S: of each crossbar, then of the devices on inverted lines; `first_conductances` when absent.
        devices: Arrays of devices that hold the conductances; without them any change is exact.
        meter: Ledger of the operating points; without it they are not counted.

    Raises:
        InputError: No hidden layer; arrays that are not one for each crossbar, or not in float64.

    Example:
        >>> network = ResistiveNetwork([4, 6, 2])
        >>> network(torch.rand(3, 4)).shape
        torch.Size([3, 2])
    """

    design: Blueprint | None = None  # that it was built from, whose rule it learns by

    def __init__(
        self,
        sizes: Sequence[int],
        parts: Parts = _PARTS,
        *,
        seed: int = 0,
        conductances: Sequence[torch.Tensor] | None = None,
        devices: DeviceArrays | None = None,
        meter: Meter | None = None,
    ) -> None:
        super().__init__()
        shapes = parts.shapes(sizes)
        self.parts, self.seed, self.devices, self.meter = parts, seed, devices, meter
        self.outputs = sizes[-1]
        first, number = conductances or first_conductances(parts, shapes, seed), len(shapes)
        self.conductances = nn.ParameterList(nn.Parameter(g) for g in first[:number])
        self.inverted = nn.ParameterList(nn.Parameter(g) for g in first[number:])
        self.units = [parts.unit] * number if isinstance(parts.unit, float | int) else list(parts.unit)
        self._spread = [self._spread_of(k, shape) for k, shape in enumerate(shapes * (1 + parts.paired))]
        self.rule_state = {name: torch.zeros((), dtype=torch.int64) for name in ("updates", "sources", "reads")}
        self.matrices = {} if devices is None else devices.matrices
        self._cache: Present | None = None
        if devices is not None:
            self.written = devices.program(self._held)
            devices.copy_into(self._held)

    @classmethod
    def of_design(cls, design: Blueprint, inputs: int, outputs: int, seed: int = 0) -> Self:
        """The network of a design: of its circuit, with its devices, and a ledger.

        A cell of one device makes one conductance: inputs are driven as +x and -x, and a bias line. A cell of a pair stands between a
        line and its inverse, and weighs by the difference of its devices. Under ideal moves there are no devices, only their window.
        Where lines drop voltage (`array.wires`, or `network.circuit.vertical`) each crossbar is one array.

        Args:
            design: An `aimco.Design` with a resistive network.
            inputs: Of the task.
            outputs: Of the task.
            seed: Of devices, parts and noise.

        Raises:
            PathError: A field that does not go with wires, or an array that is too small.
        """
        record, sizes = design.network.circuit, [inputs, *design.network.hidden, outputs]
        parts = parts_of(design, sizes, seed)
        shapes = parts.shapes(sizes)
        network = cls(
            sizes,
            parts,
            seed=seed,
            conductances=designed_conductances(parts, record, shapes, seed),
            devices=DeviceArrays(design, shapes, seed) if design.rule.arrays() else None,
            meter=Meter(record.node_F, record.settle_s),
        )
        network.design = design
        return network

    def _spread_of(self, k: int, shape: tuple[int, int]) -> torch.Tensor | None:
        """Factors of the conductances that devices have in the circuit."""
        sigma = self.parts.conductance_spread
        return (1 + sigma * normal(self.seed, shape, "conductance", k)).clamp_(min=LEAST).to(self.parts.dtype) if sigma else None

    @property
    def rule(self) -> Any:
        """The learning rule of its design.

        Raises:
            InputError: The network was not built from a design.
        """
        if self.design is None:
            raise InputError("a resistive network without a design has no rule; use the step of a rule, as of Equilibrium()")
        return self.design.rule

    def circuit(self) -> ResistiveCircuit:
        """The circuit with its present conductances; built again only when they changed."""
        return self._present().circuit

    def _present(self) -> Present:
        stamp = self._stamp()
        if self._cache is None or self._cache.stamp != stamp:
            self._cache = Present.of(stamp, self._circuit(), self.parts.paired)
        return self._cache

    def _circuit(self) -> ResistiveCircuit:
        plus, inverted = self.effective_conductances()
        parts = self.parts
        if parts.arrays is None:
            return ResistiveCircuit(plus, parts.diodes, parts.gain, parts.offset, inverted=inverted)
        ports, mirrored = (
            [crossbar_ports(g, array) for g, array in zip(side or [], parts.arrays, strict=False)] for side in (plus, inverted)
        )
        return PortReducedCircuit(ports, parts.diodes, parts.gain, parts.offset, inverted=mirrored)

    def effective_conductances(self) -> tuple[list[torch.Tensor], list[torch.Tensor] | None]:
        """Conductances as they are in the circuit, S, and those on inverted lines."""
        conductances = [g.detach() for g in self._effective()]
        layers = len(self.conductances)
        return conductances[:layers], conductances[layers:] or None

    def _effective(self) -> list[torch.Tensor]:
        return [g if factor is None else g * factor for g, factor in zip(self._held, self._spread, strict=True)]

    def _stamp(self) -> Stamp:
        return tuple((g.data_ptr(), g._version) for g in self._held)

    @property
    def _held(self) -> list[torch.Tensor]:
        lists = (self.conductances, self.inverted)  # whose own iterators take 5 us for each element
        return [g for parameters in lists for g in parameters._parameters.values() if g is not None]

    def inputs(self, x: torch.Tensor) -> torch.Tensor:
        """Samples x as the sources drive them, with their noise, V, (B, inputs)."""
        driven = finite("a resistive network", "inputs", x.flatten(1).to(self.parts.dtype)) * self.parts.input_V
        sigma = self.parts.source_noise_V
        return driven + self._noise(driven, sigma, "sources") if sigma else driven

    def _noise(self, like: torch.Tensor, sigma: float, name: str) -> torch.Tensor:
        """Normal noise, new at each call."""
        z = normal(self.seed, tuple(like.shape), name, step=int(self.rule_state[name]))
        self.rule_state[name] += 1
        return sigma * z.to(like.dtype)

    def lines(self, driven: torch.Tensor) -> torch.Tensor:
        """Voltages of all lines for the inputs, V: x, -x and the bias, (B, 2 inputs + 1); x and bias where each has an inverted line."""
        bias = torch.full((len(driven), 1), self.parts.input_V, dtype=driven.dtype, device=driven.device)
        return torch.cat((driven, bias) if self.parts.paired else (driven, -driven, bias), 1)

    def sources(self, x: torch.Tensor) -> torch.Tensor:
        """Voltages of all lines for samples x, V."""
        return self.lines(self.inputs(x))

    def forced(self, driven: torch.Tensor) -> torch.Tensor:
        """`ResistiveCircuit.forced` of the lines, as one product of the inputs with G+ - G-, A, (B, nodes).

        Summed in double precision where that is what voltages are solved in: their differences ask for more digits than conductances do.
        """
        present = self._present()
        common = self.parts.input_V * present.circuit.conductances[0][-1]
        if present.circuit.program:
            return local_step.forced(driven, present.difference, common)
        return torch.addmm(common, driven, present.difference)

    def solve(
        self, driven: torch.Tensor, forced: torch.Tensor, injected: torch.Tensor | None = None, start: OperatingPoint | None = None
    ) -> OperatingPoint:
        """Operating points of inputs, counted where there is a meter.

        Args:
            driven: Voltages of the inputs, V, (B, inputs).
            forced: The currents that they force, A, (B, nodes).
            injected: As in `aimco.circuit.solvers.solve_forced`.
            start: As there.
        """
        circuit = self.circuit()
        if self.meter is not None:
            self.meter.watch(circuit)
        point = solve_forced(circuit, forced, injected, start=start, tolerance=self.parts.tolerance)
        if self.meter is not None:
            self.meter.add(len(point.outputs), self.conductances[0].shape[0], self._power(circuit, driven, forced, point))
        return point

    def _power(self, circuit: ResistiveCircuit, driven: torch.Tensor, forced: torch.Tensor, point: OperatingPoint) -> float:
        """Power of the operating points of all phases, W."""
        phases = len(point.outputs) // len(driven)
        if point.power is not None:
            return float(point.power.sum()) + phases * self.source_power(driven)
        lines = self.lines(driven)
        return sum(float(circuit.dissipation(lines, forced, phase.nodes).sum()) for phase in point.phases(phases))

    def source_power(self, driven: torch.Tensor) -> float:
        """The part of the sources' own voltages squared in the power of a batch, W: sum g p^2. Known where descent is compiled."""
        weights = self._present().out_of_sources
        return float(driven.double().square().sum(0) @ weights[:-1] + len(driven) * self.parts.input_V**2 * weights[-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Differences of the outputs as they are read, V, (B, outputs)."""
        driven = self.inputs(x)
        if not torch.is_grad_enabled():
            return self.read(self.solve(driven, self.forced(driven)))
        return self._read(Outputs.apply(self.lines(driven), driven.detach(), self, *self._effective()))

    def read(self, point: OperatingPoint) -> torch.Tensor:
        """Differences of the two nodes of each output as they are read, V, (B, outputs)."""
        return self._read(point.outputs)

    def _read(self, nodes: torch.Tensor) -> torch.Tensor:
        outputs = nodes[:, : self.outputs] - nodes[:, self.outputs :]
        noise = self._readout_noise(outputs)
        return outputs if noise is None else outputs + noise

    def _readout_noise(self, like: torch.Tensor) -> torch.Tensor | None:
        return self._noise(like, self.parts.readout_noise_V, "reads") if self.parts.readout_noise_V else None

    def phases(self, driven: torch.Tensor, target: torch.Tensor, beta: float, *, centred: bool = True) -> Phases:
        """Operating points of a batch: free, and nudged towards the target and away from it.

        Args:
            driven: Voltages of the inputs, V, (B, inputs).
            target: Wanted of the outputs, V, (B, outputs).
            beta: Nudging current per error, S.
            centred: Nudge both ways; else towards the target only.

        Raises:
            InputError: A target of another shape, or not finite.
            RuntimeError: A sample did not converge.
        """
        self._check_target(driven, target)
        forced, span = self.forced(driven), (4 if centred else 2) * beta
        free = self.solve(driven, forced)
        error = self.read(free) - target
        nudge = beta * torch.cat((-error, error), 1)
        nudged = self.solve(driven, forced, torch.cat((nudge, -nudge)) if centred else nudge, free)
        towards, away = nudged.phases(2) if centred else (nudged, free)
        lines = self.lines(driven) if self.circuit().wired else None
        return Phases(driven, error, free, towards, away, span, self.parts.input_V, lines)

    def _check_target(self, driven: torch.Tensor, target: torch.Tensor) -> None:
        if target.shape != (shape := (len(driven), self.outputs)):
            raise InputError(f"target must be {shape} voltages, got {tuple(target.shape)}")
        finite("a resistive network", "target", target)

    @torch.no_grad()
    def learn(self, slopes: Slopes, steps: Sequence[float]) -> None:
        """G <- G - step x slope of each crossbar, exactly, within the window of the devices; steps in S^2/V^2."""
        for k, (g, slope) in enumerate(zip(self._held, slopes.each(), strict=True)):
            g.sub_(slope.to(g.dtype), alpha=steps[k % len(steps)]).clamp_(self.parts.g_min, self.parts.g_max)

    @property
    def fused(self) -> bool:
        """Whether `fused_step` applies: compiled descent, of conductances as they are held, without devices and inverted lines."""
        circuit, held = self.circuit(), self.conductances[0]
        alike = circuit.conductances[0].data_ptr() == held.data_ptr()
        return self.devices is None and circuit.program is not None and not self.parts.paired and alike

    @torch.no_grad()
    def fused_step(
        self, driven: torch.Tensor, target: torch.Tensor, beta: float, steps: Sequence[float], *, centred: bool = True
    ) -> torch.Tensor:
        """`phases` of a batch and `learn` of their slopes, to rounding, in compiled code; returns the error of the outputs, V."""
        self._check_target(driven, target)
        parts, phases, power = self.parts, 2 + centred, 0.0
        if self.meter is not None:
            self.meter.watch(self.circuit())
            power = phases * self.source_power(driven)
        present, self._cache = self._present(), None  # whatever stops it: conductances are looked at anew
        batch = local_step.Batch(driven, parts.input_V, target, self._readout_noise(target), beta, 1 + centred, parts.tolerance)
        learned = local_step.learn(present.circuit, present.difference, batch, steps, (parts.g_min, parts.g_max))
        for held in self._held:
            torch.autograd.graph.increment_version(held)
        circuit = present.circuit.reprogrammed(learned.into, learned.program)
        self._cache = Present(self._stamp(), circuit, present.difference, learned.out_of_sources)
        if self.meter is not None:
            self.meter.add(phases * len(driven), self.conductances[0].shape[0], learned.power + power)
        return learned.error

    def wanted_pulses(self, slopes: Slopes, steps: Sequence[float]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """For each crossbar the pulses that would make the change of `learn`, real numbers, and uniform numbers to round them by.

        Of a pair the difference is moved, by one of its devices.
        """
        assert self.devices is not None
        every, layers, update = slopes.each(), len(steps), int(self.rule_state["updates"])
        changes = [every[k] - every[k + layers] if self.parts.paired else every[k] for k in range(layers)]
        wanted = [change.double() * (-step / self.devices.pulse_S) for change, step in zip(changes, steps, strict=True)]
        return [(pulses, uniform(self.seed, tuple(pulses.shape), "pulses", k, step=update)) for k, pulses in enumerate(wanted)]

    @torch.no_grad()
    def pulse(self, pulses: Sequence[torch.Tensor]) -> None:
        """Change the devices of each crossbar by whole numbers of pulses, those above 0 up."""
        assert self.devices is not None
        self.devices.pulse(pulses)
        self.rule_state["updates"] += 1
        self.devices.copy_into(self._held)

    def learn_from(self, x: torch.Tensor, labels: torch.Tensor, lr: float) -> torch.Tensor:
        """One step of the rule of the design on samples (B, inputs) and labels (B,); returns the mean cost before."""
        target = self.rule.target_V * torch.nn.functional.one_hot(labels, self.outputs).to(self.parts.dtype)
        return self.rule.step(self, x, target, lr)

    def elapse(self, seconds):
        super().elapse(seconds)
        if self.devices is not None:
            self.devices.copy_into(self._held)

    @property
    def analog(self):
        return self.meter is not None or self.devices is not None

    @property
    def shapes(self):
        return {f"crossbar {k + 1}": (int(g.shape[0]), int(g.shape[1])) for k, g in enumerate(self.conductances)}

    @property
    def counts(self):
        amplifiers = sum(g.shape[1] for g in self.conductances[:-1])
        circuit = {} if self.meter is None else {"circuit": self.meter.counts(amplifiers)}
        return {name: Counts() for name in self.shapes} | super().counts | circuit

    @property
    def timed(self):
        return super().timed | ({} if self.meter is None else {"circuit": {"settle_s": float(self.meter.totals["settle_s"])}})

    def notes(self, member=0):
        remarks = super().notes(member)
        if self.meter is not None:
            remarks.append("circuits settle at once: energy is their power at the operating point times the time of their slowest mode")
        if any(isinstance(array, VerticalWires) for array in self.parts.arrays or ()):
            remarks.append("wires of three-dimensional arrays drop voltage; their area and their capacitances are not counted")
        return remarks

    def get_extra_state(self):
        saved = super().get_extra_state() | {"rule": {name: number.clone() for name, number in self.rule_state.items()}}
        if self.meter is not None:
            saved["ledger"] = {name: total.clone() for name, total in self.meter.totals.items()}
        return saved

    def set_extra_state(self, state):
        super().set_extra_state(state)
        if self.meter is not None:
            self.meter.restore(state["ledger"])
        if self.devices is not None:
            self.devices.copy_into(self._held)
