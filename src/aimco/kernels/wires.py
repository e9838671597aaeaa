"""Wired crossbars: word lines eliminated exactly, conjugate gradients on the bit lines, preconditioned by their own exact elimination.

With T_w and T_b the tridiagonal matrices of the lines (cells included) and G the cells, the bit lines obey
(T_b - G T_w^-1 G) u = G T_w^-1 b_w + b_b. Lines are eliminated as Norton equivalents,

    Y_j = g_j + a_(j+1) Y_(j+1),   J_j = f_j + a_(j+1) J_(j+1),   a_j = 1/(1 + r_j Y_j),   x_j = a_j (x_(j-1) + r_j J_j)

with r_0 of the end and x_(-1) the voltage behind it: sums of positive numbers only, exact to rounding at any ratio of wire to cell,
and finite at r = 0. Word lines are taken 16 at a time, laid column by column, so that their recurrences become vector code.
Source: Chronopoulos & Gear 1989 for the iteration, which needs one pass up and one pass down the rows. The plain definition, by
elimination of all nodes at once, is `aimco.peers.wires.superlu`.
"""

from __future__ import annotations

import numba as nb
import numpy as np

TOGETHER = 16
_flags = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "reassoc"}}


@nb.njit(**_flags)
def _load(u, first, x):
    """Rows of u, (n, m), from the first on, laid (m, 16); 0 beyond the last."""
    for k in range(TOGETHER):
        if first + k < u.shape[0]:
            for j in range(u.shape[1]):
                x[j, k] = u[first + k, j]
        else:
            for j in range(u.shape[1]):
                x[j, k] = 0.0


@nb.njit(**_flags)
def factor(g, word, driver, both, bit, sense):
    """Eliminate every line once.

    Args:
        g: cells, S, (n, m). word, bit: Ohm per segment. driver, sense: Ohm from the first node of a line to what holds its end.
        both: word lines are driven at their far ends as well; then driver > 0.

    Returns:
        cells and a of word lines, (groups, m, 16), and their Y at the driver, (groups, 16); a of bit lines, (n, m), and Y at the sense
        end, (m,).
    """
    n, m = g.shape
    groups = (n + TOGETHER - 1) // TOGETHER
    cells, a, y = np.empty((groups, m, TOGETHER)), np.empty((groups, m, TOGETHER)), np.zeros((groups, TOGETHER))
    for q in range(groups):
        _load(g, q * TOGETHER, cells[q])
        total = np.full(TOGETHER, 1 / driver if both else 0.0)
        for j in range(m - 1, -1, -1):
            r = word if j else driver
            for k in range(TOGETHER):
                y[q, k] = total[k] + cells[q, j, k]
                a[q, j, k] = 1 / (1 + r * y[q, k])
                total[k] = y[q, k] * a[q, j, k]
    b, end = np.empty((n, m)), np.zeros(m)
    for i in range(n):
        r = bit if i < n - 1 else sense
        for j in range(m):
            end[j] = g[i, j] + (b[i - 1, j] * end[j] if i else 0.0)
            b[i, j] = 1 / (1 + r * end[j])
    return cells, a, y, b, end


@nb.njit(**_flags)
def _along_words(cells, a, y, word, driver, far, v, x, out):
    """Voltages of 16 word lines from those of the bit lines, in place (m, 16), and the currents into their drivers."""
    m = x.shape[0]
    for k in range(TOGETHER):
        x[m - 1, k] = cells[m - 1, k] * x[m - 1, k] + far * v[k]
    for j in range(m - 2, -1, -1):
        for k in range(TOGETHER):
            x[j, k] = cells[j, k] * x[j, k] + a[j + 1, k] * x[j + 1, k]
    for k in range(TOGETHER):
        out[k] = a[0, k] * (x[0, k] - y[k] * v[k])
        x[0, k] = a[0, k] * (v[k] + driver * x[0, k])
    for j in range(1, m):
        for k in range(TOGETHER):
            x[j, k] = a[j, k] * (x[j - 1, k] + word * x[j, k])
    for k in range(TOGETHER):
        out[k] += far * (x[m - 1, k] - v[k])


