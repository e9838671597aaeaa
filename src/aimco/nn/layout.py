"""How the weights of a layer lie in matrices, and what its devices and draws follow from."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch

from aimco.nn.arguments import index, quote
from aimco.record import InputError

_built: collections.Counter[tuple[object, ...]] = collections.Counter()  # layers without a name so far, by kind and seeds


@dataclass(frozen=True)
class Layout:
    """How the weights of a layer lie in matrices.

    Args:
        inputs, outputs: size of one matrix, the row of the bias left out.
        groups: matrices beside each other, each with inputs of its own.
        kernel: last axes of torch's weight, which are inputs of the matrix.
        limit: initial weights are uniform within -limit..limit; 1 / sqrt(inputs) when absent.
    """

    inputs: int
    outputs: int
    groups: int = 1
    kernel: tuple[int, ...] = ()
    limit: float | None = None

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of torch's weight."""
        return (self.groups * self.outputs, self.inputs // math.prod(self.kernel), *self.kernel)

    # matrices are (E groups, rows, columns), torch's weights (E, outputs, inputs, kernel), without E for one member

    def as_weight(self, matrix: torch.Tensor) -> torch.Tensor:
        """Rows of inputs, (E groups, inputs, columns), as torch's weight; a view where there are no groups."""
        turned = matrix.transpose(1, 2)
        parts = turned if self.groups == 1 else turned.reshape(-1, self.groups * self.outputs, self.inputs)
        shaped = parts.unflatten(2, self.weight_shape[1:]) if self.kernel else parts
        return shaped[0] if shaped.shape[0] == 1 else shaped

    def as_matrix(self, weight: torch.Tensor) -> torch.Tensor:
        """Torch's weight as rows of inputs, (E groups, inputs, columns); a view."""
        return weight.view(-1, self.outputs, self.inputs).transpose(1, 2)

    def as_bias(self, row: torch.Tensor) -> torch.Tensor:
        """Offsets of matrices, (E groups, 1, columns), as torch's bias."""
        shaped = row.reshape(-1, self.groups * self.outputs)
        return shaped[0] if shaped.shape[0] == 1 else shaped


def _seeds(seeds: Any) -> tuple[int, ...]:
    """Seeds of the members of an ensemble, at least one."""
    try:
        given = () if isinstance(seeds, str | bytes | Mapping | Set) else tuple(seeds)
    except TypeError:
        given = ()
    if not given:
        raise InputError(f"seeds must be whole numbers, one for each ensemble member, got {quote(seeds)}")
    return tuple(map(_seed, given))


def _seed(seed: object) -> int:
    number = index(seed)
    if number is None or not -(2**63) <= number < 2**64:
        raise InputError(f"seeds must be whole numbers of at most 64 bits, got {quote(seed)}")
    return number


def place(kind: str, name: str | None, seed: int | None, seeds: Sequence[int] | None) -> tuple[str, tuple[int, ...]]:
    """Name and seeds of a layer that is being built: what its devices, first weights and noise follow from.

    Without seeds, one is drawn from torch's generator, as torch draws first weights. With seeds and without a name, the name is the
    kind and how many such layers came before it, so that no two layers are alike.
    """
    if seed is not None and seeds is not None:
        raise InputError("seed and seeds must not be given together: seeds has one for each ensemble member")
    if name is not None and (not isinstance(name, str) or not name):
        raise InputError(f"name must be a text of at least one letter, got {quote(name)}")
    if seed is None and seeds is None:
        return name or kind, (int(torch.randint(2**62, ())),)
    member_seeds = (_seed(seed),) if seeds is None else _seeds(seeds)
    if name is None:
        name = f"{kind} {_built[kind, member_seeds]}"
        _built[kind, member_seeds] += 1
    return name, member_seeds
