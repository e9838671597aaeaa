"""What sharing one ADC among k columns gives and takes, and what its bits do to accuracy (Shafiee et al., ISCA 2016; arXiv 2404.06553).

VGG-8 in arrays of 128 x 128 at 32 nm: time, area and energy of one image with one ADC for 1 to 128 columns. Columns are read again one
by one, or sampled at once and held for an ADC of 100 MS/s or 1.28 GS/s. The knee is where most operations are done per area and time.
Beside it, 64-32-10 learns digits through ADCs of 4 to 8 bits, and what a conversion of so many bits takes.

Usage: python adc_sharing.py [--quick] [--out FOLDER] [--redraw]      (40 s; writes adc-sharing.png and .json)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from _figure import figure_of

import aimco as ai
from aimco.cost import Architecture, Technology, inference
from aimco.cost.converters import adc
from aimco.cost.network import operations

LINES = [1, 2, 4, 8, 16, 32, 64, 128]
RATES = {"read again for each column": None, "held, 100 MS/s": 100e6, "held, 1.28 GS/s": 1.28e9}
BITS = [4.0, 5.0, 6.0, 7.0, 8.0]
TECHNOLOGY = "isaac-32nm"


def shared(lines: int, rate: float | None) -> ai.Design:
    """ADCs of 8 bits, each for so many columns."""
    converter = {"bits": 8.0, "range_A": 1e-5, "lines": lines} | ({"rate_Hz": rate} if rate else {})
    return ai.Design.of({"device": "rpu", "array": {"rows": 128, "cols": 128}, "periphery": {"adc": converter}, "technology": TECHNOLOGY})


def sharing(rate: float | None) -> dict[str, list[float] | int]:
    """Time (s), area (m^2), energy (J) of an image and TOPS/mm2 for each k, and the k of the most."""
    network = Architecture.named("vgg8")
    prices = [inference(shared(k, rate), network) for k in LINES]
    dense = [operations(network) / p.interval_s / p.area_m2 / 1e18 for p in prices]
    rows: dict[str, list[float] | int] = {
        "latency_s": [p.latency_s for p in prices],
        "area_m2": [p.area_m2 for p in prices],
        "energy_J": [p.energy_J["total"] for p in prices],
        "adc_J": [p.energy_J["adc"] for p in prices],
        "TOPS/mm2": dense,
    }
    return rows | {"knee": LINES[dense.index(max(dense))]}


def learned(bits: float) -> ai.Design:
    """64-32-10 whose columns saturate at the current of two weights of 1."""
    one = 0.5e-6 * 0.2
    return ai.Design.of({"device": "ideal", "periphery": {"adc": {"bits": bits, "range_A": 2 * one}}, "rule": {"kind": "sgd", "lr": 0.1}})


def accuracies(seeds: int, epochs: int) -> dict[str, list[float]]:
    """Test accuracy on digits, %, of each seed; learned through ADCs of so many bits."""
    pairs = [(bits, seed) for bits in BITS for seed in range(seeds)]
    designs = [learned(bits).replace("training.epochs", epochs) for bits, _ in pairs]
    results = ai.evaluate_many(designs, "digits", seeds=[seed for _, seed in pairs])
    by_bits: dict[str, list[float]] = {f"{bits:g}": [] for bits in BITS}
    for (bits, _), result in zip(pairs, results, strict=True):
        by_bits[f"{bits:g}"].append(100 * result.accuracy)
    return by_bits


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """The sharing of each kind, and accuracy and energy against bits."""
    technology = Technology.named(TECHNOLOGY)
    energies = {f"{b:g}": adc(shared(1, 1.28e9).replace("periphery.adc.bits", b).periphery, technology).energy_J for b in BITS}
    result = {"lines": LINES, "sharing": {name: sharing(rate) for name, rate in RATES.items()}, "conversion_J": energies}
    result |= {"accuracy": accuracies(*((1, 2) if chosen.quick else (3, 15)))}
    for name, rows in result["sharing"].items():
        print(f"{name}: knee at {rows['knee']} columns, {max(rows['TOPS/mm2']):.3g} TOPS/mm2")
    for bits, values in result["accuracy"].items():
        print(f"{bits} bits: {sum(values) / len(values):.1f} %, {1e12 * energies[bits]:.2f} pJ a conversion")
    return result


def draw(result: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.2), layout="constrained")
    axes = figure.subplots(2, 2)
    panels = (("latency_s", 1e3, "time of an image (ms)"), ("area_m2", 1e6, "area (mm$^2$)"), ("energy_J", 1e6, "energy of an image (uJ)"))
    for axis, (key, unit, label) in zip(axes.flat, panels, strict=False):
        for k, (name, rows) in enumerate(result["sharing"].items()):
            values = [unit * v for v in rows[key]]
            axis.plot(result["lines"], values, marker=".", color=f"C{k}", label=name)
            at = result["lines"].index(rows["knee"])
            axis.plot(rows["knee"], values[at], marker="o", markersize=10, fillstyle="none", color=f"C{k}")
        axis.set(xscale="log", xlabel="columns that share an ADC", ylabel=label, xticks=result["lines"], xticklabels=result["lines"])
        axis.minorticks_off()
    axes[0, 0].set(yscale="log", title="VGG-8, 128 x 128, 32 nm, 8 bits; circle: most TOPS/mm$^2$")
    axes[0, 1].set_yscale("log")
    axes[1, 0].set_ylim(0, 1.1 * axes[1, 0].get_ylim()[1])
    axes[0, 0].legend(fontsize="small")
    bits = [float(b) for b in result["accuracy"]]
    for value, seeds in zip(bits, result["accuracy"].values(), strict=True):
        axes[1, 1].plot([value] * len(seeds), seeds, ".", color="C0")
    axes[1, 1].plot(bits, [sum(v) / len(v) for v in result["accuracy"].values()], color="C0")
    axes[1, 1].set(xlabel="bits of the ADC", xticks=bits, title="64-32-10 on digits, learned through the ADC")
    axes[1, 1].set_ylabel("test accuracy (%)", color="C0")
    energy = axes[1, 1].twinx()
    energy.plot(bits, [1e12 * j for j in result["conversion_J"].values()], color="C1", marker=".")
    energy.set_ylabel("energy of a conversion (pJ)", color="C1")
    energy.set_ylim(bottom=0)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    figure_of("adc-sharing", run, draw)
