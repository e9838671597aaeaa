"""What the constructors of layers take, checked where it comes in."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch

from aimco.record import InputError

_MOST = 2**24
_LONGEST = 60  # characters of a value in a message


def quote(value: object) -> str:
    """A value as messages show it, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def index(value: Any) -> int | None:
    """A whole number as int; None of anything else, truth values among them."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError):
        return None


def whole(name: str, value: object, least: int = 1) -> int:
    """A whole number of at least `least`."""
    number = index(value)
    if number is None or not least <= number <= _MOST:
        raise InputError(f"{name} must be a whole number in {least}..{_MOST}, got {quote(value)}")
    return number


def flag(name: str, value: object) -> bool:
    """A truth value; 0 and 1 are such too."""
    if not isinstance(value, bool | np.bool_) and index(value) not in (0, 1):
        raise InputError(f"{name} must be True or False, got {quote(value)}")
    return bool(value)


def each(name: str, value: object, count: int, least: int = 1) -> tuple[int, ...]:
    """A whole number for each of `count` axes, of one for all or a tuple."""
    if isinstance(value, list | tuple):
        if len(value) != count:
            raise InputError(f"{name} must be one whole number, or {count}, got {quote(value)}")
        return tuple(whole(name, v, least) for v in value)
    return (whole(name, value, least),) * count


def one_of(name: str, value: object, known: tuple[str, ...]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{name} must be {' or '.join(repr(k) for k in known)}, got {quote(value)}")
    return value


def share(name: str, value: object) -> float:
    """A number in 0..1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a number in 0..1, got {quote(value)}")
    return float(value)


def on_cpu(device: object, dtype: object) -> None:
    """Refuse a place or a type of numbers that arrays are not simulated in."""
    if device is not None and str(device).split(":")[0] != "cpu":
        raise InputError(
            f"device must be the CPU, where arrays are simulated, got {quote(device)}; the device of the cells is design.device"
        )
    if dtype is not None and dtype is not torch.float32:
        raise InputError(
            f"dtype must be torch.float32, in which arrays hold their states, got {quote(dtype)}; outputs have the dtype of the input"
        )
