"""Pulsed update of arrays: the samples of a batch on all rows, in order of rows, members and threads.

The continuation of `pulse_template.py`; see `write_template.py`.
"""

import numba as nb
import numpy as np

from aimco.kernels.intrinsics import base, coincidences, greater, hash_add, lesser, prefetch, same_sign
from aimco.kernels.pulse_template import (
    _ROW,
    AFFINE,
    REFERENCED,
    _alone,
    _flags,
    _in_one_go,
    _one_by_one,
    _one_train,
    _part,
    _trusted,
    device,
)
from aimco.kernels.trains import ACTIVE, AGGREGATED, sends, sort_pulses

# <continued>
BLOCK = 16  # rows that a thread takes at a time
_LINE = 16  # numbers that a line of the processor's cache holds
_OFTEN = 4  # samples that pulse a row from which most of its lines are needed


@nb.njit(inline="always")
def _fetch(numbers, start, end):
    """Ask for a part of an array from memory."""
    for k in range(start, end, _LINE):
        prefetch(numbers, k)


@nb.njit(inline="always")
def _fetch_row(state, origin, whole_or_own, e, i, part, parts):
    """Ask for one of so many parts of the devices of a row."""
    w, o, parameters = state[e, i], origin[e, i if REFERENCED else 0], whole_or_own[e, i]
    _fetch(w, w.size * part // parts, w.size * (part + 1) // parts)
    _fetch(parameters, parameters.size * part // parts, parameters.size * (part + 1) // parts)
    if REFERENCED:
        _fetch(o, o.size * part // parts, o.size * (part + 1) // parts)


@nb.njit(inline="always")
def _most_sent(e, i, samples, x_words, lengths):
    """Most pulses of a row in one of the samples that are taken in one go."""
    sent = np.int32(0)
    for b in samples:
        if lengths[e, b, AGGREGATED] != 0:
            sent = greater(sent, coincidences(x_words[e, b, i], x_words[e, b, i]))
    return sent


@nb.njit(**_part)
def _steep_alone(e, i, sent, samples, keys, first, state, origin, a, m, trains, polarity, copies):
    """The steep devices of a row that may meet more pulses in a sample, `sent`, than they can be trusted with, after all its samples.

    Returns how many of those listed, the least trusted first; their states are kept, for `update_rows` to put in place.
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
            if sends(np.uint32(x & d)) and (polarity == 0 or up == (polarity > 0)):
                key = hash_add(base(keys[e, 2], first + np.int64(b)), np.uint32(np.uint32(i) * _ROW))
                if lengths[e, b, AGGREGATED] != 0:
                    w = _one_train(w, at, x, d, up or polarity != 0, p, key, j, trusted[k], a[2][e], a[3][e])
                else:
                    w = _alone(w, at, p, x, d, up or polarity != 0, key, j)
        copies[count] = w
        count += 1
    return count


@nb.njit(**_flags)
def update_rows(e, low, high, keys, first, state, origin, a, m, trains, pulses, hits, polarity):
    """Apply the trains of samples, one after the other, on rows low..high of one member.

    A row stays in a core's own cache while all samples pulse it, and where it is pulsed often, the next one comes from memory
    meanwhile. Devices that are too steep are taken alone, and put in place at the end.

    Args:
        keys, first, trains: from and as in `trains.encode`. pulses: of `trains.sort_pulses`.
        state: (E, R, C) float32, changed in place. origin: (E, R, C), the reference, or (E, 1, C) unused.
        a: device parameters twice, (E, R, K, C) for whole rows and (E, R, C, K) for single devices, whose parameters then share a
            line of the processor's cache; most pulses of a train taken at once, (E,) int32; whether noise may turn a step round,
            (E,) bool; and the devices for which that many are too many: where those of a row begin (E, R + 1), their columns, and for how
            many pulses each can be trusted. m: parameters equal within a
            member (E, M).
        hits: coincidences are added to it, by row, (E, R) int64.
        polarity: 0 steps up and down; 1 only the coincidences that step up; -1 only those that step down, as steps up.
    """
    (x_words, d_words, _, lengths), (samples, firsts, columns, starts), steep = trains, pulses, a[4]
    width = state.shape[2]
    noise, copies, apart = np.empty(width, np.float32), np.empty(width, np.float32), np.empty((width + 7) // 8 * 8, np.int8)
    for j in range(width, apart.size):
        apart[j] = 0
    for i in range(low, high):
        begin, count = firsts[i], firsts[i + 1] - firsts[i]
        if count == 0:
            continue
        w, o, alone = state[e, i], origin[e, i if REFERENCED else 0], 0
        if AFFINE and steep[e, i] < steep[e, i + 1]:
            row_samples = samples[begin : begin + count]
            sent = _most_sent(e, i, row_samples, x_words, lengths)
            if a[6][steep[e, i]] < sent:
                alone = _steep_alone(e, i, sent, row_samples, keys, first, state, origin, a, m, trains, polarity, copies)
        for t in range(count):
            number, b = first + np.int64(samples[begin + t]), np.uint64(samples[begin + t])
            x, aggregated = x_words[e, b, i], lengths[e, b, AGGREGATED] != 0
            if count >= _OFTEN and i + 1 < high:
                _fetch_row(state, origin, a[0] if aggregated else a[1], e, i + 1, t, count)
            key = hash_add(base(keys[e, 2], number), np.uint32(np.uint32(i) * _ROW))
            if not aggregated:
                hits[e, i] += _one_by_one(w, o, a, m, e, i, x, columns, starts, b, key, noise, polarity)
            elif sends(x):
                hits[e, i] += _in_one_go(w, o, a, m, e, i, x, d_words[e, b], key, polarity, apart)
        for k in range(alone):
            w[a[5][steep[e, i] + k]] = copies[k]


@nb.njit(inline="always")
def _fetch_column(w, o, parameters, k):
    """Ask for the devices of a column from memory, all at once: they are far apart."""
    rows, columns, each = parameters.shape
    for i in range(rows):
        place = i * columns + k
        prefetch(w, place)
        prefetch(parameters, place * each)
        prefetch(parameters, place * each + each - 1)
        if REFERENCED:
            prefetch(o, place)


@nb.njit(inline="always")
def _fetch_words(words, others, k, count):
    """Ask for the words of a line, a sample apart from each other, then for those of the other side where it sends any."""
    for b in range(count):
        prefetch(words, b * words.shape[1] + k)
    for b in range(count):
        if sends(words[b, k]):
            _fetch(others, b * others.shape[1], (b + 1) * others.shape[1])


@nb.njit(**_part)
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
def read_rows(e, at, keys, first, state, origin, a, m, trains, hits, reads):
    """Read rows of one member between the samples of a batch whose trains are at places `at` and on: those rows are ahead of the others.

    Args:
        keys ... m, hits: as in `update_rows`.
        reads: after which sample (T,), which row (T,) of the array as it is wired, whether it lies on its side, out: the states read
            (E, T, columns).
    """
    after, lines, on_its_side, out = reads
    for t in range(after.size):
        _line_first(e, lines[t], at + after[t] + 1, on_its_side, keys, first, state, origin, a, m, trains, hits)
        for j in range(out.shape[2]):
            out[e, t, j] = state[e, j, lines[t]] if on_its_side else state[e, lines[t], j]


@nb.njit(parallel=True, **_flags)
def read_members(at, keys, first, state, origin, a, m, trains, hits, reads):
    """`read_rows` with the members of an ensemble shared out among the threads."""
    for e in nb.prange(state.shape[0]):
        read_rows(e, at, keys, first, state, origin, a, m, trains, hits, reads)


@nb.njit(parallel=True, **_flags)
def update_members(count, keys, first, state, origin, a, m, trains, hits, polarity):
    """The trains of the first `count` samples on all rows, with the members of an ensemble shared out among the threads."""
    for e in nb.prange(state.shape[0]):
        update_rows(e, 0, state.shape[1], keys, first, state, origin, a, m, trains, sort_pulses(e, count, trains), hits, polarity)


@nb.njit(parallel=True, **_flags)
def update(e, keys, first, state, origin, a, m, trains, pulses, hits, polarity):
    """`update_rows` with the rows of one member shared out among the threads."""
    height = state.shape[1]
    for block in nb.prange((height + BLOCK - 1) // BLOCK):
        low = block * BLOCK
        update_rows(e, low, lesser(low + BLOCK, height), keys, first, state, origin, a, m, trains, pulses, hits, polarity)
