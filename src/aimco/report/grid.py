"""Devices x rules: the table, the verdict on each device, and the page of the grid as a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from aimco.evaluation import Result
from aimco.report import study
from aimco.report.view import About
from aimco.study.trial import Trial
from aimco.units import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = tuple[str, str, Result]
_LEARNS = 0.5  # fraction of the baseline's accuracy above chance that counts as learning


def table(rows: Sequence[Row]) -> Table:
    """Devices x rules for a terminal."""
    shown = Table(title="Accuracy, energy, time and area of training")
    for column, side in (
        ("device", "left"),
        ("rule", "left"),
        ("accuracy", "right"),
        ("energy", "right"),
        ("time", "right"),
        ("area", "right"),
    ):
        shown.add_column(column, justify=side)  # type: ignore[arg-type]
    for row in rows:
        shown.add_row(*_cells(row))
    return shown


def _cells(row: Row) -> list[str]:
    device, rule, result = row
    costs = [text(result.energy_J["total"], "J"), text(result.latency_s["total"], "s"), text(result.area_m2, "m^2")]
    return [device, rule, f"{100 * result.accuracy:.1f} %", *(costs if result.counts else ["-"] * 3)]


def verdicts(rows: Sequence[Row]) -> list[str]:
    """One sentence per device: its best rule, and how far from the digital baseline it stays."""
    baseline = next(r.accuracy for d, _, r in rows if d == "digital")
    sentences = []
    for device in dict.fromkeys(d for d, _, _ in rows if d != "digital"):
        mine = {rule: r.accuracy for d, rule, r in rows if d == device}
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

    devices = list(dict.fromkeys(d for d, _, _ in rows if d != "digital"))
    rules = list(dict.fromkeys(r for d, r, _ in rows if d != "digital"))
    found = {(d, r): 100 * result.accuracy for d, r, result in rows}
    values = np.array([[found[d, r] for r in rules] for d in devices])
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


def trials(rows: Sequence[Row]) -> tuple[list[Trial], Trial | None]:
    """The rows as points of a study, and the digital baseline beside them."""
    made = [_trial(number, row) for number, row in enumerate(row for row in rows if row[0] != "digital")]
    return made, next((_trial(len(made), row) for row in rows if row[0] == "digital"), None)


def _trial(number: int, row: Row) -> Trial:
    device, rule, result = row
    costs = {"energy": result.energy_J["total"], "training_time": result.latency_s["total"], "area": result.area_m2}
    names = ("accuracy", "energy_J", "latency_s", "area_m2", "notes")
    return Trial(
        number=number,
        point={"device": device, "rule.kind": rule},
        values={"accuracy": result.accuracy} | (costs if result.counts else {}),
        seeds=(result.seed,),
        design=result.design.dumps(),
        curves=result.curves,
        result={name: value for name, value in result.as_json().items() if name in names},
        wall_s=result.wall_s,
    )


def write(rows: Sequence[Row], folder: str | Path, command: str = "aimco demo") -> None:
    """The page report.html of the grid, a study of accuracy and energy, and the files of a study beside it."""
    points, baseline = trials(rows)
    about = About(
        {"accuracy": "max", "energy": "min"},
        title="Devices and rules",
        command=command,
        task=rows[0][2].task,
        baseline=baseline,
        sentences=verdicts(rows),
        pictures={"Accuracy": heat_map(rows)},
    )
    study.write(points, folder, about)
