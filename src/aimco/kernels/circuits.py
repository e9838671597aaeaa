"""Resistive networks as compiled loops: operating points of one hidden layer, sample by sample.

The definition is `aimco.circuit.descent` with the laws of `aimco.circuit.elements`; tests hold both equal.
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
_TOGETHER_ABOVE = 250_000  # products: from here waking the other threads pays
FLAGS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
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


@nb.njit(**FLAGS)
def program(g, load, into, known, back, a):
    """What `solve` needs of the second crossbar, with GAIN and OFFSET known: A, LOAD, SHIFT, back and a.

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


@nb.njit(**FLAGS)
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


@nb.njit(**FLAGS)
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


@nb.njit(**FLAGS)
def _inflow(fixed, y, back, shift, b):
    """b = what does not depend on the hidden voltages themselves, A."""
    for j in range(b.size):
        b[j] = fixed[j] - shift[j]
    for k in range(y.size):
        row, v = back[k], y[k]
        for j in range(b.size):
            b[j] += row[j] * v


@nb.njit(**FLAGS)
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


@nb.njit(**FLAGS)
def _solve(law, u, b, known, most, current, slope, tolerance):
    if law != IDEAL:
        return _newton(law, u, b, known, most, current, slope, tolerance)
    for j in range(u.size):
        u[j] = min(max(b[j] / known[A, j], known[LOW, j]), known[HIGH, j])
    return 0.0


@nb.njit(**FLAGS)
def _start(fixed, known, u):
    """A first guess, as if nothing followed, kept where the exponential is not too steep."""
    for j in range(u.size):
        u[j] = min(max(fixed[j] / known[A, j], known[LOW, j] - 0.4), known[HIGH, j] + 0.4)


@nb.njit(**FLAGS)
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


@nb.njit(**FLAGS)
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


@nb.njit(**FLAGS)
def _power(fixed, u, y, back, a, injected, known, b):
    """Power of conductances and diodes, W, beyond what the sources' own voltages squared take: see `ResistiveCircuit.dissipation`."""
    total = 0.0
    _inflow(fixed, y, back, known[SHIFT], b)
    for j in range(u.size):
        drives = known[GAIN, j] * u[j] + known[OFFSET, j]
        total += known[LOAD, j] * (drives * drives - u[j] * u[j]) + (b[j] - 2 * fixed[j]) * u[j]
    for k in range(y.size):
        total += (2 * injected[k] - a[k] * y[k]) * y[k]
    return total


@nb.njit(**FLAGS)
def _solve_sample(n, law, known, back, a, most, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, results):
    """Phase and sample n of `solve`; most: currents of diodes in the middle between their sources."""
    samples, nodes = fixed.shape
    s, (first, last), (node_rounding, given), (q, follows) = n % samples, start, rounding, contraction
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
    results[RESIDUAL, n] = np.inf
    while sweep < steps and not error <= tolerance - min(lost, 0.8 * tolerance):
        sweep += 1
        _inflow(fixed[s], y, back, known[SHIFT], b)
        rest = _solve(law, u, b, known, most, current, slope, exact)
        moved = _outputs(u, known, back, injected[n], a, p, y)
        error = max(q, follows) * moved / (1 - q) + (0.1 * tolerance if rest <= exact else np.inf)
        if error <= tolerance - min(lost, 0.8 * tolerance):
            _inflow(fixed[s], y, back, known[SHIFT], b)
            results[RESIDUAL, n] = _left_over(law, u, b, known, most, current, slope)
            for j in range(nodes):
                b[j] = node_rounding * abs(u[j]) + given * abs(fixed[s, j]) / (known[A, j] + slope[j])
            lost = max(_largest(b), node_rounding * np.max(np.abs(y)))
    results[ERROR, n], results[SWEEPS, n] = error + lost, sweep
    results[POWER, n] = _power(fixed[s], u, y, back, a, injected[n], known, b)
    hidden[n] = u
    outputs[n] = y


@nb.njit(parallel=True, **FLAGS)
def _solve_samples(
    count, known, back, a, most, law, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, results
):
    for n in nb.prange(count):
        _solve_sample(
            n, law, known, back, a, most, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, results
        )  # fmt: skip


@nb.njit(**FLAGS)
def solve(law, known, back, a, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, results):
    """Operating points of one hidden layer by descent, each sample until it has settled.

    A sweep shrinks the largest error of the outputs by `contraction` q at least, so that a sweep that moved them by m leaves q m/(1 - q).
    No node of the hidden layer is farther off than the outputs were, times how far it follows them.

    Args:
        law: of the diodes. known: (FIELDS, nodes). back: G_2 over the gains, transposed, (outputs, nodes). a: of the outputs, S.
        fixed: A, (B, nodes). injected: A, of one phase after the other, (phases x B, outputs). start: voltages of both layers, (B, ...),
            for all phases; empty ones when there is none.
        contraction: q, and the largest move of a hidden node for one of an output. rounding: of a voltage, and of what is fixed.
        steps: most sweeps. hidden, outputs: voltages found, (phases x B, ...). results: error, V, residual, A, sweeps, and power, W,
            less that of the sources' own voltages squared, (FOUND, phases x B).
    """
    most, count = known[SATURATION] * np.exp(-0.5 * (known[HIGH] - known[LOW]) / known[THERMAL]), len(injected)
    if count * known.shape[1] * (a.size + (0 if law == IDEAL else _LAW)) > _TOGETHER_ABOVE:
        _solve_samples(
            count, known, back, a, most, law, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, results
        )  # fmt: skip
        return
    for n in range(count):
        _solve_sample(
            n, law, known, back, a, most, fixed, injected, start, contraction, tolerance, rounding, steps, hidden, outputs, results
        )  # fmt: skip
