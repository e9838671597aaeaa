"""Pictures of a study: what can be had for what, what matters, and how the points learn."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from aimco.report.axes import plain, scale
from aimco.report.view import View
from aimco.studies.front import front
from aimco.studies.sensitivity import Sensitivity
from aimco.studies.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY, _FRONT, _KNEE = "0.6", "tab:blue", "tab:red"
_APART = 16.0  # points of print between the labels of two trials
_COLORS = [f"C{k}" for k in (0, 1, 2, 3, 4, 5, 6, 8)]  # of the learning curves of the front; C7 is the grey of the others
_BARS = 24  # fields of a sensitivity, the largest


def fronts(view: View) -> dict[str, Figure]:
    """A figure for each pair of objectives, by its title; for one objective, its values from trial to trial."""
    names = list(view.about.objectives)
    if not view.known:
        return {}
    if len(names) == 1:
        return {f"{view.label(names[0])} of all trials": _values(view, names[0])}
    return {f"{view.label(y)} and {view.label(x)}": _pair(view, y, x) for y, x in itertools.combinations(names, 2)}


def _pair(view: View, y: str, x: str) -> Figure:
    figure, axes = _panel((6.4, 4.8))
    across, up = (scale(view, n, [t.values[n] for t in view.known]) for n in (x, y))

    def place(trials: Sequence[Trial]) -> tuple[np.ndarray, np.ndarray]:
        return across.of([t.values[x] for t in trials]), up.of([t.values[y] for t in trials])

    _scatter(axes, view, place)
    directions = {n: view.about.objectives[n] for n in (x, y)}
    best = sorted(front(view.known, directions), key=lambda t: t.values[x])
    style = "steps-pre" if view.rises(x) else "steps-post"
    if best:
        axes.plot(*place(best), "-", drawstyle=style, color=_FRONT, linewidth=1.2, label="front of these two")
    _mark(axes, view, place)
    axes.margins(0.08)
    across.dress(axes, "x")
    up.dress(axes, "y")
    _number(figure, axes, view, place, (1 if view.rises(x) else -1, 1 if view.rises(y) else -1))
    _legend(figure)
    return figure


def _values(view: View, name: str) -> Figure:
    """One objective: the value of each trial, and the best so far."""
    figure, axes = _panel((6.4, 4.2))
    up = scale(view, name, [t.values[name] for t in view.known])

    def place(trials: Sequence[Trial]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([t.number for t in trials]), up.of([t.values[name] for t in trials])

    _scatter(axes, view, place)
    meets = sorted((t for t in view.known if t.feasible), key=lambda t: t.number)
    if meets:
        number, value = place(meets)
        running = np.maximum.accumulate(value) if view.rises(name) else np.minimum.accumulate(value)
        axes.plot(number, running, drawstyle="steps-post", color=_FRONT, linewidth=1.2, label="best so far")
    _mark(axes, view, place, "best")
    up.dress(axes, "y")
    axes.set_xlabel("trial")
    axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(figure)
    return figure


Place = Callable[[Sequence[Trial]], tuple[np.ndarray, np.ndarray]]


def _scatter(axes: Axes, view: View, place: Place) -> None:
    """All trials: grey, hollow where they do not meet the constraints."""
    meets, misses = ([t for t in view.known if t.feasible is feasible] for feasible in (True, False))
    if meets:
        axes.scatter(*place(meets), s=18, color=_GREY, linewidths=0, label="trials")
    if misses:
        axes.scatter(*place(misses), s=18, facecolors="none", edgecolors=_GREY, linewidths=0.8, label="do not meet the constraints")


def _mark(axes: Axes, view: View, place: Place, word: str = "knee") -> None:
    if view.front and len(view.about.objectives) > 1:
        label = "best in all objectives together" if len(view.about.objectives) > 2 else None
        axes.scatter(*place(view.front), s=30, color=_FRONT, zorder=3, label=label)
    if view.knee is not None:
        named = plain(f"{word}, {view.brief(view.knee)}")
        axes.scatter(*place([view.knee]), s=150, marker="*", color=_KNEE, edgecolors="white", linewidths=0.6, zorder=4, label=named)


def _number(figure: Figure, axes: Axes, view: View, place: Place, towards: tuple[int, int]) -> None:
    """Numbers beside the members of the front, on the side that nothing beats; the knee's first, none over another."""
    from matplotlib.patheffects import withStroke

    first = [view.knee] if view.knee else []
    order = [*first, *(t for t in view.front if t is not view.knee)]
    if not order:
        return
    axes.autoscale_view()  # settles the limits; the layout, which comes later, moves spots by little
    taken: list[np.ndarray] = []
    sides = {"ha": ("right", "left")[towards[0] > 0], "va": ("top", "bottom")[towards[1] > 0]}
    for trial, spot in zip(order, axes.transData.transform(np.column_stack(place(order))) * 72 / figure.dpi, strict=True):
        if all(np.abs(spot - other).max() > _APART for other in taken):
            taken.append(spot)
            xy = tuple(float(v[0]) for v in place([trial]))
            style = {
                "fontsize": "small",
                "color": _KNEE if trial is view.knee else _FRONT,
                "path_effects": [withStroke(linewidth=2.5, foreground="white")],
            }
            axes.annotate(str(trial.number), xy, (4 * towards[0], 4 * towards[1]), textcoords="offset points", **sides, **style)  # type: ignore[arg-type]


