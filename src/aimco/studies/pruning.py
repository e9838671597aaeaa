"""Points that fall behind earlier ones end early.

The bar of a generation is made of the generations before it and of nothing else, as its points are. So what is pruned depends neither
on the workers nor on where a run was killed, and a pack that is repeated prunes the same points again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from aimco.record import Record, field_error

_FACTOR, _STARTUP = 3, 5


class Pruning(Record):
    """When a point ends early: after an epoch where its best accuracy so far is below the bar of that epoch.

    "median": the bar is the median of the best accuracies so far of complete trials, as Optuna's MedianPruner sets it.
    "halving": at epochs first, factor first, factor^2 first ... one in `factor` of the trials that came so far goes on, this one
    counted, as in asynchronous successive halving.

    Args:
        rule: "median" or "halving". first: epochs that every point gets. startup: complete trials before a median counts.
        factor: of halving.

    Source: Li et al. 2020, MLSys, algorithm 2 (halving).
    """

    rule: Literal["median", "halving"]
    first: int = Field(default=1, ge=1, le=100_000)
    startup: int = Field(default=_STARTUP, ge=1, le=100_000)
    factor: int = Field(default=_FACTOR, ge=2, le=100)

    @model_validator(mode="after")
    def _of_its_rule(self) -> Pruning:
        for name, rule, default in (("factor", "halving", _FACTOR), ("startup", "median", _STARTUP)):
            if self.rule != rule and getattr(self, name) != default:
                raise field_error(name, f"must be left out where rule = {self.rule!r}; it belongs to {rule}")
        return self

    def bars(self, complete: Sequence[Sequence[float]], pruned: Sequence[Sequence[float]]) -> list[float]:
        """The bar after each epoch, -inf where nothing is pruned.

        Args:
            complete, pruned: accuracies after each epoch of the trials of earlier generations.
        """
        known = [*complete] if self.rule == "median" else [*complete, *pruned]
        best = [np.maximum.accumulate(curve) for curve in known if len(curve)]
        return [
            self._bar(e, sorted((c[e - 1] for c in best if len(c) >= e), reverse=True))
            for e in range(1, max(map(len, best), default=0) + 1)
        ]

    def _bar(self, epoch: int, falling: Sequence[float]) -> float:
        if self.rule == "median":
            return float(np.median(falling)) if epoch >= self.first and len(falling) >= self.startup else -math.inf
        going_on = max((len(falling) + 1) // self.factor, 1)
        return float(falling[going_on - 1]) if self._is_rung(epoch) and len(falling) >= going_on else -math.inf

    def _is_rung(self, epoch: int) -> bool:
        rung = self.first
        while rung < epoch:
            rung *= self.factor
        return rung == epoch


class Watch:
    """Which points of a pack are below the bar, and since which epoch; they are asked after each epoch but the last.

    Args:
        bars: after each epoch. points: of the pack, each with the same number of seeds.
    """

    def __init__(self, bars: Sequence[float], points: int) -> None:
        self.bars, self.ended = list(bars), [0] * points
        self._best = np.full(points, -np.inf)

    def go_on(self, epoch: int, accuracies: np.ndarray) -> bool:
        """Whether any point is to be trained further. accuracies: of the members, (points x seeds,)."""
        self._best = np.maximum(self._best, accuracies.astype(np.float64).reshape(len(self.ended), -1).mean(1))
        if epoch <= len(self.bars):
            for k in np.flatnonzero(self._best < self.bars[epoch - 1]):
                self.ended[k] = self.ended[k] or epoch
        return not all(self.ended)

    def reason(self, k: int, epochs: int) -> str:
        """Why a point was ended."""
        return f"ended after {self.ended[k]} of {epochs} epochs, its best accuracy being below {self.bars[self.ended[k] - 1]:.4f}"
