"""Pulses on devices that share one response.

This file is both working code (for a device with constant steps) and the text from which
`kernels/build.py` makes the kernel of any other response: the part between the markers is replaced by
the response's own scalar functions, and the device fields by the parameters it reads. Here are pulses and trains of them on a device and
on a row; `update_template.py` and `write_template.py` go on from it. The made text is kept in a cache folder, so that a second process
compiles nothing.
"""

import math  # noqa: F401
from base64 import b64decode  # noqa: F401
from collections import namedtuple

import numba as nb
import numpy as np

# All that the continuations use is imported here.
from aimco.kernels.intrinsics import (  # noqa: F401
    add32,
    after_lowest,
    any_of_eight,
    base,
    coincidences,
    greater,
    hash_add,
    lesser,
    lowest_slot,
    prefetch,
    rough_normal,
    same_sign,
)
from aimco.kernels.trains import ACTIVE, AGGREGATED, sends, sort_pulses  # noqa: F401

_maths = {"error_model": "numpy", "fastmath": {"contract", "arcp", "nsz", "nnan", "ninf"}}
_flags = {"cache": True, "nogil": True, **_maths}  # of what Python calls
_part = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    **_maths,
}  # of what only compiled code calls, and is kept with it

# <response>
NOISY = False
REVERSES = False
CHECKED = False
AFFINE = True
REFERENCED = False
Device = namedtuple("Device", "step_up step_down g_max g_min")


@nb.njit(forceinline=True, **_part)
def response(g, n, up, p, noise):
    return g + step(g, up, p)


@nb.njit(forceinline=True, **_part)
def train(g, n, up, p):
    return n * step(g, up, p), np.float32(0), True


@nb.njit(forceinline=True, **_part)
def step(g, up, p):
    return p.step_up if up else -p.step_down


@nb.njit(inline="always")
def device(a, m, e, i, j):
    parameters = a[1]
    return Device(parameters[e, i, j, 0], parameters[e, i, j, 1], parameters[e, i, j, 2], parameters[e, i, j, 3])


@nb.njit(inline="always")
def device_of_row(a, m, j):
    return Device(a[0, j], a[1, j], a[2, j], a[3, j])


# </response>

_ROW, _SLOT = np.uint32(0x9E3779B9), np.uint32(0x85EBCA6B)
_ONE, _MARGIN = np.float32(1), np.float32(3)  # deviations from a bound within which noise may take a device there


@nb.njit(inline="always")
def _held(g, origin, p):
    """A state kept within the device's bounds, stored relative to its reference where it has one."""
    g = min(max(np.float32(g), p.g_min), p.g_max)
    return g - origin if REFERENCED else g


@nb.njit(inline="always")
def _after(w, origin, up, p, noise):
    """State after one pulse."""
    return _held(response(w + origin if REFERENCED else w, _ONE, up, p, noise), origin, p)


@nb.njit(inline="always")
def _noise(word):
    return rough_normal(word) if NOISY else np.float32(0)


@nb.njit(inline="always")
def _after_train(w, origin, n, up, p, noise, reversing):
    """State after n pulses at once, and whether that is as good as one by one: on the way noise must keep clear of the bounds, or not
    be able to turn a step round there."""
    g = w + origin if REFERENCED else w
    change, deviation, good = train(g, n, up, p)
    if REVERSES:
        near = _MARGIN * abs(deviation)
        good = good & ((greater(g, g + change) + near < p.g_max) & (lesser(g, g + change) - near > p.g_min) | (not reversing))
    return _held(g + change + noise * deviation, origin, p), good


@nb.njit(forceinline=True, **_part)
def _pulsed(w, origin, up, p, noise):
    """`_after`, compiled once: where Numba inlines a function, it compiles all that is in it anew at each call."""
    return _after(w, origin, up, p, noise)


@nb.njit(forceinline=True, **_part)
def _pulsed_by_train(w, origin, n, up, p, noise, reversing):
    """`_after_train`, compiled once."""
    return _after_train(w, origin, n, up, p, noise, reversing)


@nb.njit(inline="always")
def _all_at_once(w, origin, a, m, x, d, key, polarity, reversing, apart):
    """One step per device for all its coincidences in a sample; arrays are those of one row, so that this becomes vector code.

    Leaves the devices for which that is not as good as one by one, and marks them in `apart`; returns the coincidences, and how many.
    """
    hits, left = np.int32(0), np.int32(0)
    for j in range(w.size):
        up = same_sign(x, d[j])
        n = coincidences(x, d[j]) if polarity == 0 or up == (polarity > 0) else np.int32(0)
        hits = add32(hits, n)
        noise = _noise(hash_add(key, np.uint32(j)))
        new, good = _pulsed_by_train(w[j], origin[j], np.float32(n), up or polarity != 0, device_of_row(a, m, j), noise, reversing)
        if CHECKED:
            alone = np.int32(0) if good or n <= 1 else np.int32(1)
            apart[j] = np.int8(alone)
            left = add32(left, alone)
            w[j] = w[j] if n == 0 or alone else new
        else:
            w[j] = new if n > 0 else w[j]
    return hits, left


