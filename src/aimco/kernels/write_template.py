"""Writes of single devices: so many pulses, lines of them, and pulses with reads between them until devices are at their targets.

The continuation of `pulse_template.py`, whose functions it uses: `kernels/build.py` puts what follows the marker after the kernel that it
makes of that.
"""

import math

import numba as nb
import numpy as np

from aimco.kernels.intrinsics import base, greater, hash_add, lesser
from aimco.kernels.pulse_template import _ROW, REFERENCED, _flags, _noise, _part, _pulsed, device

# <continued>
_NEAR = np.float32(1e-6)  # of the highest state, from which a device is full
_NUDGE = np.float32(1e-3)  # of a pulse: an error of half a step is worth one


@nb.njit(**_part)
def _given(w, o, n, up, a, m, e, i, j, key):
    """State of a device after n pulses, one after the other."""
    for s in range(n):
        w = _pulsed(w, o, up, device(a, m, e, i, j), _noise(hash_add(key, np.uint32(s))))
    return w


@nb.njit(inline="always")
def _key(keys, e, step, i, j):
    """Start of the draws of one device in one step."""
    return hash_add(hash_add(base(keys[e], step), np.uint32(np.uint32(i) * _ROW)), np.uint32(j))


@nb.njit(parallel=True, **_flags)
def pulse_devices(state, origin, a, m, places, pulses, keys, step):
    """Give devices their own number of pulses, one after the other.

    Args:
        places: member, row and column of each device, (3, N) int64, none twice. pulses: of each, (N,) int32, positive up.
    """
    for t in nb.prange(pulses.size):
        e, i, j = places[0, t], places[1, t], places[2, t]
        n, o = pulses[t], origin[e, i if REFERENCED else 0, j]
        state[e, i, j] = _given(state[e, i, j], o, abs(n), n > 0, a, m, e, i, j, _key(keys, e, step, i, j))


@nb.njit(**_flags)
def write_rows(low, high, array, target, only, limit, dw, rounds, most, tally, given):
    """Pulse devices up or down by what they are off their targets, read, repeat, until they are off by no more than a limit.

    Args:
        low, high: rows, counted on through the members.
        array: state, origin, a and m as in `update_rows`, the streams of pulses (E,) and the number of the draws of round 0.
        target: (E, R, C) float32. only: devices that are written, (E, R, C) bool. Both as the array lies in memory.
        limit: error that is accepted. dw: mean step, (E,) float32.
        rounds: the first, and the one after the last. most: pulses of a round on one device.
        tally: by row, (3, E, R) int64: pulses, the round after the last in which a device was off, RESETs.
        given: pulses that each device got are added to it, (E, R, C) int32; (E, R, 0) where nobody asks.
    """
    state, origin, a, m, keys, first = array
    _, rows, columns = state.shape
    for r in range(low, high):
        e, i = r // rows, r % rows
        for j in range(columns):
            if not only[e, i, j]:
                continue
            w, o = state[e, i, j], origin[e, i if REFERENCED else 0, j]
            for k in range(rounds[0], rounds[1]):
                error = target[e, i, j] - w
                if abs(error) <= limit[e]:
                    break
                tally[1, e, i] = greater(tally[1, e, i], k + 1)
                whole = np.rint(error / dw[e] + (_NUDGE if error > 0 else -_NUDGE))
                n = np.int32(lesser(greater(whole, np.float32(-most)), np.float32(most)))
                w = _given(w, o, abs(n), n > 0, a, m, e, i, j, _key(keys, e, first + k, i, j))
                tally[0, e, i] += abs(n)
                if given.size:
                    given[e, i, j] += n
            state[e, i, j] = w


@nb.njit(parallel=True, **_flags)
def write(array, target, only, limit, dw, rounds, most, tally, given):
    """`write_rows` with the rows shared out among the threads."""
    state, origin, a, m, keys, first = array  # threads take tuples of arrays, and none that hold others
    members, rows, _ = state.shape
    for r in nb.prange(members * rows):
        write_rows(r, r + 1, (state, origin, a, m, keys, first), target, only, limit, dw, rounds, most, tally, given)


