"""Netlists of layered networks for ngspice, and their operating points from it, run as a process.

The naive deck has one resistor for each conductance. The folded one replaces the sources of the first crossbar by what each node sees of
them, one source behind one resistor (Thevenin), which has the same operating point and is what a fair timing is made against.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from aimco.circuit.elements import DiodePair, PiecewiseLinear, Shockley
from aimco.circuit.network import Layered
from aimco.record import InputError

_OPTIONS = ".options reltol=1e-11 vntol=1e-14 abstol=1e-18 gmin=1e-25 itl1=1000 tnom=27\n.temp 27"
_FAR = 100.0  # V, to which the ends of a measured diode are prolonged


def netlist(net: Layered, sources: torch.Tensor, injected: torch.Tensor | None = None, *, folded: bool = False) -> str:
    """A deck of the network with one sample: voltages at its inputs (inputs,), currents into its outputs (outputs,).

    Nodes are u<layer>_<number>, layers from 1; it prints the voltage of each.
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
    for line, g in (("p", net.plus[k]), ("n", net.inverted[k])):
        for i, row in enumerate([] if g is None else g.tolist()):
            yield from (f"R{line}{k + 1}_{i}_{j} {line}{k}_{i} u{k + 1}_{j} {1 / own:.17g}" for j, own in enumerate(row) if own)


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
    program = shutil.which("ngspice")
    if program is None:
        raise InputError(
            "ngspice must be installed to solve netlists (Debian and Ubuntu: apt-get install ngspice; macOS: brew install ngspice)"
        )
    with tempfile.TemporaryDirectory() as folder:
        deck = Path(folder) / "deck.cir"
        deck.write_text(netlist(net, sources, injected, folded=folded))
        started = time.perf_counter()
        try:
            done = subprocess.run([program, "-b", str(deck)], capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"ngspice found no operating point in {timeout:g} s; allow more time or a smaller network") from None
        seconds = time.perf_counter() - started
    found = {name: float(value) for name, value in re.findall(r"v\((u\d+_\d+)\) = (\S+)", done.stdout)}
    missing = [name for name in _names(net) if name not in found]
    if missing:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RuntimeError(f"ngspice gave no voltage of {missing[0]}: {said[-1] if said else 'it said nothing'}")
    values = iter(found[name] for name in _names(net))
    dtype = net.conductances[0].dtype
    return [torch.tensor([next(values) for _ in range(g.shape[1])], dtype=dtype) for g in net.conductances], seconds
