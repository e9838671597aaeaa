"""Pairs of phase-change devices written as Joshi 2020 cites, and by pulses with verify reads (`pcm-noisy`).

10,000 pairs are written to differences of 0.5, 5 and 20 uS by either method of `device.programming`, and what they hold is compared
with the cited law. Then a network of 64 hidden units that scikit-learn taught the digits is written into pairs, five times, beside the
same network with the cited residue added in software.

Usage: python programming.py [--quick] [--out FOLDER]      (20 s; writes programming.json)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from _figure import keep, options

import aimco as ai
from aimco.device.noise import programming_sigma
from aimco.tile import Tile

DEVICE = ai.Device.named("pcm-noisy")
TARGETS = (0.5, 5.0, 20.0)  # uS
METHODS = ("as-cited", "iterative")
LARGEST = float(DEVICE.g_max - DEVICE.g_min) * 1e6  # uS, of a weight of 1


def pairs(method: str, rows: int, columns: int, seed: int = 0) -> Tile:
    """An array of pairs that are written by one method."""
    design = ai.Design.of({"device": DEVICE.replace("programming", {"method": method}), "cell": {"kind": "pair"}})
    return Tile(ai.ArraySpec.of(design), rows, columns, seeds=(seed,))


def cited(weights: torch.Tensor) -> torch.Tensor:
    """The published standard deviation of weights of -1..1."""
    assert DEVICE.programming_noise is not None
    return programming_sigma(DEVICE.programming_noise, weights.abs()) * 1e6 / LARGEST


def row(method: str, target: float, size: int) -> dict[str, float]:
    """Mean and standard deviation of the differences, uS, and what it took."""
    tile, goal = pairs(method, size, size), target / LARGEST
    tile.program(torch.full(tile.shape, goal))
    held, counts = tile.weights.double() * LARGEST, tile.counts.member(0)
    return {
        "mean_uS": held.mean().item(),
        "std_uS": held.std().item(),
        "cited_std_uS": float(cited(torch.tensor(goal))) * LARGEST,
        "pulses_per_device": counts["program_pulses"] / (2 * size * size),
        "resets_per_device": counts["resets"] / (2 * size * size),
        "rounds": counts["program_rounds"],
    }


def network(seeds: int) -> dict[str, float]:
    """Test accuracy, %, of a network of the digits: in software, with the cited residue added, and written by either method."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order] / 16, y[order]
    model = MLPClassifier((64,), max_iter=400, random_state=0).fit(x[:1200], y[:1200])
    layers = [torch.from_numpy(w).float() for w in model.coefs_]
    bias = [torch.from_numpy(b).float() for b in model.intercepts_]

    def accuracy(weights: list[torch.Tensor]) -> float:
        hidden = torch.relu(torch.from_numpy(x[1200:]).float() @ weights[0] + bias[0])
        return 100 * float(((hidden @ weights[1] + bias[1]).argmax(1).numpy() == y[1200:]).mean())

    def stored(how: str, seed: int, w: torch.Tensor) -> torch.Tensor:
        top = w.abs().max()
        if how == "residue in software":
            draws = torch.randn(w.shape, generator=torch.Generator().manual_seed(seed))
            return top * (w / top + cited(w / top) * draws)
        tile = pairs(how, *w.shape, seed=seed)
        tile.program((w / top)[None])
        return top * tile.weights[0]

    accuracies = {"software": accuracy(layers)}
    for how in ("residue in software", *METHODS):
        accuracies[how] = float(np.mean([accuracy([stored(how, seed, w) for w in layers]) for seed in range(seeds)]))
    return accuracies


def main() -> None:
    chosen = options()
    size, seeds = (30, 2) if chosen.quick else (100, 5)
    rows: dict[str, Any] = {method: {f"{uS:g} uS": row(method, uS, size) for uS in TARGETS} for method in METHODS}
    accuracies = network(seeds)
    keep(chosen.out, "programming", {"pairs": rows, "digits_accuracy_percent": accuracies})
    print("| method | target | mean | std | cited std | pulses per device | RESETs per device |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for method, by_target in rows.items():
        for target, r in by_target.items():
            numbers = f"{r['mean_uS']:.2f} uS | {r['std_uS']:.2f} uS | {r['cited_std_uS']:.2f} uS"
            print(f"| {method} | {target} | {numbers} | {r['pulses_per_device']:.1f} | {r['resets_per_device']:.2f} |")
    for how, percent in accuracies.items():
        print(f"{how}: {percent:.1f} %")


if __name__ == "__main__":
    main()
