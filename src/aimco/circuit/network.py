"""Layered resistive networks: crossbars, diodes and amplifiers in turn, and their operating points.

u_l are the voltages of the nodes of layer l on the side of crossbar l, and p_l = A_l u_l + o_l what the amplifiers drive into crossbar
l + 1; p_0 are the sources. With the conductances G_l, Kirchhoff's current law at the nodes of a hidden layer is

    p_(l-1) G_l - a_l u_l - I_d(u_l) + (1/A_l) G_(l+1) (u_(l+1) - o_l) = 0,    a_l = sum_i G_l + sum_k G_(l+1)

since an amplifier of the gain A forward passes 1/A of the current back. At the outputs it is p_(L-1) G_L - a_L u_L + I = 0. Where each
layer has one gain, x_l = u_l/(A_1 ... A_(l-1)) makes it a reciprocal network of resistors and diodes, whose strictly convex content
has one minimum. Source: Kendall 2020 (arXiv 2006.01981).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any, Literal

import torch

from aimco.circuit import compiled, descent, newton
from aimco.circuit.elements import DiodePair, Ideal, Shockley
from aimco.circuit.settled import Settled
from aimco.record import InputError

Method = Literal["descent", "newton"]
_DIODES = Shockley()


class Layered:
    """A resistive network whose conductances are programmed: what solvers need of it, made once.

    Args:
        conductances: of each crossbar, S, (nodes before, nodes after), above 0 or 0; each node must have one above 0 on its input side.
        inverted: of crossbars whose lines also go with the sign turned, the devices there, S, (nodes before, nodes after): a pair then
            weighs by its difference, and loads both of its nodes by its sum. None for crossbars without.
        diodes: of the hidden layers, one pair or one for each. gain: A_l of the amplifiers, one number, or for each hidden layer a
            number or (nodes,). offset: o_l, V, likewise.

    Raises:
        InputError: negative conductance, a node that nothing is connected to, a gain of 0, shapes that do not follow each other.
    """

    def __init__(
        self,
        conductances: Sequence[torch.Tensor],
        diodes: DiodePair | Sequence[DiodePair] = _DIODES,
        gain: Any = 4.0,
        offset: Any = 0.0,
        *,
        inverted: Sequence[torch.Tensor | None] | None = None,
    ) -> None:
        self.plus = list(conductances)
        self.inverted = [None] * len(self.plus) if inverted is None else list(inverted)
        self._check_pairs()
        pairs = list(zip(self.plus, self.inverted, strict=True))
        self.conductances = [g if m is None else g - m for g, m in pairs]
        self.loads = [g if m is None else g + m for g, m in pairs]
        hidden = len(self.conductances) - 1
        self.diodes = [diodes] * hidden if isinstance(diodes, DiodePair) else list(diodes)
        self.gain, self.offset = each_layer(gain, hidden, "gain"), each_layer(offset, hidden, "offset")
        self.into = [g.sum(0) for g in self.loads]
        self._check()
        self._check_conductances(self.plus)
        first = self.conductances[0]
        self.gain = [torch.as_tensor(v, dtype=first.dtype, device=first.device) for v in self.gain]
        self.offset = [torch.as_tensor(v, dtype=first.dtype, device=first.device) for v in self.offset]

    def reprogrammed(self, into: torch.Tensor, state: compiled.State) -> Layered:
        """The same network, compiled and of no inverted lines, after its conductances were changed in place within a window above 0.

        Args:
            into: sums of the columns of the first crossbar, S. state: of the conductances as they are.
        """
        dtype = self.conductances[0].dtype
        new = copy.copy(self)
        for made in ("a", "back", "shift", "out_of_sources"):
            new.__dict__.pop(made, None)
        new.into = [into.to(dtype), torch.from_numpy(state.a).to(dtype)]
        new.compiled = state
        return new

    def _check_conductances(self, crossbars: Sequence[torch.Tensor]) -> None:
        for k, (g, into) in enumerate(zip(crossbars, self.into, strict=True)):
            least = float(g.min())
            if not least >= 0:  # NaN is not
                raise InputError(f"conductances of crossbar {k + 1} must be at least 0 S, got {least:g} S")
            if not bool(into.all()):
                node = int(torch.nonzero(into == 0)[0])
                raise InputError(f"node {node} of layer {k + 1} is floating: no conductance of crossbar {k + 1} leads to it")

    def _check_pairs(self) -> None:
        if len(self.inverted) != len(self.plus):
            raise InputError(f"inverted must be one or None for each of the {len(self.plus)} crossbars, got {len(self.inverted)}")
        for k, (g, m) in enumerate(zip(self.plus, self.inverted, strict=True)):
            if m is not None and m.shape != g.shape:
                raise InputError(f"inverted of crossbar {k + 1} must be {tuple(g.shape)} as its conductances, got {tuple(m.shape)}")
            if m is not None and not float(m.min()) >= 0:
                raise InputError(f"inverted of crossbar {k + 1} must be at least 0 S, got {float(m.min()):g} S")

    def _check(self) -> None:
        for k, g in enumerate(self.conductances):
            if k and g.shape[0] != self.conductances[k - 1].shape[1]:
                raise InputError(
                    f"crossbar {k + 1} must have {self.conductances[k - 1].shape[1]} rows, the nodes before it, got {g.shape[0]}"
                )
        if len(self.diodes) != len(self.conductances) - 1:
            raise InputError(f"diodes must be one pair for each of the {len(self.conductances) - 1} hidden layers, got {len(self.diodes)}")
        for k, gain in enumerate(self.gain):
            if not bool((torch.as_tensor(gain) > 0).all()):
                raise InputError(f"gain of the amplifiers of layer {k + 1} must be above 0, got {float(torch.as_tensor(gain).min()):g}")

    @functools.cached_property
    def a(self) -> list[torch.Tensor]:
        """a_l of each layer, S."""
        return [into + g.sum(1) for into, g in zip(self.into, self.loads[1:], strict=False)] + [self.into[-1]]

    def loaded(self, k: int, v: torch.Tensor, slopes: torch.Tensor | float = 0.0) -> torch.Tensor:
        """(a_l + slopes) v of layer k, counted from 0, (B, nodes)."""
        return (self.a[k] + slopes) * v

    def diagonal(self, k: int) -> torch.Tensor:
        """What each node of layer k has of a_l itself, S, (nodes,)."""
        return self.a[k]

    @functools.cached_property
    def back(self) -> list[torch.Tensor]:
        """What takes voltages after each crossbar but the first to currents before it, S, (nodes after, nodes before)."""
        return [g.T / gain for g, gain in zip(self.conductances[1:], self.gain, strict=True)]

    @functools.cached_property
    def shift(self) -> list[torch.Tensor]:
        """Currents that the offsets take from the hidden layers, A."""
        return [o / gain * g.sum(1) for o, gain, g in zip(self.offset, self.gain, self.loads[1:], strict=True)]

    @functools.cached_property
    def out_of_sources(self) -> torch.Tensor:
        """Sums of the rows of the first crossbar, S, (inputs,)."""
        return self.loads[0].sum(1)

    @property
    def layers(self) -> int:
        """Crossbars, and layers of nodes."""
        return len(self.conductances)

    @property
    def reciprocal(self) -> bool:
        """Whether each layer has one gain, so that the network has a content to minimise."""
        return all(gain.numel() == 1 for gain in self.gain)

    @functools.cached_property
    def scales(self) -> list[float]:
        """u_l over x_l, for each layer: the product of the (mean) gains before it."""
        scales = [1.0]
        for gain in self.gain:
            scales.append(scales[-1] * float(gain.mean()))
        return scales

    def rates(self, span: float) -> list[float]:
        """What differences of squared voltages weigh in the slopes of each crossbar: (gains after it)^2/span of nudges, 1/S."""
        return [(self.scales[-1] / scale) ** 2 / span for scale in self.scales]

    def driven(self, k: int, u: torch.Tensor) -> torch.Tensor:
        """p: what the amplifiers of hidden layer k, counted from 0, drive into the next crossbar, V."""
        return self.gain[k] * u + self.offset[k]

    def settle(
        self,
        sources: torch.Tensor,
        injected: torch.Tensor | None = None,
        *,
        start: Settled | None = None,
        tolerance: float = 1e-6,
        method: Method | None = None,
        steps: int | None = None,
    ) -> Settled:
        """The operating point with voltages at the inputs and currents into the outputs.

        Args:
            sources: V, (B, inputs). injected: A, (B, outputs); 0 when absent. start: a near operating point.
            tolerance: of every voltage, V. method: descent by layers (one hidden layer, ideal diodes, gains that differ within a layer),
                or Newton with conjugate gradients (depth); chosen by the network when absent. steps: give up after so many.

        Raises:
            InputError: shapes. RuntimeError: not settled to the tolerance, with the sample and by how much.
        """
        inputs = self.conductances[0].shape[0]
        if sources.ndim != 2 or sources.shape[1] != inputs:
            raise InputError(f"sources must be (samples, {inputs}) voltages, got {tuple(sources.shape)}")
        return self.relax(self.forced(sources), injected, start=start, tolerance=tolerance, method=method, steps=steps)

    def relax(
        self,
        fixed: torch.Tensor,
        injected: torch.Tensor | None = None,
        *,
        start: Settled | None = None,
        tolerance: float = 1e-6,
        method: Method | None = None,
        steps: int | None = None,
    ) -> Settled:
        """`settle` where the currents that the sources alone send into the first layer are known: see `forced`.

        Args:
            fixed: A, (B, nodes). Where they are double precision, so are the voltages of compiled descent, of currents that conductances in
                float32 tell to fewer digits than `error` knows of.
            injected: A, (B, outputs), or of several phases one after the other, (phases B, outputs); so are the voltages then.
            start: a near operating point for all phases, (B, ...). Others as in `settle`.
        """
        outputs, samples, phases = self.conductances[-1].shape[1], len(fixed), 1
        if injected is not None:
            phases = len(injected) // max(samples, 1)
            if not phases or injected.shape != (phases * samples, outputs):
                raise InputError(f"injected must be ({samples}, {outputs}) currents, got {tuple(injected.shape)}")
        chosen = method or self.method
        solver, guess = descent.settle if chosen == "descent" else newton.settle, None if start is None else start.nodes
        if chosen == "descent" and self.compiled:
            solver = compiled.settle
        elif phases > 1:
            fixed, guess = fixed.repeat(phases, 1), None if guess is None else [u.repeat(phases, 1) for u in guess]
        if chosen == "newton" and not self.newtonian:
            raise InputError("method must be descent where diodes are ideal or gains differ within a layer, got newton")
        options = {} if steps is None else {"steps": steps}
        return solver(self, fixed, injected, guess, tolerance, **options).within(tolerance, samples, chosen)

    @functools.cached_property
    def compiled(self) -> compiled.State | None:
        """What the compiled descent needs, made once; absent where it does not apply."""
        return compiled.state(self)

    @property
    def newtonian(self) -> bool:
        """Whether Newton's method applies: smooth diodes and one gain for each layer."""
        return self.reciprocal and not any(isinstance(d, Ideal) for d in self.diodes)

    @property
    def method(self) -> Method:
        """What `settle` takes when not told."""
        return "newton" if self.layers > 2 and self.newtonian else "descent"

    def forced(self, sources: torch.Tensor) -> torch.Tensor:
        """Currents that the sources alone send into the first layer, A: the one large product, the same for all phases."""
        return sources @ self.conductances[0]

    def residual(self, fixed: torch.Tensor, injected: torch.Tensor | None, nodes: list[torch.Tensor]) -> torch.Tensor:
        """Largest current left over at a node, A, (B,); nodes held by an ideal diode have none."""
        most = []
        for k, u in enumerate(nodes):
            b = descent.inflow(self, k, fixed, injected, nodes)
            left = b - self.loaded(k, u)
            pair = self.diodes[k] if k < len(self.diodes) else None
            if isinstance(pair, Ideal):
                left = left * pair.free(u)
            elif pair is not None:
                left = left - pair.current(u)[0]
            most.append(left.abs().amax(1))
        return torch.stack(most).amax(0)

    def dissipation(self, sources: torch.Tensor, fixed: torch.Tensor, nodes: list[torch.Tensor]) -> torch.Tensor:
        """Power that conductances and diodes with their sources take at an operating point, W, (B,): sum g (p - u)^2 + sum I_d u.

        Args:
            sources: V, (B, inputs). fixed: `forced` of them. nodes: voltages of each layer.
        """
        power = sources.square() @ self.out_of_sources
        for k, u in enumerate(nodes):
            into = fixed if k == 0 else self.driven(k - 1, nodes[k - 1]).to(u.dtype) @ self.conductances[k].to(u.dtype)
            power = power + ((self.into[k] * u - 2 * into) * u).sum(1)
            if k < len(self.diodes):  # what the conductances bring to a node goes into its diodes, whatever their law
                in_diodes = into - self.a[k] * u + nodes[k + 1] @ self.back[k].to(u.dtype) - self.shift[k]
                power = power + (self.driven(k, u).square() * self.loads[k + 1].sum(1) + in_diodes * u).sum(1)
        return power

    def drops(self, sources: torch.Tensor, settled: Settled) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Voltages at the two ends of the conductances of each crossbar, (B, before) and (B, after)."""
        before = [sources, *(self.driven(k, u) for k, u in enumerate(settled.nodes[:-1]))]
        return list(zip(before, settled.nodes, strict=True))


def each_layer(value: Any, hidden: int, name: str) -> list[Any]:
    """A value for each hidden layer, from one or from a list of as many."""
    if not isinstance(value, list | tuple):
        return [value] * hidden
    if len(value) != hidden:
        raise InputError(f"{name} must be one number or one for each of the {hidden} hidden layers, got {len(value)}")
    return list(value)
