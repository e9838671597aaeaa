"""Spiking neurons that sample and learn: rates, the Boltzmann distribution, MNIST (Neftci 2014, Front. Neurosci. 7:272).

The rate of a neuron against the sigmoid that is fitted to it; the divergence of a 5 x 5 machine from its exact distribution against time;
the accuracy while 5000 digits are learned once at a rate that falls to zero, and three times more from a lower rate, on ideal weights and
with the learned weights cut to 8 and 5 bits; receptive fields of hidden units. Judged on all 10,000 test digits, on every tenth of them
and on the first 1000, which are harder than the others.

Usage: python neftci2014.py --data-dir FOLDER [--quick] [--redraw] [--out FOLDER]      (15 min; writes neftci2014.png and .json)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _figure import figure_of

from aimco import tasks
from aimco.design import Design
from aimco.neurons import Neuron, fit, rates
from aimco.spiking.machine import SpikingBoltzmannMachine
from aimco.spiking.sampler import FREE, SpikingRbm, boltzmann

DT = 1e-4  # of the rate curve and the divergence
DIGITS, PASSES = 5000, 4
TOLD = (1000, 2000, 3000, 4000, 5000, 10_000, 15_000, 20_000)  # samples after which accuracy is taken
LR = (0.08, 0.05)  # at the start of the first pass, and of the others together; each falls to zero
MACHINE = {"kind": "spiking-rbm", "spiking": {"dt_s": 4e-4, "phase_s": 0.1, "threshold": "none", "start": 0.03}}
RECALLED = {"spiking": 0.919, "8 bits": 0.916, "5 bits": 0.894}  # after 20,000 samples
JUDGED = {"all 10,000": slice(None), "every tenth": slice(0, None, 10), "first 1000": slice(1000)}


def curve() -> dict:
    """How far the rate is from the sigmoid, in units of the largest rate, over logits -6..6."""
    fitted = fit(Neuron(), DT)
    amperes = np.linspace(-6, 6, 49) / fitted.beta
    apart = (rates(Neuron(), DT, fitted.rest_A + amperes) - fitted.rate(amperes)) * fitted.refractory_s
    return {"beta": fitted.beta, "gamma": fitted.gamma, "rms": float(np.sqrt(np.mean(apart**2))), "largest": float(np.abs(apart).max())}


def divergences(seconds: list[float]) -> dict:
    """KL(sampled | exact) of one machine, nats, against the time that it ran, s."""
    nats = {}
    for time in seconds:
        machine, random = SpikingRbm(5, 5), np.random.default_rng(3)
        machine.weights, machine.bias = random.normal(0, 0.5, (5, 5)), random.normal(0, 0.5, 10)
        exact = boltzmann(machine.weights[0], machine.bias[0])
        ran = machine.sample(np.full((1, 5), FREE), time, most_spikes=int(3000 * time))
        states = machine.states(ran, skip_s=0.05) @ (1 << np.arange(10))
        q = np.bincount(states, minlength=1024) / len(states)
        nats[f"{time:g} s"] = float((q[q > 0] * np.log(q[q > 0] / exact[q > 0])).sum())
    return nats


def rate(sample: int) -> float:
    """Of learning, at a sample of the run."""
    if sample < DIGITS:
        return LR[0] * (1 - sample / DIGITS)
    return LR[1] * (1 - (sample - DIGITS) / ((PASSES - 1) * DIGITS))


def learned(task: tasks.Data, samples: int, seed: int) -> dict:
    """Accuracy while samples are learned, the hidden rate before and after, and some receptive fields."""
    design = Design.of({"device": "ideal", "network": MACHINE, "rule": {"kind": "contrastive-divergence"}})
    network, accuracies = SpikingBoltzmannMachine(design, task.inputs, task.outputs, seed), {}
    orders = [next(iter(tasks.batches(task, DIGITS, epoch, seed))) for epoch in range(PASSES)]
    order, hidden_Hz = np.concatenate(orders)[:samples], []
    for first in range(0, samples, 250):
        index, before = order[first : first + 250], network.machine.events[0, 1]
        network.learn_from(task.train_x[index], task.train_y[index], rate(first))
        hidden_Hz.append(float(network.machine.events[0, 1] - before) / (len(index) * 2 * network.record.phase_s * network.hidden))
        if first + 250 in TOLD:
            accuracies[first + 250] = accuracy(network, task)
            percents = ", ".join(f"{name} {100 * a:.1f} %" for name, a in accuracies[first + 250].items())
            print(f"seed {seed}: {first + 250} samples: {percents}", flush=True)
    whole = network.machine.weights
    fields = whole[0, : task.inputs, :16].T.round(3).tolist() if seed == 0 else None
    cut = {}
    for bits in (8, 5):
        step = 2 * np.abs(whole).max() / (2**bits - 1)
        network.machine.weights = np.round(whole / step) * step
        cut[f"{bits} bits"] = accuracy(network, task)
    return {"accuracy": accuracies, "cut": cut, "hidden_Hz": [hidden_Hz[0], hidden_Hz[-1]], "fields": fields}


def accuracy(network: SpikingBoltzmannMachine, task: tasks.Data) -> dict:
    scores = torch.cat([network(x) for x in task.test_x.split(500)])
    right = (scores.argmax(1) == task.test_y).float()
    return {name: round(float(right[part].mean()), 4) for name, part in JUDGED.items()}


def run(chosen: argparse.Namespace) -> dict:
    torch.set_num_threads(1)
    task = tasks.load("mnist", data_dir=chosen.data_dir, limit=DIGITS)
    return {
        "rate_curve": curve(),
        "divergence": divergences([1, 3, 10] if chosen.quick else [1, 3, 10, 30, 100]),
        "learned": [learned(task, TOLD[0] if chosen.quick else PASSES * DIGITS, seed) for seed in range(1 if chosen.quick else 3)],
        "recalled": RECALLED,
    }


def draw(result: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    for seed, one in enumerate(result["learned"]):
        samples = [int(n) for n in one["accuracy"]]
        for name, line, caption in (("all 10,000", "-", "all 10,000 test digits"), ("every tenth", ":", "every tenth of them")):
            label = caption if not seed else None
            left.plot(samples, [100 * a[name] for a in one["accuracy"].values()], line, color=f"C{seed}", label=label)
    left.axhline(100 * RECALLED["spiking"], color="0.5", linestyle="--", linewidth=1)
    left.text(samples[0], 100 * RECALLED["spiking"] + 0.1, "Neftci 2014 after 20,000 (recalled)", ha="left", va="bottom", color="0.4")
    left.axvline(DIGITS, color="0.8", linewidth=1, zorder=0)
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.set(xlabel="samples", ylabel="test accuracy (%)", title=f"{len(result['learned'])} seeds, 5000 training digits, ideal weights")
    left.legend(loc="lower right")
    fields = np.array(result["learned"][0]["fields"]).reshape(4, 4, 28, 28)
    whole = np.full((4 * 29 - 1, 4 * 29 - 1), np.nan)
    for (i, j), _ in np.ndenumerate(fields[:, :, 0, 0]):
        whole[29 * i : 29 * i + 28, 29 * j : 29 * j + 28] = fields[i, j]
    most = float(np.abs(fields).max())
    figure.colorbar(right.imshow(whole, cmap="RdBu_r", vmin=-most, vmax=most), ax=right, label="weight")
    right.set_title("Receptive fields of 16 hidden units")
    right.set_axis_off()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    figure_of("neftci2014", run, draw, mnist="must")
