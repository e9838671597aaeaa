"""The page of one run: what it reached and cost, its learning curve, pictures of its network, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from aimco.evaluation import Result
from aimco.networks.end_to_end import EndToEnd
from aimco.networks.on_chip import OnChip
from aimco.record import write_atomic
from aimco.report import circuit, markup, spiking
from aimco.report.device import png
from aimco.tasks import Task
from aimco.units import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write(result: Result, folder: str, command: str, pictures: Mapping[str, Figure]) -> Path:
    """report.html, design.toml and each picture as PNG in a folder; returns the page.

    Args:
        command: that makes the run again. pictures: figures by their title.
    """
    at, design = Path(folder), result.design.dumps()
    images = {"learning curve": png(result.figure())} | {title: png(figure) for title, figure in pictures.items()}
    for title, data in images.items():
        write_atomic(at / f"{title.replace(' ', '-')}.png", data)
    write_atomic(at / "design.toml", design)
    head = f"{result.design.device.name}, {result.design.rule.kind} on {result.task}: {100 * result.accuracy:.1f} %"
    costs = [{"part": part.replace("_", " "), "energy": text(joules, "J")} for part, joules in result.energy_J.items() if joules]
    said = f"time {text(result.latency_s['total'], 's')}, area {text(result.area_m2, 'm^2')}, seed {result.seed}"
    parts = [
        f"<h1>{markup.text(head)}</h1><p>{markup.text(said)}</p>",
        markup.listed(result.notes),
        *(markup.image(title, data) for title, data in images.items()),
        markup.section("Energy of training", markup.rows_table(costs)),
        markup.section("Counts", markup.rows_table([{"operation": n.replace("_", " "), "amount": v} for n, v in result.counts.items()])),
        markup.section("Again", f"<pre>{markup.text(command)}</pre>", f'<pre data-file="design.toml">{markup.text(design)}</pre>'),
    ]
    page = at / "report.html"
    write_atomic(page, markup.whole(head, parts))
    return page


def pictures(model: nn.Sequential, task: Task) -> dict[str, Figure]:
    """Pictures of a trained network beyond its learning curve."""
    first = model[0]
    if isinstance(first, OnChip):
        return {"spiking machine": spiking.figure(first, task.test_x, task.test_y, task.image)}
    return {"circuit": circuit.figure(first, task.test_x, task.test_y)} if isinstance(first, EndToEnd) else {}
