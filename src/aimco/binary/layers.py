"""Binary networks whose layers are split over arrays: weights and activations of +-1, one bit of each array, and a majority.

A current leaves an array as one bit of a sense amplifier, without an ADC; `aimco.binary.folded` is what a chip does after training.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
from torch import nn

from aimco import rng
from aimco.mapping import groups
from aimco.plain_data import Saved
from aimco.record import InputError

_ONE = torch.ones(())


class _Sign(torch.autograd.Function):
    """`sign`; the gradient passes as if it were the identity."""

    @staticmethod
    def forward(ctx, x):
        return sign(x)

    @staticmethod
    def backward(ctx, *gradients: torch.Tensor):
        return gradients[0]


def sign(x: torch.Tensor) -> torch.Tensor:
    """+1 where x >= 0, else -1."""
    return torch.copysign(_ONE, x + 0.0)  # which makes +0 of -0


def majority(normed: torch.Tensor, groups: int) -> torch.Tensor:
    """The sign of the sum of the groups' signs, a tie +1: (B, groups outputs, ...) -> (B, outputs, ...).

    The gradient passes to all groups alike, and through the sign of each where |normed| <= 1.
    """
    bits: torch.Tensor = _Sign.apply(nn.functional.hardtanh(normed))
    if groups == 1:
        return bits
    merged: torch.Tensor = _Sign.apply(bits.unflatten(1, (groups, -1)).sum(1))
    return merged


class BinaryLinear(nn.Module):
    """Products of binary weights with the inputs, in groups that each have an array: (B, inputs) -> (B, groups, outputs).

    The weights are the signs of numbers in -1..1 that descent moves, straight through the sign. Inputs are real or +-1.

    Args:
        inputs, outputs: size. groups: equal parts of the inputs, see `aimco.mapping.groups`. seed, name: of the first weights, U(-1, 1).

    Source: Courbariaux 2016 (arXiv 1602.02830); groups: Kim 2018 (arXiv 1811.02187).

    Example:
        >>> BinaryLinear(6, 2, 3)(torch.ones(4, 6)).shape
        torch.Size([4, 3, 2])
    """

    def __init__(self, inputs: int, outputs: int, groups: int = 1, *, seed: int = 0, name: str = "binary") -> None:
        super().__init__()
        draws = rng.uniform(rng.stream_keys((seed,), name, "weight"), 0, inputs * outputs)
        self.weight = nn.Parameter(torch.from_numpy(2 * draws - 1).float().view(groups, inputs // groups, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        groups, size, _ = self.weight.shape
        parts = x.reshape(-1, groups, size).transpose(0, 1)
        return torch.bmm(parts, _Sign.apply(self.weight)).transpose(0, 1)  # pyright: ignore[reportArgumentType]


class SplitLinear(nn.Module):
    """A layer of sense amplifiers: bits = sign(BatchNorm(x W)) of each group, and the sign of their sum, a tie +1.

    (B, inputs) -> (B, outputs), all +-1; gradients as in `majority`. One group is a layer that is not split.

    Args:
        inputs, outputs, groups, seed, name: see `BinaryLinear`.

    Source: Kim 2018 (arXiv 1811.02187) and the authors' code, whose biases BatchNorm makes redundant.

    Example:
        >>> SplitLinear(6, 2, 3)(torch.ones(4, 6)).shape
        torch.Size([4, 2])
    """

    def __init__(self, inputs: int, outputs: int, groups: int = 1, *, seed: int = 0, name: str = "split") -> None:
        super().__init__()
        self.product = BinaryLinear(inputs, outputs, groups, seed=seed, name=name)
        self.norm = nn.BatchNorm1d(groups * outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums = self.product(x)
        return majority(self.norm(sums.flatten(1)), sums.shape[1])


class Patches(nn.Module):
    """What stands on the rows for each place of a kernel: (B, C, H, W) -> (B H' W', C k^2); its inverse for outputs.

    Args:
        kernel_size, padding: as in torch, square.
    """

    def __init__(self, kernel_size: int, padding: int = 0) -> None:
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = nn.functional.unfold(x, self.kernel_size, padding=self.padding)
        return patches.transpose(1, 2).flatten(0, 1)

    def images(self, sums: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """(B H' W', ...) as (B, ..., H', W') for images like those that came in."""
        height, width = (n + 2 * self.padding - self.kernel_size + 1 for n in like.shape[-2:])
        return sums.unflatten(0, (len(like), height, width)).movedim((1, 2), (-2, -1))


class BinaryConv2d(nn.Module):
    """`BinaryLinear` on every patch: (B, C, H, W) -> (B, groups, outputs, H', W'); padding is 0, a row that is not driven."""

    def __init__(
        self, channels: int, outputs: int, kernel_size: int, padding: int = 0, groups: int = 1, *, seed: int = 0, name: str = "conv"
    ) -> None:
        super().__init__()
        self.patches = Patches(kernel_size, padding)
        self.linear = BinaryLinear(channels * kernel_size**2, outputs, groups, seed=seed, name=name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.patches.images(self.linear(self.patches(x)), x)


class SplitConv2d(nn.Module):
    """`SplitLinear` on every patch, the largest of each pool x pool sums before BatchNorm: (B, C, H, W) -> (B, outputs, H'/pool, W'/pool).

    Args:
        channels, outputs, kernel_size, padding: as in torch, square. groups, seed, name: see `BinaryLinear`. pool: 1 for none.

    Source: the authors' network for CIFAR-10, Kim 2018 (arXiv 1811.02187).
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        kernel_size: int,
        padding: int = 0,
        groups: int = 1,
        pool: int = 1,
        *,
        seed: int = 0,
        name: str = "conv",
    ) -> None:
        super().__init__()
        self.product = BinaryConv2d(channels, outputs, kernel_size, padding, groups, seed=seed, name=name)
        self.norm, self.pool = nn.BatchNorm2d(groups * outputs), pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums = self.product(x)
        pooled = nn.functional.max_pool2d(sums.flatten(1, 2), self.pool) if self.pool > 1 else sums.flatten(1, 2)
        return majority(self.norm(pooled), sums.shape[1])


