"""Netlists of wired crossbars for ngspice, and their currents from it."""

from __future__ import annotations

import itertools

import torch

from aimco.arrays.laws import Law
from aimco.arrays.wires import Wires
from aimco.circuit.spice import OPTIONS, op_deck, printed, run


def wired_netlist(
    conductances: torch.Tensor, wires: Wires, voltages: torch.Tensor, transposed: bool = False, law: Law | None = None
) -> str:
    """A deck of a wired crossbar; it prints the currents into the sense ends, i(vb<column>), and into the drivers, i(vw<row>).

    Args:
        conductances: Of the cells, S, (rows, columns).
        wires: Resistances of the lines.
        voltages: Of the drivers, V, (rows,), or where transposed of the sense ends, (columns,).
        transposed: Whether columns are driven.
        law: That cells follow; they are resistors when absent.
    """
    (rows, columns), cells = conductances.shape, conductances.tolist()
    volts = {"w": voltages.tolist(), "b": [0.0] * columns} if not transposed else {"w": [0.0] * rows, "b": voltages.tolist()}
    lines = ["* wired crossbar, made by aimco", OPTIONS]
    ends = {"w": wires.driver_ohm + wires.word_ohm, "b": wires.sense_ohm + wires.bit_ohm}
    nodes = {
        "w": [[_on_line("w", i, j, wires.word_ohm, ends["w"]) for j in range(columns)] for i in range(rows)],
        "b": [[_on_line("b", j, i, wires.bit_ohm, ends["b"]) for i in range(rows)] for j in range(columns)],
    }
    for kind, segment in (("w", wires.word_ohm), ("b", wires.bit_ohm)):
        for k, line in enumerate(nodes[kind]):
            lines.append(f"V{kind}{k} end{kind}{k} 0 {volts[kind][k]:.17g}")
            held = [line[0], line[-1]] if kind == "w" and wires.both_sides else [line[0] if kind == "w" else line[-1]]
            lines += [f"R{kind}end{k}_{n} end{kind}{k} {node} {ends[kind]:.17g}" for n, node in enumerate(held) if ends[kind]]
            lines += [f"R{kind}{k}_{n} {a} {b} {segment:.17g}" for n, (a, b) in enumerate(itertools.pairwise(line)) if segment]
    lines += [
        _cell(f"{i}_{j}", nodes["w"][i][j], nodes["b"][j][i], cells[i][j], law) for i in range(rows) for j in range(columns) if cells[i][j]
    ]
    return op_deck(lines, [f"i(v{name})" for name in _held(rows, columns)])


def _cell(name: str, word: str, bit: str, g: float, law: Law | None) -> str:
    if law is None:
        return f"Rc{name} {word} {bit} {1 / g:.17g}"
    return f"Bc{name} {word} {bit} I={g:.17g}*({law.formula(f'V({word},{bit})')})"


def _on_line(kind: str, line: int, place: int, segment: float, end: float) -> str:
    """The node of a line at a place: one for all where the wire has no resistance, that of the source where its end has none either."""
    if segment:
        return f"{kind}{line}_{place}"
    return f"{kind}{line}" if end else f"end{kind}{line}"


def _held(rows: int, columns: int) -> list[str]:
    return [*(f"b{j}" for j in range(columns)), *(f"w{i}" for i in range(rows))]


def wired_currents(
    conductances: torch.Tensor,
    wires: Wires,
    voltages: torch.Tensor,
    transposed: bool = False,
    *,
    law: Law | None = None,
    timeout: float = 600.0,
) -> tuple[torch.Tensor, float]:
    """Currents that a read of a wired crossbar gives, A, by ngspice, and the seconds that it ran.

    Arguments as of `wired_netlist`; raises as `aimco.circuit.spice.operating_point`.
    """
    output, seconds = run(wired_netlist(conductances, wires, voltages, transposed, law), timeout)
    rows, columns = conductances.shape
    currents = torch.tensor(printed(output, [f"i(v{name})" for name in _held(rows, columns)]), dtype=torch.float64)
    return currents[columns:] if transposed else currents[:columns], seconds
