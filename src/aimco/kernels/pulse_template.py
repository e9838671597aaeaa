"""Pulsed update of arrays whose devices share one response.

This file is both a working kernel (for a device with constant steps) and the text from which
`kernels/build.py` makes the kernel of any other response: the part between the markers is replaced by
the response's own scalar functions, and the device fields by the parameters it reads. The made text is kept in a
cache folder, so that a second process compiles nothing.
"""

from collections import namedtuple

import numba as nb
import numpy as np

from aimco.kernels.lanes import add32, base, coincidences, hash_add, lowest_slot, rough_normal, same_sign

# <response>
NOISY = False
REFERENCED = False
Device = namedtuple("Device", "step_up step_down g_max g_min")


def response(g, n, up, p, noise):
    return g + (n * p.step_up if up else -n * p.step_down)


@nb.njit(inline="always")
def device(a, m, e, i, j):
    return Device(a[e, i, 0, j], a[e, i, 1, j], a[e, i, 2, j], a[e, i, 3, j])


@nb.njit(inline="always")
def device_of_row(a, m, j):
    return Device(a[0, j], a[1, j], a[2, j], a[3, j])


# </response>

BLOCK = 16  # lines that a thread takes at a time
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
def _all_at_once(w, origin, a, m, x, d, key):
    """One step per device for all its coincidences in a sample; arrays are those of one row, so that this becomes vector code."""
    hits = np.int32(0)
    for j in range(w.size):
        n = coincidences(x, d[j])
        hits = add32(hits, n)
        noise = _noise(hash_add(key, np.uint32(j)))
        new = _after(w[j], origin[j], np.float32(n), same_sign(x, d[j]), device_of_row(a, m, j), noise)
        w[j] = new if n > 0 else w[j]
    return hits


@nb.njit(inline="always")
def _one_by_one(state, origin, a, m, x, columns, filled, e, b, i, o, key, noise):
    """The definition: slot after slot, each coincidence its own step. The noise of a slot is drawn first, as vector code."""
    hits = 0
    slots = np.uint32(x & np.uint32(0x7FFFFFFF))
    positive = (x >> np.uint32(31)) == 0
    while slots != 0:
        slot = lowest_slot(slots)
        slots = np.uint32(slots & np.uint32(slots - np.uint32(1)))
        plus, fired = filled[e, b, slot, 0], filled[e, b, slot, 0] + filled[e, b, slot, 1]
        if fired == 0:
            continue
        hits += fired
        slot_key = hash_add(key, np.uint32(np.uint32(slot + np.uint32(1)) * _SLOT))
        for k in range(fired):
            noise[k] = _noise(hash_add(slot_key, columns[e, b, slot, k]))
        for k in range(plus):
            j = columns[e, b, slot, k]
            state[e, i, j] = _after(state[e, i, j], origin[e, o, j], np.float32(1), positive, device(a, m, e, i, j), noise[k])
        for k in range(plus, fired):
            j = columns[e, b, slot, k]
            state[e, i, j] = _after(state[e, i, j], origin[e, o, j], np.float32(1), not positive, device(a, m, e, i, j), noise[k])
    return hits


# A row taken out as an array of its own costs a reference count: nothing for a long loop, too much for a few coincidences.
@nb.njit(parallel=True, **_flags)
def update(batch, state, origin, a, m, x_words, d_words, aggregate, columns, filled, keys, first, hits):
    """Apply the trains of a batch, sample after sample, on all devices at once.

    Args:
        batch: samples in the buffers. state: (E, R, C) float32, changed in place.
        origin: (E, R, C), the reference, or (E, 1, C) unused.
        a: device parameters (E, R, K, C). m: parameters equal within a member (E, M).
        x_words ... filled, keys, first: from and as in `trains.encode`.
        hits: coincidences per row are added to it, (E, R) int64.
    """
    members, rows, size = state.shape
    lines = members * rows
    for block in nb.prange((lines + BLOCK - 1) // BLOCK):
        noise = np.empty(size, np.float32)
        for line in range(block * BLOCK, min((block + 1) * BLOCK, lines)):
            e, i = line // rows, line % rows
            o = i if REFERENCED else 0
            for b in range(batch):
                x = x_words[e, b, i]
                if x & np.uint32(0x7FFFFFFF) == 0:
                    continue
                key = hash_add(base(keys[e, 2], first + b), np.uint32(np.uint32(i) * _ROW))
                if aggregate[e, b]:
                    hits[e, i] += _all_at_once(state[e, i], origin[e, o], a[e, i], m[e], x, d_words[e, b], key)
                else:
                    hits[e, i] += _one_by_one(state, origin, a, m, x, columns, filled, e, b, i, o, key, noise)


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


@nb.njit(**_flags)
def steps(g, a, m, up, down):
    """Mean change by one up and one down pulse at state g (E, R, C), bounds not applied; into up and down."""
    members, rows, columns = g.shape
    for e in range(members):
        for i in range(rows):
            for j in range(columns):
                p = device(a, m, e, i, j)
                up[e, i, j] = _pulse(g[e, i, j], np.float32(1), True, p, np.float32(0)) - g[e, i, j]
                down[e, i, j] = _pulse(g[e, i, j], np.float32(1), False, p, np.float32(0)) - g[e, i, j]
