"""Resistive circuits: crossbars, diodes and amplifiers in turn, as a description that solvers read.

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
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch

from aimco.circuit.elements import DiodePair, Shockley, Value
from aimco.circuit.operating_point import OperatingPoint
from aimco.circuit.program import Program, program
from aimco.record import InputError

_DIODES = Shockley()
_OF_CONDUCTANCES = ("a", "back", "shift", "out_of_sources")  # what changes with conductances, beside sums of columns and the program
T = TypeVar("T")


class ResistiveCircuit:
    """A layered resistive circuit: what it is made of, and the sums that solvers need of it, each computed once. It never changes.

    Args:
        conductances: Of each crossbar, S, (nodes before, nodes after), at least 0; each node needs one above 0 on its input side.
        diodes: Of the hidden layers, one pair for all or one for each.
        gain: A_l of the amplifiers, above 0: one number, or for each hidden layer a number or (nodes,).
        offset: o_l of the amplifiers, V, likewise.
        inverted: Of crossbars whose lines also go with the sign turned, the devices there, S, (nodes before, nodes after), None for
            crossbars without: a pair weighs by its difference, and loads both of its nodes by its sum.

    Raises:
        InputError: A negative conductance, a node that nothing leads to, a gain of 0, shapes that do not follow each other.

    Example:
        >>> from aimco.circuit.solvers import solve
        >>> circuit = ResistiveCircuit([torch.full((3, 2), 1e-6), torch.full((2, 1), 1e-6)])
        >>> solve(circuit, torch.ones(5, 3), tolerance=1e-5).outputs.shape
        torch.Size([5, 1])
    """

    wired = False  # whether crossbars have inner nodes: the loads of a layer are then a matrix, and no node is solved by itself

    def __init__(
        self,
        conductances: Sequence[torch.Tensor],
        diodes: DiodePair | Sequence[DiodePair] = _DIODES,
        gain: Value | Sequence[Value] = 4.0,
        offset: Value | Sequence[Value] = 0.0,
        *,
        inverted: Sequence[torch.Tensor | None] | None = None,
    ) -> None:
        self.plus = list(conductances)
        self.inverted = [None] * len(self.plus) if inverted is None else list(inverted)
        self._check_pairs()
        hidden = len(self.plus) - 1
        self.diodes = [diodes] * hidden if isinstance(diodes, DiodePair) else list(diodes)
        gains, offsets = _per_layer(gain, hidden, "gain"), _per_layer(offset, hidden, "offset")
        self._check_layers(gains)
        self._check_conductances()
        first = self.conductances[0]
        self.gain = [torch.as_tensor(v, dtype=first.dtype, device=first.device) for v in gains]
        self.offset = [torch.as_tensor(v, dtype=first.dtype, device=first.device) for v in offsets]

    def _check_pairs(self) -> None:
        if len(self.inverted) != len(self.plus):
            raise InputError(f"inverted must be one or None for each of the {len(self.plus)} crossbars, got {len(self.inverted)}")
        for k, (g, m) in enumerate(zip(self.plus, self.inverted, strict=True)):
            if m is not None and m.shape != g.shape:
                raise InputError(f"inverted of crossbar {k + 1} must be {tuple(g.shape)} as its conductances, got {tuple(m.shape)}")
            if m is not None and not float(m.min()) >= 0:
                raise InputError(f"inverted of crossbar {k + 1} must be at least 0 S, got {float(m.min()):g} S")

    def _check_layers(self, gains: Sequence[Value]) -> None:
        for k, (before, g) in enumerate(zip(self.plus, self.plus[1:], strict=False), 2):
            if g.shape[0] != before.shape[1]:
                raise InputError(f"crossbar {k} must have {before.shape[1]} rows, the nodes before it, got {g.shape[0]}")
        if len(self.diodes) != len(self.plus) - 1:
            raise InputError(f"diodes must be one pair for each of the {len(self.plus) - 1} hidden layers, got {len(self.diodes)}")
        for k, gain in enumerate(gains):
            if not bool((torch.as_tensor(gain) > 0).all()):
                raise InputError(f"gain of the amplifiers of layer {k + 1} must be above 0, got {float(torch.as_tensor(gain).min()):g}")

    def _check_conductances(self) -> None:
        for k, (g, into) in enumerate(zip(self.plus, self.into, strict=True)):
            least = float(g.min())
            if not least >= 0:  # NaN is not
                raise InputError(f"conductances of crossbar {k + 1} must be at least 0 S, got {least:g} S")
            if not bool(into.all()):
                node = int(torch.nonzero(into == 0)[0])
                raise InputError(f"node {node} of layer {k + 1} is floating: no conductance of crossbar {k + 1} leads to it")

    def reprogrammed(self, into: torch.Tensor, program: Program) -> ResistiveCircuit:
        """The same circuit after its conductances were changed in place, within a window above 0; it has no inverted lines.

        Args:
            into: Sums of the columns of the first crossbar, S.
            program: Of the conductances as they are.
        """
        new, dtype = copy.copy(self), self.conductances[0].dtype
        for name in _OF_CONDUCTANCES:
            new.__dict__.pop(name, None)
        new.__dict__ |= {"into": [into.to(dtype), torch.from_numpy(program.a).to(dtype)], "program": program}
        return new

    @functools.cached_property
    def conductances(self) -> list[torch.Tensor]:
        """What the voltages before each crossbar weigh by, S, (nodes before, nodes after)."""
        return [g if m is None else g - m for g, m in zip(self.plus, self.inverted, strict=True)]

    @functools.cached_property
    def loads(self) -> list[torch.Tensor]:
        """What each crossing loads its two nodes by, S, (nodes before, nodes after)."""
        return [g if m is None else g + m for g, m in zip(self.plus, self.inverted, strict=True)]

    @functools.cached_property
    def into(self) -> list[torch.Tensor]:
        """Sums of the columns of each crossbar, S, (nodes,)."""
        return [g.sum(0) for g in self.loads]

    @functools.cached_property
    def out_of_sources(self) -> torch.Tensor:
        """Sums of the rows of the first crossbar, S, (inputs,)."""
        return self.loads[0].sum(1)

    @functools.cached_property
    def a(self) -> list[torch.Tensor]:
        """a_l of each layer, S."""
        return [into + g.sum(1) for into, g in zip(self.into, self.loads[1:], strict=False)] + [self.into[-1]]

    @functools.cached_property
    def back(self) -> list[torch.Tensor]:
        """What takes voltages after each crossbar but the first to currents before it, S, (nodes after, nodes before)."""
        return [g.T / gain for g, gain in zip(self.conductances[1:], self.gain, strict=True)]

    @functools.cached_property
    def shift(self) -> list[torch.Tensor]:
        """Currents that the offsets take from the hidden layers, A."""
        return [o / gain * g.sum(1) for o, gain, g in zip(self.offset, self.gain, self.loads[1:], strict=True)]

    @functools.cached_property
    def program(self) -> Program | None:
        """What compiled descent needs; None where it does not apply: other depths, diodes or processors."""
        if self.layers != 2:
            return None
        return program(self.conductances[1], self.loads[1], self.into[0], self.diodes[0], (self.gain[0], self.offset[0]))

    @property
    def layers(self) -> int:
        """Number of crossbars, and of layers of nodes."""
        return len(self.plus)

    @property
    def reciprocal(self) -> bool:
        """Whether each layer has one gain, so that the circuit has a content to minimise."""
        return all(gain.numel() == 1 for gain in self.gain)

    @property
    def newtonian(self) -> bool:
        """Whether Newton's method applies: smooth diodes and one gain for each layer."""
        return self.reciprocal and all(pair.smooth for pair in self.diodes)

    @functools.cached_property
    def scales(self) -> list[float]:
        """u_l over x_l of each layer: the product of the (mean) gains before it."""
        scales = [1.0]
        for gain in self.gain:
            scales.append(scales[-1] * float(gain.mean()))
        return scales

    def rates(self, span: float) -> list[float]:
        """Factor of differences of squared voltages in the slopes of each crossbar, 1/S: (gains after it)^2 over the span of nudges, S."""
        return [(self.scales[-1] / scale) ** 2 / span for scale in self.scales]

    def loaded(self, k: int, v: torch.Tensor, slopes: torch.Tensor | float = 0.0) -> torch.Tensor:
        """(a_l + slopes) v of layer k, counted from 0, (B, nodes)."""
        return (self.a[k] + slopes) * v

    def diagonal(self, k: int) -> torch.Tensor:
        """The load of each node of layer k by itself, S, (nodes,)."""
        return self.a[k]

    def driven(self, k: int, u: torch.Tensor) -> torch.Tensor:
        """p: what the amplifiers of hidden layer k, counted from 0, drive into the next crossbar, V."""
        return self.gain[k] * u + self.offset[k]

    def forced(self, sources: torch.Tensor) -> torch.Tensor:
        """Currents that the sources alone send into the first layer, A: the one large product, the same for all phases.

        Args:
            sources: V, (B, inputs).
        """
        return sources @ self.conductances[0]

    def drops(self, sources: torch.Tensor, point: OperatingPoint) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Voltages at the two sides of each crossbar, V, (B, before) and (B, after)."""
        before = [sources, *(self.driven(k, u) for k, u in enumerate(point.nodes[:-1]))]
        return list(zip(before, point.nodes, strict=True))

    def voltage_drops(self, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Voltages across each device of each crossbar, then of those on inverted lines, V, (B, rows, columns).

        Args:
            before: Voltages at the rows of each crossbar, V, (B, rows).
            after: Voltages at its columns, V, (B, columns).
        """
        sides = list(zip(before, after, self.inverted, strict=True))
        plus = [p[:, :, None] - u[:, None] for p, u, _ in sides]
        return plus + [-p[:, :, None] - u[:, None] for p, u, devices in sides if devices is not None]

    def dissipation(self, sources: torch.Tensor, forced: torch.Tensor, nodes: list[torch.Tensor]) -> torch.Tensor:
        """Power that conductances, diodes and their sources take at an operating point, W, (B,): sum g (p - u)^2 + sum I_d u.

        Args:
            sources: V, (B, inputs).
            forced: `forced` of them, A, (B, nodes).
            nodes: Voltages of each layer, V, (B, nodes).
        """
        power = sources.square() @ self.out_of_sources
        for k, u in enumerate(nodes):
            into = forced if k == 0 else self.driven(k - 1, nodes[k - 1]).to(u.dtype) @ self.conductances[k].to(u.dtype)
            power = power + ((self.into[k] * u - 2 * into) * u).sum(1)
            if k < len(self.diodes):  # what the conductances bring to a node goes into its diodes, whatever their law
                in_diodes = into - self.a[k] * u + nodes[k + 1] @ self.back[k].to(u.dtype) - self.shift[k]
                power = power + (self.driven(k, u).square() * self.loads[k + 1].sum(1) + in_diodes * u).sum(1)
        return power

    def resistors(self, k: int) -> Iterator[tuple[str, str, float]]:
        """Ends and conductance, S, of each resistor of crossbar k, counted from 0.

        The ends are lines p<k>_<row>, those with the sign turned n<k>_<row>, and nodes u<k + 1>_<column>.
        """
        for line, g in (("p", self.plus[k]), ("n", self.inverted[k])):
            yield from () if g is None else resistors(g, f"{line}{k}", f"u{k + 1}")


def resistors(conductances: torch.Tensor, line: str, column: str) -> Iterator[tuple[str, str, float]]:
    """Ends and conductance, S, of each device above 0 S between the lines `line`_<row> and the nodes `column`_<column>."""
    for i, row in enumerate(conductances.tolist()):
        yield from ((f"{line}_{i}", f"{column}_{j}", g) for j, g in enumerate(row) if g)


def _per_layer(value: T | Sequence[T], hidden: int, name: str) -> list[T]:
    """A value for each hidden layer, from one for all or from a list of as many."""
    if not isinstance(value, list | tuple):
        return [value] * hidden  # pyright: ignore[reportReturnType]
    if len(value) != hidden:
        raise InputError(f"{name} must be one number or one for each of the {hidden} hidden layers, got {len(value)}")
    return list(value)
