"""Netlists of resistive circuits and linear networks for ngspice, and their solutions from it, run as a process.

The naive deck of a resistive circuit has one resistor for each conductance. The folded one replaces the sources of the first crossbar by
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

import numpy as np
import torch

from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.elements import DiodePair, PiecewiseLinear, Shockley, Value
from aimco.circuit.linear import Linear
from aimco.record import InputError

OPTIONS = ".options reltol=1e-11 vntol=1e-14 abstol=1e-18 gmin=1e-25 itl1=1000 tnom=27\n.temp 27"
_FAR = 100.0  # V, to which the ends of a measured diode are prolonged


def netlist(circuit: ResistiveCircuit, sources: torch.Tensor, injected: torch.Tensor | None = None, *, folded: bool = False) -> str:
    """A deck of the circuit with one sample.

    Nodes are u<layer>_<number>, layers from 1; the deck prints the voltage of each. A crossbar with wires is there with all of them.

    Args:
        circuit: Of Shockley or piecewise-linear diodes.
        sources: Voltages at its inputs, V, (inputs,).
        injected: Currents into its outputs, A, (outputs,).
        folded: Whether the first crossbar is one source and one resistor for each node.

    Raises:
        InputError: Diodes that ngspice does not have.
    """
    lines = ["* layered resistive network, made by aimco", OPTIONS, *_first(circuit, sources, folded)]
    for k in range(circuit.layers - 1):
        lines += [*_hidden(circuit, k), *_resistors(circuit, k + 1)]
    if injected is not None:
        lines += [f"I{j} 0 u{circuit.layers}_{j} {value:.17g}" for j, value in enumerate(injected.tolist())]
    return op_deck(lines, [f"v({name})" for name in _names(circuit)])


def op_deck(lines: list[str], results: list[str]) -> str:
    """A deck of these lines that finds the operating point and prints these results."""
    prints = [f"print {name}" for name in results]
    return "\n".join([*lines, ".control", "set numdgt=16", "op", *prints, "quit", ".endc", ".end", ""])


def _names(circuit: ResistiveCircuit) -> list[str]:
    return [f"u{k + 1}_{j}" for k, g in enumerate(circuit.plus) for j in range(g.shape[1])]


def _first(circuit: ResistiveCircuit, sources: torch.Tensor, folded: bool) -> Iterator[str]:
    if folded:
        for j, (current, into) in enumerate(zip(circuit.forced(sources).tolist(), circuit.into[0].tolist(), strict=True)):
            yield f"V1_{j} s{j} 0 {current / into:.17g}\nR1_{j} s{j} u1_{j} {1 / into:.17g}"
        return
    for i, volts in enumerate(sources.tolist()):
        yield f"V1_{i} p0_{i} 0 {volts:.17g}"
        if circuit.inverted[0] is not None:
            yield f"Vn1_{i} n0_{i} 0 {-volts:.17g}"
    yield from _resistors(circuit, 0)


def _resistors(circuit: ResistiveCircuit, k: int) -> Iterator[str]:
    """Conductances of crossbar k, counted from 0, from its lines p and those with the sign turned, n."""
    for number, (a, b, g) in enumerate(circuit.resistors(k)):
        yield f"Rg{k + 1}_{number} {a} {b} {1 / g:.17g}"


def _hidden(circuit: ResistiveCircuit, k: int) -> Iterator[str]:
    """Diodes and amplifiers of a hidden layer."""
    nodes, layer = circuit.plus[k].shape[1], k + 1
    gain, offset = (value[k].expand(nodes).tolist() for value in (circuit.gain, circuit.offset))
    for j in range(nodes):
        yield from _pair(circuit.diodes[k], f"{layer}_{j}", j, nodes)
        yield f"E{layer}_{j} e{layer}_{j} o{layer}_{j} u{layer}_{j} 0 {gain[j]:.17g}"
        yield f"Vo{layer}_{j} o{layer}_{j} 0 {offset[j]:.17g}"
        yield f"Vs{layer}_{j} e{layer}_{j} p{layer}_{j} 0"
        yield f"F{layer}_{j} u{layer}_{j} 0 Vs{layer}_{j} {1 / gain[j]:.17g}"
        if circuit.inverted[layer] is not None:
            yield f"En{layer}_{j} m{layer}_{j} 0 p{layer}_{j} 0 -1\nVt{layer}_{j} m{layer}_{j} n{layer}_{j} 0"
            yield f"Fn{layer}_{j} u{layer}_{j} 0 Vt{layer}_{j} {-1 / gain[j]:.17g}"


def _pair(pair: DiodePair, name: str, j: int, nodes: int) -> Iterator[str]:
    def at_node(value: Value) -> float:
        return float(torch.as_tensor(value, dtype=torch.float64).expand(nodes)[j])

    yield f"Vh{name} h{name} 0 {at_node(pair.high):.17g}"
    yield f"Vl{name} l{name} 0 {at_node(pair.low):.17g}"
    if isinstance(pair, PiecewiseLinear):
        yield from _measured(pair, name)
        return
    if not isinstance(pair, Shockley):
        raise InputError(f"diodes must be shockley or piecewise-linear for a netlist, got {type(pair).__name__}: ngspice has no others")
    if pair.as_ngspice:
        yield f".model D{name} D(IS={at_node(pair.saturation):.17g} N={at_node(pair.ideality):.17g})"
        yield f"Da{name} u{name} h{name} D{name}\nDb{name} l{name} u{name} D{name}"
        return
    thermal, saturation = at_node(pair.thermal), at_node(pair.saturation)
    for one, (plus, minus) in {"a": (f"u{name}", f"h{name}"), "b": (f"l{name}", f"u{name}")}.items():
        yield f"B{one}{name} {plus} {minus} I={saturation:.17g}*(exp(min(V({plus},{minus})/{thermal:.17g},700))-1)"


def _measured(pair: PiecewiseLinear, name: str) -> Iterator[str]:
    v, i = list(pair.volts), list(pair.amperes)
    first, last = (i[1] - i[0]) / (v[1] - v[0]), (i[-1] - i[-2]) / (v[-1] - v[-2])
    points = [(v[0] - _FAR, i[0] - first * _FAR), *zip(v, i, strict=True), (v[-1] + _FAR, i[-1] + last * _FAR)]
    listed = ",".join(f"{x:.17g},{y:.17g}" for x, y in points)
    yield f"Ba{name} u{name} h{name} I=pwl(V(u{name},h{name}),{listed})\nBb{name} l{name} u{name} I=pwl(V(l{name},u{name}),{listed})"


def operating_point(
    circuit: ResistiveCircuit,
    sources: torch.Tensor,
    injected: torch.Tensor | None = None,
    *,
    folded: bool = False,
    timeout: float = 600.0,
) -> tuple[list[torch.Tensor], float]:
    """Voltages of each layer by ngspice, V, (nodes,), and the seconds that it ran. Arguments as of `netlist`.

    Raises:
        InputError: ngspice is not installed.
        RuntimeError: It found no operating point, or not in time.
    """
    output, seconds = run(netlist(circuit, sources, injected, folded=folded), timeout)
    values = iter(printed(output, [f"v({name})" for name in _names(circuit)]))
    dtype = circuit.conductances[0].dtype
    return [torch.tensor([next(values) for _ in range(g.shape[1])], dtype=dtype) for g in circuit.plus], seconds


def run(deck: str, timeout: float = 600.0) -> tuple[str, float]:
    """What ngspice prints for a deck, and the seconds that it ran. Raises as `operating_point`."""
    return _run(deck, timeout)[:2]


def _run(deck: str, timeout: float, file: str | None = None) -> tuple[str, float, np.ndarray]:
    """The same, and the table that it wrote to a file."""
    program = shutil.which("ngspice")
    if program is None:
        raise InputError(
            "ngspice must be installed to solve netlists (Debian and Ubuntu: apt-get install ngspice; macOS: brew install ngspice)"
        )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "deck.cir").write_text(deck)
        started, command = time.perf_counter(), [program, "-b", "deck.cir"]
        try:
            process = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=folder)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"ngspice found no operating point in {timeout:g} s; allow more time or a smaller network") from None
        seconds, output, table = time.perf_counter() - started, f"{process.stdout}\n{process.stderr}", np.empty((0, 0))
        if file is not None:
            if not (Path(folder) / file).is_file():
                raise RuntimeError(f"ngspice wrote nothing: {output.strip().splitlines()[-1]}")
            table = np.loadtxt(Path(folder) / file, ndmin=2)
        return output, seconds, table


def printed(output: str, names: list[str]) -> list[float]:
    """The values that ngspice printed under these names."""
    values = {name: float(value) for name, value in re.findall(r"^(\S+\(\S+\)) = (\S+)", output, re.MULTILINE)}
    missing = [name for name in names if name not in values]
    if missing:
        lines = [line for line in output.splitlines() if line.strip()]
        raise RuntimeError(f"ngspice gave no {missing[0]}: {lines[-1] if lines else 'it printed nothing'}")
    return [values[name] for name in names]


def linear_netlist(net: Linear, volts: np.ndarray, transient: tuple[float, float] | None = None) -> str:
    """A deck of a linear network; it prints the current into each source, i(v<number>).

    Args:
        net: The network.
        volts: Voltages at its held nodes, V, (held,).
        transient: Step and end, s: voltages step from 0 at the start, and currents are written to a file.
    """
    node, sources = net.node, range(len(net.held))
    lines = ["* linear network, made by aimco", OPTIONS if transient is None else OPTIONS.replace("reltol=1e-11", "reltol=1e-5")]
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
        return op_deck(lines, [f"i(v{k})" for k in sources])
    step, stop = transient
    written = " ".join(f"i(v{k})" for k in sources)
    run = [f"tran {step:.9g} {stop:.9g} 0 {step:.9g} uic", "set wr_singlescale", f"wrdata currents.txt {written}", "quit"]
    return "\n".join([*lines, ".control", *run, ".endc", ".end", ""])


def linear_currents(net: Linear, volts: np.ndarray, *, timeout: float = 600.0) -> np.ndarray:
    """Currents into what holds the held nodes, A, by ngspice. Raises as `operating_point`."""
    output, _ = run(linear_netlist(net, volts), timeout)
    return np.array(printed(output, [f"i(v{k})" for k in range(len(net.held))]))


def linear_transient(net: Linear, volts: np.ndarray, step: float, stop: float, *, timeout: float = 600.0) -> tuple[np.ndarray, np.ndarray]:
    """Instants, s, and the currents of `linear_currents` at them, (instants, held), after a step of all voltages from 0, by ngspice."""
    _, _, table = _run(linear_netlist(net, volts, (step, stop)), timeout, "currents.txt")
    return table[:, 0], table[:, 1:]
