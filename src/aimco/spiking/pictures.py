"""Pictures of a spiking Boltzmann machine: receptive fields, spikes of both phases, and patterns that it makes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from aimco.spiking.machine import SpikingBoltzmannMachine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 8  # patterns
_SIDE = 8  # receptive fields down and across
_MOST_SPIKES = 100_000


def figure(network: SpikingBoltzmannMachine, x: torch.Tensor, labels: torch.Tensor, image: tuple[int, int, int] | None) -> Figure:
    """Receptive fields, a raster of one sample, and samples, their occluded half completed, and patterns made for labels."""
    from matplotlib.figure import Figure

    shape = image[1:] if image and image[0] == 1 else (1, network.inputs)
    drawn = Figure(figsize=(13.0, 6.5), layout="constrained")
    grid = drawn.add_gridspec(2, 3, width_ratios=(1, 1, 1.2))
    _fields(drawn.add_subplot(grid[:, 0]), network, shape)
    _raster(drawn.add_subplot(grid[:, 1]), network, x[:1], labels[:1])
    _completed(drawn.add_subplot(grid[0, 2]), network, x[:_SHOWN], shape)
    _dreamt(drawn.add_subplot(grid[1, 2]), network, shape)
    return drawn


def _mosaic(images: np.ndarray, across: int) -> np.ndarray:
    """Images (K, h, w) in rows of `across`, with a pixel of nothing between."""
    down = -(-len(images) // across)
    height, width = images.shape[1:]
    whole = np.full((down * (height + 1), across * (width + 1)), np.nan)
    for k, one in enumerate(images):
        top, left = k // across * (height + 1), k % across * (width + 1)
        whole[top : top + height, left : left + width] = one
    return whole


def _fields(axis: Axes, network: SpikingBoltzmannMachine, shape: tuple[int, ...]) -> None:
    weights = network.machine.weights[0, : network.inputs, : _SIDE * _SIDE].T
    picture = axis.imshow(
        _mosaic(weights.reshape(-1, *shape), _SIDE), cmap="RdBu_r", vmin=-np.abs(weights).max(), vmax=np.abs(weights).max()
    )
    axis.set_title("Receptive fields of hidden units (weights)")
    axis.set_axis_off()
    axis.figure.colorbar(picture, ax=axis, location="bottom", shrink=0.7)


def _raster(axis: Axes, network: SpikingBoltzmannMachine, x: torch.Tensor, labels: torch.Tensor) -> None:
    machine, record = network.machine, network.record
    rows = machine.learn(network.clamped(x, labels), 0.0, most_spikes=_MOST_SPIKES).raster[0]
    milliseconds = 1e3 * record.dt_s * (rows[:, 0] - rows[:, 0].min(initial=machine.steps))
    kinds = np.digitize(rows[:, 1], (network.inputs, machine.visible))
    for kind, name in enumerate(("inputs", "labels", "hidden")):
        axis.plot(milliseconds[kinds == kind], rows[kinds == kind, 1], ".", markersize=2, color=f"C{kind}")
        axis.plot([], [], "s", color=f"C{kind}", label=name)
    axis.axvline(1e3 * record.phase_s, color="0.3", linestyle=":", linewidth=1)
    axis.set(xlabel="time (ms)", ylabel="unit", title="Spikes: data phase, then reconstruction")
    axis.legend(loc="upper right", fontsize="small")


def _completed(axis: Axes, network: SpikingBoltzmannMachine, x: torch.Tensor, shape: tuple[int, ...]) -> None:
    known = torch.arange(network.inputs) < network.inputs // 2
    on = network.shown(x)
    completion = network.completed(x, known)
    errors = [float((v - on).abs()[:, ~known].mean()) for v in (on * known, completion)]
    rows = torch.cat((on, on * known, completion)).numpy().reshape(-1, *shape)
    axis.imshow(_mosaic(rows, len(x)), cmap="gray_r", vmin=0, vmax=1)
    axis.set_title(f"Samples, occluded, completed\nerror of hidden pixels {errors[0]:.3f}, completed {errors[1]:.3f}")
    axis.set_axis_off()


def _dreamt(axis: Axes, network: SpikingBoltzmannMachine, shape: tuple[int, ...]) -> None:
    dreams = network.dreamt(torch.arange(network.classes)).numpy()
    axis.imshow(_mosaic(dreams.reshape(-1, *shape), 5), cmap="gray_r", vmin=0, vmax=1)
    axis.set_title("Patterns made for each label")
    axis.set_axis_off()
