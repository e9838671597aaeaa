"""Stochastic pulse trains: numbers become words of up to 31 random bits, one bit per time slot, the sign on top.

A line that carries the value v fires in each slot with probability p = min(1, C K |v|); a device changes
where the pulses of its row and column coincide, so the expected change is BL C^2 |x||d| steps.
Update management K = sqrt(m_d/m_x) balances the two sides; update-BL management shortens the train to
BL = ceil(lr m_x m_d / dw_min). m_x, m_d are the largest |x|, |d| of the sample.
Source: Gokmen & Vlasov 2016, eq. 2-3; Gokmen, Onen & Haensch 2017 (update management).
"""

from __future__ import annotations

import numba as nb
import numpy as np

from aimco.kernels.intrinsics import (
    add32,
    after_lowest,
    base,
    coincidences,
    from_magnitude,
    greater,
    hash_add,
    lesser,
    lowest_slot,
    magnitude,
    same_sign,
    two_slots,
)

AGGREGATE_ABOVE = 0.25  # expected coincidences per device from which one step for all of them is cheaper
_NARROW = 16  # lines that fill a vector register
ACTIVE, AGGREGATED, COLUMN_PULSES = range(3)  # places in `lengths`
LENGTH, MANAGE, SHORTEN, MAY_AGGREGATE, ON_ITS_SIDE = range(5)  # places in `options`


@nb.njit(cache=True)
def largest(v):
    """Largest |v|; NaN where there is one."""
    top = np.int32(0)
    for j in range(v.size):  # by its place, not `for value in v`, which does not become vector code
        top = greater(top, magnitude(v[j]))
    return from_magnitude(top)


