"""What rules reach with the rates that they take by themselves, beside the best that tuning finds for each device of the catalogue.

    python examples/default_rates.py --workers 2 --out docs/results

For each device and rule: accuracy on digits (64-32-10, 10 epochs) without any rate given, and with the setting that `aimco advise` finds
for this rule alone, both on the same five seeds, which no search saw. In pairs of devices where pulses only raise a device.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tyro

import aimco as ai
from aimco.terminal import keep

RULES = ("agad", "tiki-taka-v2")
SEEDS = (1, 2, 3, 4, 5)  # those on which advise confirms
PATIENCE = 3.5  # the 84 s of `make advise`
NAME = "default-rates"


def by_default(device: str, rule: str) -> float:
    """Mean accuracy without any rate given, %."""
    cell = {"kind": "pair"} if ai.Device.named(device).response.one_sided else {"kind": "reference"}
    base = {"device": device, "cell": cell, "network": {"hidden": [32], "activation": "sigmoid"}}
    design = ai.Design.of(base | {"rule": {"kind": rule}, "training": {"epochs": 10, "batch": 10}})
    results = ai.evaluate_many([design] * len(SEEDS), "digits", seeds=SEEDS, progress=False)
    return 100 * float(np.mean([r.metrics["accuracy"] for r in results]))


def compared(device: str, rule: str, workers: int, minutes: float) -> dict[str, object]:
    """A row of the table. A search that ends below what the rule reaches by itself had not got far: it is done again with more time."""
    default = by_default(device, rule)
    for time in (minutes, PATIENCE * minutes):
        answer = ai.advise(device, rules=[rule], minutes=time, workers=workers, around=False, progress=False)
        best = answer.best
        assert best is not None
        if best.score > default - 1:
            break
    row = {"device": device, "rule": rule, "default": default, "tuned": best.score, "margin": best.margin, "way": best.candidate.name}
    return row | {"setting": best.setting, "gap": best.score - default, "took_s": answer.took_s}


def main(device: list[str] | None = None, minutes: float = 0.4, workers: int = 2, out: str = "docs/results") -> None:
    """A table of devices, all of the catalogue when none is named; it is resumed where it was left.

    Args:
        device: Names.
        minutes: For the search of each rule on each device.
        workers: Local processes.
        out: Folder of the table, default-rates.json.
    """
    path = Path(out) / f"{NAME}.json"
    table = json.loads(path.read_text()) if path.exists() else {"task": "digits", "aimco": ai.__version__, "rows": []}
    done = {(r["device"], r["rule"]) for r in table["rows"]}
    for name in device or ai.Device.names():
        for rule in RULES:
            if (name, rule) in done:
                continue
            row = compared(name, rule, workers, minutes)
            table["rows"].append(row)
            keep(out, NAME, table)
            print(f"{name}, {rule}: default {row['default']:.1f} %, tuned {row['tuned']:.1f} % ({row['way']})", file=sys.stderr, flush=True)
    for rule in RULES:
        gaps = [r["gap"] for r in table["rows"] if r["rule"] == rule]
        print(f"{rule}: within 2 points of the tuned best on {sum(gap <= 2 for gap in gaps)} of {len(gaps)} devices")


if __name__ == "__main__":
    tyro.cli(main)
