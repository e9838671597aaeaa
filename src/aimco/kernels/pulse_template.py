"""Pulsed update of arrays whose devices share one response.

This file is both a working kernel (for a device with constant steps) and the text from which
`kernels/build.py` makes the kernel of any other response: the part between the markers is replaced by
the response's own scalar functions, and the device fields by the parameters it reads. The made text is kept in a
cache folder, so that a second process compiles nothing.
"""

from base64 import b64decode  # noqa: F401
from collections import namedtuple
from statistics import NormalDist

import numba as nb
import numpy as np

from aimco.kernels.lanes import add32, base, coincidences, hash_add, lowest_slot, rough_normal, same_sign
from aimco.kernels.trains import ACTIVE, AGGREGATED, FILLED, encode

# <response>
NOISY = False
REFERENCED = False
WHOLE = False
Device = namedtuple("Device", "step_up step_down g_max g_min")


def response(g, n, up, p, noise):
    return g + (n * p.step_up if up else -n * p.step_down)


@nb.njit(inline="always")
def device(a, m, e, i, j):
    own = a[1]
    return Device(own[e, i, j, 0], own[e, i, j, 1], own[e, i, j, 2], own[e, i, j, 3])


@nb.njit(inline="always")
def device_of_row(a, m, j):
    return Device(a[0, j], a[1, j], a[2, j], a[3, j])


# </response>

_DEVIATES = np.array([NormalDist().inv_cdf((k + 0.5) / 64) for k in range(64)] if WHOLE else [0.0], np.float32)
BLOCK = 16  # rows that a thread takes at a time
_ROW, _SLOT = np.uint32(0x9E3779B9), np.uint32(0x85EBCA6B)
_pulse = nb.njit(inline="always", error_model="numpy")(response)
_flags = {"cache": True, "error_model": "numpy", "nogil": True, "fastmath": {"contract", "arcp", "nsz", "nnan", "ninf"}}


@nb.njit(inline="always")
def _after(w, origin, n, up, p, noise):
    """State after n pulses, kept within the device's bounds; stored relative to its reference where it has one."""
    g = w + origin if REFERENCED else w
    g = min(max(np.float32(_pulse(g, n, up, p, noise)), p.g_min), p.g_max)
    return g - origin if REFERENCED else g


@nb.njit(inline="always")
def _noise(word):
    return rough_normal(word) if NOISY else np.float32(0)


@nb.njit(inline="always")
def _all_at_once(w, origin, a, m, x, d, key, take):
    """One step per device for all its coincidences in a sample; arrays are those of one row, so that this becomes vector code."""
    hits = np.int32(0)
    for j in range(w.size):
        up = same_sign(x, d[j])
        n = coincidences(x, d[j]) if take == 0 or up == (take > 0) else np.int32(0)
        hits = add32(hits, n)
        noise = _noise(hash_add(key, np.uint32(j)))
        new = _after(w[j], origin[j], np.float32(n), up or take != 0, device_of_row(a, m, j), noise)
        w[j] = new if n > 0 else w[j]
    return hits


@nb.njit(inline="always")
def _one_by_one(state, origin, a, m, x, columns, filled, e, i, o, key, noise, take):
    """The definition: slot after slot, each coincidence its own step. The noise of a slot is drawn first, as vector code."""
    hits = 0
    slots = np.uint32(x & np.uint32(0x7FFFFFFF))
    positive = (x >> np.uint32(31)) == 0
    while slots != 0:
        slot = np.int64(lowest_slot(slots))
        slots = np.uint32(slots & np.uint32(slots - np.uint32(1)))
        slot_key = hash_add(key, np.uint32(np.uint32(slot + 1) * _SLOT))
        for sign in range(2):
            fired = filled[2 * slot + sign]
            start = sign * (columns.shape[1] - fired)
            up = positive == (sign == 0)
            if take != 0:
                if up != (take > 0):
                    continue
                up = True
            for k in range(fired):
                noise[k] = _noise(hash_add(slot_key, columns[slot, start + k]))
            for k in range(fired):
                j = columns[slot, start + k]
                state[e, i, j] = _after(state[e, i, j], origin[e, o, j], np.float32(1), up, device(a, m, e, i, j), noise[k])
            hits += fired
    return hits


