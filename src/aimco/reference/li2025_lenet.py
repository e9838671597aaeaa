"""Ten states in a convolutional network: Tiki-Taka, mixed precision and residual learning on several arrays (Li et al. 2025)."""

from __future__ import annotations

from dataclasses import replace

from aimco.design import Design
from aimco.plain_data import PlainData
from aimco.reference import Row, Settings

SOURCE = "Li et al., arXiv 2510.02516 (2025): LeNet on MNIST with soft-bounds devices of 10 states"
NEEDS = "mnist"

_RESIDUAL = {"kind": "residual", "lr": 4.0, "gamma": 0.8, "transfer_every": 100, "transfer_unit": "vector"}
_PACE = {"transfer_every": 1, "transfer_unit": "batch"}
_EVERY_10_VECTORS = {"transfer_every": 10, "transfer_unit": "vector"}
RULES: dict[str, tuple[float, PlainData]] = {
    "Tiki-Taka": (78.65, {"kind": "tiki-taka", "lr": 1.0, "lr_fast": 10.0, "transfer_lr": 1.0} | _PACE),
    "Tiki-Taka v2": (95.43, {"kind": "tiki-taka-v2", "lr": 0.05, "max_pulses": 1, "granularity": 2000.0} | _EVERY_10_VECTORS),
    "mixed precision": (99.13, {"kind": "mixed-precision", "lr": 4.0} | _PACE),
    "residual, 3 arrays": (95.07, _RESIDUAL | {"num_arrays": 3}),
    "residual, 4 arrays": (97.10, _RESIDUAL | {"num_arrays": 4}),
    "residual, 6 arrays": (98.53, _RESIDUAL | {"num_arrays": 6}),
}
_IMAGES, _EPOCHS = 10_000, 6
_QUICK_IMAGES, _QUICK_EPOCHS = 1000, 1


def design(rule: PlainData, epochs: int = _EPOCHS) -> Design:
    """LeNet of 16 and 32 kernels of 5 x 5 and 512-128-10, its matrices in devices of 10 states that differ by 0.1, c2c 0.1.

    Published: network, number of states, rules. Chosen here: tanh, batch 8, a digital scale by fan-in, digital biases, a tenth of the
    learning rate for the last third of the epochs, ideal converters; 10,000 images 6 times, since each image is 640 vectors on the
    arrays of the convolutions. Learning rates are in weights of the arrays, before that scale (software, which has none: 0.05), and like
    gamma those of a few that learn most from 4,000 images.
    """
    device = {
        "name": "soft bounds, 10 states",
        "g_min": 0.0,
        "g_max": 2.0,
        "cycle_noise_additive": 0.1,
        "spread": {"step": 0.1},
        "response": {"kind": "soft-bounds", "step_up": 0.2, "step_down": 0.2},
    }
    return Design.of(
        {
            "device": device,
            "periphery": {"pulses": {"length": 5}},
            "network": {"kind": "lenet", "bias": "digital", "output_scale": "fan-in"},
            "rule": {"lr": 0.05} | rule,
            "training": {"epochs": epochs, "batch": 8, "decay_every": max(2 * epochs // 3, 1), "decay": 0.1},
        }
    )


def run(settings: Settings) -> list[Row]:
    """Software and each rule; quick: 1000 images once, for information."""
    quick = settings.quick
    settings = replace(settings, limit=settings.limit or (_QUICK_IMAGES if quick else _IMAGES))
    epochs, task = _QUICK_EPOCHS if quick else _EPOCHS, settings.load("mnist")
    (software,) = settings.train("software", [design({"kind": "digital"}, epochs)], task)
    rows = [Row("software", None, software, None, "%")]
    for name, (published, rule) in RULES.items():
        (accuracy,) = settings.train(name, [design(rule, epochs)], task)
        rows.append(Row(name, None if quick else published, accuracy, None if quick else 3.0, "%"))
    return rows
