"""Equilibrium propagation inside a three-dimensional array, against programming weights that were trained without its wires.

64-32-10 on digits, end-to-end analog (Kendall 2020, arXiv 2006.01981): both crossbars stand in vertical arrays of 16 layers (circuit of
Park, IEDM 2012; Deng, IEDM 2013). Trained without wires, its conductances are programmed into arrays whose pillars have a resistance;
or it is trained there from the start, from the same first conductances in the same order, each device by the voltage across itself.
Assumed: cells of 0.1 to 100 uS that take any change exactly, transistors of 1 kOhm, lines of 10 Ohm per pitch.

Usage: python ep_vprram.py [--quick] [--redraw] [--out FOLDER]      (12 min; writes ep-vprram.png and ep-vprram.json)
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from _figure import figure_of

import aimco as ai
from aimco.arrays.vertical import VerticalWires
from aimco.learning.equilibrium import Equilibrium
from aimco.resistive.network import ResistiveNetwork
from aimco.resistive.parts import Parts
from aimco.tasks import Data

PILLAR = (1e3, 3e3, 1e4, 3e4)  # Ohm per layer
SEEDS, EPOCHS, LAYERS, HIDDEN = 2, 10, 16, 32
RULE = Equilibrium(lr=10.0, layer_lr=(1.0, 0.4), target_V=0.3)


def network(pillar: float | None, seed: int) -> ResistiveNetwork:
    """The network, in vertical arrays or without wires."""
    rows = {HIDDEN: 2 * 64 + 1, 2 * 10: HIDDEN}
    arrays = (
        [VerticalWires(layers=LAYERS, rows=math.ceil(r / LAYERS), columns=c, pillar_ohm=pillar) for c, r in rows.items()]
        if pillar
        else None
    )
    return ResistiveNetwork([64, HIDDEN, 10], Parts(arrays=arrays, unit=4.5e-5, g_min=1e-7, g_max=1e-4), seed=seed)


def train(net: ResistiveNetwork, task: Data, epochs: int) -> ResistiveNetwork:
    """Centred equilibrium propagation in batches of 25."""
    target, order = RULE.target_V * torch.nn.functional.one_hot(task.train_y, 10).double(), torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for index in torch.randperm(len(target), generator=order).split(25):
            RULE.step(net, task.train_x[index], target[index])
    return net


@torch.no_grad()
def programmed(into: ResistiveNetwork, trained: ResistiveNetwork) -> ResistiveNetwork:
    """The conductances of one network in the devices of another."""
    for target, other in zip(into.conductances, trained.conductances, strict=True):
        target.copy_(other)
    return into


def correct(net: ResistiveNetwork, task: Data) -> float:
    """Of the test set, %."""
    return 100 * float(task.goal.judge(net, task.test_x, task.test_y)["accuracy"][0])


def main() -> None:
    figure_of("ep-vprram", lambda chosen: run(*((1, 2, PILLAR[2:3]) if chosen.quick else (SEEDS, EPOCHS, PILLAR))), draw)


def run(seeds: int, epochs: int, pillars: tuple[float, ...]) -> dict[str, Any]:
    """Test accuracy of each seed, %, for each resistance."""
    task = ai.tasks.load("digits", seed=0)
    blind = [train(network(None, seed), task, epochs) for seed in range(seeds)]
    table: dict[str, Any] = {"without wires": [correct(net, task) for net in blind]}
    print(f"without wires {table['without wires']} %", flush=True)
    for pillar in pillars:
        row = {
            "trained without wires, programmed": [correct(programmed(network(pillar, k), net), task) for k, net in enumerate(blind)],
            "trained inside the array": [correct(train(network(pillar, k), task, epochs), task) for k in range(seeds)],
        }
        table[f"{pillar:g} Ohm"] = row
        print(f"{pillar:g} Ohm per layer: {row}", flush=True)
    return table


def draw(table: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axis, rows = figure.subplots(), {float(name.removesuffix(" Ohm")): row for name, row in table.items() if name.endswith("Ohm")}
    for k, name in enumerate(next(iter(rows.values()))):
        means = [sum(row[name]) / len(row[name]) for row in rows.values()]
        axis.plot(list(rows), means, "o-", color=f"C{k}", label=name)
        axis.plot(
            [x for x, row in rows.items() for _ in row[name]],
            [y for row in rows.values() for y in row[name]],
            ".",
            color=f"C{k}",
            alpha=0.5,
        )
    axis.axhline(sum(table["without wires"]) / len(table["without wires"]), color="grey", linestyle=":", label="no wires")
    axis.set(xscale="log", xlabel="resistance of a pillar per layer (Ohm)", ylabel="test accuracy, digits (%)", title=f"{LAYERS} layers")
    axis.set_xticks(list(rows), [f"{ohm:,.0f}" for ohm in rows])
    axis.minorticks_off()
    axis.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
