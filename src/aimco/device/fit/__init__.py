"""Measured pulses become a device: which response fits, with which numbers, how certain, and how far devices and cycles differ."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aimco.device.device import Device
from aimco.device.fit import datasheet
from aimco.device.fit.datasheet import Estimate, Population
from aimco.device.fit.increments import Increments, increments
from aimco.device.fit.least_squares import BOUNDS, Problem, Solution, criterion, fit_family, smooth, variances
from aimco.device.fit.noise import Noise, expected, find
from aimco.device.measurement import Measurement, Trace
from aimco.device.response import Response
from aimco.record import InputError

_AT_ONCE = 20  # devices that are fitted together
_CHOOSE_BY = 12  # devices that the family is chosen by
_READINGS = 300_000  # that the noise is found from
_CLOSE = 6.0  # of the information criterion: a simpler family is taken when it is not further than this from the best
_RANKS = (("constant-step",), ("soft-bounds", "linear-step"), ("power", "exponential", "pcm"))  # simple ones first
_NUMERICAL = (ArithmeticError, ValueError, IndexError, RuntimeError, np.linalg.LinAlgError)  # what data without sense end in
OnProgress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Fit:
    """What was found in measured pulses.

    Args:
        device: the device, with sources; levels in S.
        estimates: number -> value with its interval, in the unit of the file where it has one.
        families: family -> how much worse than the best by the information criterion, of those that were tried.
        goodness: R^2 of the fitted mean changes, and of whole ramps without noise.
        population, solution: the devices one by one, in levels and as they were solved for.
        increments, fitted_change: mean changes per pulse as measured and as fitted.
        notes: what was assumed, and what the data do not show.
    """

    device: Device
    estimates: dict[str, Estimate]
    families: dict[str, float]
    goodness: dict[str, float]
    population: Population
    increments: Increments
    measured: Measurement
    fitted_change: np.ndarray
    solution: Any = None
    notes: list[str] = field(default_factory=list)


def fit(
    measured: Measurement,
    *,
    family: str | None = None,
    name: str = "fitted",
    span_S: tuple[float, float] = (1e-7, 1e-5),
    extra: dict[str, Any] | None = None,
    on_progress: OnProgress | None = None,
) -> Fit:
    """Find the device behind measured pulses.

    Mean changes per pulse, in bins of the state, are fitted by least squares, with steps (and, where steps vanish at them, bounds) of each
    device and the other parameters common to all; the family is chosen by the Bayesian information criterion, a simpler
    one where it is not clearly worse. Noise of writing and of reading follow from the likelihood of the sequences of readings. Means and
    spreads over devices, with intervals of Student's t and of chi squared, become the datasheet.

    Args:
        measured: pulses. family: take this one instead of choosing. name: of the device.
        span_S: conductances that the range is laid on when the file's unit is not S. extra: further fields of the datasheet.
        on_progress: called with (what is done, fraction).

    Raises:
        InputError: nothing that can be fitted; an unknown family.

    Source: least squares on binned changes, as pulse responses are compared by Gong 2018; the filter is that of Kalman 1960.
    """
    tell = on_progress or (lambda what, done: None)
    # The matrices are small: threads of a linear algebra library would only wait for each other. What is not finite is refused below.
    with threadpool_limits(1), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            found = _fit(measured, family, name, span_S, extra or {}, tell)
        except InputError:
            raise
        except _NUMERICAL as error:
            what = f"its changes could not be fitted ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no words'})"
            raise InputError(
                f"{measured.source}: {what}; look whether the readings follow the pulses, or take --family jump-table"
            ) from error
    wrong = [n for n in ("step_up", "g_min", "g_max", "states") if not np.isfinite(found.estimates[n].value)]
    if wrong:
        raise InputError(f"{measured.source}: {wrong[0]} could not be found, got {found.estimates[wrong[0]].value}; measure more pulses")
    return found


def _fit(measured: Measurement, family: str | None, name: str, span_S: tuple[float, float], extra: dict[str, Any], tell: OnProgress) -> Fit:
    tell("changes per pulse", 0.0)
    data = increments(measured)
    criteria = _candidates(data, family, tell)
    chosen = family or _simplest(criteria)
    solution = _whole(Response.of_kind(chosen), data, tell)
    tell("noise", 0.8)
    noise = _noise(solution, data, measured)
    tell("datasheet", 0.95)
    best, population = min(criteria.values()), _population(solution, data)
    made = datasheet.estimates(population, noise, measured.unit)
    sheet = {"name": name, "source": measured.source, "unit": measured.unit, "span_S": span_S, "extra": extra}
    tell("done", 1.0)
    return Fit(
        device=datasheet.device(population, made, **sheet),
        estimates=made,
        families={kind: value - best for kind, value in sorted(criteria.items(), key=lambda item: item[1])},
        goodness={"changes": _r2(data.change, solution.change, data.count), "ramps": _ramps_r2(solution, data, measured)},
        population=population,
        increments=data,
        measured=measured,
        fitted_change=solution.change,
        solution=solution,
        notes=[*measured.notes, *_remarks(data, made)],
    )


def _remarks(data: Increments, made: dict[str, Estimate]) -> list[str]:
    """What the reader of the fit must know."""
    said = []
    for reached, end in zip(data.reached, ("lower", "upper"), strict=True):
        if not reached:
            said.append(f"changes had not died down at the {end} end: the device may go further than the range seen")
    if len(data.devices) == 1:
        said.append("one device was measured: nothing is known of the spread among devices")
    if data.one_sided:
        said.append("there are no gradual steps down: the weight needs a cell of two, as cell.kind = 'pair'")
    noise = made.get("cycle_noise", made.get("cycle_noise_additive"))
    if noise is not None and noise.low == 0 and np.isfinite(noise.high):
        said.append(f"noise of writing is not seen beside that of reading: at most {noise.high:.2g} of a step")
    return said


def _population(solution: Solution, data: Increments) -> Population:
    low, high = solution.frame
    half, mid = (high - low) / 2, (high + low) / 2
    values = {n: v * half + (mid if n in BOUNDS else 0.0) for n, v in solution.local.items()}
    sigma = {n: v * half for n, v in solution.local_sigma.items()}
    symmetry = np.array([_symmetry(solution, data, d) for d in range(len(data.devices))]) * half + mid
    slope = 0.0 if solution.family.one_sided else _asymmetry_slope(solution, data) / half
    return Population(solution.family, values, sigma, solution.shared, solution.shared_sigma, symmetry, slope, low, high)


def _asymmetry_slope(solution: Solution, data: Increments) -> float:
    """Change of the asymmetry of the steps with the state at mid-range, mean over devices; per half range."""
    slopes = []
    for d in range(len(data.devices)):
        up, down = _both_steps(solution, data, d, np.array([-0.05, 0.05]))
        slopes.append(float(np.diff(2 * (up + down) / (up - down))[0]) / 0.1)
    return float(np.mean(slopes))


def _both_steps(solution: Solution, data: Increments, device: int, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean up and down steps of a device at states, in half ranges."""
    module, a = _steps_of(solution, data, device)
    up, down = np.empty(state.size), np.empty(state.size)
    table = np.ascontiguousarray(np.broadcast_to(a, (state.size, a.shape[1])))
    module.steps(state, np.ones(state.size, bool), table, up)
    module.steps(state, np.zeros(state.size, bool), table, down)
    return up, down


