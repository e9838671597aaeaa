"""Compiled inner loops, each beside a plain reference that defines it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba as nb
from numba.core import event

from aimco.record import write_atomic

Kernel = Callable[..., Any]  # a function that Numba compiles; it finds the types of its arguments at each call


COMPILING = "compiling the device model, once"
_log = logging.getLogger(__name__)


class _FirstCompilation(event.Listener):
    """Logs that kernels are compiled, which takes seconds: once in a process, and not where Numba finds what it kept on disk."""

    logged = 0  # lines

    def on_start(self, event: event.Event) -> None:
        assert event.data is not None
        ours = event.data["dispatcher"].py_func.__module__.startswith((__name__, "aimco_made"))
        if ours and not self.logged and _log.isEnabledFor(logging.INFO):
            self.logged = 1
            _log.info(COMPILING)

    def on_end(self, event: event.Event) -> None:
        pass


event.register("numba:compile", _FirstCompilation())


def forget_stale(folder: Path, cache: Path) -> None:
    """Drop the compiled code that Numba keeps of a folder's functions when any of its files has changed.

    Numba looks only at the file of a function, but keeps what it calls in other files with it: an upgrade that changes one file of
    kernels would leave the old code in the others.

    Args:
        folder: of the source files. cache: where Numba keeps what it made of them.
    """
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py")))
    now, stamp = hashlib.sha256(text.encode()).hexdigest(), cache / "kernels.sha256"
    if stamp.exists() and stamp.read_text() == now:
        return
    for index in cache.glob("*.nbi"):
        index.unlink(missing_ok=True)
    write_atomic(stamp, now)


@nb.njit(cache=True)
def _cache_probe() -> None:
    """Its place on disk is that of all of this folder: beside it, or the user's own where that cannot be written."""


forget_stale(Path(__file__).parent, Path(_cache_probe.stats.cache_path))
