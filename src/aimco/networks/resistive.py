"""End-to-end analog networks: crossbars, diodes and amplifiers from the sources at the inputs to the voltages at the outputs.

Every number has two signs on two lines: an input x is driven as +x and -x, and an output is the difference of two nodes, since
conductances are positive. One more line carries a bias. There is no converter between layers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from aimco import rng
from aimco.circuit import adjoint
from aimco.circuit.elements import DiodePair, Shockley
from aimco.circuit.network import Layered, Settled
from aimco.networks.layers import Arrays
from aimco.record import InputError

_DIODES = Shockley()
_START = 2.8  # initial conductances reach this over the root of a crossbar's rows and columns, in units (Kendall 2020)


class _Settle(torch.autograd.Function):
    """Output voltages; backward is the adjoint of the circuit."""

    @staticmethod
    def forward(ctx, sources, network, *conductances):
        ctx.circuit = network.circuit()
        ctx.settled = network.settle(sources)
        ctx.save_for_backward(sources)
        return ctx.settled.outputs.clone()

    @staticmethod
    def backward(ctx, at_outputs):
        (sources,) = ctx.saved_tensors
        slopes, at_sources = adjoint.gradients(ctx.circuit, sources, ctx.settled, at_outputs)
        return at_sources, None, *slopes


class Resistive(Arrays):
    """A resistive network as a torch module: y = differences of its output voltages, V.

    Args:
        sizes: inputs, hidden nodes of each layer, outputs; the circuit has 2 inputs + 1 sources and 2 outputs output nodes.
        diodes, gain, offset: as in `aimco.circuit.network.Layered`.
        paired: each crossing has two devices, one on the line of its row and one on the inverted line; inputs are then not doubled.
        unit: conductance that weights are counted in, S. g_min, g_max: window of the devices, S.
        seed: of the initial conductances, uniform from g_min to 2.8 unit/sqrt(rows + columns). tolerance: of every voltage, V.
        dtype: float64 unless told.

    Example:
        >>> network = Resistive([4, 6, 2])
        >>> network(torch.rand(3, 4)).shape
        torch.Size([3, 2])
    """

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
    ) -> None:
        super().__init__()
        if len(sizes) < 3:
            raise InputError(f"sizes must be inputs, at least one hidden layer and outputs, got {list(sizes)}")
        if not 0 < g_min < g_max:
            raise InputError(f"g_min must be above 0 and below g_max, got {g_min:g} and {g_max:g} S")
        self.diodes, self.gain, self.offset, self.tolerance = diodes, gain, offset, tolerance
        self.paired, self.g_min, self.g_max, self.dtype, self.matrices, self.rule_state = paired, g_min, g_max, dtype, {}, {}
        nodes = [sizes[0] + 1 if paired else 2 * sizes[0] + 1, *sizes[1:-1], 2 * sizes[-1]]
        self.units = [unit] * (len(nodes) - 1)
        shapes = list(enumerate(itertools.pairwise(nodes)))
        self.conductances = nn.ParameterList(nn.Parameter(self._first(*shape, seed, k)) for k, shape in shapes)
        again = shapes if paired else []
        self.inverted = nn.ParameterList(nn.Parameter(self._first(*shape, seed, k, "inverted")) for k, shape in again)
        self._made: tuple[tuple[int, ...], Layered] | None = None

    def _first(self, rows: int, columns: int, seed: int, *names: str | int) -> torch.Tensor:
        draws = rng.uniform(rng.stream_keys((seed,), "resistive", *names), 0, rows * columns)[0]
        top = min(_START * self.units[0] / math.sqrt(rows + columns), self.g_max)
        return (self.g_min + (top - self.g_min) * torch.from_numpy(draws)).to(self.dtype).reshape(rows, columns)

    def circuit(self) -> Layered:
        """The circuit with its present conductances; made again only when they changed."""
        stamp = tuple(g._version for g in (*self.conductances, *self.inverted))
        if self._made is None or self._made[0] != stamp:
            plus, inverted = self.seen()
            self._made = (stamp, Layered(plus, self.diodes, self.gain, self.offset, inverted=inverted))
        return self._made[1]

    def seen(self) -> tuple[list[torch.Tensor], list[torch.Tensor] | None]:
        """Conductances as they are in the circuit, S, and those on inverted lines."""
        plus, inverted = ([g.detach() for g in own] for own in (self.conductances, self.inverted))
        return plus, inverted or None

    def sources(self, x: torch.Tensor) -> torch.Tensor:
        """Voltages at the inputs, V: x, -x and a bias of 1, (B, 2 inputs + 1); or x and 1, (B, inputs + 1), where inverted lines are."""
        x = x.flatten(1).to(self.dtype)
        one = torch.ones(len(x), 1, dtype=self.dtype, device=x.device)
        return torch.cat((x, one) if self.paired else (x, -x, one), 1)

    def settle(self, sources: torch.Tensor, injected: torch.Tensor | None = None, start: Settled | None = None) -> Settled:
        """An operating point; see `aimco.circuit.network.Layered.settle`."""
        return self.circuit().settle(sources, injected, start=start, tolerance=self.tolerance)

    def read(self, settled: Settled) -> torch.Tensor:
        """Differences of the two nodes of each output, V, (B, outputs)."""
        return _difference(settled.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _difference(_Settle.apply(self.sources(x), self, *self.conductances, *self.inverted))

    @torch.no_grad()
    def move(self, wanted: Sequence[torch.Tensor], rule: Any) -> None:
        """Change conductances by what is wanted, S, within their window: those of each crossbar, then those on inverted lines."""
        for g, own in zip((*self.conductances, *self.inverted), wanted, strict=True):
            g.add_(own).clamp_(self.g_min, self.g_max)


def _difference(outputs: torch.Tensor) -> torch.Tensor:
    half = outputs.shape[1] // 2
    return outputs[:, :half] - outputs[:, half:]
