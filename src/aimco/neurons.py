"""Spiking neurons: leaky membranes that fire at a threshold, what makes them fire at random, and the rate that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from aimco.record import InputError, Record, field_error, quantity
from aimco.units import A, F, S, V, s

MOST_CLOCKS = 32  # of the random walk in one step: the bits of a random word
NOISY = ("white", "random-walk")  # membranes
_STEEPEST = 6.0  # refractory times in membrane times: steeper, rates without noise are steps
_EULER = 1e-9  # relative difference of two rates below which they count as equal
_GRID, _REACH = 10, 7.0  # points per noise of a step, and standard deviations, of the grid of membrane potentials
_MOST_CELLS = 1000  # of that grid, which a fit solves 150 times: more take tens of seconds and hundreds of megabytes
_WIDE = 30.0  # noises of a step within which the current of half the largest rate lies
_FITTED = np.linspace(-6, 6, 49)  # logits of the rates that a fit looks at


class Neuron(Record):
    """A leaky integrate-and-fire neuron. Forward (LIF) and backward (BLIF) neurons of an array are of one kind.

    C dv/dt = -g_L v + I_constant + I_syn + sigma xi(t), dI_syn/dt = -I_syn/tau_syn; at the threshold it fires, and is at the
    reset for the refractory time.

    Args:
        membrane_F, leak_S: C (F) and g_L (S). threshold_V, reset_V: V. refractory_s, synapse_s: tau_r and tau_syn, s.
        stdp_s: time constant of the trace that learning sees, s. threshold_spread: standard deviation of thresholds, relative.
        noise: what makes it fire at random: "white" current; "random-walk", a circuit that moves the membrane up or down by `walk_V`
            each `walk_s`; "device", each weight times N(1, weight_noise^2) at each use; "none".
        sigma: of the white current, A sqrt(s). walk_V: V; that which spreads as the white noise does when absent. walk_s: its clock, s.
        weight_noise: relative standard deviation of a weight at each use, for noise = "device".

    Source: Neftci 2014 (Front. Neurosci. 7:272), Table 1; sigma as the code of its authors has it, sqrt(2) times the table's. Clock of
        the walk: public code of a demonstration on the chip of Ishii 2019. weight_noise: Kang 2021, within its best 0.01-0.05.
    """

    membrane_F: float = quantity(F, 1e-12, gt=0, le=1e-3, doc="membrane capacitance")
    leak_S: float = quantity(S, 1e-9, gt=0, le=1, doc="leak conductance")
    threshold_V: float = quantity(V, 0.1, gt=0, le=100, doc="threshold above the resting potential")
    reset_V: float = quantity(V, 0.0, ge=-100, le=100, doc="potential after firing")
    refractory_s: float = quantity(s, 4e-3, gt=0, le=10, doc="refractory time")
    synapse_s: float = quantity(s, 4e-3, gt=0, le=10, doc="time constant of synaptic currents")
    stdp_s: float = quantity(s, 4e-3, gt=0, le=10, doc="time constant of the trace of learning")
    threshold_spread: float = Field(default=0.0, ge=0, le=1, description="relative spread of thresholds")
    noise: Literal["white", "random-walk", "device", "none"] = "white"
    sigma: float = quantity(A, 4.24e-11, ge=0, le=1, doc="density of the white current, A sqrt(s)")
    walk_V: float | None = quantity(V, None, gt=0, le=100, doc="step of the random walk")
    walk_s: float = quantity(s, 1e-5, gt=0, le=1, doc="clock of the random walk")
    weight_noise: float = Field(default=0.03, ge=0, le=10, description="relative noise of a weight at each use")

    @model_validator(mode="after")
    def _resets_below(self) -> Self:
        if not self.reset_V < self.threshold_V:
            raise field_error("reset_V", f"must be below threshold_V = {self.threshold_V:g} V, got {self.reset_V:g}")
        return self

    @property
    def diffusion(self) -> float:
        """sigma/C, by which white noise spreads membranes, V/sqrt(s)."""
        return self.sigma / self.membrane_F

    @property
    def walk(self) -> float:
        """Step of the random walk, V: delta = (sigma/C) sqrt(clock) spreads as the white noise does."""
        return self.diffusion * math.sqrt(self.walk_s) if self.walk_V is None else self.walk_V

    def clocks(self, dt: float) -> int:
        """Steps of the random walk in a step of dt; 0 without a random walk."""
        if self.noise != "random-walk":
            return 0
        count = round(dt / self.walk_s)
        if not (1 <= count <= MOST_CLOCKS and math.isclose(count * self.walk_s, dt, rel_tol=1e-6)):
            raise InputError(f"dt_s must be 1..{MOST_CLOCKS} whole clocks of walk_s = {self.walk_s:g} s, got {dt:g}; change either")
        return count

    def over(self, dt: float) -> Step:
        """What one step of dt does, exactly for currents that decay or rest in it.

        Raises:
            InputError: dt longer than the refractory time, or no whole number of clocks of the random walk.
        """
        if not 0 < dt <= self.refractory_s:
            raise InputError(f"dt_s must be above 0 and at most refractory_s = {self.refractory_s:g} s, got {dt:g}; shorten the step")
        membrane, synapse = self.leak_S / self.membrane_F, 1 / self.synapse_s
        leak, keep = math.exp(-dt * membrane), math.exp(-dt * synapse)
        apart = membrane - synapse
        through = dt * leak if abs(apart) < _EULER * membrane else (keep - leak) / apart
        spread = self.diffusion * math.sqrt(-math.expm1(-2 * dt * membrane) / (2 * membrane))
        noise_V = {"white": spread, "random-walk": self.walk}.get(self.noise, 0.0)
        hold = round(self.refractory_s / dt) - 1
        constant = -math.expm1(-dt * membrane) / self.leak_S
        return Step(dt, leak, keep, math.exp(-dt / self.stdp_s), through / self.membrane_F, constant, noise_V, hold, self.clocks(dt))

    def thresholds(self, z: np.ndarray) -> np.ndarray:
        """Threshold of each neuron for normal numbers z, V, at least a tenth of the nominal."""
        return self.threshold_V * np.maximum(1 + self.threshold_spread * z, 0.1)


@dataclass(frozen=True)
class Step:
    """Coefficients of one step.

    Args:
        dt: s. leak, keep, trace: what is left of a membrane potential, of a synaptic current, of a trace. synaptic, constant: V per A of a
            synaptic current at the start of the step, and of one that rests. noise_V: standard deviation of the noise, or one step of the
            walk, V. hold: steps after the one of firing in which the neuron rests at the reset. clocks: of the random walk.
    """

    dt: float
    leak: float
    keep: float
    trace: float
    synaptic: float
    constant: float
    noise_V: float
    hold: int
    clocks: int

    @property
    def spread_V(self) -> float:
        """Standard deviation of the noise of one step, V."""
        return self.noise_V * math.sqrt(max(self.clocks, 1))


def step(
    neuron: Neuron, over: Step, v: np.ndarray, synaptic: np.ndarray, waiting: np.ndarray, constant: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One step of neurons: the plain definition.

    v <- leak v + a I_syn + b I_constant + noise; those still waiting are at the reset; those above the threshold fire.

    Args:
        v: membrane potentials, V. synaptic, constant: currents, A. waiting: steps left of the refractory time. noise: of this step, V.

    Returns:
        v, synaptic currents after their decay, waiting, and who fired.
    """
    free = waiting <= 0
    v = over.leak * v + over.synaptic * synaptic + over.constant * constant + noise
    fired = free & (v > neuron.threshold_V)
    v = np.where(free & ~fired, v, neuron.reset_V)
    waiting = np.where(fired, over.hold, np.maximum(waiting - 1, 0))
    return v, over.keep * synaptic, waiting, fired


