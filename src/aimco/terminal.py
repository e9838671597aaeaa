"""What commands share: progress on a terminal or in a log, and JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import sys
from collections.abc import Callable, Iterator

import numpy as np

from aimco.outputs import write_outputs

_TELL_SHARE = 0.05  # of something long, from one line of a log to the next


@contextlib.contextmanager
def steps(name: str, *, by_label: bool = True) -> Iterator[Callable[[str, float], None]]:
    """Progress of something long, told as (what is running, fraction done): a bar on a terminal, lines in a log.

    Args:
        by_label: whether a log gets a line for each new label, besides one every so often.
    """
    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
        bar, logged = progress.add_task(name, total=1.0), ("", 0)

        def on_step(label: str, done: float) -> None:
            nonlocal logged
            progress.update(bar, completed=done, description=f"{name}, {label}")
            now = label if by_label else "", int(done / _TELL_SHARE)
            if progress.disable and now != logged:
                logged = now
                print(f"{name}, {label}, {100 * done:.0f} % done", file=sys.stderr, flush=True)

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
