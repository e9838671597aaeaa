"""What a chip does with a trained binary network: thresholds, sense amplifiers and votes, or ADCs and digital sums.

BatchNorm and sign are one comparison: gamma (s - mean) / sigma + beta >= 0 is s >= mean - beta sigma / gamma, or <= where gamma < 0.
"""

from __future__ import annotations

import torch
from torch import nn

from aimco import rng
from aimco.binary.layers import BinaryLinear, SplitLinear, sign
from aimco.ledger import Counts
from aimco.mapping import Array, utilisation
from aimco.periphery import on_levels
from aimco.record import InputError


class Sensed(nn.Module):
    """A layer of +-1 weights in arrays, one for each group of inputs: bits of the sums, and their majority, a tie +1.

    Args:
        weight: (groups, size, outputs), +-1. threshold: of each sum, (groups, outputs). up: +1 where a bit is s >= threshold, -1 where it
            is s <= threshold, (groups, outputs). offset: standard deviation of a threshold, from amplifier to amplifier, in weights.
        seed, name: of the offsets.
    """

    def __init__(
        self, weight: torch.Tensor, threshold: torch.Tensor, up: torch.Tensor, *, offset: float = 0.0, seed: int = 0, name: str = "split"
    ) -> None:
        super().__init__()
        self.weight, self.up = weight, up
        drawn = rng.normal(rng.stream_keys((seed,), name, "sense offset"), 0, tuple(threshold.shape))[0]
        self.threshold = threshold if offset == 0 else threshold + offset * drawn

    def sums(self, x: torch.Tensor) -> torch.Tensor:
        """Of each group, (B, groups, outputs), of inputs (B, inputs)."""
        count, size, _ = self.weight.shape
        return torch.bmm(x.reshape(-1, count, size).transpose(0, 1), self.weight).transpose(0, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        votes = sign((self.sums(x) - self.threshold) * self.up).sum(1)
        return sign(votes)

    def counts(self, vectors: int = 1) -> Counts:
        """Operations for so many input vectors: a bit of each array and column, and the digital sum of the votes."""
        count, size, outputs = self.weight.shape
        driven = vectors * count * size
        done = Counts(mvm=vectors * count, dac=driven, cell_reads=driven * outputs)
        return done + Counts(sensed=vectors * count * outputs, digital_ops=vectors * (count - 1) * outputs)


class Digitised(Sensed):
    """The same sums, each converted by an ADC and added digitally before the comparison: one threshold for each output.

    Args:
        weight, threshold, up: as of one group, weight cut into groups; threshold and up (1, outputs).
        bits: of the ADC, see `aimco.periphery.Converter`. largest: sum at which it saturates, in weights.
    """

    def __init__(self, weight: torch.Tensor, threshold: torch.Tensor, up: torch.Tensor, bits: float, largest: float) -> None:
        super().__init__(weight, threshold, up)
        self.bits, self.largest = bits, largest

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums = on_levels(self.sums(x), self.bits, self.largest).sum(1)
        return sign((sums - self.threshold[0]) * self.up[0])

    def counts(self, vectors: int = 1) -> Counts:
        """Operations for so many input vectors: a conversion of each array and column, and the digital sum."""
        done = super().counts(vectors)
        return Counts({n: v for n, v in done.items() if n != "sensed"} | {"adc": done["sensed"]})


@torch.no_grad()
def fold(layer: SplitLinear, *, offset: float = 0.0, seed: int = 0, name: str = "split") -> Sensed:
    """The layer as its arrays hold it. Arguments of `Sensed`.

    Example:
        >>> fold(SplitLinear(6, 2, 3)).counts()["sensed"]
        6
    """
    weight, norm = sign(layer.product.weight), layer.norm
    assert norm.running_mean is not None and norm.running_var is not None
    gamma, beta = norm.weight, norm.bias
    spread = torch.sqrt(norm.running_var + norm.eps)
    constant = torch.where(beta >= 0, -torch.inf, torch.inf)
    threshold = torch.where(gamma == 0, constant, norm.running_mean - beta * spread / gamma)
    return Sensed(weight, threshold.view(len(weight), -1), sign(gamma).view(len(weight), -1), offset=offset, seed=seed, name=name)


def naive(layer: Sensed, parts: int, *, shared: bool = False) -> Sensed:
    """A layer of one group cut into parts without training again: one bit of each part, and a vote.

    Args:
        shared: compare each part with an equal share of the threshold of the layer; with the threshold as it was trained when false.
    """
    weight, _, outputs = _cut(layer, parts)
    threshold = layer.threshold / parts if shared else layer.threshold
    return Sensed(weight, threshold.expand(parts, outputs), layer.up.expand(parts, outputs))


def digitised(layer: Sensed, parts: int, bits: float, seen: torch.Tensor, *, percentile: float = 99.0) -> Digitised:
    """A layer of one group cut into parts whose sums are digitised.

    Args:
        bits: of the ADCs. seen: calibration inputs (B, inputs). percentile: of the magnitudes of their partial sums, the ADCs' range, %.
    """
    weight, size, _ = _cut(layer, parts)
    sums = torch.bmm(seen.view(-1, parts, size).transpose(0, 1), weight).abs().flatten()
    rank = min(int(percentile / 100 * len(sums)), len(sums) - 1)
    return Digitised(weight, layer.threshold, layer.up, bits, float(sums.kthvalue(rank + 1).values))


def _cut(layer: Sensed, parts: int) -> tuple[torch.Tensor, int, int]:
    count, size, outputs = layer.weight.shape
    if count != 1 or size % parts:
        raise InputError(f"parts must divide the {size} inputs of a layer of one group, got {parts} of {count}; see mapping.groups")
    return layer.weight.view(parts, size // parts, outputs), size // parts, outputs


def cells_used(model: nn.Module, array: Array) -> float:
    """Share of the cells of all its arrays that the split layers of a model take up, 0..1."""
    used, available = 0.0, 0.0
    for part in model.modules():
        if isinstance(part, BinaryLinear | Sensed):
            count, size, outputs = part.weight.shape
            share = utilisation(count * size, outputs, array, count)
            used, available = used + count * size * outputs, available + count * size * outputs / share
    return used / available