@nb.njit(**_flags)
def sweep(state, lines, v, c, e, u, w, into):
    """Word lines from the bit lines u, then bit lines from the word lines: u made new in place.

    Args:
        state: of `factor`. lines: word, driver, far, bit, sense. v, c: voltages behind drivers (groups, 16) and sense ends (m,).
        e: voltage sources in series with the cells, against the current from word to bit line, (n, m), or empty where there are none.
        u: (n, m), all 0 allowed. w: out, voltages of word lines (n, m). into: out, currents into drivers (groups, 16) and sense ends (m,).
    """
    cells, a, y, b, end = state
    word, driver, far, bit, sense = lines
    n, m = u.shape
    x, rows, columns = np.empty((m, TOGETHER)), into[0], into[1]
    for q in range(len(cells)):
        _load(u, q * TOGETHER, x)
        for i in range(q * TOGETHER, min(len(e), (q + 1) * TOGETHER)):
            for j in range(m):
                x[j, i - q * TOGETHER] += e[i, j]
        _along_words(cells[q], a[q], y[q], word, driver, far, v[q], x, rows[q])
        for k in range(min(TOGETHER, n - q * TOGETHER)):
            i = q * TOGETHER + k
            for j in range(m):
                w[i, j] = x[j, k]
                u[i, j] = cells[q, j, k] * (x[j, k] - e[i, j] if len(e) else x[j, k])
            if i:
                for j in range(m):
                    u[i, j] += b[i - 1, j] * u[i - 1, j]
    for j in range(m):
        columns[j] = b[n - 1, j] * (u[n - 1, j] - end[j] * c[j])
        u[n - 1, j] = b[n - 1, j] * (c[j] + sense * u[n - 1, j])
    for i in range(n - 2, -1, -1):
        for j in range(m):
            u[i, j] = b[i, j] * (u[i + 1, j] + bit * u[i, j])


@nb.njit(**_flags)
def _up(state, lines, z, r, w, x, nothing, into):
    """z = T_b^-1 r from its eliminated currents in z, then w = r - G T_w^-1 G z, last row first; z.r and z.w."""
    cells, a, y, b, _ = state
    word, driver, far, bit, sense = lines
    n, m = z.shape
    rows, columns = into
    gamma = delta = 0.0
    for j in range(m):
        columns[j] = b[n - 1, j] * z[n - 1, j]
        z[n - 1, j] = columns[j] * sense
    for q in range(len(cells) - 1, -1, -1):
        for i in range(min(n, (q + 1) * TOGETHER) - 1, q * TOGETHER - 1, -1):
            if i < n - 1:
                for j in range(m):
                    z[i, j] = b[i, j] * (z[i + 1, j] + bit * z[i, j])
        _load(z, q * TOGETHER, x)
        _along_words(cells[q], a[q], y[q], word, driver, far, nothing, x, rows[q])
        for j in range(m):
            for k in range(TOGETHER):
                x[j, k] *= cells[q, j, k]
        for k in range(min(TOGETHER, n - q * TOGETHER)):
            i = q * TOGETHER + k
            for j in range(m):
                w[i, j] = r[i, j] - x[j, k]
                gamma += z[i, j] * r[i, j]
                delta += z[i, j] * w[i, j]
    return gamma, delta


@nb.njit(**_flags)
def _down(b, alpha, beta, z, w, p, s, u, r):
    """p = z + beta p, s = w + beta s, u += alpha p, r -= alpha s, and the elimination of r into z, first row first."""
    n, m = u.shape
    for i in range(n):
        for j in range(m):
            pj, sj = z[i, j] + beta * p[i, j], w[i, j] + beta * s[i, j]
            p[i, j], s[i, j] = pj, sj
            u[i, j] += alpha * pj
            r[i, j] -= alpha * sj
        if i:
            for j in range(m):
                z[i, j] = r[i, j] + b[i - 1, j] * z[i - 1, j]
        else:
            for j in range(m):
                z[i, j] = r[i, j]


@nb.njit(**_flags)
def _residual(state, lines, d, x, nothing, r, z, rows):
    """r = G T_w^-1 G d, the residual that a sweep which changed u by d left, and its elimination into z."""
    cells, a, y, b, _ = state
    word, driver, far = lines[:3]
    n, m = d.shape
    for q in range(len(cells)):
        _load(d, q * TOGETHER, x)
        _along_words(cells[q], a[q], y[q], word, driver, far, nothing, x, rows[q])
        for k in range(min(TOGETHER, n - q * TOGETHER)):
            i = q * TOGETHER + k
            for j in range(m):
                r[i, j] = cells[q, j, k] * x[j, k]
                z[i, j] = r[i, j]
            if i:
                for j in range(m):
                    z[i, j] += b[i - 1, j] * z[i - 1, j]


