"""Pictures of a resistive network: voltages of its nodes, conductances of its crossbars, and how true its gradients are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from aimco.circuit import adjoint
from aimco.circuit.solvers import solve
from aimco.resistive.network import ResistiveNetwork
from aimco.units import suited, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SAMPLES = 64  # for voltages and gradients
_STILL = 0.01
_BETAS = 10.0 ** np.arange(-9, -2)  # S


def figure(network: ResistiveNetwork, x: torch.Tensor, labels: torch.Tensor) -> Figure:
    """Node voltages in the free phase, gradients against nudging, and a map of each crossbar, drawn from the first samples."""
    from matplotlib.figure import Figure

    x, labels = x[:_SAMPLES], labels[:_SAMPLES]
    layers = len(network.conductances)
    picture = Figure(figsize=(max(9.0, 4.5 * layers), 8.0), layout="constrained")
    grid = picture.add_gridspec(2, 2 * layers)
    _voltages(picture.add_subplot(grid[0, :layers]), network, x)
    _gradients(picture.add_subplot(grid[0, layers:]), network, x, labels)
    for k in range(layers):
        _map(picture.add_subplot(grid[1, 2 * k : 2 * k + 2]), network, k)
    return picture


def _voltages(axis: Axes, network: ResistiveNetwork, x: torch.Tensor) -> None:
    point = solve(network.circuit(), network.sources(x), tolerance=network.parts.tolerance)
    for k, u in enumerate(point.nodes):
        name = "outputs" if k == len(point.nodes) - 1 else f"hidden layer {k + 1}"
        if still := unmoved(u):
            name += f", {still} of {u.shape[1]} nodes alike for all samples"
        axis.hist(u.flatten().double().numpy(), bins=60, histtype="step", density=True, label=name)
    assert network.design is not None
    record, reach = network.design.network.circuit, axis.get_xlim()
    bounds = (record.low_V, record.high_V, *((-record.high_V, -record.low_V) if record.mirrored else ()))
    for bound in (b for b in bounds if reach[0] <= b <= reach[1]):
        axis.axvline(bound, color="0.5", linestyle=":", linewidth=1)
    axis.set(xlabel="voltage of a node (V)", ylabel="density (1/V)", title="Free phase; dotted: sources of the diodes")
    axis.legend()


def unmoved(u: torch.Tensor) -> int:
    """How many nodes tell no sample from another: whose voltages (B, nodes) deviate by less than a hundredth of what the layer's do."""
    deviations = u.double().std(0, correction=0)
    return int((deviations < _STILL * deviations.square().mean().sqrt()).sum())


def _gradients(axis: Axes, network: ResistiveNetwork, x: torch.Tensor, labels: torch.Tensor) -> None:
    """1 - cosine between the gradient of two settled states and that of the adjoint, for each crossbar."""
    circuit = network.circuit()
    if not circuit.reciprocal:
        axis.text(0.5, 0.5, "gains differ within a layer:\nno adjoint to compare with", ha="center", va="center", transform=axis.transAxes)
        axis.set_axis_off()
        return
    target = network.rule.target_V * torch.nn.functional.one_hot(labels, network.outputs).to(network.parts.dtype)
    sources = network.sources(x)
    point = solve(circuit, sources, tolerance=network.parts.tolerance)
    error = network.read(point) - target
    exact, _ = adjoint.gradients(circuit, sources, point, torch.cat((error, -error), 1), relative=1e-9)
    apart = []
    for beta in _BETAS:
        rule = network.rule.replace("beta", float(beta))
        local = rule.gradients(circuit, rule.solve(network, x, target))
        apart.append([1 - float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)) for a, b in zip(local, exact, strict=True)])
    for k, values in enumerate(np.array(apart).T[: len(network.conductances)]):
        axis.loglog(_BETAS, np.maximum(values, 1e-16), marker=".", label=f"crossbar {k + 1}")
    axis.axvline(network.rule.beta, color="0.5", linestyle=":", linewidth=1)
    solved = text(network.parts.tolerance, "V")
    axis.set(xlabel="nudging beta (S)", ylabel="1 - cosine to the adjoint", title=f"Gradients, settled to {solved}; dotted: in training")
    axis.legend()


def _map(axis: Axes, network: ResistiveNetwork, k: int) -> None:
    """Conductances of crossbar k, or the differences of pairs."""
    from matplotlib.ticker import MaxNLocator

    plus, inverted = network.effective_conductances()
    g = plus[k].double().numpy() if inverted is None else (plus[k] - inverted[k]).double().numpy()
    unit = suited(float(np.abs(g).max()), "S")
    pairs = inverted is not None
    most = float(np.abs(g).max()) / unit
    picture = axis.imshow(
        g.T / unit, aspect="auto", interpolation="nearest", cmap="RdBu_r" if pairs else "viridis", vmin=-most if pairs else 0.0, vmax=most
    )
    axis.set(xlabel="row (input)", ylabel="column (node)", title=f"crossbar {k + 1}" + (", differences of pairs" if pairs else ""))
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.figure.colorbar(picture, ax=axis, label=f"conductance ({unit.symbol})")
