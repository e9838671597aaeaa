"""Resistive networks that learn MNIST by equilibrium propagation, as the references of published ones share them."""

from __future__ import annotations

from dataclasses import replace

from aimco.design import Design
from aimco.reference import Row, Settings

_QUICK_LIMIT, _QUICK_EPOCHS, _QUICK_WORST = 5000, 2, 20.0
_NARROW = 100  # hidden nodes, up to which the settings of 100 are taken
_WIDE_DECAY = 0.97  # of the rates, an epoch


def design(diodes: str, hidden: int, epochs: int) -> Design:
    """1569-hidden-20 on devices of a window from nothing to 1 uS, moved exactly.

    Half of the hidden nodes rectify upwards and half downwards, half of the devices start empty and the others uniform below half of the
    window, and sources drive 100 V for a full pixel, 480 V into 1024 nodes: as in the program of Scellier 2024. Amplifiers have a gain of
    1; a gain of A and A-fold lower sources make the same network, but for the voltage that diodes take to conduct. Chosen where the
    sources are silent: batches of 16, outputs of 1 V for the right class, and rates that fall to 3 % over the epochs,
    in the wide network by 3 % an epoch.

    The wide network starts at a quarter of the rate for each sample that the program has, at which many of its hidden nodes would soon
    never conduct again; no node reaches its upper source; and its conductances are kept in float32, its voltages are not.
    """
    wide = hidden > _NARROW
    circuit = {"diodes": diodes, "gain": 1.0, "empty": 0.5, "low_V": 0.0, "mirrored": True}
    circuit |= {"input_V": 480.0, "high_V": 100.0, "tolerance_V": 1e-4} if wide else {"input_V": 100.0, "high_V": 12.0, "tolerance_V": 1e-5}
    rates = {"lr": 0.03, "layer_lr": [1.0, 1.6]} if wide else {"lr": 0.2, "layer_lr": [1.0, 0.9]}
    return Design.of(
        {
            "device": "ideal",
            "network": {"kind": "resistive", "hidden": [hidden], "circuit": circuit | {"precision": "float32" if wide else "float64"}},
            "rule": {"kind": "equilibrium", "update_mode": "ideal", "target_V": 1.0, "beta": 1e-5} | rates,
            "training": {"epochs": epochs, "batch": 16, "decay_every": 1, "decay": _WIDE_DECAY if wide else 0.03 ** (1 / epochs)},
        }
    )


def errors(settings: Settings, cases: list[tuple[str, Design, float, float]]) -> list[Row]:
    """A row for each (name, design, published error, largest difference that counts as reproduced, %).

    Quick: 2 epochs of 5,000 samples, of which no more than 20 % error is asked.
    """
    quick, rows = settings.quick, []
    task = replace(settings, limit=settings.limit or _QUICK_LIMIT).load("mnist") if quick else settings.load("mnist")
    for name, base, published, tolerance in cases:
        chosen = base.replace("training.epochs", _QUICK_EPOCHS).replace("training.decay", 0.5) if quick else base
        (accuracy,) = settings.train(name, [chosen], task)
        rows.append(_quick(name, 100 - accuracy) if quick else Row(name, published, 100 - accuracy, tolerance, "%"))
    return rows


def _quick(name: str, error: float) -> Row:
    why = "quick: that it learns is all that is asked"
    return Row(name, None, error, 0.0, "%", expected=_QUICK_WORST, limit="at most", why=why)
