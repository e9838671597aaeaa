"""A network whose weights are charges on capacitors, all analog (Kohda et al. 2020)."""

from __future__ import annotations

from dataclasses import replace

from aimco.design import Design
from aimco.reference import Row, Settings

SOURCE = "Kohda et al., IEDM 2020, 36.2: 784-100-10 on MNIST, every product and update in arrays of capacitors"
NEEDS = "mnist"

CHIP = 92.7  # %
_EPOCHS, _LAST = 10, 3
_QUICK_IMAGES, _QUICK_EPOCHS = 20_000, 2


def design(rule: str = "sgd", epochs: int = _EPOCHS) -> Design:
    """The network on the trench capacitors of the catalogue (Li 2018), 400 states and a second of retention.

    Published: sizes, all multiplications and updates in the arrays. Chosen here: sigmoid, softmax, one image at a time, learning rate
    0.02, half of it after each quarter of the epochs, weights up to 1, 7-bit DAC and 9-bit ADC as in the specification of Gokmen & Vlasov
    2016; a sample takes the time that the cost model gives it, in which the charges leak.
    """
    return Design.of(
        {
            "device": "capacitor-cmos",
            "cell": {"kind": "reference", "weight_max": 1.0},
            "periphery": {"dac": {"bits": 7.0}, "adc": {"bits": 9.0, "range_A": 12 * 4.95e-6 * 0.2}},
            "network": {"hidden": [100], "activation": "sigmoid"},
            "rule": {"kind": rule, "lr": 0.02},
            "training": {"epochs": epochs, "batch": 1, "decay_every": max(epochs // 4, 1)},
        }
    )


def run(settings: Settings) -> list[Row]:
    """The arrays of capacitors, and software beside them; quick: 20,000 images, 2 epochs."""
    if settings.quick:
        settings = replace(settings, limit=settings.limit or _QUICK_IMAGES)
    task, epochs, last = settings.load("mnist"), _QUICK_EPOCHS if settings.quick else _EPOCHS, 1 if settings.quick else _LAST
    software, arrays = (settings.train(rule, [design(rule, epochs)], task, last=last)[0] for rule in ("digital", "sgd"))
    name = "arrays of capacitors"
    chip = Row(name, None, arrays, 4.0, "%", expected=CHIP) if settings.quick else Row(name, CHIP, arrays, 3.0, "%")
    return [Row("software", None, software, None, "%"), chip]
