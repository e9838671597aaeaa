"""The main job on embedded data: five devices, two rules and the digital baseline on handwritten digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aimco.design import Design
from aimco.device.device import Device
from aimco.evaluation import Result, evaluate

DEVICES = ("ideal", "rpu", "rram-array-om", "ecram", "asymmetric-soft-bounds")
RULES: dict[str, dict[str, Any]] = {
    "sgd": {"kind": "sgd", "lr": 0.1},
    "tiki-taka": {"kind": "tiki-taka", "lr": 0.1, "lr_fast": 0.1, "transfer_every": 1, "transfer_lr": 1.0},
}
BASE = {
    "network": {"hidden": [32], "activation": "sigmoid"},
    "cell": {"kind": "reference", "weight_max": 1.0},
    "training": {"epochs": 20, "batch": 10},
}
OnEpoch = Callable[[str, str, int, int, float], None]


def design(device: str, rule: str) -> Design:
    """The design of one cell of the table."""
    chosen = {"kind": "digital", "lr": 0.1} if rule == "digital" else RULES[rule]
    return Design.of({"device": Device.named(device).as_dict(), "rule": chosen} | BASE)


def demo_rows(on_row: Callable[[str, str, Result], None] | None = None, on_epoch: OnEpoch | None = None) -> list[tuple[str, str, Result]]:
    """Evaluate every device under every rule, and the digital baseline.

    Args:
        on_row: called with (device, rule, result) as each is ready. on_epoch: called with (device, rule, epoch, epochs, accuracy).

    Returns:
        Rows (device, rule, result); the baseline is the row ("digital", "digital", result).
    """
    rows: list[tuple[str, str, Result]] = []
    for device, rule in [("digital", "digital"), *((d, r) for d in DEVICES for r in RULES)]:
        chosen = design("ideal" if device == "digital" else device, rule)

        def report(epoch: int, epochs: int, accuracy: float, device: str = device, rule: str = rule) -> None:
            if on_epoch:
                on_epoch(device, rule, epoch, epochs, accuracy)

        rows.append((device, rule, evaluate(chosen, "digits", on_epoch=report)))
        if on_row:
            on_row(*rows[-1])
    return rows
