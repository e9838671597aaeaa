"""Ctrl-C: one line on standard error and exit status 130, whenever it comes. Without imports that take long."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType

STATUS = 130
SAID = "stopped; nothing was left half written"
_AGAIN_S, _SOON_S = 1.0, 0.05  # until an interruption that was not heard is repeated; until one that came amid an import is
_LONGEST_IMPORT_S = 3.0  # that is waited for: a user's own module may never end
_RESUMED_BY = {"run": "--checkpoint", "study": "", "advise": "--out", "requirements": "--out", "reference": "--checkpoints"}


def end_at_once(*_: object) -> None:
    """Handle Ctrl-C while nothing is written: before a command begins, amid imports that make other errors of it, and after its end."""
    os.write(2, f"{SAID}\n".encode())
    os._exit(STATUS)


def resumption(words: Sequence[str]) -> str:
    """What is said of going on with a command that was stopped, if it can be.

    Args:
        words: Of the command line.
    """
    option = _RESUMED_BY.get(words[0]) if words else None
    if option is None:
        return ""
    given = not option or any(word == option or word.startswith(f"{option}=") for word in words)
    return "; the same command resumes it" if given else f"; with {option}, the same command resumes it"


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Let Ctrl-C raise `KeyboardInterrupt`, after an import under way, and every second until it is heard.

    One that falls into a callback of compiled code is lost otherwise, and one amid the import of a compiled module becomes another error.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    asked: list[float] = []

    def insist(_: int, frame: FrameType | None) -> None:
        asked.append(time.monotonic())
        waits = _imports(frame) and asked[-1] - asked[0] < _LONGEST_IMPORT_S
        signal.setitimer(signal.ITIMER_REAL, _SOON_S if waits else _AGAIN_S)
        if not waits:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, insist) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        with _quiet():
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _imports(frame: FrameType | None) -> bool:
    """Whether an import is under way."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of an interruption that is lost where no error can be raised: it is repeated."""
    before = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs, /) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            before(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
