"""A trial of a user's own array when its design is read: a few conductances are programmed into it and read from both sides."""

from __future__ import annotations

from collections.abc import Callable

import torch

from aimco import user_code
from aimco.arrays.kinds import Array, ProgrammedArray
from aimco.errors import InputError

_ROWS, _COLUMNS, _VECTORS = 4, 3, 2
_LARGEST_S, _LARGEST_V = 1e-5, 0.1


def check_array(array: Array) -> None:
    """Refuse an array of a user's own kind whose reads are none.

    Args:
        array: Of that kind.

    Raises:
        InputError: methods are missing, misspelt or fail, change what they are given, or reads have another shape, are not finite or are
            not proportional to the voltages, with file and line.
    """
    kind = type(array)
    user_code.check_methods(kind, Array, {"program": "program(self, conductances)"}, {})
    place, draws = f"{user_code.where_is(kind, 'program')}: {kind.__name__}.program", torch.Generator().manual_seed(0)
    conductances = _LARGEST_S * torch.rand(_ROWS, _COLUMNS, generator=draws, dtype=torch.float64)
    with user_code.located(kind):
        programmed = array.program(conductances.clone())
        _check_unchanged(place, "conductances", conductances, array.program)
        if not isinstance(programmed, ProgrammedArray):
            raise InputError(f"{place} must return a ProgrammedArray, got {type(programmed).__name__}")
        for transposed, driven, read in ((False, _ROWS, _COLUMNS), (True, _COLUMNS, _ROWS)):
            voltages = _LARGEST_V * torch.randn(_VECTORS, driven, generator=draws, dtype=torch.float64)
            programmed.reads += _VECTORS
            currents = programmed.read(voltages.clone(), transposed)
            _check_currents(f"{place}(...).read", currents, (_VECTORS, read), transposed)
            _check_unchanged(f"{place}(...).read", "voltages", voltages, lambda v, t=transposed: programmed.read(v, t))
            if array.linear and not torch.allclose(programmed.read(2 * voltages, transposed), 2 * currents, rtol=1e-6, atol=0.0):
                rule = "must give currents in proportion to the voltages, which then come in parts of the read voltage"
                raise InputError(f"{place}(...).read {rule}; set {kind.__name__}.linear = False where it does not, and they come in V")


def _check_unchanged(place: str, name: str, given: torch.Tensor, call: Callable[[torch.Tensor], object]) -> None:
    """Refuse a method that changes what it is given, which others are given after it."""
    before = given.clone()
    call(before)
    if not torch.equal(before, given):
        raise InputError(f"{place} must not change the {name} that it is given; work on a copy, {name}.clone()")


def _check_currents(place: str, currents: object, shape: tuple[int, int], transposed: bool) -> None:
    way = "transposed" if transposed else "not transposed"
    if not isinstance(currents, torch.Tensor) or tuple(currents.shape) != shape:
        got = tuple(currents.shape) if isinstance(currents, torch.Tensor) else type(currents).__name__
        raise InputError(f"{place} must return a tensor of the shape (vectors, lines read) = {shape} where {way}, got {got}")
    if not bool(torch.isfinite(currents).all()):
        raise InputError(f"{place} must return finite currents, got {float(currents[~torch.isfinite(currents)][0]):g}")