@nb.njit(inline="always")
def _sample(state, origin, a, m, trains, e, b, low, high, start, noise, take):
    """One sample on the rows low..high of a member. A row taken out as an array of its own costs a reference count:
    nothing for a long loop, too much for a few coincidences."""
    x_words, d_words, rows, columns, lengths = trains
    hits = 0
    active, aggregated, filled = lengths[e, b, ACTIVE], lengths[e, b, AGGREGATED], lengths[e, b, FILLED:]
    listed, slots = rows[e, b, :active], columns[e, b]
    for k in range(np.searchsorted(listed, low), active):
        i = np.int64(listed[k])
        if i >= high:
            break
        o = i if REFERENCED else 0
        key = hash_add(start, np.uint32(np.uint32(i) * _ROW))
        if aggregated:
            hits += _all_at_once(state[e, i], origin[e, o], a[0][e, i], m[e], x_words[e, b, i], d_words[e, b], key, take)
        else:
            hits += _one_by_one(state, origin, a, m, x_words[e, b, i], slots, filled, e, i, o, key, noise, take)
    return hits


@nb.njit(inline="always")
def _read(state, e, low, high, k, on_its_side, out):
    """The states of row k of the array as it is wired, as far as the rows low..high in memory hold them."""
    if on_its_side:
        for i in range(low, high):
            out[i] = state[e, i, k]
    elif low <= k < high:
        out[:] = state[e, k]


@nb.njit(**_flags)
def _rows(e, low, high, batch, keys, first, state, origin, a, m, trains, hits, take, reads):
    """All samples on the rows low..high of one member, and the reads between them."""
    noise, (after, lines, on_its_side, seen), t = np.empty(state.shape[2], np.float32), reads, 0
    for b in range(batch):
        hits[e, low] += _sample(state, origin, a, m, trains, e, b, low, high, base(keys[e, 2], first + b), noise, take)
        while t < after.size and after[t] == b:
            _read(state, e, low, high, lines[t], on_its_side, seen[e, t])
            t += 1


@nb.njit(**_flags)
def pulse(x, d, lr, dw_min, options, keys, first, state, origin, a, m, trains, tally, hits, take, reads, alone_below):
    """Encode the trains of a batch and, where they make little work, apply them; returns whether that was done.

    Args:
        x ... first, tally: as in `trains.encode`, and trains, its buffers. The others: as in `update`.
        alone_below: expected coincidences from which `update` with all threads is worth waking them.
    """
    work = 0.0
    for e in range(state.shape[0]):
        work += encode(e, x, d, lr, dw_min, options, keys, first, trains, tally)
    if work > alone_below:
        return False
    for e in range(state.shape[0]):
        _rows(e, 0, state.shape[1], x.shape[1], keys, first, state, origin, a, m, trains, hits, take, reads)
    return True


@nb.njit(parallel=True, **_flags)
def pulse_members(x, d, lr, dw_min, options, keys, first, state, origin, a, m, trains, tally, hits, take, reads):
    """`pulse` with the members of an ensemble shared out among the threads."""
    for e in nb.prange(state.shape[0]):
        encode(e, x, d, lr, dw_min, options, keys, first, trains, tally)
        _rows(e, 0, state.shape[1], x.shape[1], keys, first, state, origin, a, m, trains, hits, take, reads)


@nb.njit(parallel=True, **_flags)
def update(batch, keys, first, state, origin, a, m, trains, hits, take, reads):
    """Apply the trains of a batch, sample after sample, on all devices at once.

    Args:
        batch: samples in the buffers. keys, first, trains: from and as in `trains.encode`.
        state: (E, R, C) float32, changed in place. origin: (E, R, C), the reference, or (E, 1, C) unused.
        a: device parameters twice, (E, R, K, C) for whole rows and (E, R, C, K) for single devices, whose parameters then share a
            line of the processor's cache. m: parameters equal within a member (E, M).
        hits: coincidences are added to it, by row, (E, R) int64.
        take: 0 steps up and down; 1 only the coincidences that step up; -1 only those that step down, as steps up.
        reads: reads between the samples, (after which sample (T,), which row (T,) of the array as it is wired, whether it lies on its
            side, out: the states read (E, T, columns)).
    """
    members, height, _ = state.shape
    blocks = (height + BLOCK - 1) // BLOCK
    for block in nb.prange(members * blocks):
        e, low = block // blocks, block % blocks * BLOCK
        _rows(e, low, min(low + BLOCK, height), batch, keys, first, state, origin, a, m, trains, hits, take, reads)


