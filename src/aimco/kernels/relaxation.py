"""Relaxation of the states of an array to their resting points, in double precision."""

import numba as nb
import numpy as np


@nb.njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def relax(state, carry, rest, times, left):
    """g <- r + (g - r) exp(-t), g = state + carry: what a state in single precision cannot hold is carried to the next time.

    Args:
        state, carry: (E, R, C) float32, changed in place. rest: r, (E, R, C) float32. times: of each member, (E,); members of zero stay
            as they are. left: exp(-t) of each device, (E, R, C), or (E, 1, 1) where it is the same for all.
    """
    members, rows, columns = state.shape
    each = left.shape[2] > 1
    for line in nb.prange(members * rows):
        e, i = line // rows, line % rows
        if times[e] == 0:
            continue
        for j in range(columns):
            part = left[e, i, j] if each else left[e, 0, 0]
            exact = rest[e, i, j] + (np.float64(state[e, i, j]) + np.float64(carry[e, i, j]) - rest[e, i, j]) * part
            state[e, i, j] = np.float32(exact)
            carry[e, i, j] = np.float32(exact - np.float64(state[e, i, j]))
