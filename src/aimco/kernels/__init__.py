"""Compiled inner loops, each beside a plain reference that defines it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba as nb

from aimco.record import write_atomic

Kernel = Callable[..., Any]  # a function that Numba compiles; it finds the types of its arguments at each call


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
