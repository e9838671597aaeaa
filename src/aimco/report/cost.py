"""The price of a network, as tables and as a picture of what takes energy, time and area."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from aimco import html_parts
from aimco.cost.activity import Activity
from aimco.cost.network import Shapes, operations
from aimco.cost.price import COMPONENTS, OPERATIONS, Amount, Kind, Price
from aimco.design import Design
from aimco.plain_data import PlainData
from aimco.units import suited, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Costs:
    """What a network costs on a design: one sample's inference, and one sample of training.

    Args:
        activity: that training was priced with, by layer and array. activity_from: where from.
    """

    design: Design
    network: Shapes
    inference: Price
    training: Price
    activity: Sequence[Mapping[str, Activity]]
    activity_from: str

    def rates(self) -> dict[str, float]:
        """Of inference, layers at work on different samples: TOPS, TOPS/W, TOPS/mm2; samples per second; utilisation of the arrays."""
        tera, one = operations(self.network) / 1e12, self.inference
        tops = tera / one.interval_s
        return {
            "TOPS": tops,
            "TOPS/W": tera / one.energy_J["total"],
            "TOPS/mm2": tops / (one.area_m2 * 1e6),
            "samples_per_s": 1 / one.interval_s,
            "utilisation": one.utilisation,
        }

    def as_json(self) -> PlainData:
        """Plain data, as `aimco cost --json` prints it."""
        named = {"network": self.network.name, "technology": self.design.technology, "design_hash": self.design.hash()}
        priced = {"inference": self.inference.as_dict() | self.rates(), "training_sample": self.training.as_dict()}
        layers = zip(self.network.shapes(), self.activity, strict=True)
        busy = {s.name: {name: activity.as_dict() for name, activity in arrays.items()} for s, arrays in layers}
        return named | priced | {"activity_from": self.activity_from, "activity": busy, "notes": self.notes()}

    def __repr__(self) -> str:
        one, trained = self.inference, self.training
        each = f"{text(one.energy_J['total'], 'J')} and {text(one.latency_s, 's')} an inference"
        return f"Costs({self.network.name} on {self.design.technology}: {each}, {text(trained.energy_J['total'], 'J')} a training sample)"

    def _repr_html_(self) -> str:
        """The tables and what they take for granted, for notebooks."""
        title = f"{self.network.name}, {self.design.device.name}, {self.design.technology}"
        return html_parts.card(title, *map(html_parts.of_table, tables(self)), html_parts.listed(self.notes()))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Energy by layer and component, areas, and times by operation.

        Args:
            path: Picture that is written, if any.
        """
        drawn = figure(self)
        if path is not None:
            drawn.savefig(os.fspath(path), dpi=150)
        return drawn

    @property
    def pulses_J(self) -> float:
        """Energy of a training sample that goes with the activity: of pulses, their lines and half-selected devices."""
        return self.training.energy_J["update"] + self.training.energy_J["half-select"]

    def notes(self) -> list[str]:
        """What the figures take for granted."""
        p, notes = self.design.periphery, []
        notes.append(
            "time: layers one after the other; interval: layers at work on different samples; converters work while arrays read on"
        )
        if p.adc.shared_by > 1:
            again = "are sampled at once and held" if p.adc.rate_Hz else "are read again one by one"
            notes.append(f"the {p.adc.shared_by} lines that share an ADC {again}")
        if not self.design.rule.on_chip:
            return [*notes, "nothing is trained on the chip: each array has converters on one side"]
        notes.append("inference has converters on one side of each array, training on both")
        share = self.pulses_J / self.training.energy_J["total"]
        paid = f"of pulses and half-selected devices, {text(self.pulses_J, 'J')} or {100 * share:.2g} % of a training sample"
        notes.append(f"the energy {paid}, goes with the activity ({self.activity_from}); --activity FILE.json takes that of an aimco run")
        if self.design.rule.work(1, 1, 1, 1) is None:
            notes.append(
                f"training prices one parallel update of the first array of {self.design.rule.kind} a sample; aimco run counts all"
            )
        if self.design.cell.transfers or len(self.design.cell.signs) > 1:
            notes.append("training leaves out what cells do between updates, refresh and transfer; aimco run counts it")
        return notes


