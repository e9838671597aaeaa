"""Progress of a call: a bar on a terminal or in a notebook, or a function of the caller's."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Iterator

from aimco import html_parts
from aimco.terminal import steps, telling

OnStep = Callable[[str, float], None]  # what is running, fraction done
Progress = bool | OnStep | None
SHORT_S = 2.0  # calls that are done before have no bar


@contextlib.contextmanager
def reported(progress: Progress, name: str) -> Iterator[OnStep]:
    """Where a call tells how far it is.

    Args:
        progress: True for a bar (lines where standard error is a file), False for none, a function that is called with what is running
            and the fraction done. When absent a bar appears after 2 s, and only on a terminal or in a notebook.
        name: Of the call, before the bar.
    """
    if callable(progress):
        yield progress
        return
    if progress is False or (progress is None and not (in_notebook() or on_terminal())):
        yield _ignore
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(telling())
        yield _Bar(name, stack, 0.0 if progress else SHORT_S)


def on_terminal() -> bool:
    """Whether somebody reads standard error as it comes."""
    return sys.stderr is not None and sys.stderr.isatty()


def in_notebook() -> bool:
    """Whether this runs in a kernel that shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def _ignore(label: str, done: float) -> None:
    pass


class _Bar:
    """A bar that appears when a call takes long.

    Args:
        name: Of the call.
        stack: Ends the bar with the call.
        after_s: How long nothing is shown.
    """

    def __init__(self, name: str, stack: contextlib.ExitStack, after_s: float) -> None:
        self.name, self.stack, self.after_s = name, stack, after_s
        self.started, self.on_step = time.monotonic(), None

    def __call__(self, label: str, done: float) -> None:
        if self.on_step is None:
            if time.monotonic() - self.started < self.after_s:
                return
            self.on_step = self.stack.enter_context(_cell(self.name) if in_notebook() else steps(self.name))
        self.on_step(label, done)


@contextlib.contextmanager
def _cell(name: str) -> Iterator[OnStep]:
    """A bar below the cell of a notebook. It is plain HTML: rich needs ipywidgets there, and shows nothing without them."""
    display = importlib.import_module("IPython.display").display
    handle = display(_html(name, "", 0.0), raw=True, display_id=True)

    def on_step(label: str, done: float) -> None:
        handle.update(_html(name, label, done), raw=True)

    yield on_step


def _html(name: str, label: str, done: float) -> dict[str, str]:
    words = ", ".join(filter(None, [name, label]))
    bar = f'<progress value="{done:.4f}" max="1"></progress> {100 * done:.0f} % {html_parts.escape(words)}'
    return {"text/html": bar, "text/plain": f"{words}: {100 * done:.0f} %"}
