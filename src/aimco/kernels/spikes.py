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

from aimco.kernels.lanes import base, hash_add, rough_normal

LEAK, KEEP, TRACE, SYNAPTIC, CONSTANT, REST, NOISE, RESET, KICK, RATE, BIAS_RATE, WEIGHT_NOISE, FIELDS = range(13)
STEPS, QUIET, GATE, DRIVE = range(4)  # columns of the phases
MEMBRANE, BIAS, READ = range(3)  # streams of random words
SIDE = 4  # of a tile
STRIDE = 0x9E3779B9  # between the random words of the neurons that read in one step
LEAST = 1e-4  # trace below which none is left: spikes nine time constants ago
_ZERO, _ONE, _LEAST, _LINE = np.float32(0), np.float32(1), np.float32(LEAST), np.uint32(STRIDE)
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


@intrinsic
def _read_row(typing, tiles, at, current, trace, to, rate):
    """current[to : to + 4] += four weights at `at` in a row; the weights += rate trace[to : to + 4]. Flat float32 arrays."""
    kinds = tiles, current, trace

    def code(context, builder, signature, args):
        tiles, at, current, trace, to, rate = args
        weights, currents, traces = (
            _at(context, builder, kind, array, index, _FOUR)
            for kind, array, index in zip(kinds, (tiles, current, trace), (at, to, to), strict=True)
        )
        w = builder.load(weights, align=4)
        builder.store(builder.fadd(builder.load(currents, align=4), w), currents, align=4)
        change = builder.fmul(_all(builder, rate), builder.load(traces, align=4))
        builder.store(builder.fadd(w, change), weights, align=4)
        return context.get_dummy_value()

    return nb.void(tiles, nb.int64, current, trace, nb.int64, nb.float32), code


@intrinsic
def _read_column(typing, tiles, at, current, trace, to, rate):
    """current[to : to + 4] += four weights of a column, `at` the first; those with a trace += rate trace. Flat float32 arrays."""
    kinds = tiles, current, trace

    def code(context, builder, signature, args):
        tiles, at, current, trace, to, rate = args
        places = [builder.add(at, ir.Constant(at.type, SIDE * k)) for k in range(SIDE)]
        weights = [_at(context, builder, kinds[0], tiles, place, _F32) for place in places]
        currents, traces = (_at(context, builder, kind, array, to, _FOUR) for kind, array in ((kinds[1], current), (kinds[2], trace)))
        w = ir.Constant(_FOUR, ir.Undefined)
        for k, weight in enumerate(weights):
            w = builder.insert_element(w, builder.load(weight), ir.Constant(_I32, k))
        builder.store(builder.fadd(builder.load(currents, align=4), w), currents, align=4)
        change = builder.fmul(_all(builder, rate), builder.load(traces, align=4))
        bits = builder.bitcast(change, ir.IntType(32 * SIDE))
        with cgutils.if_unlikely(builder, builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))):
            new = builder.fadd(w, change)
            for k, weight in enumerate(weights):
                builder.store(builder.extract_element(new, ir.Constant(_I32, k)), weight)
        return context.get_dummy_value()

    return nb.void(tiles, nb.int64, current, trace, nb.int64, nb.float32), code


@nb.njit(inline="always")
def _neuron(i, z, own, v, current, trace, waiting, fired, bias, drive, threshold, rate, hold, likely, biased):
    """One step of neuron i with the noise z: `fired` is 1 where it fires. A bias unit that fires kicks by the bias, and changes it.

    All in float32, as other widths halve the vectors.
    """
    leak, keep, fade, synaptic, still, rest, noise, reset, kick = own
    x = leak * v[i] + synaptic * current[i] + still * drive[i] + rest + noise * z
    free = waiting[i] <= _ZERO
    fires = free & (x > threshold[i])
    v[i] = x if free & (x <= threshold[i]) else reset
    waiting[i] = hold if fires else max(waiting[i] - _ONE, _ZERO)
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
    own = law[LEAK], law[KEEP], law[TRACE], law[SYNAPTIC], law[CONSTANT], law[REST], law[NOISE], law[RESET], law[KICK]
    for i in range(v.size):
        z = rough_normal(hash_add(start, np.uint32(i)))
        _neuron(i, z, own, v, current, trace, waiting, fired, bias, drive, threshold, rate, hold, likely, biased)


