"""Max-Cut on a spiking Boltzmann machine: each vertex as two neurons that an array ties to each other, under noise that falls.

An array couples its rows with its columns, and no row with a row. So each vertex is one visible and one hidden neuron: forward reads take
the spikes of one copy to the neighbours' other copies, backward reads the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aimco.neurons import Neuron, half_A
from aimco.record import InputError
from aimco.spiking.record import Spiking
from aimco.spiking.sampler import SpikingRbm

_APART = 4  # overlapping windows begun in the length of one
_MOST_IN_WAIT = 1.1  # spikes of a neuron in a refractory time, at most, with room for the first


def cut(graph: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Weight of the edges between both sides: sum_ij a_ij x_i (1 - x_j), of sides 0 or 1, (..., N)."""
    return np.einsum("...i,ij,...j->...", sides, graph, 1 - sides, optimize=True)


@dataclass(frozen=True)
class Annealed:
    """What came of a run.

    Args:
        cuts: of each window, for each heat, (E, heats, windows). agree: share of vertices whose copies agree, (E, heats).
        best: of all windows, (E,). sides: of it, (E, N).
    """

    cuts: np.ndarray
    agree: np.ndarray
    best: np.ndarray
    sides: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """Cut of the last window, (E,)."""
        return self.cuts[:, -1, -1]


class MaxCut:
    """A graph as the weights of a machine: exp(coupling cut(x)) is the Boltzmann weight of sides x on which both copies agree.

    W_ij = -coupling a_ij and W_ii = tie; the resting potentials of both copies share what is left, (coupling d_i - tie)/2 each, as constant
    currents. Copies that differ cost tie/2 each: a weak tie lets all of one layer fire and none of the other, a strong one freezes sides.

    Args:
        graph: weights of the edges, (N, N), symmetric, none below 0, 0 on the diagonal. coupling, tie: in units of 1/beta. record: neurons
            with white noise or random walks, and time. seeds: one for each member.

    Source: two layers for one graph are ours; states by windows, annealing and shared biases as in Kang 2024 (Adv. Sci. 2406433).
    """

    def __init__(
        self, graph: np.ndarray, *, coupling: float = 3.0, tie: float = 7.0, record: Spiking | None = None, seeds: Sequence[int] = (0,)
    ) -> None:
        graph = np.asarray(graph, np.float64)
        if graph.ndim != 2 or not np.array_equal(graph, graph.T) or np.diagonal(graph).any() or (graph < 0).any():
            raise InputError(f"graph must be symmetric, at least 0 and 0 on its diagonal, got one of shape {graph.shape}")
        self.graph, self.count = graph, len(graph)
        self.machine = SpikingRbm(self.count, self.count, record or Spiking(neuron=Neuron(noise="random-walk")), seeds=seeds)
        self.machine.weights = tie * np.eye(self.count) - coupling * graph
        rest = (coupling * graph.sum(0) - tie) / 2
        self.drives = np.zeros((self.machine.members, 1, self.machine.threshold.shape[1]), np.float32)
        self.drives[:, 0, self.machine.units] = np.tile(rest, 2)
        self._over = self.machine.over

    def anneal(self, heats: Sequence[float], seconds: float, *, window_s: float | None = None) -> Annealed:
        """Run for `seconds` at each heat, the noise in units of that of the neurons, and cut the graph by who fired in each window.

        Args:
            window_s: length of the overlapping windows; the refractory time when absent.
        """
        record = self.machine.record
        width = round((window_s or record.neuron.refractory_s) / record.dt_s)
        if not 0 < width <= round(seconds / record.dt_s):
            raise InputError(f"window_s must be above 0 and at most seconds = {seconds:g} s, got {width * record.dt_s:g}")
        states = np.stack([self._fired(heat, seconds, width) for heat in heats], 1)  # (E, heats, windows, 2 N)
        sides, other = states[..., : self.count].astype(np.float64), states[..., self.count :]
        cuts = cut(self.graph, sides)
        flat = cuts.reshape(len(cuts), -1)
        where = flat.argmax(1)
        best_sides = sides.reshape(len(cuts), -1, self.count)[np.arange(len(cuts)), where]
        return Annealed(cuts, (sides == other).mean((2, 3)), flat.max(1), best_sides)

    def _fired(self, heat: float, seconds: float, width: int) -> np.ndarray:
        """Which units fired in each window of `width` steps, (E, windows, 2 N)."""
        machine, record = self.machine, self.machine.record
        walk = {"random-walk": "walk_V", "white": "sigma"}.get(record.neuron.noise)
        if walk is None:
            raise InputError(f"neuron.noise must be white or random-walk for annealing, got {record.neuron.noise}")
        hot = record.neuron.replace(walk, heat * (record.neuron.walk if walk == "walk_V" else record.neuron.sigma))
        machine.over = replace(self._over, noise_V=heat * self._over.noise_V)
        machine.rest_A = half_A(hot, record.dt_s)
        steps = round(seconds / record.dt_s)
        most = int(_MOST_IN_WAIT * (seconds / record.neuron.refractory_s + 1) * 2 * self.count)
        first = machine.steps
        ran = machine.run(self.drives, np.array([[steps, 0, 0, 0]], np.int64), most_spikes=most)
        fired = np.zeros((machine.members, steps + 1, 2 * self.count), np.int32)
        for e, rows in enumerate(ran.raster):
            fired[e, rows[:, 0] - first + 1, rows[:, 1]] = 1
        total = np.cumsum(fired, 1)
        starts = np.arange(0, steps - width + 1, max(width // _APART, 1))
        return total[:, starts + width] > total[:, starts]
