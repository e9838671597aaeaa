"""Soft bounds in a convolutional network: what plain descent loses on a small range, and Tiki-Taka does not (Wu et al. 2024)."""

from __future__ import annotations

from dataclasses import replace

from aimco.design import Design
from aimco.reference import Row, Settings, wu2024_fcn

SOURCE = (
    "Wu et al., NeurIPS 2024 (arXiv 2406.12774): LeNet of 16 and 32 kernels of 5 x 5, 512-128-10, on MNIST, soft bounds of +-tau, "
    "80 epochs, mean of the last five"
)
NEEDS = "mnist"

DIGITAL = 99.16
SGD = {0.6: 88.99, 0.7: 92.15, 0.8: 93.45}
TIKI_TAKA = {0.6: 98.84, 0.7: 98.87, 0.8: 98.86}
_RATE = {"digital": 0.1, "sgd": 0.05, "tiki-taka": 0.05}
_QUICK_IMAGES, _QUICK_TAU = 4000, 0.7


def design(tau: float, rule: str, epochs: int = 80) -> Design:
    """Device, periphery and schedule as `wu2024_fcn`; the network, its batches of 8 and its digital rate from the authors' program.

    tanh, max-pooling of 2 and softmax; Tiki-Taka moves one row per batch, in convolutions too.
    """
    base = wu2024_fcn.design(tau, "sgd", epochs).replace("network.hidden", [128])
    network = base.network.as_dict() | {"kind": "lenet", "activation": "tanh", "channels": [16, 32], "kernel_size": 5, "pool": 2}
    transfer = {"lr_fast": 0.01, "transfer_every": 1, "transfer_unit": "batch", "transfer_lr": 1.0} if rule == "tiki-taka" else {}
    parts = {"network": network, "rule": {"kind": rule, "lr": _RATE[rule]} | transfer, "training": base.training.as_dict() | {"batch": 8}}
    return Design.of(base.as_dict() | parts)


def run(settings: Settings) -> list[Row]:
    """Digital descent, plain descent and Tiki-Taka at each tau; quick: plain descent and Tiki-Taka at one, 4000 images, one epoch."""
    if settings.quick:
        return _quick(replace(settings, limit=settings.limit or _QUICK_IMAGES))
    task = settings.load("mnist")
    (digital,) = settings.train("digital", [design(0.7, "digital")], task, last=5)
    rows = [Row("digital", DIGITAL, digital, 0.3, "%")]
    for label, rule, published, tolerance in (("SGD", "sgd", SGD, 5.0), ("Tiki-Taka", "tiki-taka", TIKI_TAKA, 0.5)):
        accuracies = settings.train(label, [design(tau, rule) for tau in published], task, last=5)
        pairs = zip(published.items(), accuracies, strict=True)
        rows += [Row(f"{label}, tau {tau:.1f}", known, ours, tolerance, "%") for (tau, known), ours in pairs]
    return rows


def _quick(settings: Settings) -> list[Row]:
    """For information: so few images say only that all of it runs and learns."""
    task, rows = settings.load("mnist"), []
    for label, rule in {"digital": "digital", "SGD": "sgd", "Tiki-Taka": "tiki-taka"}.items():
        (accuracy,) = settings.train(label, [design(_QUICK_TAU, rule, 1)], task)
        rows.append(Row(f"{label}, tau {_QUICK_TAU}, {len(task.train_x)} images once", None, accuracy, None, "%"))
    return rows
