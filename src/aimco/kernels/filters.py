"""The digital work of rules that move what one array gathered to another: one pass over a row each."""

from __future__ import annotations

import numba as nb
import numpy as np

from aimco.kernels.trains import largest

_flags = {"cache": True, "nogil": True, "error_model": "numpy"}


@nb.njit(**_flags)
def gather(h, k, v, rate, most, pulses):
    """h_k += rate v; the whole part leaves h_k, and as pulses the array, `most` of either sign.

    Args:
        h: (E, R, C) float32, changed in place. k: the row. v: what was read, (E, C). rate: (E,) float32.
        pulses: out, (E, C) int32.
    """
    for e in range(h.shape[0]):
        for j in range(h.shape[2]):
            total = h[e, k, j] + rate[e] * v[e, j]
            whole = np.trunc(total)
            h[e, k, j] = total - whole
            pulses[e, j] = np.int32(min(max(whole, -most), most))


@nb.njit(**_flags)
def mean_tops(x, d, keep, means):
    """Running means of the largest |x| and |d| of each sample, (E, 2) float64, in place: m = keep m + (1 - keep) max; 0 at the start."""
    for e in range(x.shape[0]):
        for b in range(x.shape[1]):
            for side, top in enumerate((largest(x[e, b]), largest(d[e, b]))):
                means[e, side] = keep * means[e, side] + (1 - keep) * top if means[e, side] > 0 else top
