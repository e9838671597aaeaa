"""Pictures of devices: their response to pulses, measured beside fitted, and the verdict of a requirement."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.table import Table

from aimco.device.device import Device
from aimco.device.fit import Fit
from aimco.device.fit.files import Characterisation
from aimco.device.fit.retention import RetentionFit
from aimco.device.fit.tables import TableFit
from aimco.device.requirement import COLUMNS, Judged, row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 6000  # readings of the first device that are drawn
_FARTHEST = 2.0  # decades of a margin at the rim of a radar


def response(device: Device, axis: Axes, *, devices: int = 5, cycles: int = 2) -> None:
    """Conductance of some sampled devices over cycles of up and down pulses."""
    from aimco.arrays.crossbar import Crossbar

    array = Crossbar(device, 1, devices, names=("plot",))
    each = int(min(2000, max(20, device.states)))
    points = min(each, 100)
    trace = [device.conductance(array.state)[0, 0]]
    for half in range(2 * cycles):
        for _ in range(points):
            array.pulse_rows(torch.full(array.shape, (-1) ** half * max(1, each // points), dtype=torch.int32))
            trace.append(device.conductance(array.state)[0, 0])
    pulses = np.arange(len(trace)) * max(1, each // points)
    prefix, scale = ("uS", 1e6) if device.g_max > 1e-6 else ("nS", 1e9)
    axis.plot(pulses, scale * torch.stack(trace).numpy(), linewidth=0.8)
    axis.set(title=device.name, xlabel="pulse", ylabel=f"conductance ({prefix})")


def device_figure(devices: Sequence[Device]) -> Figure:
    """Pulse responses side by side."""
    from matplotlib.figure import Figure

    across = min(3, len(devices))
    down = -(-len(devices) // across)
    figure = Figure(figsize=(4.2 * across, 3.0 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for device, axis in zip(devices, axes, strict=False):
        response(device, axis)
    for axis in axes[len(devices) :]:
        axis.set_axis_off()
    return figure


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format="png")
    return buffer.getvalue()


def verdict_radar(axis: Axes, verdict: Sequence[Judged]) -> None:
    """Margins of a verdict around a circle, the limit itself as a ring: outside passes, inside fails; what is not known has no point."""
    known = [line for line in verdict if line.margin is not None]
    angles = np.linspace(0, 2 * np.pi, max(len(known), 1), endpoint=False)
    sizes = [float(np.clip(np.log10(max(line.margin or 0, 1e-9)), -_FARTHEST, _FARTHEST)) + _FARTHEST for line in known]
    axis.plot(np.linspace(0, 2 * np.pi, 200), np.full(200, _FARTHEST), color="black", linewidth=1, label="limit")
    if known:
        closed = [*range(len(known)), 0]
        axis.plot(angles[closed], np.array(sizes)[closed], color="tab:blue", linewidth=1)
        axis.fill(angles, sizes, color="tab:blue", alpha=0.15)
        axis.scatter(angles, sizes, c=["tab:green" if line.passes else "tab:red" for line in known], zorder=3)
    axis.set_xticks(angles[: len(known)], [line.line.replace(", ", ",\n") for line in known], fontsize="x-small")
    axis.set_yticks([0, 1, 2, 3, 4], ["0.01", "0.1", "1", "10", "100"], fontsize="xx-small", color="gray")
    axis.set_ylim(0, 2 * _FARTHEST)
    axis.set_title("margin to the requirement (times)", fontsize="medium")


def fit_figure(fit: Fit, verdict: Sequence[Judged]) -> Figure:
    """Measured beside fitted: readings, changes per pulse, the devices one by one, and the verdict."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8.5), layout="constrained")
    parts = figure.subplot_mosaic([["readings", "readings"], ["changes", "last"]], per_subplot_kw={"last": {"projection": "polar"}})
    _readings(parts["readings"], fit)
    _changes(parts["changes"], fit)
    verdict_radar(parts["last"], verdict)
    figure.suptitle(f"{fit.measured.source}: {fit.device.response.kind}")
    return figure


def _prefixed(unit: str, levels: np.ndarray) -> tuple[str, float]:
    """Unit and factor of an axis: conductances in the prefix that suits them."""
    if unit != "S":
        return unit, 1.0
    size = float(np.max(np.abs(levels)))
    return ("uS", 1e6) if 1e-6 <= size < 1e-3 else ("nS", 1e9) if size < 1e-6 else ("mS", 1e3)


def _readings(axis: Axes, fit: Fit) -> None:
    trace = fit.measured.traces[0]
    fitted = fit.solution.trajectory(fit.increments.devices.index(trace.device), trace)
    pulse = np.cumsum(trace.pulses)[:_SHOWN]
    unit, scale = _prefixed(fit.measured.unit, trace.level)
    axis.plot(pulse, scale * trace.level[:_SHOWN], ".", markersize=2, color="gray", label=f"measured, device {trace.device}")
    axis.plot(pulse, scale * fitted[:_SHOWN], color="tab:red", linewidth=1, label="fitted, without noise, ramp by ramp")
    axis.set(xlabel="pulse", ylabel=f"level ({unit})", title=f"R^2 of the ramps {fit.goodness['ramps']:.4f}")
    axis.legend(loc="upper right", fontsize="small")