def tables(costs: Costs) -> list[Table]:
    """Energy by component and layer, and the rates."""
    runs = {"inference": costs.inference, "training sample": costs.training}
    table = Table(title=f"{costs.network.name} on {costs.design.technology}: energy of one sample", box=None)
    for column in ("", *runs):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    kinds: tuple[tuple[Kind, Sequence[str]], ...] = (("component", COMPONENTS), ("operation", OPERATIONS))
    for kind, names in kinds:
        for name in names:
            values = [price.by(kind).get(name, 0.0) for price in runs.values()]
            if any(values):
                table.add_row(name, *(_share(v, price.energy_J["total"]) for v, price in zip(values, runs.values(), strict=True)))
        table.add_section()
    rows: dict[str, Sequence[str]] = {
        "total": [text(price.energy_J["total"], "J") for price in runs.values()],
        "time": [text(price.latency_s, "s") for price in runs.values()],
        "interval": [text(price.interval_s, "s") for price in runs.values()],
        "area": [text(price.area_m2, "m^2") for price in runs.values()],
    }
    for name, values in rows.items():
        table.add_row(name, *values)
    busy = [_activity(costs)] if any(costs.activity) else []  # of arrays that learn
    return [table, _layers(costs), *busy, _rates(costs.rates())]


def _share(value: float, total: float) -> str:
    return f"{text(value, 'J')} ({100 * value / total:.1f} %)" if value else "-"


def _layers(costs: Costs) -> Table:
    table = Table(title="By layer, inference", box=None)
    for column in ("layer", "matrix", "vectors", "energy", "time", "area"):
        table.add_column(column, justify="left" if column == "layer" else "right", no_wrap=True)
    sums = [costs.inference.by("layer", amount) for amount in ("energy_J", "latency_s", "area_m2")]
    for s in costs.network.shapes():
        values = [text(by.get(s.name, 0.0), unit) for by, unit in zip(sums, ("J", "s", "m^2"), strict=True)]
        groups = f"{s.groups} x " if s.groups > 1 else ""
        table.add_row(s.name, f"{groups}{s.rows} x {s.columns}", str(s.vectors), *values)
    return table


def _activity(costs: Costs) -> Table:
    table = Table(title=f"One update in training, mean; {costs.activity_from}", box=None)
    for column in ("layer", "array", "pulse slots", "pulses on a row", "on a column", "steps of a device"):
        table.add_column(column, justify="left" if column in ("layer", "array") else "right", no_wrap=True)
    for s, arrays in zip(costs.network.shapes(), costs.activity, strict=True):
        for name, activity in arrays.items():
            table.add_row(
                s.name, name, *(f"{v:.3g}" for v in (activity.slots, activity.row_pulses, activity.column_pulses, activity.coincidences))
            )
    return table


def _rates(rates: Mapping[str, float]) -> Table:
    table = Table(box=None)
    for name in rates:
        table.add_column(name.replace("_per_s", "/s"), justify="right", no_wrap=True)
    table.add_row(*(f"{value:.4g}" for value in rates.values()))
    return table


def figure(costs: Costs) -> Figure:
    """Energy of inference and of a training sample by layer, of components; their areas; and times by operation."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11.0, 7.5), layout="constrained")
    axes = drawn.subplots(2, 2)
    _stacked(axes[0, 0], costs.inference, "component", "energy_J", "J", COMPONENTS, "inference, one sample")
    _stacked(axes[0, 1], costs.training, "component", "energy_J", "J", COMPONENTS, "training, one sample")
    _stacked(axes[1, 0], costs.inference, "component", "area_m2", "m^2", COMPONENTS, "area for inference")
    _stacked(axes[1, 1], costs.training, "operation", "latency_s", "s", OPERATIONS, "training, one sample")
    drawn.suptitle(f"{costs.network.name}, {costs.design.device.name}, {costs.design.technology}")
    return drawn


def _stacked(axis: Axes, price: Price, kind: Kind, amount: Amount, symbol: str, names: Sequence[str], title: str) -> None:
    """A bar for each layer, stacked of components or operations."""
    layers = list(dict.fromkeys(item.layer for item in price.items))
    sums = {(layer, name): 0.0 for layer in layers for name in names}
    for item in price.items:
        key = item.layer, getattr(item, kind)
        if key in sums:
            sums[key] += getattr(item, amount)
    most = max(sum(sums[layer, name] for name in names) for layer in layers)
    unit, bottom = suited(most, symbol), [0.0] * len(layers)
    for k, name in enumerate(names):
        heights = [sums[layer, name] / unit for layer in layers]
        if any(heights):
            axis.bar(layers, heights, bottom=bottom, label=name, color=f"C{k}")
            bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
    what = {"energy_J": "energy", "area_m2": "area", "latency_s": "time"}[amount]
    axis.set(ylabel=f"{what} ({unit.symbol})", title=title)
    axis.tick_params(axis="x", labelrotation=45)
    axis.legend(fontsize="small")
