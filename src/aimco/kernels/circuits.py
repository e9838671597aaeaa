"""Resistive networks as compiled loops: operating points of one hidden layer, sample by sample, and one pass that learns.

The definitions are `aimco.circuit.descent` with the laws of `aimco.circuit.elements`, and the plain torch form of
`aimco.networks.resistive.Resistive.learn`; tests hold both equal.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

SHOCKLEY, NGSPICE, IDEAL = 0, 1, 2
A, LOAD, LOW, HIGH, SATURATION, THERMAL, GAIN, OFFSET, SHIFT, FIELDS = range(10)  # rows of what is known of the hidden nodes
ERROR, RESIDUAL, SWEEPS, POWER, FOUND = range(5)  # rows of what is found of samples
WIDEST = 300  # n V_t between the middle and the sources of a pair of diodes, that one exponential reaches
_REACH, _LIMIT = 40.0, 3.0  # n V_t beyond the source: of a start, and of a Newton step
_NEWTON = 100
_LAW = 40  # outputs whose product with a hidden node takes as long as its diodes
_TOGETHER_ABOVE, _DRIVE_TOGETHER_ABOVE, _PASS_TOGETHER_ABOVE = 250_000, 4_000_000, 200_000  # products, products, devices: from
# here waking the other threads pays
BLOCKS = 16  # of rows, whose sums are added in order whatever the number of threads
_flags = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
_F64, _I64 = ir.DoubleType(), ir.IntType(64)


@intrinsic
def _two_to(typing, t):
    """Nearest whole number k to t and 2^k, |t| < 1000, without a conversion, for which there is no vector code."""

    def code(context, builder, signature, args):
        magic = ir.Constant(_F64, 1.5 * 2.0**52)
        moved = builder.fadd(args[0], magic)
        bits = builder.shl(builder.bitcast(moved, _I64), ir.Constant(_I64, 52))
        power = builder.bitcast(builder.add(bits, ir.Constant(_I64, 1023 << 52)), _F64)
        return context.make_tuple(builder, signature.return_type, (builder.fsub(moved, magic), power))

    return nb.types.UniTuple(nb.float64, 2)(nb.float64), code


@nb.njit(inline="always")
def _exp(x):
    """e^x in double precision, |x| < 690, relative error below 4e-16 by its series on half a power of two."""
    k, power = _two_to(x * 1.4426950408889634)  # pyright: ignore[reportGeneralTypeIssues]
    f = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    series = 1 / 479001600 + f * (1 / 6227020800)
    series = 1 / 39916800 + f * series
    series = 1 / 3628800 + f * series
    series = 1 / 362880 + f * series
    series = 1 / 40320 + f * series
    series = 1 / 5040 + f * series
    series = 1 / 720 + f * series
    series = 1 / 120 + f * series
    series = 1 / 24 + f * series
    series = 1 / 6 + f * series
    series = 0.5 + f * series
    series = 1.0 + f * series
    return (1.0 + f * series) * power


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _weighted(row, p):
    """sum_j row_j p_j."""
    total = 0.0
    for j in range(p.size):
        total += row[j] * p[j]
    return total


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _sum(row):
    total = 0.0
    for j in range(row.size):
        total += row[j]
    return total


@nb.njit(**_flags)
def program(g, load, into, known, back, a):
    """What `settle` needs of the second crossbar, with GAIN and OFFSET known: A, LOAD, SHIFT, back and a.

    Args:
        g, load: what the second crossbar weighs by, and how much it loads its nodes, S, (nodes, outputs): |g| <= load.
        into: sums of columns of the first crossbar, S.

    Returns:
        How much of a move of the outputs is left after a sweep at most, and how far hidden nodes follow it at most.
    """
    a[:] = 0
    passed, follows = np.empty(into.size), 0.0
    for j in range(into.size):
        turned, out = 1 / known[GAIN, j], 0.0
        for k in range(a.size):
            out += load[j, k]
            a[k] += load[j, k]
            back[k, j] = g[j, k] * turned
        known[A, j], known[LOAD, j], known[SHIFT, j] = into[j] + out, out, known[OFFSET, j] * turned * out
        passed[j] = known[GAIN, j] * out / known[A, j]
        follows = max(follows, turned * out / known[A, j])
    q = 0.0
    for k in range(a.size):
        q = max(q, _weighted(np.abs(back[k]), passed) / a[k])
    return q, follows


@nb.njit(**_flags)
def _shockley(u, known, most, current, slope):
    """Currents of the diodes over I_s exp(-half/(n V_t)), half of the distance of their sources, and slopes."""
    for j in range(u.size):
        e = _exp((u[j] - 0.5 * (known[LOW, j] + known[HIGH, j])) / known[THERMAL, j])
        up, down = most[j] * e, most[j] / e
        current[j] = up - down
        slope[j] = (up + down) / known[THERMAL, j]


@nb.njit(inline="always")
def _one_of_ngspice(v, saturation, thermal):
    forward = _exp(min(max(v / thermal, -5.0), 600.0))
    reverse = v < -3 * thermal
    safe = v if reverse else -3 * thermal
    cubed = 3 * thermal / (safe * 2.718281828459045)
    cubed = cubed * cubed * cubed
    current = -(1 + cubed) if reverse else forward - 1
    slope = 3 * cubed / safe if reverse else forward / thermal
    return saturation * current, saturation * slope


@nb.njit(**_flags)
def _ngspice(u, known, most, current, slope):
    for j in range(u.size):
        up, rise = _one_of_ngspice(u[j] - known[HIGH, j], known[SATURATION, j], known[THERMAL, j])  # pyright: ignore[reportGeneralTypeIssues]
        down, fall = _one_of_ngspice(known[LOW, j] - u[j], known[SATURATION, j], known[THERMAL, j])
        current[j] = up - down
        slope[j] = rise + fall


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _largest(v):
    most = v[0]
    for j in range(v.size):
        most = max(most, v[j])
    return most


@nb.njit(**_flags)
def _inflow(fixed, y, back, shift, b):
    """b = what does not depend on the hidden voltages themselves, A."""
    for j in range(b.size):
        b[j] = fixed[j] - shift[j]
    for k in range(y.size):
        row, v = back[k], y[k]
        for j in range(b.size):
            b[j] += row[j] * v


@nb.njit(**_flags)
def _newton(law, u, b, known, most, current, slope, tolerance):
    """a u + I(u) = b for each node; a step beyond a source is limited. Returns a bound of the error left.

    |I''| < 2 I'/(n V_t), so that a Newton step s leaves less than s^2/(n V_t).
    """
    left = np.inf
    for _ in range(_NEWTON):
        if law == NGSPICE:
            _ngspice(u, known, most, current, slope)
        else:
            _shockley(u, known, most, current, slope)
        for j in range(u.size):
            a, limit = known[A, j], _LIMIT * known[THERMAL, j]
            step = -(a * u[j] + current[j] - b[j]) / (a + slope[j])
            new = u[j] + step
            new = min(new, max(u[j], known[HIGH, j]) + limit)
            u[j] = max(new, min(u[j], known[LOW, j]) - limit)
            current[j] = step * step / known[THERMAL, j]
        left = _largest(current)
        if left <= tolerance:
            break
    return left


@nb.njit(**_flags)
def _solve(law, u, b, known, most, current, slope, tolerance):
    if law != IDEAL:
        return _newton(law, u, b, known, most, current, slope, tolerance)
    for j in range(u.size):
        u[j] = min(max(b[j] / known[A, j], known[LOW, j]), known[HIGH, j])
    return 0.0


@nb.njit(**_flags)
def _start(fixed, known, u):
    """A first guess, as if nothing followed, kept where the exponential is not too steep."""
    for j in range(u.size):
        u[j] = min(max(fixed[j] / known[A, j], known[LOW, j] - 0.4), known[HIGH, j] + 0.4)


@nb.njit(**_flags)
def _outputs(u, known, back, injected, a, p, y):
    """Voltages of the outputs; returns the largest move."""
    for j in range(u.size):
        gain = known[GAIN, j]
        p[j] = gain * (gain * u[j] + known[OFFSET, j])
    moved = 0.0
    for k in range(y.size):
        new = (_weighted(back[k], p) + injected[k]) / a[k]
        moved = max(moved, abs(new - y[k]))
        y[k] = new
    return moved


@nb.njit(**_flags)
def _left_over(law, u, b, known, most, current, slope):
    """Largest current left over at a hidden node, A, and slopes of the diodes; nodes held by an ideal one have none left over."""
    if law == NGSPICE:
        _ngspice(u, known, most, current, slope)
    elif law == SHOCKLEY:
        _shockley(u, known, most, current, slope)
    for j in range(u.size):
        rest = b[j] - known[A, j] * u[j]
        if law != IDEAL:
            rest -= current[j]
        else:
            free = known[LOW, j] < u[j] < known[HIGH, j]
            rest = rest if free else 0.0
            slope[j] = 0.0 if free else np.inf
        current[j] = abs(rest)
    return _largest(current)


@nb.njit(**_flags)
def _power(fixed, u, y, back, a, injected, known, b):
    """Power of conductances and diodes, W, beyond what the sources' own voltages squared take: see `Layered.dissipation`."""
    total = 0.0
    _inflow(fixed, y, back, known[SHIFT], b)
    for j in range(u.size):
        drives = known[GAIN, j] * u[j] + known[OFFSET, j]
        total += known[LOAD, j] * (drives * drives - u[j] * u[j]) + (b[j] - 2 * fixed[j]) * u[j]
    for k in range(y.size):
        total += (2 * injected[k] - a[k] * y[k]) * y[k]
    return total


