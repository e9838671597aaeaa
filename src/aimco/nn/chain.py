"""Chains of layers: fully connected, and with convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn

from aimco.arrays.spec import Blueprint
from aimco.nn.conv import Conv2d
from aimco.nn.linear import Linear

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


class Images(nn.Module):
    """Samples (..., features) in their own shape, (..., *shape)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(*x.shape[:-1], *self.shape)


class MaxPool(nn.Module):
    """The largest value of each square of `size` x `size` pixels, whatever axes come before (channels, height, width)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.max_pool2d(x.reshape(-1, *x.shape[-2:]), self.size)
        return pooled.reshape(*x.shape[:-2], *pooled.shape[-2:])


def fully_connected(sizes: Sequence[int], activation: str, design: Blueprint, seeds: Sequence[int], *, bias: bool = True) -> nn.Sequential:
    """Layers of these sizes with an activation between."""
    layers: list[nn.Module] = []
    for k, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layers += [Linear(inputs, outputs, bias, design=design, name=f"layer {k}", seeds=seeds), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


class _Convolutional(Protocol):
    """An `aimco.networks.lenet.Lenet`."""

    @property
    def channels(self) -> tuple[int, ...]: ...

    @property
    def kernel_size(self) -> int: ...

    @property
    def pool(self) -> int: ...

    @property
    def hidden(self) -> tuple[int, ...]: ...

    @property
    def activation(self) -> str: ...


def convolutional(network: _Convolutional, image: Sequence[int], outputs: int, design: Blueprint, seeds: Sequence[int]) -> nn.Sequential:
    """Convolution, activation and pooling in turn, then fully connected layers.

    Args:
        network: An `aimco.networks.lenet.Lenet`, which fits the image.
        image: (channels, height, width) of a sample.
        outputs: Of the last layer.
        design: Of the layers.
        seeds: One for each ensemble member.
    """
    (channels, *size), layers = image, [Images(image)]
    for k, out in enumerate(network.channels):
        conv = Conv2d(channels, out, network.kernel_size, design=design, name=f"convolution {k}", seeds=seeds)
        size = [n - network.kernel_size + 1 for n in size]
        conv.vectors = size[0] * size[1]
        layers += [conv, ACTIVATIONS[network.activation](), MaxPool(network.pool)]
        channels, size = out, [n // network.pool for n in size]
    features = channels * size[0] * size[1]
    dense = fully_connected([features, *network.hidden, outputs], network.activation, design, seeds)
    return nn.Sequential(*layers, nn.Flatten(-3), *dense)