@dataclass(frozen=True)
class Fit:
    """rate(I) = 1/(tau_r + exp(-beta I)/gamma), Hz: beta in 1/A, gamma in Hz, tau_r in s."""

    beta: float
    gamma: float
    refractory_s: float

    @property
    def rest_A(self) -> float:
        """Constant current that makes the rate (1/tau_r) sigmoid(beta I): -(ln gamma + ln tau_r)/beta, A."""
        return -math.log(self.gamma * self.refractory_s) / self.beta

    def rate(self, amperes: np.ndarray) -> np.ndarray:
        """(1/tau_r) sigmoid(beta I) of a current beyond the rest current, Hz."""
        from scipy.special import expit

        return expit(self.beta * np.asarray(amperes)) / self.refractory_s


NEFTCI = Fit(2.044e9, 8808.0, 4e-3)  # Neftci 2014, at its step of 50 us


def rates(neuron: Neuron, dt: float, amperes: np.ndarray) -> np.ndarray:
    """Firing rates under constant currents, Hz, from the mean time of first passage of the stepped membrane.

    T(v) = 1 + E[T(v'); v' below the threshold] with v' = leak v + b I + noise, solved on a grid of potentials;
    rate = 1/(dt (hold + T(reset))).

    Args:
        neuron: with white noise or a random walk. dt: s. amperes: constant currents, A.

    Raises:
        InputError: noise of another kind, which makes no rate without spikes that arrive.
    """
    over = neuron.over(dt)
    if not over.noise_V:
        raise InputError(f"noise must be white or random-walk, above 0, for a curve of rates, got {neuron.noise}; fit with one of these")
    return np.array([1 / (dt * (over.hold + _passage(neuron, over, float(i)))) for i in np.ravel(amperes)]).reshape(np.shape(amperes))


