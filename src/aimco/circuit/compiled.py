"""Descent of networks with one hidden layer of Shockley or ideal diodes as compiled code: `descent`, each sample until it has settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from aimco.circuit import descent
from aimco.circuit.elements import Ideal, Shockley
from aimco.circuit.settled import Settled
from aimco.kernels import circuits
from aimco.kernels import slopes as learning
from aimco.record import InputError

if TYPE_CHECKING:
    from aimco.circuit.network import Layered

_STEPS = 2000
_NONE = np.empty((0, 0))
_FEW = 0.3  # of the inputs: where fewer are lit, products with them are made of those
Room = tuple[np.ndarray, np.ndarray, np.ndarray]  # voltages of both layers, and what is found of each point


@dataclass(frozen=True)
class State:
    """Arguments of `aimco.kernels.circuits.settle` that the conductances tell."""

    law: int
    known: np.ndarray
    back: np.ndarray
    a: np.ndarray
    contraction: tuple[float, float]
    rounding: float


@dataclass(frozen=True)
class Batch:
    """Samples of one learning step, and how they are nudged.

    Args:
        x: voltages of the inputs, (B, inputs). bias: of the line of the bias, V. target: of the differences of outputs, V, (B, outputs/2).
        noise: of reading them, V, where there is such. beta: S. nudges: 1 or 2. tolerance: V.
    """

    x: torch.Tensor
    bias: float
    target: torch.Tensor
    noise: torch.Tensor | None
    beta: float
    nudges: int
    tolerance: float


@dataclass(frozen=True)
class Learned:
    """What came of a learning step.

    Args:
        error: of the free outputs, V, (B, outputs/2). power: sum over all operating points, as `Settled.power`, W. state: of the new
            conductances. into: sums of the columns of the first crossbar, S. taken: of the rows that x^2 and then the bias weigh by, S.
    """

    error: torch.Tensor
    power: float
    state: State
    into: torch.Tensor
    taken: torch.Tensor


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
    back, a = np.empty(second.shape[::-1]), np.empty(second.shape[1])
    return State(law, known, back, a, circuits.program(second, load, into, known, back, a), rounding)


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
    return _told(_settled(made, _double(fixed), into, first, tolerance, fixed.dtype, steps), fixed.dtype)


def step(net: Layered, difference: torch.Tensor, batch: Batch, steps: Sequence[float], window: tuple[float, float]) -> Learned:
    """A learning step of a network whose first crossbar is driven by x, -x and the bias: changes it, and difference = G+ - G-, in place.

    Args:
        steps: of both crossbars, S^2/V^2. window: least and largest conductance, S.

    Raises:
        InputError: shapes. RuntimeError: a sample did not settle; no conductance is changed then.
    """
    made, x = net.compiled, _inputs(batch.x, difference)
    assert made is not None
    few, (first, second), differs = _few_lit(x), net.conductances, difference.numpy()
    error, free, nudged = _phases(made, _driven(x, difference, batch.bias * first[-1], few), batch)
    towards, away = [v[: len(x)] for v in nudged[:2]], [v[len(x) :] for v in nudged[:2]] if batch.nudges == 2 else free[:2]
    rates = np.array(net.rates(2 * batch.nudges * batch.beta))
    common, move, moved, other = _slopes(made, [*towards, *away], rates)
    product, lit = (x[:0], x) if few else (x.T @ torch.from_numpy(move).to(x.dtype), x[:0])
    into, taken = np.empty(len(common)), np.empty(len(differs) + 1)
    known, back, a = made.known.copy(), np.empty_like(made.back), np.empty_like(made.a)
    contraction = learning.learn(
        first.numpy(), differs, second.numpy(), product.numpy(), lit.numpy(), move, common, batch.bias * moved, other,
        steps[0], -2 * rates[0] * steps[0], steps[1], *window, into, taken, known, back, a,
    )  # fmt: skip
    power = float(free[2][circuits.POWER].sum() + nudged[2][circuits.POWER].sum())
    after = State(made.law, known, back, a, contraction, made.rounding)
    return Learned(torch.from_numpy(error), power, after, torch.from_numpy(into), torch.from_numpy(taken))


def drive(x: torch.Tensor, difference: torch.Tensor, common: torch.Tensor) -> torch.Tensor:
    """x difference + common, to the digits of the conductances, as double precision."""
    x = _inputs(x, difference)
    return torch.from_numpy(_driven(x, difference, common, _few_lit(x)))


def _inputs(x: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
    """x as kernels take it, which check no shapes."""
    if x.ndim != 2 or not len(x) or x.shape[1] != len(difference):
        raise InputError(f"inputs must be (samples, {len(difference)}), at least one sample, got {tuple(x.shape)}")
    return x.detach().to(difference.dtype).contiguous()


def _few_lit(x: torch.Tensor) -> bool:
    """Whether products with x are made faster of what of it is not 0."""
    return int(np.count_nonzero(x.numpy())) < _FEW * x.numel()


def _driven(x: torch.Tensor, difference: torch.Tensor, common: torch.Tensor, few: bool) -> np.ndarray:
    if not few:
        return torch.addmm(common, x, difference).double().numpy()
    fixed = np.empty((len(x), difference.shape[1]))
    learning.drive(x.numpy(), difference.numpy(), common.numpy(), fixed)
    return fixed


def slopes(
    net: Layered, towards: list[torch.Tensor], away: list[torch.Tensor], rates: list[float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the first crossbar what all rows have in common and the moves d of its nodes (B, nodes), their sum, and slopes of the second."""
    made = net.compiled
    assert made is not None
    found = _slopes(made, [_double(v) for v in (*towards, *away)], np.array(rates))
    return tuple(torch.from_numpy(v) for v in found)  # pyright: ignore[reportReturnType]


