"""How many layers a vertical array bears: gain, error, settling time, and inference on MNIST (circuit of Park, IEDM 2012; Deng, IEDM 2013).

Left: what 16 x 16 pillars make of a product, against layers, for three resistances of a pillar per layer: error after the best
gain, and after one gain for each height. Middle: the time to 1 %. Right: a 196-64-10 network (MNIST at 14 x 14), trained in float,
its first layer in two vertical arrays (positive and negative weights), with a gain for each height. All values of the circuit are assumed.

Usage: python vprram.py --data-dir FOLDER [--quick] [--out FOLDER]      (10 min; writes vprram.png and vprram.json)
       python vprram.py --redraw [--out FOLDER]                         (the picture alone, from the JSON in the folder)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from _figure import figure_of

import aimco as ai
from aimco.arrays.vertical import VerticalArray, VerticalWires, residual

PILLAR = (10.0, 100.0, 1000.0)
LAYERS = (4, 16, 64, 128)
HEIGHTS = (2, 4, 7, 14, 28, 49, 98, 196)
INPUTS, HIDDEN = 196, 64


def products(layers: int, pillar: float) -> dict[str, float]:
    """Gain, errors and settling of 16 x 16 pillars with cells of 0.1 to 10 uS."""
    draws = np.random.default_rng(layers)
    g, v = draws.uniform(1e-7, 1e-5, (layers, 16, 16)), torch.from_numpy(draws.uniform(-0.3, 0.3, (8, layers * 16)))
    array = VerticalArray(torch.from_numpy(g), VerticalWires(layers=layers, rows=16, columns=16, pillar_ohm=pillar))
    gain, left = residual(v @ array.matrix, v @ array.ideal)
    corrected = (v.view(8, layers, 16) / array.gains()[:, None]).flatten(1)
    settling = array.settling(v[:1])
    return {
        "gain": gain,
        "error": left,
        "error, gain for each height": residual(corrected @ array.matrix, v @ array.ideal)[1],
        "slowest time constant, s": settling.slowest_s,
        "1 % time, s": float(settling.settle_s[0]),
        "energy, J": float(settling.energy_J[0]),
    }


def trained(data_dir: str, epochs: int) -> tuple[torch.nn.Sequential, torch.Tensor, torch.Tensor]:
    """A float network on pooled images, and the test set."""
    task = ai.tasks.load("mnist", data_dir=data_dir)
    pool = torch.nn.AvgPool2d(2)
    x, test = (pool(t.reshape(-1, 1, 28, 28)).flatten(1) for t in (task.train_x, task.test_x))
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(INPUTS, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[index]), task.train_y[index]).backward()
            optimizer.step()
    return model, test, task.test_y


def inference(model: torch.nn.Sequential, x: torch.Tensor, y: torch.Tensor, layers: int, pillar: float) -> dict[str, float]:
    """Test accuracy, %, with the first layer in vertical arrays: one gain for all heights, and one for each."""
    weight = model[0].weight.detach().T.double()
    scale = 1e-5 / float(weight.abs().max())
    wires = VerticalWires(layers=layers, rows=-(-INPUTS // layers), columns=HIDDEN, pillar_ohm=pillar)
    pair = [VerticalArray(1e-7 + scale * (sign * weight).clamp(min=0), wires) for sign in (1, -1)]
    matrix, ideal = (getattr(pair[0], n) - getattr(pair[1], n) for n in ("matrix", "ideal"))
    gain, gains = ((matrix * ideal).reshape(n, -1).sum(1) / (ideal**2).reshape(n, -1).sum(1) for n in (1, layers))
    gains = gains.repeat_interleave(wires.rows)[:, None]
    accuracies = {}
    for name, effective in (("one gain", matrix / gain), ("gain for each height", matrix / gains)):
        h = torch.tanh(x.double() @ effective[:INPUTS] / scale + model[0].bias.detach())
        accuracies[name] = 100 * float((model[2](h.float()).argmax(1) == y).double().mean())
    return accuracies


def main() -> None:
    figure_of("vprram", lambda chosen: run(chosen.data_dir, chosen.quick), draw, mnist="must")


def run(data_dir: str, quick: bool) -> dict[str, Any]:
    """Products and inference for every resistance of a pillar."""
    layers, heights = (LAYERS[:3], HEIGHTS[1::2]) if quick else (LAYERS, HEIGHTS)
    table: dict[str, Any] = {"products": {}, "exponent of the 1 % time": {}, "test accuracy, %": {}, "most layers that cost < 1 point": {}}
    for pillar in PILLAR:
        rows = {n: products(n, pillar) for n in layers}
        times = [row["1 % time, s"] for row in rows.values()]
        table["products"][f"{pillar:g} Ohm"] = rows
        table["exponent of the 1 % time"][f"{pillar:g} Ohm"] = float(np.polyfit(np.log(layers), np.log(times), 1)[0])
        for n, row in rows.items():
            print(f"{pillar:g} Ohm, {n} layers: " + ", ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
    with torch.no_grad():
        with torch.enable_grad():
            model, x, y = trained(data_dir, 2 if quick else 10)
        ideal = 100 * float((model(x).argmax(1) == y).double().mean())
        table["test accuracy, %"]["float"] = ideal
        for pillar in PILLAR:
            rows = {n: inference(model, x, y, n, pillar) for n in heights}
            most = {k: max([n for n in heights if rows[n][k] > ideal - 1], default=0) for k in ("one gain", "gain for each height")}
            table["test accuracy, %"][f"{pillar:g} Ohm"], table["most layers that cost < 1 point"][f"{pillar:g} Ohm"] = rows, most
            print(f"{pillar:g} Ohm: float {ideal:.2f} %, {rows}; most layers {most}", flush=True)
    return table


def draw(table: dict[str, Any], path: Path) -> None:
    """Three panels against layers, a colour for each resistance."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(13, 3.8), layout="constrained")
    error, time, right = figure.subplots(1, 3)
    for k, (pillar, rows) in enumerate(table["products"].items()):
        for name, line in (("error", "o-"), ("error, gain for each height", "s--")):
            error.plot(list(map(int, rows)), [100 * row[name] for row in rows.values()], line, color=f"C{k}")
        time.plot(list(map(int, rows)), [1e12 * row["1 % time, s"] for row in rows.values()], "o-", color=f"C{k}")
        read = table["test accuracy, %"][pillar]
        for name, line in (("one gain", "o-"), ("gain for each height", "s--")):
            right.plot(list(map(int, read)), [row[name] for row in read.values()], line, color=f"C{k}")
    right.axhline(table["test accuracy, %"]["float"], color="grey", linestyle=":")
    error.set(yscale="log", xlabel="layers", ylabel="error of a product (%)", title="16 x 16 pillars")
    time.set(yscale="log", xlabel="layers", ylabel="time to 1 % (ps)", title="settling")
    right.set(xlabel="layers", ylabel="test accuracy, MNIST (%)", title="196-64-10")
    for axis, ticks in ((error, table["products"]), (time, table["products"]), (right, table["test accuracy, %"])):
        layers = [int(n) for n in next(row for row in ticks.values() if isinstance(row, dict))]
        axis.set_xscale("log")
        axis.set_xticks(layers, [str(n) for n in layers])
        axis.minorticks_off()
    marks = [Line2D([], [], color=f"C{k}", label=f"{pillar} per layer") for k, pillar in enumerate(table["products"])]
    marks += [
        Line2D([], [], color="grey", linestyle=line, marker=m, label=n)
        for m, line, n in (("o", "-", "one gain"), ("s", "--", "one for each height"))
    ]
    marks.append(Line2D([], [], color="grey", linestyle=":", label="float"))
    figure.get_layout_engine().set(wspace=0.08)
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
