"""What wires cost a network, and what training through them gives back.

784-127-10 on MNIST in arrays of 128 x 128 devices of 0 to 100 uS. Trained without wires, its weights are programmed into arrays whose
segments of line have a resistance, where it loses accuracy; then it is trained on through the wires, with the same rule, on 7000
samples. Assumed: devices with equal steps and 2000 states, ideal converters.

Usage: python irdrop.py --data-dir FOLDER [--quick] [--out FOLDER]      (10 min; writes irdrop.png and irdrop.json)
       python irdrop.py --redraw [--out FOLDER]                         (the picture alone, from the JSON in the folder)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from _figure import figure_of

import aimco as ai
from aimco.descent import Descent
from aimco.nn.linear import Linear
from aimco.tasks import Data, batches

OHM = (1.0, 2.0, 3.0, 5.0)
RATES = {5000: 0.1, 2000: 0.02}  # samples: learning rate, through the wires


def network(task: Data, ohm: float) -> torch.nn.Sequential:
    """The network in arrays whose lines have this resistance in every segment."""
    device = ai.Device.named("ideal").replace("g_max", 1e-4).replace("response.step_up", 5e-8).replace("response.step_down", 5e-8)
    array = {"rows": 128, "cols": 128, "wires": {"word_ohm": ohm, "bit_ohm": ohm, "tolerance": 1e-6}}
    parts = {"device": device.as_dict(), "array": array, "network": {"hidden": [127], "activation": "tanh"}}
    design = ai.Design.of(parts)
    return design.network.build(task, design, (0,))


def train(model: torch.nn.Sequential, task: Data, samples: int, epochs: int, rate: float) -> None:
    """Stochastic pulsed descent in batches of 10, as `aimco run` does."""
    descent = Descent(model, task.goal)
    for epoch in range(epochs):
        for index in list(batches(task, 10, epoch, 0))[: samples // 10]:
            descent.step(task.train_x[index][None], task.train_y[index][None], rate)


def moved(blind: torch.nn.Sequential, to: torch.nn.Sequential) -> torch.nn.Sequential:
    """The weights of one network programmed into another."""
    for layer, other in zip(blind, to, strict=True):
        if isinstance(layer, Linear):
            other.matrices[other.rule.weight_array].program(layer.stored)
    return to


def main() -> None:
    figure_of("irdrop", lambda chosen: run(chosen.data_dir, chosen.quick), draw, mnist="must")


def run(data_dir: str, quick: bool) -> dict[str, Any]:
    """Test accuracy, %, for every resistance: as programmed, and trained on."""
    task = ai.tasks.load("mnist", data_dir=data_dir)
    blind = network(task, 0.0)
    train(blind, task, 60_000, 1 if quick else 3, 0.1)
    ideal = 100 * float(task.goal.judge(blind, task.test_x, task.test_y)["accuracy"][0])
    print(f"without wires {ideal:.2f} %")
    table: dict[str, list[float]] = {"Ohm per segment": [], "trained without wires": [], "trained on through the wires": []}
    for ohm in OHM[1:3] if quick else OHM:
        model = moved(blind, network(task, ohm))
        lost = 100 * float(task.goal.judge(model, task.test_x, task.test_y)["accuracy"][0])
        for samples, rate in RATES.items():
            train(model, task, samples // (10 if quick else 1), 1, rate)
        row = (ohm, lost, 100 * float(task.goal.judge(model, task.test_x, task.test_y)["accuracy"][0]))
        for values, value in zip(table.values(), row, strict=True):
            values.append(value)
        share = (row[2] - row[1]) / (ideal - row[1])
        print(f"{ohm:g} Ohm: {row[1]:.2f} %, trained on {row[2]:.2f} %: {100 * share:.0f} % of the loss recovered", flush=True)
    return {"without wires, %": ideal, "test accuracy, %": table}


def draw(result: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axis, table = figure.subplots(), result["test accuracy, %"]
    ohm = table["Ohm per segment"]
    for name in list(table)[1:]:
        axis.plot(ohm, table[name], "o-", label=name)
    axis.axhline(result["without wires, %"], color="grey", linestyle=":", label="no wires")
    axis.set(xscale="log", xlabel="resistance of a segment (Ohm)", ylabel="test accuracy, MNIST (%)", title="128 x 128 arrays, 0 to 100 uS")
    axis.set_xticks(ohm, [f"{r:g}" for r in ohm])
    axis.minorticks_off()
    axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
