"""Event-driven contrastive divergence as a compiled loop: spiking neurons of two layers around one stored array, sparse in spikes.

A spike of a visible neuron reads its row of the array into all hidden neurons, one of a hidden neuron its column into all visible ones.
Under a gate g = +1 or -1 each spike also changes what it read, by g rate times the traces of the other side. Currents are in units of
1/beta, so that weights and biases have none. The array lies in memory as tiles of 4 x 4, a cache line each, since it is read both ways.
The plain definition is `aimco.kernels.spikes_reference`; tests hold both equal.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from aimco.kernels.intrinsics import base, hash_add, rough_normal

LEAK, KEEP, TRACE, SYNAPTIC, CONSTANT, REST, NOISE, RESET, KICK, RATE, BIAS_RATE, WEIGHT_NOISE, FIELDS = range(13)
STEPS, QUIET, GATE, DRIVE = range(4)  # columns of the phases
MEMBRANE, BIAS, READ = range(3)  # streams of random words
SIDE = 4  # of a tile
LEAST = 1e-4  # trace below which none is left: spikes nine time constants ago
_ZERO, _ONE, _LEAST = np.float32(0), np.float32(1), np.float32(LEAST)
_flags = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
_I32, _F32 = ir.IntType(32), ir.FloatType()
_FOUR = ir.VectorType(_F32, SIDE)


def tiled(weights: np.ndarray) -> np.ndarray:
    """Weights (E, V, H) as tiles (E, V/4, H/4, 4, 4), filled up with zeros."""
    members, visible, hidden = weights.shape
    full = np.zeros((members, visible + -visible % SIDE, hidden + -hidden % SIDE), np.float32)
    full[:, :visible, :hidden] = weights
    cut = full.reshape(members, full.shape[1] // SIDE, SIDE, full.shape[2] // SIDE, SIDE)
    return np.ascontiguousarray(cut.transpose(0, 1, 3, 2, 4))


def untiled(tiles: np.ndarray, visible: int, hidden: int) -> np.ndarray:
    """Weights (E, V, H) of tiles."""
    members, down, across = tiles.shape[:3]
    return tiles.transpose(0, 1, 3, 2, 4).reshape(members, down * SIDE, across * SIDE)[:, :visible, :hidden].copy()


@intrinsic
def _walked(typing, h, bits, clocks):
    """Ups less downs of a random walk: twice the set bits of h & bits, less the clocks."""

    def code(context, builder, signature, args):
        h, bits, clocks = args
        ups = builder.ctpop(builder.and_(h, bits))
        return builder.sitofp(builder.sub(builder.shl(ups, ir.Constant(_I32, 1)), clocks), _F32)

    return nb.float32(nb.uint32, nb.uint32, nb.int32), code


@intrinsic
def _below(typing, h, likely):
    """h < likely, in 32 bits."""
    return nb.boolean(nb.uint32, nb.uint32), lambda context, builder, signature, args: builder.icmp_unsigned("<", *args)


def _at(context, builder, kind, array, index, wanted):
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), wanted.as_pointer())


def _all(builder, value):
    spread = ir.Constant(_FOUR, ir.Undefined)
    for k in range(SIDE):
        spread = builder.insert_element(spread, value, ir.Constant(_I32, k))
    return spread


def _add(context, builder, kind, array, to, value):
    place = _at(context, builder, kind, array, to, _FOUR)
    builder.store(builder.fadd(builder.load(place, align=4), value), place, align=4)


@intrinsic
def _read_row(typing, tiles, at, current, squares, trace, to, rate):
    """current[to : to + 4] += four weights at `at` in a row, squares, where there are any, += their squares; the weights += rate trace.

    Flat float32 arrays.
    """

    def code(context, builder, signature, args):
        array, at, into, squared, traced, to, rate = args
        place = _at(context, builder, tiles, array, at, _FOUR)
        w = builder.load(place, align=4)
        _add(context, builder, current, into, to, w)
        if squares != nb.none:
            _add(context, builder, squares, squared, to, builder.fmul(w, w))
        change = builder.fmul(_all(builder, rate), builder.load(_at(context, builder, trace, traced, to, _FOUR), align=4))
        builder.store(builder.fadd(w, change), place, align=4)
        return context.get_dummy_value()

    return nb.void(tiles, nb.int64, current, squares, trace, nb.int64, nb.float32), code


@intrinsic
def _read_column(typing, tiles, at, current, squares, trace, to, rate):
    """The same for four weights of a column, `at` the first; those with a trace are changed."""

    def code(context, builder, signature, args):
        array, at, into, squared, traced, to, rate = args
        places = [builder.add(at, ir.Constant(at.type, SIDE * k)) for k in range(SIDE)]
        weights = [_at(context, builder, tiles, array, place, _F32) for place in places]
        w = ir.Constant(_FOUR, ir.Undefined)
        for k, weight in enumerate(weights):
            w = builder.insert_element(w, builder.load(weight), ir.Constant(_I32, k))
        _add(context, builder, current, into, to, w)
        if squares != nb.none:
            _add(context, builder, squares, squared, to, builder.fmul(w, w))
        change = builder.fmul(_all(builder, rate), builder.load(_at(context, builder, trace, traced, to, _FOUR), align=4))
        bits = builder.bitcast(change, ir.IntType(32 * SIDE))
        with cgutils.if_unlikely(builder, builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))):
            new = builder.fadd(w, change)
            for k, weight in enumerate(weights):
                builder.store(builder.extract_element(new, ir.Constant(_I32, k)), weight)
        return context.get_dummy_value()

    return nb.void(tiles, nb.int64, current, squares, trace, nb.int64, nb.float32), code


@nb.njit(inline="always")
def _neuron(i, z, coefficients, v, current, trace, waiting, fired, bias, drive, threshold, rate, hold, likely, biased):
    """One step of neuron i with the noise z: `fired` is 1 where it fires. A bias unit that fires kicks by the bias, and changes it.

    All in float32, as other widths halve the vectors.
    """
    leak, keep, fade, synaptic, still, rest, noise, reset, kick = coefficients
    x = leak * v[i] + synaptic * current[i] + still * drive[i] + rest + noise * z
    free = waiting[i] <= _ZERO
    fires = free & (x > threshold[i])
    v[i] = x if free & (x <= threshold[i]) else reset
    left = waiting[i] - _ONE
    waiting[i] = hold if fires else (left if left > _ZERO else _ZERO)
    fired[i] = _ONE if fires else _ZERO
    hit = _ONE if _below(hash_add(biased, np.uint32(i)), likely) else _ZERO
    traced = trace[i] * fade
    traced = traced if traced > _LEAST else _ZERO
    current[i] = keep * current[i] + hit * kick * bias[i]
    bias[i] += hit * rate * traced
    trace[i] = traced


@nb.njit(**_flags)
def _neurons(v, current, trace, waiting, fired, bias, drive, threshold, law, rate, hold, likely, start, biased):
    """One step of all neurons under normal noise."""
    coefficients = law[LEAK], law[KEEP], law[TRACE], law[SYNAPTIC], law[CONSTANT], law[REST], law[NOISE], law[RESET], law[KICK]
    for i in range(v.size):
        z = rough_normal(hash_add(start, np.uint32(i)))
        _neuron(i, z, coefficients, v, current, trace, waiting, fired, bias, drive, threshold, rate, hold, likely, biased)


@nb.njit(**_flags)
def _walkers(v, current, trace, waiting, fired, bias, drive, threshold, law, rate, hold, likely, start, biased, bits, clocks):
    """The same under random walks."""
    coefficients = law[LEAK], law[KEEP], law[TRACE], law[SYNAPTIC], law[CONSTANT], law[REST], law[NOISE], law[RESET], law[KICK]
    for i in range(v.size):
        z = _walked(hash_add(start, np.uint32(i)), bits, clocks)
        _neuron(i, z, coefficients, v, current, trace, waiting, fired, bias, drive, threshold, rate, hold, likely, biased)


@nb.njit(**_flags)
def _who(fired, spikes):
    """Indices of those that fired, four neurons looked at together."""
    count = 0
    words = fired.view(np.uint64)
    for k in range(0, words.size, 2):
        if words[k] | words[k + 1]:
            for i in range(2 * k, 2 * k + 4):
                if fired[i] != _ZERO:
                    spikes[count] = i
                    count += 1
    return count


@nb.njit(**_flags)
def _row(tiles, i, across, current, squares, trace, seen, rate):
    """Row i of the array into the hidden neurons; it learns by their traces."""
    at = (i // SIDE) * across * SIDE * SIDE + (i % SIDE) * SIDE
    for q in range(across):
        _read_row(tiles, at + q * SIDE * SIDE, current, squares, trace, seen + q * SIDE, rate)


@nb.njit(**_flags)
def _column(tiles, j, across, current, squares, trace, seen, rate):
    """Column j of the array into the visible neurons; it learns by their traces."""
    at = (j // SIDE) * SIDE * SIDE + j % SIDE
    for q in range(seen // SIDE):
        _read_column(tiles, at + q * across * SIDE * SIDE, current, squares, trace, q * SIDE, rate)


@nb.njit(**_flags)
def _synapses(tiles, across, current, squares, trace, spikes, count, seen, rate):
    """What the spikes of one step read and, under a gate, change; `seen` visible neurons, filled up, come first."""
    for k in range(count):
        i = spikes[k]
        if i < seen:
            _row(tiles, i, across, current, squares, trace, seen, rate)
        else:
            _column(tiles, i - seen, across, current, squares, trace, seen, rate)


@nb.njit(**_flags)
def _noises(current, squares, noise, start):
    """Noise of the weights that one step has read: the sum of independent noises w s z is s sqrt(sum w^2) z, one draw for a neuron."""
    for q in range(current.size):
        current[q] += noise * np.sqrt(squares[q]) * rough_normal(hash_add(start, np.uint32(q)))
        squares[q] = _ZERO


@nb.njit(**_flags)
def run(
    tiles,
    bias,
    v,
    current,
    trace,
    waiting,
    threshold,
    drives,
    phases,
    law,
    hold,
    clocks,
    likely,
    keys,
    first,
    counts,
    raster,
    marked,
    events,
):
    """Let the machines of an ensemble run through phases.

    Args:
        tiles: weights (E, V/4, H/4, 4, 4), see `tiled`. bias, v, current, trace, waiting, threshold: (E, N), N = V + H filled up, the
            visible first, all float32; those that fill up have an infinite threshold.
        drives: constant currents, (E, D, N). phases: (P, 4) int64: steps; steps at the start that neither learn nor are counted; gate +1,
            -1 or 0; which drive. law: coefficients by the names above, (E, FIELDS); REST is what the rest current does in a step, V.
        hold: steps of the refractory time less one. clocks: of the random walk in a step, 0 for normal noise.
        likely: chance of a spike of a bias unit in a step, times 2^32. keys: (E, 3) uint64, of membranes, bias units and reads.
        first: number of the first step, for the draws. counts: out, spikes after the quiet steps, (E, P, N) int32.
        raster: out, (step, neuron) of each spike, (E, R, 2) int64, as many as it holds. marked: in and out, how many there were, (E,).
        events: out, all spikes of visible and of hidden neurons, (E, 2) int64.
    """
    members, neurons = v.shape
    seen, across = tiles.shape[1] * SIDE, tiles.shape[2]
    fired, squares, spikes = np.zeros(neurons, np.float32), np.zeros(neurons, np.float32), np.empty(neurons, np.int64)
    bits = np.uint32((np.uint64(1) << np.uint64(clocks)) - np.uint64(1))
    for e in range(members):
        coefficients, now, flat = law[e], first, tiles[e].reshape(-1)
        noise = coefficients[WEIGHT_NOISE]
        for p in range(phases.shape[0]):
            state = v[e], current[e], trace[e], waiting[e], fired, bias[e], drives[e, phases[p, DRIVE]], threshold[e]
            for t in range(phases[p, STEPS]):
                loud = t >= phases[p, QUIET]
                gate = np.float32(phases[p, GATE]) if loud else _ZERO
                words = base(keys[e, MEMBRANE], now), base(keys[e, BIAS], now)
                rest = coefficients, gate * coefficients[BIAS_RATE], np.float32(hold), likely, words[0], words[1]
                if clocks:
                    _walkers(*state, *rest, bits, np.int32(clocks))
                else:
                    _neurons(*state, *rest)
                count = _who(fired, spikes)
                if count:
                    if noise > _ZERO:
                        _synapses(flat, across, current[e], squares, trace[e], spikes, count, seen, gate * coefficients[RATE])
                        _noises(current[e], squares, noise, base(keys[e, READ], now))
                    else:
                        _synapses(flat, across, current[e], None, trace[e], spikes, count, seen, gate * coefficients[RATE])
                    for k in range(count):
                        trace[e, spikes[k]] += _ONE
                        events[e, 0 if spikes[k] < seen else 1] += 1
                        if loud:
                            counts[e, p, spikes[k]] += 1
                        if marked[e] < raster.shape[1]:
                            raster[e, marked[e], 0], raster[e, marked[e], 1] = now, spikes[k]
                        marked[e] += 1
                now += 1


@nb.njit(**_flags)
def fill(tiles, plus, minus, least, scale):
    """Tiles of the weights of pairs, scale (g+ - g-): states (E, V, H) of both devices, each at least `least`, which is 0 S."""
    members, visible, hidden = plus.shape
    for e in range(members):
        for q in range(0, hidden, SIDE):
            for p in range(0, visible, SIDE):
                tile = tiles[e, p // SIDE, q // SIDE]
                for j in range(q, min(q + SIDE, hidden)):
                    for i in range(p, min(p + SIDE, visible)):
                        a, b = plus[e, i, j], minus[e, i, j]
                        tile[i % SIDE, j % SIDE] = scale * ((a if a > least else least) - (b if b > least else least))


@nb.njit(**_flags)
def asked(before, after, step, most, key, number, pulses):
    """Pulses that make the changes of one phase on average: |after - before| / step, rounded at random, at most `most`.

    Args:
        before, after: tiles of one machine, (V/4, H/4, 4, 4). step: weight change of one pulse. key, number: of the draws.
        pulses: out, (V, H) int32.
    """
    start = base(key, number)
    for i in range(pulses.shape[0]):
        for j in range(pulses.shape[1]):
            at = i // SIDE, j // SIDE, i % SIDE, j % SIDE
            wanted = abs(after[at] - before[at]) / step
            pulses[i, j] = 0
            if wanted > _ZERO:
                draw = np.float32(hash_add(start, np.uint32(i * pulses.shape[1] + j)) >> np.uint32(8)) * np.float32(2.0**-24)
                pulses[i, j] = min(np.int32(wanted + draw), most)
