"""Max-Cut by spiking neurons around an array of phase-change pairs, a vertex on one side if it fired in the window (Kang 2024).

Random graphs of 20, 40 and 60 vertices, four edges a vertex on average, three of each, each run four times for 2 s. Noise of random walks
falls from four times that of the neurons to itself; beside it noise that stays, and weights on 6T-2R pairs, each written to within half
a pulse. The largest cut is exact for 20 vertices (all 2^19 of them), for more the best of 1000 local searches; a local search moves the
vertex that gains most until none gains. Kang 2024 (Adv. Sci. 2406433) has a spiking Boltzmann machine on a chip of 6T-2R cells, windows
that overlap, annealing and shared biases; graphs and settings here are ours.

Usage: python kang2024_maxcut.py [--quick] [--redraw] [--out FOLDER]      (1 min; writes kang2024-maxcut.json and .png)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _figure import figure_of

from aimco.arrays.spec import ArraySpec
from aimco.cell.pair6t2r import Pair6t2r
from aimco.device.device import Device
from aimco.mapping import AnalogMatrix
from aimco.spiking.max_cut import Annealed, MaxCut, cut

SIZES, GRAPHS, SEEDS, DEGREE, EXACT = (20, 40, 60), 3, 4, 4, 20
HEATS, SECONDS = np.geomspace(4, 1, 10), 0.2
TOP = 8.0  # weight of a pair at its full range


def random_graph(count: int, seed: int) -> np.ndarray:
    """An edge between any two vertices with the same chance."""
    draws = np.random.default_rng([count, seed])
    half = np.triu(draws.random((count, count)) < DEGREE / (count - 1), 1)
    return (half | half.T).astype(float)


def searched(graph: np.ndarray, starts: int) -> np.ndarray:
    """Cuts that local searches end at, (starts,)."""
    draws, cuts = np.random.default_rng(0), np.empty(starts)
    for k in range(starts):
        side = draws.choice([-1, 1], len(graph))
        while (gain := side * (graph @ side)).max() > 0:
            side[gain.argmax()] *= -1
        cuts[k] = cut(graph, (side + 1) / 2)
    return cuts


def exact(graph: np.ndarray) -> float:
    """The largest cut, of all; the first vertex stays."""
    best = 0.0
    for first in range(0, 2 ** (len(graph) - 1), 2**16):
        states = np.arange(first, first + 2**16)
        sides = ((states[:, None] >> np.arange(len(graph))) & 1).astype(np.float32)
        best = max(best, float(((sides @ graph.astype(np.float32)) * (1 - sides)).sum(1).max()))
    return best


def on_pairs(solver: MaxCut) -> None:
    """Weights as pairs of phase-change memory hold them after write and verify."""
    machine = solver.machine
    matrix = AnalogMatrix(
        ArraySpec(Device.named("pcm"), Pair6t2r(weight_max=TOP)),
        solver.count,
        solver.count,
        seeds=machine.seeds,
        names=("max cut",),
    )
    matrix.program(torch.from_numpy(machine.weights))
    plus, minus = matrix.noisy_state()
    machine.weights = ((plus - minus) * TOP / 2).numpy()


def summarise(ran: Annealed, solver: MaxCut) -> dict[str, Any]:
    """Best and last window of each run, the mean cut at each heat, and what it took."""
    return {
        "best": ran.best.tolist(),
        "last": ran.last.tolist(),
        "mean_at_heat": ran.cuts.mean((0, 2)).tolist(),
        "copies_agree": float(ran.agree[:, -1].mean()),
        "spikes": float(solver.machine.events.sum(1).mean()),
    }


def solved(count: int, seed: int) -> dict[str, Any]:
    """One graph: what searches find, and what the machine does."""
    graph = random_graph(count, seed)
    local = searched(graph, 1000)
    best = exact(graph) if count <= EXACT else float(local.max())
    result = {
        "vertices": count,
        "edges": int(graph.sum() / 2),
        "largest_is": "exact" if count <= EXACT else "best of 1000 local searches",
        "largest": best,
        "local_search": {"mean": float(local.mean()), "share_at_largest": float((local == best).mean())},
    }
    for name, heats in (("annealed", HEATS), ("constant noise", np.ones(len(HEATS))), ("annealed, on pairs", HEATS)):
        solver = MaxCut(graph, seeds=range(SEEDS))
        if name.endswith("pairs"):
            on_pairs(solver)
        result[name] = summarise(solver.anneal(heats, SECONDS), solver)
    at_best = sum(b >= best for b in result["annealed"]["best"])
    print(f"{count} vertices, graph {seed}: largest {best:g}, reached by {at_best} of {SEEDS} runs", flush=True)
    return result


def run(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    sizes, graphs = (SIZES[:1], 1) if chosen.quick else (SIZES, GRAPHS)
    return [solved(count, seed) for count in sizes for seed in range(graphs)]


def draw(results: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    course, ends = figure.subplots(1, 2)
    sizes = sorted({one["vertices"] for one in results})
    for count in sizes:
        same_size = [one for one in results if one["vertices"] == count]
        share = np.mean([np.array(one["annealed"]["mean_at_heat"]) / one["largest"] for one in same_size], 0)
        course.plot(SECONDS * np.arange(1, len(share) + 1), share, marker="o", label=f"{count} vertices")
    course.set(xlabel="time (s), noise falling from 4 to 1", ylabel="mean cut / largest cut", title="Annealing")
    course.legend()
    for k, name in enumerate(("annealed", "constant noise", "annealed, on pairs")):
        for which, marker in (("best", "o"), ("last", "x")):
            x = np.arange(len(results)) + 0.2 * (k - 1)
            y = [np.mean(one[name][which]) / one["largest"] for one in results]
            ends.plot(x, y, marker, color=f"C{k}", label=f"{name}: {which} window", markersize=5)
    local = [one["local_search"]["mean"] / one["largest"] for one in results]
    ends.plot(range(len(results)), local, "_", color="black", markersize=14, label="one local search, mean")
    ends.set_xticks(range(len(results)), [str(one["vertices"]) for one in results])
    ends.set(xlabel="vertices of the graph", ylabel="cut / largest cut, mean of 4 runs", title="What is found", ylim=(0.8, 1.01))
    ends.legend(fontsize="x-small", loc="lower left")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    figure_of("kang2024-maxcut", run, draw)
