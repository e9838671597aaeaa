"""The estimate of NeuroSim V1.4 for a small network on RRAM at 22 nm, and ours.

Weights of 8 bits lie on eight columns, inputs of 8 bits come one after the other, 32 of 128 rows are read at a time, and eight columns
share a flash ADC of 4 bits. Numbers are those of the technology rram-22nm, some of which (areas of parts, the share of bits that are 1)
are NeuroSim's own: what is compared is how they add up. The energy of additions is Horowitz's, that of cells V^2 G t.

What differs: NeuroSim counts the current of a column while it is sensed to its ADC, so both are compared together; its chip leaves 70 %
of its area empty (`layout`); a layer's vectors and its results go over a bus one after the other (`moved_per_s`), where NeuroSim has
buffers and a bus of their own clocks; its TOPS/W does not follow from its own energy (18.9), and is told for information. For VGG-8 it
repeats the arrays of early layers, up to eight times, which ours does not: the figures of the manual are not reproduced.
"""

from __future__ import annotations

from math import log

from aimco.cost.network import Architecture, Shapes, operations
from aimco.cost.price import Price, price
from aimco.design import Design
from aimco.ledger import Counts
from aimco.reference import Row, Settings
from aimco.shapes import Shape

SOURCE = (
    "DNN+NeuroSim V1.4, run by us on 1024-1024-10, 22 nm RRAM of 100 kOhm and on/off 17, one bit a cell, 4-bit ADCs, 32 of 128 rows at "
    "once: expected, not published; VGG-8: published in its manual"
)
NEEDS = None

ENERGY, ADC, ACCUMULATION, OTHER = 112_064.0, 72_474.0, 22_876.0, 16_714.0  # pJ per image
VGG8 = {32: (381.9, 6.25, 11.25), 64: (378.06, 8.16, 19.88)}  # rows at once: mm2, TOPS, TOPS/W, of the manual
LATENCY, AREA, EFFICIENCY = 1086.88, 20.18, 15.49  # ns, mm2, TOPS/W
_VGG8_NEAR = 0.3
BITS, CELLS = 8, 8  # of an input, pulses; of a weight, columns
_ON, _OFF = 1e-5, 1e-5 / 17
_STEPS = {"kind": "constant-step", "step_up": 1e-7, "step_down": 1e-7}  # not used
_NETWORK = {"name": "fc", "image": (1024, 1, 1), "layers": [{"outputs": 1024}, {"outputs": 10}]}


def design(groups: int = 4) -> Design:
    """Arrays of 128 x 128, a group of whose rows are read at a time.

    The clock is 1.75 ns: in half of it the array is read, in the other its ADCs decide.
    """
    adc = {"bits": 4.0, "range_A": 32 * 0.55 * _ON, "shared_by": 8, "kind": "flash", "rate_Hz": 1 / 1.75e-9}
    return Design.of(
        {
            "device": {"name": "on/off 17", "g_min": _OFF, "g_max": _ON, "response": _STEPS},
            "array": {"rows": 128, "cols": 128},
            "network": {"bias": "none"},
            "periphery": {"read_voltage": 0.55, "read_s": 0.875e-9, "adc": adc, "dac": {"shared_by": groups}},
            "technology": "rram-22nm",
        }
    )


def counts(shape: Shape) -> Counts:
    """Reads of one image: a vector of single bits for each bit of the inputs."""
    down, across, bits = -(-shape.rows // 128), -(-shape.columns // 128), BITS * shape.vectors
    read = Counts(mvm=bits * down * across, dac=bits * shape.rows * across, adc=bits * shape.columns * down)
    moved = shape.vectors * (shape.rows + shape.columns // CELLS)
    return read + Counts(cell_reads=bits * shape.rows * shape.columns, digital_ops=bits * shape.columns * (down - 1), moved=moved)


def priced(network: Shapes, groups: int = 4) -> Price:
    """One image, every layer at work on another."""
    sliced = [Shape(s.name, s.rows, s.columns * CELLS, s.vectors) for s in network.shapes()]
    shapes = {s.name: {"W": (s.rows, s.columns)} for s in sliced}
    return price(design(groups), {s.name: {"W": counts(s)} for s in sliced}, shapes=shapes, both_sides=False)


def run(settings: Settings) -> list[Row]:
    """Energy within 30 %, the share of the ADCs within ten points, time and area within a factor 1.5; VGG-8 within 30 %."""
    network = Architecture.of(_NETWORK)
    one, tera = priced(network), operations(network) / 1e12
    part, component = one.energy_J, one.by("component")
    sensed, total = part["adc"] + part["read"], part["total"]
    cells = {
        "energy": (ENERGY, 1e12 * total, 0.3 * ENERGY, "pJ"),
        "ADCs and the currents they sense, of the energy": (100 * ADC / ENERGY, 100 * sensed / total, 10.0, "%"),
        "ADCs and the currents they sense": (ADC, 1e12 * sensed, None, "pJ"),
        "ADCs alone; theirs where no input is driven": (53_057.0, 1e12 * part["adc"], None, "pJ"),
        "accumulation": (ACCUMULATION, 1e12 * component["accumulation"], None, "pJ"),
        "other: lines, inputs and results on their way": (OTHER, 1e12 * (total - sensed - component["accumulation"]), None, "pJ"),
        "time from image to image, ours over theirs as a power of 1.5": (0.0, _power(1e9 * one.interval_s / LATENCY), 1.0, ""),
        "time from image to image": (LATENCY, 1e9 * one.interval_s, None, "ns"),
        "area, ours over theirs as a power of 1.5": (0.0, _power(1e6 * one.area_m2 / AREA), 1.0, ""),
        "area": (AREA, 1e6 * one.area_m2, None, "mm^2"),
        "efficiency; theirs is 18.9 by its own energy": (EFFICIENCY, tera / total, None, "TOPS/W"),
    }
    return [
        *(Row(name, None, ours, within, unit, expected=theirs) for name, (theirs, ours, within, unit) in cells.items()),
        *_vgg8(),
    ]


def _vgg8() -> list[Row]:
    """The example of the manual, reading 32 or 64 of 128 rows at once."""
    network, rows = Architecture.named("vgg8"), []
    why = "NeuroSim repeats the arrays of early layers, and its efficiency does not follow from its energy"
    for at_once, (area, tops, efficiency) in VGG8.items():
        one, name = priced(network, 128 // at_once), f"VGG-8, {at_once} rows"
        rows.append(Row(f"{name}: area", area, 1e6 * one.area_m2, _VGG8_NEAR * area, "mm^2", why=why))
        rate, per_joule = operations(network) / one.interval_s / 1e12, operations(network) / one.energy_J["total"] / 1e12
        rows.append(Row(f"{name}: throughput", tops, rate, _VGG8_NEAR * tops, "TOPS", why=why))
        rows.append(Row(f"{name}: efficiency", efficiency, per_joule, _VGG8_NEAR * efficiency, "TOPS/W", why=why))
    return rows


def _power(ratio: float) -> float:
    return log(ratio) / log(1.5)
