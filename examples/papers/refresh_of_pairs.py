"""Two phase-change devices per weight fill up unless they are refreshed (Burr et al., IEDM 2014; Nandakumar et al. 2020).

A 20 x 20 matrix is taught to pairs by stochastic gradient descent with parallel pulses; the error of the weights is drawn against
the samples seen, without refresh, with refresh, and with refresh after every tenth sample as the ideal.

Usage: python refresh_of_pairs.py [--quick] [--out FOLDER]      (12 s; writes refresh-of-pairs.png and .json)
"""

from __future__ import annotations

from pathlib import Path

from _figure import keep, options

import aimco as ai

PCM = {"g_min": 0.0, "g_max": 25e-6, "cycle_noise": 0.3, "spread": {"step": 0.2}, "response": {"kind": "pcm", "step_up": 5e-8}}
POLICIES = {"no refresh": None, "refresh every 1000 samples": 1000, "refresh every 10 samples (ideal)": 10}


def errors(refresh_every: int | None, epochs: int) -> list[float]:
    """eps_w = std(W - target) after each 2000 samples."""
    cell = {"kind": "pair", "weight_max": 2.0, "refresh_every": refresh_every}
    design = ai.Design.of({"device": PCM, "cell": cell, "rule": {"kind": "sgd", "lr": 0.03}, "training": {"epochs": epochs, "batch": 1}})
    return ai.evaluate(design, "program", limit=2000).curves["test_weight_error"]


def main() -> None:
    from matplotlib.figure import Figure

    chosen = options()
    epochs = 5 if chosen.quick else 20
    curves = {name: errors(every, epochs) for name, every in POLICIES.items()}
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axis = figure.subplots()
    for name, curve in curves.items():
        axis.plot([2000 * (k + 1) for k in range(epochs)], curve, label=name)
    axis.set(xlabel="training samples", ylabel="error of the weights, std(W - target)", yscale="log", title="Pairs of phase-change devices")
    axis.legend()
    folder = Path(chosen.out)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "refresh-of-pairs.png", dpi=120)
    last = {name: curve[-1] for name, curve in curves.items()}
    ratio = last["refresh every 1000 samples"] / last["refresh every 10 samples (ideal)"]
    keep(chosen.out, "refresh-of-pairs", {"error": curves, "refresh_over_ideal": ratio})
    for name, error in last.items():
        print(f"{name}: {error:.4f}")
    print(f"refresh over ideal: {ratio:.2f} (asked: below 1.3)")


if __name__ == "__main__":
    main()
