"""A trial of a user's own cell when its design is read: its values, and which devices take the first updates."""

from __future__ import annotations

import math

import numpy as np

from aimco import user_code
from aimco.cell import Cell
from aimco.errors import InputError

_UPDATES = 5


def check_cell(cell: Cell) -> None:
    """Refuse a cell of a user's own kind that makes no weight or leaves updates without devices.

    Args:
        cell: Of that kind.

    Raises:
        InputError: Methods are missing, misspelt or fail, or values are not what a cell has, with file and line.
    """
    kind = type(cell)
    user_code.check_methods(kind, Cell, {}, {})
    with user_code.located(kind):
        signs = cell.signs
        if not _numbers(signs) or not all(math.isfinite(s) and s for s in signs):
            raise _refusal(kind, "signs", "must be a tuple of numbers other than 0, one for each device", signs)
        leads = cell.leads
        if not _numbers(leads) or not all(isinstance(k, int) and 0 <= k < len(signs) for k in leads):
            raise _refusal(kind, "leads", f"must be a tuple of places of devices, 0..{len(signs) - 1}", leads)
        weight = cell.weight
        if not isinstance(weight, float | int | np.ndarray | np.number) or not np.all(np.isfinite(weight) & (np.asarray(weight) > 0)):
            raise _refusal(kind, "weight", "must be a number above 0", weight)
        _check_route(cell, len(signs))


def _numbers(values: object) -> bool:
    return isinstance(values, tuple) and bool(values) and all(isinstance(v, float | int) and not isinstance(v, bool) for v in values)


def _check_route(cell: Cell, devices: int) -> None:
    """Each update is taken, in turn, by devices that are there."""
    kind, done = type(cell), 0
    for first, last, taking in cell.route(0, _UPDATES):
        if first != done or not first < last <= _UPDATES:
            raise _refusal(kind, "route", f"must yield (first, last, taking) from update to update, {done} next", (first, last))
        if not all(isinstance(k, int) and 0 <= k < devices and polarity in (-1, 0, 1) for k, polarity in taking):
            raise _refusal(kind, "route", f"must give each update to places 0..{devices - 1} with a polarity of -1, 0 or 1", taking)
        done = last
    if done < _UPDATES:
        raise _refusal(kind, "route", f"must give devices to all of {_UPDATES} updates", done)


def _refusal(kind: type[Cell], name: str, rule: str, got: object) -> InputError:
    return InputError(f"{user_code.where_is(kind, name)}: {kind.__name__}.{name} {rule}, got {got!r}")
