"""One point of a study, what was found there, and which points are worth building: the front and its knee."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

_DECADE = 10.0  # costs that span more are compared by their logarithms


@dataclass(frozen=True)
class Trial:
    """One point of a study.

    Args:
        number: from 0 on. point: dotted path of the design -> the value chosen, absent where a condition left it out.
        values: objective -> raw value, SI. feasible: the constraints are met. seeds: of the runs that `values` are means of.
        design: TOML text. curves: test_accuracy and train_loss, one number per epoch.
        result: accuracy, energy_J by part, latency_s, area_m2, notes. wall_s: time that it took. reason: why it failed or was pruned.
    """

    number: int
    point: dict[str, Any]
    state: Literal["complete", "failed", "pruned"] = "complete"
    values: dict[str, float] = field(default_factory=dict)
    feasible: bool = True
    seeds: tuple[int, ...] = (0,)
    design: str = ""
    curves: dict[str, list[float]] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    wall_s: float = 0.0
    reason: str | None = None


def comparable(trials: Sequence[Trial], objectives: Mapping[str, str]) -> list[Trial]:
    """Trials that ran to the end and have a finite value of each objective."""
    return [t for t in trials if t.state == "complete" and all(math.isfinite(t.values.get(name, math.nan)) for name in objectives)]


def front(trials: Sequence[Trial], objectives: Mapping[str, str]) -> list[Trial]:
    """Trials that meet the constraints and that no other one of these beats in one objective without losing in another.

    Sorted by the first objective, best first. Of trials with equal values only the first is kept.

    Example:
        >>> made = [Trial(n, {}, values={"accuracy": a, "energy": e}) for n, (a, e) in enumerate([(0.9, 2.0), (0.8, 1.0), (0.8, 3.0)])]
        >>> [t.number for t in front(made, {"accuracy": "maximize", "energy": "minimize"})]
        [0, 1]
    """
    known = [t for t in comparable(trials, objectives) if t.feasible]
    losses = _losses(known, objectives)
    kept = []
    for k, mine in enumerate(losses):
        beaten = (losses <= mine).all(1) & (losses < mine).any(1)
        if not beaten.any() and not (losses[:k] == mine).all(1).any():
            kept.append(k)
    return [known[k] for k in sorted(kept, key=lambda k: (*losses[k], known[k].number))]


def knee(trials: Sequence[Trial], objectives: Mapping[str, str]) -> Trial | None:
    """The member of the front farthest below the line (plane) through its ends; the best for one objective; None without a front.

    Objectives are normalised to 0 (best on the front) .. 1 (worst on it), in logarithms where they are costs that span more than a
    decade, so that it is the point that a reader of the figure would take.
    """
    members = front(trials, objectives)
    if not members:
        return None
    sums = np.zeros(len(members))
    for name in objectives:
        values = np.array([t.values[name] for t in members])
        wide = values.min() > 0 and values.max() > _DECADE * values.min()
        values = -values if objectives[name].startswith("max") else np.log(values) if wide else values
        sums += (values - values.min()) / (np.ptp(values) or 1.0)
    return members[int(np.argmin(sums.round(12)))]


def _losses(trials: Sequence[Trial], objectives: Mapping[str, str]) -> np.ndarray:
    """Values with the sign that makes less better, (trials, objectives)."""
    sign = [-1.0 if direction.startswith("max") else 1.0 for direction in objectives.values()]
    return np.array([[s * t.values[name] for s, name in zip(sign, objectives, strict=True)] for t in trials]).reshape(-1, len(sign))
