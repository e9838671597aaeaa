"""Which algorithm makes each device of the catalogue learn: one table, resumed where it was left.

    python examples/advise_catalogue.py --minutes 1.4 --workers 2 --out docs/results

A row for each device: the best rule, cell and reference with rates of their own, confirmed on five seeds; software beside it; what would
help; what the circuit must give.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

import tyro

import aimco as ai
from aimco.api.advise import Advice
from aimco.files import write_atomic
from aimco.terminal import keep
from aimco.units import text


def row(device: str, answer: Advice) -> dict[str, Any]:
    """What the table keeps of an answer."""
    best = answer.best
    assert best is not None
    confirmed = [
        {"way": c.candidate.name, "score": c.score, "margin": c.margin, "scores": c.scores, "setting": c.setting, "metrics": c.metrics}
        for c in answer.confirmed
    ]
    tried = [{"way": t.candidate.name, "share": t.share, "score": t.score, "setting": t.setting} for t in answer.best_trials()]
    return {
        "device": device,
        "best": best.candidate.name,
        "score": best.score,
        "margin": best.margin,
        "software": None if answer.digital is None else answer.digital.score,
        "confirmed": confirmed,
        "tried": tried,
        "says": answer.sentences(),
        "finished": answer.finished,
        "took_s": answer.took_s,
    }


COLUMNS = ("device", "learns best with", "accuracy, %", "in software, %", "training sample", "not told apart from", "what would help")


def markdown(table: dict[str, Any]) -> str:
    """The table for people: a line for each device, by name."""
    head = f"What makes each device learn {table['task']}, by `aimco advise` within {table['minutes']:g} minutes each on 2 workers"
    lines = [f"{head}, confirmed on five seeds with 95 % intervals.", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    return "\n".join(lines + [line(r) for r in sorted(table["rows"], key=lambda r: r["device"])]) + "\n"


def by_rule(table: dict[str, Any]) -> str:
    """The best score of each rule on each device, the device of fewest states first; dots for the part of the schedule that it came to."""
    devices = {r["device"]: ai.Device.named(r["device"]) for r in table["rows"]}
    rows = sorted(table["rows"], key=lambda r: devices[r["device"]].states)
    rules = list(dict.fromkeys(t["way"].partition(",")[0] for r in rows for t in r["tried"]))
    head = "Best score of each rule in whatever cell, %, on one seed. Whole schedule; with one dot two fifths of it, with two a fifth."
    lines = [head, "", f"| device | states | asymmetry | {' | '.join(rules)} |", "|---" * (3 + len(rules)) + "|"]
    for row in rows:
        device, best = devices[row["device"]], {}
        for trial in (t for t in row["tried"] if t["score"] == t["score"]):
            rule, rank = trial["way"].partition(",")[0], (trial["share"], trial["score"])
            best[rule] = max(best.get(rule, (0.0, 0.0)), rank)
        cells = [f"{best[rule][1]:.0f}{DOTS[round(best[rule][0], 1)]}" if rule in best else "-" for rule in rules]
        asymmetry = "one-sided" if device.response.one_sided else f"{device.asymmetry:.2f}"
        lines.append(f"| {row['device']} | {device.states:,.0f} | {asymmetry} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


DOTS = {0.1: "..", 0.2: "..", 0.4: ".", 1.0: ""}


def line(row: dict[str, Any]) -> str:
    """One device."""
    best, says = row["confirmed"][0], row["says"]
    m, software = best["metrics"], row["software"]
    equals = next((s.removeprefix(EQUALS).rstrip(".").split("; ") for s in says if s.startswith(EQUALS)), [])
    helps = next((s.removeprefix(HELPS).rstrip(".") for s in says if s.startswith(HELPS)), "")
    cells = [row["device"], row["best"], f"{row['score']:.1f} +- {row['margin']:.1f}", "-" if software is None else f"{software:.1f}"]
    cells += [f"{text(m['energy_sample'], 'J')}, {text(m['latency'], 's')}", "; ".join(equals) or "-", helps or "-"]
    return f"| {' | '.join(cells)} |"


EQUALS, HELPS = "The seeds do not tell it from ", "What would help: "


def main(
    device: list[str] | None = None,
    task: str = "digits",
    minutes: float = 1.4,
    workers: int = 2,
    epochs: int = 10,
    hidden: tuple[int, ...] = (32,),
    activation: Literal["sigmoid", "relu", "tanh"] = "sigmoid",
    rule: tuple[str, ...] = (),
    limit: int | None = None,
    data_dir: str | None = None,
    out: str = "docs/results",
) -> None:
    """A table of devices, all of the catalogue when none is named.

    Args:
        device: Names.
        task: As of `evaluate`.
        minutes: For each device.
        workers: Local processes.
        epochs: Of every run.
        hidden: Widths of the hidden layers.
        activation: Of the hidden layers.
        rule: Only these; all that learn in arrays when none is named.
        limit: Use only the first training samples.
        data_dir: Folder of the task's files.
        out: Folder of the table, advise-TASK.json, which is resumed, and advise-TASK.md, for people.
    """
    name = f"advise-{Path(task).stem}"
    path = Path(out) / f"{name}.json"
    table = json.loads(path.read_text()) if path.exists() else {"task": task, "minutes": minutes, "aimco": ai.__version__, "rows": []}
    done = {r["device"] for r in table["rows"]}
    for one in device or ai.Device.names():
        if one in done:
            continue
        answer = ai.advise(
            one,
            task,
            rules=rule,
            network={"hidden": list(hidden), "activation": activation},
            training={"epochs": epochs},
            minutes=minutes,
            workers=workers,
            limit=limit,
            data_dir=data_dir,
            progress=False,
        )
        table["rows"].append(row(one, answer))
        keep(out, name, table)
        last = table["rows"][-1]
        print(f"{one}: {last['best']}, {last['score']:.1f} +- {last['margin']:.1f} %, {last['took_s']:.0f} s", file=sys.stderr, flush=True)
    write_atomic(Path(out) / f"{name}.md", f"{markdown(table)}\n{by_rule(table)}")


if __name__ == "__main__":
    tyro.cli(main)
