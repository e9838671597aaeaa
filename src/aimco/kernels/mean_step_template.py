"""Mean steps of a response in double precision, and the trajectories that they make: what measured pulses are fitted with.

Like `pulse_template.py` a working file, for constant steps, and the text from which the kernel of any other response is made.
"""

from base64 import b64decode  # noqa: F401
from collections import namedtuple
from statistics import NormalDist

import numba as nb
import numpy as np

# <response>
WHOLE = False
Device = namedtuple("Device", "g_max g_min step_down step_up")


@nb.njit(inline="always", error_model="numpy")
def response(g, up, p):
    return p.step_up if up else -p.step_down


@nb.njit(inline="always")
def device(a, k):
    return Device(a[k, 0], a[k, 1], a[k, 2], a[k, 3])


# </response>

_flags = {"cache": True, "error_model": "numpy", "nogil": True}
_DEVIATES = np.array([NormalDist().inv_cdf((k + 0.5) / 64) for k in range(64)] if WHOLE else [0.0])
_HALVINGS = 50
_SAME = 2e-7  # of the steps, within which parameters in single precision may differ that are meant to be equal


if WHOLE:

    @nb.njit(inline="always")
    def _step(g, up, p):
        """Mean change over the noise of a pulse."""
        total = 0.0
        for z in _DEVIATES:
            total += response(g, 1.0, up, p, z) - g
        return total / _DEVIATES.size

else:
    _step = response


@nb.njit(**_flags)
def steps(g, up, a, out):
    """Mean change by one pulse at states g (N,), up (N,) bool, with parameters a (N, K), into out (N,)."""
    for k in range(g.size):
        out[k] = _step(g[k], up[k], device(a, k))


@nb.njit(inline="always")
def _rises(g, p):
    """+1 where an up and a down pulse together raise a device, -1 where they lower it, 0 where they cancel."""
    up, down = _step(g, True, p), _step(g, False, p)
    total, least = up + down, _SAME * (abs(up) + abs(down))
    return 1 if total > least else -1 if total < -least else 0


@nb.njit(inline="always")
def _edge(low, high, below, p):
    """The state between two where `_rises` falls to `below` or less."""
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if _rises(middle, p) > below:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@nb.njit(parallel=True, **_flags)
def balance(a, out):
    """The states at which up and down pulses cancel, of devices with parameters a (N, K), into out (N,).

    Where they cancel over a part of the range, the state of it that is nearest to mid-range; where they never do, the bound that
    the device drifts to.
    """
    for k in nb.prange(out.size):
        p = device(a, k)
        low, high = _edge(p.g_min, p.g_max, 0, p), _edge(p.g_min, p.g_max, -1, p)
        out[k] = min(max(0.0, low), high)


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
