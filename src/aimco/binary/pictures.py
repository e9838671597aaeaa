"""Pictures of a binary network on a chip: weights as they were written, and where the chip leaves the software network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from aimco.binary.network import BinaryNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@torch.no_grad()
def figure(network: BinaryNetwork, x: torch.Tensor, labels: torch.Tensor) -> Figure:
    """Weights that each layer holds, and the bits of each hidden layer that differ from those of the software network."""
    from matplotlib.figure import Figure

    network.eval()
    drawn = Figure(figsize=(11.0, 4.5), layout="constrained")
    weights, bits = drawn.subplots(1, 2)
    _weights(weights, network)
    _bits(bits, network, x, labels)
    return drawn


def _weights(axis: Axes, network: BinaryNetwork) -> None:
    for k, layer in enumerate(network.layers):
        held = torch.cat([matrix.weights.flatten() for matrix in layer.matrices.values()]).numpy()
        axis.hist(held, bins=np.linspace(-2, 2, 101).tolist(), density=True, histtype="step", label=f"layer {k + 1}")
    axis.set(xlabel="weight in the arrays", ylabel="density", title="Weights as written (+-1 is wanted)", yscale="log")
    axis.legend()


def _bits(axis: Axes, network: BinaryNetwork, x: torch.Tensor, labels: torch.Tensor) -> None:
    pairs = zip(network.bits_in_software(x), network.bits_on_chip(x), strict=True)
    wrong = [100 * float((ours != wanted).float().mean()) for wanted, ours in pairs]
    axis.bar([f"layer {k + 1}" for k in range(len(wrong))], wrong)
    right = [100 * float((out.argmax(1) == labels).float().mean()) for out in (network.in_software(x), network.on_chip(x))]
    title = f"Hidden bits that differ from software\naccuracy {right[0]:.1f} % in software, {right[1]:.1f} % on the chip"
    axis.set(ylabel="bits (%)", title=title)
