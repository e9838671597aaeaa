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

import numpy as np
import torch
from torch import nn

from aimco import rng
from aimco.circuit import adjoint
from aimco.circuit.elements import DiodePair, Shockley
from aimco.circuit.network import Layered, Settled
from aimco.kernels import circuits
from aimco.record import InputError

_DIODES = Shockley()
_START = 2.8  # initial conductances reach this over the root of a crossbar's rows and columns, in units (Kendall 2020)


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
class Doubled:
    """What is summed over samples at a crossbar driven by x, -x and 1: common + scale x^T d in the rows of x, and so on.

    Args:
        common: (columns,). product: x^T d, (inputs, columns). bias: sum of d, (columns,).
    """

    common: torch.Tensor
    product: torch.Tensor
    bias: torch.Tensor
    scale: float

    def whole(self) -> torch.Tensor:
        """For each device, (2 inputs + 1, columns)."""
        return self.common + self.scale * torch.cat((self.product, -self.product, self.bias[None]))


@dataclass(frozen=True)
class _Made:
    """The circuit of conductances as they were at `stamp`, and G+ - G- of its doubled inputs."""

    stamp: tuple[int, ...]
    circuit: Layered
    difference: torch.Tensor


class Resistive(nn.Module):
    """A resistive network as a torch module: y = differences of its output voltages, V.

    Args:
        sizes: inputs, hidden nodes of each layer, outputs; the circuit has 2 inputs + 1 sources and 2 outputs output nodes.
        diodes, gain, offset: as in `aimco.circuit.network.Layered`.
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
        self.unit, self.g_min, self.g_max, self.dtype = unit, g_min, g_max, dtype
        nodes = [2 * sizes[0] + 1, *sizes[1:-1], 2 * sizes[-1]]
        self.conductances = nn.ParameterList(
            nn.Parameter(self._first(rows, columns, seed, k)) for k, (rows, columns) in enumerate(itertools.pairwise(nodes))
        )
        self._made: _Made | None = None

    def _first(self, rows: int, columns: int, seed: int, k: int) -> torch.Tensor:
        draws = rng.uniform(rng.stream_keys((seed,), "resistive", k), 0, rows * columns)[0]
        top = min(_START * self.unit / math.sqrt(rows + columns), self.g_max)
        return (self.g_min + (top - self.g_min) * torch.from_numpy(draws)).to(self.dtype).reshape(rows, columns)

    def circuit(self) -> Layered:
        """The circuit with its present conductances; made again only when they changed."""
        return self._present().circuit

    def _present(self) -> _Made:
        stamp = self._stamp()
        if self._made is None or self._made.stamp != stamp:
            crossbars = [g.detach() for g in self._crossbars]
            half = len(crossbars[0]) // 2
            difference = crossbars[0][:half] - crossbars[0][half : 2 * half]
            self._made = _Made(stamp, Layered(crossbars, self.diodes, self.gain, self.offset), difference)
        return self._made

    def _stamp(self) -> tuple[int, ...]:
        return tuple(g._version for g in self._crossbars)

    @property
    def _crossbars(self) -> list[torch.Tensor]:
        return [g for g in self.conductances._parameters.values() if g is not None]  # the list itself takes 5 us for each of its elements

    def sources(self, x: torch.Tensor) -> torch.Tensor:
        """Voltages at the inputs: x, -x and the bias of 1 V, (B, 2 inputs + 1)."""
        return doubled(self.inputs(x))

    def inputs(self, x: torch.Tensor) -> torch.Tensor:
        """x as it drives the circuit, (B, inputs)."""
        return x.flatten(1).to(self.dtype)

    def forced(self, x: torch.Tensor) -> torch.Tensor:
        """`Layered.forced` of the sources, as one product of x with G+ - G-, A, (B, nodes)."""
        made = self._present()
        return torch.addmm(made.circuit.conductances[0][-1], self.inputs(x), made.difference)

    @staticmethod
    def read(settled: Settled) -> torch.Tensor:
        """Differences of the two nodes of each output, V, (B, outputs)."""
        return _difference(settled.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _difference(_Settle.apply(self.sources(x), self, *self.conductances))

    @torch.no_grad()
    def learn(self, first: Doubled, others: Sequence[torch.Tensor], steps: Sequence[float]) -> None:
        """G <- G - step x slope of each crossbar, within the window of the devices; steps in S^2/V^2."""
        made, crossbars = self._present(), self._crossbars
        for g, slope, step in zip(crossbars[1:], others, steps[1:], strict=True):
            g.sub_(slope, alpha=step).clamp_(self.g_min, self.g_max)
        if crossbars[0].is_cpu and crossbars[0].is_contiguous():
            self._learn_compiled(first, steps[0], made)
        else:
            crossbars[0].sub_(first.whole(), alpha=steps[0]).clamp_(self.g_min, self.g_max)

    def _learn_compiled(self, first: Doubled, step: float, made: _Made) -> None:
        """The same in one pass over the first crossbar, which also finds the sums of its columns and G+ - G-."""
        sums = np.empty((circuits.BLOCKS, first.product.shape[1]))
        g, difference, product = (v.numpy() for v in (made.circuit.conductances[0], made.difference, first.product))
        common, bias = (v.double().numpy() for v in (first.common, first.bias))
        circuits.learn_doubled(g, difference, product, common, bias, step, step * first.scale, self.g_min, self.g_max, sums)
        torch.autograd.graph.increment_version(self._crossbars[0])
        into = torch.from_numpy(np.add.reduce(sums)).to(self.dtype)
        self._made = _Made(self._stamp(), made.circuit.reprogrammed(into), made.difference)

    @torch.no_grad()
    def window(self) -> None:
        """Keep the conductances within what the devices have."""
        for g in self.conductances:
            g.clamp_(self.g_min, self.g_max)


def doubled(x: torch.Tensor) -> torch.Tensor:
    """x, -x and a bias of 1, (B, 2 inputs + 1)."""
    return torch.cat((x, -x, torch.ones(len(x), 1, dtype=x.dtype, device=x.device)), 1)


def _difference(outputs: torch.Tensor) -> torch.Tensor:
    half = outputs.shape[1] // 2
    return outputs[:, :half] - outputs[:, half:]
