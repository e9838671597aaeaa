"""Compiled inner loops, each beside a plain reference that defines it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aimco.record import write_atomic


def forget_stale(folder: Path) -> None:
    """Drop the compiled code that Numba keeps of a folder's functions when any of its files has changed.

    Numba looks only at the file of a function, but keeps what it calls in other files with it: an upgrade that changes one file of
    kernels would leave the old code in the others.
    """
    kept = folder / "__pycache__"
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py")))
    now, stamp = hashlib.sha256(text.encode()).hexdigest(), kept / "kernels.sha256"
    try:
        if stamp.exists() and stamp.read_text() == now:
            return
        for index in kept.glob("*.nbi"):
            index.unlink(missing_ok=True)
        write_atomic(stamp, now)
    except OSError:  # a folder that cannot be written keeps no compiled code
        return


forget_stale(Path(__file__).parent)
