"""Study: the record of a search. A bad space is refused when it is read, before anything runs."""

from __future__ import annotations

import functools
import graphlib
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from aimco import tasks
from aimco.design import Design
from aimco.record import InputError, PathError, Record, _meant, at, read_toml
from aimco.study import fields
from aimco.study.metrics import METRICS

_COMBINATIONS = 256  # of choices that are tried at most for one axis
_GRID = 100_000
Point = dict[str, Any]
Choose = Callable[[str, "Axis", bool], Any]


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
    choices: tuple[Any, ...] | None = Field(default=None, strict=False)
    when: dict[str, list[Any]] = Field(default={}, description="other field -> its values under which this axis is searched")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.choices is not None:
            self._check_choices()
            return self
        for name in ("low", "high"):
            value = getattr(self, name)
            if value is None:
                raise at(name, "is missing; an axis has low and high, or choices")
            if not math.isfinite(value):
                raise at(name, f"must be finite, got {value:g}")
        low, high = self.range
        if low >= high:
            raise at("high", f"must be greater than low = {low:g}, got {high:g}; for one value set it in the base")
        if self.log and low <= 0:
            raise at("low", f"must be greater than 0 where log = true, got {low:g}")
        self._check_step()
        return self

    def _check_choices(self) -> None:
        for name in ("low", "high", "step"):
            if getattr(self, name) is not None:
                raise at(name, "must be left out beside choices; an axis has low and high, or choices")
        if self.log:
            raise at("log", "must be left out beside choices")
        labels = [label(c) for c in self.choices or ()]
        if not labels:
            raise at("choices", "must hold at least one value, got none")
        twice = next((name for k, name in enumerate(labels) if name in labels[:k]), None)
        if twice is not None:
            raise at("choices", f"must differ from each other, got {twice} twice")

    def _check_step(self) -> None:
        if self.step is None:
            return
        low, high = self.range
        if self.log:
            raise at("step", "must be left out where log = true; give choices for levels that are apart by ratios")
        levels = (high - low) / self.step if self.step > 0 else 0
        if levels < 1 or abs(levels - round(levels)) > 1e-6:
            raise at("step", f"must divide high - low = {high - low:g}, got {self.step:g}")

    @property
    def range(self) -> tuple[float, float]:
        """Both ends of a range."""
        assert self.low is not None and self.high is not None
        return self.low, self.high

    def ends(self, whole: bool) -> list[Any]:
        """The values that are built before anything runs: both ends of a range, or every choice."""
        if self.choices is not None:
            return list(self.choices)
        return [int(v) if whole else v for v in self.range]

    def levels(self, whole: bool) -> list[Any] | None:
        """Every value of the axis in order; None where there are infinitely many."""
        if self.choices is not None:
            return list(self.choices)
        if self.step is None and not whole:
            return None
        low, high = self.range
        step = self.step or 1
        values = [low + k * step for k in range(math.floor((high - low) / step + 1.5e-6) + 1)]
        return [int(v) for v in values] if whole else values

    def at_unit(self, u: float, whole: bool) -> Any:
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


class Objective(Record):
    """What to make large or small: the name of a metric and, where it is not the natural one, the direction."""

    name: str
    direction: Literal["max", "min"] | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in METRICS:
            raise ValueError(f"must be a metric{_meant(name, list(METRICS))}, got {name!r}; the metrics are {', '.join(METRICS)}")
        return name

    @property
    def best(self) -> Literal["max", "min"]:
        """The direction, natural when not said."""
        return self.direction or METRICS[self.name].direction