def falling(first: float, last: float, done: float) -> float:
    """A rate that falls by the same factor each step, from the first to the last, after a part of all steps, 0..1."""
    return first * (last / first) ** done


class BinaryDescent:
    """Trains a binary network to tell classes apart: squared hinge of the outputs, Adam, a rate that falls by the same factor each step.

    loss = mean over samples of sum over classes max(0, 1 - t y)^2, t = +1 for the class and -1 for the others.

    Args:
        model: modules of this file, and others; outputs (B, classes). epochs: of the schedule. batch: samples per step.
        lr, last_lr: rate of the numbers behind binary weights, whose range is -1..1, in the first and last step; a tenth for all others.
        seed: of the order of the samples.

    Source: Courbariaux 2016 (arXiv 1602.02830); Kim 2018 takes the same loss and AdaMax.
    """

    def __init__(self, model: nn.Module, epochs: int, *, batch: int = 200, lr: float = 0.3, last_lr: float = 5e-3, seed: int = 0) -> None:
        self.model, self.epochs, self.batch, self.seed, self.done = model, epochs, batch, seed, 0
        self.binary = [part.weight for part in model.modules() if isinstance(part, BinaryLinear)]
        others = [p for p in model.parameters() if all(p is not w for w in self.binary)]
        self.rates = (lr, last_lr)
        self.optimizer = torch.optim.Adam([{"params": self.binary}, {"params": others}], lr=lr, fused=True)

    def epoch(self, x: torch.Tensor, y: torch.Tensor) -> float:
        """One pass over samples (N, ...) of classes (N,); the mean loss."""
        self.model.train()
        if len(x) < self.batch:
            raise InputError(f"batch must be at most the {len(x)} samples, got {self.batch}")
        count, total = len(x) // self.batch, 0.0
        order = torch.from_numpy(rng.permutation(self.seed, "binary order", self.done, len(x)))
        for k in range(count):
            some = order[k * self.batch : (k + 1) * self.batch]
            total += self.step(x[some], y[some], falling(*self.rates, (self.done + k / count) / self.epochs))
        self.done += 1
        return total / count

    def step(self, x: torch.Tensor, y: torch.Tensor, rate: float) -> float:
        """Learn from one batch, (B, ...) of classes (B,), at a rate; the mean loss before."""
        for group, share in zip(self.optimizer.param_groups, (1.0, 0.1), strict=True):
            group["lr"] = share * rate
        outputs = self.model(x)
        wanted = 2.0 * nn.functional.one_hot(y, outputs.shape[1]) - 1
        loss = (1 - wanted * outputs).clamp(min=0).square().sum(1).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for weight in self.binary:
                weight.clamp_(-1, 1)
        return loss.item()

    def checkpoint(self) -> Saved:
        """All that a later run needs to go on as if never stopped."""
        return copy.deepcopy({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "done": self.done})

    def restore(self, saved: Saved) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.done = saved["done"]


def perceptron(inputs: int, hidden: Sequence[int], outputs: int, rows: int | None = None, *, seed: int = 0) -> nn.Sequential:
    """A fully connected binary network: sense amplifiers in all hidden layers, those but the first split over arrays of so many rows.

    Args:
        inputs, hidden, outputs: sizes. rows: of the arrays; none is split when absent. seed: of the first weights.

    Example:
        >>> [part.product.weight.shape[0] for part in perceptron(64, [32, 32, 32], 10, rows=8)[:3]]
        [1, 4, 4]
    """
    layers: list[nn.Module] = []
    for k, (size, out) in enumerate(itertools.pairwise([inputs, *hidden])):
        count = groups(size, rows) if rows and k else 1
        layers.append(SplitLinear(size, out, count, seed=seed, name=f"layer {k}"))
    last = BinaryLinear(hidden[-1], outputs, seed=seed, name=f"layer {len(hidden)}")
    return nn.Sequential(*layers, last, nn.Flatten(1), nn.BatchNorm1d(outputs))
