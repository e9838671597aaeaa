"""Pulsed update of arrays whose devices share one response.

This file is both a working kernel (for a device with constant steps) and the text from which
`kernels/build.py` makes the kernel of any other response: the part between the markers is replaced by
the response's own scalar functions, and the device fields by the parameters it reads; `write_template.py` goes on from it. The made text is
kept in a cache folder, so that a second process compiles nothing.
"""

import math  # noqa: F401
from base64 import b64decode  # noqa: F401
from collections import namedtuple

import numba as nb
import numpy as np

from aimco.kernels.lanes import add32, after_lowest, base, coincidences, hash_add, lowest_slot, prefetch, rough_normal, same_sign
from aimco.kernels.trains import ACTIVE, AGGREGATED, encode, sends, sort_pulses

# <response>
NOISY = False
REVERSES = False
CHECKED = False
AFFINE = True
REFERENCED = False
Device = namedtuple("Device", "step_up step_down g_max g_min")


@nb.njit(inline="always", error_model="numpy")
def response(g, n, up, p, noise):
    return g + step(g, up, p)


@nb.njit(inline="always", error_model="numpy")
def train(g, n, up, p):
    return n * step(g, up, p), np.float32(0), True


@nb.njit(inline="always", error_model="numpy")
def step(g, up, p):
    return p.step_up if up else -p.step_down


@nb.njit(inline="always")
def device(a, m, e, i, j):
    own = a[1]
    return Device(own[e, i, j, 0], own[e, i, j, 1], own[e, i, j, 2], own[e, i, j, 3])


@nb.njit(inline="always")
def device_of_row(a, m, j):
    return Device(a[0, j], a[1, j], a[2, j], a[3, j])


# </response>

BLOCK = 16  # rows that a thread takes at a time
_LINE = 16  # numbers that a line of the processor's cache holds
_OFTEN = 4  # samples that pulse a row from which most of its lines are needed
_ROW, _SLOT = np.uint32(0x9E3779B9), np.uint32(0x85EBCA6B)
_ONE, _MARGIN = np.float32(1), np.float32(3)  # deviations from a bound within which noise may take a device there
_flags = {"cache": True, "error_model": "numpy", "nogil": True, "fastmath": {"contract", "arcp", "nsz", "nnan", "ninf"}}


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
        good = good & ((max(g, g + change) + near < p.g_max) & (min(g, g + change) - near > p.g_min) | (not reversing))
    return _held(g + change + noise * deviation, origin, p), good


@nb.njit(inline="always")
def _all_at_once(w, origin, a, m, x, d, key, take, reversing, apart):
    """One step per device for all its coincidences in a sample; arrays are those of one row, so that this becomes vector code.

    Leaves the devices for which that is not as good as one by one, and marks them in `apart`; returns the coincidences, and how many.
    """
    hits, left = np.int32(0), np.int32(0)
    for j in range(w.size):
        up = same_sign(x, d[j])
        n = coincidences(x, d[j]) if take == 0 or up == (take > 0) else np.int32(0)
        hits = add32(hits, n)
        noise = _noise(hash_add(key, np.uint32(j)))
        new, good = _after_train(w[j], origin[j], np.float32(n), up or take != 0, device_of_row(a, m, j), noise, reversing)
        if CHECKED:
            alone = np.int32(0) if good or n <= 1 else np.int32(1)
            apart[j] = np.int8(alone)
            left = add32(left, alone)
            w[j] = w[j] if n == 0 or alone else new
        else:
            w[j] = new if n > 0 else w[j]
    return hits, left


@nb.njit(**_flags)
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


@nb.njit(inline="always")
def _first_slots(word, most):
    """The first so many pulses of a train, with its sign."""
    if coincidences(word, word) <= most:
        return word
    rest = np.uint32(word & np.uint32(0x7FFFFFFF))
    for _ in range(most):
        rest = after_lowest(rest)
    return np.uint32(word & ~rest)


@nb.njit(**_flags)
def _apart(w, origin, a, m, e, i, x, d, key, take, apart):
    """The devices of a row that were left and marked, in smaller steps."""
    marks = apart.view(np.int64)  # to pass over eight devices at a time
    for k in range(marks.size):
        for j in range(8 * k, 8 * k + 8 if marks[k] else 0):
            if apart[j]:
                up = same_sign(x, d[j]) or take != 0
                w[j] = _in_parts(w[j], origin[j], coincidences(x, d[j]), up, device(a, m, e, i, j), key, j, a[3][e])


