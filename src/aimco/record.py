"""Frozen records: plain data with units, ranges and one-sentence errors; TOML in, the same TOML out.

Every parameter of aimco lives in a `Record`. A record refuses unknown fields, wrong types, numbers
out of range, NaN, and infinity where that is not the default; it writes itself as TOML, names itself by a hash of its content and makes
neighbours by `replace("a.b", value)`. `stack` lays records that differ only in numbers along the
ensemble axis.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict, TypeVar, Unpack, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from aimco import html_parts, user_code
from aimco.errors import InputError, PathError, did_you_mean, field_error, first_problem, unit_of
from aimco.files import OWN, SHA256, carried, paths_from, placeless, read_toml, resolved, signed, trusting, write_atomic
from aimco.plain_data import NONE, PlainData, PlainView, entry, floats, put_value, table
from aimco.units import Unit, size_fault


class Range(TypedDict, total=False):
    """Of what a number may be, as in pydantic."""

    gt: float
    ge: float
    lt: float
    le: float


def quantity(unit: Unit, default: object = ..., *, doc: str = "", absolute: bool = False, **constraints: Unpack[Range]) -> Any:
    """A number with a unit and a range: `g_max: float = quantity(S, gt=0, doc="largest conductance")`.

    Args:
        unit: SI unit of the stored number (`aimco.units`).
        default: value when absent; without one the field is required.
        doc: one line for tables and help.
        absolute: the quantity is a position on the conductance axis, not a difference (matters to `Response` only).
        **constraints: gt, ge, lt, le as in pydantic.
    """
    if "level" in constraints:
        warnings.warn("quantity(level=...) is now quantity(absolute=...)", DeprecationWarning, stacklevel=2)
        absolute = bool(constraints.pop("level"))
    extra = {"unit": unit.symbol, "absolute": absolute}
    return Field(default, description=doc or None, json_schema_extra=extra, **constraints)


_OF_FLOATS = (dict[str, float], tuple[float, ...], tuple[tuple[float, ...], ...])  # annotations of fields of several numbers


class Record(BaseModel):
    """A frozen set of named values.

    Example:
        >>> class Dac(Record):
        ...     bits: float = Field(7, ge=1, le=16)
        >>> Dac().replace("bits", 5).bits
        5.0
    """

    shared_fields: ClassVar[tuple[str, ...]] = ()  # fields that the members of an ensemble must share, though they are numbers

    moved: ClassVar[Mapping[str, str]] = {}  # fields of before -> the dotted paths that took their place

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    def __init__(self, **data: object) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise PathError(*first_problem(error, type(self))) from None

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, data: object) -> object:
        """Fields by the names that they had before, with a warning; those that went into another record are their record's own work."""
        if not isinstance(data, Mapping):
            return data
        old = [name for name in cls.moved if name in data and cls.moved[name] in cls.model_fields]
        if not old:
            return data
        for name in old:
            if _present_name(cls, name) in data:
                raise field_error(name, f"must be left out beside {cls.moved[name]}, which is its name now")
        return {cls.moved.get(name, name) if name in old else name: value for name, value in data.items()}

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, data: object) -> object:
        if not isinstance(data, Mapping) or NONE not in [v for v in data.values() if isinstance(v, str)]:
            return data
        optional = {n for n, f in cls.model_fields.items() if type(None) in getattr(f.annotation, "__args__", ())}
        return {n: None if v == NONE and n in optional else v for n, v in data.items()}

    @model_validator(mode="after")
    def _finite(self) -> Self:
        """Numbers are finite and of a size that exists; inf is for fields whose default it is, where it means that there is no limit."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            for number in floats(value) if field.annotation in _OF_FLOATS else (value,):
                if not isinstance(number, float):
                    continue
                if math.isfinite(number):
                    if fault := size_fault(number, unit_of(field)):
                        raise field_error(name, fault)
                    continue
                if math.isnan(number):
                    raise field_error(name, "must be a number, got nan")
                if field.default != math.inf:
                    raise field_error(name, f"must be finite, got {number}")
        return self

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """The fields that differ from their defaults."""
        fields = type(self).model_fields
        for name, value in self.__dict__.items():  # which is empty in a record that is being made
            if name in fields and not _same(value, fields[name].default):
                yield name, value

    def _repr_html_(self) -> str:
        """Every field with its value, unit and meaning, for notebooks; those that differ from their defaults in bold."""
        return html_parts.fields(self.__repr_name__(), self, {name for name, _ in self.__repr_args__()})

    @classmethod
    def of(cls, data: PlainView) -> Self:
        """Build the record from plain data (nested dicts), with errors in one sentence."""
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise PathError(*first_problem(error, cls)) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, trust: bool = True) -> Self:
        """Read the record from a TOML file, in which paths count from its own folder.

        Args:
            path: Of the file.
            trust: Whether Python files that it names, as kind = "mine.py:Mine", may run; False for a file that comes from elsewhere.

        Raises:
            InputError: A missing, unreadable or wrong file; one that names Python, where it is not trusted.
        """
        data = read_toml(path)
        try:
            with paths_from(Path(path).parent), trusting(trust):
                return cls.of(data)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def as_dict(self) -> PlainData:
        """Plain nested data; absent (None) fields are left out, or are the word "none" where leaving them out would mean something else."""
        fields = ((n, getattr(self, n), f.default) for n, f in type(self).model_fields.items())
        return {n: NONE if value is None else _plain(value) for n, value, default in fields if value is not None or default is not None}

    def dumps(self) -> str:
        """The record as TOML text; users' files stay where they are, and their sha256 is beside their names."""
        return tomli_w.dumps(signed(self.as_dict(), self.files()))

    def packed(self, path: str | os.PathLike[str]) -> tuple[str, dict[str, bytes]]:
        """The record as the text of a TOML file, and the users' files that must lie beside it there, by name."""
        data, copies = carried(self.as_dict(), self.files(), path)
        return tomli_w.dumps(data), copies

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record as TOML, whole or not at all, and a copy of each user's file that it names beside it."""
        text, copies = self.packed(path)
        for name, content in copies.items():
            write_atomic(Path(path).parent / name, content)
        write_atomic(path, text)

    def files(self) -> dict[str, bytes]:
        """Content of the users' files that the record names, at any depth, by their paths as they stand in its plain data."""
        return {path: content for part in _records_in(self) for path, content in part.files().items()}

    def hash(self) -> str:
        """Sixteen hexadecimal digits that name this content; the source of a user's own response counts as content."""
        text = json.dumps({"data": placeless(self.as_dict()), "code": self.code()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def code(self) -> str:
        """Source text that is part of the content: that of user-defined kinds, at any depth."""
        return "".join(part.code() for part in _records_in(self))

    def replace(self, path: str, value: object) -> Self:
        """A neighbour with one dotted field changed: `design.replace("device.g_max", 25 * uS)`."""
        data = self.as_dict()
        path = current_path(type(self), path)
        *parents, last = path.split(".")
        node: Any = data
        record: object = self
        for name in parents:
            if isinstance(record, tuple):
                place = entry(node, name, path)
                record = None if place is None else record[place]
            elif not isinstance(record, Record) or name not in type(record).model_fields:
                raise InputError(_unknown(path, name, record))
            else:
                record = getattr(record, name)
            node = table(node, name, path, [] if isinstance(record, tuple) else {})
        if isinstance(record, Record) and last in record.moved:
            path, last = f"{path.removesuffix(last)}{record.moved[last]}", _present_name(record, last)
        if isinstance(record, Record) and last not in type(record).model_fields and last != "kind":
            raise InputError(_unknown(path, last, record))
        put_value(node, last, path, NONE if value is None else _plain(value))
        return type(self).of(data)


def _present_name(owner: Record | type[Record], name: str) -> str:
    """The name that a field of before has now, with a DeprecationWarning."""
    warnings.warn(f"{name} is now {owner.moved[name]}", DeprecationWarning, stacklevel=3)
    return owner.moved[name]


def current_path(cls: type[BaseModel], path: str) -> str:
    """A dotted path by the present names of its fields, with a DeprecationWarning for one that moved (`Record.moved`)."""
    owner, rest, passed = cls, path.split("."), []
    while rest and issubclass(owner, Record):
        name = rest[0]
        if name in owner.moved:
            warnings.warn(f"{'.'.join([*passed, name])} is now {'.'.join([*passed, owner.moved[name]])}", DeprecationWarning, stacklevel=3)
            return ".".join([*passed, owner.moved[name], *rest[1:]])
        annotation = owner.model_fields[name].annotation if name in owner.model_fields else None
        passed.append(rest.pop(0))
        owner = next((o for o in (annotation, *get_args(annotation)) if isinstance(o, type) and issubclass(o, BaseModel)), BaseModel)
    return path


def _records_in(record: Record) -> list[Record]:
    """The records in its fields, alone or several."""
    values = (getattr(record, n) for n in type(record).model_fields)
    return [part for value in values for part in (value if isinstance(value, tuple) else (value,)) if isinstance(part, Record)]


class Listed(Record):
    """A record of which some come with aimco: one TOML file each, in the folder `listed_in`."""

    listed_in: ClassVar[Path]

    @classmethod
    def names(cls) -> list[str]:
        """Those that come with aimco."""
        return sorted(path.stem for path in cls.listed_in.glob("*.toml"))

    @classmethod
    def named(cls, name: str) -> Self:
        """One that comes with aimco, or of a TOML file when the name ends in .toml. Raises InputError for an unknown name."""
        if name.endswith(".toml"):
            return cls.load(resolved(name))
        if name not in cls.names():
            known = f"{did_you_mean(name, cls.names())}; there are {', '.join(cls.names())}, or give a FILE.toml"
            raise InputError(f"{cls.__name__.lower()} {name!r} is unknown{known}")
        return cls.load(cls.listed_in / f"{name}.toml")


K = TypeVar("K", bound="Kinded")


class Kinded(Record):
    """A record that comes in kinds, each a subclass named by `kind`: `{kind = "soft-bounds", ...}`.

    A kind is the kebab-case name of a module in the package `kinds_in` and of the class in it
    (`soft-bounds` -> `soft_bounds.py`, `SoftBounds`), so a new kind is one new file. A user's own kind
    is named by its file and class: `kind = "my_device.py:MyDevice"`. In saved TOML `kind_sha256` beside it is that of the file.
    """

    kinds_in: ClassVar[str] = ""

    @classmethod
    def kind_name(cls) -> str:
        """The name that `kind` takes for this class."""
        if cls.__module__.startswith("aimco."):
            return "".join("-" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("-")
        return f"{inspect.getsourcefile(cls)}:{cls.__name__}"

    @property
    def kind(self) -> str:
        return type(self).kind_name()

    @classmethod
    def adopted(cls, thing: object, name: str) -> object:
        """What of a user's file becomes a kind: a class as it is, or what a kind makes of other things."""
        return thing

    @classmethod
    def default_kind(cls, data: PlainView) -> str | None:
        """The kind that plain data are of where they do not say; None where they must."""
        return None

    @classmethod
    def kinds(cls) -> list[str]:
        """Names of the kinds that come with aimco."""
        folder = importlib.import_module(cls.kinds_in).__path__
        names = (p.stem for d in folder for p in Path(d).glob("*.py"))
        return sorted(n.replace("_", "-") for n in names if not n.startswith("_"))

    @classmethod
    def of_kind(cls, kind: str, saved: object = None) -> type[Self]:
        """The class of this kind, from aimco or from a user's file, which must have the sha256 that was saved, if any."""
        if OWN in kind:
            path, _, name = kind.rpartition(":")
            return _derived(cls, name, vars(user_code.load(path, saved)), path)
        if kind not in cls.kinds():
            raise InputError(
                f"kind {kind!r} is unknown{did_you_mean(kind, cls.kinds())}; the kinds are {', '.join(cls.kinds())}, or FILE.py:CLASS"
            )
        module = importlib.import_module(f"{cls.kinds_in}.{kind.replace('-', '_')}")
        return getattr(module, "".join(part.capitalize() for part in kind.split("-")))

    @model_validator(mode="wrap")
    @classmethod
    def _resolve(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, cls) or not isinstance(data, Mapping):
            return handler(data)
        rest = dict(data)
        kind, saved = rest.pop("kind", None), rest.pop(SHA256, None)
        if kind is None and "kinds_in" in cls.__dict__ and cls.kinds_in:  # the base of the kinds
            kind = cls.default_kind(rest)
            if kind is None:
                raise field_error("kind", f"is missing; the kinds are {', '.join(cls.kinds())}")
        if kind is None or kind == cls.kind_name():
            return handler(rest)
        if not isinstance(kind, str):
            raise field_error("kind", f"must be a text, got {kind!r}")
        try:
            return cls.of_kind(kind, saved).of(rest)
        except PathError as error:
            raise field_error(error.path, error.problem) from None
        except InputError as error:
            raise field_error("", str(error)) from None

    def as_dict(self) -> PlainData:
        return {"kind": self.kind} | super().as_dict()

    def code(self) -> str:
        return (user_code.code(type(self)) if user_code.is_own(type(self)) else "") + super().code()

    def files(self) -> dict[str, bytes]:
        source = user_code.source(type(self)) if user_code.is_own(type(self)) else None
        return super().files() | ({} if source is None else dict([source]))


def _derived(cls: type[K], name: str, names: Mapping[str, object], path: str) -> type[K]:
    """The class of this name in a user's module, which must be a kind."""
    kind_class = cls.adopted(names.get(name), name)
    if kind_class is None:
        kinds = [n for n, v in names.items() if isinstance(v, type) and issubclass(v, cls) and user_code.is_own(v)]
        hint = f"; its classes of this sort are {', '.join(kinds)}" if kinds else f"; it has no subclass of {cls.__name__}"
        raise InputError(f"kind {path}:{name}: there is no class {name} in the file{did_you_mean(name, kinds)}{hint}")
    if not isinstance(kind_class, type) or not issubclass(kind_class, cls) or kind_class is cls:
        derived = kind_class if isinstance(kind_class, type) and kind_class.__module__ == names["__name__"] else None
        got = f"one of {', '.join(c.__name__ for c in derived.__bases__)}" if derived is not None else repr(kind_class)[:60]
        raise InputError(
            f"{names['__file__'] if derived is None else user_code.where(derived)}: {name} must be a subclass of {cls.__name__}, got {got}"
        )
    return kind_class


def _same(value: object, default: object) -> bool:
    """Whether a field has its default; members of an ensemble that differ in it have none."""
    try:
        return bool(value == default)
    except ValueError:
        return False


def _unknown(path: str, name: str, record: object) -> str:
    fields = sorted(type(record).model_fields) if isinstance(record, Record) else []
    return f"{path} is not a field{did_you_mean(name, fields)}; the fields there are {', '.join(fields) or 'none'}"


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return value.as_dict()
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return float(value) if isinstance(value, Unit) else value
