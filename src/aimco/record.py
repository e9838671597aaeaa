"""Frozen records: plain data with units, ranges and one-sentence errors; TOML in, the same TOML out.

Every parameter of aimco lives in a `Record`. A record refuses unknown fields, wrong types, numbers
out of range, NaN, and infinity where that is not the default; it writes itself as TOML, names itself by a hash of its content and makes
neighbours by `replace("a.b", value)`. `stack` lays records that differ only in numbers along the
ensemble axis.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import math
import os
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aimco.errors import InputError, PathError, at, did_you_mean, first_problem
from aimco.units import Unit


def quantity(unit: Unit, default: Any = ..., *, doc: str = "", level: bool = False, **constraints: Any) -> Any:
    """A number with a unit and a range: `g_max: float = quantity(S, gt=0, doc="largest conductance")`.

    Args:
        unit: SI unit of the stored number (`aimco.units`).
        default: value when absent; without one the field is required.
        doc: one line for tables and help.
        level: the quantity is a position on the conductance axis, not a difference (matters to `Response` only).
        **constraints: gt, ge, lt, le as in pydantic.
    """
    extra = {"unit": unit.symbol, "level": level}
    return Field(default, description=doc or None, json_schema_extra=extra, **constraints)


_OF_FLOATS = (dict[str, float], tuple[float, ...], tuple[tuple[float, ...], ...])  # annotations of fields of several numbers
_NONE = "none"  # in plain data: absent, where the default is something


class Record(BaseModel):
    """A frozen set of named values.

    Example:
        >>> class Dac(Record):
        ...     bits: float = Field(7, ge=1, le=16)
        >>> Dac().replace("bits", 5).bits
        5.0
    """

    alike: ClassVar[tuple[str, ...]] = ()  # fields that the members of an ensemble must share, though they are numbers

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise PathError(*first_problem(error, type(self))) from None

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or _NONE not in [v for v in data.values() if isinstance(v, str)]:
            return data
        optional = {n for n, f in cls.model_fields.items() if type(None) in getattr(f.annotation, "__args__", ())}
        return {n: None if v == _NONE and n in optional else v for n, v in data.items()}

    @model_validator(mode="after")
    def _finite(self) -> Self:
        """Numbers are finite; inf is for fields whose default it is, where it means that there is no limit."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            for number in _floats(value) if field.annotation in _OF_FLOATS else (value,):
                if not isinstance(number, float) or math.isfinite(number):
                    continue
                if math.isnan(number):
                    raise at(name, "must be a number, got nan")
                if field.default != math.inf:
                    raise at(name, f"must be finite, got {number}")
        return self

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Build the record from plain data (nested dicts), with errors in one sentence."""
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise PathError(*first_problem(error, cls)) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read the record from a TOML file. Raises InputError for a missing, unreadable or wrong file."""
        data = read_toml(path)
        try:
            return cls.of(data)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def as_dict(self) -> dict[str, Any]:
        """Plain nested data; absent (None) fields are left out, or are the word "none" where leaving them out would mean something else."""
        fields = ((n, getattr(self, n), f.default) for n, f in type(self).model_fields.items())
        return {n: _NONE if value is None else _plain(value) for n, value, default in fields if value is not None or default is not None}

    def dumps(self) -> str:
        """The record as TOML text."""
        return tomli_w.dumps(self.as_dict())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record as TOML, whole or not at all."""
        write_atomic(path, self.dumps())

    def hash(self) -> str:
        """Sixteen hexadecimal digits that name this content; the source of a user's own response counts as content."""
        text = json.dumps({"data": _placeless(self.as_dict()), "code": self.code()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def code(self) -> str:
        """Source text that is part of the content: that of user-defined kinds, at any depth."""
        return "".join(v.code() for v in (getattr(self, n) for n in type(self).model_fields) if isinstance(v, Record))

    def replace(self, path: str, value: Any) -> Self:
        """A neighbour with one dotted field changed: `design.replace("device.g_max", 25 * uS)`."""
        data = self.as_dict()
        *parents, last = path.split(".")
        node, record = data, self
        for name in parents:
            if not isinstance(record, Record) or name not in type(record).model_fields:
                raise InputError(_unknown(path, name, record))
            record = getattr(record, name)
            node = node.setdefault(name, {})
        if isinstance(record, Record) and last not in type(record).model_fields and last != "kind":
            raise InputError(_unknown(path, last, record))
        node[last] = _NONE if value is None else _plain(value)
        return type(self).of(data)


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
            return cls.load(name)
        if name not in cls.names():
            known = f"{did_you_mean(name, cls.names())}; there are {', '.join(cls.names())}, or give a FILE.toml"
            raise InputError(f"{cls.__name__.lower()} {name!r} is unknown{known}")
        return cls.load(cls.listed_in / f"{name}.toml")


class Kinded(Record):
    """A record that comes in kinds, each a subclass named by `kind`: `{kind = "soft-bounds", ...}`.

    A kind is the kebab-case name of a module in the package `kinds_in` and of the class in it
    (`soft-bounds` -> `soft_bounds.py`, `SoftBounds`), so a new kind is one new file. A user's own kind
    is named by its file and class: `kind = "my_device.py:MyDevice"`.
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
    def kinds(cls) -> list[str]:
        """Names of the kinds that come with aimco."""
        folder = importlib.import_module(cls.kinds_in).__path__
        names = (p.stem for d in folder for p in Path(d).glob("*.py"))
        return sorted(n.replace("_", "-") for n in names if not n.startswith("_"))

    @classmethod
    def of_kind(cls, kind: str) -> type[Self]:
        """The class of this kind, from aimco or from a user's file."""
        if ".py:" in kind:
            path, _, name = kind.rpartition(":")
            return getattr(_module_at(path), name, None) or _refuse(f"kind {kind}: {path} has no class {name}")
        if kind not in cls.kinds():
            raise InputError(
                f"kind {kind!r} is unknown{did_you_mean(kind, cls.kinds())}; the kinds are {', '.join(cls.kinds())}, or FILE.py:CLASS"
            )
        module = importlib.import_module(f"{cls.kinds_in}.{kind.replace('-', '_')}")
        return getattr(module, "".join(part.capitalize() for part in kind.split("-")))

    @model_validator(mode="wrap")
    @classmethod
    def _resolve(cls, data: Any, handler: Any) -> Any:
        if isinstance(data, cls) or not isinstance(data, Mapping):
            return handler(data)
        rest = dict(data)
        kind = rest.pop("kind", None)
        if kind is None and "kinds_in" in cls.__dict__ and cls.kinds_in:  # the base of the kinds
            raise at("kind", f"is missing; the kinds are {', '.join(cls.kinds())}")
        if kind is None or kind == cls.kind_name():
            return handler(rest)
        if not isinstance(kind, str):
            raise at("kind", f"must be a text, got {kind!r}")
        try:
            return cls.of_kind(kind).of(rest)
        except PathError as error:
            raise at(error.path, error.problem) from None
        except InputError as error:
            raise at("", str(error)) from None

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind} | super().as_dict()

    def code(self) -> str:
        own = "" if type(self).__module__.startswith("aimco.") else inspect.getsource(type(self))
        return own + super().code()


def _floats(value: Any) -> list[float]:
    """The numbers in nested tuples, or in a table."""
    parts = value.values() if isinstance(value, Mapping) else value
    return [number for part in parts for number in (_floats(part) if isinstance(part, tuple) else (part,))]


def _unknown(path: str, name: str, record: Any) -> str:
    fields = sorted(type(record).model_fields) if isinstance(record, Record) else []
    return f"{path} is not a field{did_you_mean(name, fields)}; the fields there are {', '.join(fields) or 'none'}"


def _refuse(sentence: str) -> Any:
    raise InputError(sentence)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_dict()
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return float(value) if isinstance(value, Unit) else value


def _placeless(data: Any) -> Any:
    """The data with each user's file named without its folder, so that a hash does not depend on the machine."""
    if isinstance(data, dict):
        return {k: v.rpartition("/")[2] if k == "kind" else _placeless(v) for k, v in data.items()}
    return [_placeless(v) for v in data] if isinstance(data, list) else data


def _module_at(path: str) -> Any:
    file = Path(path).resolve()
    if not file.is_file():
        raise InputError(f"kind {path}: there is no such file; give the path from where you run")
    return _load_module(file, file.stat().st_mtime_ns)


@functools.cache
def _load_module(file: Path, changed_ns: int) -> Any:
    return load_module(file, f"_user_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}")


def load_module(file: Path, name: str) -> ModuleType:
    """Import a file under a name of its own; Numba and `inspect` find the module again by that name."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Plain data of a TOML file; InputError when it is missing, not text or not TOML."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name a TOML file in it") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not valid TOML: {error}; mend that line") from None


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file whole or not at all: into a temporary file beside it, then renamed over it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
