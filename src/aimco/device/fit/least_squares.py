"""Least squares: one family of responses fitted to the mean changes of several devices at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from scipy import optimize

from aimco.device.fit.blocks import Slopes, solve
from aimco.device.fit.increments import Increments
from aimco.device.measurement import Trace
from aimco.device.response import Response
from aimco.errors import limits
from aimco.kernels.build import mean_step

STEPS = ("step_up", "step_down")
BOUNDS = ("g_max", "g_min")
_BEYOND, _BEYOND_UNREACHED = 0.35, 0.6  # half ranges that a soft bound may lie beyond what was seen
_LEAVE_OUT_FROM, _LEFT_OUT = 4, 10  # devices from which some are left out in turn, and how many times
_FIRST_TRIES = 12  # steps from each of several starts
_FAR = 1e8  # standard deviations: a difference beyond counts as this


def parameter_table(family: type[Response], names: Sequence[str], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Parameters of devices as the kernel of a family takes them, (D, K), from name -> (D,)."""
    tensors = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in values.items()}
    tensors |= family.derive(tensors)
    return np.stack([tensors[n].numpy() for n in names], 1)


@dataclass(frozen=True, eq=False)
class Solution:
    """A family fitted to some devices, in units of the half range of `frame`.

    Args:
        family: the response. local, local_sigma: step_up, step_down, g_max, g_min of each device (D,), and their uncertainties.
        shared, shared_sigma: the other parameters. frame: lowest and highest level of the nominal range.
        change: fitted mean change of each bin, in levels (B,). cost: sum of the squared differences.
    """

    family: type[Response]
    local: dict[str, np.ndarray]
    local_sigma: dict[str, np.ndarray]
    shared: dict[str, float]
    shared_sigma: dict[str, float]
    frame: tuple[float, float]
    change: np.ndarray
    cost: float

    @property
    def half(self) -> float:
        """Half the nominal range, levels."""
        return (self.frame[1] - self.frame[0]) / 2

    @property
    def mid(self) -> float:
        """Middle of the nominal range, a level."""
        return (self.frame[1] + self.frame[0]) / 2

    @functools.cached_property
    def parameters(self) -> tuple[ModuleType, np.ndarray]:
        """The kernel of the family, and the parameters of all devices as it takes them, (D, K)."""
        module, names = mean_step(self.family.step)
        same = {n: np.full(self.local["step_up"].size, v) for n, v in self.shared.items()}
        return module, parameter_table(self.family, names, self.local | same)

    def steps(self, device: int, level: np.ndarray, up: np.ndarray | bool) -> np.ndarray:
        """Mean change of a device by one pulse up or down at levels (N,), in levels."""
        module, table = self.parameters
        out = np.empty(level.size)
        a = np.ascontiguousarray(np.broadcast_to(table[device], (level.size, table.shape[1])))
        module.steps((level - self.mid) / self.half, np.broadcast_to(up, level.shape), a, out)
        return out * self.half

    def trajectory(self, device: int, trace: Trace) -> np.ndarray:
        """Levels that the mean steps of a device make of a trace, each ramp from its first reading."""
        module, table = self.parameters
        turned = np.concatenate([[True], np.diff(trace.polarity) != 0])
        fresh = np.concatenate([turned[1:], [False]]) | (trace.polarity == 0) | (trace.polarity == 2)
        out = np.empty(trace.level.size)
        module.trajectory((trace.level - self.mid) / self.half, trace.polarity, trace.pulses, fresh, table[device : device + 1], out)
        return out * self.half + self.mid

    def symmetry_point(self, device: int) -> float:
        """Level at which up and down steps cancel, nan where they nowhere do."""
        if self.family.one_sided:
            return np.nan
        low, high = (self.local[name][device] * self.half + self.mid for name in ("g_min", "g_max"))
        grid = np.linspace(low, high, 2001)
        crossing = np.flatnonzero(np.diff(np.sign(self.steps(device, grid, True) + self.steps(device, grid, False))))
        return float(grid[crossing[0]]) if crossing.size else np.nan

    def asymmetry_slope(self) -> float:
        """Change of the asymmetry of the steps with the level at mid-range, the mean over devices; 1/level."""
        if self.family.one_sided:
            return 0.0
        near, slopes = self.mid + np.array([-0.05, 0.05]) * self.half, []
        for d in range(self.local["step_up"].size):
            up, down = self.steps(d, near, True), self.steps(d, near, False)
            slopes.append(np.diff(2 * (up + down) / (up - down))[0] / (0.1 * self.half))
        return float(np.mean(slopes))


