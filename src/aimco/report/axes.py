"""Axes of figures: which unit, which scale, which ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from aimco.report.view import View
from aimco.studies.metrics import metric
from aimco.units import suited, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_FEW = 50.0  # high over low end of a logarithmic axis below which decades alone are too few ticks


@dataclass(frozen=True)
class Scale:
    """How the values of one quantity lie along an axis.

    Args:
        label: name and, on a linear axis, unit. unit: that the values are divided by. symbol: SI, of the ticks of a logarithmic axis.
    """

    label: str
    unit: float = 1.0
    symbol: str = ""
    log: bool = False

    def of(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Values as they are drawn."""
        return np.asarray(values, dtype=float) / self.unit

    def dress(self, axes: Axes, which: Literal["x", "y"]) -> None:
        """Give the x or y axis of a panel, whose points are drawn, its label, scale and ticks."""
        axis = axes.xaxis if which == "x" else axes.yaxis
        axis.set_label_text(plain(self.label))
        if not self.log:
            axes.locator_params(axis=which, nbins=6)
            return
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        label_decades(axis, lambda value: text(value, self.symbol) if self.symbol else f"{value:g}")


def label_decades(axis: Axis, words: Callable[[float], str] = "{:g}".format, few: float = _FEW) -> None:
    """Numbers along a logarithmic axis: at 1, 2 and 5 of each decade where there are few, else at 1."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < few else (1.0,), numticks=10))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axis.set_minor_formatter(NullFormatter())


def scale(view: View, name: str, values: Sequence[float]) -> Scale:
    """The scale of an objective for these values."""
    label = view.label(name)
    known = metric(name)
    if known.percent:
        return Scale(f"{label} (%)", unit=0.01)
    symbol = known.unit
    if spans_decades(values):
        return Scale(label, symbol=symbol, log=True)
    unit = suited(max((abs(v) for v in values), default=1.0), symbol)
    return Scale(f"{label} ({unit.symbol})", unit=float(unit)) if symbol else Scale(label)


def spans_decades(values: Sequence[float] | np.ndarray) -> bool:
    """Whether numbers belong on a logarithmic axis: all positive, and more than a decade apart."""
    finite = [v for v in values if math.isfinite(v)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) > 10


def plain(words: object) -> str:
    """Text for a figure, in which a dollar sign stays one."""
    return str(words).replace("$", r"\$")
