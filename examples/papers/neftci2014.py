"""Spiking neurons that sample and learn: rates, the Boltzmann distribution, MNIST (Neftci 2014, Front. Neurosci. 7:272).

The rate of a neuron against the sigmoid that is fitted to it; the divergence of a 5 x 5 machine from its exact distribution against time;
the accuracy on 1000 test digits while 5000 are learned, on ideal weights and with the learned weights cut to 8 and 5 bits.

Usage: python neftci2014.py --data-dir FOLDER [--quick] [--out FOLDER]      (2 min; writes neftci2014.json)
"""

from __future__ import annotations

import json

import numpy as np
import torch
from _figure import keep, options

from aimco import tasks
from aimco.design import Design
from aimco.networks.on_chip import OnChip
from aimco.networks.spiking_rbm import FREE, SpikingRbm, boltzmann
from aimco.neurons import Neuron, fit, rates

DT = 1e-4
RECALLED = {"spiking": 0.919, "8 bits": 0.916, "5 bits": 0.894}  # after 20,000 samples


def curve() -> dict:
    """How far the rate is from the sigmoid, in units of the largest rate, over logits -6..6."""
    fitted = fit(Neuron(), DT)
    amperes = np.linspace(-6, 6, 49) / fitted.beta
    apart = (rates(Neuron(), DT, fitted.rest_A + amperes) - fitted.rate(amperes)) * fitted.refractory_s
    return {"beta": fitted.beta, "gamma": fitted.gamma, "rms": float(np.sqrt(np.mean(apart**2))), "largest": float(np.abs(apart).max())}


def divergences(seconds: list[float]) -> dict:
    """KL(sampled | exact) of one machine, nats, against the time that it ran, s."""
    found = {}
    for time in seconds:
        machine, random = SpikingRbm(5, 5), np.random.default_rng(3)
        machine.weights, machine.bias = random.normal(0, 0.5, (5, 5)), random.normal(0, 0.5, 10)
        exact = boltzmann(machine.weights[0], machine.bias[0])
        ran = machine.sample(np.full((1, 5), FREE), time, most_spikes=int(3000 * time))
        states = machine.states(ran, skip_s=0.05) @ (1 << np.arange(10))
        q = np.bincount(states, minlength=1024) / len(states)
        found[f"{time:g} s"] = float((q[q > 0] * np.log(q[q > 0] / exact[q > 0])).sum())
    return found


def learned(task: tasks.Task, samples: int, seed: int) -> dict:
    """Accuracy while samples are learned once each, at a rate that falls to zero."""
    made = Design.of({"device": "ideal", "network": {"kind": "spiking-rbm"}, "rule": {"kind": "contrastive-divergence"}})
    network, found = OnChip(made, task.inputs, task.outputs, seed), {}
    order = next(iter(tasks.batches(task, samples, 0, seed)))
    for first in range(0, samples, 250):
        index = order[first : first + 250]
        network.learn_from(task.train_x[index], task.train_y[index], made.rule.lr * (1 - first / samples))
        if (first + 250) % 1000 == 0:
            found[f"{first + 250} samples"] = accuracy(network, task)
            print(f"seed {seed}: {first + 250} samples, {100 * accuracy(network, task):.1f} %", flush=True)
    whole = network.machine.weights
    for bits in (8, 5):
        step = 2 * np.abs(whole).max() / (2**bits - 1)
        network.machine.weights = np.round(whole / step) * step
        found[f"{bits} bits"] = accuracy(network, task)
    return found


def accuracy(network: OnChip, task: tasks.Task) -> float:
    right = network(task.test_x[:1000]).argmax(1) == task.test_y[:1000]
    return float(right.float().mean())


def main() -> None:
    chosen = options(mnist="must")
    torch.set_num_threads(1)
    samples = 1000 if chosen.quick else 5000
    task = tasks.load("mnist", data_dir=chosen.data_dir, limit=samples)
    found = {
        "rate_curve": curve(),
        "divergence": divergences([1, 3, 10] if chosen.quick else [1, 3, 10, 30, 100]),
        "accuracy": [learned(task, samples, seed) for seed in range(1 if chosen.quick else 3)],
        "recalled": RECALLED,
    }
    keep(chosen.out, "neftci2014", found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
