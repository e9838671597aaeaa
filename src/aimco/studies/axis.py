"""What one field of a design may be in a study, and when."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from aimco.files import anchored
from aimco.plain_data import PlainView
from aimco.record import Record, field_error
from aimco.studies import fields

Choice = object  # a value of a field: a number, a name, a whole table


class Axis(Record):
    """What one field of the design may be: a range or choices.

    Args:
        low, high: ends of a range, both taken. log: whether to search it by ratios. step: distance of its levels; any number when absent.
        choices: numbers, names, or whole tables.
        when: other field -> its values under which this axis is searched; the base keeps its value under all others.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Choice, ...] | None = Field(default=None, strict=False)
    when: dict[str, list[Choice]] = Field(default={}, description="other field -> its values under which this axis is searched")

    @field_validator("choices", "when", mode="before")
    @classmethod
    def _in_place(cls, values: object) -> object:
        return {field: anchored(choices) for field, choices in values.items()} if isinstance(values, Mapping) else anchored(values)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.choices is not None:
            self._check_choices()
            return self
        for name in ("low", "high"):
            value = getattr(self, name)
            if value is None:
                raise field_error(name, "is missing; an axis has low and high, or choices")
            if not math.isfinite(value):
                raise field_error(name, f"must be finite, got {value:g}")
        low, high = self.range
        if low >= high:
            raise field_error("high", f"must be greater than low = {low:g}, got {high:g}; for one value set it in the base")
        if self.log and low <= 0:
            raise field_error("low", f"must be greater than 0 where log = true, got {low:g}")
        self._check_step()
        return self

    def _check_choices(self) -> None:
        for name in ("low", "high", "step"):
            if getattr(self, name) is not None:
                raise field_error(name, "must be left out beside choices; an axis has low and high, or choices")
        if self.log:
            raise field_error("log", "must be left out beside choices")
        labels = [label(c) for c in self.choices or ()]
        if not labels:
            raise field_error("choices", "must hold at least one value, got none")
        twice = next((name for k, name in enumerate(labels) if name in labels[:k]), None)
        if twice is not None:
            raise field_error("choices", f"must differ from each other, got {twice} twice")

    def _check_step(self) -> None:
        if self.step is None:
            return
        low, high = self.range
        if self.log:
            raise field_error("step", "must be left out where log = true; give choices for levels that are apart by ratios")
        levels = (high - low) / self.step if self.step > 0 else 0
        if levels < 1 or abs(levels - round(levels)) > 1e-6:
            raise field_error("step", f"must divide high - low = {high - low:g}, got {self.step:g}")

    @property
    def range(self) -> tuple[float, float]:
        """Both ends of a range."""
        assert self.low is not None and self.high is not None
        return self.low, self.high

    def ends(self, whole: bool) -> list[Choice]:
        """The values that are built before anything runs: both ends of a range, or every choice."""
        if self.choices is not None:
            return list(self.choices)
        return [int(v) if whole else v for v in self.range]

    def levels(self, whole: bool) -> list[Choice] | None:
        """Every value of the axis in order; None where there are infinitely many."""
        if self.choices is not None:
            return list(self.choices)
        if self.step is None and not whole:
            return None
        low, high = self.range
        step = self.step or 1
        values = [low + k * step for k in range(math.floor((high - low) / step + 1.5e-6) + 1)]
        return [int(v) if whole else v for v in values]

    def at_unit(self, u: float, whole: bool) -> Choice:
        """The value at a place u in [0, 1) of the axis, levels having equal shares."""
        levels = None if self.log else self.levels(whole)
        if levels is not None:
            return levels[min(int(u * len(levels)), len(levels) - 1)]
        low, high = self.range
        if self.log and whole:  # each whole number has the share of the half unit around it
            return min(max(round(math.exp(math.log(low - 0.5) + u * (math.log(high + 0.5) - math.log(low - 0.5)))), int(low)), int(high))
        return min(max(low * (high / low) ** u if self.log else low + u * (high - low), low), high)

    def unit(self, value: Any) -> float:
        """The place of a value on the axis, in [0, 1]: the inverse of `at_unit` up to levels."""
        if self.choices is not None:
            labels = [label(c) for c in self.choices]
            return (labels.index(label(value)) + 0.5) / len(labels)
        low, high = self.range
        return math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)


def label(choice: object) -> str:
    """A choice as one text."""
    return choice if isinstance(choice, str) else json.dumps(choice, sort_keys=True)


def flattened(space: PlainView, above: str = "") -> Iterator[tuple[str, object]]:
    """Tables within tables as dotted fields: `[space.rule] lr = {...}` is `"rule.lr" = {...}`."""
    for name, value in space.items():
        path = f"{above}{name}"
        if isinstance(value, Axis):
            yield path, value
        elif not isinstance(value, Mapping):
            raise field_error(path, f"must be a table with low and high, or with choices, got {value!r}")
        elif not value or set(value) & set(Axis.model_fields):
            yield path, value
        else:
            yield from flattened(value, f"{path}.")


def applies(axis: Axis, data: PlainView) -> bool:
    """Whether the conditions of an axis hold in a design's plain data."""
    return all(_among(fields.value_at(data, key), values) for key, values in axis.when.items())


def _among(value: object, values: list[Choice]) -> bool:
    named = value.get("name") if isinstance(value, Mapping) else None  # devices are known by their names
    return value in values or (named is not None and named in values)
