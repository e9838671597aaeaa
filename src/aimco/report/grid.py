"""Devices x rules: the table, the verdict on each device, and the page of the grid as a study."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.table import Table

from aimco.design import Design
from aimco.plain_data import PlainData
from aimco.report import study
from aimco.report.view import About, names_of
from aimco.result import Result
from aimco.studies.metrics import metric
from aimco.studies.trial import Trial
from aimco.units import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEARNS = 0.5  # fraction of the baseline's accuracy above chance that counts as learning
_DIGITAL = "digital"


class Row(NamedTuple):
    """One design of the table.

    Args:
        costs: energy (J) and time (s) of the whole run and area (m^2); None for the digital baseline.
    """

    device: str
    rule: str
    accuracy: float
    costs: tuple[float, float, float] | None
    judged: str = "accuracy"


def row(result: Result) -> Row:
    """Of one result."""
    costs = (result.energy_J["total"], result.latency_s["total"], result.area_m2) if result.counts else None
    return Row(result.design.device.name, result.design.rule.kind, result.metrics[result.main.name], costs, result.main.name)


def rows(trials: Sequence[Trial]) -> list[Row]:
    """Of a study of devices and rules: the baseline first, then device by device. Trials that did not run to the end are left out."""
    entries = []
    for trial in (t for t in trials if t.state == "complete"):
        rule, device = names_of(trial)
        result = trial.result
        costs = None if rule == _DIGITAL else (result["energy_J"]["total"], result["latency_s"]["total"], result["area_m2"])
        entries.append(Row(_DIGITAL if rule == _DIGITAL else device, rule, result["metrics"]["accuracy"], costs))
    devices = [_DIGITAL, *(r.device for r in entries)]
    return sorted(entries, key=lambda r: devices.index(r.device))


def table(rows: Sequence[Row]) -> Table:
    """Devices x rules for a terminal."""
    judged = metric(rows[0].judged if rows else "accuracy")
    name = judged.name.replace("_", " ")
    grid = Table(title=f"{name.capitalize()}, energy and time of the run, area")
    for column in ("device", "rule", name, "energy", "time", "area"):
        grid.add_column(column, justify="left" if column in ("device", "rule") else "right")
    for one in rows:
        costs = ["-"] * 3 if one.costs is None else [text(v, unit) for v, unit in zip(one.costs, ("J", "s", "m^2"), strict=True)]
        grid.add_row(one.device, one.rule, judged.text(one.accuracy), *costs)
    return grid


def verdicts(rows: Sequence[Row]) -> list[str]:
    """One sentence per device: its best rule, and how far from the digital baseline it stays."""
    baseline = next(r.accuracy for r in rows if r.device == _DIGITAL)
    sentences = []
    for device in dict.fromkeys(r.device for r in rows if r.device != _DIGITAL):
        mine = {r.rule: r.accuracy for r in rows if r.device == device}
        rule = max(mine, key=lambda name: mine[name])
        gap = 100 * (baseline - mine[rule])
        place = "level with" if abs(gap) < 0.05 else f"{gap:.1f} points below" if gap > 0 else f"{-gap:.1f} points above"
        learns = "learns best with" if mine[rule] - 0.1 > _LEARNS * (baseline - 0.1) else "does not learn; least badly with"
        rest = ", ".join(f"{n} {100 * a:.1f} %" for n, a in mine.items() if n != rule)
        sentences.append(f"{device} {learns} {rule}: {100 * mine[rule]:.1f} %, {place} the digital baseline ({rest})")
    return sentences


def heat_map(rows: Sequence[Row]) -> Figure:
    """Accuracy of every device under every rule."""
    from matplotlib.figure import Figure

    devices = list(dict.fromkeys(r.device for r in rows if r.device != _DIGITAL))
    rules = list(dict.fromkeys(r.rule for r in rows if r.device != _DIGITAL))
    accuracies = {(r.device, r.rule): 100 * r.accuracy for r in rows}
    values = np.array([[accuracies.get((d, r), np.nan) for r in rules] for d in devices])
    figure = Figure(figsize=(1.8 + 1.4 * len(rules), 1.2 + 0.6 * len(devices)), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    axis.set_xticks(range(len(rules)), rules)
    axis.set_yticks(range(len(devices)), devices)
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            axis.text(j, i, f"{value:.1f}", ha="center", va="center", color="black" if value > 60 else "white")
    axis.set(xlabel="rule", ylabel="device")
    figure.colorbar(image, label="test accuracy (%)")
    return figure


def write(trials: Sequence[Trial], folder: str | Path, command: str) -> None:
    """The page report.html of the grid, a study of accuracy and energy, and the files of a study beside it."""
    grid_rows = rows(trials)
    points = [t for t in trials if names_of(t)[0] != _DIGITAL]
    baseline = next((t for t in trials if t not in points), None)
    if baseline is not None:
        baseline = dataclasses.replace(baseline, point={"device": _DIGITAL}, values={"accuracy": baseline.values["accuracy"]})
    about = About(
        {"accuracy": "max", "energy": "min"},
        title="Devices and rules",
        command=command,
        baseline=baseline,
        sentences=verdicts(grid_rows),
        pictures={"Accuracy": heat_map(grid_rows)},
    )
    study.write(points, folder, about)


def as_json(trial: Trial, task: str) -> PlainData:
    """A trial of one seed as `aimco run --json` prints its result, with the names of its device and rule."""
    ((device, rule, *_),) = rows([trial])
    names = ("metrics", "energy_J", "latency_s", "area_m2", "counts", "versions", "notes")
    result = {"device": device, "rule": rule, **{name: trial.result[name] for name in names}}
    result |= {"curves": trial.curves, "seed": trial.seeds[0], "task": task, "wall_s": trial.wall_s}
    return result | {"design_hash": Design.of(tomllib.loads(trial.design)).hash()}