@nb.njit(inline="always")
def _in_one_go(w, origin, a, m, e, i, x, d, key, take, apart):
    """One step per device for `most` slots of its row at a time, single pulses where that is not good enough; returns the coincidences."""
    most, reversing, hits, rest = a[2][e], a[3][e], np.int32(0), x
    while sends(rest):
        part = _first_slots(rest, most)
        own_key = hash_add(key, np.uint32(np.uint32(rest ^ x) * _SLOT))
        met, left = _all_at_once(w, origin, a[0][e, i], m[e], part, d, own_key, take, reversing, apart)
        hits = add32(hits, met)
        if CHECKED and left:
            _apart(w, origin, a, m, e, i, part, d, own_key, take, apart)
        rest = np.uint32(rest & ~np.uint32(part & np.uint32(0x7FFFFFFF)))
    return hits


@nb.njit(inline="always")
def _one_by_one(w, origin, a, m, e, i, x, columns, starts, b, key, noise, take):
    """The definition: slot after slot, each coincidence its own step. The noise of a slot is drawn first, as vector code."""
    hits, slots, positive = 0, np.uint32(x & np.uint32(0x7FFFFFFF)), same_sign(x, np.uint32(0))
    while slots != 0:
        slot = np.int64(lowest_slot(slots))
        slots = after_lowest(slots)
        slot_key = hash_add(key, np.uint32(np.uint32(slot + 1) * _SLOT))
        for sign in range(2):
            up = positive == (sign == 0)
            if take != 0 and up != (take > 0):
                continue
            start, fired = starts[b, 2 * slot + sign], starts[b, 2 * slot + sign + 1] - starts[b, 2 * slot + sign]
            for k in range(fired):
                noise[k] = _noise(hash_add(slot_key, columns[start + k]))
            for k in range(fired):
                j = columns[start + k]
                w[j] = _after(w[j], origin[j], up or take != 0, device(a, m, e, i, j), noise[k])
            hits += fired
    return hits


@nb.njit(**_flags)
def _one_train(w, origin, x, d, up, p, key, j, trusted, most, reversing):
    """What `_rows` does to one device in a sample."""
    rest = x if coincidences(x, d) <= trusted else np.uint32(0)
    if rest == 0:
        w = _in_parts(w, origin, coincidences(x, d), up, p, key, j, reversing)
    while sends(rest):
        part, own_key = _first_slots(rest, most), hash_add(key, np.uint32(np.uint32(rest ^ x) * _SLOT))
        n = coincidences(part, d)
        new, good = _after_train(w, origin, np.float32(n), up, p, _noise(hash_add(own_key, np.uint32(j))), reversing)
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


@nb.njit(**_flags)
def _alone(w, origin, p, x, d, up, key, j):
    """The state of one device after the coincidences of one sample, slot after slot."""
    slots = np.uint32(x & d & np.uint32(0x7FFFFFFF))
    while slots != 0:
        slot = np.uint32(lowest_slot(slots))
        slots = after_lowest(slots)
        w = _after(w, origin, up, p, _noise(hash_add(hash_add(key, np.uint32((slot + np.uint32(1)) * _SLOT)), np.uint32(j))))
    return w


@nb.njit(inline="always")
def _fetch(numbers, start, end):
    """Ask for a part of an array from memory."""
    for k in range(start, end, _LINE):
        prefetch(numbers, k)


