"""What is asked of the outputs of a network: a loss to train by, metrics to judge by."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from aimco.arrays.doors import finite
from aimco.record import InputError

if TYPE_CHECKING:
    from torch import nn

_BATCH = 1000  # test samples that are read at a time


@dataclass(frozen=True)
class Metric:
    """A number that a network is judged by.

    Args:
        name: As in `Result.metrics`.
        direction: Which is better.
        unit: Symbol of its unit; empty for a pure number.
        percent: Whether a fraction, shown in per cent.
        about: One line for tables.
    """

    name: str
    direction: Literal["max", "min"]
    unit: str = ""
    percent: bool = False
    about: str = ""

    def text(self, value: float) -> str:
        """The value as it is shown.

        Example:
            >>> ACCURACY.text(0.953)
            '95.3 %'
        """
        if self.percent and math.isfinite(value):
            return f"{100 * value:.1f} %"
        return f"{value:.4g} {self.unit}".strip()


ACCURACY = Metric("accuracy", "max", percent=True, about="fraction of test samples classified right after the last epoch")
RMSE = Metric("rmse", "min", about="root mean square error of the outputs of test samples after the last epoch")
R2 = Metric("r2", "max", about="part of the variance of the test targets that the outputs explain after the last epoch")
WEIGHT_ERROR = Metric("weight_error", "min", about="standard deviation of the weights from the target matrix after the last epoch")
KNOWN = (ACCURACY, RMSE, R2, WEIGHT_ERROR)


class Goal(ABC):
    """What is asked of the outputs of a network (abstract).

    A kind of goal defines `loss`, `totals` and `metrics_of`; `error` is then found by autograd.
    """

    kind: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]  # the first is the one that a network is judged by
    scored: ClassVar[str] = "100 m of a metric m that is to rise, 100 (1 - m / m of chance) of others"  # what `score` is, in words
    one_matrix: ClassVar[bool] = False  # whether the network is a single matrix without bias, judged by its weights
    outputs: int

    @abstractmethod
    def loss(self, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Loss of each member, (E,), the mean over the batch.

        Args:
            out: Outputs, (E, B, ..., outputs).
            y: What they should be, (E, B, ...).
        """

    def error(self, out: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and minus its gradient at the outputs."""
        with torch.enable_grad():
            leaf = out.detach().requires_grad_()
            loss = self.loss(leaf, y)
            (slope,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), slope.neg_()

    @abstractmethod
    def totals(self, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Sums over some test samples that metrics follow from, (E, sums), of outputs (E, B, ..., outputs) and targets (B, ...)."""

    @abstractmethod
    def metrics_of(self, totals: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Metrics of each member, name -> (E,), from the sums over all test samples, of which y are the targets."""

    def judge(self, model: nn.Module, x: torch.Tensor, y: torch.Tensor, members: int = 1) -> dict[str, torch.Tensor]:
        """Metrics of each member on test samples, name -> (E,).

        Args:
            model: The network.
            x: Inputs of the samples, (M, features).
            y: Their targets, (M, ...).
            members: Of the ensemble.

        Raises:
            NotFinite: An output is NaN or infinite.
        """
        model.eval()
        totals, sums = torch.zeros(()), []
        for some, wanted in zip(x.split(_BATCH), y.split(_BATCH), strict=True):
            with torch.no_grad():
                out = model(some.expand(members, *some.shape) if members > 1 else some)
            sums.append(out.sum(dtype=torch.float64))  # argmax makes a class of anything
            totals = totals + self.totals(out if members > 1 else out[None], wanted)
        finite("training", "the outputs of test samples", torch.stack(sums))
        return self.metrics_of(totals, y)

    @abstractmethod
    def chance(self, y: torch.Tensor) -> tuple[dict[str, float], float]:
        """Metrics and loss of a network that gives the same outputs for every sample of targets y."""

    @property
    def main(self) -> Metric:
        """The metric that a network is judged by."""
        return self.metrics[0]

    def score(self, metrics: Mapping[str, float], y: torch.Tensor) -> float:
        """Per cent of a perfect result: 100 times a metric of which more is better, 100 (1 - m / m of chance) of others."""
        value = metrics[self.main.name]
        return 100 * value if self.main.direction == "max" else 100 * (1 - value / self.chance(y)[0][self.main.name])

    def check_outputs(self, out: torch.Tensor, y: torch.Tensor) -> None:
        """Refuse outputs (E, B, ..., outputs) of a shape that does not fit targets (E, B, ...)."""
        wanted = self._shape(y)
        if out.shape != wanted:
            expected = ", ".join(["batch", *map(str, wanted[2:])])
            got = ", ".join(["batch", *map(str, out.shape[2:])])
            raise InputError(f"the network must give outputs of shape ({expected}) for {self.kind}, got ({got})")

    @abstractmethod
    def _shape(self, y: torch.Tensor) -> tuple[int, ...]:
        """Shape of the outputs for targets (E, B, ...)."""


@dataclass(frozen=True)
class Classification(Goal):
    """One class of several for each sample, or for each step of a sequence: cross-entropy of the softmax of the outputs.

    Args:
        classes: Their number.
        labels: What users call them, in the order of the outputs.
    """

    classes: int
    labels: tuple[str, ...] = ()
    kind: ClassVar[str] = "classification"
    scored: ClassVar[str] = "accuracy"
    metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY,)

    @property
    def outputs(self) -> int:  # type: ignore[override]
        return self.classes

    def loss(self, out, y):
        return -torch.log_softmax(out, -1).gather(-1, y[..., None]).flatten(1).mean(1)

    def error(self, out, y):
        if type(self).loss is not Classification.loss:  # of a user's own goal
            return super().error(out, y)
        log = torch.log_softmax(out, -1)
        picked = y[..., None]
        loss = log.gather(-1, picked).mean(tuple(range(1, out.ndim))).neg_()
        share = 1 / math.prod(out.shape[1:-1])
        d = log.exp_().mul_(-share)
        return loss, d.scatter_add_(-1, picked, torch.full((), share, dtype=d.dtype).expand(picked.shape))

    def totals(self, out, y):
        return (out.argmax(-1) == y).flatten(1).float().sum(1, keepdim=True)

    def metrics_of(self, totals, y):
        return {"accuracy": totals[:, 0] / y.numel()}

    def chance(self, y):
        return {"accuracy": 1 / self.classes}, math.log(self.classes)

    def _shape(self, y):
        return (*y.shape, self.classes)


@dataclass(frozen=True)
class Regression(Goal):
    """Numbers for each sample, or for each step of a sequence: the loss is sum (y - t)^2 / (2 outputs).

    Args:
        outputs: Numbers for each sample or step.
    """

    outputs: int
    kind: ClassVar[str] = "regression"
    scored: ClassVar[str] = "100 r2"
    metrics: ClassVar[tuple[Metric, ...]] = (RMSE, R2)

    def loss(self, out, y):
        return (y - out).square().flatten(1).mean(1) / 2

    def error(self, out, y):
        if type(self).loss is not Regression.loss:  # of a user's own goal
            return super().error(out, y)
        error = y - out
        loss = error.square().sum(-1).flatten(1).mean(1) / (2 * out.shape[-1])
        return loss, error.div_(math.prod(out.shape[1:]))

    def totals(self, out, y):
        return (out.double() - y).square().flatten(1).sum(1, keepdim=True)

    def metrics_of(self, totals, y):
        mean = totals[:, 0] / y.numel()
        return {"rmse": mean.sqrt(), "r2": 1 - mean / _variance(y)}

    def chance(self, y):
        still = torch.zeros_like(y)[None]
        metrics = self.metrics_of(self.totals(still, y), y)
        return {name: float(value) for name, value in metrics.items()}, float(self.loss(still, y[None]))

    def score(self, metrics, y):
        return 100 * metrics["r2"] if "r2" in metrics else super().score(metrics, y)

    def _shape(self, y):
        return tuple(y.shape)


def _variance(y: torch.Tensor) -> float:
    return max(float(y.double().flatten(0, -2).var(0, correction=0).mean()), 1e-300)


@dataclass(frozen=True, eq=False)
class TargetMatrix(Regression):
    """The weights of one matrix, learned from random inputs and their products with the target.

    Args:
        outputs: Columns of the target.
        target: Matrix to programme, (rows, columns) float32.
    """

    target: torch.Tensor
    kind: ClassVar[str] = "target matrix"
    scored: ClassVar[str] = "100 (1 - weight_error / that of no weights)"
    metrics: ClassVar[tuple[Metric, ...]] = (WEIGHT_ERROR,)
    one_matrix: ClassVar[bool] = True

    def judge(self, model, x, y, members=1):
        stored = [s for part in model.modules() if isinstance(s := getattr(part, "stored", None), torch.Tensor)]
        if len(stored) != 1 or stored[0].shape[1:] != self.target.shape:
            sizes = " x ".join(map(str, self.target.shape))
            raise InputError(f"the task asks for one matrix of {sizes} weights, and the network is none; take network.kind = mlp")
        off = -(stored[0] - self.target).flatten(1).std(1)
        return {"weight_error": -finite("training", "the weight error", off)}

    def chance(self, y):
        return {"weight_error": float(self.target.std())}, float(y.square().mean()) / 2
