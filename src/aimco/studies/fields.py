"""Dotted fields of a Design in plain data: what is there, of which type, and what a value means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pydantic import BaseModel

from aimco.design import Design
from aimco.errors import did_you_mean
from aimco.plain_data import PlainData, PlainView, entry, put_value, table
from aimco.record import InputError, Kinded, Listed, current_path


def annotation(data: PlainView, path: str) -> object:
    """Type of a dotted field of the design that `data` describes. Raises InputError where there is no such field."""
    owner: object = Design
    node: object = data
    path = current_path(Design, path)
    *parents, last = path.split(".")
    for k, name in enumerate(parents):
        field_type = _type(owner, node, name, ".".join(parents[: k + 1]))
        node = _below(node, name, path)
        owner = field_type if _entries(field_type) else _record(field_type) or field_type
        if isinstance(owner, type) and issubclass(owner, Kinded) and isinstance(node, Mapping) and "kind" in node:
            owner = owner.of_kind(node["kind"])
    return _type(owner, node, last, path)


def _below(node: object, name: str, path: str) -> object:
    """What is under a name in plain data, an empty table where there is nothing; an entry of a list by its number or its kind."""
    if isinstance(node, list):
        place = entry(node, name, path)
        return {"kind": name} if place is None else node[place]
    return node.get(name, {}) if isinstance(node, Mapping) else {}


def _entries(field_type: object) -> bool:
    """Whether a field of this type holds several records, of any kinds."""
    record = _record(field_type)
    return getattr(field_type, "__origin__", None) is tuple and record is not None and issubclass(record, Kinded)


def _type(owner: object, node: object, name: str, path: str) -> object:
    """Type of one field of a record, of one entry of a table of numbers, or of one of several records."""
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
    if _entries(owner):
        kind = _record(owner)
        assert kind is not None and issubclass(kind, Kinded)
        kinds = kind.kinds()
        if isinstance(node, list) and entry(node, name, path) is None and name not in kinds:
            raise InputError(
                f"{path} is not a field: there is no entry of kind {name}{did_you_mean(name, kinds)}; kinds are {', '.join(kinds)}"
            )
        return kind
    raise InputError(f"{path} is not a field; {path.rpartition('.')[0]} holds no fields")


def _record(field_type: object) -> type[BaseModel] | None:
    options = [field_type, *get_args(field_type)]
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def is_whole(field_type: object) -> bool:
    """Whether a field of this type holds whole numbers only."""
    options = [field_type, *get_args(field_type)]
    return int in options and float not in options


def plain(field_type: object, value: object) -> object:
    """A chosen value as the plain data of a design: names become tables, and tables get their defaults."""
    record = _record(field_type)
    if record is None:
        return value
    if isinstance(value, str) and issubclass(record, Listed):
        return record.named(value).as_dict()
    return record.of(value).as_dict() if isinstance(value, Mapping) and hasattr(record, "of") else value  # type: ignore[attr-defined]


def put(data: PlainData, path: str, value: object) -> None:
    """Set a dotted field of plain data in place."""
    node: object = data
    path = current_path(Design, path)
    *parents, last = path.split(".")
    field_type = annotation(data, path)
    for name in parents:
        if isinstance(node, dict) and not isinstance(node.get(name), dict | list):
            node[name] = {}
        node = table(node, name, path, {})
    if isinstance(node, list) and isinstance(value, Mapping) and not last.isdigit():
        value = {"kind": last, **value}
    put_value(node, last, path, plain(field_type, value))


_MISSING = object()


def value_at(data: PlainView, path: str) -> object:
    """The value of a dotted field; that of its default, or None, where plain data leaves it out."""
    node: object = data
    path = current_path(Design, path)
    for name in path.split("."):
        if isinstance(node, list):
            place = entry(node, name, path)
            node = _MISSING if place is None else node[place]
        else:
            node = node.get(name, _MISSING) if isinstance(node, Mapping) else _MISSING
        if node is _MISSING:
            annotation(data, path)
            return None
    return node
