"""Noise of reads: one nearly normal number for each line of each vector."""

from __future__ import annotations

import numba as nb
import numpy as np

from aimco.kernels.lanes import base, hash_add, rough_normal


@nb.njit(cache=True, nogil=True)
def fill(out, keys, first):
    """Standard normal noise into out (E, B, lines) float32: keys (E,) uint64, first is the number of the first vector."""
    for e in range(out.shape[0]):
        for b in range(out.shape[1]):
            start = base(keys[e], first + b)
            line = out[e, b]
            for j in range(line.size):
                line[j] = rough_normal(hash_add(start, np.uint32(j)))
