"""Dotted fields of a Design in plain data: what is there, of which type, and what a value means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel

from aimco.design import Design
from aimco.errors import did_you_mean
from aimco.record import InputError, Kinded, Listed


def annotation(data: Mapping[str, Any], path: str) -> Any:
    """Type of a dotted field of the design that `data` describes. Raises InputError where there is no such field."""
    owner: Any = Design
    node: Any = data
    *parents, last = path.split(".")
    for k, name in enumerate(parents):
        found = _type(owner, node, name, ".".join(parents[: k + 1]))
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
        owner = _record(found) or found
        if isinstance(owner, type) and issubclass(owner, Kinded) and isinstance(node, Mapping) and "kind" in node:
            owner = owner.of_kind(node["kind"])
    return _type(owner, node, last, path)


def _type(owner: Any, node: Any, name: str, path: str) -> Any:
    """Type of one field of a record, or of one entry of a table of numbers."""
    if isinstance(owner, type) and issubclass(owner, BaseModel):
        if name == "kind" and issubclass(owner, Kinded):
            return str
        if name in owner.model_fields:
            return owner.model_fields[name].annotation
        fields = sorted(owner.model_fields)
        where = f" of {node['kind']}" if isinstance(node, Mapping) and "kind" in node else ""
        raise InputError(f"{path} is not a field{where}{did_you_mean(name, fields)}; the fields there are {', '.join(fields)}")
    if getattr(owner, "__origin__", None) is dict:
        return get_args(owner)[1]
    raise InputError(f"{path} is not a field; {path.rpartition('.')[0]} holds no fields")


def _record(found: Any) -> type[BaseModel] | None:
    options = [found, *get_args(found)]
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def is_whole(found: Any) -> bool:
    """Whether a field of this type holds whole numbers only."""
    options = [found, *get_args(found)]
    return int in options and float not in options


def plain(found: Any, value: Any) -> Any:
    """A chosen value as the plain data of a design: names become tables, and tables get their defaults."""
    record = _record(found)
    if record is None:
        return value
    if isinstance(value, str) and issubclass(record, Listed):
        return record.named(value).as_dict()
    return record.of(value).as_dict() if isinstance(value, Mapping) and hasattr(record, "of") else value  # type: ignore[attr-defined]


def put(data: dict[str, Any], path: str, value: Any) -> None:
    """Set a dotted field of plain data in place."""
    node = data
    *parents, last = path.split(".")
    for name in parents:
        if not isinstance(node.get(name), dict):
            node[name] = {}
        node = node[name]
    node[last] = plain(annotation(data, path), value)


_MISSING = object()


def value_at(data: Mapping[str, Any], path: str) -> Any:
    """The value of a dotted field; that of its default, or None, where plain data leaves it out."""
    node: Any = data
    for name in path.split("."):
        node = node.get(name, _MISSING) if isinstance(node, Mapping) else _MISSING
        if node is _MISSING:
            annotation(data, path)
            return None
    return node
