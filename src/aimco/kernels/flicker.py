"""Fluctuations of many devices advanced by any time: Ornstein-Uhlenbeck processes, and traps of two levels.

`aimco.device.noises` says what they are. Devices are flat here, (E, devices), in the order they lie in memory. The processes of
a device have unit variance and rates that rise with k. Three things keep a step cheap and its law exact:

- A process rests until the time it has waited reaches `RESTS` of its relaxation time, and then takes all that time in one step.
- The fastest processes, as many as have settled anew (rate x time > `SETTLES`), are known by their sum alone: one normal number of
  variance m. When a shorter time asks for them singly, each is drawn from its law given the sum of m equal ones,
  x | S ~ N(S/m, 1 - 1/m), the slowest first.
- Values are whole multiples of 2^-16, so that the running total of a device's processes is exact in float32.

A device with an age no greater than the time a process has waited was programmed since: that process is 0 then, whatever is stored.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from aimco.kernels.intrinsics import base, hash_add, nearest, rough_normal
from aimco.kernels.smooth import exp, exp2, log2

RESTS, SETTLES = 0.02, 6.0
DRAWS = 128  # numbers of draws kept for one step: one a process, and one more where it leaves a sum
_BLOCK = 4096  # devices whose processes are advanced together, so that their total stays in the nearest memory
_ZERO, _ONE, _GRID = np.float32(0), np.float32(1), np.float32(65536)
_flags = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}


@nb.njit(inline="always")
def _on_grid(v):
    return nearest(v * _GRID) / _GRID


@nb.njit(**_flags)
def _step(x, total, ages, waited, keep, stir, start):
    """x <- keep x + stir z."""
    for i in range(x.size):
        old = x[i] if ages[i] > waited else _ZERO
        new = _on_grid(keep * old + stir * rough_normal(hash_add(start, np.uint32(i))))
        total[i] += new - old
        x[i] = new


@nb.njit(**_flags)
def _step_aged(x, total, ages, waited, rate, start):
    """The same where some were programmed since and have stirred for a shorter time."""
    keep = exp(-rate * waited)
    for i in range(x.size):
        old = x[i] if ages[i] > waited else _ZERO
        correlation = exp(-rate * min(ages[i], waited))
        stir = np.sqrt(max(_ONE - correlation * correlation, _ZERO))
        new = _on_grid(keep * old + stir * rough_normal(hash_add(start, np.uint32(i))))
        total[i] += new - old
        x[i] = new


@nb.njit(**_flags)
def _leave(x, rest, m, start):
    """The slowest of m processes leaves their sum, which keeps what is left."""
    share, spread = _ONE / np.float32(m), np.sqrt(_ONE - _ONE / np.float32(m))
    for i in range(x.size):
        x[i] = _on_grid(share * rest[i] + spread * rough_normal(hash_add(start, np.uint32(i))))
        rest[i] -= x[i]


@nb.njit(**_flags)
def _join(x, total, ages, waited):
    """A process goes into the sum that is about to be drawn anew."""
    for i in range(x.size):
        total[i] -= x[i] if ages[i] > waited else _ZERO


@nb.njit(**_flags)
def _youngest(ages):
    least = np.float32(np.inf)
    for age in ages:
        least = min(least, age)
    return least


@nb.njit(**_flags)
def _of_block(x, total, ages, waited, rates, before, group, key, number, first):
    """One step of the processes of one block of devices: `before` of them were known by their sum, `group` of them are now."""
    count, last = rates.size, rates.size - 1
    settled = rates[last] * waited[last] > SETTLES
    youngest = _youngest(ages)
    for k in range(count - before, count - group):
        start = base(key, number * DRAWS + DRAWS // 2 + k) + np.uint32(first)
        _leave(x[k], x[last], count - k, np.uint32(start))
    for k in range(count - group, count - before):
        _join(x[k], total, ages, np.float32(waited[k]))
    start = np.uint32(base(key, number * DRAWS + last) + np.uint32(first))
    if settled:
        _step(x[last], total, ages, np.float32(waited[last]), _ZERO, np.float32(np.sqrt(group)), start)
    for k in range(count if group == 1 and not settled else count - group):
        time = rates[k] * waited[k]
        if time < RESTS:
            continue
        start = np.uint32(base(key, number * DRAWS + k) + np.uint32(first))
        if youngest > np.float32(waited[k]):
            keep, stir = np.float32(np.exp(-time)), np.float32(np.sqrt(-np.expm1(-2 * time)))
            _step(x[k], total, ages, np.float32(waited[k]), keep, stir, start)
        else:
            _step_aged(x[k], total, ages, np.float32(waited[k]), np.float32(rates[k]), start)


@nb.njit(**_flags)
def _together(rates, waited, before):
    """How many of the fastest processes are known by their sum after this step."""
    count = rates.size
    group = 0
    while group < count and rates[count - 1 - group] * waited[count - 1 - group] > SETTLES:
        group += 1
    if group > 0:
        return group
    return before if rates[count - 1] * waited[count - 1] < RESTS else 1


@nb.njit(**_flags)
def advance(x, total, ages, waited, together, rates, counts, keys, number):
    """Advance the processes whose time has come.

    Args:
        x: values (E, K, devices) float32; the sum of those known by it alone is the last of a member's. total: their sum, (E, devices).
        ages: s since each device was programmed, (E, devices) float64, or (E, 0) for processes that were always there.
        waited: s since the last step of each, this step's time included, (E, K) float64. together: how many are known by their sum, (E,).
        rates: 1/s, (E, K), the first counts[e] of them rising. keys: (E,) uint64. number: of this step, for the draws.
    """
    devices = x.shape[2]
    age = np.full(min(_BLOCK, devices), np.inf, np.float32)
    for e in range(x.shape[0]):
        count = counts[e]
        member_rates, time = rates[e, :count], waited[e, :count]
        if not (member_rates * time >= RESTS).any():
            continue
        group = _together(member_rates, time, together[e])
        for first in range(0, devices, _BLOCK):
            end = min(first + _BLOCK, devices)
            if ages.shape[1]:
                age[: end - first] = ages[e, first:end]
            block = x[e, :, first:end], total[e, first:end], age[: end - first]
            _of_block(*block, time, member_rates, together[e], group, keys[e], number, first)
        for k in range(count):
            if member_rates[k] * time[k] >= RESTS:
                time[k] = 0
        together[e] = group


@nb.njit(**_flags)
def _flip(filled, rates, share, sum_, seconds, size, start):
    for i in range(filled.size):
        likely = share[i] + (filled[i] - share[i]) * exp(-rates[i] * seconds)
        draw = np.float32(hash_add(start, np.uint32(i)) >> np.uint32(8)) * np.float32(2.0**-24)
        filled[i] = _ONE if draw < likely else _ZERO
        sum_[i] += size * (share[i] - filled[i])


@nb.njit(**_flags)
def flip(filled, rates, share, sum_, seconds, size, keys, number):
    """Let traps capture and emit for a time: p(filled | now) = share + (now - share) exp(-rate t).

    Args:
        filled, rates (1/s), share (of the time that a trap is filled): (E, T, devices) float32. sum_: out, relative change of each
            conductance, (E, devices). seconds, size: of each member, (E,). keys: (E,) uint64. number: of this step.
    """
    for e in range(filled.shape[0]):
        if seconds[e] <= 0:
            continue
        sum_[e, :] = 0
        for t in range(filled.shape[1]):
            start = base(keys[e], number * filled.shape[1] + t)
            _flip(filled[e, t], rates[e, t], share[e, t], sum_[e], np.float32(seconds[e]), np.float32(size[e]), start)


@nb.njit(**_flags)
def _sizes(ratio, amplitude, power, limit, size):
    for i in range(ratio.size):
        size[i] = min(amplitude * exp2(-power * log2(ratio[i])), limit)


@nb.njit(**_flags)
def _products(size, total, out):
    for i in range(total.size):
        out[i] = np.float64(size[i]) * np.float64(total[i])


@nb.njit(**_flags)
def relative(total, ratio, law, out):
    """Relative change of each conductance by its processes: min(amplitude ratio^-power, limit) total.

    Args:
        total: sum of the processes. ratio: g/g_max. Both (E, devices) float32. law: amplitude, power, limit, (E, 3) float32.
        out: (E, devices) float64, in which the products are exact.
    """
    members, devices = total.shape
    size = np.empty(min(_BLOCK, devices), np.float32)
    for e in range(members):
        for first in range(0, devices, _BLOCK):
            end = min(first + _BLOCK, devices)
            _sizes(ratio[e, first:end], law[e, 0], law[e, 1], law[e, 2], size)
            _products(size, total[e, first:end], out[e, first:end])


@nb.njit(**_flags)
def conductances(absolute, middle, scale, g, ratio):
    """Conductances from states: g in half ranges, and over g_max; all (E, devices) float32, middle and scale (E,) float32."""
    for e in range(g.shape[0]):
        for i in range(g.shape[1]):
            g[e, i] = max(absolute[e, i] + middle[e], _ZERO)
            ratio[e, i] = g[e, i] * scale[e]


@nb.njit(**_flags)
def shifts(change, g, out):
    """Changes of conductances g from relative ones, never more than to 0 S, (E, devices); change float32 or float64."""
    for e in range(g.shape[0]):
        for i in range(g.shape[1]):
            out[e, i] = max(g[e, i] * np.float32(change[e, i]), -g[e, i])