def _symmetry(solution: Solution, data: Increments, device: int) -> float:
    """State at which up and down steps cancel, nan where they nowhere do; in half ranges."""
    if solution.family.one_sided:
        return np.nan
    grid = np.linspace(solution.local["g_min"][device], solution.local["g_max"][device], 2001)
    up, down = _both_steps(solution, data, device, grid)
    crossing = np.flatnonzero(np.diff(np.sign(up + down)))
    return float(grid[crossing[0]]) if crossing.size else np.nan


def _simplest(criteria: dict[str, float]) -> str:
    """The best family of the simplest rank that has one close to the best of all."""
    for rank in _RANKS:
        kind = min((k for k in rank if k in criteria), key=lambda k: criteria[k], default=None)
        if kind is not None and criteria[kind] <= min(criteria.values()) + _CLOSE:
            return kind
    return min(criteria, key=lambda k: criteria[k])


def _candidates(data: Increments, family: str | None, tell: OnProgress) -> dict[str, float]:
    """Criteria of the families, fitted to a few devices with the same weights."""
    few = data.of(np.arange(min(len(data.devices), _CHOOSE_BY)))
    variance = variances(few, smooth(few))
    kinds = [family] if family else [kind for kind in Response.kinds() if any(kind in rank for rank in _RANKS)]
    found = {}
    for k, kind in enumerate(kinds):
        tell(f"family {kind}", 0.1 + 0.4 * k / len(kinds))
        response = Response.of_kind(kind)
        if response.step is Response.step:
            raise InputError(f"family {kind}: must define step(g, up, p) to be fitted, got a whole pulse; write its mean step")
        if not family and response.one_sided != data.one_sided:
            continue
        found[kind] = criterion(response, few, variance)
    excess = max(1.0, min(cost for _, cost in found.values()) / len(few.count))
    return {kind: value / excess for kind, (value, _) in found.items()}