@nb.njit(**_part)
def _in_parts(w, origin, n, up, p, key, j, reversing):
    """State of one device after n pulses: half at once where that is as good as one by one, else a quarter, and so on."""
    done, part, new = 0, n // 2, w
    while done < n:
        own_key = hash_add(key, np.uint32(np.uint32(done + 1) * _SLOT))
        part, noise, good = min(part, n - done), _noise(hash_add(own_key, np.uint32(j))), False
        while part > 1 and not good:
            new, good = _after_train(w, origin, np.float32(part), up, p, noise, reversing)
            part = part if good else part // 2
        part = max(part, 1)
        w = new if good else _after(w, origin, up, p, noise)
        done += part
    return w


@nb.njit(forceinline=True, **_part)
def _first_slots(word, most):
    """The first so many pulses of a train, with its sign."""
    if coincidences(word, word) <= most:
        return word
    rest = np.uint32(word & np.uint32(0x7FFFFFFF))
    for _ in range(most):
        rest = after_lowest(rest)
    return np.uint32(word & ~rest)


@nb.njit(**_part)
def _apart(w, origin, a, m, e, i, x, d, key, polarity, apart):
    """The devices of a row that were left and marked, in smaller steps."""
    for k in range(0, apart.size, 8):  # to pass over eight devices at a time
        for j in range(k, k + 8 if any_of_eight(apart, k) else 0):
            if apart[j]:
                up = same_sign(x, d[j]) or polarity != 0
                w[j] = _in_parts(w[j], origin[j], coincidences(x, d[j]), up, device(a, m, e, i, j), key, j, a[3][e])


@nb.njit(inline="always")
def _in_one_go(w, origin, a, m, e, i, x, d, key, polarity, apart):
    """One step per device for `most` slots of its row at a time, smaller ones where that is not good enough; returns the coincidences."""
    most, reversing, hits, rest = a[2][e], a[3][e], np.int32(0), x
    while sends(rest):
        part = _first_slots(rest, most)
        own_key = hash_add(key, np.uint32(np.uint32(rest ^ x) * _SLOT))
        met, left = _all_at_once(w, origin, a[0][e, i], m[e], part, d, own_key, polarity, reversing, apart)
        hits = add32(hits, met)
        if CHECKED and left:
            _apart(w, origin, a, m, e, i, part, d, own_key, polarity, apart)
        rest = np.uint32(rest & ~np.uint32(part & np.uint32(0x7FFFFFFF)))
    return hits


@nb.njit(inline="always")
def _one_by_one(w, origin, a, m, e, i, x, columns, starts, b, key, noise, polarity):
    """The definition: slot after slot, each coincidence its own step. The noise of a slot is drawn first, as vector code."""
    hits, slots, positive = 0, np.uint32(x & np.uint32(0x7FFFFFFF)), same_sign(x, np.uint32(0))
    while slots != 0:
        slot = np.int64(lowest_slot(slots))
        slots = after_lowest(slots)
        slot_key = hash_add(key, np.uint32(np.uint32(slot + 1) * _SLOT))
        for sign in range(2):
            up = positive == (sign == 0)
            if polarity != 0 and up != (polarity > 0):
                continue
            start, fired = starts[b, 2 * slot + sign], starts[b, 2 * slot + sign + 1] - starts[b, 2 * slot + sign]
            for k in range(fired):
                noise[k] = _noise(hash_add(slot_key, columns[start + k]))
            for k in range(fired):
                j = columns[start + k]
                w[j] = _pulsed(w[j], origin[j], up or polarity != 0, device(a, m, e, i, j), noise[k])
            hits += fired
    return hits


@nb.njit(**_part)
def _one_train(w, origin, x, d, up, p, key, j, trusted, most, reversing):
    """What `update_rows` does to one device in a sample."""
    if coincidences(x, d) > trusted:
        return _in_parts(w, origin, coincidences(x, d), up, p, key, j, reversing)
    rest = x
    while sends(rest):
        part, own_key = _first_slots(rest, most), hash_add(key, np.uint32(np.uint32(rest ^ x) * _SLOT))
        n = coincidences(part, d)
        new, good = _pulsed_by_train(w, origin, np.float32(n), up, p, _noise(hash_add(own_key, np.uint32(j))), reversing)
        if n:
            w = new if good or n == 1 else _in_parts(w, origin, n, up, p, own_key, j, reversing)
        rest = np.uint32(rest & ~np.uint32(part & np.uint32(0x7FFFFFFF)))
    return w


@nb.njit(inline="always")
def _trusted(a, e, i, j):
    """How many pulses at once one device can be trusted with."""
    starts, places, trusted = a[4], a[5], a[6]
    for k in range(starts[e, i], starts[e, i + 1]):
        if places[k] == j:
            return trusted[k]
    return np.int32(31)


@nb.njit(**_part)
def _alone(w, origin, p, x, d, up, key, j):
    """The state of one device after the coincidences of one sample, slot after slot."""
    slots = np.uint32(x & d & np.uint32(0x7FFFFFFF))
    while slots != 0:
        slot = np.uint32(lowest_slot(slots))
        slots = after_lowest(slots)
        w = _pulsed(w, origin, up, p, _noise(hash_add(hash_add(key, np.uint32((slot + np.uint32(1)) * _SLOT)), np.uint32(j))))
    return w
