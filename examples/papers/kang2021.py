"""Noise of the weights in place of random-walk circuits (Kang 2021, Semicond. Sci. Technol. 36, 124001): accuracy over s, and energy.

Each use of a weight multiplies it by N(1, s^2); membranes have no noise, and neurons rest where they fire at half their largest rate.
Bias units fire at every step, so that nothing else is random. Beside it the machine with random walks. Published: best at s = 0.01-0.05.
Noise of each device of a pair is larger relative to their difference, the weight: by sqrt(g+^2 + g-^2)/|g+ - g-|.
On the embedded digits, 200 hidden units, 2 passes; read out by free energy and by the spikes of label units.

Usage: python kang2021.py [--quick] [--redraw] [--out FOLDER]      (5 min; writes kang2021.png and .json)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _figure import figure_of

from aimco import tasks
from aimco.design import Design
from aimco.evaluation import evaluate

S = (0.0, 0.003, 0.01, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0)
PUBLISHED_BEST = (0.01, 0.05)
START = (5.0, 1.06)  # mean and spread of each device of a pair: public code of a demonstration on the chip
DT = 2e-4
REASON = "spikes arrive at random: variance sum w^2 nu tau/2; noise of weights adds s^2 times that, and counts from s near 1"
ASSUMED = "8.95 pJ per synaptic operation; 0.1 pJ per step of a random walk, one each 10 us and neuron; noise of weights costs nothing"


def run(neuron: dict, task: tasks.Data, epochs: int, seeds: int) -> dict:
    """Accuracy of each seed by both read-outs; energy of one training sample, J, and steps of random walks in it."""
    spiking = {"dt_s": DT, "bias_Hz": 1 / DT, "neuron": neuron}
    design = Design.of(
        {
            "device": "ideal",
            "technology": "spiking-90nm",
            "network": {"kind": "spiking-rbm", "hidden": [200], "spiking": spiking},
            "rule": {"kind": "contrastive-divergence", "lr": 0.1},
            "training": {"epochs": epochs, "batch": 50, "decay_every": 1},
        }
    )
    by_spikes: list[float] = []

    def read_out(model) -> None:
        right = model[0].label_rates(task.test_x, 0.1).argmax(1) == task.test_y
        by_spikes.append(float(right.float().mean()))

    results = [evaluate(design, task, seed=seed, on_trained=read_out) for seed in range(seeds)]
    samples, first = epochs * len(task.train_x), results[0]
    return {
        "free_energy": [r.accuracy for r in results],
        "label_rates": by_spikes,
        "sample_J": first.energy_J["total"] / samples,
        "walk_steps": first.counts["walk_steps"] / samples,
        "walk_J": first.energy_J["walk"] / samples,
    }


def pairs() -> float:
    """Noise of the difference of two devices over the noise of each, relative: sqrt(g+^2 + g-^2) over the spread of g+ - g-."""
    mean, spread = START
    return float(np.sqrt(2 * (mean**2 + spread**2)) / (np.sqrt(2) * spread))


def whole(chosen: argparse.Namespace) -> dict:
    torch.set_num_threads(1)
    task = tasks.load("digits", limit=300 if chosen.quick else None)
    size = (1, 1) if chosen.quick else (2, 4)
    walk = run({"noise": "random-walk"}, task, *size)
    rows = []
    for s in S:
        rows.append({"s": s} | run({"noise": "device", "weight_noise": s}, task, *size))
        means = [100 * np.mean(rows[-1][name]) for name in ("free_energy", "label_rates")]
        print(f"s = {s:g}: {means[0]:.1f} % by free energy, {means[1]:.1f} % by label rates", flush=True)
    best = {name: max(rows, key=lambda row, name=name: np.mean(row[name])) for name in ("free_energy", "label_rates")}
    quiet = rows[0]["sample_J"]
    result = {"random_walk": walk, "device_noise": rows, "best_s": {name: row["s"] for name, row in best.items()}}
    result |= {"published_best_s": PUBLISHED_BEST, "noise_of_a_pair_over_that_of_a_device": pairs()}
    result |= {"energy_ratio": walk["sample_J"] / quiet, "assumed": ASSUMED}
    result["walk_J_for_a_ratio_of_60"] = (60 * quiet - walk["sample_J"] + walk["walk_J"]) / walk["walk_steps"]
    tell(result)
    return result


def tell(result: dict) -> None:
    print(f"best s {result['best_s']}; published {PUBLISHED_BEST}: {REASON}")
    print(f"energy with random walks over without: {result['energy_ratio']:.2f} ({result['assumed']})")
    print(f"a ratio of 60 needs {1e12 * result['walk_J_for_a_ratio_of_60']:.3g} pJ per step of a random walk")
    print(f"noise of s in each device of a pair is one of {result['noise_of_a_pair_over_that_of_a_device']:.1f} s in its weight")


def draw(result: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axis, rows = figure.subplots(), result["device_noise"]
    zero = rows[1]["s"] / 3  # where s = 0 is drawn
    for k, (name, label) in enumerate((("free_energy", "by free energy"), ("label_rates", "by rates of label units"))):
        runs = 100 * np.array([row[name] for row in rows])
        error = runs.std(1, ddof=1) / np.sqrt(runs.shape[1]) if runs.shape[1] > 1 else None
        axis.errorbar([row["s"] or zero for row in rows], runs.mean(1), error, color=f"C{k}", marker="o", capsize=3, label=label)
        axis.axhline(100 * np.mean(result["random_walk"][name]), color=f"C{k}", linestyle=":", label=f"random walks, {label}")
    published, wider = result["published_best_s"], result["noise_of_a_pair_over_that_of_a_device"]
    axis.axvspan(*published, color="0.85", zorder=0, label="published best s")
    axis.axvspan(*(wider * s for s in published), color="0.93", zorder=-1, label="the same, if s is of each device of a pair")
    axis.set_xscale("log")
    ticks = [row["s"] for row in rows]
    axis.set_xticks([s or zero for s in ticks], [f"{s:g}" for s in ticks])
    axis.minorticks_off()
    axis.set(
        xlabel="noise of a weight at each use, s", ylabel="test accuracy (%)", title="Noise of weights in place of random walks, digits"
    )
    axis.legend(loc="lower left", fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    figure_of("kang2021", whole, draw)
