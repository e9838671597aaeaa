"""Data: training and test samples as plain tensors, and the order in which samples come."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from aimco import rng
from aimco.data.goals import Classification, Goal
from aimco.record import InputError


@dataclass(frozen=True)
class Sample:
    """What a sample is, without any.

    Args:
        shape: (features,), (channels, height, width) of an image, (steps, features) of a sequence.
        outputs: That a network must have for it.
        one_matrix: Whether the network is a single matrix without bias.
    """

    shape: tuple[int, ...]
    outputs: int
    one_matrix: bool = False


@dataclass(frozen=True, eq=False)
class Data:
    """Samples to learn from and samples to be judged by.

    Args:
        name: What it was loaded as.
        goal: What is asked of the outputs.
        train_x: Inputs of training samples, (N, features) float32, whatever the shape of a sample.
        train_y: Labels (N,) or (N, steps) int64, or targets (N, outputs) or (N, steps, outputs) float32.
        test_x: As `train_x`, of the test samples.
        test_y: As `train_y`, of the test samples.
        shape: Of one sample: (features,), (channels, height, width) of an image, (steps, features) of a sequence.
        notes: What was done to them when they were read.

    Example:
        >>> from aimco.tasks import load
        >>> data = load("program", limit=10)
        >>> data.inputs, data.outputs, len(data.train_x)
        (20, 20, 10)
    """

    name: str
    goal: Goal
    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    shape: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        """Numbers in one sample."""
        return math.prod(self.shape)

    @property
    def outputs(self) -> int:
        """Outputs of the network."""
        return self.goal.outputs

    @property
    def classes(self) -> int | None:
        """Number of classes; None where there are none."""
        return self.goal.classes if isinstance(self.goal, Classification) else None

    @property
    def image(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of a sample; None when it is not an image."""
        return self.shape if len(self.shape) == 3 else None

    @property
    def sample(self) -> Sample:
        """What a sample is, without any."""
        return Sample(self.shape, self.outputs, self.goal.one_matrix)

    @functools.cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name the content."""
        hasher = hashlib.sha256()
        for tensor in (self.train_x, self.train_y, self.test_x, self.test_y):
            hasher.update(repr((tensor.shape, tensor.dtype)).encode())
            hasher.update(tensor.contiguous().numpy().tobytes())
        return hasher.hexdigest()[:16]


def cropped(data: Data, height: int, width: int) -> Data:
    """The middle of every image, the edges cut away: what networks with fewer inputs are given.

    Args:
        data: Samples that are images, (channels, rows, columns).
        height: Rows that are kept, 1..rows.
        width: Columns that are kept, 1..columns; where edges cannot be even, one row or column more goes at the bottom or on the right.

    Raises:
        InputError: Samples that are no images; a part larger than they are.

    Example:
        >>> from aimco.tasks import load
        >>> cropped(load("digits"), 6, 4).image
        (1, 6, 4)
    """
    if data.image is None:
        raise InputError(f"task {data.name} cannot be cropped: its samples must be images; crop digits or mnist")
    channels, *size = data.image
    for name, wanted, most in zip(("height", "width"), (height, width), size, strict=True):
        if not (is_whole(wanted) and 1 <= wanted <= most):
            raise InputError(f"{name} must be a whole number in 1..{most}, the size of the images of {data.name}, got {wanted!r}")
    top, left = ((most - wanted) // 2 for most, wanted in zip(size, (height, width), strict=True))

    def middle(x: torch.Tensor) -> torch.Tensor:
        images = x.reshape(len(x), channels, *size)
        return images[:, :, top : top + height, left : left + width].flatten(1).contiguous()

    parts = {"train_x": middle(data.train_x), "test_x": middle(data.test_x), "shape": (channels, height, width)}
    return replace(data, name=f"{data.name} {height} x {width}", **parts)


def batches(data: Data, batch_size: int, epoch: int, seed: int) -> Iterator[np.ndarray]:
    """Training samples of one epoch in a random order that depends on (seed, epoch) alone.

    Args:
        data: Whose training samples.
        batch_size: Samples in a batch, >= 1; the last batch may have fewer.
        epoch: Number of the epoch, from 0.
        seed: Seed of the run.

    Returns:
        Indices into `train_x`, (B,) int64 each; together every sample once.

    Raises:
        InputError: batch_size below 1.
    """
    return (index[0] for index in ensemble_batches(data, batch_size, epoch, (seed,)))


def ensemble_batches(data: Data, batch_size: int, epoch: int, seeds: Sequence[int]) -> Iterator[np.ndarray]:
    """As `batches` for each member of an ensemble: indices (E, B) int64, where row e is what seed e alone would give."""
    if not (is_whole(batch_size) and batch_size >= 1):
        raise InputError(f"batch_size must be a whole number of at least 1, got {batch_size!r}; use 1 for sample by sample")
    count = len(data.train_x)
    orders = {seed: rng.permutation(seed, "order", epoch, count) for seed in set(seeds)}
    order = np.stack([orders[seed] for seed in seeds]).astype(np.int64, copy=False)
    return (order[:, start : start + batch_size] for start in range(0, count, batch_size))


def is_whole(value: object) -> bool:
    """Whether a value is a whole number and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def first(limit: int | None, count: int, name: str) -> int:
    """How many training samples are used of so many.

    Raises:
        InputError: A limit above their number.
    """
    if limit is not None and limit > count:
        raise InputError(f"limit must be in 1..{count} for task {name}, got {limit}; leave it out to use every training sample")
    return count if limit is None else limit
