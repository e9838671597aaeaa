"""How far the activity that `aimco cost` assumes is from that of a run: energy of pulses and half-selected devices, and time.

784-256-10 on MNIST and 64-32-10 on digits learn for one epoch in batches of 10 at the learning rate 0.1. A training sample is priced with
the activity of the run and with the assumed one. Beside it, how many devices are half-selected for each step of a device of the first
layer under SGD; each dissipates a quarter of what a device that steps does.

Usage: python activity.py --data-dir FOLDER [--quick] [--out FOLDER]      (seconds; writes activity.json)
"""

from __future__ import annotations

from typing import Any, NamedTuple

from _figure import options

import aimco as ai
from aimco.cost import Activity, of_design, training
from aimco.tasks import Sample
from aimco.terminal import keep

PULSES = ("update", "half-select")


class Case(NamedTuple):
    """One run: the samples of its task, device and rule."""

    task: str
    samples: int | None
    device: str
    rule: str


CASES = (
    Case("mnist", 10_000, "rpu", "sgd"),
    Case("mnist", 10_000, "soft-bounds", "sgd"),
    Case("mnist", 1000, "rpu", "sgd"),
    Case("mnist", 10_000, "rpu", "tiki-taka"),
    Case("mnist", 10_000, "rpu", "tiki-taka-v2"),
    Case("digits", None, "rpu", "sgd"),
    Case("digits", None, "rpu", "tiki-taka-v2"),
)


RATES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "tiki-taka": {"lr_fast": 0.01, "transfer_lr": 1.0, "reference": "symmetry-point"},
    "tiki-taka-v2": {"lr_fast": 0.1, "granularity": 200.0, "max_pulses": 10, "reference": "symmetry-point"},
}


def priced(case: Case, data_dir: str | None) -> dict[str, Any]:
    """Measured and assumed energy (J) and time (s) of one training sample, and the activity of the run."""
    hidden, image = (256, (1, 28, 28)) if case.task == "mnist" else (32, (1, 8, 8))
    plain = {"device": case.device, "network": {"hidden": [hidden]}, "technology": "rpu-2016"}
    design = ai.Design.of(plain | {"rule": {"kind": case.rule, "lr": 0.1} | RATES[case.rule], "training": {"epochs": 1, "batch": 10}})
    result = ai.evaluate(design, case.task, data_dir=data_dir, limit=case.samples)
    busy = [{name: Activity.of(fields) for name, fields in arrays.items()} for arrays in result.activity.values()]
    network = of_design(design, Sample(image, 10))
    ran, taken = training(design, network, activity=busy), training(design, network)
    pulses, as_assumed = (sum(price.energy_J[part] for part in PULSES) for price in (ran, taken))
    w = busy[0]["W"] if case.rule == "sgd" else None
    return case._asdict() | {
        "assumed over measured": as_assumed / pulses,
        "measured share": pulses / ran.energy_J["total"],
        "time, assumed over measured": taken.latency_s / ran.latency_s,
        "half-selected for each step": (w.row_pulses + w.column_pulses) / w.coincidences - 2 if w else None,
        "activity": result.activity,
    }


if __name__ == "__main__":
    chosen = options(mnist="must")
    rows = []
    for case in CASES:
        rows.append(priced(case._replace(samples=100) if chosen.quick else case, chosen.data_dir))
        numbers = ", ".join(f"{name} {value:.3g}" for name, value in rows[-1].items() if isinstance(value, float))
        print(f"{case.task}, {case.device}, {case.rule}, {rows[-1]['samples'] or 'all'} samples: {numbers}", flush=True)
    keep(chosen.out, "activity", rows)