def _changes(axis: Axes, fit: Fit) -> None:
    data = fit.increments
    unit, scale = _prefixed(fit.measured.unit, data.state)
    step_unit, step_scale = _prefixed(fit.measured.unit, data.change)
    for up, color in ((True, "tab:blue"), (False, "tab:orange")):
        for d in range(min(len(data.devices), 10)):
            mine = np.flatnonzero((data.up == up) & (data.device == d))
            label = ("up" if up else "down") if d == 0 else None
            state = scale * data.state[mine]
            axis.plot(state, step_scale * data.change[mine], ".", markersize=3, color=color, alpha=0.5, label=label)
            axis.plot(state, step_scale * fit.solution.change[mine], color=color, linewidth=0.8)
    axis.axhline(0, color="black", linewidth=0.5)
    axis.set(xlabel=f"state ({unit})", ylabel=f"mean change per pulse ({step_unit})")
    axis.set_title(f"points measured, lines fitted; R^2 {fit.goodness['changes']:.4f}", fontsize="medium")
    axis.legend(fontsize="small")


def tables_figure(fit: TableFit, verdict: Sequence[Judged]) -> Figure:
    """Quantiles of the change by one pulse against the state, measured beside the table taken, and the verdict."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8.5), layout="constrained")
    parts = figure.subplot_mosaic([["up", "down"], ["response", "radar"]], per_subplot_kw={"radar": {"projection": "polar"}})
    for name, (state, probability, change) in (("up", fit.measured.up), ("down", fit.measured.down)):
        unit, scale = _prefixed(fit.measured.unit, state)
        step_unit, step_scale = _prefixed(fit.measured.unit, change)
        for wanted in (0.05, 0.25, 0.5, 0.75, 0.95):
            row = np.array([np.interp(wanted, probability, column) for column in change.T])
            parts[name].plot(scale * state, step_scale * row, linewidth=1, label=f"{100 * wanted:.0f} %")
        parts[name].axhline(0, color="black", linewidth=0.5)
        parts[name].set(xlabel=f"state ({unit})", ylabel=f"change by a pulse {name} ({step_unit})", title=f"measured quantiles, {name}")
    parts["up"].legend(fontsize="small")
    response(fit.device, parts["response"])
    verdict_radar(parts["radar"], verdict)
    figure.suptitle(f"{fit.measured.source}: jump table")
    return figure


def fit_figures(result: Characterisation) -> dict[str, Figure]:
    """Figures of what was fitted, by the end of their file's name."""
    figures = {}
    if isinstance(result.pulses, Fit):
        figures[".png"] = fit_figure(result.pulses, result.verdict)
    elif result.pulses is not None:
        figures[".png"] = tables_figure(result.pulses, result.verdict)
    if result.retention is not None:
        figures[".retention.png"] = retention_figure(result.retention)
    return figures


def estimates_table(result: Characterisation) -> Table:
    """Every number that was found, with its 95 % interval."""
    title = "fitted"
    if isinstance(result.pulses, Fit):
        taken, scores = result.pulses.device.response.kind, result.pulses.families
        apart = (f"{kind} {score - scores[taken]:+.0f}" for kind, score in scores.items() if kind != taken)
        title = f"{taken} (criterion beside it: {', '.join(apart) or 'no other was tried'})"
    table = Table(title=title)
    for column in ("number", "value", "95 % interval", "unit"):
        table.add_column(column, justify="left" if column in ("number", "unit") else "right")
    for name, e in result.estimates.items():
        if np.isfinite(e.value):
            interval = f"{e.low:.4g} to {e.high:.4g}" if np.isfinite([e.low, e.high]).all() else "-"
            table.add_row(name, f"{e.value:.4g}", interval, e.unit)
    return table


def verdict_table(verdict: Sequence[Judged], requirement: str) -> Table:
    """A device against a requirement, line by line."""
    table = Table(title=f"Requirement {requirement}")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "margin" else "left")
    for line in verdict:
        table.add_row(*row(line))
    return table


def retention_figure(fit: RetentionFit) -> Figure:
    """Levels against time, and the laws that were fitted."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for k, ((name, time, level), laws) in enumerate(zip(fit.measured.devices, fit.laws, strict=True)):
        axis.plot(time / 60, level, "o", markersize=4, color=f"C{k}", label=f"measured, device {name}")
        grid = np.linspace(max(time.min(), 1e-9), time.max(), 200)
        for law, style in zip(laws, ("-", "--", ":"), strict=False):
            label = f"{law.name}, {law.equation}, R^2 {law.r2:.4f}" if k == 0 else None
            axis.plot(grid / 60, law.curve(grid), style, color=f"C{k}", linewidth=1, label=label)
    axis.set(xlabel="time (min)", ylabel=f"level ({fit.measured.unit})", title=fit.measured.source)
    axis.legend(fontsize="small")
    return figure


def verdict_figure(device: Device, verdict: Sequence[Judged]) -> Figure:
    """The response of a device, and its verdict."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    parts = figure.subplot_mosaic([["response", "radar"]], per_subplot_kw={"radar": {"projection": "polar"}})
    response(device, parts["response"])
    verdict_radar(parts["radar"], verdict)
    return figure
