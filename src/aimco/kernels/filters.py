"""The digital work of rules that move what one array gathered to another: one pass over a row each."""

from __future__ import annotations

import numba as nb
import numpy as np

from aimco.kernels.trains import largest

_flags = {"cache": True, "nogil": True, "error_model": "numpy"}


@nb.njit(**_flags)
def gather(h, rows, v, rate, most, pulses):
    """h_k += rate v for one row k after the other; the whole part leaves h_k, and as pulses the array, `most` of either sign.

    Args:
        h: (E, R, C) float32, changed in place. rows: (T,). v: what was read, (E, T, C). rate: (E,) float32. most: (E,) int64.
        pulses: out, (E, T, C) int32.
    """
    for e in range(h.shape[0]):
        for t in range(rows.size):
            k = rows[t]
            for j in range(h.shape[2]):
                total = h[e, k, j] + rate[e] * v[e, t, j]
                whole = np.trunc(total)
                h[e, k, j] = total - whole
                pulses[e, t, j] = np.int32(min(max(whole, -most[e]), most[e]))


@nb.njit(**_flags)
def fast_rates(x, d, after, keep, wanted, smallest, means, rates):
    """Learning rates wanted/(m_x m_d), with m the running means of the largest |x| and |d| of each sample up to the next read.

    Args:
        x, d: (E, B, R), (E, B, C). after: samples after which there is a read, (T,). keep: m = keep m + (1 - keep) max; max at the start.
        wanted: (E,). smallest: of m_x m_d. means: (E, 2) float64, in place. rates: out, (E, B) float64.
    """
    for e in range(x.shape[0]):
        first = 0
        for t in range(after.size + 1):
            last = after[t] + 1 if t < after.size else x.shape[1]
            for b in range(first, last):
                for side, top in enumerate((largest(x[e, b]), largest(d[e, b]))):
                    means[e, side] = keep * means[e, side] + (1 - keep) * top if means[e, side] > 0 else top
            rates[e, first:last] = wanted[e] / max(means[e, 0] * means[e, 1], smallest)
            first = last


@nb.njit(**_flags)
def chop(x, after, rows, flips, choppers, chopped, signs):
    """Inputs times the signs of their rows; a row may change its sign after it was read.

    Args:
        x: (E, B, R). after, rows: which row is read after which sample, (T,). flips: whether its sign then changes, (E, T) bool.
        choppers: (E, R) float32, in place. chopped: out, (E, B, R). signs: out, the sign of each row when it was read, (E, T) float32.
    """
    for e in range(x.shape[0]):
        t = 0
        for b in range(x.shape[1]):
            for i in range(x.shape[2]):
                chopped[e, b, i] = x[e, b, i] * choppers[e, i]
            if t < after.size and after[t] == b:
                k = rows[t]
                signs[e, t] = choppers[e, k]
                if flips[e, t]:
                    choppers[e, k] = -choppers[e, k]
                t += 1


@nb.njit(**_flags)
def refer_to_mean(v, rows, flips, keep, p, p_ref):
    """v - p_ref of its row, in place; then p = p + keep (v - p), and p_ref = p where the sign of the row changes.

    Args:
        v: what was read, (E, T, C). rows, flips: as in `chop`. keep: (E,) float32. p, p_ref: (E, R, C) float32, in place.
    """
    for e in range(v.shape[0]):
        for t in range(rows.size):
            k = rows[t]
            for j in range(v.shape[2]):
                read, mean = v[e, t, j], p[e, k, j]
                v[e, t, j] = read - p_ref[e, k, j]
                mean += keep[e] * (read - mean)
                p[e, k, j] = mean
                if flips[e, t]:
                    p_ref[e, k, j] = mean
