"""Measured pulses become a device: which response fits, with which numbers, how certain, and how far devices and cycles differ."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from aimco import user_code
from aimco.device.device import Device
from aimco.device.fit import datasheet
from aimco.device.fit.datasheet import Estimate, Population
from aimco.device.fit.increments import Increments, increments
from aimco.device.fit.least_squares import BOUNDS, Solution, criterion, fit_family, smooth, variances
from aimco.device.fit.noise import Noise, Readings, expected, find
from aimco.device.measurement import Measurement
from aimco.device.response import Response
from aimco.plain_data import PlainData
from aimco.record import InputError

_AT_ONCE = 20  # devices that are fitted together
_CHOOSE_BY = 12  # devices that the family is chosen by
_READINGS = 300_000  # that the noise is found from
_CLOSE = 6.0  # of the information criterion: a simpler family is taken when it is not further than this from the best
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
        increments: mean changes per pulse as measured; as fitted they are `solution.change`.
        notes: what was assumed, and what the data do not show.
    """

    device: Device
    estimates: dict[str, Estimate]
    families: dict[str, float]
    goodness: dict[str, float]
    population: Population
    increments: Increments
    measured: Measurement
    solution: Solution
    notes: list[str] = field(default_factory=list)


def fit(
    measured: Measurement,
    *,
    family: str | None = None,
    name: str = "fitted",
    span_S: tuple[float, float] = (1e-7, 1e-5),
    extra: PlainData | None = None,
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
            result = _fit(measured, family, name, span_S, extra or {}, tell)
        except InputError:
            raise
        except _NUMERICAL as error:
            what = f"its changes could not be fitted ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no words'})"
            raise InputError(
                f"{measured.source}: {what}; look whether the readings follow the pulses, or take --family jump-table"
            ) from error
    wrong = [n for n in ("step_up", "g_min", "g_max", "states") if not np.isfinite(result.estimates[n].value)]
    if wrong:
        raise InputError(f"{measured.source}: {wrong[0]} could not be found, got {result.estimates[wrong[0]].value}; measure more pulses")
    return result


def _try_family(family: type[Response]) -> None:
    """Make a device of a user's family, with the defaults of its fields and steps of a hundredth of the range, which tries it."""
    Device(g_min=0.0, g_max=2.0, response=family(step_up=0.02, step_down=0.02))


def _fit(measured: Measurement, family: str | None, name: str, span_S: tuple[float, float], extra: PlainData, tell: OnProgress) -> Fit:
    tell("changes per pulse", 0.0)
    if family is not None and user_code.is_own(Response.of_kind(family)):
        _try_family(Response.of_kind(family))
    data = increments(measured)
    criteria = _candidates(data, family, tell)
    chosen = family or _simplest(criteria)
    solution = _whole(Response.of_kind(chosen), data, tell)
    tell("noise", 0.8)
    noise = _noise(solution, data, measured)
    tell("datasheet", 0.95)
    best, population = min(criteria.values()), _population(solution, data)
    estimates = datasheet.estimates(population, noise, measured.unit)
    sheet = {"name": name, "source": measured.source, "unit": measured.unit, "span_S": span_S, "extra": extra}
    tell("done", 1.0)
    return Fit(
        device=datasheet.device(population, estimates, **sheet),
        estimates=estimates,
        families={kind: value - best for kind, value in sorted(criteria.items(), key=lambda item: item[1])},
        goodness={"changes": _r2(data.change, solution.change, data.count), "ramps": _ramps_r2(solution, data, measured)},
        population=population,
        increments=data,
        measured=measured,
        solution=solution,
        notes=[*measured.notes, *_remarks(data, estimates)],
    )


def _remarks(data: Increments, estimates: dict[str, Estimate]) -> list[str]:
    """What the reader of the fit must know."""
    remarks = []
    for reached, end in zip(data.reached, ("lower", "upper"), strict=True):
        if not reached:
            remarks.append(f"changes had not died down at the {end} end: the device may go further than the range seen")
    if len(data.devices) == 1:
        remarks.append("one device was measured: nothing is known of the spread among devices")
    if data.one_sided:
        remarks.append("there are no gradual steps down: the weight needs a cell of two, as cell.kind = 'pair'")
    noise = estimates.get("cycle_noise", estimates.get("cycle_noise_additive"))
    if noise is not None and noise.low == 0 and np.isfinite(noise.high):
        remarks.append(f"noise of writing is not seen beside that of reading: at most {noise.high:.2g} of a step")
    return remarks


def _population(solution: Solution, data: Increments) -> Population:
    values = {n: v * solution.half + (solution.mid if n in BOUNDS else 0.0) for n, v in solution.local.items()}
    sigma = {n: v * solution.half for n, v in solution.local_sigma.items()}
    symmetry = np.array([solution.symmetry_point(d) for d in range(len(data.devices))])
    shared = solution.shared, solution.shared_sigma
    return Population(solution.family, values, sigma, *shared, symmetry, solution.asymmetry_slope(), *solution.frame)


def _simplest(criteria: dict[str, float]) -> str:
    """The best family of the simplest rank that has one close to the best of all."""
    close = min(criteria.values()) + _CLOSE
    return min((kind for kind, value in criteria.items() if value <= close), key=lambda kind: (_rank(kind), criteria[kind]))


def _rank(kind: str) -> int | None:
    return Response.of_kind(kind).fit_rank


def _candidates(data: Increments, family: str | None, tell: OnProgress) -> dict[str, float]:
    """Criteria of the families, fitted to a few devices with the same weights."""
    few = data.of(np.arange(min(len(data.devices), _CHOOSE_BY)))
    variance = variances(few, smooth(few))
    kinds = [family] if family else [kind for kind in Response.kinds() if _rank(kind) is not None]
    criteria = {}
    for k, kind in enumerate(kinds):
        tell(f"family {kind}", 0.1 + 0.4 * k / len(kinds))
        response = Response.of_kind(kind)
        if response.step is Response.step:
            raise InputError(f"family {kind}: must define step(g, up, p) to be fitted, got a whole pulse; write its mean step")
        if not family and response.one_sided != data.one_sided:
            continue
        criteria[kind] = criterion(response, few, variance)
    excess = max(1.0, min(cost for _, cost in criteria.values()) / len(few.count))
    return {kind: value / excess for kind, (value, _) in criteria.items()}


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
        for n, v in part.local.items():
            shift = part.mid - mid if n in BOUNDS else 0.0
            local[n].append((v * part.half + shift) / half)
            local_sigma[n].append(part.local_sigma[n] * part.half / half)
    change = np.empty(len(data.change))
    for group, part in zip(groups, parts, strict=True):
        change[np.isin(data.device, group)] = part.change
    joined, joined_sigma = ({n: np.concatenate(v) for n, v in columns.items()} for columns in (local, local_sigma))
    return Solution(family, joined, joined_sigma, shared, sigma, (float(low), float(high)), change, sum(part.cost for part in parts))


def _noise(solution: Solution, data: Increments, measured: Measurement) -> Noise:
    middle = float(np.mean([solution.local["step_up"], solution.local["step_down"]])) * solution.half
    number = {name: k for k, name in enumerate(data.devices)}
    readings: list[Readings] = []
    reading_count = 0
    for trace in measured.traces:
        d = number[trace.device]
        steps = functools.partial(solution.steps, d)
        readings.append(expected(trace, steps, float(data.low[d]), float(data.high[d]), data.read_noise, data.block, middle))
        reading_count += trace.level.size
        if reading_count > _READINGS:
            break
    levels = np.unique(measured.traces[0].level[:5000])
    resolution = float(np.diff(levels).min()) if levels.size > 1 else 0.0
    noise = find(readings, solution.parameters[0].log_likelihood, middle, resolution, data.read_noise > 0)
    spent = 1 + len(data.devices) * (4 if solution.family.soft else 2) + len(solution.shared)  # numbers fitted before
    seen = max(sum(int(part.counts.sum()) for part in readings), spent + 1)
    value, low, high = noise.write
    return replace(noise, write=(value, low, high * (seen / (seen - spent)) ** 0.5))


def _r2(seen: np.ndarray, fitted: np.ndarray, weight: np.ndarray) -> float:
    mean = np.average(seen, weights=weight)
    return float(1 - np.sum(weight * (seen - fitted) ** 2) / max(np.sum(weight * (seen - mean) ** 2), 1e-300))


def _ramps_r2(solution: Solution, data: Increments, measured: Measurement) -> float:
    """R^2 of the readings against ramps of the fitted mean steps, each ramp from its first reading."""
    number = {name: k for k, name in enumerate(data.devices)}
    off = sum(float(np.sum((t.level - solution.trajectory(number[t.device], t)) ** 2)) for t in measured.traces)
    return 1 - off / max(sum(float(np.sum((t.level - t.level.mean()) ** 2)) for t in measured.traces), 1e-300)
