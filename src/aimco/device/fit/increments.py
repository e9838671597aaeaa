"""Measured pulses as changes against states: what responses are fitted to.

Noise of reading and noise of writing are told apart here: reading noise makes neighbouring changes opposite, writing noise does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from aimco.device.measurement import Measurement, Trace
from aimco.record import InputError

_BINS = 60  # of states, for each device and direction, with equally many changes
_FEWEST = 3  # changes in a bin
_FEWEST_PULSES = 12  # in a direction, of all devices
_GAP = 0.02  # of the range: a bin does not reach across such a gap between states
_MARGIN = 3.0  # changes, as they are shortly before the end of the range, within which a hard bound may cut one
_REACHED = 0.05  # of the change at mid-range: below it at the end of a ramp the bound counts as reached
_NOISY = 0.1  # noise of reading, of a change, from which changes are taken over blocks of readings
_QUIET = 0.02  # noise of a block's change wanted, squared


@dataclass(frozen=True, eq=False)
class Increments:
    """Mean changes per pulse in bins of the state, for each device and direction.

    Args:
        devices: their names. device: number of the device of a bin (B,). up: direction (B,) bool. state, width: mean and standard
            deviation of the states before the pulses (B,). change: mean change by one pulse (B,). count: pulses (B,).
            variance: of one pulse's change (B,).
        low, high: range of each device, as seen (D,). reached: whether changes had died down at the lower and the upper end (2,).
        read_noise: standard deviation of one reading, 0 when not seen. block: readings that changes are averaged over.
        one_sided: whether there are no gradual steps down.
    """

    devices: list[str]
    device: np.ndarray
    up: np.ndarray
    state: np.ndarray
    width: np.ndarray
    change: np.ndarray
    count: np.ndarray
    variance: np.ndarray
    low: np.ndarray
    high: np.ndarray
    reached: tuple[bool, bool]
    read_noise: float
    block: int
    one_sided: bool

    def of(self, devices: np.ndarray) -> Increments:
        """Only some of the devices, by number, renumbered from 0."""
        number = np.full(len(self.devices), -1)
        number[devices] = np.arange(len(devices))
        mask = number[self.device] >= 0
        columns = {n: getattr(self, n)[mask] for n in ("up", "state", "width", "change", "count", "variance")}
        ends = {"low": self.low[devices], "high": self.high[devices]}
        rest = {"reached": self.reached, "read_noise": self.read_noise, "block": self.block, "one_sided": self.one_sided}
        return Increments([self.devices[k] for k in devices], number[self.device[mask]], **columns, **ends, **rest)


def increments(measured: Measurement) -> Increments:
    """Changes of all devices of a measurement.

    The noise R of reading is found from products of changes: E[D_k D_(k+1)] = s^2 - R^2, E[D_k D_(k+3)] = s^2. Where it is not
    small beside a change, changes are taken between means of neighbouring blocks of readings.
    """
    by_device: dict[str, list[Trace]] = {}
    for trace in measured.traces:
        by_device.setdefault(trace.device, []).append(trace)
    ramps = {name: [ramp for trace in traces for ramp in _ramps(trace)] for name, traces in by_device.items()}
    if not any(ramp.up for device_ramps in ramps.values() for ramp in device_ramps):
        raise InputError(f"{measured.source}: must have ramps of at least 3 pulses up, got none; measure the device with repeated pulses")
    for up, word in ((True, "up"), (False, "down")):
        pulses = sum(ramp.level.size - 1 for device_ramps in ramps.values() for ramp in device_ramps if ramp.up == up)
        if 0 < pulses < _FEWEST_PULSES:
            raise InputError(f"{measured.source}: must have at least {_FEWEST_PULSES} pulses {word} in ramps, got {pulses}; measure longer")
    read_noise = _read_noise(ramps)
    block = _block(ramps, read_noise)
    one_sided = not any(not ramp.up for device_ramps in ramps.values() for ramp in device_ramps)
    tables, ends, dying = [], [], []
    for number, device_ramps in enumerate(ramps.values()):
        low, high = _range(device_ramps, by_device, list(ramps)[number], read_noise, block)
        ends.append((low, high))
        for up in (True, False):
            changes = [_changes(ramp, block) for ramp in device_ramps if ramp.up == up]
            if changes:
                tables.append(_binned(number, up, np.concatenate(changes, 1), low, high, 4 * read_noise / block**0.5))
                dying.append((up, _at_the_end(changes)))
    columns = [np.concatenate(parts) for parts in zip(*tables, strict=True)]
    low, high = np.array(ends).T
    reached = tuple(bool(np.mean([flag for up, flag in dying if up == side] or [True]) > 0.5) for side in (False, True))
    return Increments(list(ramps), *columns, low, high, reached, read_noise, block, one_sided)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class _Ramp:
    """Readings of an uninterrupted run of pulses in one direction, the one before the first pulse included."""

    up: bool
    level: np.ndarray
    pulses: np.ndarray


def _ramps(trace: Trace) -> Iterator[_Ramp]:
    polarity = trace.polarity
    cuts = np.flatnonzero(np.diff(polarity)) + 1
    for first, last in zip([0, *cuts], [*cuts, polarity.size], strict=True):
        kind = int(polarity[first])
        start = max(first - 1, 0)
        if kind in (1, -1) and last - start >= 4:
            yield _Ramp(kind > 0, trace.level[start:last], trace.pulses[start + 1 : last])


def _read_noise(ramps: dict[str, list[_Ramp]]) -> float:
    """Standard deviation of one reading; 0 unless twice its own uncertainty is exceeded."""
    products = []
    for device_ramps in ramps.values():
        for ramp in device_ramps:
            change = np.diff(ramp.level)
            if change.size > 4:
                products.append(change[:-3] * (change[3:] - change[1:-2]))
    if not products:
        return 0.0
    all_products = np.concatenate(products)
    mean, spread = float(all_products.mean()), float(all_products.std() / all_products.size**0.5)
    return mean**0.5 if mean > 2 * spread and mean > 0 else 0.0


def _block(ramps: dict[str, list[_Ramp]], read_noise: float) -> int:
    """Readings that are averaged, so that the change from block to block stands out of the noise of reading."""
    every = [ramp for device_ramps in ramps.values() for ramp in device_ramps]
    change = float(np.median([abs(ramp.level[-1] - ramp.level[0]) / max(len(ramp.level) - 1, 1) for ramp in every]))
    if change == 0 or read_noise < _NOISY * change:
        return 1
    longest = max(1, int(np.median([len(ramp.level) for ramp in every])) // 12)
    return min(max(1, ceil((2 * read_noise**2 / change**2 / _QUIET) ** (1 / 3))), longest)


def _range(ramps: list[_Ramp], by_device: dict[str, list[Trace]], name: str, read_noise: float, block: int) -> tuple[float, float]:
    """Lowest and highest level of a device; where readings are noisy, where its ramps ended on the median."""
    if read_noise == 0:
        levels = [trace.level for trace in by_device[name]]
        return min(float(v.min()) for v in levels), max(float(v.max()) for v in levels)
    ends = []
    for ramp in ramps:
        window = min(max(10, 2 * block), max(1, len(ramp.level) // 4))
        smooth = np.convolve(ramp.level, np.ones(window) / window, "valid")
        ends.append((smooth.min(), smooth.max()))
    (lows, highs), up = np.array(ends).T, np.array([ramp.up for ramp in ramps])
    lows, highs = (v[up == side] if (up == side).any() else v for v, side in ((lows, False), (highs, True)))
    return float(np.median(lows)), float(np.median(highs))


def _changes(ramp: _Ramp, block: int) -> np.ndarray:
    """(state, change per pulse, pulses, place in the ramp 0..1), (4, N)."""
    if block == 1:
        change = np.diff(ramp.level) / ramp.pulses
        state = ramp.level[:-1] + 0.5 * (ramp.pulses - 1) * change
        return np.stack([state, change, ramp.pulses, np.linspace(0, 1, change.size)])
    blocks = ramp.level.size // block
    if blocks < 2:
        return np.empty((4, 0))
    mean = ramp.level[: blocks * block].reshape(blocks, block).mean(1)
    pulses = np.add.reduceat(ramp.pulses, np.arange(0, (blocks - 1) * block, block))[: blocks - 1].astype(float)
    change = np.diff(mean) / pulses
    return np.stack([(mean[1:] + mean[:-1] - change) / 2, change, pulses, np.linspace(0, 1, change.size)])


def _binned(number: int, up: bool, changes: np.ndarray, low: float, high: float, noise: float) -> tuple[np.ndarray, ...]:
    """Bins of one device and direction, without what a hard bound may have cut; noise: how far a state may be read wrong."""
    state, change, pulses, _ = changes
    left = (high - state if up else state - low) / (high - low)
    near = (left > 0.1) & (left < 0.3)
    margin = noise + (_MARGIN * float(np.sqrt(np.mean((change * pulses)[near] ** 2))) if near.any() else 0.0)
    cut = high - margin if up else low + margin
    mask = state < cut if up else state > cut
    if mask.sum() < 2 * _FEWEST:
        mask = np.ones(state.size, bool)
    order = np.argsort(state[mask], kind="stable")
    state, change, pulses = (v[mask][order] for v in (state, change, pulses))
    bins = int(np.clip(state.size // _FEWEST, 1, _BINS))
    gaps = np.flatnonzero(np.diff(state) > _GAP * (high - low)) + 1
    edges = np.union1d(np.linspace(0, state.size, bins + 1).astype(int)[:-1], gaps)
    count = np.diff([*edges, state.size])
    middle, mean, total = (np.add.reduceat(v, edges) / n for v, n in ((state, count), (change, count), (pulses, 1)))
    off, apart = change - np.repeat(mean, count), state - np.repeat(middle, count)
    variance = np.add.reduceat(off * off * pulses, edges) / np.maximum(count - 1, 1)
    width = np.sqrt(np.add.reduceat(apart * apart, edges) / count)
    return np.full(edges.size, number), np.full(edges.size, up), middle, width, mean, total, variance


def _at_the_end(changes: list[np.ndarray]) -> bool:
    """Whether the changes of a direction have died down at the end of its ramps."""
    joined = np.concatenate(changes, 1)
    late, middle = joined[1, joined[3] > 0.95], joined[1]
    return bool(late.size and abs(late.mean()) < _REACHED * np.quantile(np.abs(middle), 0.9))
