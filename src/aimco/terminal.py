"""What commands share: progress on a terminal or in a log, and JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from aimco.record import write_atomic

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


def print_json(data: object) -> None:
    """One document on standard output."""
    print(as_json(data))


def keep(folder: str, name: str, data: object) -> None:
    """A document in a folder, whole or not at all; a list of numbers is a line."""
    text = re.sub(r"\[[^][{}\"]*\]", lambda numbers: " ".join(numbers[0].split()), as_json(data, indent=1))
    write_atomic(Path(folder) / f"{name}.json", text + "\n")


def as_json(data: object, indent: int | None = None) -> str:
    """A document as text."""
    return json.dumps(_without_infinities(data), default=float, indent=indent)


def _without_infinities(data: object) -> object:
    """JSON has no infinity: unlimited numbers become the text "inf"."""
    if isinstance(data, dict):
        return {k: _without_infinities(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_without_infinities(v) for v in data]
    return str(data) if isinstance(data, float) and data in (float("inf"), float("-inf")) else data