def _slopes(made: State, states: Sequence[np.ndarray], rates: np.ndarray) -> tuple[np.ndarray, ...]:
    u, y, w, z = states
    common, move, moved, second = np.empty(u.shape[1]), np.empty_like(u), np.empty(u.shape[1]), np.empty((u.shape[1], y.shape[1]))
    learning.slopes(u, y, w, z, made.known, rates, common, move, moved, second)
    return common, move, moved, second


def _phases(made: State, fixed: np.ndarray, batch: Batch) -> tuple[np.ndarray, Room, Room]:
    """Errors of the outputs, and the free and the nudged states."""
    samples, half = batch.target.shape
    free = _settled(made, fixed, np.zeros((samples, 2 * half)), (_NONE, _NONE), batch.tolerance, torch.float64)
    error = free[1][:, :half] - free[1][:, half:] - _double(batch.target)
    if batch.noise is not None:
        error += _double(batch.noise)
    nudge = batch.beta * np.concatenate((-error, error), 1)
    injected = nudge if batch.nudges == 1 else np.concatenate((nudge, -nudge))
    nudged = _settled(made, fixed, injected, free[:2], batch.tolerance, torch.float64)
    for room in (free, nudged):
        if not (room[2][circuits.ERROR] <= batch.tolerance).all():
            _told(room, torch.float64).within(batch.tolerance, samples, "descent")
    return error, free, nudged


def _settled(
    made: State, fixed: np.ndarray, injected: np.ndarray, start: tuple[np.ndarray, np.ndarray], tolerance: float,
    dtype: torch.dtype, steps: int = _STEPS,
) -> Room:  # fmt: skip
    """Operating points whose currents are known to the digits of a type."""
    points, rounding = len(injected), (descent.ROUNDING * torch.finfo(dtype).eps, made.rounding)
    room = np.empty((points, made.known.shape[1])), np.empty((points, len(made.a))), np.empty((circuits.FOUND, points))
    circuits.settle(made.law, made.known, made.back, made.a, fixed, injected, start, made.contraction, tolerance, rounding, steps, *room)
    return room


def _told(room: Room, dtype: torch.dtype) -> Settled:
    *voltages, found = room
    nodes, rows = [torch.from_numpy(v).to(dtype) for v in voltages], torch.from_numpy(found)
    error, residual = rows[circuits.ERROR].to(dtype), rows[circuits.RESIDUAL].to(dtype)
    return Settled(nodes, error, residual, int(found[circuits.SWEEPS].max(initial=0)), rows[circuits.POWER])


def _double(values: torch.Tensor) -> np.ndarray:
    return values.detach().to(torch.float64).contiguous().numpy()
