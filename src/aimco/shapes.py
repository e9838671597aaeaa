"""The matrices of a network by their shapes: what it takes to price it without a run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The matrix of one layer.

    Args:
        name: Of the layer.
        rows: Inputs, without a row for a bias.
        columns: Outputs.
        vectors: That one sample puts on the rows.
        groups: Such matrices beside each other, each with inputs of its own.
        back: Vectors of errors that one sample of training sends back through it, each a transposed read; none in the first layer, all
            vectors when absent.
        bias: Whether its outputs have an offset.
        digital: Additions and multiplications of one sample outside the arrays, beside the sums of a matrix that is cut.
    """

    name: str
    rows: int
    columns: int
    vectors: int
    groups: int = 1
    back: int | None = None
    bias: bool = True
    digital: int = 0


def chain(sample: Sequence[int], outputs: Sequence[int], *, first: int = 0) -> list[Shape]:
    """Fully connected layers on samples of a shape, after so many other layers.

    Example:
        >>> [(s.rows, s.columns) for s in chain((1, 8, 8), (32, 10))]
        [(64, 32), (32, 10)]
    """
    sizes = [math.prod(sample), *outputs]
    names = [f"layer {first + k + 1}" for k in range(len(outputs))]
    return [
        Shape(n, *pair, 1, back=None if first + k else 0) for k, (n, pair) in enumerate(zip(names, itertools.pairwise(sizes), strict=True))
    ]


def convolved(size: Sequence[int], kernel: int, *, stride: int = 1, padding: int = 0, pool: int = 1) -> tuple[list[int], list[int]]:
    """Height and width after a square convolution, and after pooling squares; below 1 where no pixel is left."""
    out = [(n + 2 * padding - kernel) // stride + 1 for n in size]
    return out, [n // pool for n in out]
