"""Circuits: resistive networks, and arrays whose wires drop voltage."""

from __future__ import annotations

import functools
import itertools
import statistics
import time

import numpy as np
import torch

from aimco.arrays.wired import WiredArray
from aimco.arrays.wires import Wires
from aimco.bench.timing import OnCase, median, row
from aimco.circuit.elements import Ideal, Shockley
from aimco.circuit.solvers import solve
from aimco.circuit.spice import operating_point
from aimco.learning.equilibrium import Equilibrium
from aimco.peers.wires import wired
from aimco.plain_data import PlainData
from aimco.resistive.network import ResistiveNetwork
from aimco.resistive.parts import Parts
from aimco.resistive.phases import Phases

_DRIVE = 60.0  # V, that brings about a third of the diodes of a network that has not learned to conduct
_ELIMINATED = 256  # cells per line up to which the peers are timed: SuperLU takes minutes and gigabytes beyond


def circuit(on_case: OnCase) -> list[PlainData]:
    """Resistive networks solved to 1e-6 V, ms per sample: an operating point beside ngspice's, and steps of equilibrium propagation."""
    rows, draws = [], torch.Generator().manual_seed(0)
    sizes = ((Shockley(as_ngspice=True), 100, 10, 64), (Shockley(), 100, 10, 64), (Ideal(), 100, 5, 32), (Ideal(), 1024, 5, 32))
    for (diodes, hidden, outputs, batch), dtype in itertools.product(sizes, (torch.float64, torch.float32)):
        name = "ideal" if isinstance(diodes, Ideal) else "shockley"
        case = f"{name}/1568-{hidden}-{2 * outputs}/batch{batch}/{str(dtype).removeprefix('torch.')}"
        network = ResistiveNetwork([784, hidden, outputs], Parts(diodes, dtype=dtype))
        lit = torch.rand(batch, 784, generator=draws) < 0.2
        x = (_DRIVE * torch.rand(batch, 784, generator=draws) * lit).to(dtype)
        target = torch.nn.functional.one_hot(torch.arange(batch) % outputs, outputs).to(dtype)
        if isinstance(diodes, Shockley) and diodes.as_ngspice:
            if dtype == torch.float32:
                continue
            on_case(f"operating-point/{case}")
            built, sources = network.circuit(), network.sources(x)
            ours = median(functools.partial(solve, built, sources, tolerance=1e-6)) * 1e3 / batch
            theirs = statistics.median(operating_point(built, sources[k], folded=True)[1] for k in range(5)) * 1e3
            rows.append(row(f"operating-point/{case}", ours, "ms/sample", "ngspice, folded deck", theirs))
            continue
        on_case(f"equilibrium-propagation/{case}")
        rule = Equilibrium(lr=1.0, layer_lr=(1.0,))
        ours = median(functools.partial(rule.step, network, x, target), runs=51) * 1e3 / batch
        phases = rule.solve(network, x, target)
        theirs = median(functools.partial(_every_drop, network, phases), runs=3, warm=1) * 1e3 / batch
        peer = "the gradient alone, by the drops of every device in every sample"
        rows.append(row(f"equilibrium-propagation/{case}", ours, "ms/sample", peer, theirs))
    return rows


def _every_drop(network: ResistiveNetwork, phases: Phases) -> list[torch.Tensor]:
    """The gradient as it is often written: the voltage across each device in each sample, squared, differences summed."""
    circuit, sources = network.circuit(), network.lines(phases.x)
    pairs = zip(circuit.drops(sources, phases.towards), circuit.drops(sources, phases.away), strict=True)
    return [((p[:, :, None] - u[:, None]) ** 2 - (q[:, :, None] - w[:, None]) ** 2).sum(0) for (p, u), (q, w) in pairs]


_WIRED = ((64, 1.0, 1), (128, 5.0, 1), (256, 1.0, 1), (256, 1.0, 64), (512, 1.0, 1), (1024, 1.0, 1), (1024, 5.0, 1))  # cells, Ohm, vectors


def wires(on_case: OnCase) -> list[PlainData]:
    """Reads of crossbars with wires of the same resistance in every segment, cold (lines eliminated anew), to 1e-6, ms."""
    rows = []
    for size, ohm, batch in _WIRED:
        case = f"read/{size}x{size}/{ohm:g}-Ohm/batch{batch}"
        on_case(case)
        draws = np.random.default_rng(size)
        g, volts = draws.uniform(1e-6, 1e-4, (size, size)), draws.uniform(0, 0.2, (batch, size))
        lines = Wires(word_ohm=ohm, bit_ohm=ohm, tolerance=1e-6)
        ours = functools.partial(_read, torch.from_numpy(g), lines, torch.from_numpy(volts))
        value = median(ours, runs=9 if size < 512 else 5, warm=1) * 1e3
        for peer, work in (wired(g, lines, volts) if size <= _ELIMINATED else {}).items():
            started = time.perf_counter()
            reference = work()
            seconds = time.perf_counter() - started
            error = float(np.abs(ours().numpy() - reference).max() / np.abs(reference).max())
            rows.append(row(case, value, "ms", peer, seconds * 1e3) | {"error": error})
        if size > _ELIMINATED:  # beside the same read of an array whose lines are eliminated already
            array = WiredArray(torch.from_numpy(g), lines)
            warm = median(functools.partial(array.mvm, torch.from_numpy(volts)), runs=5, warm=1) * 1e3
            rows.append(row(case, value, "ms", "the same, factored before", warm))
    return rows


def _read(g: torch.Tensor, lines: Wires, volts: torch.Tensor) -> torch.Tensor:
    return WiredArray(g, lines).mvm(volts)