@nb.njit(inline="always")
def _fetch_row(state, origin, whole_or_own, e, i, part, parts):
    """Ask for one of so many parts of the devices of a row."""
    w, o, own = state[e, i], origin[e, i if REFERENCED else 0], whole_or_own[e, i]
    _fetch(w, w.size * part // parts, w.size * (part + 1) // parts)
    _fetch(own.reshape(own.size), own.size * part // parts, own.size * (part + 1) // parts)
    if REFERENCED:
        _fetch(o, o.size * part // parts, o.size * (part + 1) // parts)


@nb.njit(inline="always")
def _most_sent(e, i, samples, x_words, lengths):
    """Most pulses of a row in one of the samples that are taken in one go."""
    sent = np.int32(0)
    for b in samples:
        if lengths[e, b, AGGREGATED] != 0:
            sent = max(sent, coincidences(x_words[e, b, i], x_words[e, b, i]))
    return sent


@nb.njit(**_flags)
def _steep_alone(e, i, sent, samples, keys, first, state, origin, a, m, trains, take, kept):
    """The steep devices of a row that may meet more pulses in a sample, `sent`, than they can be trusted with, after all its samples.

    Returns how many of those listed, the least trusted first; their states are kept, for `_rows` to put in place.
    """
    (x_words, d_words, _, lengths), starts, places, trusted, count = trains, a[4], a[5], a[6], 0
    for k in range(starts[e, i], starts[e, i + 1]):
        if trusted[k] >= sent:
            break
        j = places[k]
        w, at, p = state[e, i, j], origin[e, i if REFERENCED else 0, j], device(a, m, e, i, j)
        for b in samples:
            x, d = x_words[e, b, i], d_words[e, b, j]
            up = same_sign(x, d)
            if sends(np.uint32(x & d)) and (take == 0 or up == (take > 0)):
                key = hash_add(base(keys[e, 2], first + np.int64(b)), np.uint32(np.uint32(i) * _ROW))
                if lengths[e, b, AGGREGATED] != 0:
                    w = _one_train(w, at, x, d, up or take != 0, p, key, j, trusted[k], a[2][e], a[3][e])
                else:
                    w = _alone(w, at, p, x, d, up or take != 0, key, j)
        kept[count] = w
        count += 1
    return count


@nb.njit(**_flags)
def _rows(e, low, high, keys, first, state, origin, a, m, trains, pulses, hits, take):
    """All samples on one row after the other, low..high of one member: a row stays in a core's own cache while it is pulsed, and where it
    is pulsed often, the next one comes from memory meanwhile. Devices that are too steep are taken alone, and put in place at the end."""
    (x_words, d_words, _, lengths), (samples, firsts, columns, starts) = trains, pulses
    (noise, kept), steep = np.empty((2, state.shape[2]), np.float32), a[4]
    apart = np.zeros((state.shape[2] + 7) // 8 * 8, np.int8)
    for i in range(low, high):
        begin, count = firsts[i], firsts[i + 1] - firsts[i]
        if count == 0:
            continue
        w, o, alone = state[e, i], origin[e, i if REFERENCED else 0], 0
        if AFFINE and steep[e, i] < steep[e, i + 1]:
            own = samples[begin : begin + count]
            sent = _most_sent(e, i, own, x_words, lengths)
            if a[6][steep[e, i]] < sent:
                alone = _steep_alone(e, i, sent, own, keys, first, state, origin, a, m, trains, take, kept)
        for t in range(count):
            number, b = first + np.int64(samples[begin + t]), np.uint64(samples[begin + t])
            x, aggregated = x_words[e, b, i], lengths[e, b, AGGREGATED] != 0
            if count >= _OFTEN and i + 1 < high:
                _fetch_row(state, origin, a[0] if aggregated else a[1], e, i + 1, t, count)
            key = hash_add(base(keys[e, 2], number), np.uint32(np.uint32(i) * _ROW))
            if not aggregated:
                hits[e, i] += _one_by_one(w, o, a, m, e, i, x, columns, starts, b, key, noise, take)
            elif sends(x):
                hits[e, i] += _in_one_go(w, o, a, m, e, i, x, d_words[e, b], key, take, apart)
        for k in range(alone):
            w[a[5][steep[e, i] + k]] = kept[k]


@nb.njit(inline="always")
def _fetch_column(w, o, own, k):
    """Ask for the devices of a column from memory, all at once: they are far apart."""
    rows, columns, each = own.shape
    flat_w, flat_o, flat = w.reshape(w.size), o.reshape(o.size), own.reshape(own.size)
    for i in range(rows):
        place = i * columns + k
        prefetch(flat_w, place)
        prefetch(flat, place * each)
        prefetch(flat, place * each + each - 1)
        if REFERENCED:
            prefetch(flat_o, place)


@nb.njit(inline="always")
def _fetch_words(words, others, k, count):
    """Ask for the words of a line, a sample apart from each other, then for those of the other side where it sends any."""
    flat, across = words.reshape(words.size), others.reshape(others.size)
    for b in range(count):
        prefetch(flat, b * words.shape[1] + k)
    for b in range(count):
        if sends(words[b, k]):
            _fetch(across, b * others.shape[1], (b + 1) * others.shape[1])


@nb.njit(**_flags)
def _line_first(e, k, count, on_its_side, keys, first, state, origin, a, m, trains, hits):
    """The first `count` samples on one row of the array as it is wired, ahead of the other rows; its pulses leave the trains."""
    x_words, d_words, rows, lengths = trains
    words = d_words if on_its_side else x_words
    _fetch_words(words[e], x_words[e] if on_its_side else d_words[e], k, count)
    if on_its_side:
        _fetch_column(state[e], origin[e], a[1][e], k)
    for b in range(count):
        word, active, aggregated = words[e, b, k], lengths[e, b, ACTIVE], lengths[e, b, AGGREGATED] != 0
        if active == 0 or not sends(word):
            continue
        start = base(keys[e, 2], first + b)
        for t in range(active if on_its_side else d_words.shape[2]):
            i, j = (np.int64(rows[e, b, t]), k) if on_its_side else (k, t)
            o, key = i if REFERENCED else 0, hash_add(start, np.uint32(np.uint32(i) * _ROW))
            x, d = x_words[e, b, i], d_words[e, b, j]
            if sends(np.uint32(x & d)):
                p, w, at = device(a, m, e, i, j), state[e, i, j], origin[e, o, j]
                if aggregated:
                    w = _one_train(w, at, x, d, same_sign(x, d), p, key, j, _trusted(a, e, i, j), a[2][e], a[3][e])
                else:
                    w = _alone(w, at, p, x, d, same_sign(x, d), key, j)
                state[e, i, j] = w
                hits[e, i] += coincidences(x, d)
        words[e, b, k] = 0


@nb.njit(**_flags)
def _receive(e, x, d, lr, dw_min, options, keys, first, state, origin, a, m, trains, at, tally, hits, reads):
    """Encode the trains of a batch, and read rows between its samples; returns the coincidences to expect."""
    after, lines, on_its_side, out = reads
    work = encode(e, at, x, d, lr, dw_min, options, keys, first, trains, tally)
    for t in range(after.size):
        _line_first(e, lines[t], at + after[t] + 1, on_its_side, keys, first, state, origin, a, m, trains, hits)
        for j in range(out.shape[2]):
            out[e, t, j] = state[e, j, lines[t]] if on_its_side else state[e, lines[t], j]
    return work


@nb.njit(**_flags)
def _settle(e, count, keys, first, state, origin, a, m, trains, hits, take):
    """The first `count` samples on all rows of one member."""
    pulses = sort_pulses(e, count, trains)
    _rows(e, 0, state.shape[1], keys, first, state, origin, a, m, trains, pulses, hits, take)


@nb.njit(**_flags)
def pulse(x, d, lr, dw_min, options, keys, first, state, origin, a, m, trains, at, tally, hits, take, reads, wait, alone_below):
    """Encode the trains of a batch at places `at` and on, read rows between its samples, and apply them where they need not wait.

    Args:
        x ... first, trains, at, tally: as in `trains.encode`. state ... m, hits, take: as in `update`.
        reads: (after which sample (T,), which row (T,) of the array as it is wired, whether it lies on its side, out: the states read
            (E, T, columns)).
        wait: whether the trains stay where they are, with those that wait before `at`, for `update`: the rows read are ahead of them.
        alone_below: expected coincidences from which `update` with all threads is worth waking them, and they stay all the same.

    Returns:
        Whether they were applied.
    """
    work = 0.0
    for e in range(state.shape[0]):
        work += _receive(e, x, d, lr, dw_min, options, keys, first, state, origin, a, m, trains, at, tally, hits, reads)
    if wait or work > alone_below:
        return False
    for e in range(state.shape[0]):
        _settle(e, at + x.shape[1], keys, first, state, origin, a, m, trains, hits, take)
    return True


@nb.njit(parallel=True, **_flags)
def pulse_members(x, d, lr, dw_min, options, keys, first, state, origin, a, m, trains, at, tally, hits, take, reads, wait):
    """`pulse` with the members of an ensemble shared out among the threads."""
    for e in nb.prange(state.shape[0]):
        _receive(e, x, d, lr, dw_min, options, keys, first, state, origin, a, m, trains, at, tally, hits, reads)
        if not wait:
            _settle(e, at + x.shape[1], keys, first, state, origin, a, m, trains, hits, take)


@nb.njit(parallel=True, **_flags)
def update_members(count, keys, first, state, origin, a, m, trains, hits, take):
    """`update` with the members of an ensemble shared out among the threads."""
    for e in nb.prange(state.shape[0]):
        _settle(e, count, keys, first, state, origin, a, m, trains, hits, take)


@nb.njit(parallel=True, **_flags)
def update(count, keys, first, state, origin, a, m, trains, hits, take):
    """Apply the trains of the first `count` samples, sample after sample, on all devices at once.

    Args:
        keys, first, trains: from and as in `trains.encode`.
        state: (E, R, C) float32, changed in place. origin: (E, R, C), the reference, or (E, 1, C) unused.
        a: device parameters twice, (E, R, K, C) for whole rows and (E, R, C, K) for single devices, whose parameters then share a
            line of the processor's cache; most pulses of a train taken at once, (E,) int32; whether noise may turn a step round,
            (E,) bool; and the devices for which that many are too many: where those of a row begin (E, R + 1), their columns, and for how
            many pulses each can be trusted. m: parameters equal within a
            member (E, M).
        hits: coincidences are added to it, by row, (E, R) int64.
        take: 0 steps up and down; 1 only the coincidences that step up; -1 only those that step down, as steps up.
    """
    members, height, _ = state.shape
    blocks = (height + BLOCK - 1) // BLOCK
    for e in range(members):
        pulses = sort_pulses(e, count, trains)
        for block in nb.prange(blocks):
            low = block * BLOCK
            _rows(e, low, min(low + BLOCK, height), keys, first, state, origin, a, m, trains, pulses, hits, take)
