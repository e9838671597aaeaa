"""What response SGD and Tiki-Taka v2 want of a device: steps that are the same everywhere, or steps that fall towards the bounds.

64-32-10 on digits with the near-ideal device of `aimco requirements`, whose steps fall linearly from mid-range to either bound, and whose
up steps are larger than its down steps. Accuracy is the mean of the last four of ten epochs and of two seeds.

Usage: python response_and_rule.py [--quick] [--out FOLDER]      (writes response-and-rule.json)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _figure import options

import aimco as ai
from aimco.studies.parameters import bench, design, ideal, known_rule
from aimco.terminal import keep

RULES = ("sgd", "tiki-taka-v2")
FALLS = (0.05, 0.1, 0.2, 0.5)  # gamma: part of the step that is lost from mid-range to a bound
IMBALANCES = (0.0, 0.1, 0.3)  # up step over down step at mid-range, minus 1


def device_of(rule: str, fall: float, imbalance: float, epochs: int) -> ai.Design:
    """The near-ideal design of a rule with these steps in each of its arrays."""
    base = design(bench("digits"), rule, ideal(known_rule(rule)) | {"imbalance": imbalance}).replace("training.epochs", epochs)
    base = base.replace("device.response.gamma_up", fall).replace("device.response.gamma_down", fall)
    return base if rule == "sgd" else base.replace("rule.slow_device.response", base.device.response)


def accuracies(rule: str, fall: float, epochs: int, seeds: range) -> list[float]:
    """Test accuracy, %, at each imbalance."""
    designs = [device_of(rule, fall, imbalance, epochs) for imbalance in IMBALANCES for _ in seeds]
    results = ai.evaluate_many(designs, "digits", seeds=[*seeds] * len(IMBALANCES))
    last = [100 * float(np.mean(r.curves["test_accuracy"][-bench("digits").last :])) for r in results]
    return np.reshape(last, (len(IMBALANCES), len(seeds))).mean(1).tolist()


def run(quick: bool) -> dict[str, Any]:
    epochs, seeds = (1, range(1)) if quick else (bench("digits").epochs, range(2))
    result: dict[str, Any] = {"imbalance": list(IMBALANCES), "seeds": len(seeds), "epochs": epochs, "accuracy": {}}
    for rule in RULES:
        result["accuracy"][rule] = {f"{fall:g}": accuracies(rule, fall, epochs, seeds) for fall in FALLS}
        for fall, values in result["accuracy"][rule].items():
            print(f"{rule}, steps fall by {100 * float(fall):.0f} %: {', '.join(f'{v:.1f}' for v in values)} %")
    return result


if __name__ == "__main__":
    chosen = options()
    keep(chosen.out, "response-and-rule", run(chosen.quick))
