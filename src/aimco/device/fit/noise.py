"""Noise of writing and noise of reading, told apart by the likelihood of whole sequences of readings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize

from aimco.device.measurement import Trace
from aimco.kernels import Kernel

_SURE = 3.0  # of the logarithm of the likelihood: what a further kind of noise must gain
_INTERVAL = 1.92  # fall of the logarithm of the likelihood at the ends of a 95 % interval
_EVERY, _FEWEST = (3, 10, 30, 100), 10  # readings of which one is looked at, as long as a run has so many of them
_ENOUGH = 30  # changes between such readings
_CLEARLY = 0.8  # of the lower end of an interval, below which the upper end of another must lie to be taken instead
_WORTH = 0.05  # of the step at mid-range: changes with smaller expected steps say nothing of noise relative to a step


@dataclass(frozen=True, eq=False)
class Readings:
    """One trace beside the mean steps that are expected in it, in one unit."""

    level: np.ndarray
    step: np.ndarray
    pulses: np.ndarray
    fresh: np.ndarray
    counts: np.ndarray
    turned: np.ndarray  # whether a run of pulses in one direction begins


@dataclass(frozen=True)
class Noise:
    """Noise of writing, relative to the step or independent of it, and of reading; (value, low, high) of a 95 % interval each."""

    kind: str  # "relative" or "fixed"
    write: tuple[float, float, float]
    read: tuple[float, float, float]


def expected(
    trace: Trace, steps: Callable[[np.ndarray, np.ndarray], np.ndarray], low: float, high: float, read_noise: float, window: int, mid: float
) -> Readings:
    """The mean steps of a trace.

    Args:
        steps: mean steps at states, up or down. low, high: range of the device. read_noise: of one reading.
        window: readings that a state is averaged over. mid: step at mid-range, > 0. All in levels.
    """
    level, polarity = trace.level, trace.polarity
    state = level if window <= 1 else _averaged(level, polarity, window)
    before = np.concatenate([state[:1], state[:-1]])
    up, fresh = polarity > 0, (polarity == 0) | (polarity == 2)
    fresh = fresh | (np.arange(level.size) == 0)
    step = np.where(fresh, 0.0, steps(before, up & (polarity != 2)))
    change = np.diff(level, prepend=level[:1])
    margin = 4 * np.abs(step) * trace.pulses + 3 * (read_noise if read_noise > 0 else _rms(change[~fresh]))
    inside = np.where(up, before + margin < high, before - margin > low)
    turned = fresh | (np.diff(polarity, prepend=polarity[:1]) != 0)
    fresh = fresh | ~inside  # at a bound the filter starts anew with each reading
    return Readings(level, step, trace.pulses, fresh, ~fresh & (np.abs(step) > _WORTH * mid), turned)


def _averaged(level: np.ndarray, polarity: np.ndarray, window: int) -> np.ndarray:
    """Running mean within each run of pulses of one direction."""
    out = level.copy()
    cuts = [0, *(np.flatnonzero(np.diff(polarity)) + 1), level.size]
    for first, last in itertools.pairwise(cuts):
        wide = min(window, last - first)
        sums = np.concatenate([[0.0], np.cumsum(level[first:last])])
        at = np.arange(last - first)
        low, high = np.maximum(at - wide // 2, 0), np.minimum(at + wide // 2 + 1, last - first)
        out[first:last] = (sums[high] - sums[low]) / (high - low)
    return out


def _rms(v: np.ndarray) -> float:
    return float(np.sqrt(np.mean(v * v))) if v.size else 0.0


def find(readings: Sequence[Readings], log_likelihood: Kernel, mid: float, resolution: float, read_seen: bool) -> Noise:
    """The noise under which sequences of readings are most likely.

    Noise of writing is the same however many readings are left out between two that are compared; disturbances of reading that
    last for some readings are not. So where noise of reading is seen, every third, tenth, ... reading is looked at too, and
    the noise of writing is taken where it is clearly smallest. The noise of reading is that of neighbouring readings.

    Args:
        log_likelihood: kernel of `aimco.kernels.mean_step_template`. mid: step at mid-range. resolution: of the readings.
        read_seen: whether neighbouring changes are opposite, as noise of reading makes them.
    """
    floor = max(resolution / 12**0.5, 1e-9 * mid)
    best = _likeliest(readings, log_likelihood, mid, floor, read_seen)
    longest = max(int(np.max(np.diff(np.flatnonzero(np.append(r.turned, True))))) for r in readings)
    for every in _EVERY if read_seen else ():
        if every * _FEWEST > longest:
            break
        parts = [_every(r, every) for r in readings]
        if sum(int(part.counts.sum()) for part in parts) < _ENOUGH:
            break
        sparse = _likeliest(parts, log_likelihood, mid, floor, read_seen)
        if sparse.write[2] < _CLEARLY * best.write[1]:
            best = sparse
    if not read_seen:
        return best
    return replace(best, read=_neighbouring(readings, best, mid, floor))


def _likeliest(readings: Sequence[Readings], log_likelihood: Kernel, mid: float, floor: float, read_seen: bool) -> Noise:
    def total(kind: str, write: float, read: float) -> float:
        relative, fixed = (write, 0.0) if kind == "relative" else (0.0, write * mid)
        return sum(log_likelihood(s.level, s.step, s.pulses, s.fresh, s.counts, relative, fixed, max(read, floor)) for s in readings)

    candidates = {}
    for kind in ("relative", "fixed"):
        alone = optimize.minimize_scalar(lambda v, k=kind: -total(k, np.exp(v), 0.0), bounds=(-9, 5), method="bounded")
        best = [-alone.fun, float(np.exp(alone.x)), 0.0]
        for start in ((alone.x, -3.0), (alone.x - 2, 1.0))[: 2 if read_seen else 1]:
            both = optimize.minimize(lambda v, k=kind: -total(k, np.exp(v[0]), mid * np.exp(v[1])), start, method="Nelder-Mead")
            if -both.fun > best[0] + _SURE:
                best = [-both.fun, float(np.exp(both.x[0])), float(mid * np.exp(both.x[1]))]
        candidates[kind] = best
    kind = "fixed" if candidates["fixed"][0] > candidates["relative"][0] + _SURE else "relative"
    top, write, read = candidates[kind]
    low, high = _ends(lambda v: total(kind, v, read) - top, write)
    read_ends = _ends(lambda v: total(kind, write, v) - top, read) if read > 0 else (0.0, floor)
    return Noise(kind, (write, low, high), (read, *read_ends))


def _every(r: Readings, count: int) -> Readings:
    """Every so many readings of each run of pulses in one direction; the mean steps between them added up."""
    run = np.cumsum(r.turned)
    place = np.arange(run.size) - np.flatnonzero(r.turned)[run - 1]
    indices = np.flatnonzero(place % count == 0)
    moved = ~r.turned  # what leads to a reading is beside it, so each sum runs from behind the kept reading before
    sums = []
    for add, v in ((np.add, r.pulses * moved), (np.add, r.pulses * r.step * moved), (np.minimum, r.counts)):
        up_to = add.reduceat(np.append(v[1:], v[-1:] * 0), indices)
        sums.append(np.concatenate([up_to[:1] * 0, up_to[:-1]]))
    pulses, change, whole = sums
    turned = r.turned[indices]
    fresh = turned | ~whole.astype(bool)
    step = np.divide(change, pulses, out=np.zeros(change.size), where=pulses > 0)
    return Readings(r.level[indices], step, pulses, fresh, ~fresh, turned)


def _neighbouring(readings: Sequence[Readings], noise: Noise, mid: float, floor: float) -> tuple[float, float, float]:
    """Noise of reading from the changes between neighbours: E[(D - n s)^2] = 2 R^2 + that of writing."""
    squares = []
    for r in readings:
        off = np.diff(r.level, prepend=r.level[:1]) - r.pulses * r.step
        size = r.step if noise.kind == "relative" else mid
        squares.append((off * off - r.pulses * (noise.write[0] * size) ** 2)[r.counts])
    both = np.concatenate(squares)
    wide = 1.96 * both.std() / both.size**0.5
    value, low, high = (float(np.sqrt(max(v, 0.0) / 2)) for v in (both.mean(), both.mean() - wide, both.mean() + wide))
    return max(value, floor), low, max(high, floor)


def _ends(fall: Callable[[float], float], at: float) -> tuple[float, float]:
    """Where the logarithm of the likelihood has fallen by 1.92 below and above; 0 below where it never does."""
    ends = []
    for sign in (-1, 1):
        wide = 1e-3
        while wide < 8 and fall(at * np.exp(sign * wide)) > -_INTERVAL:
            wide *= 2
        if wide >= 8:
            ends.append(0.0 if sign < 0 else float("inf"))
            continue
        lowest = wide / 2 if wide > 1e-3 else 0.0
        root = float(optimize.brentq(lambda w, s=sign: fall(at * np.exp(s * w)) + _INTERVAL, lowest, wide, xtol=1e-4))  # type: ignore[arg-type]
        ends.append(float(at * np.exp(sign * root)))
    return ends[0], ends[1]
