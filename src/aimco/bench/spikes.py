"""Spiking machines."""

from __future__ import annotations

import functools
import statistics
import time

import torch

from aimco.bench.timing import OnCase, median, row
from aimco.design import Design
from aimco.peers.spikes import brian2
from aimco.plain_data import PlainData
from aimco.spiking.machine import SpikingBoltzmannMachine


def rbm(on_case: OnCase, peer: str | None = None) -> list[PlainData]:
    """Spiking machine of 824 by 500 neurons, 100 ms of data and 100 of reconstruction in steps of 0.1 ms, ms of the processor per sample.

    Brian2 tells its time so, too.
    """
    draws = torch.Generator().manual_seed(0)
    x, labels = (torch.rand(5, 784, generator=draws) < 0.19).float(), torch.arange(5)
    rows: list[PlainData] = []
    for name, noise in (("ideal", "white"), ("ideal", "random-walk"), ("ideal", "device"), ("pair", "white"), ("pair", "device")):
        case = f"event-driven-contrastive-divergence/{name}/{noise}/824x500"
        on_case(case)
        fields: PlainData = {
            "device": "pcm" if name == "pair" else "ideal",
            "cell": {"kind": "pair6t2r", "refresh_every": 1000},
            "network": {"kind": "spiking-rbm", "spiking": {"phase_s": 0.1, "burn_in_s": 0.01, "neuron": {"noise": noise}}},
            "rule": {"kind": "contrastive-divergence", "update_mode": "set" if name == "pair" else "ideal", "lr": 0.01, "max_pulses": 2},
        }
        network = SpikingBoltzmannMachine(Design.of(fields), 784, 10)
        if peer is not None and not rows:
            on_case(f"{case}, and in Brian2, which compiles first")
            rows += _beside_brian2(case, peer, network, x, labels)
            continue
        work = functools.partial(network.learn_from, x, labels, 0.01)
        ours = median(work, runs=7, warm=1, clock=time.process_time) * 1e3 / len(x)
        other, theirs = ("ideal weights, white noise", rows[0]["value"]) if rows else ("the time that it simulates", 200.0)
        rows.append(row(case, ours, "ms/sample", other, theirs))
    return rows


def _beside_brian2(case: str, peer: str, network: SpikingBoltzmannMachine, x: torch.Tensor, labels: torch.Tensor) -> list[PlainData]:
    """Beside the time that it simulates and beside Brian2, in turn with ours."""
    times, scale = [], 1e3 / len(x)
    with brian2(peer, network.machine, network.clamped(x, labels), 0.01) as again:
        first = again()
        for _ in range(7):
            ours = median(lambda: network.learn_from(x, labels, 0.01), runs=3, warm=1, clock=time.process_time)
            times.append((ours * scale, again().seconds * scale))
    ours, theirs = (statistics.median(t) for t in zip(*times, strict=True))
    name = f"Brian2 {first.version}, C++ standalone"
    return [row(case, ours, "ms/sample", other, time) for other, time in (("the time that it simulates", 200.0), (name, theirs))]
