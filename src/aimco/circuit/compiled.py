"""Descent of networks with one hidden layer of Shockley or ideal diodes as compiled code: `descent`, each sample until it has settled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from aimco.circuit import descent
from aimco.circuit.elements import Ideal, Shockley
from aimco.kernels import circuits

if TYPE_CHECKING:
    from aimco.circuit.network import Layered

_STEPS = 2000
_NONE = np.empty((0, 0))


@dataclass(frozen=True)
class State:
    """Arguments of `aimco.kernels.circuits.settle` that the conductances tell."""

    law: int
    known: np.ndarray
    back: np.ndarray
    a: np.ndarray
    contraction: tuple[float, float]
    rounding: float

    def programmed(self, by: Callable[..., tuple[float, float]]) -> State:
        """The same for other conductances, which `by` tells: what it makes of known, back and a."""
        known, back, a = self.known.copy(), np.empty_like(self.back), np.empty_like(self.a)
        return State(self.law, known, back, a, by(known, back, a), self.rounding)


def state(net: Layered) -> State | None:
    """None where descent stays with torch: depth, other diodes, other processors."""
    if net.layers != 2 or type(net.diodes[0]) not in (Shockley, Ideal) or not net.conductances[0].is_cpu:
        return None
    pair, known = net.diodes[0], np.zeros((circuits.FIELDS, len(net.conductances[1])))
    fields = {circuits.LOW: pair.low, circuits.HIGH: pair.high, circuits.GAIN: net.gain[0], circuits.OFFSET: net.offset[0]}
    fields[circuits.THERMAL] = 1.0
    law = circuits.IDEAL
    if isinstance(pair, Shockley):
        law = circuits.NGSPICE if pair.as_ngspice else circuits.SHOCKLEY
        fields |= {circuits.SATURATION: pair.saturation, circuits.THERMAL: pair.thermal}
    for k, value in fields.items():
        known[k] = value
    if law == circuits.SHOCKLEY and np.any(known[circuits.HIGH] - known[circuits.LOW] > 2 * circuits.WIDEST * known[circuits.THERMAL]):
        return None
    rounding = descent.ROUNDING * torch.finfo(net.conductances[0].dtype).eps
    second, load, into = (v.numpy() for v in (net.conductances[1], net.loads[1], net.into[0]))
    empty = State(law, known, np.empty(second.shape[::-1]), np.empty(second.shape[1]), (1.0, 1.0), rounding)
    return empty.programmed(functools.partial(circuits.program, second, load, into))


def settle(
    net: Layered,
    fixed: torch.Tensor,
    injected: torch.Tensor | None,
    start: list[torch.Tensor] | None,
    tolerance: float,
    steps: int = _STEPS,
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor, int]:
    """As `descent.settle`; the error is bounded by how much a sweep shrinks it at least."""
    made = net.compiled
    assert made is not None
    into = np.zeros((len(fixed), len(made.a))) if injected is None else _double(injected)
    first = (_NONE, _NONE) if start is None else (_double(start[0]), _double(start[1]))
    nodes = [np.empty((len(into), n)) for n in (fixed.shape[1], len(made.a))]
    rounding = descent.ROUNDING * torch.finfo(fixed.dtype).eps, made.rounding
    found = np.empty((3, len(into)))
    circuits.settle(
        made.law, made.known, made.back, made.a, _double(fixed), into, first, made.contraction,
        tolerance, rounding, steps, nodes[0], nodes[1], found,
    )  # fmt: skip
    voltages, error, residual = ([torch.from_numpy(v).to(fixed.dtype) for v in values] for values in (nodes, found[:1], found[1:2]))
    return voltages, error[0], residual[0], int(found[2].max(initial=0))


def slopes(
    net: Layered, towards: list[torch.Tensor], away: list[torch.Tensor], rates: list[float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the first crossbar what all rows have in common and the moves d of its nodes (B, nodes), their sum, and slopes of the second."""
    made = net.compiled
    assert made is not None
    u, y, w, z = (_double(v) for v in (*towards, *away))
    common, move, moved, second = np.empty(u.shape[1]), np.empty_like(u), np.empty(u.shape[1]), np.empty((u.shape[1], y.shape[1]))
    circuits.slopes(u, y, w, z, made.known, np.array(rates), common, move, moved, second)
    return torch.from_numpy(common), torch.from_numpy(move), torch.from_numpy(moved), torch.from_numpy(second)


def _double(values: torch.Tensor) -> np.ndarray:
    return values.detach().to(torch.float64).contiguous().numpy()