@nb.njit(**_part)
def _reset(back, step, on_its_side, e, i, j):
    """State of a device after a RESET; back: as in `raise_one`. Draws are those of `rng.normal`."""
    keys, first, bottom, low, high, sigma = back
    if sigma[e] == 0:
        return bottom[e, i, j]
    rows, columns = bottom.shape[1:]
    place, start = np.uint32(j * rows + i if on_its_side else i * columns + j), base(keys[e], first + step)
    u = (hash_add(start, place) + 0.5) / 2.0**32
    v = (hash_add(start, np.uint32(place + np.uint32(rows * columns))) + 0.5) / 2.0**32
    z = np.float32(math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v))
    return lesser(greater(bottom[e, i, j] + sigma[e] * z, low[e, i, j]), high[e, i, j])


@nb.njit(**_part)
def _set(w, o, error, rate, most, a, m, e, i, j, key):
    """SET pulses for an error, given that steps are at most `rate` on average: the state, what the next are taken to be, the pulses.

    No step after it is larger on average, as steps fall with conductance; one train that hardly moved does not make the next long.
    """
    n = np.int32(lesser(greater(np.floor(error / rate), np.float32(1)), np.float32(most)))
    after = _given(w, o, n, True, a, m, e, i, j, key)
    return after, lesser(greater((after - w) / np.float32(n), rate / 2), rate), n


@nb.njit(**_flags)
def raise_one(array, back, target, only, limit, caution, rate, rounds, total, most, retry, on_its_side, tally, given):
    """SET one-sided devices towards their targets, read, repeat; with `retry` those that overshoot are RESET and tried again.

    In the last round, after which none is tried again, those are RESET that this brings nearer.

    Args:
        array, target, only, limit, rounds, most, tally, given: as in `write`.
        back: what a RESET leaves: streams of its noise (E,), the number of the draws of round 0, states (E, R, C), the lowest and highest
            states (E, R, C), standard deviation (E,).
        caution: what a step is taken to be at most before it was seen, (E,) float32. rate: what it is taken to be now, (E, R, C).
        total: rounds in all.
    """
    state, origin, a, m, keys, first = array
    members, rows, columns = state.shape
    for r in range(members * rows):
        e, i = r // rows, r % rows
        for j in range(columns):
            if not only[e, i, j]:
                continue
            w, o, aim, step = state[e, i, j], origin[e, i if REFERENCED else 0, j], target[e, i, j], rate[e, i, j]
            for k in range(rounds[0], rounds[1]):
                error, last = aim - w, retry and k + 1 == total
                short = error > lesser(limit[e], step / 2)
                beyond = retry and error < (lesser(-limit[e], back[2][e, i, j] - aim) if last else -limit[e])
                if not (short or beyond):
                    break
                tally[1, e, i] = greater(tally[1, e, i], k + 1)
                if beyond:
                    w, step = _reset(back, k, on_its_side, e, i, j), caution[e]
                    tally[2, e, i] += 1
                elif not last:
                    w, step, n = _set(w, o, error, step, most, a, m, e, i, j, _key(keys, e, first + k, i, j))
                    tally[0, e, i] += n
                    if given.size:
                        given[e, i, j] += n
            state[e, i, j], rate[e, i, j] = w, step


@nb.njit(**_part)
def _raise(array, error, rate, most, e, i, j, k):
    """`_set` of a device of an array in round k; the pulses."""
    state, origin, a, m, keys, first = array
    o, key = origin[e, i if REFERENCED else 0, j], _key(keys, e, first + k, i, j)
    state[e, i, j], rate[e, i, j], n = _set(state[e, i, j], o, error, rate[e, i, j], most, a, m, e, i, j, key)
    return n


@nb.njit(**_part)
def _one_round(pair, backs, aim, limit, cautions, rates, raised, may_reset, most, on_its_side, e, i, j, k) -> tuple[int, int]:
    """What one round does to a pair: -1 nothing, 0 or 1 the device that was raised, 2 both were RESET; and the pulses."""
    error = aim - (pair[0][0][e, i, j] - pair[1][0][e, i, j])
    up = error > 0
    side = 0 if up else 1
    state, high = (pair[0][0], backs[0][4]) if up else (pair[1][0], backs[1][4])
    off = abs(error) > lesser(limit, rates[side, e, i, j] / 2)
    if off and state[e, i, j] >= high[e, i, j] - _NEAR:
        if not (raised[1 - side, e, i, j] and may_reset):
            return -1, 0
        pair[0][0][e, i, j] = _reset(backs[0], k, on_its_side, e, i, j)
        pair[1][0][e, i, j] = _reset(backs[1], k, on_its_side, e, i, j)
        for s in range(2):
            rates[s, e, i, j], raised[s, e, i, j] = cautions[s, e], False
        return 2, 0
    if not off:
        return -1, 0
    raised[side, e, i, j] = True
    return side, _raise(pair[0] if up else pair[1], abs(error), rates[side], most, e, i, j, k)


