"""The operating point of a resistive circuit, by the solver that suits it."""

from __future__ import annotations

from typing import Literal

import torch

from aimco.circuit import compiled, descent, newton
from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.operating_point import OperatingPoint
from aimco.record import InputError

Method = Literal["descent", "newton"]


def solve(
    circuit: ResistiveCircuit,
    sources: torch.Tensor,
    injected: torch.Tensor | None = None,
    *,
    start: OperatingPoint | None = None,
    tolerance: float = 1e-6,
    method: Method | None = None,
    steps: int | None = None,
) -> OperatingPoint:
    """The operating point with voltages at the inputs and currents into the outputs.

    Args:
        circuit: To solve.
        sources: Voltages at the inputs, V, (B, inputs).
        injected: Currents into the outputs, A, (B, outputs); 0 when absent.
        start: A near operating point.
        tolerance: Of every voltage, V.
        method: Descent by layers (one hidden layer, ideal diodes, gains that differ within a layer), or Newton with conjugate gradients
            (depth, wires); chosen by the circuit when absent.
        steps: Most sweeps or Newton steps; the default of the solver when absent.

    Raises:
        InputError: Shapes; a method that does not apply.
        RuntimeError: A sample did not converge to the tolerance; names it and its error.
    """
    inputs = circuit.plus[0].shape[0]
    if sources.ndim != 2 or sources.shape[1] != inputs:
        raise InputError(f"sources must be (samples, {inputs}) voltages, got {tuple(sources.shape)}")
    return solve_forced(circuit, circuit.forced(sources), injected, start=start, tolerance=tolerance, method=method, steps=steps)


def solve_forced(
    circuit: ResistiveCircuit,
    forced: torch.Tensor,
    injected: torch.Tensor | None = None,
    *,
    start: OperatingPoint | None = None,
    tolerance: float = 1e-6,
    method: Method | None = None,
    steps: int | None = None,
) -> OperatingPoint:
    """`solve` where the currents that the sources alone send into the first layer are known, of one phase or several.

    Args:
        circuit: To solve.
        forced: A, (B, nodes). Where they are in double precision, so are the voltages of compiled descent, of currents that conductances
            in float32 tell to fewer digits than the error knows of.
        injected: A, (B, outputs), or of several phases one after the other, (phases B, outputs); so are the voltages then.
        start: A near operating point for all phases, (B, ...).
        tolerance: As in `solve`.
        method: As in `solve`.
        steps: As in `solve`.
    """
    phases, chosen = _phases(circuit, len(forced), injected), _method(circuit, method)
    samples, guess = len(forced), None if start is None else start.nodes
    solver = descent.solve if chosen == "descent" else newton.solve
    if chosen == "descent" and circuit.program is not None:
        solver = compiled.solve
    elif phases > 1:
        forced, guess = forced.repeat(phases, 1), None if guess is None else [u.repeat(phases, 1) for u in guess]
    options = {} if steps is None else {"steps": steps}
    return solver(circuit, forced, injected, guess, tolerance, **options).within(tolerance, samples, chosen)


def _phases(circuit: ResistiveCircuit, samples: int, injected: torch.Tensor | None) -> int:
    if injected is None:
        return 1
    phases, outputs = len(injected) // max(samples, 1), circuit.plus[-1].shape[1]
    if not phases or injected.shape != (phases * samples, outputs):
        raise InputError(f"injected must be ({samples}, {outputs}) currents, got {tuple(injected.shape)}")
    return phases


def _method(circuit: ResistiveCircuit, asked: Method | None) -> Method:
    """The method asked for where it applies, or the one that suits the circuit."""
    if asked == "newton" and not circuit.newtonian:
        raise InputError("method must be descent where diodes are ideal or gains differ within a layer, got newton")
    if asked == "descent" and circuit.wired:
        raise InputError("method must be newton where crossbars have wires, got descent: their nodes are not solved one by one")
    return asked or ("newton" if circuit.wired or (circuit.layers > 2 and circuit.newtonian) else "descent")
