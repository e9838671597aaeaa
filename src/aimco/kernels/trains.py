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

from aimco.kernels.lanes import add32, base, coincidences, hash_add, lowest_slot, two_slots

AGGREGATE_ABOVE = 0.25  # expected coincidences per device from which one step for all of them is cheaper


@nb.njit(inline="always")
def _largest(v):
    top = np.float32(0)
    for value in v:
        top = max(top, abs(value))
    return top


@nb.njit(fastmath=True, error_model="numpy")
def _train(v, scale, length, key, thresholds, words):
    """Words of one sample; returns the sum of firing probabilities. A random rounding keeps small p unbiased."""
    total = np.float32(0)
    for j in range(v.size):
        p = min(abs(v[j]) * scale, np.float32(1))
        total += p
        round_up = np.float32(hash_add(key, np.uint32(j)) >> np.uint32(8)) * np.float32(2.0**-24)
        thresholds[j] = np.uint32(np.int32(p * np.float32(65536) + round_up))
        words[j] = 0
    for slot in range(0, length, 2):
        slot_key = base(np.uint64(key), slot)
        for j in range(v.size):
            words[j] = np.uint32(words[j] | two_slots(hash_add(slot_key, np.uint32(j)), thresholds[j], np.uint32(slot)))
    keep = np.uint32((1 << length) - 1)  # the last slot of an odd train has no partner
    for j in range(v.size):
        sign = np.uint32(0x80000000) if v[j] < 0 else np.uint32(0)
        words[j] = np.uint32(np.uint32(words[j] & keep) | sign)
    return total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _sample(x, d, lr, dw_min, length, manage, shorten, key_x, key_d, x_words, d_words, scratch):
    """Trains of one sample. Returns (BL, sum of p over rows, sum of p over columns)."""
    top_x, top_d = _largest(x), _largest(d)
    if top_x == 0 or top_d == 0 or lr == 0:
        x_words[:] = 0
        d_words[:] = 0
        return 0, np.float32(0), np.float32(0)
    slots, wanted = length, lr * top_x * top_d / dw_min  # coincidences wanted where both sides are largest
    if shorten:
        slots = int(min(float(length), max(1.0, np.ceil(wanted))))
    if wanted > length:  # more than a train can give: only large d are clipped, x keeps its proportions
        top_d = np.float32(top_d * length / wanted)
    gain = np.float32(np.sqrt(lr / (slots * dw_min)))
    balance = np.float32(np.sqrt(top_d / top_x)) if manage else np.float32(1)
    sum_x = _train(x, gain * balance, slots, key_x, scratch, x_words)
    sum_d = _train(d, gain / balance, slots, key_d, scratch, d_words)
    return slots, sum_x, sum_d


@nb.njit(cache=True, nogil=True, error_model="numpy")
def encode(x, d, lr, dw_min, options, keys, first, x_words, d_words, aggregate, columns, filled, tally):
    """Pulse trains of a batch, and for samples done pulse by pulse the columns that fire in each slot.

    Args:
        x, d: values on rows (E, B, R) and columns (E, B, C), float32.
        lr, dw_min: learning rate and mean step in the same units, (E,).
        options: (longest train 1..31, update management, update-BL management, may one step stand for all coincidences).
        keys: (E, 3) uint64, streams of the row trains, the column trains and the noise.
        first: number of the first sample since the start.
        x_words, d_words: out, uint32 (E, B, R), (E, B, C). aggregate: out, (E, B) bool.
        columns, filled: out, lists of firing columns (E, B, 31, C) and their lengths by sign (E, B, 31, 2).
        tally: slots, row pulses and column pulses are added to it, (E, 3) int64.

    Returns:
        Expected coincidences of the batch.
    """
    length, manage, shorten, may_aggregate = options
    members, batch, rows = x.shape
    scratch = np.empty(max(rows, d.shape[2]), np.uint32)
    work = 0.0
    for e in range(members):
        for b in range(batch):
            kx, kd = base(keys[e, 0], first + b), base(keys[e, 1], first + b)
            xw, dw = x_words[e, b], d_words[e, b]
            bl, sum_x, sum_d = _sample(x[e, b], d[e, b], lr[e], dw_min[e], length, manage, shorten, kx, kd, xw, dw, scratch)
            active, row_pulses = _fired(xw)
            tally[e, 0] += 2 * bl
            tally[e, 1] += row_pulses
            tally[e, 2] += _fired(dw)[1]
            expected = sum_x * sum_d * bl
            aggregate[e, b] = may_aggregate and expected > AGGREGATE_ABOVE * active * d.shape[2]
            work += expected
            if not aggregate[e, b]:
                _list_columns(dw, columns[e, b], filled[e, b])
    return work


@nb.njit(cache=True, nogil=True)
def _fired(words):
    """(lines with a pulse, pulses)"""
    lines, pulses = np.int32(0), np.int32(0)
    for j in range(words.size):
        n = coincidences(words[j], words[j])
        pulses = add32(pulses, n)
        lines = add32(lines, np.int32(n > 0))
    return lines, pulses


@nb.njit(cache=True, nogil=True)
def _list_columns(words, columns, filled):
    """Columns that fire in each slot: first the positive ones, then the negative ones."""
    filled[:] = 0
    for sign in range(2):
        for j in range(words.size):
            word = np.uint32(words[j] & np.uint32(0x7FFFFFFF))
            if np.int64(words[j] >> np.uint32(31)) != sign:
                continue
            while word != 0:
                slot = lowest_slot(word)
                columns[slot, filled[slot, 0] + filled[slot, 1]] = j
                filled[slot, sign] += 1
                word = np.uint32(word & np.uint32(word - np.uint32(1)))
