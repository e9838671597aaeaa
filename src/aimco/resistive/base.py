"""End-to-end analog networks: crossbars, diodes and amplifiers from the sources at the inputs to the voltages at the outputs.

Every number has two signs on two lines: an input x is driven as +x and -x, and an output is the difference of two nodes, since
conductances are positive. One more line carries a bias. There is no converter between layers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from aimco import rng
from aimco.arrays.doors import finite
from aimco.arrays.ports import multiport
from aimco.arrays.vertical import Vertical
from aimco.arrays.wires import Wires
from aimco.circuit import adjoint, compiled
from aimco.circuit.elements import DiodePair, Shockley
from aimco.circuit.network import Layered
from aimco.circuit.ported import Ported
from aimco.circuit.settled import Settled
from aimco.nn.layers import Arrays
from aimco.record import InputError

_DIODES = Shockley()
START = 2.8  # initial conductances reach this over the root of a crossbar's rows and columns, in units (Kendall 2020)


class _Settle(torch.autograd.Function):
    """Output voltages; backward is the adjoint of the circuit."""

    @staticmethod
    def forward(ctx, sources, network, *conductances):
        ctx.circuit = network.circuit()
        ctx.settled = ctx.circuit.settle(sources, tolerance=network.tolerance)
        ctx.save_for_backward(sources)
        return ctx.settled.outputs.clone()

    @staticmethod
    def backward(ctx, at_outputs):
        (sources,) = ctx.saved_tensors
        slopes, at_sources = adjoint.gradients(ctx.circuit, sources, ctx.settled, at_outputs)
        return at_sources, None, *slopes


@dataclass(frozen=True)
class Slopes:
    """dC/dG summed over samples, V^2/S. Of the first crossbar: common + scale x^T d in the rows of x, common - scale x^T d in those of -x.

    Args:
        common: (columns,). x: (B, inputs). move: d, (B, columns). bias: of the row of the bias, as one of x^T d, (columns,).
        others: of the crossbars that follow. inverted: of the devices on their inverted lines, where they have such.
    """

    common: torch.Tensor
    x: torch.Tensor
    move: torch.Tensor
    bias: torch.Tensor
    scale: float
    others: list[torch.Tensor]
    inverted: list[torch.Tensor]

    @property
    def product(self) -> torch.Tensor:
        """x^T d, (inputs, columns)."""
        return self.x.T @ self.move.to(self.x.dtype)

    def each(self) -> list[torch.Tensor]:
        """Of each crossbar, then of the devices on inverted lines."""
        if not self.inverted:
            product = self.product
            rows = torch.cat((product, -product, self.bias[None]))
            return [self.common + self.scale * rows, *self.others]
        rows = self.scale * torch.cat((self.product, self.bias[None]))
        return [self.common + rows, *self.others, self.common - rows, *self.inverted]


@dataclass(frozen=True)
class Each:
    """The same of every device by itself, of each crossbar, then of the devices on inverted lines."""

    slopes: list[torch.Tensor]

    def each(self) -> list[torch.Tensor]:
        """As `Slopes.each`."""
        return self.slopes


@dataclass(frozen=True)
class _Made:
    """The circuit of the conductances as they were at `stamp`.

    Args:
        difference: what inputs x weigh by, G+ - G-, S, (inputs, nodes). taken: what x^2 and then the bias weigh by in its power, S,
            (inputs + 1,), where it is compiled.
    """

    stamp: tuple[tuple[int, int], ...]
    circuit: Layered
    difference: torch.Tensor
    taken: torch.Tensor


@dataclass(frozen=True)
class Phases:
    """What inputs x settled to: free, and nudged towards and away from the target. `away` is the free state when one-sided.

    Args:
        error: of the free outputs, V, (B, outputs). span: of the nudges, S.
        bias_V: of the line of the bias. lines: voltages of all lines at the inputs, where a circuit has to know them.
    """

    x: torch.Tensor
    error: torch.Tensor
    free: Settled
    towards: Settled
    away: Settled
    span: float
    bias_V: float
    lines: torch.Tensor | None = None


class Resistive(Arrays):
    """A resistive network as a torch module: y = differences of its output voltages, V.

    Args:
        sizes: inputs, hidden nodes of each layer, outputs; the circuit has 2 inputs + 1 sources and 2 outputs output nodes.
        diodes, gain, offset: as in `aimco.circuit.network.Layered`.
        paired: each crossing has two devices, one on the line of its row and one on the inverted line; inputs are then not doubled.
        unit: conductance that weights are counted in, S. g_min, g_max: window of the devices, S.
        seed: of the initial conductances, uniform from g_min to 2.8 unit/sqrt(rows + columns). tolerance: of every voltage, V.
        dtype: float64 unless told. arrays: what each crossbar stands in: a planar array with wires, a three-dimensional one, or None.

    Example:
        >>> network = Resistive([4, 6, 2])
        >>> network(torch.rand(3, 4)).shape
        torch.Size([3, 2])
    """

    bias_V = 1.0  # what drives the line of the bias

    def __init__(
        self,
        sizes: Sequence[int],
        diodes: DiodePair | Sequence[DiodePair] = _DIODES,
        gain: Any = 4.0,
        offset: Any = 0.0,
        *,
        paired: bool = False,
        unit: float = 1e-4,
        g_min: float = 1e-11,
        g_max: float = math.inf,
        seed: int = 0,
        tolerance: float = 1e-6,
        dtype: torch.dtype = torch.float64,
        arrays: Sequence[Wires | Vertical | None] | None = None,
    ) -> None:
        super().__init__()
        if len(sizes) < 3:
            raise InputError(f"sizes must be inputs, at least one hidden layer and outputs, got {list(sizes)}")
        if not 0 < g_min < g_max:
            raise InputError(f"g_min must be above 0 and below g_max, got {g_min:g} and {g_max:g} S")
        self.diodes, self.gain, self.offset, self.tolerance = diodes, gain, offset, tolerance
        self.paired, self.g_min, self.g_max, self.dtype, self.matrices, self.rule_state = paired, g_min, g_max, dtype, {}, {}
        nodes = [sizes[0] + 1 if paired else 2 * sizes[0] + 1, *sizes[1:-1], 2 * sizes[-1]]
        self.units, self.arrays = [unit] * (len(nodes) - 1), None if arrays is None else list(arrays)
        if self.arrays is not None and (len(self.arrays) != len(nodes) - 1 or dtype != torch.float64):
            raise InputError(
                f"arrays must be one or None for each of {len(nodes) - 1} crossbars in float64, got {len(self.arrays)}, {dtype}"
            )
        shapes = list(enumerate(itertools.pairwise(nodes)))
        self.conductances = nn.ParameterList(nn.Parameter(self._first(*shape, seed, k)) for k, shape in shapes)
        again = shapes if paired else []
        self.inverted = nn.ParameterList(nn.Parameter(self._first(*shape, seed, k, "inverted")) for k, shape in again)
        self._made: _Made | None = None

    def _first(self, rows: int, columns: int, seed: int, *names: str | int) -> torch.Tensor:
        draws = rng.uniform(rng.stream_keys((seed,), "resistive", *names), 0, rows * columns)[0]
        top = min(START * self.units[0] / math.sqrt(rows + columns), self.g_max)
        return (self.g_min + (top - self.g_min) * torch.from_numpy(draws)).to(self.dtype).reshape(rows, columns)

    def circuit(self) -> Layered:
        """The circuit with its present conductances; made again only when they changed."""
        return self._present().circuit

    def _present(self) -> _Made:
        stamp = self._stamp()
        if self._made is None or self._made.stamp != stamp:
            circuit = self._layered()
            first = circuit.conductances[0]
            half = len(first) // 2
            taken = circuit.out_of_sources.double() if circuit.compiled else torch.empty(0)
            if circuit.compiled and not self.paired:
                taken = torch.cat((taken[:half] + taken[half:-1], taken[-1:]))
            self._made = _Made(stamp, circuit, first[:-1] if self.paired else first[:half] - first[half : 2 * half], taken)
        return self._made

    def _layered(self) -> Layered:
        plus, inverted = self.seen()
        if self.arrays is None:
            return Layered(plus, self.diodes, self.gain, self.offset, inverted=inverted)
        ported, mirrored = ([multiport(g, made) for g, made in zip(own or [], self.arrays, strict=False)] for own in (plus, inverted))
        return Ported(ported, self.diodes, self.gain, self.offset, inverted=mirrored)

    def seen(self) -> tuple[list[torch.Tensor], list[torch.Tensor] | None]:
        """Conductances as they are in the circuit, S, and those on inverted lines."""
        held = [g.detach() for g in self._held]
        layers = len(held) // (1 + self.paired)
        return held[:layers], held[layers:] or None

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        return tuple((g.data_ptr(), g._version) for g in self._held)

    @property
    def _held(self) -> list[torch.Tensor]:
        lists = (self.conductances, self.inverted)  # whose own iterators take 5 us for each element
        return [g for own in lists for g in own._parameters.values() if g is not None]

    def inputs(self, x: torch.Tensor) -> torch.Tensor:
        """x as it drives the circuit, V, (B, inputs)."""
        return finite("a resistive network", "inputs", x.flatten(1).to(self.dtype))

    def lines(self, driven: torch.Tensor) -> torch.Tensor:
        """Voltages of all lines for the inputs, V: x, -x and the bias, (B, 2 inputs + 1); x and bias where each has an inverted line."""
        bias = torch.full((len(driven), 1), self.bias_V, dtype=driven.dtype, device=driven.device)
        return torch.cat((driven, bias) if self.paired else (driven, -driven, bias), 1)

    def sources(self, x: torch.Tensor) -> torch.Tensor:
        """Voltages of all lines for samples x, V."""
        return self.lines(self.inputs(x))

    def forced(self, driven: torch.Tensor) -> torch.Tensor:
        """`Layered.forced` of the lines, as one product of the inputs with what they weigh by, A, (B, nodes).

        Summed in double precision where that is what voltages are found in: their differences ask for more digits than conductances do.
        """
        made = self._present()
        common = self.bias_V * made.circuit.conductances[0][-1]
        if made.circuit.compiled:
            return compiled.drive(driven, made.difference, common)
        return torch.addmm(common, driven, made.difference)

    def relax(
        self, driven: torch.Tensor, fixed: torch.Tensor, injected: torch.Tensor | None = None, start: Settled | None = None
    ) -> Settled:
        """Operating points for inputs that force the currents `fixed`; see `aimco.circuit.network.Layered.relax`."""
        return self.circuit().relax(fixed, injected, start=start, tolerance=self.tolerance)

    def phases(self, x: torch.Tensor, target: torch.Tensor, beta: float, *, centred: bool = True) -> Phases:
        """Operating points of inputs x (B, inputs), V: free, and nudged by beta (S) per error towards target (B, outputs), V, and away."""
        self._check_target(x, target)
        fixed, span = self.forced(x), (4 if centred else 2) * beta
        free = self.relax(x, fixed)
        error = self.read(free) - target
        nudge = beta * torch.cat((-error, error), 1)
        nudged = self.relax(x, fixed, torch.cat((nudge, -nudge)) if centred else nudge, free)
        towards, away = nudged.phases(2) if centred else (nudged, free)
        return Phases(x, error, free, towards, away, span, self.bias_V, self.lines(x) if isinstance(self.circuit(), Ported) else None)

    def _check_target(self, x: torch.Tensor, target: torch.Tensor) -> None:
        if target.shape != (asked := (len(x), self.conductances[-1].shape[1] // 2)):
            raise InputError(f"target must be {asked} voltages, got {tuple(target.shape)}")
        finite("a resistive network", "target", target)

    def of_sources(self, driven: torch.Tensor) -> float:
        """What the sources' own voltages squared take of the power of a batch, W: sum g p^2. Known where descent is compiled."""
        taken = self._present().taken
        return float(driven.double().square().sum(0) @ taken[:-1] + len(driven) * self.bias_V**2 * taken[-1])

    def readout_noise(self, like: torch.Tensor) -> torch.Tensor | None:
        """Noise of reading outputs, V, (B, outputs), new at each call; there is none here."""

    def read(self, settled: Settled) -> torch.Tensor:
        """Differences of the two nodes of each output as they are read, V, (B, outputs)."""
        outputs = _difference(settled.outputs)
        noise = self.readout_noise(outputs)
        return outputs if noise is None else outputs + noise

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _difference(_Settle.apply(self.sources(x), self, *self.conductances, *self.inverted))

    @torch.no_grad()
    def learn(self, slopes: Slopes | Each, steps: Sequence[float]) -> None:
        """G <- G - step x slope of each crossbar, within the window of the devices; steps in S^2/V^2."""
        for k, (g, slope) in enumerate(zip(self._held, slopes.each(), strict=True)):
            g.sub_(slope.to(g.dtype), alpha=steps[k % len(steps)]).clamp_(self.g_min, self.g_max)

    @property
    def at_once(self) -> bool:
        """Whether `learn_at_once` applies: compiled descent, of conductances as they are held, and lines of one sign.

        A subclass with its own `relax`, `read` or `learn` says False.
        """
        circuit, held = self.circuit(), self.conductances[0]
        return circuit.compiled is not None and not self.paired and circuit.conductances[0].data_ptr() == held.data_ptr()

    @torch.no_grad()
    def learn_at_once(
        self, x: torch.Tensor, target: torch.Tensor, beta: float, steps: Sequence[float], *, centred: bool = True
    ) -> compiled.Learned:
        """`phases` of inputs x and `learn` of what they tell, to rounding, in compiled code."""
        self._check_target(x, target)
        made, self._made = self._present(), None  # whatever stops it: conductances are looked at anew
        batch = compiled.Batch(x, self.bias_V, target, self.readout_noise(target), beta, 1 + centred, self.tolerance)
        learned = compiled.step(made.circuit, made.difference, batch, steps, (self.g_min, self.g_max))
        for held in self._held:
            torch.autograd.graph.increment_version(held)
        circuit = made.circuit.reprogrammed(learned.into, learned.state)
        self._made = _Made(self._stamp(), circuit, made.difference, learned.taken)
        return learned


def _difference(outputs: torch.Tensor) -> torch.Tensor:
    half = outputs.shape[1] // 2
    return outputs[:, :half] - outputs[:, half:]