def half_A(neuron: Neuron, dt: float) -> float:
    """Constant current under which a neuron fires at half its largest rate, A."""
    from scipy import optimize  # a quarter of a second

    unit, middle = neuron.leak_S * neuron.over(dt).spread_V, neuron.leak_S * neuron.threshold_V

    def over_half(x: float) -> float:
        return float(rates(neuron, dt, np.array(middle + x * unit))) * neuron.refractory_s - 0.5

    return middle + unit * optimize.root_scalar(over_half, bracket=(-_WIDE, _WIDE), xtol=1e-4).root


def _passage(neuron: Neuron, over: Step, ampere: float) -> float:
    """Mean steps from the reset until above the threshold."""
    still = over.constant * ampere
    middle, spread = still / (1 - over.leak), over.spread_V / math.sqrt(1 - over.leak**2)
    low = min(middle, neuron.reset_V) - _REACH * spread
    top = neuron.threshold_V
    count = max(int((top - low) / over.spread_V * _GRID), 50)
    width = (top - low) / count
    grid = low + width * (np.arange(count) + 0.5)
    from_reset = np.append(grid, neuron.reset_V)
    aim = over.leak * from_reset + still
    chances = _landing(over, aim, low, width, count)
    times = np.linalg.solve(np.eye(count) - chances[:-1], np.ones(count))
    return 1 + float(chances[-1] @ times)


def _landing(over: Step, aim: np.ndarray, low: float, width: float, count: int) -> np.ndarray:
    """Chance to come from each aim into each cell of the grid, below the threshold; what falls below the grid goes to its first cell."""
    from scipy.special import ndtr
    from scipy.stats import binom

    edges = low + width * np.arange(count + 1)
    if not over.clocks:
        below = ndtr((edges[None] - aim[:, None]) / over.noise_V)
        below[:, 0] = 0
        return np.diff(below, axis=1)
    chances = np.zeros((len(aim), count))
    rows = np.arange(len(aim))
    for ups in range(over.clocks + 1):
        place = (aim + over.noise_V * (2 * ups - over.clocks) - low) / width - 0.5  # in cells, shared by the two nearest
        for cell, share in ((np.floor(place), 1 - place % 1), (np.floor(place) + 1, place % 1)):
            inside = cell < count
            at_cell = np.maximum(cell, 0).astype(int)[inside]
            chances[rows[inside], at_cell] += share[inside] * binom.pmf(ups, over.clocks, 0.5)
    return chances


def _cells(neuron: Neuron, dt: float) -> float:
    """Points of the grid of potentials under the current of half the largest rate; a fit goes to three times as many."""
    over = neuron.over(dt)
    if not over.noise_V:
        return math.inf
    forgotten = math.sqrt(1 - over.leak**2)
    return _GRID * ((neuron.threshold_V - neuron.reset_V) / over.spread_V + _REACH / forgotten) if forgotten else math.inf