class Problem:
    """Least squares of the mean changes in bins for one family: steps (and bounds) of each device, the rest shared.

    Args:
        family: the response. data: bins. frame: nominal range that normalises levels. weights: of the squared differences (B,).
        tied: whether soft bounds lie as far beyond the range seen in all devices, instead of where each device's own fit puts them.
    """

    def __init__(
        self, family: type[Response], data: Increments, frame: tuple[float, float], weights: np.ndarray, tied: bool = False
    ) -> None:
        self.family, self.data, self.frame = family, data, frame
        self.half, self.mid = (frame[1] - frame[0]) / 2, (frame[1] + frame[0]) / 2
        self.module, self.names = mean_step(family.step)
        self.extras = [n for n, f in family.model_fields.items() if f.annotation is float and n not in STEPS]
        steps = STEPS[:1] if data.one_sided else STEPS
        self.local = (*steps, *BOUNDS) if family.soft and not tied else steps
        self.offsets = BOUNDS if family.soft and tied else ()
        self.state = (data.state - self.mid) / self.half
        self.change, self.width = data.change / self.half, data.width / self.half
        self.root = np.sqrt(weights) * self.half
        self.count = len(data.devices)
        self.high, self.low = ((v - self.mid) / self.half for v in (data.high, data.low))

    def columns(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Parameters of each device, name -> (D,)."""
        local = theta[: self.count * len(self.local)].reshape(len(self.local), self.count)
        columns = {"g_max": self.high, "g_min": self.low} | dict(zip(self.local, local, strict=True))
        for name in STEPS:
            columns[name] = np.exp(columns[name]) if name in self.local else columns.get(name, np.ones(self.count))
        columns |= {n: np.full(self.count, v) for n, v in zip(self.extras, theta[local.size :], strict=False)}
        for name, offset in zip(self.offsets, theta[local.size + len(self.extras) :], strict=True):
            columns[name] = columns[name] + offset
        return columns

    def predicted(self, theta: np.ndarray) -> np.ndarray:
        """Mean change of each bin (B,), in half ranges."""
        a = np.ascontiguousarray(parameter_table(self.family, self.names, self.columns(theta))[self.data.device])
        above, below = np.empty(self.state.size), np.empty(self.state.size)
        self.module.steps(self.state + self.width, self.data.up, a, above)  # the mean over the states of a bin, to third order
        self.module.steps(self.state - self.width, self.data.up, a, below)
        return (above + below) / 2

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        return np.clip(np.nan_to_num((self.predicted(theta) - self.change) * self.root, nan=_FAR), -_FAR, _FAR)

    def slopes(self, theta: np.ndarray, at: np.ndarray) -> Slopes:
        """Derivatives of the residuals `at`: a parameter of one device moves only the bins of that device, so one difference does all."""
        size, cut = 1e-6, len(self.local) * self.count
        groups = [slice(k * self.count, (k + 1) * self.count) for k in range(len(self.local))]
        columns = np.empty((at.size, len(groups) + theta.size - cut))
        for k, moving in enumerate([*groups, *range(cut, theta.size)]):
            moved = theta.copy()
            moved[moving] += size
            columns[:, k] = (self.residuals(moved) - at) / size
        return Slopes(self.data.device, columns[:, : len(groups)], columns[:, len(groups) :], self.count)

    def start(self, extras: dict[str, float]) -> np.ndarray:
        """Steps as seen near mid-range, bounds a little beyond what was seen."""
        guess = []
        for name in self.local:
            if name in BOUNDS:
                guess.append((self.high if name == "g_max" else self.low) * 1.05)
                continue
            side = self.data.up == (name == "step_up")
            step = np.empty(self.count)
            for d in range(self.count):
                mine = side & (self.data.device == d)
                near = mine & (np.abs(self.state) <= max(0.3, np.min(np.abs(self.state[mine]), initial=9)))
                size = np.average(np.abs(self.change[near]), weights=self.data.count[near]) if near.any() else 0.0
                step[d] = np.log(max(size, 1e-6))
            guess.append(step)
        defaults = {n: self.family.model_fields[n].default for n in self.extras} | extras
        return np.concatenate([*guess, [defaults[n] for n in self.extras], [0.05, -0.05][: len(self.offsets)]])

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Ranges of the parameters; a soft bound lies near the end of the range where changes had died down there."""
        below, above = (_BEYOND if reached else _BEYOND_UNREACHED for reached in self.data.reached)
        offsets = {"g_max": (-0.02, above), "g_min": (-below, 0.02)}
        low, high = [], []
        for name in self.local:
            ends = offsets.get(name, (-20.0, 3.0))
            middle = {"g_max": self.high, "g_min": self.low}.get(name, np.zeros(self.count))
            low.append(middle + ends[0])
            high.append(middle + ends[1])
        limits = [_limits(self.family, n) for n in self.extras] + [offsets[name] for name in self.offsets]
        return np.concatenate([*low, [v[0] for v in limits]]), np.concatenate([*high, [v[1] for v in limits]])

    def solve(self, theta: np.ndarray, tries: int = 60, tolerance: float = 1e-9) -> tuple[np.ndarray, float]:
        """The parameters of least cost near a start, and the cost."""
        low, high = self.limits()
        theta = np.clip(theta, low + 1e-9, high - 1e-9)
        return solve(self.residuals, self.slopes, theta, (low, high), tries, tolerance)

    def best(self, starts: Sequence[dict[str, float]]) -> tuple[np.ndarray, float]:
        """The least cost from several starts: each gets a few steps, the best of them the rest."""
        if len(starts) == 1:
            return self.solve(self.start(starts[0]))
        rough = min((self.solve(self.start(values), _FIRST_TRIES, 1e-4) for values in starts), key=lambda solution: solution[1])
        return self.solve(rough[0])

    def sigma(self, theta: np.ndarray) -> np.ndarray:
        """Standard deviations of the parameters."""
        jacobian = self.slopes(theta, self.residuals(theta)).whole()
        return np.sqrt(np.clip(np.diag(np.linalg.pinv(jacobian.T @ jacobian, hermitian=True)), 0, None))


def _limits(family: type[Response], name: str) -> tuple[float, float]:
    bounds = limits(family.model_fields[name])
    return bounds.get("ge", bounds.get("gt", -np.inf)), bounds.get("le", bounds.get("lt", np.inf))


def variances(data: Increments, change: np.ndarray) -> np.ndarray:
    """Variance of one pulse's change in each bin, A + B (mean change)^2, with A and B from the variances seen."""
    square = np.maximum(np.abs(change), 0.02 * np.quantile(np.abs(change), 0.9)) ** 2
    sure = data.count >= 3
    weight, model = np.sqrt(data.count[sure]), np.maximum(data.variance[sure], np.median(data.variance[sure]) * 1e-3 + 1e-300)
    for _ in range(4):
        scale = weight / model
        (fixed, relative), _ = optimize.nnls(np.stack([scale, square[sure] * scale], 1), data.variance[sure] * scale)
        model = np.maximum(fixed + relative * square[sure], 1e-12 * square.max())
    return np.maximum(fixed + relative * square, 1e-12 * square.max())


def smooth(data: Increments) -> np.ndarray:
    """Mean change of each bin, averaged with its neighbours."""
    out = data.change.copy()
    for d in range(len(data.devices)):
        for up in (True, False):
            mine = np.flatnonzero((data.device == d) & (data.up == up))
            if mine.size >= 5:
                padded = np.pad(data.change[mine], 2, mode="edge")
                out[mine] = np.convolve(padded, np.ones(5) / 5, "valid")
    return out


def fit_family(family: type[Response], data: Increments, variance: np.ndarray | None = None) -> Solution:
    """One family fitted to some devices. variance: of one pulse's change in each bin; from the fit itself when absent."""
    frame = (float(data.low.mean()), float(data.high.mean()))
    given = variance if variance is not None else variances(data, smooth(data))
    extras, passes = family.fit_starts or ({},), 1 if variance is not None else 3 if family.soft else 2
    while True:
        problem = Problem(family, data, frame, data.count / given)
        theta, cost = problem.best(extras)
        passes -= 1
        if not passes:
            return _solution(problem, theta, cost, problem.sigma(theta), variance is None)
        given = variances(data, problem.predicted(theta) * problem.half)
        extras = (dict(zip(problem.extras, theta[len(problem.local) * problem.count :], strict=True)),)
        if family.soft:
            columns = problem.columns(theta)
            low, high = (float(np.mean(columns[name])) * problem.half + problem.mid for name in ("g_min", "g_max"))
            frame = (low, high)


def _solution(problem: Problem, theta: np.ndarray, cost: float, sigma: np.ndarray, final: bool) -> Solution:
    columns, size = problem.columns(theta), len(problem.local) * problem.count
    local_sigma = {n: np.zeros(problem.count) for n in (*STEPS, *BOUNDS)}
    for k, name in enumerate(problem.local):
        part = sigma[k * problem.count : (k + 1) * problem.count]
        local_sigma[name] = part * columns[name] if name in STEPS else part
    if "step_down" not in problem.local:
        columns["step_down"] = columns["step_up"]
    local = {n: columns[n] for n in (*STEPS, *BOUNDS)}
    of_all = sigma[size:]
    if final and problem.extras and problem.count >= _LEAVE_OUT_FROM:
        of_all = np.maximum(of_all, _leave_out(problem, theta))
    shared, shared_sigma = (dict(zip(problem.extras, v.tolist(), strict=True)) for v in (theta[size:], of_all))
    return Solution(problem.family, local, local_sigma, shared, shared_sigma, problem.frame, problem.predicted(theta) * problem.half, cost)


def _leave_out(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Standard deviations of the shared parameters by leaving out some devices at a time, the range of the others taken anew."""
    groups = np.array_split(np.arange(problem.count), min(problem.count, _LEFT_OUT))
    local, extras = theta[: len(problem.local) * problem.count].reshape(len(problem.local), -1), theta[len(problem.local) * problem.count :]
    columns, without = problem.columns(theta), []
    for group in groups:
        rest = np.setdiff1d(np.arange(problem.count), group)
        low, high = (float(np.mean(columns[name][rest])) * problem.half + problem.mid for name in ("g_min", "g_max"))
        mask = np.isin(problem.data.device, rest)
        smaller = Problem(problem.family, problem.data.of(rest), (low, high), (problem.root[mask] / problem.half) ** 2)
        start = [_in_frame(name, v[rest], problem, smaller) for name, v in zip(problem.local, local, strict=True)]
        solved, _ = smaller.solve(np.concatenate([*start, extras]), tries=15)
        without.append(solved[len(problem.local) * rest.size :])
    moves = np.array(without) - np.mean(without, 0)
    return np.sqrt((len(groups) - 1) / len(groups) * np.sum(moves**2, 0))


def _in_frame(name: str, values: np.ndarray, old: Problem, new: Problem) -> np.ndarray:
    """A parameter of devices (steps as logarithms) in the units of another nominal range."""
    if name in STEPS:
        return values + np.log(old.half / new.half)
    return (values * old.half + old.mid - new.mid) / new.half


def criterion(family: type[Response], data: Increments, variance: np.ndarray) -> tuple[float, float]:
    """Bayesian information criterion of a family, and the cost in it.

    Soft bounds are tried in two ways, and the better one counts: tied to the range seen, two numbers in all; or each device's own,
    which count as far as they truly differ among devices.
    """
    solution, logarithm = fit_family(family, data, variance), float(np.log(len(data.count)))
    if not family.soft:
        return solution.cost + len(solution.shared) * logarithm, solution.cost
    count, free = len(data.devices), float(len(solution.shared))
    for name in BOUNDS:
        spread, uncertainty = float(np.var(solution.local[name])), float(np.mean(solution.local_sigma[name] ** 2))
        free += 1 + (count - 1) * max(0.0, spread - uncertainty) / max(spread, 1e-300)
    tied = Problem(family, data, (float(data.low.mean()), float(data.high.mean())), data.count / variance, tied=True)
    _, cost = tied.best(family.fit_starts or ({},))
    apart = solution.cost + free * logarithm
    return min((apart, solution.cost), (cost + (len(solution.shared) + len(BOUNDS)) * logarithm, cost))