def _whole(family: type[Response], data: Increments, tell: OnProgress) -> Solution:
    """The chosen family fitted to all devices, some at a time; what they share is averaged by its certainty."""
    count = len(data.devices)
    groups = np.array_split(np.arange(count), max(1, -(-count // _AT_ONCE)))
    parts = []
    for k, group in enumerate(groups):
        tell(f"{family.kind_name()}, devices {group[0] + 1} to {group[-1] + 1}", 0.5 + 0.3 * k / len(groups))
        parts.append(fit_family(family, data.of(group)))
    if len(parts) == 1:
        return parts[0]
    shared, sigma = {}, {}
    for name in parts[0].shared:
        weights = np.array([1 / max(part.shared_sigma[name], 1e-9) ** 2 for part in parts])
        shared[name] = float(np.average([part.shared[name] for part in parts], weights=weights))
        sigma[name] = float(weights.sum() ** -0.5)
    low, high = (np.average([part.frame[k] for part in parts], weights=[len(g) for g in groups]) for k in (0, 1))
    half, mid = (high - low) / 2, (high + low) / 2
    local: dict[str, list[np.ndarray]] = {n: [] for n in parts[0].local}
    local_sigma: dict[str, list[np.ndarray]] = {n: [] for n in parts[0].local}
    for part in parts:
        own_half, own_mid = (part.frame[1] - part.frame[0]) / 2, (part.frame[1] + part.frame[0]) / 2
        for n, v in part.local.items():
            shift = own_mid - mid if n in BOUNDS else 0.0
            local[n].append((v * own_half + shift) / half)
            local_sigma[n].append(part.local_sigma[n] * own_half / half)
    change = np.empty(len(data.change))
    for group, part in zip(groups, parts, strict=True):
        change[np.isin(data.device, group)] = part.change
    joined, joined_sigma = ({n: np.concatenate(v) for n, v in kept.items()} for kept in (local, local_sigma))
    return Solution(family, joined, joined_sigma, shared, sigma, (float(low), float(high)), change, sum(part.cost for part in parts))


def _steps_of(solution: Solution, data: Increments, device: int) -> tuple[Any, np.ndarray]:
    """The kernel of the family and the parameters of one device as it takes them, (1, K)."""
    problem = Problem(solution.family, data.of(np.array([device])), solution.frame, np.ones(int((data.device == device).sum())))
    found = {n: v[device : device + 1] for n, v in solution.local.items()} | {n: np.array([v]) for n, v in solution.shared.items()}
    return problem.module, problem.table(found)


def _noise(solution: Solution, data: Increments, measured: Measurement) -> Noise:
    half, mid = (solution.frame[1] - solution.frame[0]) / 2, (solution.frame[1] + solution.frame[0]) / 2
    middle = float(np.mean([solution.local["step_up"], solution.local["step_down"]])) * half
    number = {name: k for k, name in enumerate(data.devices)}
    found, readings, module = [], 0, None
    change = np.median(np.abs(data.change))
    window = 1 if data.read_noise == 0 else max(1, round((2 * data.read_noise**2 / max(change, 1e-300) ** 2 / 0.02) ** (1 / 3)))
    for trace in measured.traces:
        d = number[trace.device]
        module, a = _steps_of(solution, data, d)

        def steps(state: np.ndarray, up: np.ndarray, module: Any = module, a: np.ndarray = a) -> np.ndarray:
            out = np.empty(state.size)
            module.steps((state - mid) / half, up, np.ascontiguousarray(np.broadcast_to(a, (state.size, a.shape[1]))), out)
            return out * half

        found.append(expected(trace, steps, float(data.low[d]), float(data.high[d]), data.read_noise, window, middle))
        readings += trace.level.size
        if readings > _READINGS:
            break
    assert module is not None
    levels = np.unique(measured.traces[0].level[:5000])
    resolution = float(np.diff(levels).min()) if levels.size > 1 else 0.0
    noise = find(found, module.log_likelihood, middle, resolution, data.read_noise > 0)
    spent = 1 + len(data.devices) * (4 if solution.family.soft else 2) + len(solution.shared)  # numbers fitted before
    seen = max(sum(int(part.counts.sum()) for part in found), spent + 1)
    value, low, high = noise.write
    return replace(noise, write=(value, low, high * (seen / (seen - spent)) ** 0.5))


def _r2(seen: np.ndarray, fitted: np.ndarray, weight: np.ndarray) -> float:
    mean = np.average(seen, weights=weight)
    return float(1 - np.sum(weight * (seen - fitted) ** 2) / max(np.sum(weight * (seen - mean) ** 2), 1e-300))


def _ramps_r2(solution: Solution, data: Increments, measured: Measurement) -> float:
    """R^2 of the readings against ramps of the fitted mean steps, each ramp from its first reading."""
    number = {name: k for k, name in enumerate(data.devices)}
    off, all_ = 0.0, 0.0
    for trace in measured.traces:
        fitted = trajectory(solution, data, number[trace.device], trace)
        off += float(np.sum((trace.level - fitted) ** 2))
        all_ += float(np.sum((trace.level - trace.level.mean()) ** 2))
    return 1 - off / max(all_, 1e-300)


def fitted_readings(found: Fit, trace: Trace) -> np.ndarray:
    """Readings of a trace as the fitted mean steps make them, each ramp from its first reading."""
    return trajectory(found.solution, found.increments, found.increments.devices.index(trace.device), trace)


def trajectory(solution: Solution, data: Increments, device: int, trace: Trace) -> np.ndarray:
    """Levels that the mean steps of a device make of a trace, each ramp from its first reading."""
    half, mid = (solution.frame[1] - solution.frame[0]) / 2, (solution.frame[1] + solution.frame[0]) / 2
    module, a = _steps_of(solution, data, device)
    turned = np.concatenate([[True], np.diff(trace.polarity) != 0])
    fresh = np.concatenate([turned[1:], [False]]) | (trace.polarity == 0) | (trace.polarity == 2)
    out = np.empty(trace.level.size)
    module.trajectory((trace.level - mid) / half, trace.polarity, trace.pulses, fresh, a, out)
    return out * half + mid