@nb.njit(**_flags)
def raise_pair(plus, minus, backs, difference, only, limit, cautions, rates, raised, rounds, total, most, on_its_side, tallies, given):
    """SET of two one-sided devices the one that the sign of the error asks for, read, repeat, until their difference is right.

    Where the device to be raised is full, and the other was raised too, both are RESET and tried again, in the first half of the rounds.

    Args:
        plus, minus, backs: arrays and backs of the two, as in `raise_one`; so cautions (2, E), rates (2, E, R, C), tallies (2, 3, E, R) and
            given (2, E, R, C).
        difference: (E, R, C) float32. raised: whether a device was raised since its RESET, (2, E, R, C) bool.
    """
    pair = plus, minus
    members, rows, columns = plus[0].shape
    for r in range(members * rows):
        e, i = r // rows, r % rows
        for j in range(columns):
            if not only[e, i, j]:
                continue
            for k in range(rounds[0], rounds[1]):
                aim, may_reset = difference[e, i, j], 2 * k < total
                did, n = _one_round(pair, backs, aim, limit[e], cautions, rates, raised, may_reset, most, on_its_side, e, i, j, k)
                if did < 0:
                    break
                tallies[0, 1, e, i] = greater(tallies[0, 1, e, i], k + 1)
                if did == 2:
                    tallies[0, 2, e, i] += 1
                    tallies[1, 2, e, i] += 1
                    continue
                tallies[did, 0, e, i] += n
                if given.size:
                    given[did, e, i, j] += n


@nb.njit(**_part)
def _lines(e, state, origin, a, m, rows, on_its_side, pulses, keys, first, tally, hits):
    """Give each device of one row after the other its own number of pulses, in one member."""
    for t in range(rows.size):
        k, slots, sent = rows[t], 0, 0
        key = hash_add(base(keys[e], first + t), np.uint32(np.uint32(k) * _ROW))
        for j in range(pulses.shape[2]):
            n = pulses[e, t, j]
            if n == 0:
                continue
            row, column = (j, k) if on_its_side else (k, j)
            device_key = hash_add(key, np.uint32(j))
            w, o = state[e, row, column], origin[e, row if REFERENCED else 0, column]
            for s in range(abs(n)):
                w = _pulsed(w, o, n > 0, device(a, m, e, row, column), _noise(hash_add(device_key, np.uint32(s))))
            state[e, row, column] = w
            slots, sent = greater(slots, abs(n)), sent + abs(n)
        tally[e, 0] += 2 * slots
        tally[e, 2 if on_its_side else 1] += slots
        tally[e, 1 if on_its_side else 2] += sent
        hits[e, 0] += sent


@nb.njit(**_flags)
def pulse_rows(state, origin, a, m, rows, on_its_side, pulses, keys, first, tally, hits):
    """Give each device of one row after the other its own number of pulses, (E, T, C) int32, positive up, all columns at once.

    rows: (T,), of the array as it is wired: columns of one that lies on its side. tally, hits: as in `trains.encode`, `update`.
    """
    for e in range(state.shape[0]):
        _lines(e, state, origin, a, m, rows, on_its_side, pulses, keys, first, tally, hits)


@nb.njit(parallel=True, **_flags)
def pulse_rows_members(state, origin, a, m, rows, on_its_side, pulses, keys, first, tally, hits):
    """`pulse_rows` with the members of an ensemble shared out among the threads."""
    for e in nb.prange(state.shape[0]):
        _lines(e, state, origin, a, m, rows, on_its_side, pulses, keys, first, tally, hits)


@nb.njit(parallel=True, **_flags)
def pulse_up_down(state, origin, a, m, pulses, up, keys, step):
    """Pulses up and down in turn on all devices at once, the first up or down."""
    members, rows, columns = state.shape
    for r in nb.prange(members * rows):
        e, i = r // rows, r % rows
        key = hash_add(base(keys[e], step), np.uint32(np.uint32(i) * _ROW))
        for j in range(columns):
            device_key = hash_add(key, np.uint32(j))
            w, o = state[e, i, j], origin[e, i if REFERENCED else 0, j]
            for t in range(pulses):
                w = _pulsed(w, o, (t % 2 == 0) == up, device(a, m, e, i, j), _noise(hash_add(device_key, np.uint32(t))))
            state[e, i, j] = w
