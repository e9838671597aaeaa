"""The network that a design asks for, made for a task."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from aimco.nn.conv import Conv2d
from aimco.nn.linear import Linear
from aimco.record import InputError
from aimco.resistive.network import ResistiveNetwork
from aimco.spiking.machine import OnChip

if TYPE_CHECKING:
    from aimco.tasks import Task

WHOLE = {"resistive": ResistiveNetwork.of_design, "spiking-rbm": OnChip}  # networks that are no chain of layers
_ACTIVATION = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


class Images(nn.Module):
    """Samples (..., features) as images (..., channels, height, width)."""

    def __init__(self, image: tuple[int, int, int]) -> None:
        super().__init__()
        self.image = image

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(*x.shape[:-1], *self.image)


class MaxPool(nn.Module):
    """The largest value of each square of `size` x `size` pixels, whatever axes come before (channels, height, width)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.max_pool2d(x.reshape(-1, *x.shape[-2:]), self.size)
        return pooled.reshape(*x.shape[:-2], *pooled.shape[-2:])


def build(designs: Any, task: Task, seeds: Sequence[int]) -> nn.Sequential:
    """The network of a design (possibly `stack`ed) for a task, one ensemble member per seed.

    Raises:
        InputError: a convolutional network for samples that are no images, or too small; a resistive or spiking one for a task without
            classes, or for several members.
    """
    network, classify = designs.network, task.kind == "classify"
    if network.kind in WHOLE:
        return nn.Sequential(_whole(designs, task, seeds))
    layers = _convolutions(designs, task, seeds) if classify and network.kind == "lenet" else []
    inputs = layers.pop() if layers else task.inputs
    sizes = [inputs, *(network.hidden if classify else ()), task.outputs]
    for k, (size, outputs) in enumerate(itertools.pairwise(sizes)):
        layers.append(Linear(size, outputs, classify, design=designs, name=f"layer {k}", seeds=seeds))
        layers.append(_ACTIVATION[network.activation]())
    return nn.Sequential(*layers[:-1])


def _whole(design: Any, task: Task, seeds: Sequence[int]) -> ResistiveNetwork | OnChip:
    kind = design.network.kind
    if task.kind != "classify":
        raise InputError(f"network.kind {kind} needs classes to tell apart, by labels, and task {task.name} has none; take digits or mnist")
    if len(seeds) > 1:
        raise InputError(f"network.kind {kind} must be built for one member at a time, got {len(seeds)}; evaluate_many does so")
    return WHOLE[kind](design, task.inputs, task.outputs, seeds[0])


def _convolutions(designs: Any, task: Task, seeds: Sequence[int]) -> list[Any]:
    """Convolution, activation and pooling in turn, and last the number of features that they leave."""
    network = designs.network
    if task.image is None:
        raise InputError(f"network.kind lenet needs images, and the samples of task {task.name} are none; take mlp, or a task of images")
    (channels, *size), layers = task.image, [Images(task.image)]
    for k, out in enumerate(network.channels):
        convolved = [n - network.kernel_size + 1 for n in size]
        size = [n // network.pool for n in convolved]
        if min(convolved) < 1 or min(size) < 1:
            shown = f"{len(network.channels)} convolutions of {network.kernel_size} with pooling of {network.pool}"
            raise InputError(f"network.kernel_size must leave pixels of the images of {task.name}, {task.image[1:]}, got {shown}")
        conv = Conv2d(channels, out, network.kernel_size, design=designs, name=f"convolution {k}", seeds=seeds)
        conv.vectors = convolved[0] * convolved[1]
        layers += [conv, _ACTIVATION[network.activation](), MaxPool(network.pool)]
        channels = out
    return [*layers, nn.Flatten(-3), channels * size[0] * size[1]]
