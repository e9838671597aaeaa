"""The derived specification: tables in the form in which specifications of devices are published, and the curves behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from aimco.device.device import Device
from aimco.device.requirement import Judged, value_text
from aimco.report.axes import label_decades
from aimco.report.device import png
from aimco.studies.parameters import BOUND, Sweep
from aimco.studies.specification import Answer, Derived, Finding
from aimco.units import text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 4  # panels beside each other
_FEW_DECADES = 300.0


def format_value(sweep: Sweep, value: float | None, sample_s: float | None = None) -> str:
    """A value of a line for tables."""
    if value is None or not np.isfinite(value):
        return "-"
    number = f"{sweep.scale * value:.3g}" if value < 1e5 else f"{value:.2g}"
    words = f"{number} {sweep.unit}".rstrip()
    if sweep.key == "step":
        return f"{words} ({2 * BOUND / value:,.0f} states)"
    if sweep.unit == "samples" and sample_s is not None:
        return f"{words} ({text(value * sample_s, 's', 2)})"
    return words


def tolerance(finding: Finding, sample_s: float | None = None) -> str:
    """A threshold in words: a limit, or what of the values tried is tolerated."""
    threshold, word = finding.threshold, "at most" if finding.sweep.rises else "at least"
    value = format_value(finding.sweep, threshold.value, sample_s)
    if threshold.kind == "crossed":
        return f"{word} {value}"
    return f"any {'up' if finding.sweep.rises else 'down'} to {value}" if threshold.kind == "any" else f"none, not even {value}"


def interval(finding: Finding) -> str:
    """The 95 % interval of a threshold."""
    low, high, scale = finding.threshold.low, finding.threshold.high, finding.sweep.scale
    return "-" if low is None or high is None else f"{scale * low:.3g} to {scale * high:.3g}"


def specification(answer: Answer, derived: Derived) -> Table:
    """The table of one rule: each line alone, its interval, the published threshold as recalled, and its value with all lines together."""
    title = f"What {derived.rule} asks of a device: {answer.task}, {answer.penalty:g} points of penalty"
    below = f"software {derived.software:.2f} %, near-ideal device {derived.near_ideal:.2f} % (mean of {answer.seeds} seeds)"
    joint = derived.joint
    if joint.fraction is None:
        below += "; no joint specification was found within the penalty"
    else:
        below += f"; all lines together at {joint.fraction:.2f} of the tolerated deviations: {joint.accuracy:.2f} %, "
        below += f"{joint.lost:+.2f} points lost, by a run of its own"
    table = Table(title=title, caption=below, caption_justify="left")
    for column in ("quantity", "near-ideal", "tolerated alone", "95 % interval", "published, as recalled", "together"):
        table.add_column(column)
    for finding in derived.findings:
        base = "no limit" if finding.sweep.base >= 1e6 else format_value(finding.sweep, finding.sweep.base)
        ours = tolerance(finding, derived.sample_s), interval(finding)
        table.add_row(
            finding.sweep.name, base, *ours, format_value(finding.sweep, finding.sweep.recalled), format_value(finding.sweep, finding.joint)
        )
    return table


def comparison(answer: Answer) -> Table:
    """Rules beside each other, and how many times looser each line is than under the first."""
    rules = [d.rule for d in answer.rules]
    title = f"Lines alone, {answer.task}, {answer.penalty:g} points"
    table = Table(title=title, caption="in brackets: times looser than under the first rule that has the line", caption_justify="left")
    for column in ("quantity", *rules):
        table.add_column(column)
    factors = {row["key"]: row["factors"] for row in answer.relaxed()}
    for key, name in {f.sweep.key: f.sweep.name for d in answer.rules for f in d.findings}.items():
        cells = [_cell(next((f for f in d.findings if f.sweep.key == key), None), factors.get(key, {}).get(d.rule)) for d in answer.rules]
        table.add_row(name, *cells)
    for name, values in (
        ("near-ideal device", [d.near_ideal for d in answer.rules]),
        ("together", [d.joint.accuracy for d in answer.rules]),
    ):
        table.add_row(f"accuracy, {name}", *("-" if value is None else f"{value:.2f} %" for value in values))
    return table


def _cell(finding: Finding | None, factor: Mapping[str, float | bool | None] | None) -> str:
    if finding is None:
        return "-"
    if factor is None or factor["factor"] is None:
        return tolerance(finding)
    return f"{tolerance(finding)} ({'at least ' if factor['at_least'] else ''}{factor['factor']:.2g} x)"


def tables(answer: Answer, verdicts: Mapping[str, Sequence[Judged]], device: Device | None) -> list[Table]:
    """A specification for each rule; the rules beside each other, where there are several; a device that is judged."""
    parts = [specification(answer, derived) for derived in answer.rules]
    parts += [comparison(answer)] if len(answer.rules) > 1 else []
    return parts + ([verdict_table(verdicts, device.name)] if device is not None else [])


def verdict_table(verdicts: Mapping[str, Sequence[Judged]], device: str) -> Table:
    """Which lines a device fails under each rule."""
    table = Table(title=f"{device} against each derived requirement")
    for column in ("rule", "verdict", "fails", "not known"):
        table.add_column(column)
    for rule, lines in verdicts.items():
        fails, unknown = ([j for j in lines if j.passes is wanted] for wanted in (False, None))
        sentences = [f"{j.line} ({j.limit}, has {value_text(j.value, j.unit)})" for j in fails]
        table.add_row(
            rule,
            "refused" if fails else "accepted as far as is known" if unknown else "accepted",
            "; ".join(sentences) or "-",
            "; ".join(j.line for j in unknown) or "-",
        )
    return table


def figure(answer: Answer) -> Figure:
    """Accuracy against each parameter for each rule, the allowed penalty as a dashed line, the threshold as a point with its interval."""
    from matplotlib.figure import Figure

    names = {f.sweep.key: f.sweep for d in answer.rules for f in d.findings}
    across = min(_ACROSS, max(len(names), 2))
    down = -(-len(names) // across)
    canvas = Figure(figsize=(3.6 * across, 3.0 * down + 0.6), layout="constrained")
    axes = canvas.subplots(down, across, squeeze=False, sharey=True).ravel()
    for sweep, axis in zip(names.values(), axes, strict=False):
        for k, derived in enumerate(answer.rules):
            for finding in (f for f in derived.findings if f.sweep.key == sweep.key):
                _curve(axis, answer, derived, finding, f"C{k}")
        if sweep.recalled is not None:
            axis.axvline(sweep.scale * sweep.recalled, color="gray", linestyle=":", linewidth=1)
        axis.set(xscale="log", xlabel=sweep.name + (f" ({sweep.unit})" if sweep.unit else ""))
        label_decades(axis.xaxis, few=_FEW_DECADES)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    lowest = min(d.near_ideal for d in answer.rules) - 6 * answer.penalty
    axes[0].set_ylim(lowest, max(d.near_ideal for d in answer.rules) + 2 * answer.penalty)
    for axis in axes[: len(names) : across]:
        axis.set_ylabel("test accuracy (%)")
    lines = {str(line.get_label()): line for axis in axes for line in axis.get_lines() if not str(line.get_label()).startswith("_")}
    canvas.legend(lines.values(), list(lines), loc="outside lower center", ncols=across, fontsize="small")
    canvas.suptitle(f"{answer.task}, {answer.samples} samples, {answer.seeds} seeds; dotted: published threshold, as recalled")
    return canvas


def files(answer: Answer) -> dict[str, str | bytes]:
    """The picture, and a requirement of each rule by which `devices` and `fit` judge, by the names of their files."""
    asked = {derived.rule: derived.requirement(answer.task, answer.penalty) for derived in answer.rules}
    tables = {f"{rule}-{answer.task}.toml": requirement.dumps() for rule, requirement in asked.items() if requirement.lines}
    return {f"requirements-{answer.task}.png": png(figure(answer)), **tables}


def _curve(axis: Axes, answer: Answer, derived: Derived, finding: Finding, color: str) -> None:
    scale, threshold = finding.sweep.scale, finding.threshold
    level = derived.near_ideal - answer.penalty
    axis.plot(scale * np.array(finding.values), finding.accuracy, "o-", color=color, markersize=3, linewidth=1, label=derived.rule)
    axis.axhline(level, color=color, linestyle="--", linewidth=0.7, label=f"{derived.rule}, allowed")
    if threshold.kind == "crossed":
        axis.plot(scale * threshold.value, level, "D", color=color, markersize=6)
        if threshold.low is not None and threshold.high is not None:
            axis.plot([scale * threshold.low, scale * threshold.high], [level, level], color=color, linewidth=3, alpha=0.4)
