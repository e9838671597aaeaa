"""Other programs that do the same work, for benchmarks and tests."""

import contextlib
import importlib.util


def installed(name: str) -> bool:
    """Whether a package can be imported."""
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(name) is not None
    return False
