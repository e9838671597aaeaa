"""A restricted Boltzmann machine of spiking neurons around one stored array that learns by event-driven contrastive divergence.

Neurons that fire at random, at the rate (1/tau_r) sigmoid(beta I), sample from the Boltzmann distribution of the weights: a unit is 1
while its neuron is within its refractory time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from aimco import rng
from aimco.kernels import spikes
from aimco.neurons import NOISY, Fit, fit, tangent
from aimco.record import InputError
from aimco.spiking.record import Spiking

FREE = math.nan  # probability of a unit that is not clamped


@dataclass(frozen=True)
class Ran:
    """What came of a run.

    Args:
        counts: spikes after the burn-in of each phase, (E, P, N). seconds: that were counted in each, (P,).
        raster: for each member the (step, neuron) of its spikes, where asked for. N: the visible units, then the hidden.
    """

    counts: np.ndarray
    seconds: np.ndarray
    raster: list[np.ndarray]

    @property
    def rates(self) -> np.ndarray:
        """Hz, (E, P, N)."""
        return self.counts / self.seconds[:, None]


class SpikingRbm:
    """Visible and hidden spiking neurons around an array of ideal weights, an ensemble of machines.

    Args:
        visible, hidden: units. record: neurons and time. seeds: of initial weights, thresholds and noise, one for each member.
        fitted: beta and gamma; fitted to the neurons and the step when absent, for membranes without noise by `tangent`.

    Example:
        >>> machine = SpikingRbm(6, 3)
        >>> machine.learn(np.full((2, 6), 0.9), 0.03).counts.shape
        (1, 4, 9)
    """

    def __init__(
        self, visible: int, hidden: int, record: Spiking | None = None, *, seeds: Sequence[int] = (0,), fitted: Fit | None = None
    ) -> None:
        self.record, self.visible, self.hidden, self.seeds = record or Spiking(), visible, hidden, tuple(seeds)
        neuron, members = self.record.neuron, len(self.seeds)
        self.fitted = fitted or (fit(neuron, self.record.dt_s) if neuron.noise in NOISY else tangent(neuron))
        self.rest_A = self.fitted.rest_A
        self.over, self.steps = neuron.over(self.record.dt_s), 0
        self.events = np.zeros((members, 2), np.int64)
        start = rng.normal(rng.stream_keys(self.seeds, "spiking", "weights"), 0, (visible, hidden)).numpy()
        self.tiles = spikes.tiled(self.record.start * start)
        self.seen = self.tiles.shape[1] * spikes.SIDE
        units = self.seen + self.tiles.shape[2] * spikes.SIDE
        self.units = np.r_[0:visible, self.seen : self.seen + hidden]
        self.state = {name: np.zeros((members, units), np.float32) for name in ("bias", "v", "current", "trace", "waiting")}
        self.threshold = np.full((members, units), np.inf, np.float32)
        z = rng.normal(rng.stream_keys(self.seeds, "spiking", "thresholds"), 0, (visible + hidden,)).numpy()
        self.threshold[:, self.units] = neuron.thresholds(z)
        streams = ("membranes", "bias units", "reads")
        self._keys = np.stack([rng.stream_keys(self.seeds, "spiking", name) for name in streams], 1)

    @property
    def members(self) -> int:
        """Machines of the ensemble."""
        return len(self.seeds)

    @property
    def weights(self) -> np.ndarray:
        """Weights, (E, visible, hidden), without unit: a spike kicks the current by weight/beta."""
        return spikes.untiled(self.tiles, self.visible, self.hidden)

    @weights.setter
    def weights(self, weights: np.ndarray) -> None:
        self.tiles = spikes.tiled(np.broadcast_to(weights, (self.members, self.visible, self.hidden)))

    @property
    def bias(self) -> np.ndarray:
        """Biases of the visible, then of the hidden units, (E, N)."""
        return self.state["bias"][:, self.units]

    @bias.setter
    def bias(self, bias: np.ndarray) -> None:
        self.state["bias"][:, self.units] = bias

    def _steps(self, seconds: float) -> int:
        return round(seconds / self.record.dt_s)

    def law(self, lr: npt.ArrayLike, learned_s: float) -> np.ndarray:
        """Coefficients of the kernel, (E, FIELDS).

        A pair of spikes changes a weight by lr tau_r^2/(2 tau_STDP T), one of a bias unit a bias by lr tau_r/(nu tau_STDP T), T the time
        that a phase learns: the mean change of a sample is lr (<v h>_data - <v h>_model), with v the share of time within tau_r of a spike.
        """
        record, o, beta = self.record, self.over, self.fitted.beta
        neuron, learned = record.neuron, np.asarray(lr) / learned_s
        law = np.zeros((self.members, spikes.FIELDS), np.float32)
        values = {
            spikes.LEAK: o.leak,
            spikes.KEEP: o.keep,
            spikes.TRACE: o.trace,
            spikes.SYNAPTIC: o.synaptic / beta,
            spikes.CONSTANT: o.constant / beta,
            spikes.REST: o.constant * self.rest_A,
            spikes.NOISE: o.noise_V,
            spikes.RESET: neuron.reset_V,
            spikes.KICK: 1 / (record.bias_Hz * neuron.synapse_s),
            spikes.RATE: learned * neuron.refractory_s**2 / (2 * neuron.stdp_s),
            spikes.BIAS_RATE: learned * neuron.refractory_s / (record.bias_Hz * neuron.stdp_s),
            spikes.WEIGHT_NOISE: neuron.weight_noise if neuron.noise == "device" else 0.0,
        }
        for name, value in values.items():
            law[:, name] = value
        return law

    def drives(self, probabilities: np.ndarray) -> np.ndarray:
        """Currents, in 1/beta, that clamp visible units to probabilities (D, V) or (E, D, V): logit(p), 0 where free (NaN).

        Raises:
            InputError: a probability outside (0, 1).
        """
        p = np.asarray(probabilities, np.float64)
        wrong = ~(np.isnan(p) | ((p > 0) & (p < 1)))
        if wrong.any():
            raise InputError(f"probabilities must be above 0 and below 1, or nan where a unit is free, got {p[wrong][0]:g}")
        drives = np.zeros((self.members, p.shape[-2], self.threshold.shape[1]), np.float32)
        with np.errstate(invalid="ignore"):
            drives[:, :, : self.visible] = np.nan_to_num(np.log(p / (1 - p)))
        return drives

    def _state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        s = self.state
        return s["bias"], s["v"], s["current"], s["trace"], s["waiting"], self.threshold

    def run(self, drives: np.ndarray, phases: np.ndarray, lr: npt.ArrayLike = 0.0, learned_s: float = 1.0, *, most_spikes: int = 0) -> Ran:
        """Go through phases (P, 4): steps, quiet steps, gate and drive; see `aimco.kernels.spikes.run`."""
        counts = np.zeros((self.members, len(phases), self.threshold.shape[1]), np.int32)
        raster, marked = np.zeros((self.members, most_spikes, 2), np.int64), np.zeros(self.members, np.int64)
        likely = np.uint32(min(self.record.bias_Hz * self.record.dt_s * 2.0**32, 2.0**32 - 1))
        settings = (self.law(lr, learned_s), self.over.hold, self.over.clocks, likely, self._keys, self.steps)
        spikes.run(self.tiles, *self._state(), drives, phases, *settings, counts, raster, marked, self.events)
        self.steps += int(phases[:, spikes.STEPS].sum())
        rows = [member_rows[: min(count, most_spikes)] for member_rows, count in zip(raster, marked, strict=True)]
        for member_rows in rows:
            member_rows[:, 1] -= np.where(member_rows[:, 1] >= self.seen, self.seen - self.visible, 0)
        loud = (phases[:, spikes.STEPS] - phases[:, spikes.QUIET]) * self.record.dt_s
        return Ran(counts[:, :, self.units], loud, rows)

    def learn(self, probabilities: np.ndarray, lr: npt.ArrayLike, *, most_spikes: int = 0) -> Ran:
        """One pass of samples, (S, V) or (E, S, V), each a data phase, clamped, and a reconstruction phase, free. lr: a number or (E,)."""
        steps, quiet = self._steps(self.record.phase_s), self._steps(self.record.burn_in_s)
        samples = probabilities.shape[-2]
        free = np.full((*probabilities.shape[:-2], 1, self.visible), FREE)
        phases = np.array([[steps, quiet, gate, drive] for k in range(samples) for gate, drive in ((1, k + 1), (-1, 0))], np.int64)
        drives = self.drives(np.concatenate((free, probabilities), -2))
        return self.run(drives, phases, lr, (steps - quiet) * self.record.dt_s, most_spikes=most_spikes)

    def phase(self, probabilities: np.ndarray, lr: npt.ArrayLike, gate: int) -> Ran:
        """One phase alone, clamped to (1, V); gate +1 for data, -1 for reconstruction."""
        steps, quiet = self._steps(self.record.phase_s), self._steps(self.record.burn_in_s)
        return self.run(self.drives(probabilities), np.array([[steps, quiet, gate, 0]]), lr, (steps - quiet) * self.record.dt_s)

    def sample(self, probabilities: np.ndarray, seconds: float, *, quiet_s: float | None = None, most_spikes: int = 0) -> Ran:
        """Let the machine run clamped to each row of (S, V) in turn, without learning, after a burn-in of `quiet_s`."""
        quiet = self.record.burn_in_s if quiet_s is None else quiet_s
        steps = self._steps(seconds + quiet)
        phases = np.array([[steps, self._steps(quiet), 0, k] for k in range(probabilities.shape[-2])], np.int64)
        return self.run(self.drives(probabilities), phases, most_spikes=most_spikes)

    def states(self, ran: Ran, e: int = 0, skip_s: float = 0.0) -> np.ndarray:
        """Units at each step of the last run of a raster, (steps, N): 1 from a spike on for the refractory time."""
        rows, hold = ran.raster[e], self.over.hold + 1
        steps = round(float(ran.seconds.sum()) / self.record.dt_s) if not len(rows) else int(rows[-1, 0] - rows[0, 0]) + 1
        edges = np.zeros((steps + hold + 1, self.visible + self.hidden), np.int8)
        first = rows[:, 0] - (rows[0, 0] if len(rows) else 0)
        np.add.at(edges, (first, rows[:, 1]), 1)
        np.add.at(edges, (first + hold, rows[:, 1]), -1)
        return np.cumsum(edges, 0, dtype=np.int8)[self._steps(skip_s) : steps]


def free_energy(weights: torch.Tensor, bias: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """F(v) = -b v - sum_j softplus(c_j + v W_j) of visible units (E, ..., V); weights (E, V, H), bias (E, V + H)."""
    visible = weights.shape[1]
    lead = [1] * (units.ndim - 2)
    into = torch.matmul(units.flatten(1, -2), weights).reshape(*units.shape[:-1], -1) + bias[:, visible:].reshape(len(bias), *lead, -1)
    bias_term = (units * bias[:, :visible].reshape(len(bias), *lead, -1)).sum(-1)
    return -bias_term - torch.nn.functional.softplus(into).sum(-1)


def boltzmann(weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Exact probabilities of the 2^N states of a small machine, (2^N,): exp(v W h + b v + c h)/Z, unit k being bit k of the state."""
    visible, hidden = weights.shape
    if visible + hidden > 20:
        raise InputError(f"a machine must have at most 20 units for its states to be listed, got {visible + hidden}")
    states = (np.arange(2 ** (visible + hidden))[:, None] >> np.arange(visible + hidden)) & 1
    energy = np.einsum("si,ij,sj->s", states[:, :visible], weights, states[:, visible:]) + states @ bias
    p = np.exp(energy - energy.max())
    return p / p.sum()
