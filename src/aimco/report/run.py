"""The page of one run: what it reached and cost, its learning curve, pictures of its network, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from aimco.cost.price import PARTS
from aimco.outputs import write_outputs
from aimco.phases import PHASES
from aimco.report import markup
from aimco.report.device import png
from aimco.result import Result
from aimco.studies.metrics import metric
from aimco.units import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write(result: Result, folder: str, command: str, pictures: Mapping[str, Figure]) -> Path:
    """report.html, design.toml with the users' files that it names, and each picture as PNG in a folder; returns the page.

    Args:
        command: that makes the run again. pictures: figures by their title.
    """
    at = Path(folder)
    design, copies = result.design.packed(at / "design.toml")
    images = {"learning curve": png(result.figure())} | {title: png(figure) for title, figure in pictures.items()}
    files = {f"{title.replace(' ', '-')}.png": data for title, data in images.items()} | copies | {"design.toml": design}
    head = f"{result.design.device.name}, {result.design.rule.kind} on {result.task}: {result.main.text(result.metrics[result.main.name])}"
    costs = [{"part": part, "energy": text(result.energy_J[part], "J")} for part in (*PARTS, "total") if result.energy_J[part]]
    totals = f"time {text(result.latency_s['total'], 's')}, area {text(result.area_m2, 'm^2')}, seed {result.seed}"
    each = result.counts_by_phase
    judged = [{"metric": m.name.replace("_", " "), "value": m.text(result.metrics[m.name])} for m in result.judged_by]
    counts = [{"operation": n.replace("_", " "), "amount": v} | {p: c.get(n, 0) for p, c in each.items()} for n, v in result.counts.items()]
    parts = [
        f"<h1>{markup.text(head)}</h1><p>{markup.text(totals)}</p>",
        markup.listed(result.notes),
        *(markup.image(title, data) for title, data in images.items()),
        *([markup.section("Metrics", markup.rows_table(judged))] if len(judged) > 1 else []),
        markup.section("Energy and time by phase", markup.rows_table(phases(result))),
        markup.section("Energy by part, all phases", markup.rows_table(costs)),
        markup.section("Counts", markup.rows_table(counts)),
        markup.section("Again", f"<pre>{markup.text(command)}</pre>", f'<pre data-file="design.toml">{markup.text(design)}</pre>'),
    ]
    write_outputs(at, files | {"report.html": markup.whole(head, parts)})
    return at / "report.html"


def phases(result: Result) -> list[dict[str, str]]:
    """Energy and time of each phase of a run, and of one sample of training and of inference."""
    samples = {"train": "training_sample", "infer": "inference_sample"}

    def row(phase: str, label: str) -> dict[str, str]:
        one = samples.get(phase)
        whole = {"phase": label, "energy": text(result.energy_J[phase], "J"), "time": text(result.latency_s[phase], "s")}
        each = [text(of[one], unit) if one and of[one] else "-" for of, unit in ((result.energy_J, "J"), (result.latency_s, "s"))]
        return whole | {"energy of a sample": each[0], "time of a sample": each[1]}

    return [row(phase, f"{phase}: {words}") for phase, words in PHASES.items()] + [row("total", "total")]


def phases_table(result: Result) -> Table:
    """The same for a terminal."""
    table = Table(title="By phase", box=None)
    for column in ("phase", "energy", "time", "energy of a sample", "time of a sample"):
        table.add_column(column, justify="left" if column == "phase" else "right", no_wrap=column != "phase")
    for row in phases(result):
        table.add_row(*row.values())
    return table


def result_table(result: Result) -> Table:
    """A run in a line, for a terminal: device, rule, main metric, energy and time of the run, area."""
    judged = metric(result.main.name)
    name = judged.name.replace("_", " ")
    table = Table(title=f"{name.capitalize()}, energy and time of the run, area")
    for column in ("device", "rule", name, "energy", "time", "area"):
        table.add_column(column, justify="left" if column in ("device", "rule") else "right")
    costs = (result.energy_J["total"], "J"), (result.latency_s["total"], "s"), (result.area_m2, "m^2")
    words = [text(value, unit) if result.counts else "-" for value, unit in costs]
    table.add_row(result.design.device.name, result.design.rule.kind, judged.text(result.metrics[result.main.name]), *words)
    return table
