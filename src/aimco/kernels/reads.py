"""The two edges of a read: numbers become read voltages before the array, noisy currents become numbers after it.

`aimco.tile` says what they compute; here each is one pass over the vectors. Arrays of one number per member are (E,) float32.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from aimco.kernels.intrinsics import base, hash_add, nearest, rough_normal
from aimco.kernels.trains import largest

_flags = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}


@nb.njit(**_flags)
def _on_levels(v, steps):
    """Put values in -1..1 on the levels of a converter, in place."""
    if not np.isinf(steps):
        for j in range(v.size):
            v[j] = nearest(v[j] * steps) / steps


@nb.njit(**_flags)
def drive(v, again, managed, attempt, steps, voltages, scale, power):
    """Read voltages of the vectors marked in `again`: v / scale on the levels of the DAC.

    Args:
        v: (E, B, lines). again: (E, B) bool. managed: whether the scale is max |v|, else 1; either is doubled by each attempt.
        steps: levels of the DAC on one side, inf for all values.
        voltages: out, (E, B, lines), full scale 1. scale: out, (E, B). power: out, sum of squared voltages, (E, B).
    """
    for e in range(v.shape[0]):
        for b in range(v.shape[1]):
            if not again[e, b]:
                continue
            top = largest(v[e, b]) if managed else np.float32(1)
            factor = np.float32(2.0**attempt) * (top if top > 0 else np.float32(1))
            line, inverse = voltages[e, b], np.float32(1) / factor
            for j in range(line.size):
                line[j] = min(max(v[e, b, j] * inverse, np.float32(-1)), np.float32(1))
            _on_levels(line, steps[e])
            scale[e, b], power[e, b] = factor, _power(line)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _power(v):
    total = np.float32(0)
    for value in v:
        total += value * value
    return total


@nb.njit(**_flags)
def _add_noise(v, sigma, start):
    for j in range(v.size):
        v[j] += sigma * rough_normal(hash_add(start, np.uint32(j)))


@nb.njit(**_flags)
def convert(currents, again, scale, power, line_noise, device_noise, limit, steps, weight, keys, first, out):
    """Numbers read from the currents of the vectors marked in `again`: noise, the range and levels of the ADC, the scale undone.

    Args:
        currents: (E, B, lines), used up. again: (E, B) bool; on return, the vectors that went beyond the ADC's range.
        scale, power: from `drive`. line_noise: standard deviation of a current. device_noise: of one device at full voltage.
        limit: range of the ADC. steps: its levels on one side. weight: of a state of one.
        keys: (E,) uint64, the stream of the noise. first: number of the first vector. out: (E, B, lines).

    Returns:
        How many vectors went beyond the range.
    """
    beyond = 0
    for e in range(currents.shape[0]):
        for b in range(currents.shape[1]):
            if not again[e, b]:
                continue
            line, into = currents[e, b], out[e, b]
            sigma = np.sqrt(line_noise[e] ** 2 + device_noise[e] ** 2 * power[e, b])
            if sigma > 0:
                _add_noise(line, np.float32(sigma), base(keys[e], first + b))
            factor = scale[e, b] * weight[e]
            again[e, b] = False
            if not np.isinf(limit[e]):
                again[e, b] = largest(line) > limit[e]
                beyond += again[e, b]
                factor *= limit[e]
                inverse = np.float32(1) / limit[e]
                for j in range(line.size):
                    line[j] = min(max(line[j] * inverse, np.float32(-1)), np.float32(1))
                _on_levels(line, steps[e])
            for j in range(line.size):
                into[j] = line[j] * factor
    return beyond
