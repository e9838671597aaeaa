"""Mean steps of a response in double precision, and the trajectories that they make: what measured pulses are fitted with.

Like `pulse_template.py` a working file, for constant steps, and the text from which the kernel of any other response is made.
"""

from collections import namedtuple

import numba as nb
import numpy as np

# <response>
Device = namedtuple("Device", "g_max g_min step_down step_up")


def response(g, up, p):
    return p.step_up if up else -p.step_down


@nb.njit(inline="always")
def device(a, k):
    return Device(a[k, 0], a[k, 1], a[k, 2], a[k, 3])


# </response>

_step = nb.njit(inline="always", error_model="numpy")(response)
_flags = {"cache": True, "error_model": "numpy", "nogil": True}


@nb.njit(**_flags)
def steps(g, up, a, out):
    """Mean change by one pulse at states g (N,), up (N,) bool, with parameters a (N, K), into out (N,)."""
    for k in range(g.size):
        out[k] = _step(g[k], up[k], device(a, k))


@nb.njit(**_flags)
def trajectory(start, polarity, pulses, fresh, a, out):
    """States after pulses of one device without noise, kept within its bounds.

    Args:
        start: measured states (N,), of which those marked fresh begin a new trajectory. polarity: +1, -1 (N,).
        pulses: before each reading (N,). fresh: (N,) bool. a: parameters (1, K). out: states (N,).
    """
    p = device(a, 0)
    g = start[0]
    for k in range(start.size):
        if fresh[k]:
            g = start[k]
        else:
            for _ in range(pulses[k]):
                g = min(max(g + _step(g, polarity[k] > 0, p), p.g_min), p.g_max)
        out[k] = g


@nb.njit(**_flags)
def log_likelihood(level, step, pulses, fresh, counts, relative, fixed, read):
    """Logarithm of the probability of readings, by the Kalman filter of a state that steps and is read with noise.

    g_k = g_{k-1} + n s_k + w_k, w ~ N(0, n (relative^2 s_k^2 + fixed^2)); y_k = g_k + r_k, r ~ N(0, read^2).

    Args:
        level: y (N,). step: mean step s of one pulse before each reading (N,). pulses: n (N,). fresh: where a trajectory begins (N,).
        counts: (N,) bool, readings whose probability is added; the others only lead the filter.
    """
    total, g, p = 0.0, 0.0, 0.0
    floor = read * read + 1e-300
    for k in range(level.size):
        if fresh[k]:
            g, p = level[k], read * read
            continue
        g += pulses[k] * step[k]
        p += pulses[k] * (relative * relative * step[k] * step[k] + fixed * fixed)
        spread, off = p + floor, level[k] - g
        if counts[k]:
            total -= 0.5 * (off * off / spread + np.log(spread))
        gain = p / spread
        g += gain * off
        p *= 1 - gain
    return total