@nb.njit(**_flags)
def _settle_one(n, law, known, back, a, most, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, found):
    """Phase and sample n of `settle`; most: currents of diodes in the middle between their sources."""
    samples, nodes = fixed.shape
    s, (first, last), (own, given), (q, follows) = n % samples, start, rounding, contraction
    exact = 0.1 * tolerance * (1 - q) / (1 + _largest(known[GAIN]))
    work = np.empty((5, nodes))
    u, b, current, slope, p = work[0], work[1], work[2], work[3], work[4]
    y = np.zeros(a.size)
    if len(first):
        y[:] = last[s]
        for j in range(nodes):
            reach = _REACH * known[THERMAL, j]
            u[j] = min(max(first[s, j], known[LOW, j] - reach), known[HIGH, j] + reach)
    else:
        _start(fixed[s], known, u)
        _outputs(u, known, back, injected[n], a, p, y)
    error, lost, sweep = np.inf, 0.0, 0
    found[RESIDUAL, n] = np.inf
    while sweep < steps and not error <= tolerance - min(lost, 0.8 * tolerance):
        sweep += 1
        _inflow(fixed[s], y, back, known[SHIFT], b)
        rest = _solve(law, u, b, known, most, current, slope, exact)
        moved = _outputs(u, known, back, injected[n], a, p, y)
        error = max(q, follows) * moved / (1 - q) + (0.1 * tolerance if rest <= exact else np.inf)
        if error <= tolerance - min(lost, 0.8 * tolerance):
            _inflow(fixed[s], y, back, known[SHIFT], b)
            found[RESIDUAL, n] = _left_over(law, u, b, known, most, current, slope)
            for j in range(nodes):
                b[j] = own * abs(u[j]) + given * abs(fixed[s, j]) / (known[A, j] + slope[j])
            lost = max(_largest(b), own * np.max(np.abs(y)))
    found[ERROR, n], found[SWEEPS, n] = error + lost, sweep
    found[POWER, n] = _power(fixed[s], u, y, back, a, injected[n], known, b)
    hidden[n] = u
    outputs[n] = y


