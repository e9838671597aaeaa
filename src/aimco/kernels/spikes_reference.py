"""The plain definition of `aimco.kernels.spikes.run`: the same draws, neuron by neuron and synapse by synapse."""

from __future__ import annotations

import numpy as np

from aimco import rng
from aimco.kernels import spikes as k

_f = np.float32


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
    """As `aimco.kernels.spikes.run`."""
    seen, hidden = tiles.shape[1] * k.SIDE, tiles.shape[2] * k.SIDE
    weights = k.untiled(tiles, seen, hidden)
    for e in range(len(v)):
        now = first
        for p, (steps, quiet, gate, drive) in enumerate(phases):
            for t in range(steps):
                g = _f(gate if t >= quiet else 0)
                state = bias[e], v[e], current[e], trace[e], waiting[e]
                fired = _neurons(
                    *state, threshold[e], drives[e, drive], law[e], g * law[e, k.BIAS_RATE], hold, clocks, likely, keys[e], now
                )
                squares = np.zeros_like(current[e])
                for i in np.flatnonzero(fired):
                    _synapse(weights[e], current[e], squares, trace[e], i, seen, g * law[e, k.RATE])
                if law[e, k.WEIGHT_NOISE] > 0:
                    words = rng.hash32(np.arange(len(squares), dtype=np.uint32) + np.uint32(rng.base(int(keys[e, k.READ]), now)))
                    current[e] += law[e, k.WEIGHT_NOISE] * np.sqrt(squares) * rng.rough_normal(words)
                trace[e, fired] += 1
                counts[e, p] += fired & (t >= quiet)
                events[e] += fired[:seen].sum(), fired[seen:].sum()
                for i in np.flatnonzero(fired):
                    if marked[e] < raster.shape[1]:
                        raster[e, marked[e]] = now, i
                    marked[e] += 1
                now += 1
    tiles[:] = k.tiled(weights)


def _neurons(bias, v, current, trace, waiting, threshold, drive, law, rate, hold, clocks, likely, keys, now):
    """One step of all neurons and of their bias units; returns who fired."""
    elements = np.arange(v.size, dtype=np.uint32)
    words, biased = (rng.hash32(elements + np.uint32(rng.base(int(keys[s]), now))) for s in (k.MEMBRANE, k.BIAS))
    z = _f(2) * np.bitwise_count(words & np.uint32(2**clocks - 1)) - _f(clocks) if clocks else rng.rough_normal(words)
    x = law[k.LEAK] * v + law[k.SYNAPTIC] * current + law[k.CONSTANT] * drive + law[k.REST] + law[k.NOISE] * z
    free = waiting <= 0
    fired = free & (x > threshold)
    v[:] = np.where(free & ~fired, x, law[k.RESET])
    waiting[:] = np.where(fired, hold, np.maximum(waiting - 1, 0))
    trace *= law[k.TRACE]
    trace[trace <= _f(k.LEAST)] = 0
    hit = (biased < np.uint32(likely)).astype(_f)
    current[:] = law[k.KEEP] * current + hit * law[k.KICK] * bias
    bias += hit * rate * trace
    return fired


def _synapse(weights, current, squares, trace, i, seen, rate):
    """What a spike of neuron i reads and changes: its row if it is visible, else its column."""
    line, to = (weights[i], slice(seen, None)) if i < seen else (weights[:, i - seen], slice(0, seen))
    current[to] += line
    squares[to] += line**2
    line += rate * trace[to]
