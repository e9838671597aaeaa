"""Price: what the counted operations of a design cost in joules, seconds and square metres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field

from aimco.design import Design
from aimco.ledger import Counts
from aimco.mapping import spans
from aimco.record import InputError, Record, _meant, quantity
from aimco.units import F, J, Unit, m, m2

_FOLDER = Path(__file__).parent / "technology"


class Technology(Record):
    """Energies, areas and rates of one fabrication technology.

    Args:
        pitch_m: distance of two cross-points. mean_square_input: mean of (read voltage / full scale)^2 over inputs.
        line_capacitance_F: of the wire of one cell. adc_J, dac_J: per conversion. adc_m2, dac_m2: area of one converter.
        digital_J, digital_per_s: energy and rate of digital operations. sources: where each number comes from, or "assumed".
    """

    name: str
    pitch_m: float = quantity(m, gt=0, doc="cross-point pitch")
    mean_square_input: float = Field(gt=0, le=1, description="mean square of the normalised input")
    line_capacitance_F: float = quantity(F, ge=0, doc="wire capacitance per cell")
    adc_J: float = quantity(J, ge=0, doc="energy of one analog-to-digital conversion")
    adc_m2: float = quantity(m2, ge=0, doc="area of one ADC")
    dac_J: float = quantity(J, ge=0, doc="energy of one digital-to-analog conversion")
    dac_m2: float = quantity(m2, ge=0, doc="area of one DAC")
    digital_J: float = quantity(J, ge=0, doc="energy of one digital operation")
    digital_per_s: float = quantity(Unit(1.0, "1/s"), gt=0, doc="digital operations per second")
    sources: dict[str, str] = Field(default={}, description="where each number comes from")

    @classmethod
    def named(cls, name: str) -> Self:
        """A technology that comes with aimco, or a TOML file when the name ends in .toml."""
        if name.endswith(".toml"):
            return cls.load(name)
        known = sorted(p.stem for p in _FOLDER.glob("*.toml"))
        if name not in known:
            raise InputError(
                f"technology {name!r} is unknown{_meant(name, known)}; the technologies are {', '.join(known)}, or a FILE.toml"
            )
        return cls.load(_FOLDER / f"{name}.toml")


@dataclass(frozen=True)
class Price:
    """Energy by part and in total (J), time (s) and area (m^2) of what was counted."""

    energy_J: dict[str, float]
    latency_s: float
    area_m2: float
    samples: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def price(
    design: Design,
    counts: Mapping[str, Mapping[str, Counts]],
    *,
    samples: int | None = None,
    shapes: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
) -> Price:
    """Price of the operations of every array of a network.

    read = cell_reads V^2 G <u^2> t_read: the current of each device through the read voltage, G at mid-range.
    update = pulses of half the update voltage that charge their line, C V^2 / 4 per cell, plus V^2 G t_pulse per coincidence.
    Conversions and digital operations cost their energy each. Arrays work one after the other: time is the sum of reads
    (times the lines that share one ADC), pulse slots, programming and digital operations.

    Args:
        design: device, periphery and technology. counts: layer -> array -> ledger. samples: training samples counted.
        shapes: layer -> array -> (rows, columns), for the area and for the lengths of lines.

    Example:
        >>> price(Design(device="ideal"), {"layer": {"W": Counts(adc=1000)}}).energy_J["adc"]
        1.6667e-09
    """
    technology = Technology.named(design.technology)
    energy: dict[str, float] = dict.fromkeys(("read", "update", "program", "dac", "adc", "digital"), 0.0)  # pyright: ignore[reportAssignmentType]
    seconds = area = 0.0
    for layer, arrays in counts.items():
        for name, counted in arrays.items():
            rows, columns = (shapes or {}).get(layer, {}).get(name, (0, 0))
            for part, joules in _energy(design, technology, counted, rows, columns).items():
                energy[part] += joules
            seconds += _seconds(design, technology, counted, rows)
            area += _area(design, technology, rows, columns)
    energy["total"] = sum(energy.values())
    return Price(energy, seconds, area, samples)


def _energy(design: Design, technology: Technology, counts: Counts, rows: int, columns: int) -> dict[str, float]:
    p, conductance = design.periphery, float(np.mean(design.device.mid_range))
    n = {name: float(np.sum(amount)) for name, amount in counts.items()}
    read = p.read_voltage**2 * conductance * technology.mean_square_input * p.read_s
    per_cell = technology.line_capacitance_F * p.update_voltage**2 / 4
    step = p.update_voltage**2 * conductance * p.pulse_s
    lines = n.get("row_pulses", 0) * columns + n.get("column_pulses", 0) * rows
    return {
        "read": n.get("cell_reads", 0) * read,
        "update": lines * per_cell + n.get("coincidences", 0) * step,
        "program": n.get("program_pulses", 0) * (step + per_cell * (rows + columns)),
        "dac": n.get("dac", 0) * technology.dac_J,
        "adc": n.get("adc", 0) * technology.adc_J,
        "digital": n.get("digital_ops", 0) * technology.digital_J,
    }


def _seconds(design: Design, technology: Technology, counts: Counts, rows: int) -> float:
    p = design.periphery
    n = {name: float(np.sum(amount)) for name, amount in counts.items()}
    reads = (n.get("mvm", 0) + n.get("mvm_t", 0)) * p.read_s * p.adc.lines
    program = n.get("program_rounds", 0) * rows * (p.pulse_s + p.read_s)
    return reads + n.get("slots", 0) * p.pulse_s + program + n.get("digital_ops", 0) / technology.digital_per_s


def _area(design: Design, technology: Technology, rows: int, columns: int) -> float:
    """Cross-points, and converters on both sides: the transposed read needs them there too."""
    if not rows:
        return 0.0
    arrays_down, arrays_across = len(spans(rows, design.array.rows)), len(spans(columns, design.array.cols))
    lines = rows * arrays_across + columns * arrays_down
    converters = lines / design.periphery.adc.lines * technology.adc_m2 + lines / design.periphery.dac.lines * technology.dac_m2
    return rows * columns * technology.pitch_m**2 + converters


def sample_latency(design: Design, sizes: Sequence[tuple[int, int]]) -> float:
    """Seconds of one training sample: a read of each layer, a transposed read of all but the first, the longest update."""
    p = design.periphery
    reads = (2 * len(sizes) - 1) * p.read_s * p.adc.lines
    return reads + len(sizes) * 2 * p.pulses.length * p.pulse_s
