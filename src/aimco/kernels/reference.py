"""Converters, the pulsed update and writes with verify in plain numpy, pulse by pulse.

The definition that the compiled kernels are tested against.

Slow on purpose: it reads like the text of the method. Arguments are as in `trains.encode` and the made `update_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from aimco import rng

ROW, SLOT = 0x9E3779B9, 0x85EBCA6B


def mixed(word: int) -> int:
    """The random word of a 32-bit number, which wraps around."""
    return int(rng.hash32(np.array([word & 0xFFFFFFFF], np.uint32))[0])


def quantised(v: np.ndarray, bits: float) -> np.ndarray:
    """Values in [-1, 1] on the levels of a converter: round(v (2^(bits-1) - 1)) / (2^(bits-1) - 1); exact for inf."""
    steps = 2 ** (bits - 1) - 1
    return v if steps == np.inf else np.round(v * steps) / steps


def train(v: np.ndarray, scale: float, length: int, key: int) -> np.ndarray:
    """Firing of each line in each slot, (lines, length) bool: a Bernoulli draw with p = min(1, scale |v|) per slot.

    Each 32-bit draw serves two slots; p is rounded at random to 16 bits, so that small ones stay unbiased.
    """
    lines = np.arange(v.size, dtype=np.uint32)
    p = np.minimum(np.abs(v) * np.float32(scale), np.float32(1))
    round_up = (rng.hash32(np.uint32(key) + lines) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    threshold = (p * np.float32(65536) + round_up).astype(np.int32)
    fires = np.zeros((v.size, length + 1), bool)
    for slot in range(0, length, 2):
        word = rng.hash32(np.uint32(rng.base(key, slot)) + lines)
        fires[:, slot], fires[:, slot + 1] = (word & np.uint32(0xFFFF)) < threshold, (word >> np.uint32(16)) < threshold
    return fires[:, :length]


def trains(
    x: np.ndarray, d: np.ndarray, lr: float, dw_min: float, options: tuple[int, bool, bool, bool], keys: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Firing of the rows (R, BL) and columns (C, BL) for one sample, by the equations of `aimco.kernels.trains`.

    Args:
        options: longest train, update management, update-BL management, whether x and d stand for errors and inputs.
    """
    length, manage, shorten, on_its_side = options
    top_x, top_d = float(np.abs(x).max()), float(np.abs(d).max())
    if top_x == 0 or top_d == 0 or lr == 0:
        return np.zeros((x.size, 0), bool), np.zeros((d.size, 0), bool)
    wanted = lr * top_x * top_d / dw_min
    slots = int(min(length, max(1, np.ceil(wanted)))) if shorten else length
    if wanted > length:
        top_x, top_d = (top_x * length / wanted, top_d) if on_its_side else (top_x, top_d * length / wanted)
    gain, balance = np.sqrt(lr / (slots * dw_min)), np.sqrt(top_d / top_x) if manage else 1.0
    key_x, key_d = (rng.base(int(key), number) for key in keys[:2])
    return train(x, gain * balance, slots, key_x), train(d, gain / balance, slots, key_d)


def update(
    pulse: Callable[..., float],
    state: np.ndarray,
    parameters: Mapping[str, np.ndarray],
    x: np.ndarray,
    d: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    key: int,
    number: int,
    polarity: int = 0,
    tables: Mapping[str, object] | None = None,
) -> int:
    """Step every device where the pulses of its row and column coincide, slot after slot; state (R, C) is changed in place.

    Args:
        pulse: scalar `pulse(g, n, up, p, noise) -> g`. parameters: name -> (R, C). x, d: values, of which only the sign counts.
        rows, columns: firing, (R, BL) and (C, BL). key: of the noise stream. number: of the sample.
        tables: what the pulse reads as `p.name` and is one for all devices.
        polarity: 0 for all; 1 for the coincidences that step up; -1 for those that step down, as steps up.

    Returns:
        Coincidences.
    """
    hits, start = 0, rng.base(key, number)
    for i, j in np.argwhere(rows.astype(int) @ columns.T.astype(int)).tolist():
        up = (x[i] < 0) == (d[j] < 0)
        if polarity and up != (polarity > 0):
            continue
        p = SimpleNamespace(**{name: float(values[i, j]) for name, values in parameters.items()}, **(tables or {}))
        row_key = mixed(start + i * ROW)
        for slot in np.flatnonzero(rows[i] & columns[j]).tolist():
            noise = float(rng.rough_normal(np.array(mixed(mixed(row_key + (slot + 1) * SLOT) + j), np.uint32)))
            g = pulse(float(state[i, j]), 1, up or polarity != 0, p, noise)
            state[i, j] = min(max(g, p.g_min), p.g_max)
            hits += 1
    return hits