@nb.njit(**_flags)
def _descend(state, lines, at_rows, tolerance, steps, u, w, rooms, x, nothing, currents):
    """Conjugate gradients on from the residual in rooms until the currents of interest move no more; steps, slowest rate, estimate.

    What is left in a current is what the next preconditioned step would change, over the smallest Rayleigh quotient seen.
    """
    r, p, s, z = rooms
    rows, columns = currents
    preconditioned = np.zeros_like(rows), np.zeros_like(columns)
    along = np.zeros_like(rows), np.zeros_like(columns)
    p[:], s[:] = 0.0, 0.0
    slowest, alpha, before = 1.0, 1.0, 0.0
    for step in range(steps + 1):
        gamma, delta = _up(state, lines, z, r, w, x, nothing, preconditioned)
        if gamma > 0:
            slowest = min(slowest, delta / gamma)
        left = _largest(preconditioned, at_rows) / slowest
        if gamma <= 0 or left <= tolerance * _largest(currents, at_rows) or step == steps:
            break
        beta = gamma / before if step else 0.0
        alpha = gamma / (delta - (beta * gamma / alpha if step else 0.0))
        before = gamma
        _down(state[3], alpha, beta, z, w, p, s, u, r)
        _go_on(preconditioned[0].ravel(), along[0].ravel(), rows.ravel(), alpha, beta)
        _go_on(preconditioned[1], along[1], columns, alpha, beta)
    return step, slowest, left


@nb.njit(**_flags)
def _go_on(preconditioned, along, total, alpha, beta):
    for j in range(len(preconditioned)):
        along[j] = preconditioned[j] + beta * along[j]
        total[j] += alpha * along[j]


@nb.njit(**_flags)
def _largest(currents, at_rows):
    most = 0.0
    for value in currents[0].ravel() if at_rows else currents[1]:
        most = max(most, abs(value))
    return most


@nb.njit(**_flags)
def solve(state, lines, v, c, e, at_rows, tolerance, steps, u, w, rooms, currents):
    """Node voltages and currents of one wired crossbar.

    Args:
        state: of `factor`. lines: (word, driver, far, bit, sense), Ohm but far in S: conductance to the driver at the far end.
        v, c, e: voltages behind the drivers (groups, 16) and sense ends (m,), and in series with the cells, see `sweep`.
        at_rows: whether the tolerance is of currents into drivers.
        tolerance: of each current, relative to the largest. steps: of conjugate gradients, at most.
        u, w: out, voltages of bit and word lines, (n, m). rooms: four of that shape. currents: out, into drivers (groups, 16) and sense
        ends (m,).

    Returns:
        steps taken, and the estimated error of a current relative to the largest, from the residual made anew at the end.
    """
    r, p, _, z = rooms
    x, nothing = np.empty((u.shape[1], TOGETHER)), np.zeros(TOGETHER)
    moved = np.zeros_like(currents[0]), np.zeros_like(currents[1])
    u[:], currents[0][:], currents[1][:] = 0.0, 0.0, 0.0
    taken, slowest, error = 0, 1.0, np.inf
    for attempt in range(6):
        p[:], moved[1][:] = u, currents[1]
        sweep(state, lines, v, c, e, u, w, currents)
        for k in range(u.shape[0]):
            p[k] = u[k] - p[k]
        moved[1][:] = currents[1] - moved[1]
        if at_rows or not attempt:
            _residual(state, lines, p, x, nothing, r, z, moved[0])
        if attempt:
            largest = _largest(currents, at_rows)
            error = _largest(moved, at_rows) / slowest / largest if largest > 0 else 0.0
            if error <= tolerance or taken >= steps:
                break
            if not at_rows:
                _residual(state, lines, p, x, nothing, r, z, moved[0])
        currents[0][:] += moved[0]
        fine = tolerance * 0.5 * 0.1**attempt
        some, rate, _ = _descend(state, lines, at_rows, fine, steps - taken, u, w, rooms, x, nothing, currents)
        taken, slowest = taken + some, min(slowest, rate)
    return taken, error


@nb.njit(parallel=True, **_flags)
def solve_all(state, lines, v, c, at_rows, tolerance, steps, chunks, drops, rows, columns, taken, errors):
    """`solve` for every vector: v (B, groups, 16), c (B, m), out rows and columns alike, steps taken and errors (B,).

    Args:
        chunks: of vectors, shared out among the threads. drops: out, voltages across the cells, (B, n, m), or empty to leave them out.
    """
    n, m = len(state[3]), len(state[4])
    size, none = (len(v) + chunks - 1) // chunks, np.empty((0, 0))
    for chunk in nb.prange(chunks):
        u, w = np.empty((n, m)), np.empty((n, m))
        rooms = np.empty((n, m)), np.empty((n, m)), np.empty((n, m)), np.empty((n, m))
        for k in range(chunk * size, min(len(v), (chunk + 1) * size)):
            currents = rows[k], columns[k]
            taken[k], errors[k] = solve(state, lines, v[k], c[k], none, at_rows, tolerance, steps, u, w, rooms, currents)
            if len(drops):
                drops[k] = w - u
