"""What makes up for wires: smaller arrays and compensated conductances; and how single cells of three-dimensional arrays are read.

Left: 128 x 128 cells of 0 to 100 uS with resistive lines: what a product is off after the best gain, as programmed, cut over smaller
arrays, and with the conductances that make the effective matrix the one wanted, within the range of the devices. Middle: the gain that
compensation leaves. Right: the margin of reading the farthest cell of 16 x 16 pillars, all others on, against layers (circuit of Park,
IEDM 2012; Deng, IEDM 2013; cells of 10 and 0.1 uS, 0.1 V, all values assumed).

Usage: python wire_mitigations.py [--quick] [--redraw] [--out FOLDER]      (1 min; writes wire-mitigations.png and .json)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from _figure import figure_of

from aimco.arrays.mitigation import compensated, effective, in_tiles, read_margin
from aimco.arrays.vertical import VerticalWires, residual
from aimco.arrays.wires import Wires

OHM, TILES, LAYERS = (0.5, 1.0, 2.0, 5.0), (64, 32), (2, 4, 8, 16, 32)
MOST_S, ON_S, OFF_S = 1e-4, 1e-5, 1e-7


def planar(ohm: float, size: int) -> dict[str, float]:
    """Errors of products with one random matrix, %, and the gain that compensation leaves."""
    draws = torch.Generator().manual_seed(0)
    g = MOST_S * torch.rand(size, size, generator=draws, dtype=torch.float64)
    v = torch.rand(16, size, generator=draws, dtype=torch.float64)
    wires = Wires(word_ohm=ohm, bit_ohm=ohm, tolerance=1e-6)
    compensation = compensated(g, wires, g_max=MOST_S)
    matrices = {"as programmed": effective(g, wires)} | {f"in arrays of {n} x {n}": in_tiles(g, wires, n, n) for n in TILES}
    matrices["compensated"] = effective(compensation.conductances, wires)
    residuals = {name: residual(v @ matrix, v @ g) for name, matrix in matrices.items()}
    return {name: 100 * error for name, (_, error) in residuals.items()} | {f"gain, {name}": gain for name, (gain, _) in residuals.items()}


def margins(layers: int, size: int) -> dict[str, float]:
    """Margin of the farthest cell, %, for what other word lines do."""
    wires = VerticalWires(layers=layers, rows=size, columns=size)
    return {how: 100 * read_margin(wires, ON_S, OFF_S, unselected=how).margin for how in ("grounded", "floating", "half")}


def run(size: int, pillars: int) -> dict[str, Any]:
    """Products of planar arrays for each resistance, margins of three-dimensional ones for each number of layers."""
    return {
        "planar": {f"{ohm:g}": planar(ohm, size) for ohm in OHM},
        "read margin, %": {str(n): margins(n, pillars) for n in LAYERS},
    }


def main() -> None:
    figure_of("wire-mitigations", lambda chosen: run(*((64, 8) if chosen.quick else (128, 16))), draw)


def draw(table: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    error, gain, margin = figure.subplots(1, 3)
    rows = table["planar"]
    names = [name for name in next(iter(rows.values())) if not name.startswith("gain, ")]
    for axis, columns, key in ((error, names, ""), (gain, names, "gain, ")):
        for name in columns:
            axis.plot([float(ohm) for ohm in rows], [row[key + name] for row in rows.values()], "o-", label=name)
        axis.set(xscale="log", xlabel="resistance of a segment (Ohm)")
        axis.set_xticks([float(ohm) for ohm in rows], list(rows))
        axis.minorticks_off()
    error.set(yscale="log", ylabel="error of a product (%)", ylim=(4e-4, 40))
    gain.set(ylabel="gain of a product", ylim=(0, 1))
    layers = table["read margin, %"]
    for how in next(iter(layers.values())):
        margin.plot([int(n) for n in layers], [row[how] for row in layers.values()], "o-", label=how)
    margin.set(xscale="log", xlabel="layers", ylabel="read margin (%)", ylim=(0, 100))
    margin.set_xticks([int(n) for n in layers], list(layers))
    margin.minorticks_off()
    error.legend(loc="lower right")
    margin.legend(title="other word lines")
    figure.get_layout_engine().set(wspace=0.08)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
