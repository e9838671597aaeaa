"""The ensemble axis: records that differ only in numbers, laid side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from aimco.record import PathError, Record

if TYPE_CHECKING:
    import torch


PerMember = float | np.ndarray  # a number, or one for each ensemble member, (E,)

Rate: TypeAlias = "float | torch.Tensor"  # a learning rate: a number, or one for each ensemble member, (E, 1, 1)

Rates: TypeAlias = "Rate | np.ndarray"  # the same for arrays, which also take one for each member, (E,), or each sample, (E, B)


def per_member(value: npt.ArrayLike, members: int) -> np.ndarray:
    """A number, or the numbers that `stack` laid side by side, as one for each ensemble member, (E,) float64."""
    return np.array(np.broadcast_to(np.asarray(value, np.float64), (members,)))


R = TypeVar("R", bound=Record)
_NUMBER = (float, float | None)  # annotations of fields that members may have side by side


def stack(records: Sequence[R]) -> R:
    """Lay records that differ only in floats along the ensemble axis: such a field becomes a tuple of E floats.

    Raises InputError naming the first field that differs and is not a float.
    """
    first = records[0]
    if all(r is first or r == first for r in records):
        return first
    values: dict[str, Any] = {}
    for name in type(first).model_fields:
        column = [getattr(r, name, None) for r in records]
        values[name] = _stack_column(name, column)
        if name in first.shared_fields and values[name] is not column[0]:
            raise PathError(name, "differs within one ensemble, whose members must share it; run the others apart")
    return type(first).model_construct(**values)


def _stack_column(name: str, column: list[Any]) -> object:
    if all(type(v) is type(column[0]) and v == column[0] for v in column):
        return column[0]
    if all(isinstance(v, Record) and type(v) is type(column[0]) for v in column):
        try:
            return stack(column)
        except PathError as error:
            raise PathError(f"{name}.{error.path}", error.problem) from None
    if all(isinstance(v, tuple) and len(v) == len(column[0]) for v in column) and all(isinstance(r, Record) for v in column for r in v):
        return tuple(_stack_column(f"{name}.{k}", list(entries)) for k, entries in enumerate(zip(*column, strict=True)))
    if all(isinstance(v, float) for v in column):
        return tuple(column)
    if all(isinstance(v, dict) and v.keys() == column[0].keys() for v in column):
        return {k: _stack_column(f"{name}.{k}", [v[k] for v in column]) for k in column[0]}
    values = " and ".join(sorted({str(v) for v in column})[:2])
    raise PathError(name, f"differs within one ensemble ({values}): only numbers with a decimal point may; run the others apart")


def member(record: R, e: int) -> R:
    """The record of one ensemble member, where `stack` laid numbers side by side."""
    fields = type(record).model_fields
    values = {n: _of_member(getattr(record, n, None), e, f.annotation in _NUMBER) for n, f in fields.items()}
    return record if all(v is getattr(record, n, None) for n, v in values.items()) else type(record).model_construct(**values)


def members_of(record: R) -> list[R]:
    """The different members of a record in which `stack` laid numbers side by side; itself alone where it did not."""
    count = _width(record)
    return [record] if count is None else [member(record, e) for e in range(count)]


def _width(value: object) -> int | None:
    """Members that were laid side by side; None where none were."""
    if isinstance(value, Record):
        fields = type(value).model_fields
        widths = [_width(getattr(value, n, None)) for n, f in fields.items() if f.annotation not in _NUMBER]
        widths += [len(v) for n, f in fields.items() if f.annotation in _NUMBER and isinstance(v := getattr(value, n, None), tuple)]
    elif isinstance(value, dict):
        widths = [len(v) for v in value.values() if isinstance(v, tuple)]
    elif isinstance(value, tuple):
        widths = [_width(v) for v in value if isinstance(v, Record)]
    else:
        widths = []
    return next((count for count in widths if count is not None), None)


def _of_member(value: Any, e: int, number: bool) -> Any:
    if isinstance(value, Record):
        return member(value, e)
    if isinstance(value, dict):
        return {k: _of_member(v, e, True) for k, v in value.items()}
    return value[e] if number and isinstance(value, tuple) else value


def repeat(record: R, times: int) -> R:
    """The numbers that `stack` laid side by side, each so many times: for a member that is several arrays beside each other."""
    if times == 1:
        return record
    fields = type(record).model_fields
    return type(record).model_construct(
        **{n: _repeated(getattr(record, n, None), times, field.annotation in _NUMBER) for n, field in fields.items()}
    )


def _repeated(value: Any, times: int, number: bool) -> Any:
    if isinstance(value, Record):
        return repeat(value, times)
    if isinstance(value, dict):
        return {k: _repeated(v, times, True) for k, v in value.items()}
    if isinstance(value, tuple) and value and all(isinstance(v, Record) for v in value):
        return tuple(repeat(v, times) for v in value)
    if number and isinstance(value, tuple):
        return tuple(v for v in value for _ in range(times))
    return value
