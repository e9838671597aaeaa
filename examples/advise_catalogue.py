"""Which algorithm makes each device of the catalogue learn: one table, resumed where it was left.

    python examples/advise_catalogue.py --minutes 1.5 --workers 2 --out docs/results

A row for each device: the best rule, cell and reference with rates of their own, confirmed on five seeds; software beside it; what AGAD and
Tiki-Taka v2 reach with the rates that they take by themselves; what would help; what the circuit must give.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import aimco as ai
from aimco.terminal import keep

DEFAULTS = ("agad", "tiki-taka-v2")
SEEDS = tuple(range(1, 6))


def by_default(device: str, task: str, data_dir: str | None, training: dict[str, int]) -> dict[str, list[float]]:
    """Accuracy of rules with the rates that they take by themselves, %, of each seed; in pairs where devices only rise."""
    cell = {"kind": "pair"} if ai.Device.named(device).response.one_sided else {"kind": "reference"}
    found = {}
    for rule in DEFAULTS:
        base = {"device": device, "cell": cell, "network": {"hidden": [32], "activation": "sigmoid"}}
        design = ai.Design.of(base | {"rule": {"kind": rule}, "training": training})
        results = ai.evaluate_many([design] * len(SEEDS), task, seeds=SEEDS, data_dir=data_dir, progress=False)
        found[rule] = [100 * r.metrics["accuracy"] for r in results]
    return found


def row(device: str, answer: Any, defaults: dict[str, list[float]]) -> dict[str, Any]:
    """What the table keeps of an answer."""
    best = answer.best
    tuned = {rule: max((t.score for t in answer.trials if t.candidate.rule == rule and t.share == 1), default=None) for rule in DEFAULTS}
    confirmed = [
        {"way": c.candidate.name, "score": c.score, "margin": c.margin, "setting": c.setting, "metrics": c.metrics}
        for c in answer.confirmed
    ]
    return {
        "device": device,
        "best": best.candidate.name,
        "score": best.score,
        "margin": best.margin,
        "software": None if answer.digital is None else answer.digital.score,
        "confirmed": confirmed,
        "by default": {rule: float(np.mean(scores)) for rule, scores in defaults.items()},
        "tuned": tuned,
        "says": answer.sentences(),
        "finished": answer.finished,
        "took_s": answer.took_s,
    }


def main(
    device: list[str] | None = None,
    task: str = "digits",
    minutes: float = 1.5,
    workers: int = 2,
    epochs: int = 10,
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
        data_dir: Folder of the task's files.
        out: Folder of the table, advise-TASK.json, which is resumed.
    """
    name = f"advise-{Path(task).stem}"
    path = Path(out) / f"{name}.json"
    table = json.loads(path.read_text()) if path.exists() else {"task": task, "minutes": minutes, "aimco": ai.__version__, "rows": []}
    done = {r["device"] for r in table["rows"]}
    for one in device or ai.Device.names():
        if one in done:
            continue
        training = {"epochs": epochs}
        answer = ai.advise(one, task, minutes=minutes, workers=workers, data_dir=data_dir, training=training, progress=False)
        table["rows"].append(row(one, answer, by_default(one, task, data_dir, {"epochs": epochs, "batch": 10})))
        keep(out, name, table)
        print(
            f"{one}: {table['rows'][-1]['best']}, {answer.best.score:.1f} +- {answer.best.margin:.1f} %, {answer.took_s:.0f} s",
            file=sys.stderr,
        )


if __name__ == "__main__":
    tyro.cli(main)
