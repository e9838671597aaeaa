"""A trial of a user's own response when its device is read: the scalar function is called over the range of states."""

from __future__ import annotations

import ast
import inspect
import math
import sys
import textwrap
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from aimco import user_code
from aimco.device.response import Parameters, Response
from aimco.device.sampled import draw_devices
from aimco.errors import InputError

if TYPE_CHECKING:
    from aimco.device.datasheet import Datasheet

_PULSE = ("g", "n", "up", "p", "noise")
_STATES = [k / 20 for k in range(-20, 21)]  # half ranges from mid-range
_DEVIATES = [NormalDist().inv_cdf((k + 0.5) / 16) for k in range(16)]  # of the noise that a `pulse` is given
_DEVICES = (8, 8)  # with the spread of the datasheet, each over its own range
_STATES_DRAWN = 11
_MOST_LINES = 1_000_000
_REFUSED = ("numpy", "scipy", "torch", "random")
_WORDS = {True: ("an up", "lower"), False: ("a down", "raise")}
_passed: dict[tuple[type[Response], str], list[str]] = {}  # notes of what was tried in this process, by family and numbers
_compiled: set[Callable[..., object]] = set()


@dataclass(frozen=True)
class _Scalar:
    """One scalar function of a response: its class, its name, and whether it gives the new state (`pulse`) or the change (`step`)."""

    family: type[Response]
    name: str
    whole: bool

    @property
    def function(self) -> Callable[..., object]:
        return getattr(self.family, self.name)

    def says(self, problem: str) -> InputError:
        """An error at its definition."""
        return InputError(f"{user_code.where_is(self.family, self.name)}: {self.family.__name__}.{self.name} {problem}")

    def change(self, g: float, up: bool, p: Parameters, noise: float = 0.0) -> float:
        """Change by one pulse; infinite where Python overflows, of which compiled code makes an infinity that may be cut later."""
        at = f"g = {g:.3g}, up = {up}"
        try:
            with user_code.located(self.family):
                given = self.function(g, 1.0, up, p, noise) if self.whole else self.function(g, up, p)
        except InputError as error:
            if isinstance(error.__cause__, OverflowError):
                return math.inf
            raise InputError(f"{error}, for {at}") from error.__cause__
        if isinstance(given, bool) or not isinstance(given, int | float | np.number):
            raise self.says(f"must return one number, got {type(given).__name__}: it is compiled for one number at a time, with math")
        change = float(given) - (g if self.whole else 0.0)
        if not math.isfinite(change):
            raise self.says(f"gives {change} for {at}; it must be finite at every state")
        return change

    def mean(self, g: float, up: bool, p: Parameters) -> float:
        """Mean change by one pulse over the noise."""
        if not self.whole:
            return self.change(g, up, p)
        return sum(self.change(g, up, p, z) for z in _DEVIATES) / len(_DEVIATES)


def check_response(device: Datasheet) -> None:
    """Try the response of a device on the states of its range.

    Raises:
        InputError: a method that is missing, misspelt or of other arguments; an error, NaN or no number from the scalar function; steps
            that go the wrong way; two calls that differ; what cannot be compiled. One sentence, with file and line.
    """
    response_notes(device)


def response_notes(device: Datasheet) -> list[str]:
    """What is odd about a user's response and not refused: steps that go the wrong way at some states. Raises as `check_response`."""
    key = type(device.response), repr((device.g_min, device.g_max, device.spread, device.spread_law, dict(device.response)))
    if key not in _passed:
        _passed[key] = _tried(device)
    return _passed[key]


def _tried(device: Datasheet) -> list[str]:
    """Notes of a response that passes."""
    family = type(device.response)
    required = {"step": "step(g, up, p)", "pulse": "pulse(g, n, up, p, noise)"}
    user_code.check_methods(family, Response, required, {"pulse": _PULSE})
    whole = hasattr(family, "pulse")
    scalar = _Scalar(family, "pulse" if whole else "step", whole)
    with user_code.located(family):
        tables = {name: np.asarray(v, np.float32) for name, v in device.response.tables().items()}
        nominal = _parameters(device.model_copy(update={"spread": {}}), (1, 1), tables)[0]
        drawn = _parameters(device, _DEVICES, tables)
    _check_names(scalar, nominal)
    _check_returns(scalar, nominal)
    notes = _check_signs(scalar, nominal, device.response.one_sided)
    for p in drawn:
        for k in range(_STATES_DRAWN):
            g = p.g_min + (p.g_max - p.g_min) * k / (_STATES_DRAWN - 1)
            for up in (True, False):
                scalar.change(g, up, p)
    for name in [scalar.name] if family.slopes is Response.slopes else [scalar.name, "slopes"]:
        _check_modules(_Scalar(family, name, whole))
    if scalar.function not in _compiled:
        _compile(scalar, nominal, tables)
        _compiled.add(scalar.function)
    return notes


