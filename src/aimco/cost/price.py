"""Price: what the counted operations of a design cost in joules, seconds and square metres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf, prod
from typing import Literal

import numpy as np

from aimco.cost import converters, latency
from aimco.cost.latency import Cut, Pace
from aimco.cost.technology import Technology
from aimco.design import Design
from aimco.ensemble import PerMember
from aimco.ledger import Counts
from aimco.plain_data import PlainData
from aimco.record import InputError

PARTS: dict[str, str] = {  # what is priced, and the component it belongs to; lines that updates and programming charge are wires
    "read": "array",
    "update": "array",
    "half-select": "array",
    "program": "array",
    "circuit": "array",
    "amplifier": "other",
    "synapse": "array",
    "spike": "other",
    "walk": "other",
    "wires": "wires",
    "select": "wires",
    "dac": "DAC",
    "adc": "ADC",
    "sense": "ADC",
    "integrate": "ADC",
    "accumulate": "accumulation",
    "digital": "digital",
    "moved": "other",
    "static": "leakage",
}
COMPONENTS = ("array", "ADC", "DAC", "accumulation", "digital", "wires", "other", "leakage")
OPERATIONS = ("read", "transposed read", "pulse", "transfer", "refresh", "hold", "settle", "spike")
_LOOK = "look for voltages, conductances, times or numbers of the technology that no chip has"
Amount = Literal["energy_J", "latency_s", "area_m2"]
Kind = Literal["layer", "operation", "component", "part"]


@dataclass(frozen=True)
class Item:
    """One part of a price: a layer, what it was doing, the component that took it; energy (J), time (s) or area (m^2).

    Items of time have no component, and items of area no operation.
    """

    layer: str
    operation: str
    component: str
    part: str
    energy_J: float = 0.0
    latency_s: float = 0.0
    area_m2: float = 0.0


@dataclass(frozen=True)
class Price:
    """Energy by part and in total (J), time (s) and area (m^2) of what was counted.

    Args:
        latency_s: of layers that work one after the other. items: of what energy, time and area are made. cells: of the matrices, and
            `places`, of all arrays they are on.
    """

    energy_J: dict[str, float]
    latency_s: float
    area_m2: float
    samples: int | None = None
    items: tuple[Item, ...] = field(default=(), repr=False)
    cells: int = 0
    places: int = 0

    @property
    def per_sample(self) -> dict[str, float]:
        """Energy (J) and time (s) of one sample; empty where the number of samples is not known."""
        return {"energy_J": self.energy_J["total"] / self.samples, "latency_s": self.latency_s / self.samples} if self.samples else {}

    def by(self, what: Kind, amount: Amount = "energy_J") -> dict[str, float]:
        """Sums over the items, as `price.by("component")`; nothing is listed that took nothing."""
        sums: dict[str, float] = {}
        for item in self.items:
            name, value = getattr(item, what), getattr(item, amount)
            if value and name:
                sums[name] = sums.get(name, 0.0) + value
        return sums

    @property
    def interval_s(self) -> float:
        """Time between samples when layers work at once, each on another: that of the slowest, s, of all that was counted."""
        return max(self.by("layer", "latency_s").values(), default=0.0)

    @property
    def utilisation(self) -> float:
        """Share of the places of all arrays that hold a weight."""
        return self.cells / self.places if self.places else 0.0

    def as_dict(self) -> PlainData:
        """Plain data, ready for JSON."""
        whole = {n: getattr(self, n) for n in ("energy_J", "latency_s", "area_m2", "samples", "per_sample", "interval_s", "utilisation")}
        return whole | {f"{amount}_by_{what}": self.by(what, amount) for what, amount in _TOLD}


_TOLD: tuple[tuple[Kind, Amount], ...] = (
    ("component", "energy_J"),
    ("layer", "energy_J"),
    ("operation", "energy_J"),
    ("layer", "latency_s"),
    ("operation", "latency_s"),
    ("component", "area_m2"),
    ("layer", "area_m2"),
)


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
    counts: Mapping[str, Mapping[str, Counts | Mapping[str, PerMember]]],
    *,
    samples: int | None = None,
    shapes: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
    pipelined: bool = True,
    both_sides: bool = True,
) -> Price:
    """Price of the operations of every array of a network.

    Energies, J, with G the mid-range conductance (S), V_r and V_u the read and update voltages (V), C the capacitance of a line per
    cell (F), r the rows that take turns at a DAC, b the pulses of a value, which are counted one by one, and c = r b the input cycles:
        read = cell_reads V_r^2 G <u^2> read_s
        wires = (mvm rows columns + mvm_t columns rows) C V_r^2 <u^2> b; select = the same cells C V_select^2 b
        update = (row_pulses columns + column_pulses rows) C V_u^2 / 4 + coincidences V_u^2 G pulse_s
        program = (program_pulses + resets) (V_u^2 G pulse_s + (rows + columns) C V_u^2 / 4)
        half-select = (row_pulses columns + column_pulses rows - 2 coincidences
            + (program_pulses + resets) (rows + columns - 2)) (V_u / 2)^2 G pulse_s
        circuit = dissipated_W settle_s / settles; amplifier = amplified amplifier_W settle_s / settles: of resistive networks
        synapse, spike, walk = synaptic_ops, spikes and walk_steps times the energy of one: of spiking networks
        dac = dac times one value; adc = adc r conversions; sense = sensed r comparator_J
        integrate = ((mvm columns + mvm_t rows) c + integrations) integrate_J
        accumulate = additions of turns, adc (r - 1), and those of digital_ops that add pulses and arrays
        digital = the other digital_ops times digital_J; moved = values in and out of the arrays times moved_J
        static = array_static_W (number of arrays) time.
    A row and a column carry V_u / 2 each, of opposite sign. Whatever is on one that is pulsed and does not meet a pulse of the other side
    is half-selected; where pulses coincide nothing is, and none is where transistors select a cell (`Cell.transistors`, or select_V of the
    technology). A device that is programmed or reset half-selects the rest of its row and column (the V/2 scheme, device by device).
    Matrices work one after the other; the pieces of one matrix cut over several arrays work at once. Time, s:
        reads of arrays for mvm + mvm_t and adc conversions, at once or not (`latency.Pace`) + slots pulse_s
            + program_rounds rows (pulse_s + read_s) + digital_ops / digital_per_s + moved / moved_per_s + settle_s + spiking_s
    as `latency.Pace.seconds` has them.
    A read of a single row is a vector like any other, already among mvm. Where a technology has an adder behind each ADC
    (accumulate_J), its additions take no time of their own. Area, m^2: pitch^2 per device, an ADC and a DAC for every line of both
    sides over the lines that share one, since the transposed read needs them on either side. A resistive network has no converters:
    node_m2 for every column.

    Args:
        design: device, periphery and technology. counts: layer -> array -> ledger of one ensemble member.
        samples: samples counted. shapes: layer -> array -> (rows, columns) of the whole matrix, and the groups of a layer that has a
            matrix for each, which work at once; for the area and the lengths of lines: without one, an array has neither area nor line
            energy nor programming time.
        pipelined: whether converters work while the array reads on. both_sides: whether there are converters for transposed reads.

    Returns:
        A `Price`.

    Raises:
        InputError: the technology is unknown or lacks a number that the design needs, or the counts are those of an ensemble.

    Example:
        >>> price(Design(device="ideal"), {"layer": {"W": Counts(adc=1000)}}).energy_J["adc"]
        1.6667e-09
    """
    technology = Technology.named(design.technology)
    pace = Pace.of(design, technology, pipelined=pipelined)
    items: list[Item] = []
    cells = places = 0
    arrays: dict[str, int] = {}
    for layer, ledgers in counts.items():
        for name, ledger in ledgers.items():
            shape = (shapes or {}).get(layer, {}).get(name, (0, 0))
            one = _Matrix(design, technology, layer, _numbers(ledger), Cut.of(design, *shape), pace, both_sides)
            items += [*one.energies(), *one.times(), *one.areas()]
            arrays[layer] = arrays.get(layer, 0) + one.cut.arrays
            cells, places = cells + prod(shape), places + one.cut.arrays * design.array.rows * design.array.cols
    seconds = sum((item.latency_s for item in items), 0.0)
    static = [Item(layer, "hold", "leakage", "static", n * technology.array_static_W * seconds) for layer, n in arrays.items()]
    items += static
    energy = {part: sum((i.energy_J for i in items if i.part == part), 0.0) for part in PARTS}
    energy["total"] = sum(energy.values())
    amounts = {f"energy of {part}, J,": joules for part, joules in energy.items()} | {"latency, s,": seconds}
    for name, amount in amounts.items():
        if not 0 <= amount < inf:
            raise InputError(f"the {name} must be finite and at least 0 to be priced, got {amount:g}; {_LOOK}")
    return Price(energy, seconds, sum((i.area_m2 for i in items), 0.0), samples, tuple(items), cells, places)


def _numbers(counts: Mapping[str, PerMember]) -> dict[str, float]:
    if any(np.size(amount) != 1 for amount in counts.values()):
        raise InputError("counts must be those of one ensemble member, got one number for each of several; use counts.member(0)")
    return {name: float(np.asarray(amount).item()) for name, amount in counts.items()}


@dataclass(frozen=True)
class _Matrix:
    """One matrix of a layer, what it was asked to do (n) and the arrays it lies on."""

    design: Design
    technology: Technology
    layer: str
    n: Mapping[str, float]
    cut: Cut
    pace: Pace
    both_sides: bool

    def count(self, *names: str) -> float:
        """Sum of counts, 0 for those that are absent."""
        return sum(self.n.get(name, 0.0) for name in names)

    def directions(self, forward: float, back: float) -> dict[str, float]:
        """How something divides between reads, transfers (reads of single rows) and transposed reads, given each vector's share of it."""
        along, across = self.count("mvm") * forward, self.count("mvm_t") * back
        if not along + across:
            return {"read": 1.0}
        lines = min(self.count("row_reads") / self.count("mvm"), 1.0) if along else 0.0
        parts = {"read": along * (1 - lines), "transfer": along * lines, "transposed read": across}
        return {name: part / (along + across) for name, part in parts.items() if part}

    @property
    def partial_sums(self) -> float:
        """See `latency.partial_sums`."""
        return float(latency.partial_sums(self.cut, self.n, self.design.periphery.dac.pulses))

    def energies(self) -> Iterator[Item]:
        """Joules by operation and part."""
        energies = {(part, PARTS[part]): by for part, by in (self._reading() | self._writing() | self._beside()).items()}
        for (part, component), by in (energies | {(part, "wires"): by for part, by in self._charging().items()}).items():
            for operation, joules in by.items():
                if joules:
                    yield Item(self.layer, operation, component, part, joules)

    def _reading(self) -> dict[str, dict[str, float]]:
        p, t, c = self.design.periphery, self.technology, self.cut
        turns, pulses = p.dac.shared_by, float(p.dac.pulses)
        conductance = float(np.mean(self.design.device.mid_range))
        cells = self.count("mvm", "mvm_t") * c.rows * c.columns * pulses
        drive = p.read_voltage**2 * t.mean_square_input
        inputs, outputs, vectors = (self.directions(*sides) for sides in ((c.rows, c.columns), (c.columns, c.rows), (1, 1)))
        integrated = (self.count("mvm") * c.columns + self.count("mvm_t") * c.rows) * turns * pulses + self.count("integrations")
        additions = self.count("adc") * (turns - 1) + self.partial_sums
        sensed = self.count("sensed") * turns
        each = t.digital_J if t.accumulate_J is None else t.accumulate_J
        joules: dict[str, tuple[float, dict[str, float]]] = {
            "read": (self.count("cell_reads") * drive * conductance * p.read_s, vectors),
            "wires": (cells * t.line_capacitance_F * drive, vectors),
            "select": (cells * t.line_capacitance_F * t.select_V**2 if t.select_V else 0.0, vectors),
            "dac": (self.count("dac") * converters.dac(p, t).energy_J, inputs),
            "adc": (self.count("adc") * turns * converters.adc(p, t).energy_J, outputs),
            "sense": (sensed * t.need("comparator_J", "a sense amplifier") if sensed else 0.0, outputs),
            "integrate": (integrated * (t.integrate_J or 0.0), outputs),
            "accumulate": (additions * each, outputs),
            "moved": (float(latency.moved(self.cut, self.n)) * (t.moved_J or 0.0), vectors),
        }
        return {part: {name: total * share for name, share in by.items()} for part, (total, by) in joules.items()}

    def _writing(self) -> dict[str, dict[str, float]]:
        """Devices that are pulsed and written."""
        p = self.design.periphery
        step = p.update_voltage**2 * float(np.mean(self.design.device.mid_range)) * p.pulse_s
        halves = {name: half * step / 4 for name, half in self._half_selected().items()}
        return self._changes(self.count("coincidences") * step, self.count("program_pulses", "resets") * step) | {"half-select": halves}

    def _half_selected(self) -> dict[str, float]:
        """Pulses that devices feel from their row or their column alone, by operation."""
        c = self.cut
        if not c.rows or self.design.cell.transistors or self.technology.select_V:
            return {}
        felt = self.count("row_pulses") * c.columns + self.count("column_pulses") * c.rows - 2 * self.count("coincidences")
        written = self.count("program_pulses", "resets") * (c.rows + c.columns - 2)
        return {name: felt * share for name, share in self._updates().items()} | {"refresh": written}

    def _charging(self) -> dict[str, dict[str, float]]:
        """Lines that carry these pulses."""
        c, per_cell = self.cut, self.technology.line_capacitance_F * self.design.periphery.update_voltage**2 / 4
        charged = self.count("row_pulses") * c.columns + self.count("column_pulses") * c.rows
        return self._changes(charged * per_cell, self.count("program_pulses", "resets") * per_cell * (c.rows + c.columns))

    def _changes(self, update: float, program: float) -> dict[str, dict[str, float]]:
        return {"update": {name: update * share for name, share in self._updates().items()}, "program": {"refresh": program}}

    def _updates(self) -> dict[str, float]:
        """How pulses divide between updates of whole arrays and transfers, which pulse single rows."""
        transfers = min(self.count("row_updates") / self.count("updates"), 1.0) if self.count("updates") else 0.0
        return {"pulse": 1 - transfers, "transfer": transfers}

    def _beside(self) -> dict[str, dict[str, float]]:
        """Digital work, resistive and spiking networks."""
        n, t = self.count, self.technology
        settle_s = n("settle_s") / n("settles") if n("settles") else 0.0
        amplifier = t.need("amplifier_W", "a resistive network") if n("amplified") else 0.0
        return {
            "digital": {"pulse" if n("updates") else "read": (n("digital_ops") - self.partial_sums) * t.digital_J},
            "circuit": {"settle": n("dissipated_W") * settle_s},
            "amplifier": {"settle": n("amplified") * amplifier * settle_s},
            "synapse": {"spike": n("synaptic_ops") * (t.synapse_J or 0.0)},
            "spike": {"spike": n("lif_spikes", "blif_spikes") * (t.spike_J or 0.0)},
            "walk": {"spike": n("walk_steps") * (t.walk_J or 0.0)},
        }

    def times(self) -> Iterator[Item]:
        """Seconds by operation."""
        s = {what: float(seconds) for what, seconds in self.pace.seconds(self.cut, self.n).items()}
        seconds = [(name, s["read"] * share) for name, share in self.directions(1, 1).items()]
        seconds += [(name, s["slots"] * share) for name, share in self._updates().items()]
        seconds += [("refresh", s["write"]), ("pulse" if self.count("updates") else "read", s["digital"])]
        seconds += [("read", s["moved"]), ("settle", s["settle"]), ("spike", s["spike"])]
        for operation, value in seconds:
            if value:
                yield Item(self.layer, operation, "", "", latency_s=value)

    def areas(self) -> Iterator[Item]:
        """Square metres by component."""
        c, t, p = self.cut, self.technology, self.design.periphery
        if not c.rows:
            return
        parts = {"array": c.rows * c.columns * len(self.design.cell.signs) / self.design.array.layers * t.pitch_m**2}
        beside = self.design.network.area_m2(c.rows, c.columns, t)
        if beside is not None:
            parts["other"] = beside
        else:
            outputs, inputs = ((c.columns, c.rows), (c.rows, c.columns)) if self.both_sides else ((c.columns,), (c.rows,))
            adcs, dacs = sum(ceil(side / p.adc.shared_by) for side in outputs), sum(ceil(side / p.dac.shared_by) for side in inputs)
            parts |= {"ADC": adcs * converters.adc(p, t).area_m2, "DAC": dacs * converters.dac(p, t).area_m2}
            parts |= {"accumulation": adcs * (t.accumulate_m2 or 0.0), "other": t.other_m2 or 0.0}
        for component, area in parts.items():
            yield Item(self.layer, "", component, "", area_m2=c.arrays * area * t.layout)
