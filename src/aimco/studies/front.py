"""The Pareto front of finished trials, its knee, and the volume that it dominates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from aimco.record import InputError
from aimco.studies.trial import Trial

_DECADE = 10.0  # costs that span more are compared by their logarithms


def losses(trials: Sequence[Trial], objectives: Mapping[str, str] | None = None) -> np.ndarray:
    """Objectives as numbers to make small, (trials, objectives): those to be made large change their sign.

    Args:
        objectives: name -> "max" or "min"; those of the trials when absent.
    """
    ways = trials[0].directions if objectives is None else objectives
    return np.array([[-t.values[n] if way == "max" else t.values[n] for n, way in ways.items()] for t in trials], np.float64)


def comparable(trials: Sequence[Trial], objectives: Mapping[str, str] | None = None) -> list[Trial]:
    """Trials that ran to the end and have a finite value of each objective."""

    def known(trial: Trial) -> bool:
        return all(math.isfinite(trial.values.get(name, math.nan)) for name in (trial.directions if objectives is None else objectives))

    return [t for t in trials if t.state == "complete" and known(t)]


def front(trials: Sequence[Trial], objectives: Mapping[str, str] | None = None) -> list[Trial]:
    """Feasible trials that no other feasible trial beats in all objectives, sorted by the first objective, best first.

    Of trials with equal objectives the first is kept.

    Example:
        >>> trials = [Trial(n, {}, values={"accuracy": a, "energy": e}) for n, (a, e) in enumerate([(0.9, 2.0), (0.8, 1.0), (0.8, 3.0)])]
        >>> [t.number for t in front(trials, {"accuracy": "max", "energy": "min"})]
        [0, 1]
    """
    able = [t for t in comparable(trials, objectives) if t.feasible]
    if not able:
        return []
    y = losses(able, objectives)
    members = []
    for k, row in enumerate(y):
        no_worse = (y <= row).all(1)
        better = no_worse & (y < row).any(1)
        twin = no_worse & ~better
        if not better.any() and not twin[:k].any():
            members.append(k)
    members.sort(key=lambda k: (*y[k], k))
    return [able[k] for k in members]


def knee(front: Sequence[Trial], objectives: Mapping[str, str] | None = None) -> Trial | None:
    """The point of a front farthest from the line between its ends (the plane, of more than two), towards the ideal.

    Each objective is normalised to 0 at its best and 1 at its worst value on the front, so the ends lie on sum(y) = 1 and the
    knee is the point of the least sum. A cost that spans more than a decade is taken as its logarithm, as it is drawn. None for no front.
    """
    if not front:
        return None
    y = losses(front, objectives)
    wide = (y.min(0) > 0) & (y.max(0) > _DECADE * y.min(0))
    y = np.where(wide, np.log(np.where(wide, y, 1.0)), y)
    span = y.max(0) - y.min(0)
    normalised = (y - y.min(0)) / np.where(span > 0, span, 1.0)
    return front[int(normalised.sum(1).round(12).argmin())]


def hypervolume(trials: Sequence[Trial], reference: Mapping[str, float] | None = None) -> float:
    """Volume between the front and a reference point, in the product of the objectives' units.

    Args:
        reference: objective -> raw value that is worse than what counts; the worst of the complete trials when absent.
            Fronts are compared only with the same one.
    """
    complete = comparable(trials)
    best = front(complete)
    if not best:
        return 0.0
    corner = losses(complete).max(0) if reference is None else _corner(best[0], reference)
    y = losses(best)
    return _volume(y[(y < corner).all(1)], corner)


def _corner(trial: Trial, reference: Mapping[str, float]) -> np.ndarray:
    missing = [name for name in trial.values if name not in reference]
    if missing:
        raise InputError(f"reference must have a value for each objective, and {missing[0]} has none; add it")
    return np.array([-reference[n] if trial.directions[n] == "max" else reference[n] for n in trial.values])


def _volume(y: np.ndarray, corner: np.ndarray) -> float:
    """Volume of the union of the boxes from each row of y up to the corner: slices along the last objective."""
    if not len(y):
        return 0.0
    if y.shape[1] == 1:
        return float(corner[0] - y[:, 0].min())
    y = y[np.argsort(y[:, -1], kind="stable")]
    tops = [*y[1:, -1], corner[-1]]
    return math.fsum((top - y[k, -1]) * _volume(y[: k + 1, :-1], corner[:-1]) for k, top in enumerate(tops) if top > y[k, -1])