@nb.njit(parallel=True, **_flags)
def apply(state, origin, a, m, pulses, keys, step):
    """Give each device its own number of pulses: (E, R, C) int32, positive up, one after the other."""
    members, rows, columns = state.shape
    for line in nb.prange(members * rows):
        e, i = line // rows, line % rows
        key = hash_add(base(keys[e], step), np.uint32(np.uint32(i) * _ROW))
        for j in range(columns):
            n = pulses[e, i, j]
            device_key = hash_add(key, np.uint32(j))
            w, o = state[e, i, j], origin[e, i if REFERENCED else 0, j]
            for k in range(abs(n)):
                w = _after(w, o, np.float32(1), n > 0, device(a, m, e, i, j), _noise(hash_add(device_key, np.uint32(k))))
            state[e, i, j] = w


@nb.njit(inline="always")
def _line(state, origin, a, m, k, on_its_side, pulses, keys, step, tally, hits):
    """Give each device of one row its own number of pulses, (E, C), all columns at once."""
    for e in range(state.shape[0]):
        key = hash_add(base(keys[e], step), np.uint32(np.uint32(k) * _ROW))
        slots, sent = 0, 0
        for j in range(pulses.shape[1]):
            n = pulses[e, j]
            if n == 0:
                continue
            row, column = (j, k) if on_its_side else (k, j)
            device_key = hash_add(key, np.uint32(j))
            w, o = state[e, row, column], origin[e, row if REFERENCED else 0, column]
            for t in range(abs(n)):
                w = _after(w, o, np.float32(1), n > 0, device(a, m, e, row, column), _noise(hash_add(device_key, np.uint32(t))))
            state[e, row, column] = w
            slots, sent = max(slots, abs(n)), sent + abs(n)
        tally[e, 0] += 2 * slots
        tally[e, 2 if on_its_side else 1] += slots
        tally[e, 1 if on_its_side else 2] += sent
        hits[e, 0] += sent


@nb.njit(**_flags)
def lines(state, origin, a, m, rows, on_its_side, pulses, keys, first, tally, hits):
    """Give each device of one row after the other its own number of pulses, (E, T, C) int32, positive up, all columns at once.

    rows: (T,), of the array as it is wired: columns of one that lies on its side. tally, hits: as in `trains.encode`, `update`.
    """
    for t in range(rows.size):
        _line(state, origin, a, m, rows[t], on_its_side, pulses[:, t], keys, first + t, tally, hits)


@nb.njit(parallel=True, **_flags)
def alternate(state, origin, a, m, pulses, up, keys, step):
    """Pulses up and down in turn on all devices at once, the first up or down."""
    members, rows, columns = state.shape
    for r in nb.prange(members * rows):
        e, i = r // rows, r % rows
        key = hash_add(base(keys[e], step), np.uint32(np.uint32(i) * _ROW))
        for j in range(columns):
            device_key = hash_add(key, np.uint32(j))
            w, o = state[e, i, j], origin[e, i if REFERENCED else 0, j]
            for t in range(pulses):
                w = _after(w, o, np.float32(1), (t % 2 == 0) == up, device(a, m, e, i, j), _noise(hash_add(device_key, np.uint32(t))))
            state[e, i, j] = w


@nb.njit(inline="always")
def _mean_change(g, up, p):
    """Mean change by one pulse; of a response with a `pulse` of its own, over the noise."""
    total = np.float32(0)
    for z in _DEVIATES:
        total += np.float32(_pulse(g, np.float32(1), up, p, z)) - g
    return total / np.float32(_DEVIATES.size)


@nb.njit(**_flags)
def steps(g, a, m, up, down):
    """Mean change by one up and one down pulse at state g (E, R, C), bounds not applied; into up and down."""
    members, rows, columns = g.shape
    for e in range(members):
        for i in range(rows):
            for j in range(columns):
                p = device(a, m, e, i, j)
                up[e, i, j], down[e, i, j] = _mean_change(g[e, i, j], True, p), _mean_change(g[e, i, j], False, p)
