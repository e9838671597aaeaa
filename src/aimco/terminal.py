"""What commands share: progress on a terminal or in a log, and JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from aimco.outputs import write_outputs

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_BAR, _LEAST_BAR = 40, 10  # columns of a bar on a wide terminal, and on the narrowest
_TELL_SHARE = 0.05  # of something long, from one line of a log to the next


def bar(console: Console, *, disable: bool = False) -> Progress:
    """A bar with the share done, the time left and the time gone, all of which stay; the words before it are cut to what is left.

    Args:
        console: Where it is drawn.
        disable: Whether nothing is.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Column

    width = min(_BAR, max(_LEAST_BAR, console.width // 4))
    words = TextColumn("[progress.description]{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    numbers = (
        BarColumn(width, table_column=Column(min_width=width, no_wrap=True)),
        TaskProgressColumn(table_column=Column(min_width=len("100%"), no_wrap=True)),
        TimeRemainingColumn(table_column=Column(min_width=len("0:00:00"), no_wrap=True)),
        TimeElapsedColumn(table_column=Column(min_width=len("0:00:00"), no_wrap=True)),
    )
    return Progress(words, *numbers, console=console, disable=disable, expand=True)


@contextlib.contextmanager
def steps(name: str, *, by_label: bool = True, console: Console | None = None) -> Iterator[Callable[[str, float], None]]:
    """Progress of something long, told as (what is running, fraction done): a bar on a terminal, lines in a log.

    Args:
        name: Of what runs.
        by_label: Whether a log gets a line for each new label, besides one every so often.
        console: Where a bar is drawn; standard error when absent.
    """
    from rich.console import Console
    from rich.markup import escape

    console = console or Console(stderr=True)
    with bar(console, disable=not console.is_terminal) as progress:
        task, logged = progress.add_task(escape(name), total=1.0), ("", 0)

        def on_step(label: str, done: float) -> None:
            nonlocal logged
            words = ", ".join(filter(None, [name, label]))
            progress.update(task, completed=done, description=escape(words))
            now = label if by_label else "", int(done / _TELL_SHARE)
            if progress.disable and now != logged:
                logged = now
                print(f"{words}, {100 * done:.0f} % done", file=sys.stderr, flush=True)

        yield on_step


class _Line(logging.Handler):
    """A line on standard error as it is now: above a bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr, flush=True)


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """Say on standard error when kernels are compiled, at most once in a process."""
    log, line = logging.getLogger("aimco.kernels"), _Line()
    before = log.level
    log.addHandler(line)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(before)
        log.removeHandler(line)


def print_json(data: object) -> None:
    """One document on standard output."""
    print(as_json(data))


def keep(folder: str, name: str, data: object) -> None:
    """A document in a folder, whole or not at all; a list of numbers is a line."""
    text = re.sub(r"\[[^][{}\"]*\]", lambda numbers: " ".join(numbers[0].split()), as_json(data, indent=1))
    write_outputs(folder, {f"{name}.json": text + "\n"})


def as_json(data: object, indent: int | None = None) -> str:
    """A document as text that every JSON parser reads: what is not a number is null, what is unlimited is the text "inf"."""
    return json.dumps(_strict(data), default=float, indent=indent, allow_nan=False)


def _strict(data: object) -> object:
    if isinstance(data, dict):
        return {k: _strict(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [_strict(v) for v in data]
    if not isinstance(data, float | np.floating) or math.isfinite(data):
        return data
    return None if math.isnan(data) else str(float(data))
