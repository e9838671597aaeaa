"""Netlists of layered networks, wired crossbars and linear networks for ngspice, and their operating points from it, run as a process.

The naive deck of a layered network has one resistor for each conductance. The folded one replaces the sources of the first crossbar by
what each node sees of them, one source behind one resistor (Thevenin), which has the same operating point and is what a fair timing is
made against.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from aimco.circuit.elements import DiodePair, PiecewiseLinear, Shockley
from aimco.circuit.linear import Linear
from aimco.circuit.network import Layered
from aimco.circuit.ported import Multiport, Plain, Ported
from aimco.record import InputError

if TYPE_CHECKING:
    from aimco.arrays.laws import Law
    from aimco.arrays.wires import Wires

_OPTIONS = ".options reltol=1e-11 vntol=1e-14 abstol=1e-18 gmin=1e-25 itl1=1000 tnom=27\n.temp 27"
_FAR = 100.0  # V, to which the ends of a measured diode are prolonged


def netlist(net: Layered, sources: torch.Tensor, injected: torch.Tensor | None = None, *, folded: bool = False) -> str:
    """A deck of the network with one sample: voltages at its inputs (inputs,), currents into its outputs (outputs,).

    Nodes are u<layer>_<number>, layers from 1; it prints the voltage of each. A crossbar with wires is there with all of them.
    """
    lines = ["* layered resistive network, made by aimco", _OPTIONS, *_first(net, sources, folded)]
    for k in range(net.layers - 1):
        lines += [*_hidden(net, k), *_resistors(net, k + 1)]
    if injected is not None:
        lines += [f"I{j} 0 u{net.layers}_{j} {value:.17g}" for j, value in enumerate(injected.tolist())]
    prints = [f"print v({name})" for name in _names(net)]
    return "\n".join([*lines, ".control", "set numdgt=16", "op", *prints, "quit", ".endc", ".end", ""])


def _names(net: Layered) -> list[str]:
    return [f"u{k + 1}_{j}" for k, g in enumerate(net.conductances) for j in range(g.shape[1])]


def _first(net: Layered, sources: torch.Tensor, folded: bool) -> Iterator[str]:
    if folded:
        for j, (current, into) in enumerate(zip(net.forced(sources).tolist(), net.into[0].tolist(), strict=True)):
            yield f"V1_{j} s{j} 0 {current / into:.17g}\nR1_{j} s{j} u1_{j} {1 / into:.17g}"
        return
    for i, volts in enumerate(sources.tolist()):
        yield f"V1_{i} p0_{i} 0 {volts:.17g}"
        if net.inverted[0] is not None:
            yield f"Vn1_{i} n0_{i} 0 {-volts:.17g}"
    yield from _resistors(net, 0)


def _resistors(net: Layered, k: int) -> Iterator[str]:
    """Conductances of crossbar k, counted from 0, from its lines p and those with the sign turned, n."""
    if isinstance(net, Ported):
        for line, side in (("p", net.crossbars), ("n", net.mirrored)):
            yield from _inside(side[k], f"{line}{k}", f"u{k + 1}") if side else ()
        return
    for line, g in (("p", net.plus[k]), ("n", net.inverted[k])):
        for i, row in enumerate([] if g is None else g.tolist()):
            yield from (f"R{line}{k + 1}_{i}_{j} {line}{k}_{i} u{k + 1}_{j} {1 / own:.17g}" for j, own in enumerate(row) if own)


def _inside(crossbar: Plain, line: str, column: str) -> Iterator[str]:
    """All resistors between the lines of a crossbar and the nodes that it ends at."""
    if not isinstance(crossbar, Multiport):
        for i, row in enumerate(crossbar.conductances.tolist()):
            yield from (f"R{line}_{i}_{j} {line}_{i} {column}_{j} {1 / own:.17g}" for j, own in enumerate(row) if own)
        return
    net, (rows, columns) = crossbar.circuit, crossbar.shape
    ports = [*((i, f"{line}_{i}") for i in range(rows)), *((crossbar.drivers + j, f"{column}_{j}") for j in range(columns))]
    names = [f"{line}x{k}" for k in range(net.count)]
    for k in net.held:
        names[k] = "0"
    for k, name in ports:
        names[net.held[k]] = name
    every = [zip(b.a.tolist(), b.b.tolist(), b.values.tolist(), strict=True) for b in net.resistors]
    for number, (a, b, g) in enumerate(itertools.chain(*every)):
        if g and net.node[a] != net.node[b]:
            yield f"R{line}_{number} {names[net.node[a]]} {names[net.node[b]]} {1 / g:.17g}"


def _hidden(net: Layered, k: int) -> Iterator[str]:
    """Diodes and amplifiers of a hidden layer."""
    nodes, layer = net.conductances[k].shape[1], k + 1
    gain, offset = (value[k].expand(nodes).tolist() for value in (net.gain, net.offset))
    for j in range(nodes):
        yield from _pair(net.diodes[k], f"{layer}_{j}", j, nodes)
        yield f"E{layer}_{j} e{layer}_{j} o{layer}_{j} u{layer}_{j} 0 {gain[j]:.17g}"
        yield f"Vo{layer}_{j} o{layer}_{j} 0 {offset[j]:.17g}"
        yield f"Vs{layer}_{j} e{layer}_{j} p{layer}_{j} 0"
        yield f"F{layer}_{j} u{layer}_{j} 0 Vs{layer}_{j} {1 / gain[j]:.17g}"
        if net.inverted[layer] is not None:
            yield f"En{layer}_{j} m{layer}_{j} 0 p{layer}_{j} 0 -1\nVt{layer}_{j} m{layer}_{j} n{layer}_{j} 0"
            yield f"Fn{layer}_{j} u{layer}_{j} 0 Vt{layer}_{j} {-1 / gain[j]:.17g}"


def _pair(pair: DiodePair, name: str, j: int, nodes: int) -> Iterator[str]:
    def own(value: object) -> float:
        return float(torch.as_tensor(value, dtype=torch.float64).expand(nodes)[j])

    yield f"Vh{name} h{name} 0 {own(pair.high):.17g}"
    yield f"Vl{name} l{name} 0 {own(pair.low):.17g}"
    if isinstance(pair, PiecewiseLinear):
        yield from _measured(pair, name)
        return
    if not isinstance(pair, Shockley):
        raise InputError(f"diodes must be shockley or piecewise-linear for a netlist, got {type(pair).__name__}: ngspice has no others")
    if pair.as_ngspice:
        yield f".model D{name} D(IS={own(pair.saturation):.17g} N={own(pair.ideality):.17g})"
        yield f"Da{name} u{name} h{name} D{name}\nDb{name} l{name} u{name} D{name}"
        return
    thermal, saturation = own(pair.thermal), own(pair.saturation)
    for one, (plus, minus) in {"a": (f"u{name}", f"h{name}"), "b": (f"l{name}", f"u{name}")}.items():
        yield f"B{one}{name} {plus} {minus} I={saturation:.17g}*(exp(min(V({plus},{minus})/{thermal:.17g},700))-1)"


def _measured(pair: PiecewiseLinear, name: str) -> Iterator[str]:
    v, i = list(pair.volts), list(pair.amperes)
    first, last = (i[1] - i[0]) / (v[1] - v[0]), (i[-1] - i[-2]) / (v[-1] - v[-2])
    points = [(v[0] - _FAR, i[0] - first * _FAR), *zip(v, i, strict=True), (v[-1] + _FAR, i[-1] + last * _FAR)]
    listed = ",".join(f"{x:.17g},{y:.17g}" for x, y in points)
    yield f"Ba{name} u{name} h{name} I=pwl(V(u{name},h{name}),{listed})\nBb{name} l{name} u{name} I=pwl(V(l{name},u{name}),{listed})"


def operating_point(
    net: Layered, sources: torch.Tensor, injected: torch.Tensor | None = None, *, folded: bool = False, timeout: float = 600.0
) -> tuple[list[torch.Tensor], float]:
    """Voltages of each layer by ngspice, and the seconds that it ran.

    Raises:
        InputError: ngspice is not installed. RuntimeError: it found no operating point, or not in time.
    """
    said, seconds = run(netlist(net, sources, injected, folded=folded), timeout)
    values = iter(printed(said, [f"v({name})" for name in _names(net)]))
    dtype = net.conductances[0].dtype
    return [torch.tensor([next(values) for _ in range(g.shape[1])], dtype=dtype) for g in net.conductances], seconds


def run(deck: str, timeout: float = 600.0) -> tuple[str, float]:
    """What ngspice says to a deck, and the seconds that it ran. Raises as `operating_point`."""
    return _ran(deck, timeout)[:2]


def _ran(deck: str, timeout: float, file: str | None = None) -> tuple[str, float, np.ndarray]:
    program = shutil.which("ngspice")
    if program is None:
        raise InputError(
            "ngspice must be installed to solve netlists (Debian and Ubuntu: apt-get install ngspice; macOS: brew install ngspice)"
        )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "deck.cir").write_text(deck)
        started = time.perf_counter()
        try:
            done = subprocess.run([program, "-b", "deck.cir"], capture_output=True, text=True, timeout=timeout, check=False, cwd=folder)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"ngspice found no operating point in {timeout:g} s; allow more time or a smaller network") from None
        seconds, said, written = time.perf_counter() - started, f"{done.stdout}\n{done.stderr}", np.empty((0, 0))
        if file is not None:
            if not (Path(folder) / file).is_file():
                raise RuntimeError(f"ngspice wrote nothing: {said.strip().splitlines()[-1]}")
            written = np.loadtxt(Path(folder) / file, ndmin=2)
        return said, seconds, written


def printed(said: str, names: list[str]) -> list[float]:
    """The values that ngspice printed under these names."""
    found = {name: float(value) for name, value in re.findall(r"^(\S+\(\S+\)) = (\S+)", said, re.MULTILINE)}
    missing = [name for name in names if name not in found]
    if missing:
        lines = [line for line in said.splitlines() if line.strip()]
        raise RuntimeError(f"ngspice gave no {missing[0]}: {lines[-1] if lines else 'it said nothing'}")
    return [found[name] for name in names]


def wired_netlist(
    conductances: torch.Tensor, wires: Wires, voltages: torch.Tensor, transposed: bool = False, law: Law | None = None
) -> str:
    """A deck of a wired crossbar (rows, columns), its drivers at voltages (rows,), or if transposed its sense ends at (columns,).

    It prints the currents into the sense ends, i(vb<column>), and into the drivers, i(vw<row>). Cells are resistors, or sources that
    follow a law.
    """
    (rows, columns), cells = conductances.shape, conductances.tolist()
    volts = {"w": voltages.tolist(), "b": [0.0] * columns} if not transposed else {"w": [0.0] * rows, "b": voltages.tolist()}
    lines = ["* wired crossbar, made by aimco", _OPTIONS]
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
    prints = [f"print i(v{name})" for name in _held(rows, columns)]
    return "\n".join([*lines, ".control", "set numdgt=16", "op", *prints, "quit", ".endc", ".end", ""])


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
    """Currents that a read of a wired crossbar gives, A, by ngspice, and the seconds that it ran. Raises as `operating_point`."""
    said, seconds = run(wired_netlist(conductances, wires, voltages, transposed, law), timeout)
    rows, columns = conductances.shape
    found = torch.tensor(printed(said, [f"i(v{name})" for name in _held(rows, columns)]), dtype=torch.float64)
    return found[columns:] if transposed else found[:columns], seconds


def linear_netlist(net: Linear, volts: np.ndarray, transient: tuple[float, float] | None = None) -> str:
    """A deck of a linear network with voltages at its held nodes, (held,); it prints the current into each source, i(v<number>).

    Args:
        transient: step and end, s: voltages step from 0 at the start, and currents are written to a file.
    """
    node, sources = net.node, range(len(net.held))
    lines = ["* linear network, made by aimco", _OPTIONS if transient is None else _OPTIONS.replace("reltol=1e-11", "reltol=1e-5")]
    lines += [f"V{k} n{held} 0 {v:.17g}" for k, (held, v) in enumerate(zip(net.held.tolist(), volts.tolist(), strict=True))]
    kinds = [("R", branches) for branches in net.resistors]
    if transient is not None and net.capacitors is not None:
        kinds.append(("C", net.capacitors))
    number = itertools.count()
    for kind, branches in kinds:
        for a, b, value in zip(node[branches.a].tolist(), node[branches.b].tolist(), branches.values.tolist(), strict=True):
            if value and a != b:
                lines.append(f"{kind}{next(number)} n{a} n{b} " + (f"{1 / value:.17g}" if kind == "R" else f"{value:.17g} ic=0"))
    if transient is None:
        return "\n".join([*lines, ".control", "set numdgt=16", "op", *(f"print i(v{k})" for k in sources), "quit", ".endc", ".end", ""])
    step, stop = transient
    written = " ".join(f"i(v{k})" for k in sources)
    run = [f"tran {step:.9g} {stop:.9g} 0 {step:.9g} uic", "set wr_singlescale", f"wrdata currents.txt {written}", "quit"]
    return "\n".join([*lines, ".control", *run, ".endc", ".end", ""])


def linear_currents(net: Linear, volts: np.ndarray, *, timeout: float = 600.0) -> np.ndarray:
    """Currents into what holds the held nodes, A, by ngspice. Raises as `operating_point`."""
    said, _ = run(linear_netlist(net, volts), timeout)
    return np.array(printed(said, [f"i(v{k})" for k in range(len(net.held))]))


def linear_transient(net: Linear, volts: np.ndarray, step: float, stop: float, *, timeout: float = 600.0) -> tuple[np.ndarray, np.ndarray]:
    """Instants, s, and the currents of `linear_currents` at them, (instants, held), after a step of all voltages from 0, by ngspice."""
    _, _, table = _ran(linear_netlist(net, volts, (step, stop)), timeout, "currents.txt")
    return table[:, 0], table[:, 1:]