def half_selects(x: np.ndarray, d: np.ndarray, rows: np.ndarray, columns: np.ndarray, polarity: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pulses on the row or the column of a device alone, up and down, (R, C); arguments as in `update`.

    Four parts, one after the other: rows of one sign fire against columns of one sign, slot after slot.
    """
    pulses = np.zeros((2, x.size, d.size), int)
    for row_negative, column_negative in ((False, False), (True, True), (False, True), (True, False)):
        steps_up = row_negative == column_negative
        if polarity and steps_up != (polarity > 0):
            continue
        firing = rows & ((x < 0) == row_negative)[:, None], columns & ((d < 0) == column_negative)[:, None]
        for slot in range(rows.shape[1]):
            pulses[0 if steps_up or polarity else 1] += firing[0][:, slot, None] ^ firing[1][None, :, slot]
    return pulses[0], pulses[1]


@dataclass
class Written:
    """One device that is written with verify, noisy pulse by noisy pulse.

    Args:
        pulse: as of `update`. p: parameters. state: now. keys: start of the draws of its array in each round.
        place: row and column as the array lies in memory. resets: states that a RESET leaves in each round, for one-sided devices.
    """

    pulse: Callable[..., float]
    p: SimpleNamespace
    state: float
    keys: Sequence[int]
    place: tuple[int, int]
    resets: Sequence[float] = ()
    sent: int = 0
    needed: int = 0
    returned: int = 0

    def give(self, n: int, number: int) -> float:
        """So many pulses, positive up, in one round; by how much the device has moved."""
        before, start = self.state, mixed(mixed(self.keys[number] + self.place[0] * ROW) + self.place[1])
        for s in range(abs(n)):
            noise = float(rng.rough_normal(np.array(mixed(start + s), np.uint32)))
            g = self.pulse(self.state, 1, n > 0, self.p, noise)
            self.state = float(np.float32(min(max(g, self.p.g_min), self.p.g_max)))
        self.sent += abs(n)
        return self.state - before

    def set(self, error: float, rate: float, most: int, number: int) -> float:
        """SET pulses for an error, given that steps are at most `rate` on average; what they are taken to be at most from now on."""
        n = min(max(int(error / rate), 1), most)
        return min(max(self.give(n, number) / n, rate / 2), rate)

    def reset(self, number: int) -> None:
        """RESET."""
        self.state = self.resets[number]
        self.returned += 1


def write(device: Written, target: float, limit: float, dw: float, rounds: int, most: int) -> None:
    """Pulse a device up or down by its error over the mean step, read, repeat until the error is at most `limit`."""
    for number in range(rounds):
        error = target - device.state
        if abs(error) <= limit:
            return
        device.needed = number + 1
        n = round(error / dw + np.copysign(1e-3, error))
        device.give(min(max(n, -most), most), number)


def raise_one(device: Written, target: float, limit: float, caution: float, rounds: int, most: int, retry: bool) -> None:
    """SET a one-sided device towards its target, read, repeat; RESET it where it overshoots, in the last round only if that helps."""
    rate = caution
    for number in range(rounds):
        error, last = target - device.state, retry and number + 1 == rounds
        short, beyond = error > min(limit, rate / 2), retry and error < -limit
        beyond = beyond and not (last and error >= device.resets[number] - target)
        if not (short or beyond):
            return
        device.needed = number + 1
        if beyond:
            device.reset(number)
            rate = caution
        elif not last:
            rate = device.set(error, rate, most, number)


def raise_pair(plus: Written, minus: Written, difference: float, limit: float, caution: float, rounds: int, most: int) -> None:
    """SET of two one-sided devices the one that the error asks for; RESET both where it is full and the other was raised as well."""
    pair, rates, raised = (plus, minus), [caution, caution], [False, False]
    for number in range(rounds):
        error = difference - (plus.state - minus.state)
        side = 0 if error > 0 else 1
        if abs(error) <= min(limit, rates[side] / 2):
            return
        if pair[side].state >= pair[side].p.g_max - 1e-6:
            if not raised[1 - side] or 2 * number >= rounds:
                return
            plus.needed, rates, raised = number + 1, [caution, caution], [False, False]
            for device in pair:
                device.reset(number)
            continue
        plus.needed, raised[side] = number + 1, True
        rates[side] = pair[side].set(abs(error), rates[side], most, number)
