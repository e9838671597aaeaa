"""A step of equilibrium propagation as compiled loops, for circuits with one hidden layer of Shockley or ideal diodes.

The first crossbar is driven by x, -x and a bias line, so that what the sources send is one product of x with G+ - G-.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from aimco.circuit import compiled
from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.operating_point import ROUNDING
from aimco.circuit.program import Program
from aimco.kernels import circuits
from aimco.kernels import slopes as learning
from aimco.record import InputError

_FEW = 0.3  # of the inputs: where fewer are lit, products with them are made of those


@dataclass(frozen=True)
class Batch:
    """Samples of one learning step, and how they are nudged.

    Args:
        x: Voltages of the inputs, V, (B, inputs).
        bias_V: Voltage of the bias line, V.
        target: Wanted differences of the outputs, V, (B, outputs/2).
        noise: Of reading the differences, V, where there is any.
        beta: Nudging current per error, S.
        nudges: 1, towards the target, or 2, also away from it.
        tolerance: Of every voltage, V.
    """

    x: torch.Tensor
    bias_V: float
    target: torch.Tensor
    noise: torch.Tensor | None
    beta: float
    nudges: int
    tolerance: float


@dataclass(frozen=True)
class Learned:
    """The results of a learning step.

    Args:
        error: Of the free outputs, V, (B, outputs/2).
        power: Sum over all operating points, as `OperatingPoint.power`, W.
        program: Of the new conductances.
        into: Sums of the columns of the first crossbar, S, (nodes,).
        out_of_sources: Sums of its rows that x^2 and then the bias weigh by, S, (inputs + 1,).
    """

    error: torch.Tensor
    power: float
    program: Program
    into: torch.Tensor
    out_of_sources: torch.Tensor


def learn(
    circuit: ResistiveCircuit, difference: torch.Tensor, batch: Batch, steps: Sequence[float], window: tuple[float, float]
) -> Learned:
    """Solve the phases of a batch and change the conductances by them: G <- G - step dC/dG, within the window.

    Args:
        circuit: Its conductances are changed in place.
        difference: G+ - G- of the first crossbar, S, (inputs, nodes), changed in place too.
        batch: Samples and nudges.
        steps: Of both crossbars, S^2/V^2.
        window: Least and largest conductance, S.

    Raises:
        InputError: Shapes.
        RuntimeError: A sample did not converge; no conductance is changed then.
    """
    program, x = circuit.program, _inputs(batch.x, difference)
    assert program is not None
    few, (first, second), weights = _few_lit(x), circuit.conductances, difference.numpy()
    error, free, nudged = _phases(program, _forced(x, difference, batch.bias_V * first[-1], few), batch)
    towards, away = [v[: len(x)] for v in nudged[:2]], [v[len(x) :] for v in nudged[:2]] if batch.nudges == 2 else free[:2]
    rates = np.array(circuit.rates(2 * batch.nudges * batch.beta))
    common, move, moved, other = _slopes(program, [*towards, *away], rates)
    product, lit = (x[:0], x) if few else (x.T @ torch.from_numpy(move).to(x.dtype), x[:0])
    into, rows = np.empty(len(common)), np.empty(len(weights) + 1)
    known, back, a = program.known.copy(), np.empty_like(program.back), np.empty_like(program.a)
    contraction = learning.learn(
        first.numpy(), weights, second.numpy(), product.numpy(), lit.numpy(), move, common, batch.bias_V * moved, other,
        steps[0], -2 * rates[0] * steps[0], steps[1], *window, into, rows, known, back, a,
    )  # fmt: skip
    power = float(free[2][circuits.POWER].sum() + nudged[2][circuits.POWER].sum())
    after = Program(program.law, known, back, a, contraction, program.rounding)
    return Learned(torch.from_numpy(error), power, after, torch.from_numpy(into), torch.from_numpy(rows))


def forced(x: torch.Tensor, difference: torch.Tensor, common: torch.Tensor) -> torch.Tensor:
    """x difference + common, to the digits of the conductances, in double precision, A, (B, nodes).

    Args:
        x: Voltages of the inputs, V, (B, inputs).
        difference: G+ - G-, S, (inputs, nodes).
        common: Current of the bias line, A, (nodes,).
    """
    x = _inputs(x, difference)
    return torch.from_numpy(_forced(x, difference, common, _few_lit(x)))


def slopes(
    circuit: ResistiveCircuit, towards: list[torch.Tensor], away: list[torch.Tensor], rates: list[float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Slopes of two operating points, the voltages `towards` and `away` of both layers, each times the rate of its crossbar.

    Returns:
        What all rows of the first crossbar have in common, (nodes,); moves d of its nodes, (B, nodes), and their sum, (nodes,); and the
        slopes of the second crossbar, (nodes, outputs).
    """
    assert circuit.program is not None
    arrays = _slopes(circuit.program, [compiled.doubles(v) for v in (*towards, *away)], np.array(rates))
    return tuple(torch.from_numpy(v) for v in arrays)  # pyright: ignore[reportReturnType]


def _inputs(x: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
    """x as kernels take it, which check no shapes."""
    if x.ndim != 2 or not len(x) or x.shape[1] != len(difference):
        raise InputError(f"inputs must be (samples, {len(difference)}), at least one sample, got {tuple(x.shape)}")
    return x.detach().to(difference.dtype).contiguous()


def _few_lit(x: torch.Tensor) -> bool:
    """Whether products with x are faster by its values that are not 0."""
    return int(np.count_nonzero(x.numpy())) < _FEW * x.numel()


def _forced(x: torch.Tensor, difference: torch.Tensor, common: torch.Tensor, few: bool) -> np.ndarray:
    if not few:
        return torch.addmm(common, x, difference).double().numpy()
    currents = np.empty((len(x), difference.shape[1]))
    learning.drive(x.numpy(), difference.numpy(), common.numpy(), currents)
    return currents


def _slopes(program: Program, voltages: Sequence[np.ndarray], rates: np.ndarray) -> tuple[np.ndarray, ...]:
    u, y, w, z = voltages
    common, move, moved, second = np.empty(u.shape[1]), np.empty_like(u), np.empty(u.shape[1]), np.empty((u.shape[1], y.shape[1]))
    learning.slopes(u, y, w, z, program.known, rates, common, move, moved, second)
    return common, move, moved, second


def _phases(program: Program, currents: np.ndarray, batch: Batch) -> tuple[np.ndarray, compiled.Points, compiled.Points]:
    """Errors of the outputs, and the free and the nudged points."""
    (samples, half), tolerance = batch.target.shape, batch.tolerance
    rounding = ROUNDING * torch.finfo(torch.float64).eps
    free = compiled.solved(program, currents, np.zeros((samples, 2 * half)), compiled.NO_START, tolerance, rounding)
    error = free[1][:, :half] - free[1][:, half:] - compiled.doubles(batch.target)
    if batch.noise is not None:
        error += compiled.doubles(batch.noise)
    nudge = batch.beta * np.concatenate((-error, error), 1)
    injected = nudge if batch.nudges == 1 else np.concatenate((nudge, -nudge))
    nudged = compiled.solved(program, currents, injected, free[:2], tolerance, rounding)
    for points in (free, nudged):
        if not (points[2][circuits.ERROR] <= tolerance).all():
            compiled.point(points, torch.float64).within(tolerance, samples, "descent")
    return error, free, nudged