def learning_curves(view: View) -> dict[str, Figure]:
    """Test accuracy and training loss against epochs: front members in colour, all others faint."""
    with_curves = [t for t in view.trials if any(t.curves.values())]
    if not with_curves:
        return {}
    figure, panels = _panel((10.5, 4.2), across=2)
    marked = _spread_over(view.front, len(_COLORS))
    numbers = {t.number for t in marked}
    faint = min(0.6, max(0.06, 12 / len(with_curves)))
    main = view.judged_by
    axis_label = f"test {main.name.replace('_', ' ')}" + (" (%)" if main.percent else f" ({main.unit})" if main.unit else "")
    tested = (f"test_{main.name}", 0.01 if main.percent else 1.0, axis_label)
    for axes, (name, unit, label) in zip(panels, (tested, ("train_loss", 1.0, "training loss")), strict=True):
        for trial in with_curves:
            if trial.number not in numbers:
                _curve(axes, trial, name, unit, color=_GREY, alpha=faint, linewidth=0.7)
        for k, trial in enumerate(marked):
            _curve(axes, trial, name, unit, color=_COLORS[k], linewidth=1.6, label=plain(view.brief(trial)) if axes is panels[0] else None)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(figure)
    return {"Learning": figure}


class _Style(TypedDict, total=False):
    """Of a line in a figure."""

    color: str
    alpha: float
    linewidth: float
    linestyle: str
    label: str | None


def _curve(axes: Axes, trial: Trial, name: str, unit: float, **style: Unpack[_Style]) -> None:
    values = np.array(trial.curves.get(name, ()), dtype=float) / unit
    finite = np.where(np.isfinite(values), values, np.nan)
    if len(values):
        axes.plot(range(1, len(values) + 1), finite, marker="." if np.isfinite(values).sum() == 1 else None, **style)


def _spread_over(members: Sequence[Trial], count: int) -> list[Trial]:
    """At most so many of the members, evenly from first to last."""
    picked = np.linspace(0, len(members) - 1, min(count, len(members))).round().astype(int)
    return [members[k] for k in picked]


def sensitivities(view: View) -> dict[str, Figure]:
    """Bars of the first-order and total index of each field, one figure for each objective."""
    return {f"What {view.label(s.objective)} depends on": _bars(view, s) for s in view.about.sensitivity if s.total}


def _bars(view: View, analysis: Sensitivity) -> Figure:
    fields = sorted(analysis.total, key=lambda f: analysis.total[f])[-_BARS:]
    figure, axes = _panel((7.0, 1.4 + 0.42 * len(fields)))
    middle = np.arange(len(fields))
    for which, (name, color) in enumerate((("first order", "tab:blue"), ("total", "tab:orange"))):
        values = np.array([(analysis.first, analysis.total)[which].get(f, np.nan) for f in fields])
        axes.barh(middle + (0.2, -0.2)[which], values, 0.38, color=color, label=f"{name}: {('alone', 'with all it takes part in')[which]}")
    axes.set_yticks(middle, [plain(f) for f in fields])
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_xlabel(f"share of the variance of {plain(view.label(analysis.objective))}")
    axes.set_title(f"R^2 of the model {analysis.r2:.3f}", fontsize="medium")
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    """Below the panels, what their labels say; nothing where nothing is labelled."""
    pairs = [pair for axes in figure.axes for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    if pairs:
        handles, labels = zip(*pairs, strict=True)
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize="small")


def _panel(size: tuple[float, float], across: int = 1) -> tuple[Figure, Any]:
    """A figure and its panel, or its panels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, across)


def picture(figure: Figure) -> bytes:
    """A figure as a PNG. Letters that the font lacks become boxes, which is not worth a warning."""
    from aimco.report.device import png

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")
        return png(figure)
