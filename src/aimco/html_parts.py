"""Small pieces of HTML for notebooks: every word from outside is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728")
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 34  # margins of a chart, px


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Args:
        label: In the legend.
        x: Places along the horizontal axis.
        y: Values there; those that are not finite leave a gap.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]


def escape(words: Any) -> str:
    """Words from outside, safe in HTML."""
    return html.escape(str(words))


def card(title: str, *parts: str) -> str:
    """A title and what follows it, as one piece."""
    return f"<div><p><b>{escape(title)}</b></p>{''.join(parts)}</div>"


def table(
    head: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str = "",
    marked: Sequence[int] = (),
    right: Sequence[int] = (),
) -> str:
    """A table of words.

    Args:
        head: Names of the columns.
        rows: One cell for each column.
        caption: Below the table.
        marked: Numbers of the rows that are set in bold.
        right: Numbers of the columns that stand on the right.
    """
    sides = ["right" if k in right else "left" for k in range(len(head))]
    lines = []
    for k, row in enumerate(rows):
        cells = "".join(f'<td style="text-align:{side}">{escape(value)}</td>' for side, value in zip(sides, row, strict=True))
        lines.append(f'<tr style="font-weight:bold">{cells}</tr>' if k in marked else f"<tr>{cells}</tr>")
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    below = f'<caption style="caption-side:bottom">{escape(caption)}</caption>' if caption else ""
    return f"<table>{below}<thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def facts(values: Mapping[str, Any]) -> str:
    """Names and their values, one below the other."""
    rows = (f'<tr><th style="text-align:left">{escape(n)}</th><td style="text-align:left">{escape(v)}</td></tr>' for n, v in values.items())
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def listed(sentences: Iterable[str]) -> str:
    """Sentences, one below the other."""
    items = "".join(f"<li>{escape(s)}</li>" for s in sentences)
    return f"<ul>{items}</ul>" if items else ""


def of_table(shown: Table) -> str:
    """A table made for a terminal, so that a notebook shows the same rows."""
    columns = [list(map(_plain, column.cells)) for column in shown.columns]
    head = [_plain(column.header) for column in shown.columns]
    right = [k for k, column in enumerate(shown.columns) if column.justify == "right"]
    title = f"<p><b>{escape(_plain(shown.title))}</b></p>" if shown.title else ""
    caption = _plain(shown.caption) if shown.caption else ""
    return title + table(head, zip(*columns, strict=True), caption=caption, right=right)


def chart(lines: Sequence[Line], *, x: str, y: str, size: tuple[int, int] = (340, 190)) -> str:
    """Lines as a picture in SVG.

    Args:
        lines: At least one, with at least one finite value.
        x: What the horizontal axis shows.
        y: What the vertical axis shows.
        size: Width and height, px.
    """
    points = [(a, b) for line in lines for a, b in zip(line.x, line.y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if not points:
        return ""
    (left, right), (low, high) = (_ends([p[k] for p in points]) for k in (0, 1))
    width, height = size[0] - _LEFT - _RIGHT, size[1] - _TOP - _BOTTOM

    def place(a: float, b: float) -> str:
        return f"{_LEFT + width * (a - left) / (right - left):.1f},{_TOP + height * (high - b) / (high - low):.1f}"

    drawn = [_polyline(line, COLORS[k % len(COLORS)], place) for k, line in enumerate(lines)]
    frame = f'<rect x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}" fill="none" stroke="#888"/>'
    below, beside = _TOP + height + 13, _LEFT - 4
    words = [
        _words(_LEFT, below, f"{left:.4g}", "start"),
        _words(_LEFT + width, below, f"{right:.4g}", "end"),
        _words(_LEFT + width / 2, below, x, "middle"),
        _words(beside, _TOP + 10, f"{high:.4g}", "end"),
        _words(beside, _TOP + height, f"{low:.4g}", "end"),
        _words(_LEFT, size[1] - 6, y, "start"),
    ]
    words += [
        _words(_LEFT + width, size[1] - 6 - 12 * k, line.label, "end", COLORS[k % len(COLORS)])
        for k, line in enumerate(reversed(lines))
        if len(lines) > 1
    ]
    style = "font:11px sans-serif;background:#fff"
    return f'<svg width="{size[0]}" height="{size[1]}" style="{style}">{frame}{"".join(drawn)}{"".join(words)}</svg>'


def _polyline(line: Line, color: str, place: Any) -> str:
    parts: list[list[str]] = [[]]
    for a, b in zip(line.x, line.y, strict=True):
        if math.isfinite(a) and math.isfinite(b):
            parts[-1].append(place(a, b))
        else:
            parts.append([])
    style = f'fill="none" stroke="{color}" stroke-width="1.5" stroke-linecap="round"'
    return "".join(f'<polyline points="{" ".join(part if len(part) > 1 else part * 2)}" {style}/>' for part in parts if part)


def _words(x: float, y: float, words: str, anchor: str, color: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(words)}</text>'


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _plain(cell: Any) -> str:
    return str(getattr(cell, "plain", cell))
