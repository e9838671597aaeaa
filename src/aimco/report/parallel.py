"""Parallel coordinates: every choice of every trial as one line through all axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from aimco.report.axes import plain, scale, spans_decades
from aimco.report.view import View, format_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ABSENT = -0.14  # place of what a condition left out, below the axis that goes from 0 to 1
_MARKED = 12  # categories that have a label each
_CLOSE = 0.045  # least distance between two labels of an axis
_BLUR = 0.035  # width over which lines through one category are spread


@dataclass(frozen=True)
class Coordinate:
    """One axis. places: of each trial, 0..1 or `_ABSENT`. ticks: (place, words)."""

    name: str
    places: np.ndarray
    ticks: list[tuple[float, str]]
    blurred: bool


def parallel_coordinates(view: View) -> dict[str, Figure]:
    """Choices and objectives of all trials that can be drawn, by the title of the figure; none where nothing differs."""
    from matplotlib.figure import Figure

    if not view.known:
        return {}
    varied = [f for f in view.fields if len({_key(t.point.get(f)) for t in view.known}) > 1]
    axes_ = [_choice(view, f) for f in varied]
    objectives = [_objective(view, name) for name in view.about.objectives]
    if not axes_:
        return {}
    coordinates = [*axes_, *objectives]
    figure = Figure(figsize=(max(7.0, 1.5 * len(coordinates) + 1), 5.2), layout="constrained")
    axes = figure.subplots()
    _lines(figure, axes, view, coordinates)
    for k, coordinate in enumerate(coordinates):
        _axis(axes, k, coordinate, last=k == len(coordinates) - 1)
    axes.set(xlim=(-0.35, len(coordinates) - 0.8), ylim=(_ABSENT - 0.06, 1.05))
    axes.set_xticks(range(len(coordinates)), [_wrapped(c.name) for c in coordinates], fontsize="small")
    axes.tick_params(axis="x", length=0, pad=6)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return {"All choices": figure}


def _lines(figure: Figure, axes: Axes, view: View, coordinates: Sequence[Coordinate]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm, Normalize

    first = next(iter(view.about.objectives))
    drawn = scale(view, first, [t.values[first] for t in view.known])
    value = drawn.of([t.values[first] for t in view.known])
    low, high = float(value.min()), float(value.max())
    norm = LogNorm(low, high) if drawn.log else Normalize(low, high)
    better = value.argsort(kind="stable")
    order = better if view.rises(first) else better[::-1]  # the best lie on top
    rank = np.empty(len(value))
    rank[order] = np.linspace(-0.5, 0.5, len(value)) * _BLUR
    places = np.column_stack([c.places + (rank if c.blurred else 0) for c in coordinates])
    cmap = "viridis" if view.rises(first) else "viridis_r"
    shade = ScalarMappable(norm, cmap)
    colors = shade.to_rgba(value)
    colors[:, 3] = [(0.85 if len(value) < 60 else 0.55) if t.feasible else 0.12 for t in view.known]
    members = {t.number for t in view.front}
    widths = np.array([2.0 if t.number in members else 0.9 for t in view.known])
    spots = np.stack([np.broadcast_to(np.arange(len(coordinates)), places.shape), places], -1)
    axes.add_collection(LineCollection(list(spots[order]), colors=colors[order], linewidths=list(widths[order])))
    if high > low:
        drawn.dress(figure.colorbar(shade, ax=axes, fraction=0.04, pad=0.01).ax, "y")


def _axis(axes: Axes, k: int, coordinate: Coordinate, *, last: bool) -> None:
    axes.plot([k, k], [0, 1], color="black", linewidth=1)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    absent = [(_ABSENT, "absent")] if (coordinate.places == _ABSENT).any() else []
    for place, words in [*coordinate.ticks, *absent]:
        style = "italic" if place == _ABSENT else "normal"
        axes.plot([k - 0.02, k + 0.02], [place, place], color="black", linewidth=1)
        side, shift = ("right", -0.05) if last else ("left", 0.05)
        axes.text(
            k + shift, place, plain(words), ha=side, va="center", fontsize="x-small", fontstyle=style, bbox=box, zorder=4, in_layout=False
        )


def _choice(view: View, path: str) -> Coordinate:
    values = [t.point.get(path) for t in view.known]
    present = [v for v in values if v is not None]
    if all(_number(v) for v in present) and len(present) > 0:
        log = spans_decades(present)
        return _numeric(path, values, _ticks(present, log), lambda v: format_value(path, v), log)
    words = [None if v is None else format_value(path, v) for v in values]
    choices = list(dict.fromkeys(format_value(path, v) for v in sorted(present, key=_order)))
    place = {w: (k / (len(choices) - 1) if len(choices) > 1 else 0.5) for k, w in enumerate(choices)}
    every = -(-len(choices) // _MARKED)
    ticks = [(place[w], _short(w)) for w in choices[::every]]
    return Coordinate(path, np.array([_ABSENT if w is None else place[w] for w in words]), ticks, blurred=True)


def _objective(view: View, name: str) -> Coordinate:
    values = [t.values[name] for t in view.known]
    log = scale(view, name, values).log
    return _numeric(view.label(name), values, _ticks(values, log), lambda v: view.value(name, v), log)


def _numeric(name: str, values: Sequence[float | None], marks: Sequence[float], words: Callable[[float], str], log: bool) -> Coordinate:
    present = [float(v) for v in values if v is not None]
    laid = math.log if log else float
    low, high = laid(min(present)), laid(max(present))

    def place(value: float) -> float:
        return (laid(value) - low) / (high - low) if high > low else 0.5

    places = np.array([_ABSENT if v is None else place(float(v)) for v in values])
    ticks = _apart([(place(mark), words(mark)) for mark in marks])
    return Coordinate(name, places, ticks, blurred=len(set(present)) <= _MARKED)


def _ticks(values: Sequence[float], log: bool) -> list[float]:
    """The ends of a numeric axis and what lies between: the values themselves when they are few."""
    points = sorted({float(v) for v in values})
    whole = all(v.is_integer() for v in points)
    if len(points) <= 5:
        return points
    if whole and points[-1] - points[0] <= _MARKED:
        return [float(v) for v in range(int(points[0]), int(points[-1]) + 1)]
    low, high = points[0], points[-1]
    grid = np.geomspace(low, high, 5) if log else np.linspace(low, high, 5)
    return [low, *(float(f"{v:.2g}") for v in grid[1:-1]), high]


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """The ticks that can be read: the ends, and those between that do not lie on one already taken."""
    taken: list[tuple[float, str]] = []
    for place, words in [*ticks[:1], *ticks[-1:], *ticks[1:-1]]:
        if all(abs(place - other) > _CLOSE for other, _ in taken):
            taken.append((place, words))
    return taken


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _key(value: object) -> str:
    return repr(value)


def _order(value: object) -> tuple[list[float], str]:
    """Numbers and lists of numbers by size, before what is ordered by its letters."""
    parts = list(value) if isinstance(value, list | tuple) else [value]
    numbers = [float(p) for p in parts if _number(p)]
    return (numbers, "") if len(numbers) == len(parts) else ([math.inf], str(value))


def _short(words: str) -> str:
    return words if len(words) <= 22 else words[:21] + "…"


def _wrapped(name: str) -> str:
    """A dotted path over several lines."""
    return plain(name.replace(".", ".\n"))
