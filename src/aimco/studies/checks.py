"""Refusing a bad space before anything runs: what no design can have, and conditions that never hold."""

from __future__ import annotations

import graphlib
import itertools
from collections.abc import Callable, Iterator
from typing import Protocol

from aimco.design import Design
from aimco.plain_data import PlainData
from aimco.record import InputError, PathError, field_error
from aimco.studies import fields
from aimco.studies.axis import Axis, Choice, applies, label

_COMBINATIONS = 256  # of choices that are tried at most for one axis


class Searched(Protocol):
    """What is searched, as checks see it; see `aimco.studies.Study`."""

    @property
    def base(self) -> Design:
        """The design whose fields are searched."""
        ...

    @property
    def space(self) -> dict[str, Axis]:
        """Dotted field -> its axis."""
        ...

    @property
    def sampler(self) -> str:
        """How points are chosen."""
        ...

    @property
    def order(self) -> list[str]:
        """The axes, each after those that decide whether it applies."""
        ...

    def draw(self, choose: Callable[[str, Axis, bool], Choice]) -> PlainData:
        """A point."""
        ...

    def design(self, point: PlainData) -> Design:
        """The design at a point."""
        ...

    def grid(self) -> list[PlainData]:
        """Every point of the grid."""
        ...


def _governing(study: Searched, path: str) -> set[str]:
    """Axes that must be chosen before this one: those it lies in, and those that its conditions look at."""
    keys = [path, *study.space[path].when]
    return {a for a in study.space if a != path and any(k == a or k.startswith(f"{a}.") for k in keys)} | (
        {path} if path in study.space[path].when else set()
    )


def ordered(study: Searched) -> list[str]:
    """Axes in the order of the file, but each after those that govern it."""
    graph = {path: sorted(_governing(study, path), key=list(study.space).index) for path in study.space}
    try:
        return list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise field_error(
            f"space.{error.args[1][0]}.when", f"must not lead back to itself, got {cycle}; drop one of these conditions"
        ) from None


def check_space(study: Searched) -> None:
    """Refuse an axis that no design can have: every end and every choice is built as a design."""
    whole = {path: _check_axis(study, path) for path in study.order}
    for path in study.order:
        for value in study.space[path].ends(whole[path]):
            _check_value(study, path, value)
    if study.sampler == "grid":
        study.grid()


def _check_axis(study: Searched, path: str) -> bool:
    """Refuse an axis that never applies, or of a field that is not there where it does; says whether it holds whole numbers."""
    axis, axis_name = study.space[path], f"space.{path}"
    for key in axis.when:
        holder = study.space.get(key)
        if holder is not None and holder.choices is None:
            raise field_error(
                f"{axis_name}.when", f"must look at fields with choices, and {key} has a range; give it choices, or drop the condition"
            )
    applied, refused = [], None
    for data in _choices_above(study, path):
        try:
            held = applies(axis, data)
        except InputError as error:
            refused = refused or error
            continue
        if held:
            applied.append(data)
    if not applied and refused is not None:
        raise field_error(f"{axis_name}.when", f"looks at what is not there: {refused}")
    if not applied:
        raise field_error(f"{axis_name}.when", f"never holds: {_impossible(study, path)}; correct the condition or remove the axis")
    for data in applied:
        try:
            field_type = fields.annotation(data, path)
        except InputError as error:
            hint = "" if len(applied) == 1 else "; give it when = {...} if only some choices have it"
            raise field_error("", f"space.{error}{hint}") from None
    whole = fields.is_whole(field_type)
    fractions = [v for v in (axis.low, axis.high, axis.step) if whole and v is not None and v != int(v)]
    if fractions:
        raise field_error(axis_name, f"must have whole numbers for low, high and step, got {fractions[0]:g}")
    return whole


def _choices_above(study: Searched, path: str) -> Iterator[PlainData]:
    """Plain data of the base under every choice of the axes that govern this one (some, if there are very many)."""
    above: set[str] = set()
    waiting = [path]
    while waiting:
        new = _governing(study, waiting.pop()) - above
        above |= new
        waiting += new
    names = [p for p in study.order if p in above]
    ends = [study.space[p].ends(False) for p in names]
    for values in itertools.islice(itertools.product(*ends), _COMBINATIONS):
        data = study.base.as_dict()
        for name, value in zip(names, values, strict=True):
            try:
                if applies(study.space[name], data):
                    fields.put(data, name, value)
            except InputError:  # told where that axis itself is checked
                continue
        yield data


def _impossible(study: Searched, path: str) -> str:
    for key, values in study.space[path].when.items():
        seen = dict.fromkeys(label(fields.value_at(data, key)) for data in _choices_above(study, path))
        if not set(seen) & {label(v) for v in values}:
            return f"{key} is {' or '.join(list(seen)[:6])}, and never {' or '.join(label(v) for v in values)}"
    return "its conditions exclude each other"


def _check_value(study: Searched, path: str, value: Choice) -> None:
    """Build designs with this value until one stands; the first complaint about it is the reason when none does."""
    first: tuple[str, str] | None = None
    for fixed in _around(study, path, value):
        try:
            point = study.draw(lambda p, axis, w, fixed=fixed: fixed[p] if p in fixed else axis.ends(w)[0])
            if path not in point:
                continue
            study.design(point)
            return
        except PathError as error:
            first = first if first and (first[0] == path) >= (error.path == path) else (error.path, error.problem)
        except InputError as error:
            first = first or ("", str(error))
    if first is not None:
        problem = f"{first[0]} {first[1]}".strip() if first[0] != path else first[1]
        raise field_error(f"space.{path}", f"holds {label(value)}, of which no design can be made: {problem}")


def _around(study: Searched, path: str, value: Choice) -> Iterator[PlainData]:
    """Choices for the other axes: the combinations of those with choices (some, if there are very many)."""
    names = [p for p in study.order if p != path and study.space[p].choices is not None]
    base = {path: value}
    for name in names:  # each alone first, so that every choice is seen whatever their number
        for choice in study.space[name].choices or ():
            yield base | {name: choice}
    for values in itertools.islice(itertools.product(*(study.space[p].choices or () for p in names)), _COMBINATIONS):
        yield base | dict(zip(names, values, strict=True))
    if not names:
        yield base
