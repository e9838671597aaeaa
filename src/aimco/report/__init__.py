"""Reports: tables, figures and one self-contained page, drawn from results only."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from aimco.evaluation import Result
from aimco.record import write_atomic
from aimco.report.device import device_figure, png
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


def learning_curves(rows: Sequence[Row]) -> Figure:
    """Test accuracy against epochs, one panel per rule, the digital baseline in each."""
    from matplotlib.figure import Figure

    rules = list(dict.fromkeys(r for d, r, _ in rows if d != "digital"))
    figure = Figure(figsize=(4.5 * len(rules) + 1.5, 3.6), layout="constrained")
    axes = figure.subplots(1, len(rules), sharey=True, squeeze=False)[0]
    for axis, rule in zip(axes, rules, strict=True):
        for device, name, result in rows:
            if name in (rule, "digital"):
                curve = [100 * a for a in result.curves["test_accuracy"]]
                axis.plot(range(1, len(curve) + 1), curve, "k--" if device == "digital" else "-", label=device)
        axis.set(title=rule, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("test accuracy (%)")
    lines = {line.get_label(): line for axis in axes for line in axis.get_lines()}
    figure.legend(lines.values(), [str(name) for name in lines], loc="outside right upper", fontsize="small")
    return figure


def page(rows: Sequence[Row], path: str, command: str = "aimco demo") -> None:
    """One self-contained page: verdicts, table, pictures, and the TOML of every row. Written whole or not at all."""
    devices = list({d: r.design.device for d, _, r in rows if d != "digital"}.values())
    pictures = [("Accuracy", heat_map(rows)), ("Learning", learning_curves(rows)), ("Pulse responses", device_figure(devices))]
    parts = [f"<h1>Devices and rules</h1><p>Made by <code>{html.escape(command)}</code></p><ul>"]
    parts += [f"<li>{html.escape(sentence)}</li>" for sentence in verdicts(rows)]
    parts.append("</ul><table><tr>" + "".join(f"<th>{c}</th>" for c in ("device", "rule", "accuracy", "energy", "time", "area")) + "</tr>")
    parts += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(row)) + "</tr>" for row in rows]
    parts.append("</table>")
    for title, figure in pictures:
        data = base64.b64encode(png(figure)).decode()
        parts.append(f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,{data}">')
    parts.append("<h2>Designs</h2>")
    for device, rule, result in rows:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in result.notes)
        name = f"{device}, {rule} (design {result.design_hash}, seed {result.seed})"
        parts.append(f"<details><summary>{html.escape(name)}</summary>{notes}<pre>{html.escape(result.design.dumps())}</pre></details>")
    cells = "td,th{padding:.2em .8em;text-align:right}td:nth-child(-n+2),th:nth-child(-n+2){text-align:left}"
    style = f"body{{font:16px sans-serif;max-width:70em;margin:2em auto}}{cells}img{{max-width:100%}}"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>aimco</title><style>{style}</style>'
    write_atomic(path, head + "".join(parts) + "</html>")
