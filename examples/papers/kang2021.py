"""Noise of the weights in place of random-walk circuits (Kang 2021, Semicond. Sci. Technol. 36, 124001): accuracy over s, and energy.

Each use of a weight multiplies it by N(1, s^2); membranes have no noise, and neurons rest at their threshold. Beside it the machine with
random walks. Published: best at s = .01-.05. On the embedded digits, 200 hidden units, 3 passes, 2 seeds.

Usage: python kang2021.py [--quick] [--out FOLDER]      (3 min; writes kang2021.json)
"""

from __future__ import annotations

import numpy as np
from _figure import keep, options

from aimco.design import Design
from aimco.evaluation import evaluate

S = (0.0, 0.003, 0.01, 0.03, 0.05, 0.1, 0.3)
PUBLISHED_BEST = (0.01, 0.05)


def run(neuron: dict, epochs: int, limit: int | None, seeds: int) -> dict:
    """Mean accuracy, and energy of one training sample with its part of random walks, J."""
    made = Design.of(
        {
            "device": "ideal",
            "technology": "spiking-90nm",
            "network": {"kind": "spiking-rbm", "hidden": [200], "spiking": {"neuron": neuron}},
            "rule": {"kind": "contrastive-divergence", "lr": 0.1},
            "training": {"epochs": epochs, "batch": 50, "decay_every": 1},
        }
    )
    results = [evaluate(made, "digits", limit=limit, seed=seed) for seed in range(seeds)]
    first = results[0]
    samples = first.energy_J["total"] / first.energy_J["training_sample"]
    found = {"accuracy": float(np.mean([r.accuracy for r in results])), "sample_J": first.energy_J["training_sample"]}
    return found | {"walk_J": first.energy_J["walk"] / samples, "synapse_J": first.energy_J["synapse"] / samples}


def main() -> None:
    chosen = options()
    size = (1, 300, 1) if chosen.quick else (2, None, 2)
    walk = run({"noise": "random-walk"}, *size)
    print(f"random walk: {100 * walk['accuracy']:.1f} %", flush=True)
    rows = []
    for s in S:
        rows.append({"s": s} | run({"noise": "device", "weight_noise": s}, *size))
        print(f"s = {s:g}: {100 * rows[-1]['accuracy']:.1f} %", flush=True)
    best = max(rows, key=lambda row: row["accuracy"])
    found = {"random_walk": walk, "device_noise": rows, "best_s": best["s"], "published_best_s": PUBLISHED_BEST}
    found["energy_ratio"] = walk["sample_J"] / best["sample_J"]
    found["assumed"] = "8.95 pJ per synaptic operation, and .1 pJ per step of a random walk, one each 10 us and neuron"
    keep(chosen.out, "kang2021", found)
    print(f"best s {best['s']:g} (published {PUBLISHED_BEST}), energy with random walks over without: {found['energy_ratio']:.2f}")


if __name__ == "__main__":
    main()
