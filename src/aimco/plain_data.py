"""Places in plain data that dotted paths name: fields of tables, and entries of lists by their number or their kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aimco.errors import InputError

PlainData = dict[str, Any]  # a table of TOML, or an object of JSON
PlainView = Mapping[str, Any]  # the same, to read only
Saved = dict[str, Any]  # what a checkpoint keeps of a part: tensors and numbers, and tables of them

NONE = "none"  # in plain data: absent, where the default is something


def entry(entries: Sequence[object], name: str, path: str) -> int | None:
    """Place in a list of tables that a path names by its number, or by its kind where one has it; None where no entry has that kind.

    Raises:
        InputError: there is no such number, or several entries of the kind.
    """
    if name.isdigit():
        if int(name) >= len(entries):
            raise InputError(f"{path} is not a field: there is no entry {name}, of {len(entries)} that count from 0")
        return int(name)
    places = [k for k, e in enumerate(entries) if isinstance(e, Mapping) and str(e.get("kind")).rpartition(":")[2] == name]
    if len(places) > 1:
        raise InputError(
            f"{path} is not one field: {len(places)} entries are of kind {name}; name one by its number, {places[0]} for the first"
        )
    return places[0] if places else None


def table(node: Any, name: str, path: str, empty: object) -> Any:
    """What is under a name in plain data, put there as `empty` where there is nothing; in a list, the entry, or a new one of that kind."""
    if not isinstance(node, list):
        return node.setdefault(name, empty)
    place = entry(node, name, path)
    if place is None:
        node.append({"kind": name})
    return node[-1 if place is None else place]


def put_value(node: Any, name: str, path: str, value: object) -> None:
    """Set what is under a name in plain data; of a list the entry, a new one of that kind, or none where the value is absent."""
    if not isinstance(node, list):
        node[name] = value
        return
    place = entry(node, name, path)
    new = [] if value == NONE else [{"kind": name, **value} if isinstance(value, Mapping) and not name.isdigit() else value]
    if place is None:
        node += new
    else:
        node[place : place + 1] = new


Nested = tuple["float | Nested", ...]


def floats(value: Nested | Mapping[str, float]) -> list[float]:
    """The numbers in nested tuples, or in a table."""
    parts = value.values() if isinstance(value, Mapping) else value
    return [number for part in parts for number in (floats(part) if isinstance(part, tuple) else (part,))]