@nb.njit(parallel=True, **_flags)
def _settle_together(
    count, known, back, a, most, law, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, found
):
    for n in nb.prange(count):
        _settle_one(
            n, law, known, back, a, most, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, found
        )  # fmt: skip


@nb.njit(**_flags)
def settle(law, known, back, a, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, found):
    """Operating points of one hidden layer by descent, each sample until it has settled.

    A sweep shrinks the largest error of the outputs by `contraction` q at least, so that a sweep that moved them by m leaves q m/(1 - q).
    No node of the hidden layer is farther off than the outputs were, times how far it follows them.

    Args:
        law: of the diodes. known: (FIELDS, nodes). back: G_2 over the gains, transposed, (outputs, nodes). a: of the outputs, S.
        fixed: A, (B, nodes). injected: A, of one phase after the other, (phases x B, outputs). start: voltages of both layers, (B, ...),
            for all phases; empty ones when there is none.
        contraction: q, and the largest move of a hidden node for one of an output. rounding: of a voltage, and of what is fixed.
        steps: most sweeps. hidden, outputs: voltages found, (phases x B, ...). found: error, V, residual, A, sweeps, and power, W,
            less that of the sources' own voltages squared, (FOUND, phases x B).
    """
    most, count = known[SATURATION] * np.exp(-0.5 * (known[HIGH] - known[LOW]) / known[THERMAL]), len(injected)
    if count * known.shape[1] * (a.size + (0 if law == IDEAL else _LAW)) > _TOGETHER_ABOVE:
        _settle_together(
            count, known, back, a, most, law, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, found
        )  # fmt: skip
        return
    for n in range(count):
        _settle_one(
            n, law, known, back, a, most, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, found
        )  # fmt: skip


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


