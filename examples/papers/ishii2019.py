"""A hundred MNIST digits learned on the chip: spiking neurons around pairs of phase-change memory (Ishii 2019; Shin 2022).

784 inputs, 40 label and 500 hidden units; pairs set in the data phase and in the reconstruction phase, with and without refresh; training
accuracy after each epoch, and the error of occluded pixels before and after the machine completes them. Published: 92 % (Ishii 2019),
93 % (Shin 2022) on an 832 x 832 array. The widths of pulses and the period of refresh are unpublished: those here are assumed.

Usage: python ishii2019.py --data-dir FOLDER [--quick] [--out FOLDER]      (3 min; writes ishii2019.json)
"""

from __future__ import annotations

import torch
from _figure import keep, options

from aimco import tasks
from aimco.design import Design
from aimco.networks.on_chip import OnChip

DIGITS = 100


def design(refresh_every: int | None) -> Design:
    """The chip, as far as it is known; refresh between so many updates, of which a sample has two."""
    return Design.of(
        {
            "device": "pcm",
            "technology": "spiking-90nm",
            "cell": {"kind": "pair6t2r", "weight_max": 1.0, "refresh_every": refresh_every or "none"},
            "array": {"rows": 832, "cols": 832},
            "network": {"kind": "spiking-rbm"},
            "rule": {"kind": "contrastive-divergence", "moves": "set", "lr": 0.015, "most_pulses": 2},
        }
    )


def run(task: tasks.Task, refresh_every: int | None, epochs: int) -> dict:
    """Train, and judge by the digits trained on."""
    made = design(refresh_every)
    network = OnChip(made, task.inputs, task.outputs)
    curve = []
    for epoch in range(epochs):
        lr = made.rule.lr * (1 - epoch / epochs)
        for index in tasks.batches(task, 20, epoch, 0):
            network.learn_from(task.train_x[index], task.train_y[index], lr)
        curve.append(float((network(task.train_x).argmax(1) == task.train_y).float().mean()))
        print(f"refresh {refresh_every}, epoch {epoch + 1}: {100 * curve[-1]:.0f} %", flush=True)
    known = torch.arange(task.inputs) < task.inputs // 2
    on = (task.train_x[:20] > 0.5).float()
    errors = [float((v - on).abs()[:, ~known].mean()) for v in (on * known, network.completed(on, known))]
    counts = {name: int(amount) for name, amount in network.counts["W"].member(0).items() if name in ("coincidences", "resets")}
    return {"refresh_every": refresh_every, "training_accuracy": curve, "occluded_error": errors[0], "completed_error": errors[1]} | counts


def main() -> None:
    chosen = options(mnist="must")
    task = tasks.load("mnist", data_dir=chosen.data_dir, limit=DIGITS)
    rows = [run(task, every, 2 if chosen.quick else 12) for every in (100, None)]
    keep(chosen.out, "ishii2019", {"published": [0.92, 0.93], "rows": rows})


if __name__ == "__main__":
    main()
