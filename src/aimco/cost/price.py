"""Price: what the counted operations of a design cost in joules, seconds and square metres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from aimco.design import Design
from aimco.ledger import Counts
from aimco.record import InputError, Listed, quantity
from aimco.units import F, J, Unit, W, m, m2


class Technology(Listed):
    """Energies, areas and rates of one fabrication technology.

    Args:
        pitch_m: distance of two cross-points. node_nm: process of the converters. mean_square_input: mean of (input / full scale)^2.
        line_capacitance_F: of the wire of one cell. adc_J, dac_J: per conversion. adc_m2, dac_m2: area of one converter.
        digital_J, digital_per_s: energy and rate of digital operations. array_static_W: power that one array draws while
            the network works, whatever it does. amplifier_W, node_m2: power of one bidirectional amplifier, and area of one node with
            its amplifier and diodes, in resistive networks. synapse_J, spike_J, walk_J, neuron_m2: of spiking networks, absent where
            these are not priced. sources: where each number comes from, or "assumed".
    """

    listed_in: ClassVar[Path] = Path(__file__).parent / "technology"

    name: str
    pitch_m: float = quantity(m, gt=0, doc="cross-point pitch")
    node_nm: float = quantity(Unit(1e-9, "nm"), gt=0, doc="process node of the converters")
    mean_square_input: float = Field(gt=0, le=1, description="mean square of the normalised input")
    line_capacitance_F: float = quantity(F, ge=0, doc="wire capacitance per cell")
    adc_J: float = quantity(J, ge=0, doc="energy of one analog-to-digital conversion")
    adc_m2: float = quantity(m2, ge=0, doc="area of one ADC")
    dac_J: float = quantity(J, ge=0, doc="energy of one digital-to-analog conversion")
    dac_m2: float = quantity(m2, ge=0, doc="area of one DAC")
    digital_J: float = quantity(J, ge=0, doc="energy of one digital operation")
    digital_per_s: float = quantity(Unit(1.0, "1/s"), gt=0, doc="digital operations per second")
    array_static_W: float = quantity(W, 0.0, ge=0, doc="power of one array whatever it does")
    amplifier_W: float = quantity(W, ge=0, doc="power of one bidirectional amplifier")
    node_m2: float = quantity(m2, ge=0, doc="area of a node with its amplifier and diodes")
    synapse_J: float | None = quantity(J, None, ge=0, doc="energy of one synaptic operation of a spike")
    spike_J: float | None = quantity(J, None, ge=0, doc="energy of one spike beside its synaptic operations")
    walk_J: float | None = quantity(J, None, ge=0, doc="energy of one step of one random-walk circuit")
    neuron_m2: float | None = quantity(m2, None, ge=0, doc="area of one spiking neuron")
    sources: dict[str, str] = Field(default={}, description="where each number comes from")


PARTS: tuple[str, ...] = (
    "read",
    "update",
    "program",
    "circuit",
    "amplifier",
    "synapse",
    "spike",
    "walk",
    "dac",
    "adc",
    "digital",
    "static",
)


@dataclass(frozen=True)
class Price:
    """Energy by part and in total (J), time (s) and area (m^2) of what was counted."""

    energy_J: dict[str, float]
    latency_s: float
    area_m2: float
    samples: int | None = None

    @property
    def per_sample(self) -> dict[str, float]:
        """Energy (J) and time (s) of one sample; empty where the number of samples is not known."""
        return {"energy_J": self.energy_J["total"] / self.samples, "latency_s": self.latency_s / self.samples} if self.samples else {}

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self) | {"per_sample": self.per_sample}


def table(price: Price) -> list[tuple[str, float, float]]:
    """(part, energy in J, share of the total), the largest first.

    Example:
        >>> table(Price({"read": 1.0, "adc": 3.0, "total": 4.0}, 0.0, 0.0))
        [('adc', 3.0, 0.75), ('read', 1.0, 0.25)]
    """
    total = price.energy_J["total"]
    parts = [(part, joules, joules / total if total else 0.0) for part, joules in price.energy_J.items() if part != "total"]
    return sorted(parts, key=lambda row: -row[1])


def price(
    design: Design,
    counts: Mapping[str, Mapping[str, Counts | Mapping[str, Any]]],
    *,
    samples: int | None = None,
    shapes: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
) -> Price:
    """Price of the operations of every array of a network.

    Energies, J, with G the mid-range conductance (S), V_r and V_u the read and update voltages (V), C the wire capacitance per
    cell (F):
        read = cell_reads V_r^2 G <u^2> read_s
        update = (row_pulses columns + column_pulses rows) C V_u^2 / 4 + coincidences V_u^2 G pulse_s
        program = (program_pulses + resets) (V_u^2 G pulse_s + (rows + columns) C V_u^2 / 4)
        circuit = dissipated_W settle_s / settles; amplifier = amplified amplifier_W settle_s / settles: of resistive networks
        synapse, spike, walk = synaptic_ops, spikes and walk_steps times the energy of one: of spiking networks
        dac, adc, digital = their number times the energy of one
        static = array_static_W (number of arrays) time.
    Matrices work one after the other; the pieces of one matrix cut over several arrays work at once. Time, s:
        (mvm + mvm_t) read_s adc.lines + slots pulse_s + program_rounds rows (pulse_s + read_s) + digital_ops / digital_per_s + settle_s
            + spiking_s.
    A read of a single row is a vector like any other, already among mvm.
    Area, m^2: pitch^2 per device, an ADC and a DAC for every line of both sides over the lines that share one, since
    the transposed read needs them on either side. A resistive network has no converters: node_m2 for every column.

    Args:
        design: device, periphery and technology. counts: layer -> array -> ledger of one ensemble member.
        samples: training samples counted. shapes: layer -> array -> (rows, columns) of the whole matrix, for the area and the
            lengths of lines; without one, an array has neither area nor line energy nor programming time.

    Returns:
        A `Price`.

    Raises:
        InputError: the technology is unknown, or the counts are those of an ensemble.

    Example:
        >>> price(Design(device="ideal"), {"layer": {"W": Counts(adc=1000)}}).energy_J["adc"]
        1.6667e-09
    """
    technology = Technology.named(design.technology)
    energy: dict[str, float] = {part: 0.0 for part in PARTS}
    seconds, area, arrays = 0.0, 0.0, 0
    for layer, ledgers in counts.items():
        for name, ledger in ledgers.items():
            n, cut = _numbers(ledger), _Cut.of(design, *(shapes or {}).get(layer, {}).get(name, (0, 0)))
            for part, joules in _energy(design, technology, n, cut).items():
                energy[part] += joules
            seconds += _seconds(design, technology, n, cut)
            area += _area(design, technology, cut)
            arrays += cut.arrays
    energy["static"] = technology.array_static_W * arrays * seconds
    energy["total"] = sum(energy.values())
    return Price(energy, seconds, area, samples)


@dataclass(frozen=True)
class _Cut:
    """A matrix over `arrays` arrays, each of rows x columns (on average)."""

    rows: float
    columns: float
    arrays: int

    @classmethod
    def of(cls, design: Design, rows: int, columns: int) -> _Cut:
        down, across = (max(ceil(n / most), 1) for n, most in ((rows, design.array.rows), (columns, design.array.cols)))
        return cls(rows / down, columns / across, down * across)


def _numbers(counts: Mapping[str, Any]) -> dict[str, float]:
    if any(np.size(amount) != 1 for amount in counts.values()):
        raise InputError("counts must be those of one ensemble member, got one number for each of several; use counts.member(0)")
    return {name: float(np.asarray(amount).item()) for name, amount in counts.items()}


def _energy(design: Design, technology: Technology, n: Mapping[str, float], cut: _Cut) -> dict[str, float]:
    p, conductance = design.periphery, float(np.mean(design.device.mid_range))
    read = p.read_voltage**2 * conductance * technology.mean_square_input * p.read_s
    per_cell = technology.line_capacitance_F * p.update_voltage**2 / 4
    step = p.update_voltage**2 * conductance * p.pulse_s
    cells_charged = n.get("row_pulses", 0) * cut.columns + n.get("column_pulses", 0) * cut.rows
    written = n.get("program_pulses", 0) + n.get("resets", 0)
    settle_s = n["settle_s"] / n["settles"] if n.get("settles") else 0.0
    return {
        "circuit": n.get("dissipated_W", 0) * settle_s,
        "amplifier": n.get("amplified", 0) * technology.amplifier_W * settle_s,
        "synapse": n.get("synaptic_ops", 0) * (technology.synapse_J or 0.0),
        "spike": (n.get("lif_spikes", 0) + n.get("blif_spikes", 0)) * (technology.spike_J or 0.0),
        "walk": n.get("walk_steps", 0) * (technology.walk_J or 0.0),
        "read": n.get("cell_reads", 0) * read,
        "update": cells_charged * per_cell + n.get("coincidences", 0) * step,
        "program": written * (step + per_cell * (cut.rows + cut.columns)),
        "dac": n.get("dac", 0) * technology.dac_J,
        "adc": n.get("adc", 0) * technology.adc_J,
        "digital": n.get("digital_ops", 0) * technology.digital_J,
    }


def _seconds(design: Design, technology: Technology, n: Mapping[str, float], cut: _Cut) -> float:
    p = design.periphery
    reads = (n.get("mvm", 0) + n.get("mvm_t", 0)) * p.read_s * p.adc.lines
    program = n.get("program_rounds", 0) * cut.rows * (p.pulse_s + p.read_s)
    in_arrays = reads + n.get("slots", 0) * p.pulse_s + program
    return n.get("settle_s", 0) + n.get("spiking_s", 0) + in_arrays / cut.arrays + n.get("digital_ops", 0) / technology.digital_per_s


def _area(design: Design, technology: Technology, cut: _Cut) -> float:
    p = design.periphery
    adcs, dacs = (sum(ceil(side / c.lines) for side in (cut.rows, cut.columns)) for c in (p.adc, p.dac))
    devices = cut.rows * cut.columns * len(design.cell.signs)
    if design.network.kind == "resistive":
        return cut.arrays * (devices * technology.pitch_m**2 + cut.columns * technology.node_m2)
    if design.network.kind == "spiking-rbm":
        neurons = (cut.rows + cut.columns) * (technology.neuron_m2 or 0.0)
        return cut.arrays * (devices * technology.pitch_m**2 + neurons)
    return cut.arrays * (devices * technology.pitch_m**2 + adcs * technology.adc_m2 + dacs * technology.dac_m2)


def sample_latency(design: Design, vectors: Sequence[int]) -> float:
    """Seconds of one training sample: a read and an update of each layer, a transposed read of all but the first.

    (2 V - V_1) read_s adc.lines + V 2 length pulse_s for V vectors, V_1 of them on the first layer; an update takes `length` slots
    for each polarity.

    Args:
        design: its periphery. vectors: that each layer takes for one sample, one after the other: 1, or the patches of a convolution.

    Example:
        >>> f"{sample_latency(Design(device='ideal'), [1, 1]):.3g}"
        '3.64e-07'
    """
    p, total = design.periphery, sum(vectors)
    reads = (2 * total - sum(vectors[:1])) * p.read_s * p.adc.lines
    return reads + total * 2 * p.pulses.length * p.pulse_s
