"""Resistive networks that learn MNIST by equilibrium propagation, as the references of published ones share them."""

from __future__ import annotations

from dataclasses import replace

from aimco.design import Design
from aimco.reference import Row, Settings

_QUICK_LIMIT, _QUICK_EPOCHS, _QUICK_WORST = 5000, 2, 20.0


def design(diodes: str, hidden: int, epochs: int) -> Design:
    """1569-hidden-20 on devices of a window from nothing to 1 uS, moved exactly; conductances start uniform below half of it.

    Chosen where the sources are silent or scale otherwise: sources of 100 V for a full pixel, since the voltage that one pixel leaves at
    a hidden node is a 1569th of it; outputs of 1 V for the right class; the second
    crossbar learns at a fifth of the rate, relative to the window, which falls by a factor .85 each epoch over 25 of them.
    """
    return Design.of(
        {
            "device": "ideal",
            "network": {"kind": "resistive", "hidden": [hidden], "circuit": {"diodes": diodes, "input_V": 100.0}},
            "rule": {"kind": "equilibrium", "moves": "ideal", "lr": 1.0, "layer_lr": [1.0, 0.2], "target_V": 1.0, "beta": 1e-5},
            "training": {"epochs": epochs, "batch": 16, "decay_every": 1, "decay": 0.85 ** (25 / max(epochs, 25))},
        }
    )


def errors(settings: Settings, cases: list[tuple[str, Design, float, float]]) -> list[Row]:
    """A row for each (name, design, published error, %, largest error that counts as reproduced, %).

    Quick: 2 epochs of 5,000 samples, of which no more than 20 % error is asked.
    """
    quick, rows = settings.quick, []
    task = replace(settings, limit=settings.limit or _QUICK_LIMIT).load("mnist") if quick else settings.load("mnist")
    for name, made, published, most in cases:
        chosen = made.replace("training.epochs", _QUICK_EPOCHS).replace("training.decay", 0.5) if quick else made
        (accuracy,) = settings.train(name, [chosen], task)
        limit = _QUICK_WORST if quick else most
        rows.append(Row(name, published, 100 - accuracy, limit - published, "%", upper=True))
    return rows
