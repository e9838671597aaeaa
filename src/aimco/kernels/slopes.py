"""What a resistive network learns by as compiled loops: currents from the sources, slopes of two states, and one pass that changes it.

The definitions are the plain torch forms of `aimco.resistive.network` and `aimco.learning.equilibrium`; tests hold both equal.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from aimco.kernels.circuits import FLAGS, GAIN, OFFSET, program

_DRIVE_TOGETHER_ABOVE, _PASS_TOGETHER_ABOVE = 4_000_000, 200_000  # products, devices: from here waking the other threads pays
BLOCKS = 16  # of rows, whose sums are added in order whatever the number of threads


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _sum(row):
    total = 0.0
    for j in range(row.size):
        total += row[j]
    return total


@nb.njit(inline="always")
def _add_lit(x, lit, rows, total):
    """total += sum_i x_i rows_i over those i where x_i is not 0, four at a time; lit: room for their numbers, one more than there are."""
    count, k = 0, 0
    for i in range(x.size):
        lit[count] = i
        count += x[i] != 0
    while k + 4 <= count:
        i, j, m, n = lit[k], lit[k + 1], lit[k + 2], lit[k + 3]
        p, q, r, s = x[i], x[j], x[m], x[n]
        at_i, at_j, at_m, at_n = rows[i], rows[j], rows[m], rows[n]
        for column in range(total.size):
            total[column] += p * at_i[column] + q * at_j[column] + r * at_m[column] + s * at_n[column]
        k += 4
    while k < count:
        at, p = rows[lit[k]], x[lit[k]]
        for column in range(total.size):
            total[column] += p * at[column]
        k += 1


@nb.njit(**FLAGS)
def _drive_one(x, difference, common, fixed):
    fixed[:] = common
    _add_lit(x, np.empty(x.size + 1, np.int64), difference, fixed)


@nb.njit(parallel=True, **FLAGS)
def _drive_together(x, difference, common, fixed):
    for n in nb.prange(len(x)):
        _drive_one(x[n], difference, common, fixed[n])


@nb.njit(**FLAGS)
def drive(x, difference, common, fixed):
    """fixed = x difference + common by what of x is not 0: x (B, inputs), difference (inputs, nodes).

    Products are in the precision of x and difference, four of them too; their sum is in double precision.
    """
    if x.size * difference.shape[1] > _DRIVE_TOGETHER_ABOVE:
        _drive_together(x, difference, common, fixed)
        return
    for n in range(len(x)):
        _drive_one(x[n], difference, common, fixed[n])


@nb.njit(**FLAGS)
def _learn_block(block, g, difference, product, x, moves, common, step, twist, low, high, sums, taken):
    n, columns = difference.shape
    sums[block] = 0
    inputs, row, lit = np.empty(len(x)), np.empty(columns), np.empty(len(x) + 1, np.int64)
    for i in range(block * n // BLOCKS, (block + 1) * n // BLOCKS):
        if len(product):
            for j in range(columns):
                row[j] = product[i, j]
        else:
            row[:] = 0
            for sample in range(len(x)):
                inputs[sample] = x[sample, i]
            _add_lit(inputs, lit, moves, row)
        for j in range(columns):
            move = twist * row[j]
            up, down = g[i, j] - (step * common[j] + move), g[n + i, j] - (step * common[j] - move)
            up = low if up < low else (high if up > high else up)
            down = low if down < low else (high if down > high else down)
            g[i, j], g[n + i, j], difference[i, j] = up, down, up - down
            sums[block, j] += up + down
        taken[i] = _sum(g[i]) + _sum(g[n + i])


@nb.njit(parallel=True, **FLAGS)
def _learn_together(g, difference, product, x, moves, common, step, twist, low, high, sums, taken):
    for block in nb.prange(BLOCKS):
        _learn_block(block, g, difference, product, x, moves, common, step, twist, low, high, sums, taken)


@nb.njit(**FLAGS)
def learn_doubled(g, difference, product, x, moves, common, bias, step, twist, low, high, sums, taken):
    """One pass over a crossbar whose rows are driven by x, -x and 1: G <- G - (step common +- twist x^T d), within the window.

    Args:
        g: S, (2 n + 1, columns), in place. difference: G+ - G-, made anew, (n, columns). product: x^T d, (n, columns), or empty: then
            it is found on the way of x, (B, n), by what of it is not 0, and of moves: d, (B, columns).
        common, bias: of each column; bias is what product would be in the last row. low, high: window, S.
        sums: of columns, in BLOCKS parts, S. taken: new sums of the rows that x^2 weighs by, then of the last one, S, (n + 1,).
    """
    if difference.size > _PASS_TOGETHER_ABOVE:
        _learn_together(g, difference, product, x, moves, common, step, twist, low, high, sums, taken)
    else:
        for block in range(BLOCKS):
            _learn_block(block, g, difference, product, x, moves, common, step, twist, low, high, sums, taken)
    for j in range(difference.shape[1]):
        last = g[len(g) - 1, j] - (step * common[j] + twist * bias[j])
        last = low if last < low else (high if last > high else last)
        g[len(g) - 1, j] = last
        sums[0, j] += last
    taken[len(difference)] = _sum(g[len(g) - 1])


@nb.njit(**FLAGS)
def slopes(u, y, w, z, known, rates, common, move, moved, second):
    """Differences of the squares of the voltages across devices in two states (u, y) and (w, z), times the rate of each crossbar.

    With p = A u + o before the second crossbar, q likewise: second = (y + z)(y - z) + (p + q)(p - q) - (p + q)(y - z) - (p - q)(y + z).

    Args:
        u, w: of hidden nodes, (B, nodes). y, z: of outputs, (B, outputs). known: as `aimco.kernels.circuits.solve` takes it.
        common: (u + w)(u - w), (nodes,).
        move: u - w, (B, nodes). moved: its sum over the batch. second: (nodes, outputs).
    """
    common[:], moved[:], second[:] = 0, 0, 0
    for n in range(len(u)):
        for j in range(u.shape[1]):
            both, move[n, j] = u[n, j] + w[n, j], u[n, j] - w[n, j]
            common[j] += rates[0] * both * move[n, j]
            moved[j] += move[n, j]
            p, q = known[GAIN, j] * both + 2 * known[OFFSET, j], known[GAIN, j] * move[n, j]
            for k in range(y.shape[1]):
                second[j, k] += rates[1] * (q - (y[n, k] - z[n, k])) * (p - (y[n, k] + z[n, k]))


@nb.njit(**FLAGS)
def learn(g, difference, second, product, x, moves, common, bias, other, step, twist, other_step, low, high, into, taken, known, back, a):
    """`learn_doubled`, the same for a second crossbar, and `program` of what came out.

    Args:
        second: S, (nodes, outputs), in place; other: its slopes; other_step: of them. into: new sums of columns of the first crossbar, S.
        Others as in `learn_doubled` and `program`, whose result is returned.
    """
    sums = np.empty((BLOCKS, into.size))
    learn_doubled(g, difference, product, x, moves, common, bias, step, twist, low, high, sums, taken)
    into[:] = 0
    for block in range(BLOCKS):
        for j in range(into.size):
            into[j] += sums[block, j]
    for j in range(second.shape[0]):
        for k in range(second.shape[1]):
            new = second[j, k] - other_step * other[j, k]
            second[j, k] = low if new < low else (high if new > high else new)
    return program(second, second, into, known, back, a)
