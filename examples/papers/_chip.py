"""A hundred MNIST digits taught to the chip of Ishii 2019 and Shin 2022, as far as it is known: what both scripts share.

784 inputs, 40 label and 500 hidden units around pairs of phase-change memory, read noise, drift and all; each digit is shown once a pass
at a rate that stays, as the widths of the chip's pulses do. Widths, the weight of a full pair, refresh period and random walk are
unpublished: here assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

import aimco as ai
from aimco import tasks
from aimco.evaluation import Result
from aimco.spiking.machine import SpikingBoltzmannMachine

DIGITS = 100
KNOWN = 392  # pixels that stay, the upper half


def design(passes: int, refresh_every: int | None) -> ai.Design:
    """Refresh between so many updates, of which a sample has two."""
    return ai.Design.of(
        {
            "device": "pcm",
            "technology": "spiking-90nm",
            "cell": {"kind": "pair6t2r", "weight_max": 0.5, "refresh_every": refresh_every or "none"},
            "array": {"rows": 832, "cols": 832},
            "network": {"kind": "spiking-rbm", "spiking": {"dt_s": 2e-4, "neuron": {"noise": "random-walk"}}},
            "rule": {"kind": "contrastive-divergence", "update_mode": "set", "lr": 0.02, "max_pulses": 4},
            "training": {"epochs": passes, "batch": 20},
        }
    )


def hundred(folder: str) -> tasks.Data:
    """The first hundred digits of MNIST, judged by themselves, as on the chip."""
    task = tasks.load("mnist", data_dir=folder, limit=DIGITS)
    return replace(task, test_x=task.train_x, test_y=task.train_y)


def taught(chip_design: ai.Design, task: tasks.Data, on_trained: Callable[[SpikingBoltzmannMachine], None] | None = None) -> Result:
    """Learn, and tell the accuracy of each pass."""

    def on_epoch(epoch: int, epochs: int, accuracy: float) -> None:
        if epoch % 5 == 0 or epoch == epochs:
            print(f"refresh {chip_design.cell.refresh_every}, pass {epoch}: {100 * accuracy:.0f} %", flush=True)

    return ai.evaluate(chip_design, task, on_epoch=on_epoch, on_trained=lambda model: on_trained(model[0]) if on_trained else None)


def completed(network: SpikingBoltzmannMachine, task: tasks.Data, digits: int, seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (digits, 784), and as completed with the lower half hidden."""
    on = (task.train_x[:digits] > 0.5).float()
    return on, network.completed(on, torch.arange(task.inputs) < KNOWN, seconds)
