"""Operating points of one hidden layer of Shockley or ideal diodes by compiled descent, each sample until it has settled."""

from __future__ import annotations

import numpy as np
import torch

from aimco.circuit import descent
from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.operating_point import ROUNDING, OperatingPoint
from aimco.circuit.program import Program
from aimco.kernels import circuits

Points = tuple[np.ndarray, np.ndarray, np.ndarray]  # voltages of both layers, (points, nodes), and rows of results, (FOUND, points)
NO_START = (np.empty((0, 0)), np.empty((0, 0)))


def solve(
    circuit: ResistiveCircuit,
    forced: torch.Tensor,
    injected: torch.Tensor | None,
    start: list[torch.Tensor] | None,
    tolerance: float,
    steps: int = descent.STEPS,
) -> OperatingPoint:
    """As `descent.solve`, of one phase after the other, and power; the error is bounded by how much a sweep shrinks it at least."""
    program = circuit.program
    assert program is not None
    into = np.zeros((len(forced), len(program.a))) if injected is None else doubles(injected)
    first = NO_START if start is None else (doubles(start[0]), doubles(start[1]))
    rounding = ROUNDING * torch.finfo(forced.dtype).eps
    return point(solved(program, doubles(forced), into, first, tolerance, rounding, steps), forced.dtype)


def solved(
    program: Program,
    forced: np.ndarray,
    injected: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    tolerance: float,
    rounding: float,
    steps: int = descent.STEPS,
) -> Points:
    """Operating points in double precision.

    Args:
        program: Of the circuit.
        forced: Currents that the sources send into the hidden layer, A, (B, nodes).
        injected: Currents into the outputs, A, of one phase after the other, (points, outputs).
        start: Voltages of both layers to start from, V, (B, nodes), or `NO_START`.
        tolerance: Of every voltage, V.
        rounding: Relative error of the forced currents.
        steps: Most sweeps.
    """
    points = len(injected)
    rows = np.empty((points, program.known.shape[1])), np.empty((points, len(program.a))), np.empty((circuits.FOUND, points))
    settings = program.contraction, tolerance, (rounding, program.rounding), steps
    circuits.solve(program.law, program.known, program.back, program.a, forced, injected, start, *settings, *rows)
    return rows


def point(points: Points, dtype: torch.dtype) -> OperatingPoint:
    """The operating point in the precision that its currents are known in."""
    *voltages, results = points
    nodes, rows = [torch.from_numpy(v).to(dtype) for v in voltages], torch.from_numpy(results)
    error, residual = rows[circuits.ERROR].to(dtype), rows[circuits.RESIDUAL].to(dtype)
    return OperatingPoint(nodes, error, residual, int(results[circuits.SWEEPS].max(initial=0)), rows[circuits.POWER])


def doubles(values: torch.Tensor) -> np.ndarray:
    """A tensor as an array in double precision, as kernels take it."""
    return values.detach().to(torch.float64).contiguous().numpy()
