"""Small pieces of HTML for notebooks: every word from outside is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.table import Table

_COLOR = "#1f77b4"
_LONGEST = 200  # characters of a value in a table
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 34  # margins of a chart, px


def escape(words: object) -> str:
    """Words from outside, safe in HTML."""
    return html.escape(str(words))


def card(title: str, *parts: str) -> str:
    """A title and what follows it, as one piece."""
    return f"<div><p><b>{escape(title)}</b></p>{''.join(parts)}</div>"


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
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


def facts(values: Mapping[str, object]) -> str:
    """Names and their values, one below the other."""
    rows = (f'<tr><th style="text-align:left">{escape(n)}</th><td style="text-align:left">{escape(v)}</td></tr>' for n, v in values.items())
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def fields(title: str, record: BaseModel, changed: Collection[str]) -> str:
    """Every field of a record with its value, unit and meaning.

    Args:
        title: Above the table.
        record: A pydantic model.
        changed: Fields that are set in bold.
    """
    rows, known = [], type(record).model_fields
    for name, field in known.items():
        extra = field.json_schema_extra
        unit = extra.get("unit", "") if isinstance(extra, dict) else ""
        rows.append((name, _brief(getattr(record, name)), unit, field.description or ""))
    bold = [k for k, name in enumerate(known) if name in changed]
    return card(title, table(("field", "value", "unit", ""), rows, marked=bold))


def listed(sentences: Iterable[str]) -> str:
    """Sentences, one below the other."""
    items = "".join(f"<li>{escape(s)}</li>" for s in sentences)
    return f"<ul>{items}</ul>" if items else ""


def of_table(terminal_table: Table) -> str:
    """A table made for a terminal, so that a notebook shows the same rows."""
    columns = [list(map(_plain, column.cells)) for column in terminal_table.columns]
    head = [_plain(column.header) for column in terminal_table.columns]
    right = [k for k, column in enumerate(terminal_table.columns) if column.justify == "right"]
    title = f"<p><b>{escape(_plain(terminal_table.title))}</b></p>" if terminal_table.title else ""
    caption = _plain(terminal_table.caption) if terminal_table.caption else ""
    return title + table(head, zip(*columns, strict=True), caption=caption, right=right)


def chart(x: Sequence[float], y: Sequence[float], *, below: str, beside: str, size: tuple[int, int] = (340, 190)) -> str:
    """A curve as a picture in SVG; empty where no point is finite.

    Args:
        x: Places along the horizontal axis.
        y: Values there; those that are not finite leave a gap.
        below: What the horizontal axis shows.
        beside: What the vertical axis shows.
        size: Width and height, px.
    """
    runs = _runs(x, y)
    points = [p for run in runs for p in run]
    if not points:
        return ""
    (left, right), (low, high) = (_ends([p[k] for p in points]) for k in (0, 1))
    width, height = size[0] - _LEFT - _RIGHT, size[1] - _TOP - _BOTTOM

    def place(point: tuple[float, float]) -> str:
        a, b = (point[0] - left) / (right - left), (high - point[1]) / (high - low)
        return f"{_LEFT + width * a:.1f},{_TOP + height * b:.1f}"

    drawn = [f'<rect x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}" fill="none" stroke="#888"/>']
    for run in runs:
        places = " ".join(map(place, run if len(run) > 1 else run * 2))  # a single point is a dot
        drawn.append(f'<polyline points="{places}" fill="none" stroke="{_COLOR}" stroke-width="1.5" stroke-linecap="round"/>')
    foot = _TOP + height + 13
    drawn += [
        _words(_LEFT, foot, f"{left:.4g}", "start"),
        _words(_LEFT + width, foot, f"{right:.4g}", "end"),
        _words(_LEFT + width / 2, foot, below, "middle"),
        _words(_LEFT - 4, _TOP + 10, f"{high:.4g}", "end"),
        _words(_LEFT - 4, _TOP + height, f"{low:.4g}", "end"),
        _words(_LEFT, size[1] - 6, beside, "start"),
    ]
    return f'<svg width="{size[0]}" height="{size[1]}" style="font:11px sans-serif;background:#fff">{"".join(drawn)}</svg>'


def _runs(x: Sequence[float], y: Sequence[float]) -> list[list[tuple[float, float]]]:
    """Points that follow each other without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in zip(x, y, strict=True):
        if all(map(math.isfinite, point)):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _words(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{escape(words)}</text>'


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _brief(value: object) -> str:
    """A value in a table: text as it is, long ones cut."""
    words = f"{value:.6g}" if isinstance(value, float) else "-" if value is None else value if isinstance(value, str) else repr(value)
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def _plain(cell: object) -> str:
    return str(getattr(cell, "plain", cell))
