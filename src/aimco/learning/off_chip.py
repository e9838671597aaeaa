"""Training in software: the arrays are written when it is done, and only read then."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from aimco.learning import Rule
from aimco.record import PathError


class OffChip(Rule):
    """Adam in software, straight through the signs of binary weights and activations; the weights are then written into the arrays.

    w <- clip(w - eta Adam(dL/dw), -1, 1) on the real numbers w whose signs are the weights, L the mean over samples of
    sum over classes max(0, 1 - t y)^2, t = +1 for the class and -1 for the others. The rate eta falls from `lr` to `last_lr` by the same
    factor in every step; normalisation learns at a tenth of it. Digital work per sample on the chip: none.

    Args:
        lr: Rate of the first step, > 0; `training.decay` reduces it further.
        last_lr: Rate of the last step, > 0.

    Source: Courbariaux 2016 (arXiv 1602.02830); Kim 2018 (arXiv 1811.02187) for layers that are split.
    """

    teaches: ClassVar[str] = "software"
    on_chip: ClassVar[bool] = False

    lr: float = Field(default=0.3, gt=0, le=1000, description="learning rate of the first step")
    last_lr: float = Field(default=5e-3, gt=0, le=1000, description="learning rate of the last step")

    def rate(self, lr: float, done: float) -> float:
        """Rate after a part of all steps, 0..1, of a first rate.

        Example:
            >>> round(OffChip(lr=0.1, last_lr=0.001).rate(0.1, 0.5), 12)
            0.01
        """
        return lr * (self.last_lr / self.lr) ** done

    def check(self, design):
        if design.training.sample_s is not None:
            problem = f"must be absent where nothing is trained on the chip, got {design.training.sample_s:g}"
            raise PathError("training.sample_s", f"{problem}; network.read_after_s is the time from writing to the test")

    def work(self, rows, columns, vectors, batch):
        return {}

    def notes(self):
        return ["weights are learned in software: training takes no energy and no time of the chip"]