def check_noise(neuron: Neuron, dt: float) -> None:
    """Refuse a membrane that the noise of a step moves so little that its curve of rates would take minutes and gigabytes to find.

    Args:
        neuron: With white noise or a random walk.
        dt: Of the steps, s.

    Raises:
        InputError: The field, what it must be beside the others, and what it is.
    """
    if _cells(neuron, dt) <= _MOST_CELLS:
        return
    if not neuron.over(dt).noise_V:
        raise InputError(
            f"sigma must be above 0 A sqrt(s) with noise = '{neuron.noise}', got {neuron.sigma:g}; raise it, or take other noise"
        )
    beside = f"the noise of a step of {dt:g} s moves the membrane too little beside threshold_V = {neuron.threshold_V:g} V"
    exponents = np.linspace(-18, math.log10(neuron.membrane_F), 400)
    fine = [c for c in 10**exponents if _cells(neuron.model_copy(update={"membrane_F": c}), dt) <= _MOST_CELLS]
    if not fine:
        least = neuron.walk * _cells(neuron, dt) / _MOST_CELLS
        raise InputError(f"walk_V must be near {least:.1g} V or above, as {beside}, got {neuron.walk:g}; raise it, or lower threshold_V")
    raise InputError(
        f"membrane_F must be at most {max(fine):.1g} F with leak_S = {neuron.leak_S:g} S, as {beside}, got {neuron.membrane_F:g}; "
        "look at the power of ten (1e-12 in Neftci 2014), or raise sigma"
    )


def fit(neuron: Neuron, dt: float) -> Fit:
    """beta and gamma of the stepped neuron, by least squares on its rates: they depend on dt, as the noise of a step is large.

    Raises:
        InputError: see `rates` and `check_noise`.

    Example:
        >>> fitted = fit(Neuron(), 1e-4)
        >>> f"{fitted.beta:.3g}"
        '1.83e+09'
    """
    from scipy import optimize
    from scipy.special import expit

    if neuron.over(dt).noise_V:
        check_noise(neuron, dt)
    unit = neuron.leak_S * neuron.over(dt).spread_V  # a current that moves the membrane by about its noise
    estimate = Fit(1 / (unit or 1.0), 1 / neuron.refractory_s, neuron.refractory_s)
    for _ in range(3):
        amperes = estimate.rest_A + _FITTED / estimate.beta
        share = rates(neuron, dt, amperes) * neuron.refractory_s
        x = amperes * estimate.beta

        def misfit(p: np.ndarray, x: np.ndarray = x, share: np.ndarray = share) -> np.ndarray:
            return expit(p[0] * x + p[1]) - share

        solved = optimize.least_squares(misfit, [1.0, math.log(estimate.gamma * neuron.refractory_s)], x_scale="jac")
        estimate = Fit(estimate.beta * solved.x[0], math.exp(solved.x[1]) / neuron.refractory_s, neuron.refractory_s)
    return estimate


def tangent(neuron: Neuron) -> Fit:
    """beta and gamma of a neuron whose membrane has no noise: the sigmoid that touches its curve of rates at half the largest rate.

    rate(I) = 1/(tau_r + tau_m ln((I - g_L V_reset)/(I - g_L theta))), tau_m = C/g_L; with k = tau_r/tau_m the rate is half at
    I_0 = g_L (theta + (theta - V_reset)/(e^k - 1)), and beta = 4 sinh(k/2)^2 / (k g_L (theta - V_reset)). Weights in units of this beta
    move the rate by as much as they would move that of a noisy neuron; what is random comes from the spikes that arrive.

    Raises:
        InputError: a leak that empties the membrane so fast that beta is beyond floating numbers.

    Example:
        >>> fitted = tangent(Neuron(noise="none"))
        >>> f"{fitted.beta:.3g}, {float(fitted.rate(np.array(0.0))):g}"
        '1.32e+11, 125'
    """
    k, swing = neuron.refractory_s * neuron.leak_S / neuron.membrane_F, neuron.leak_S * (neuron.threshold_V - neuron.reset_V)
    if k > _STEEPEST:
        raise InputError(f"leak_S must be at most {_STEEPEST:g} membrane_F/refractory_s without noise, got {neuron.leak_S:g}; lower it")
    beta = 4 * math.sinh(k / 2) ** 2 / (k * swing)
    middle = neuron.leak_S * neuron.threshold_V + swing / math.expm1(k)
    return Fit(beta, math.exp(-beta * middle) / neuron.refractory_s, neuron.refractory_s)
