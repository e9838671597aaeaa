"""Equilibrium propagation on devices, and how far apart the parts of a circuit may be (after Kendall 2020; Osana & Querlioz 2026).

A table: a resistive network, 129-100-20 on digits (1569-100-20 on MNIST with --data-dir), whose conductances move exactly, or by pulses
of the RPU specification (in proportion, or one fixed pulse for each device), of an oxide-transistor capacitor cell, and of pairs of
phase-change devices on lines of both signs. A figure: test accuracy against the spread of diodes, gains and conductances, for networks
that learned in the spread circuit, and for such that learned without and were then written into it.

Usage: python equilibrium_on_devices.py [--quick] [--redraw] [--data-dir FOLDER] [--out FOLDER]      (5 min, with MNIST 30; writes
equilibrium-on-devices.json and .png)
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from _figure import figure_of

import aimco as ai
from aimco import tasks

DEVICES: dict[str, dict[str, Any]] = {
    "exact moves": {"device": "ideal", "rule.update_mode": "ideal"},
    "rpu, pulses in proportion": {"device": "rpu"},
    "rpu, one fixed pulse": {"device": "rpu", "rule.update_mode": "fixed", "rule.threshold": 0.3},
    "igzo-6t1c": {"device": "igzo-6t1c"},
    "pcm, pairs": {"device": "pcm", "cell": {"kind": "pair", "refresh_every": 50}, "rule.lr": 0.02, "network.circuit.input_V": 30.0},
}
SPREADS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
PARTS = {"diode_spread": "diodes", "gain_spread": "gains of amplifiers", "conductance_spread": "conductances"}
MNIST = {"network.circuit.input_V": 100.0, "rule.layer_lr": [1.0, 0.2], "rule.beta": 1e-5, "training.batch": 16}


def design(changes: dict[str, Any]) -> ai.Design:
    base = ai.Design.of(
        {
            "device": "ideal",
            "network": {"kind": "resistive", "hidden": [100], "circuit": {"input_V": 10.0}},
            "rule": {"kind": "equilibrium", "lr": 1.0, "target_V": 1.0},
            "training": {"epochs": 10, "batch": 10, "decay_every": 1, "decay": 0.8},
        }
    )
    return functools.reduce(lambda d, change: d.replace(*change), changes.items(), base)


def on_devices(task: tasks.Data, common: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each device: accuracy, energy and time of training."""
    rows = []
    for name, changes in DEVICES.items():
        result = ai.evaluate(design(common | changes), task, seed=0)
        costs = {"energy_J": result.energy_J["total"], "latency_s": result.latency_s["total"]}
        rows.append({"task": task.name, "devices": name, "accuracy": result.accuracy} | costs)
        print(f"{task.name}: {name}: {100 * result.accuracy:.1f} %", flush=True)
    return rows


def spread(task: tasks.Data, epochs: int) -> list[dict[str, Any]]:
    """Accuracy for each kind of part and spread: learned in the circuit, and written into it."""
    trained: list[Any] = []
    plain = design({"rule.update_mode": "ideal", "training.epochs": epochs})
    ai.evaluate(plain, task, seed=1, on_trained=trained.append)
    rows = []
    for part in PARTS:
        for sigma in SPREADS:
            changed_design = plain.replace(f"network.circuit.{part}", sigma)
            network = changed_design.network.build(task, changed_design, [1])
            with torch.no_grad():
                for target, learned in zip(network[0].conductances, trained[0][0].conductances, strict=True):
                    target.copy_(learned)
            written = float(task.goal.judge(network, task.test_x, task.test_y)["accuracy"][0])
            learned_in = ai.evaluate(changed_design, task, seed=1).accuracy
            rows.append({"part": part, "spread": sigma, "learned_in": learned_in, "written": written})
            print(
                f"{PARTS[part]}, spread {100 * sigma:g} %: learned in {100 * learned_in:.1f} %, written {100 * written:.1f} %", flush=True
            )
    return rows


def draw(result: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    rows = result["spread"]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axis = figure.subplots()
    for k, (part, name) in enumerate(PARTS.items()):
        mine = [r for r in rows if r["part"] == part]
        at = [100 * r["spread"] for r in mine]
        axis.plot(at, [100 * r["learned_in"] for r in mine], "o-", color=f"C{k}", label=f"{name}: learned in the circuit")
        axis.plot(at, [100 * r["written"] for r in mine], "s--", color=f"C{k}", label=f"{name}: learned without, then written")
    axis.set(xlabel="standard deviation from part to part (%)", ylabel="test accuracy, digits (%)")
    lowest = min(min(r["learned_in"], r["written"]) for r in rows)
    axis.set_ylim(100 * lowest - 3, 100)  # 360 images: a line of the picture is not to be made of single ones
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def run(chosen: Any) -> dict[str, Any]:
    digits, epochs = tasks.load("digits", limit=400 if chosen.quick else None), 2 if chosen.quick else 10
    rows = on_devices(digits, {"training.epochs": epochs})
    if chosen.data_dir:
        mnist = tasks.load("mnist", data_dir=chosen.data_dir, limit=1000 if chosen.quick else 20_000)
        rows += on_devices(mnist, MNIST | {"training.epochs": epochs})
    return {"devices": rows, "spread": spread(digits, min(epochs, 6))}


def main() -> None:
    figure_of("equilibrium-on-devices", run, draw, mnist="may")


if __name__ == "__main__":
    main()