def _parameters(device: Datasheet, shape: tuple[int, int], tables: Mapping[str, np.ndarray]) -> list[Parameters]:
    """What the scalar function of each device reads as p.NAME."""
    sampled = draw_devices(device, shape, (0,), "trial")
    values = {n: sampled._shaped(t).reshape(-1).double().tolist() for n, t in sampled.values.items()}
    constants = {n: t if t.ndim else float(t) for n, t in tables.items()}
    record = namedtuple("Device", [*values, *constants])  # type: ignore[misc]
    return [record(*(v[k] for v in values.values()), *constants.values()) for k in range(shape[0] * shape[1])]


def _check_names(scalar: _Scalar, p: Parameters) -> None:
    """Refuse what the function reads as p.NAME and no field is, whether or not the trial comes by it."""
    for function, tree, first in _reached(scalar.function):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "p" and not hasattr(p, node.attr):
                place = f"{inspect.getsourcefile(function)}:{first + node.lineno - 1}"
                raise InputError(f"{place}: p.{node.attr} is not a field; the fields are {', '.join(sorted(p._fields))}")


def _check_returns(scalar: _Scalar, p: Parameters) -> None:
    """Refuse a function that runs on and on, as it would in compiled code, where nothing could stop it."""
    before, lines = sys.gettrace(), 0  # of all states together

    def count(frame: object, event: str, arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        if lines > _MOST_LINES:
            raise InputError(f"{scalar.family.__name__}.{scalar.name} has not returned after {_MOST_LINES} lines")
        return count

    sys.settrace(count)
    try:
        for g in _STATES:
            for up in (True, False):
                scalar.change(g, up, p)
    finally:
        sys.settrace(before)


def _check_signs(scalar: _Scalar, p: Parameters, one_sided: bool) -> list[str]:
    """Refuse steps that go the wrong way at mid-range, where step_up and step_down are defined, or on the mean; note them elsewhere."""
    notes = []
    for up in (True,) if one_sided else (True, False):
        steps = np.array([scalar.mean(g, up, p) for g in _STATES])
        if any(scalar.mean(g, up, p) != step for g, step in zip(_STATES, steps, strict=True)):
            raise scalar.says("gives two results for the same state: it must not draw random numbers, which cycle_noise adds")
        sign, (pulse, does), middle = 1 if up else -1, _WORDS[up], float(steps[len(steps) // 2])
        mean = float(np.mean(steps[np.isfinite(steps)])) if np.isfinite(steps).any() else 0.0
        for change, where in ((middle, "at mid-range"), (mean, "on the mean over the range")):
            if sign * change < 0:
                raise scalar.says(f"must not {does} the conductance by {pulse} pulse, got a change of {change:.3g} half ranges {where}")
        wrong = float((sign * steps < 0).mean())
        if wrong:
            notes.append(f"{pulse} pulse {does}s the conductance at {wrong:.0%} of the states, by the response {scalar.family.__name__}")
    return notes


def _check_modules(scalar: _Scalar) -> None:
    """Refuse modules other than math: kernels have its functions for single numbers, and nothing of arrays."""
    for function, tree, first in _reached(scalar.function):
        scope = inspect.getclosurevars(function)
        outer = {**scope.globals, **scope.nonlocals}
        for node in ast.walk(tree):
            value = outer.get(node.id) if isinstance(node, ast.Name) else None
            module = _module_of(value)
            if module.partition(".")[0] in _REFUSED:
                place = f"{inspect.getsourcefile(function)}:{first + node.lineno - 1}"  # type: ignore[union-attr]
                name = f"{scalar.family.__name__}.{scalar.name} reads {node.id}"  # type: ignore[union-attr]
                raise InputError(f"{place}: {name} of {module}; a scalar function takes one number at a time, with the functions of math")


def _module_of(value: object) -> str:
    """The module that a name stands for, or that what it stands for is of."""
    if isinstance(value, ModuleType):
        return value.__name__
    return (getattr(value, "__module__", None) or type(value).__module__) if callable(value) else ""


def _reached(function: Callable[..., object], seen: set[object] | None = None) -> Iterator[tuple[Callable[..., object], ast.AST, int]]:
    """A function and those that it calls, each with its syntax tree and its first line; those without source are left out."""
    seen = set() if seen is None else seen
    if function in seen:
        return
    seen.add(function)
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return
    yield function, tree, first
    scope = inspect.getclosurevars(function)
    for value in (*scope.globals.values(), *scope.nonlocals.values()):
        if inspect.isfunction(value):
            yield from _reached(value, seen)


def _compile(scalar: _Scalar, p: Parameters, tables: Mapping[str, np.ndarray]) -> None:
    """Compile the function in double precision, as arrays that use it will: what is compiled here is kept for them."""
    from numba.core.errors import NumbaError

    from aimco.kernels.build import mean_step

    try:
        module, names = mean_step(scalar.function, tuple((name, t.shape, t.tobytes()) for name, t in tables.items()))
    except InputError as error:
        raise InputError(f"{user_code.where_is(scalar.family, scalar.name)}: {error}") from None
    try:
        with warnings.catch_warnings(action="ignore"):
            given = np.array([[getattr(p, name) for name in names]])
            module.steps(np.zeros(1), np.broadcast_to(True, (1,)), given, np.empty(1))
    except NumbaError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Failed in")]
        raise scalar.says(f"cannot be compiled: {(lines or ['no message'])[0]}") from None
