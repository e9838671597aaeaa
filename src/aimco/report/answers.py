"""Answers to the question for several devices: one table, and one page that leads to the page of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from aimco.advice.answer import Answer
from aimco.outputs import write_outputs
from aimco.report import advice, markup
from aimco.units import text


def row(answer: Answer) -> dict[str, str]:
    """What a table of devices says of one."""
    best, software = answer.best, answer.digital
    if best is None:
        return {"device": answer.device, "learns best with": "-"}
    m = best.metrics
    helps = [f"{i.name} {i.change} (+{i.gain:.1f})" for i in answer.influences if i.matters and i.gain > 0][:2]
    return {
        "device": answer.device,
        "learns best with": best.candidate.name,
        f"{answer.metric}, %": f"{best.score:.1f} +- {best.margin:.1f}",
        "in software, %": "-" if software is None else f"{software.score:.1f}",
        "training sample": f"{text(m['energy_sample'], 'J')}, {text(m['latency'], 's')}",
        "area": text(m["area"], "m^2"),
        "what would help": ", ".join(helps) or "-",
    }


def rows(answers: Sequence[Answer]) -> list[dict[str, str]]:
    """A row for each answer; what one has not is a dash, and what none has is left out."""
    lines = [row(answer) for answer in answers]
    columns = dict.fromkeys(column for one in lines for column in one)
    known = [column for column in columns if any(one.get(column, "-") != "-" for one in lines)]
    return [{column: one.get(column, "-") for column in known} for one in lines]


def table(answers: Sequence[Answer]) -> Table:
    """Devices side by side, for a terminal."""
    lines = rows(answers)
    rich_table = Table(title=f"Which algorithm makes each device learn {answers[0].task}?", box=None)
    for column in lines[0]:
        rich_table.add_column(column, justify="right" if "%" in column or column in ("training sample", "area") else "left")
    for one in lines:
        rich_table.add_row(*one.values())
    return rich_table


def write(answers: Sequence[Answer], folder: str | Path, command: str) -> Path:
    """report.html in a folder, and in a folder for each device its own page, pictures and designs; returns the page."""
    at, title = Path(folder), f"Which algorithm makes each device learn {answers[0].task}?"
    parts = [f"<h1>{markup.text(title)}</h1>", f"<p>Made by <code>{markup.text(command)}</code></p>"]
    parts.append(markup.rows_table(rows(answers)))
    for answer in answers:
        advice.write(answer, at / answer.device)
        link = f'<p><a href="{markup.text(answer.device)}/advice.html">the whole answer</a></p>'
        parts.append(markup.section(answer.device, markup.listed([*advice.sentences(answer), *answer.notes]), link))
    write_outputs(at, {"report.html": markup.whole(title, parts)})
    return at / "report.html"