class Bound(Record):
    """Limits that a feasible design keeps."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise at("", "must have at_least or at_most, got neither")
        if low is not None and high is not None and low > high:
            raise at("at_least", f"must be at most at_most = {high:g}, got {low:g}")
        return self

    def excess(self, value: float) -> float:
        """How far a value is outside, relative to the limit; not above 0 when it is inside."""
        over = [(self.at_least, -1.0), (self.at_most, 1.0)]
        return max(sign * (value - limit) / (abs(limit) or 1.0) for limit, sign in over if limit is not None)


class Study(Record):
    """A search over designs.

    Args:
        name: of the study in its storage. base: the design whose fields are searched, a table or the path of a file.
        task, limit: as of `evaluate`. seeds: of the runs of each point; its objectives are their means.
        space: dotted field of the design -> its `Axis`. objectives, constraints: by the names of metrics.
        sampler: "grid", "random", "sobol" (scrambled Sobol points), "tpe" or "nsga2". trials: points in all; the whole grid when absent.
        seed: of the sampler. pack: most points that are trained together. generation: points that are asked before any of their results
            is used, whatever the number of workers.

    Example:
        >>> study = Study(name="rates", base={"device": "rpu"}, space={"rule.lr": {"low": 0.01, "high": 1.0, "log": True}}, trials=4)
        >>> study.order
        ['rule.lr']
    """

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    base: Design
    task: str = "digits"
    limit: int | None = Field(default=None, ge=1, le=tasks.LIMIT)
    seeds: tuple[int, ...] = Field(default=(0,), strict=False, min_length=1, max_length=1000)
    space: dict[str, Axis]
    objectives: tuple[Objective, ...] = Field(default=(Objective(name="accuracy"),), strict=False, min_length=1, max_length=8)
    constraints: dict[str, Bound] = Field(default={}, description="metric -> limits of what is feasible")
    sampler: Literal["grid", "random", "sobol", "tpe", "nsga2"] = "tpe"
    trials: int | None = Field(default=None, ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    pack: int = Field(default=8, ge=1, le=4096)
    generation: int = Field(default=16, ge=1, le=65536)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a study; the path of its base counts from the study's folder."""
        data = read_toml(path)
        base = data.get("base")
        if isinstance(base, str):
            data["base"] = str(Path(path).parent / base)
        try:
            return cls.of(data)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @field_validator("base", mode="before")
    @classmethod
    def _design(cls, base: Any) -> Any:
        try:
            return Design.load(base) if isinstance(base, str) else base
        except InputError as error:
            raise at("", str(error)) from None

    @field_validator("objectives", mode="before")
    @classmethod
    def _by_name(cls, objectives: Any) -> Any:
        return [{"name": o} if isinstance(o, str) else o for o in objectives] if isinstance(objectives, list | tuple) else objectives

    @field_validator("space", mode="before")
    @classmethod
    def _flat(cls, space: Any) -> Any:
        return dict(_flattened(space)) if isinstance(space, Mapping) else space

    @model_validator(mode="after")
    def _sound(self) -> Self:
        known = tasks.names()
        if self.task not in known:
            raise at("task", f"must be a task{_meant(self.task, known)}, got {self.task!r}; the tasks are {', '.join(known)}")
        for field, values in (("seeds", self.seeds), ("objectives", [o.name for o in self.objectives])):
            if len(set(values)) < len(values):
                raise at(field, f"must differ from each other, got {list(values)}")
        for name in self.constraints:
            if name not in METRICS:
                raise at(f"constraints.{name}", f"is not a metric{_meant(name, list(METRICS))}; the metrics are {', '.join(METRICS)}")
        if not self.space:
            raise at("space", "must hold at least one axis, got none")
        check_space(self)
        if self.trials is None and self.sampler != "grid":
            raise at("trials", f"is missing; say how many points the sampler {self.sampler} is to try")
        return self

    @functools.cached_property
    def order(self) -> list[str]:
        """The axes, each after those that decide whether and where it applies."""
        return ordered(self)

    def size(self) -> int:
        """Points in all."""
        grid = len(self.grid()) if self.sampler == "grid" else math.inf
        return int(min(grid, self.trials or math.inf))

    def identity(self) -> str:
        """Names what a storage may be gone on with: everything but the number of trials, which may grow."""
        data = {k: v for k, v in self.as_dict().items() if k != "trials"}
        text = json.dumps({"data": data, "base": self.base.hash()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def draw(self, choose: Choose) -> Point:
        """A point: `choose(path, axis, whole)` for each axis that applies, in order."""
        data, point = self.base.as_dict(), {}
        for path in self.order:
            axis = self.space[path]
            if applies(axis, data):
                point[path] = choose(path, axis, fields.is_whole(fields.annotation(data, path)))
                fields.put(data, path, point[path])
        return point

    def design(self, point: Point) -> Design:
        """The design at a point. Raises InputError for a combination that no design can be."""
        data = self.base.as_dict()
        for path in self.order:
            if path in point:
                fields.put(data, path, point[path])
        return Design.of(data)

    def grid(self) -> list[Point]:
        """Every point of the grid, the last axis fastest."""
        points: list[Point] = [{}]
        for path in self.order:
            points = [longer for point in points for longer in self._longer(point, path)]
            if len(points) > _GRID:
                raise at("space", f"must have at most {_GRID} points for the sampler grid; take fewer levels, or sobol")
        return points

    def _longer(self, point: Point, path: str) -> Iterator[Point]:
        data, axis = self.base.as_dict(), self.space[path]
        for name, value in point.items():
            fields.put(data, name, value)
        if not applies(axis, data):
            yield point
            return
        levels = axis.levels(fields.is_whole(fields.annotation(data, path)))
        if levels is None:
            raise at(f"space.{path}.step", "is missing; the sampler grid needs step or choices where the field is not a whole number")
        for value in levels:
            yield point | {path: value}


def label(choice: Any) -> str:
    """A choice as one text."""
    return choice if isinstance(choice, str) else json.dumps(choice, sort_keys=True)


def _flattened(space: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Tables within tables as dotted fields: `[space.rule] lr = {...}` is `"rule.lr" = {...}`."""
    for name, value in space.items():
        path = f"{above}{name}"
        if isinstance(value, Axis):
            yield path, value
        elif not isinstance(value, Mapping):
            raise at(path, f"must be a table with low and high, or with choices, got {value!r}")
        elif not value or set(value) & set(Axis.model_fields):
            yield path, value
        else:
            yield from _flattened(value, f"{path}.")


def applies(axis: Axis, data: Mapping[str, Any]) -> bool:
    """Whether the conditions of an axis hold in a design's plain data."""
    return all(_among(fields.value_at(data, key), values) for key, values in axis.when.items())


def _among(value: Any, values: list[Any]) -> bool:
    named = value.get("name") if isinstance(value, Mapping) else None  # devices are known by their names
    return value in values or (named is not None and named in values)


def _governing(study: Study, path: str) -> set[str]:
    """Axes that must be chosen before this one: those it lies in, and those that its conditions look at."""
    keys = [path, *study.space[path].when]
    return {a for a in study.space if a != path and any(k == a or k.startswith(f"{a}.") for k in keys)} | (
        {path} if path in study.space[path].when else set()
    )


def ordered(study: Study) -> list[str]:
    """Axes in the order of the file, but each after those that govern it."""
    graph = {path: sorted(_governing(study, path), key=list(study.space).index) for path in study.space}
    try:
        return list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        shown = " -> ".join(error.args[1])
        raise at(f"space.{error.args[1][0]}.when", f"must not lead back to itself, got {shown}; drop one of these conditions") from None


def check_space(study: Study) -> None:
    """Refuse an axis that no design can have: every end and every choice is built as a design."""
    whole = {path: _check_axis(study, path) for path in study.order}
    for path in study.order:
        for value in study.space[path].ends(whole[path]):
            _check_value(study, path, value)
    if study.sampler == "grid":
        study.grid()


def _check_axis(study: Study, path: str) -> bool:
    """Refuse an axis that never applies, or of a field that is not there where it does; says whether it holds whole numbers."""
    axis, shown = study.space[path], f"space.{path}"
    for key in axis.when:
        holder = study.space.get(key)
        if holder is not None and holder.choices is None:
            raise at(f"{shown}.when", f"must look at fields with choices, and {key} has a range; give it choices, or drop the condition")
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
        raise at(f"{shown}.when", f"looks at what is not there: {refused}")
    if not applied:
        raise at(f"{shown}.when", f"never holds: {_impossible(study, path)}; mend the condition or drop the axis")
    for data in applied:
        try:
            found = fields.annotation(data, path)
        except InputError as error:
            hint = "" if len(applied) == 1 else "; give it when = {...} if only some choices have it"
            raise at("", f"space.{error}{hint}") from None
    whole = fields.is_whole(found)
    fractions = [v for v in (axis.low, axis.high, axis.step) if whole and v is not None and v != int(v)]
    if fractions:
        raise at(shown, f"must have whole numbers for low, high and step, got {fractions[0]:g}")
    return whole


def _choices_above(study: Study, path: str) -> Iterator[dict[str, Any]]:
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


def _impossible(study: Study, path: str) -> str:
    for key, values in study.space[path].when.items():
        seen = dict.fromkeys(label(fields.value_at(data, key)) for data in _choices_above(study, path))
        if not set(seen) & {label(v) for v in values}:
            return f"{key} is {' or '.join(list(seen)[:6])}, and never {' or '.join(label(v) for v in values)}"
    return "its conditions exclude each other"


def _check_value(study: Study, path: str, value: Any) -> None:
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
        raise at(f"space.{path}", f"holds {label(value)}, of which no design can be made: {problem}")


def _around(study: Study, path: str, value: Any) -> Iterator[Point]:
    """Choices for the other axes: the combinations of those with choices (some, if there are very many)."""
    names = [p for p in study.order if p != path and study.space[p].choices is not None]
    kept = {path: value}
    for name in names:  # each alone first, so that every choice is seen whatever their number
        for choice in study.space[name].choices or ():
            yield kept | {name: choice}
    for values in itertools.islice(itertools.product(*(study.space[p].choices or () for p in names)), _COMBINATIONS):
        yield kept | dict(zip(names, values, strict=True))
    if not names:
        yield kept