@nb.njit(**_flags)
def _walkers(v, current, trace, waiting, fired, bias, drive, threshold, law, rate, hold, likely, start, biased, bits, clocks):
    """The same under random walks."""
    own = law[LEAK], law[KEEP], law[TRACE], law[SYNAPTIC], law[CONSTANT], law[REST], law[NOISE], law[RESET], law[KICK]
    for i in range(v.size):
        z = _walked(hash_add(start, np.uint32(i)), bits, clocks)
        _neuron(i, z, own, v, current, trace, waiting, fired, bias, drive, threshold, rate, hold, likely, biased)


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
def _row(tiles, i, across, current, trace, rate):
    """Row i of the array into the hidden neurons; it learns by their traces."""
    at = (i // SIDE) * across * SIDE * SIDE + (i % SIDE) * SIDE
    for q in range(across):
        _read_row(tiles, at + q * SIDE * SIDE, current, trace, q * SIDE, rate)


@nb.njit(**_flags)
def _column(tiles, j, across, current, trace, rate):
    """Column j of the array into the visible neurons; it learns by their traces."""
    at = (j // SIDE) * SIDE * SIDE + j % SIDE
    for q in range(current.size // SIDE):
        _read_column(tiles, at + q * across * SIDE * SIDE, current, trace, q * SIDE, rate)


@nb.njit(**_flags)
def _noisy(tiles, at, step, current, noise, start):
    """What the noise of weights adds to a read: noise w z, the weights of every fourth place in tiles `step` apart from `at` on."""
    for q in range(current.size):
        w = tiles[at + q // SIDE * step[0] + q % SIDE * step[1]]
        current[q] += noise * w * rough_normal(hash_add(start, np.uint32(q)))


@nb.njit(**_flags)
def _synapses(tiles, across, current, trace, spikes, count, seen, rate, noise, start):
    """What the spikes of one step read and, under a gate, change; `seen` visible neurons, filled up, come first."""
    for k in range(count):
        i = spikes[k]
        visible = i < seen
        own = np.uint32(start + np.uint32(i) * _LINE)
        if visible:
            if noise > _ZERO:
                at = (i // SIDE) * across * SIDE * SIDE + (i % SIDE) * SIDE
                _noisy(tiles, at, (SIDE * SIDE, 1), current[seen:], noise, own)
            _row(tiles, i, across, current[seen:], trace[seen:], rate)
        else:
            if noise > _ZERO:
                at = ((i - seen) // SIDE) * SIDE * SIDE + (i - seen) % SIDE
                _noisy(tiles, at, (across * SIDE * SIDE, SIDE), current[:seen], noise, own)
            _column(tiles, i - seen, across, current[:seen], trace[:seen], rate)


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
    fired, spikes = np.zeros(neurons, np.float32), np.empty(neurons, np.int64)
    bits = np.uint32((np.uint64(1) << np.uint64(clocks)) - np.uint64(1))
    for e in range(members):
        own, now, flat = law[e], first, tiles[e].reshape(-1)
        noise = own[WEIGHT_NOISE]
        for p in range(phases.shape[0]):
            state = v[e], current[e], trace[e], waiting[e], fired, bias[e], drives[e, phases[p, DRIVE]], threshold[e]
            for t in range(phases[p, STEPS]):
                loud = t >= phases[p, QUIET]
                gate = np.float32(phases[p, GATE]) if loud else _ZERO
                words = base(keys[e, MEMBRANE], now), base(keys[e, BIAS], now)
                rest = own, gate * own[BIAS_RATE], np.float32(hold), likely, words[0], words[1]
                if clocks:
                    _walkers(*state, *rest, bits, np.int32(clocks))
                else:
                    _neurons(*state, *rest)
                count = _who(fired, spikes)
                if count:
                    reads = base(keys[e, READ], now) if noise > _ZERO else np.uint32(0)
                    _synapses(flat, across, current[e], trace[e], spikes, count, seen, gate * own[RATE], noise, reads)
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
