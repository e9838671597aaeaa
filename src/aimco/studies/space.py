"""Study: the record of a search. A bad space is refused when it is read, before anything runs."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator, model_validator

from aimco.design import Design
from aimco.errors import did_you_mean
from aimco.files import contents, resolved
from aimco.plain_data import PlainData, PlainView
from aimco.record import InputError, Record, field_error
from aimco.studies import fields
from aimco.studies.axis import Axis, Choice, applies, flattened
from aimco.studies.checks import check_space, ordered
from aimco.studies.metrics import COSTS, METRICS, metric
from aimco.studies.pruning import Pruning
from aimco.tasks import Task, task_of
from aimco.tasks.digits import Digits
from aimco.user_code import is_own

_GRID = 100_000
Point = PlainData
Choose = Callable[[str, Axis, bool], Choice]


class Objective(Record):
    """What to make large or small: the name of a metric and, where it is not the natural one, the direction."""

    name: str
    direction: Literal["max", "min"] | None = None

    @property
    def best(self) -> Literal["max", "min"]:
        """The direction, natural when not said."""
        return self.direction or metric(self.name).direction


class Bound(Record):
    """Limits that a feasible design keeps."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise field_error("", "must have at_least or at_most, got neither")
        if low is not None and high is not None and low > high:
            raise field_error("at_least", f"must be at most at_most = {high:g}, got {low:g}")
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
        pruning: when points end early, where accuracy is the one objective. seed: of the sampler.
        pack: most points that are trained together. generation: points that are asked before any of their results is used, whatever
            the number of workers.

    Example:
        >>> study = Study(name="rates", base={"device": "rpu"}, space={"rule.lr": {"low": 0.01, "high": 1.0, "log": True}}, trials=4)
        >>> study.order
        ['rule.lr']
    """

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    base: Design
    task: Task = Digits()
    limit: int | None = Field(default=None, ge=1)
    seeds: tuple[int, ...] = Field(default=(0,), strict=False, min_length=1, max_length=1000)
    space: dict[str, Axis]
    objectives: tuple[Objective, ...] = Field(default=(Objective(name="accuracy"),), strict=False, min_length=1, max_length=8)
    constraints: dict[str, Bound] = Field(default={}, description="metric -> limits of what is feasible")
    sampler: Literal["grid", "random", "sobol", "tpe", "nsga2"] = "tpe"
    trials: int | None = Field(default=None, ge=1, le=1_000_000)
    pruning: Pruning | None = None
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    pack: int = Field(default=8, ge=1, le=4096)
    generation: int = Field(default=16, ge=1, le=65536)

    if TYPE_CHECKING:  # what the fields take, beside what they become

        def __init__(
            self,
            *,
            name: str,
            base: Design | str | PlainView,
            space: PlainView,
            task: object = ...,
            limit: int | None = ...,
            seeds: Sequence[int] = ...,
            objectives: Sequence[Objective | str | PlainView] = ...,
            constraints: Mapping[str, Bound | Mapping[str, float]] = ...,
            sampler: Literal["grid", "random", "sobol", "tpe", "nsga2"] = ...,
            trials: int | None = ...,
            pruning: Pruning | PlainView | None = ...,
            seed: int = ...,
            pack: int = ...,
            generation: int = ...,
        ) -> None: ...

    @field_validator("task", mode="before")
    @classmethod
    def _task(cls, task: object) -> object:
        try:
            return task_of(task)
        except InputError as error:
            raise field_error("", str(error).removeprefix("task ")) from None

    @field_validator("base", mode="before")
    @classmethod
    def _design(cls, base: object) -> object:
        try:
            return Design.load(resolved(base)) if isinstance(base, str) else base
        except InputError as error:
            raise field_error("", str(error)) from None

    @field_validator("objectives", mode="before")
    @classmethod
    def _by_name(cls, objectives: object) -> object:
        return [{"name": o} if isinstance(o, str) else o for o in objectives] if isinstance(objectives, list | tuple) else objectives

    @field_validator("space", mode="before")
    @classmethod
    def _flat(cls, space: object) -> object:
        return dict(flattened(space)) if isinstance(space, Mapping) else space

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for field, values in (("seeds", self.seeds), ("objectives", [o.name for o in self.objectives])):
            if len(set(values)) < len(values):
                raise field_error(field, f"must differ from each other, got {list(values)}")
        asked = {f"objectives.{k}.name": o.name for k, o in enumerate(self.objectives)} | {f"constraints.{n}": n for n in self.constraints}
        for field, name in asked.items():
            if name not in METRICS and not is_own(type(self.task)):
                close = did_you_mean(name, list(METRICS))
                raise field_error(field, f"must be a metric{close}, got {name!r}; the metrics are {', '.join(METRICS)}")
        for k, objective in enumerate(self.objectives):
            if objective.name not in METRICS and objective.direction is None:
                raise field_error(
                    f"objectives.{k}.direction", f"is missing; say 'max' or 'min' of {objective.name}, which is the task's own"
                )
        if self.pruning is not None:
            self._check_pruning()
        if not self.space:
            raise field_error("space", "must hold at least one axis, got none")
        check_space(self)
        if self.trials is None and self.sampler != "grid":
            raise field_error("trials", f"is missing; say how many points the sampler {self.sampler} is to try")
        return self

    def _check_pruning(self) -> None:
        asked = [f"{o.name} ({o.best})" for o in self.objectives]
        first = self.objectives[0]
        known = METRICS.get(first.name)
        if len(asked) > 1 or first.name in COSTS or (known is not None and first.best != known.direction):
            only = f"where a metric of the task is not the one objective, got {', '.join(asked)}"
            raise field_error("pruning", f"must be left out {only}; there is no order to prune by")
        if self.constraints:
            raise field_error(
                "pruning", f"must be left out beside constraints, got {', '.join(self.constraints)}; what is pruned has no costs to judge"
            )

    @property
    def order(self) -> list[str]:
        """The axes, each after those that decide whether and where it applies."""
        return self.ordered_axes

    @functools.cached_property
    def ordered_axes(self) -> list[str]:
        """`order`, found once."""
        return ordered(self)

    def size(self) -> int:
        """Points in all."""
        grid = len(self.grid()) if self.sampler == "grid" else math.inf
        return int(min(grid, self.trials or math.inf))

    def identity(self) -> str:
        """Names what a storage may be resumed by: everything but the number of trials, which may grow; users' files by content."""
        data = {k: v for k, v in self.as_dict().items() if k != "trials"}
        text = json.dumps({"data": data, "base": self.base.hash(), "task": self.task.hash()} | contents(data["space"]), sort_keys=True)
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
                raise field_error("space", f"must have at most {_GRID} points for the sampler grid; take fewer levels, or sobol")
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
            raise field_error(
                f"space.{path}.step", "is missing; the sampler grid needs step or choices where the field is not a whole number"
            )
        for value in levels:
            yield point | {path: value}