@nb.njit(fastmath=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _train(v, scale, length, key, thresholds, slot_keys, words):
    """Words of one sample; returns (sum of firing probabilities, pulses). A random rounding keeps small p unbiased."""
    total, pulses = np.float32(0), np.int32(0)
    for j in range(v.size):
        p = lesser(abs(v[j]) * scale, np.float32(1))
        total += p
        round_up = np.float32(hash_add(key, np.uint32(j)) >> np.uint32(8)) * np.float32(2.0**-24)
        thresholds[j] = np.uint32(np.int32(p * np.float32(65536) + round_up))
        words[j] = 0
    pairs = (length + 1) // 2
    for k in range(pairs):
        slot_keys[k] = base(np.uint64(key), 2 * k)
    if v.size < _NARROW:  # vector code over the slots instead of the lines
        for j in range(v.size):
            for k in range(pairs):
                words[j] = np.uint32(words[j] | two_slots(hash_add(slot_keys[k], np.uint32(j)), thresholds[j], np.uint32(2 * k)))
    else:
        for k in range(pairs):
            for j in range(v.size):
                words[j] = np.uint32(words[j] | two_slots(hash_add(slot_keys[k], np.uint32(j)), thresholds[j], np.uint32(2 * k)))
    keep = np.uint32((1 << length) - 1)  # the last slot of an odd train has no partner
    for j in range(v.size):
        sign = np.uint32(0x80000000) if v[j] < 0 else np.uint32(0)
        fired = np.uint32(words[j] & keep)
        pulses = add32(pulses, coincidences(fired, fired))
        words[j] = np.uint32(fired | sign)
    return total, pulses


@nb.njit(cache=True, nogil=True, error_model="numpy")
def encode(e, at, x, d, lr, dw_min, options, keys, first, trains, tally):
    """Pulse trains of a batch, and the rows that fire at all.

    Args:
        e: the ensemble member. at: place of the first sample in the buffers. x, d: values on rows (E, B, R) and columns (E, B, C), float32.
        lr: learning rate, (E, B) or (E, 1). dw_min: mean step in the same unit, (E,).
        options: longest train 1..31, update management, update-BL management, may one step stand for all coincidences,
            do x and d stand for errors and inputs (an array on its side); (E, 5) int64.
        keys: (E, 3) uint64, streams of the row trains, the column trains and the noise.
        first: number, since the start, of the sample at place 0.
        trains: out, (x_words (E, N, R), d_words (E, N, C), uint32; rows, those that fire, (E, N, R); lengths (E, N, 3) int32: how many
            rows, whether aggregated: one step then stands for all coincidences of a device; pulses of the columns).
        tally: slots, row pulses and column pulses are added to it, (E, 3) int64.

    Returns:
        Expected coincidences of the batch.
    """
    (x_words, d_words, rows, lengths), options = trains, options[e]
    scratch, slot_keys = np.empty(greater(x.shape[2], d.shape[2]), np.uint32), np.empty(16, np.uint32)
    work = 0.0
    for b in range(x.shape[1]):
        place, number = at + b, first + at + b
        xs, ds, xw, dw, entry = x[e, b], d[e, b], x_words[e, place], d_words[e, place], lengths[e, place]
        top_x, top_d = largest(xs), largest(ds)
        entry[:] = 0
        rate = lr[e, b if lr.shape[1] > 1 else 0]
        if top_x == 0 or top_d == 0 or rate == 0:
            continue
        slots, wanted = options[LENGTH], rate * top_x * top_d / dw_min[e]  # coincidences wanted where both sides are largest
        if options[SHORTEN]:
            slots = int(lesser(float(slots), greater(1.0, np.ceil(wanted))))
        if wanted > options[LENGTH]:  # more than a train can give: only large errors are clipped, the inputs keep their proportions
            if options[ON_ITS_SIDE]:
                top_x = np.float32(top_x * options[LENGTH] / wanted)
            else:
                top_d = np.float32(top_d * options[LENGTH] / wanted)
        gain = np.float32(np.sqrt(rate / (slots * dw_min[e])))
        balance = np.float32(np.sqrt(top_d / top_x)) if options[MANAGE] else np.float32(1)
        sum_x, row_pulses = _train(xs, gain * balance, slots, base(keys[e, 0], number), scratch, slot_keys, xw)
        sum_d, column_pulses = _train(ds, gain / balance, slots, base(keys[e, 1], number), scratch, slot_keys, dw)
        tally[e, 0] += 2 * slots
        tally[e, 1] += row_pulses
        tally[e, 2] += column_pulses
        entry[ACTIVE], entry[COLUMN_PULSES] = _list_active(xw, rows[e, place]), column_pulses
        expected = sum_x * sum_d * slots
        entry[AGGREGATED] = options[MAY_AGGREGATE] and expected > AGGREGATE_ABOVE * entry[ACTIVE] * d.shape[2]
        work += expected
    return work


@nb.njit(parallel=True, cache=True, nogil=True, error_model="numpy")
def encode_members(at, x, d, lr, dw_min, options, keys, first, trains, tally):
    """`encode` with the members of an ensemble shared out among the threads."""
    for e in nb.prange(x.shape[0]):
        encode(e, at, x, d, lr, dw_min, options, keys, first, trains, tally)


@nb.njit(inline="always")
def sends(word):
    """Whether a line has a pulse in any slot."""
    return np.uint32(word & np.uint32(0x7FFFFFFF)) != 0


@nb.njit(cache=True, nogil=True)
def _list_active(words, active):
    """Lines with a pulse in any slot, in order; returns how many."""
    n = 0
    for j in range(words.size):
        active[n] = j  # without a branch: overwritten where the line sends nothing
        n += sends(words[j])
    return n


@nb.njit(cache=True, nogil=True)
def sort_pulses(e, count, trains):
    """The pulses of the first `count` samples of a member by the devices that they meet.

    Returns:
        samples, firsts: row i fires in samples[firsts[i] : firsts[i + 1]], in order.
        columns, starts: of samples done pulse by pulse, the columns that fire in slot s, those with a positive value from
            columns[starts[sample, 2 s]] on and those with a negative one from columns[starts[sample, 2 s + 1]] on.
    """
    x_words, d_words, rows, lengths = trains
    firsts, room = np.zeros(x_words.shape[2] + 1, np.int64), 0
    for b in range(count):
        for t in range(lengths[e, b, ACTIVE]):
            firsts[rows[e, b, t] + 1] += 1
        room += lengths[e, b, COLUMN_PULSES]
    for i in range(1, firsts.size):
        firsts[i] += firsts[i - 1]
    samples, at, active = np.empty(firsts[-1], np.uint32), firsts.copy(), np.empty(d_words.shape[2], np.uint32)
    columns, starts, total = np.empty(room, np.uint32), np.zeros((count, 63), np.uint32), np.uint32(0)
    for b in range(count):
        for t in range(lengths[e, b, ACTIVE]):
            i = rows[e, b, t]
            samples[at[i]] = b
            at[i] += 1
        if lengths[e, b, ACTIVE] and not lengths[e, b, AGGREGATED]:
            fire = active[: _list_active(d_words[e, b], active)]
            total = _sort_columns(d_words[e, b], fire, total, starts[b], columns)
    return samples, firsts, columns, starts


@nb.njit(inline="always")
def _sort_columns(words, fire, total, starts, columns):
    """Those of the columns that fire, by slot and sign, from place `total` on; returns the place after the last."""
    for j in fire:
        word = words[j]
        while sends(word):
            starts[_kind(word)] += 1
            word = after_lowest(word)
    for k in range(starts.size):
        total, starts[k] = np.uint32(total + starts[k]), total
    free = starts.copy()
    for j in fire:
        word = words[j]
        while sends(word):
            columns[free[_kind(word)]] = j
            free[_kind(word)] += 1
            word = after_lowest(word)
    return total


@nb.njit(inline="always")
def _kind(word) -> np.int64:
    """Place in `starts` of the first pulse of a word: its slot and its sign."""
    return 2 * np.int64(lowest_slot(word)) + np.int64(word >> np.uint32(31))


@nb.njit(cache=True, nogil=True)
def half_selects(trains, batch, polarity, up, down):
    """Pulses that each device feels from its row or its column alone, added to up and down, (E, R, C) float32.

    Rows and columns fire once so that like signs meet and step up, and once so that unlike ones meet and step down; where `polarity` is
    not 0 only one of the two is sent, and steps up. Whatever meets no pulse of the other side is a half-select.

    Args:
        trains: of `encode`. batch: samples in them. polarity: as in the made `update_rows`.
    """
    x_words, d_words, _, lengths = trains
    for e in range(up.shape[0]):
        for b in range(batch):
            for k in range(lengths[e, b, ACTIVE] and x_words.shape[2]):
                x = x_words[e, b, k]
                alone = coincidences(x, x)
                for j in range(d_words.shape[2]):
                    d = d_words[e, b, j]
                    fired, met, like = alone + coincidences(d, d), 2 * coincidences(x, d), same_sign(x, d)
                    if polarity == 0:
                        up[e, k, j] += fired - (met if like else 0)
                        down[e, k, j] += fired - (0 if like else met)
                    else:
                        up[e, k, j] += fired - (met if like == (polarity > 0) else 0)
