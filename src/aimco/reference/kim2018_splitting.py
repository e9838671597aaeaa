"""Layers of a binary network split over arrays with one-bit sense amplifiers (Kim et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from aimco.binary.folded import Sensed, cells_used, digitised, fold, naive
from aimco.binary.layers import BinaryDescent, SplitLinear, perceptron
from aimco.ledger import Counts
from aimco.mapping import Array, groups
from aimco.reference import Row, Settings
from aimco.tasks import Data

SOURCE = (
    "Kim et al., arXiv 1811.02187 (2018), and the authors' code: 784-2048x3-10 on MNIST, weights and activations of +-1, split over arrays"
)
NEEDS = "mnist"

PUBLISHED: dict[int | None, float] = {None: 98.8, 512: 98.8, 256: 98.7, 128: 98.7}  # %, by rows of the arrays; None is not split
BITS = (2.0, 3.0, 4.0, 6.0, 8.0)
_CALIBRATION = 1000  # first training samples
_TOLERANCE, _COLLAPSE = 0.3, 5.0  # points
Change = Callable[[Sensed, torch.Tensor], nn.Module]


@dataclass(frozen=True)
class Plan:
    """What is trained: a network of these hidden layers for each size of the arrays and each seed."""

    task: str
    hidden: tuple[int, ...]
    rows: tuple[int, ...]
    epochs: int
    batch: int = 200
    seeds: int = 3


FULL = Plan("mnist", (2048, 2048, 2048), (512, 256, 128), 10)
QUICK = Plan("digits", (256, 256, 256), (32, 16), 12, batch=40, seeds=1)


def train(settings: Settings, plan: Plan, task: Data, rows: int | None, seed: int) -> nn.Sequential:
    """A network of this seed after its epochs; it goes on from `settings.checkpoints` where it was stopped."""
    model = perceptron(task.inputs, plan.hidden, task.outputs, rows, seed=seed)
    descent, label = BinaryDescent(model, plan.epochs, batch=plan.batch, seed=seed), f"{rows or 'not split'}, seed {seed}"
    path = Path(settings.checkpoints, f"kim2018-{plan.task}-{plan.epochs}-{rows}-{seed}.pt") if settings.checkpoints else None
    if path and path.is_file():
        descent.restore(torch.load(path, weights_only=True))
    while descent.done < plan.epochs:
        loss = descent.epoch(task.train_x, task.train_y)
        if settings.on_step:
            now = 100 * float(task.goal.judge(model, task.test_x, task.test_y)["accuracy"][0])
            settings.on_step(f"{label}: {now:.2f} %, loss {loss:.3f}", descent.done / plan.epochs)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(descent.checkpoint(), path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
    return model.eval()


@torch.no_grad()
def on_arrays(model: nn.Sequential, change: Change, x: torch.Tensor) -> nn.Sequential:
    """What a chip does with a trained network, its second and further hidden layers changed; `change` sees what of x comes to them."""
    parts: list[nn.Module] = []
    for part in model:
        if isinstance(part, SplitLinear):
            layer = fold(part)
            part = change(layer, x) if parts else layer
        parts.append(part)
        x = part(x)
    return nn.Sequential(*parts).eval()


def done(model: nn.Sequential) -> dict[str, float]:
    """Operations of one sample in the layers that are split."""
    total = Counts.total(part.counts() for part in list(model)[1:] if isinstance(part, Sensed))
    return {name: amount for name, amount in total.items() if not isinstance(amount, np.ndarray)}  # of one member all are numbers


def run(settings: Settings) -> list[Row]:
    """Accuracy trained for each size of arrays; cut without training again; with ADCs and digital sums. Quick: digits, one seed."""
    plan = QUICK if settings.quick else FULL
    task = settings.load(plan.task)
    seeds = range(settings.seed, settings.seed + plan.seeds)
    seen = task.train_x[:_CALIBRATION]

    sizes, asked = (None, *plan.rows), 0

    def judged(models: Sequence[nn.Sequential]) -> float:
        nonlocal asked
        accuracy = 100 * float(np.mean([float(task.goal.judge(model, task.test_x, task.test_y)["accuracy"][0]) for model in models]))
        asked += 1
        if settings.on_step:
            settings.on_step(f"trained networks on arrays: {accuracy:.2f} %", asked / (1 + len(plan.rows) * (3 + len(BITS))))
        return accuracy

    trained = {seed: {size: train(settings, plan, task, size, seed) for size in sizes} for seed in seeds}
    whole = [trained[seed][None] for seed in seeds]
    base = judged(whole)
    rows = [Row("not split", None if settings.quick else PUBLISHED[None], base, None if settings.quick else _TOLERANCE, "%")]
    for size in plan.rows:
        split = [on_arrays(trained[seed][size], lambda layer, _: layer, seen) for seed in seeds]
        rows += _trained(settings, size, split, base, judged)
        parts = groups(plan.hidden[0], size)
        for shared in (False, True):
            cut = judged([on_arrays(model, lambda layer, _, s=shared, n=parts: naive(layer, n, shared=s), seen) for model in whole])
            rows.append(_lost(size, shared, base - cut))
        for bits in BITS:
            digital = [on_arrays(model, lambda layer, x, b=bits, n=parts: digitised(layer, n, b, x), seen) for model in whole]
            name, finest = f"arrays of {size}, ADC of {bits:g} bits, digital sums", bits == BITS[-1] and not settings.quick
            rows.append(Row(name, None, judged(digital), _TOLERANCE if finest else None, "%", expected=base))
    return rows


def _lost(size: int, shared: bool, points: float) -> Row:
    """What is lost when a trained network is cut and not trained again."""
    if shared:
        return Row(f"arrays of {size}, cut, thresholds shared out: points lost", None, points, None, "points")
    name, why = f"arrays of {size}, cut, thresholds as they were: points lost", "the size of the collapse was not published"
    return Row(name, None, points, 0.0, "points", expected=_COLLAPSE, limit="at least", why=why)


def _trained(settings: Settings, size: int, split: list[nn.Sequential], base: float, judged: Callable[..., float]) -> list[Row]:
    """Rows of one size of arrays."""
    ours, published = judged(split), None if settings.quick else PUBLISHED[size]
    lost, tolerance = f"arrays of {size}, trained split: points lost", 2.0 if settings.quick else _TOLERANCE
    counts, cells = done(split[0]), cells_used(nn.Sequential(*list(split[0])[1:-3]), Array(rows=size, cols=size))
    return [
        Row(f"arrays of {size}, trained split", published, ours, None if settings.quick else _TOLERANCE, "%"),
        Row(lost, None, base - ours, tolerance, "points", expected=0.0, limit="at most", why="a split network may learn better"),
        Row(f"arrays of {size}, bits sensed, or converted, per image", None, counts["sensed"], None, ""),
        Row(f"arrays of {size}, digital additions per image", None, counts["digital_ops"], None, ""),
        Row(f"arrays of {size}, share of cells used", None, cells, None, ""),
    ]
