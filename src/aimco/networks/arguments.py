"""What the constructors of layers take, checked where it comes in."""

from __future__ import annotations

from typing import Any

import torch

from aimco.record import InputError

_MOST = 2**24


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not least <= int(value) <= _MOST:
        raise InputError(f"{name} must be a whole number in {least}..{_MOST}, got {value!r}")
    return int(value)


def each(name: str, value: Any, count: int, least: int = 1) -> tuple[int, ...]:
    """A whole number for each of `count` axes, of one for all or a tuple."""
    if isinstance(value, list | tuple):
        if len(value) != count:
            raise InputError(f"{name} must be one whole number, or {count}, got {value!r}")
        return tuple(whole(name, v, least) for v in value)
    return (whole(name, value, least),) * count


def one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{name} must be {' or '.join(repr(k) for k in known)}, got {value!r}")
    return value


def share(name: str, value: Any) -> float:
    """A number in 0..1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a number in 0..1, got {value!r}")
    return float(value)


def on_cpu(device: Any, dtype: Any) -> None:
    """Refuse a place or a type of numbers that arrays are not simulated in."""
    if device is not None and str(device).split(":")[0] != "cpu":
        raise InputError(f"device must be the CPU, where arrays are simulated, got {device!r}; the device of the cells is design.device")
    if dtype not in (None, torch.float32):
        raise InputError(
            f"dtype must be torch.float32, in which arrays hold their states, got {dtype!r}; outputs have the dtype of the input"
        )
