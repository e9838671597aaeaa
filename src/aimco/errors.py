"""Errors of the user's input: one sentence that names the field, the rule, the value and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError


class InputError(ValueError):
    """The user's input is wrong: one sentence that names the field, the rule, the value and the fix."""


def field_error(path: str, problem: str) -> PydanticCustomError:
    """What a validator raises when a field below the validated one is wrong: `raise field_error("g_max", "must be ...")`."""
    return PydanticCustomError("nested", "{path}\x00{problem}", {"path": path, "problem": problem})


class PathError(InputError):
    """An InputError that still knows which field of the record it is about."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{self.path} {self.problem}".strip()


def first_problem(error: ValidationError, cls: type[BaseModel]) -> tuple[str, str]:
    """(dotted field, what is wrong with it) of the first error in a failed validation."""
    details = error.errors(include_url=False)[0]
    path = [str(part) for part in details["loc"] if not str(part).startswith(("function-", "is-instance"))]
    kind, got = details["type"], details["input"]
    if kind == "nested":
        inner, _, problem = details["msg"].partition("\x00")
        return ".".join(filter(None, [*path, inner])), problem
    dotted = ".".join(path)
    owner = _owner(cls, path[:-1])
    if kind == "extra_forbidden":
        fields = sorted(owner.model_fields) if owner else []
        return dotted, f"is not a field{did_you_mean(path[-1], fields)}; the fields are {', '.join(fields)}"
    if kind == "missing":
        return dotted, "is missing and has no default; give it a value"
    field = owner.model_fields.get(path[-1]) if owner and path else None
    if field is not None and kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return dotted, f"must be {_range(field)}, got {got!r}"
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, PathError):
        return ".".join(filter(None, [dotted, cause.path])), cause.problem
    if kind == "value_error":
        return dotted, str(cause)
    rule = {
        "float_type": "must be a number",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "bool_type": "must be true or false",
        "string_type": "must be a text",
        "finite_number": "must be finite",
    }.get(kind)
    rule = rule or details["msg"].replace("Input should be", "must be")
    return dotted, f"{rule}, got {got if isinstance(got, str | int | float | bool) else type(got).__name__!s}"


def unit_of(field: FieldInfo) -> str:
    """Symbol of the unit of a field; "" where it has none."""
    return str(field.json_schema_extra.get("unit", "")) if isinstance(field.json_schema_extra, dict) else ""


def limits(field: FieldInfo) -> dict[str, float]:
    """The limits of a field by their kind: gt, ge, lt, le."""
    return {k: getattr(m, k) for m in field.metadata for k in ("gt", "ge", "lt", "le") if getattr(m, k, None) is not None}


def _range(field: FieldInfo) -> str:
    limit = limits(field)
    unit = unit_of(field)
    low, high = limit.get("ge", limit.get("gt")), limit.get("le", limit.get("lt"))
    if low is not None and high is not None:
        if "ge" in limit and "le" in limit:
            return f"in {low:g}..{high:g} {unit}".rstrip()
        left, right = "[" if "ge" in limit else "(", "]" if "le" in limit else ")"
        return f"in {left}{low:g}, {high:g}{right} {unit}".rstrip()
    sign = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
    return " and ".join(f"{sign[k]} {v:g} {unit}".rstrip() for k, v in limit.items())


def _owner(cls: type[BaseModel] | None, path: Sequence[str]) -> type[BaseModel] | None:
    for name in path:
        field = cls.model_fields.get(name) if cls else None
        options = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        cls = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
    return cls


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The closest of the known names, as the end of a message about one that is unknown; nothing where none is close."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