@nb.njit(**_flags)
def _drive_one(x, difference, common, fixed):
    fixed[:] = common
    _add_lit(x, np.empty(x.size + 1, np.int64), difference, fixed)


@nb.njit(parallel=True, **_flags)
def _drive_together(x, difference, common, fixed):
    for n in nb.prange(len(x)):
        _drive_one(x[n], difference, common, fixed[n])


@nb.njit(**_flags)
def drive(x, difference, common, fixed):
    """fixed = x difference + common by what of x is not 0: x (B, inputs), difference (inputs, nodes).

    Products are in the precision of x and difference, four of them too; their sum is in double precision.
    """
    if x.size * difference.shape[1] > _DRIVE_TOGETHER_ABOVE:
        _drive_together(x, difference, common, fixed)
        return
    for n in range(len(x)):
        _drive_one(x[n], difference, common, fixed[n])


@nb.njit(**_flags)
def _learn_block(block, g, difference, product, x, moves, common, step, twist, low, high, sums, taken):
    n, columns = difference.shape
    sums[block] = 0
    own, row, lit = np.empty(len(x)), np.empty(columns), np.empty(len(x) + 1, np.int64)
    for i in range(block * n // BLOCKS, (block + 1) * n // BLOCKS):
        if len(product):
            for j in range(columns):
                row[j] = product[i, j]
        else:
            row[:] = 0
            for sample in range(len(x)):
                own[sample] = x[sample, i]
            _add_lit(own, lit, moves, row)
        for j in range(columns):
            move = twist * row[j]
            up, down = g[i, j] - (step * common[j] + move), g[n + i, j] - (step * common[j] - move)
            up = low if up < low else (high if up > high else up)
            down = low if down < low else (high if down > high else down)
            g[i, j], g[n + i, j], difference[i, j] = up, down, up - down
            sums[block, j] += up + down
        taken[i] = _sum(g[i]) + _sum(g[n + i])


@nb.njit(parallel=True, **_flags)
def _learn_together(g, difference, product, x, moves, common, step, twist, low, high, sums, taken):
    for block in nb.prange(BLOCKS):
        _learn_block(block, g, difference, product, x, moves, common, step, twist, low, high, sums, taken)


@nb.njit(**_flags)
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


@nb.njit(**_flags)
def slopes(u, y, w, z, known, rates, common, move, moved, second):
    """Differences of the squares of the voltages across devices in two states (u, y) and (w, z), times the rate of each crossbar.

    With p = A u + o before the second crossbar, q likewise: second = (y + z)(y - z) + (p + q)(p - q) - (p + q)(y - z) - (p - q)(y + z).

    Args:
        u, w: of hidden nodes, (B, nodes). y, z: of outputs, (B, outputs). known: as in `settle`. common: (u + w)(u - w), (nodes,).
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


@nb.njit(**_flags)
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
