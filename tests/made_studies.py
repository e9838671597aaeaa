"""Studies made up for tests of reports: no training, values by formula."""

from __future__ import annotations

import math

import numpy as np

from aimco.studies.trial import Trial

OBJECTIVES = {"accuracy": "max", "energy": "min", "area": "min"}
DEVICES = ("ecram", "rram-array-om")
RULES = ("sgd", "tiki-taka", "tiki-taka-v2")


def design(device: str, rule: str, lr: float, hidden: list[int]) -> str:
    """Text that reads as a design, with the least that a page asks of it."""
    return f'technology = "rpu-2016"\ndevice = "{device}"\n\n[rule]\nkind = "{rule}"\nlr = {lr!r}\n\n[network]\nhidden = {hidden}\n'


def trial(number: int, rng: np.random.Generator) -> Trial:
    """A point at random, and values that depend on it."""
    device, rule = DEVICES[rng.integers(len(DEVICES))], RULES[rng.integers(len(RULES))]
    lr, hidden = float(10 ** rng.uniform(-3, 0)), [int(rng.choice([16, 32, 64, 128]))]
    point = {"device": device, "rule.kind": rule, "rule.lr": lr, "network.hidden": hidden}
    if rule != "sgd":
        point["rule.transfer_every"] = int(rng.integers(1, 9))
    good = 0.6 + 0.1 * RULES.index(rule) + 0.12 * math.log10(hidden[0] / 16) - 0.05 * abs(math.log10(lr) + 1) + float(rng.normal(0, 0.02))
    accuracy = min(max(good, 0.1), 0.985)
    energy = 1e-6 * hidden[0] / 16 * (1 + 0.6 * RULES.index(rule)) * float(10 ** rng.uniform(-0.5, 0.8))
    area = 1e-9 * hidden[0] * (1 + DEVICES.index(device)) * (2 if rule != "sgd" else 1)
    curve = [accuracy * (1 - math.exp(-(e + 1) / 3)) for e in range(10)]
    state = "failed" if rng.random() < 0.2 else "complete"
    done = state == "complete"
    return Trial(
        number=number,
        point=point,
        state=state,
        values={"accuracy": accuracy, "energy": energy, "area": area} if done else {},
        feasible=accuracy > 0.7 or not done,
        seeds=(0, 1),
        design=design(device, rule, lr, hidden),
        curves={"test_accuracy": curve if done else curve[:3], "train_loss": [2.3 * (1 - a) for a in (curve if done else curve[:3])]},
        result={
            "accuracy": accuracy,
            "energy_J": {"total": energy, "arrays": 0.7 * energy, "converters": 0.3 * energy},
            "latency_s": {"total": 1e-3},
            "area_m2": area,
            "notes": ["matrices larger than the array are cut"] if hidden[0] > 64 else [],
        }
        if done
        else {},
        wall_s=float(rng.uniform(1, 9)),
        reason="" if done else "rule.lr must be in 0..1, got 2",
    )


def study(count: int, seed: int = 0) -> list[Trial]:
    """A study of so many trials."""
    rng = np.random.default_rng(seed)
    return [trial(n, rng) for n in range(count)]
