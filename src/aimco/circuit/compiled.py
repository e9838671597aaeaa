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
from aimco.circuit.settled import Settled
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
) -> Settled:
    """As `descent.settle`, and power; the error is bounded by how much a sweep shrinks it at least."""
    made = net.compiled
    assert made is not None
    into = np.zeros((len(fixed), len(made.a))) if injected is None else _double(injected)
    first = (_NONE, _NONE) if start is None else (_double(start[0]), _double(start[1]))
    room = _room(made, len(into))
    circuits.settle(
        made.law, made.known, made.back, made.a, _double(fixed), into, first, made.contraction,
        tolerance, _rounding(made, fixed), steps, *room,
    )  # fmt: skip
    return _told(room, fixed.dtype)


def phases(
    net: Layered, fixed: torch.Tensor, target: torch.Tensor, noise: torch.Tensor, beta: float, nudges: int, tolerance: float
) -> tuple[torch.Tensor, Settled, Settled]:
    """Errors of the outputs (B, outputs/2), the free state and the nudged ones, one after the other; see `circuits.phases`."""
    made = net.compiled
    assert made is not None
    free, nudged, error = _room(made, len(fixed)), _room(made, nudges * len(fixed)), np.empty(target.shape)
    circuits.phases(
        made.law, made.known, made.back, made.a, _double(fixed), _double(target), _double(noise), beta, made.contraction,
        tolerance, _rounding(made, fixed), _STEPS, *free, error, *nudged,
    )  # fmt: skip
    return torch.from_numpy(error), _told(free, fixed.dtype), _told(nudged, fixed.dtype)


def drive(x: torch.Tensor, difference: torch.Tensor, common: torch.Tensor) -> torch.Tensor:
    """x difference + common in double precision, by what of x is not 0: faster than a product where little is."""
    fixed = np.empty((len(x), difference.shape[1]))
    circuits.drive(x.contiguous().numpy(), difference.numpy(), common.numpy(), fixed)
    return torch.from_numpy(fixed)


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


def _room(made: State, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where operating points are written: voltages of both layers, and what is found of each."""
    return np.empty((points, made.known.shape[1])), np.empty((points, len(made.a))), np.empty((circuits.FOUND, points))


def _rounding(made: State, fixed: torch.Tensor) -> tuple[float, float]:
    return descent.ROUNDING * torch.finfo(fixed.dtype).eps, made.rounding


def _told(room: tuple[np.ndarray, ...], dtype: torch.dtype) -> Settled:
    *voltages, found = room
    nodes, rows = [torch.from_numpy(v).to(dtype) for v in voltages], torch.from_numpy(found)
    error, residual = rows[circuits.ERROR].to(dtype), rows[circuits.RESIDUAL].to(dtype)
    return Settled(nodes, error, residual, int(found[circuits.SWEEPS].max(initial=0)), rows[circuits.POWER])


def _double(values: torch.Tensor) -> np.ndarray:
    return values.detach().to(torch.float64).contiguous().numpy()
