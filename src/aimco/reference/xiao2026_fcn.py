"""Devices of four states and a reference that is off: Tiki-Taka v2, AGAD and E-RIDER on MNIST (Xiao et al. 2026)."""

from __future__ import annotations

from dataclasses import replace

from aimco.design import Design
from aimco.device.device import Device
from aimco.plain_data import PlainData
from aimco.reference import Row, Settings

SOURCE = (
    "Xiao et al., arXiv 2602.21321 (2026): fully connected network on MNIST, RRAM-HfO2 of 4 to 5 states, accuracy against the "
    "standard deviation of the reference"
)
NEEDS = "mnist"

OFFSETS = (0.05, 1.0)
PUBLISHED = {"tiki-taka-v2": (90.26, 79.20), "agad": (92.59, 91.37), "e-rider": (95.45, 93.86)}
_EPOCHS, _LAST, _QUICK_EPOCHS, _QUICK_IMAGES = 10, 3, 2, 10_000


def design(rule: str, offset: float, epochs: int = _EPOCHS) -> Design:
    """The array of RRAM-HfO2 of the catalogue (Gong & Rasch 2022) for both arrays, 784-256-128-10.

    Published: device, offsets. Chosen where the abstracts and tables at hand are silent, once for all rules: tanh, batch 10, a
    digital scale of each matrix by fan-in, ideal converters, trains of 5 slots, a read every 2 samples, learning rate 0.1 and a tenth of
    it after 2/5 and again after 4/5 of the epochs; lr_fast 0.03 of a full train, gamma_0 60, so that W of few states moves seldom; a share
    of 0.02 of A in the weights of E-RIDER. AGAD has no reference devices; here it reads A against the same offset ones, which its p_ref
    takes away.
    """
    rule_fields: PlainData = {"kind": rule, "lr": 0.1, "lr_fast": 0.03, "transfer_every": 2, "granularity": 60.0, "max_pulses": 1}
    rule_fields |= {"gamma": 0.02} if rule == "e-rider" else {}
    return Design.of(
        {
            "device": Device.named("rram-array-hfo2").as_dict(),
            "cell": {"kind": "reference", "weight_max": 1.0},
            "periphery": {"pulses": {"length": 5}},
            "network": {"hidden": [256, 128], "activation": "tanh", "output_scale": "fan-in"},
            "rule": rule_fields | {"reference": "symmetry-point", "reference_error": offset},
            "training": {"epochs": epochs, "batch": 10, "decay_every": max(2 * epochs // 5, 1), "decay": 0.1},
        }
    )


def run(settings: Settings) -> list[Row]:
    """Each rule with the small and the large offset; quick: 10,000 images twice, where only the order of the rules is asked for."""
    epochs, last = (_QUICK_EPOCHS, 1) if settings.quick else (_EPOCHS, _LAST)
    if settings.quick:
        settings = replace(settings, limit=settings.limit or _QUICK_IMAGES)
    task, rows, accuracies = settings.load("mnist"), [], {}
    for rule, published in PUBLISHED.items():
        ours = settings.train(rule, [design(rule, offset, epochs) for offset in OFFSETS], task, last=last)
        for offset, known, accuracy in zip(OFFSETS, published, ours, strict=True):
            accuracies[rule, offset] = accuracy
            rows.append(
                Row(f"{rule}, offset {offset:g}", None if settings.quick else known, accuracy, None if settings.quick else 4.0, "%")
            )
    for k, offset in enumerate(OFFSETS):
        for better, worse in (("e-rider", "agad"), ("agad", "tiki-taka-v2")):
            name, lead = f"{better} over {worse}, offset {offset:g}", accuracies[better, offset] - accuracies[worse, offset]
            rows.append(_lead(name, lead, None if settings.quick else PUBLISHED[better][k] - PUBLISHED[worse][k]))
    return rows


def _lead(name: str, ours: float, theirs: float | None) -> Row:
    """Points between two rules, within half of those between the published accuracies; where there are none, of the same sign."""
    if theirs is not None:
        return Row(name, None, ours, theirs / 2, "points", expected=theirs)
    return Row(name, None, ours, 0.0, "points", expected=0.0, limit="at least", why="quick: an order, which says nothing of its size")
