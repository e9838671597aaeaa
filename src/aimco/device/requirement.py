"""Requirements: a table of what a device must be, and the verdict on a device, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from aimco import html_parts
from aimco.device.device import Device
from aimco.plain_data import PlainData
from aimco.record import Listed, Record, field_error
from aimco.units import text


def _cycle_noise(device: Device) -> float:
    """Of a step at mid-range, relative to it."""
    even = device.cycle_noise_range * 2 * device.half_range / device.step
    return float(np.linalg.norm([device.cycle_noise, device.cycle_noise_additive, float(even), device.response.own_noise()]))


def _step_ratio(device: Device) -> float | None:
    if device.response.one_sided:
        return None
    steps = float(device.response.step_up), float(device.response.step_down)
    return max(steps) / min(steps)


def _sourced(device: Device, *fields: str) -> bool:
    """Whether the datasheet says where the number comes from, and does not assume it; without sources it is taken at its word."""
    if not device.sources:
        return True
    return any(field in device.sources and not device.sources[field].startswith("assumed") for field in fields)


def _spread_of(device: Device, *names: str) -> float | None:
    return max(device.spread.get(name, 0.0) for name in names) if _sourced(device, "spread") else None


_QUANTITIES: dict[str, Callable[[Device], float | None]] = {
    "resistance": lambda d: 1 / float(d.mid_range) if _sourced(d, "g_max") else None,
    "on_off_ratio": lambda d: (d.g_max / d.g_min if d.g_min > 0 else float("inf")) if _sourced(d, "g_min") else None,
    "states": lambda d: d.states,
    "step_ratio": _step_ratio,
    "asymmetry_spread": lambda d: None if d.response.one_sided else _spread_of(d, "asymmetry"),
    "step_spread": lambda d: _spread_of(d, "step"),
    "cycle_noise": lambda d: _cycle_noise(d) if _sourced(d, "cycle_noise", "cycle_noise_additive", "cycle_noise_range") else None,
    "range_spread": lambda d: _spread_of(d, "g_max", "g_min"),
    "retention": lambda d: d.retention_s,
    "half_select": lambda d: d.half_select,
}


def value_text(value: float | None, unit: str) -> str:
    """A value of a line for tables; prefixes where the unit takes them."""
    if value is None:
        return "not known"
    return text(value, unit) if unit in ("Ohm", "S", "s") else f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}".rstrip()


class Line(Record):
    """One line of a requirement.

    Args:
        name: what tables call it. quantity: of a device. at_least, at_most: the limit, one of the two. unit: of the limit.
    """

    name: str
    quantity: str
    at_least: float | None = Field(default=None, gt=0, description="smallest value that passes")
    at_most: float | None = Field(default=None, gt=0, description="largest value that passes")
    unit: str = ""

    @field_validator("quantity")
    @classmethod
    def _known(cls, quantity: str) -> str:
        if quantity not in _QUANTITIES:
            raise ValueError(f"must be one of {', '.join(_QUANTITIES)}, got {quantity!r}")
        return quantity

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise field_error("at_least", "or at_most must be given, and not both")
        return self

    @property
    def limit(self) -> str:
        """The limit in words: "at least 24 MOhm"."""
        word, value = ("at least", self.at_least) if self.at_least is not None else ("at most", self.at_most)
        return f"{word} {value_text(value or 0.0, self.unit)}"


@dataclass(frozen=True)
class Judged:
    """A device on one line.

    Args:
        line, limit: what is asked. value: what the device has, None when it is not known or has no meaning for it.
        margin: how many times better than the limit, 1 at the limit. passes: None when not known.
    """

    line: str
    limit: str
    value: float | None
    unit: str
    margin: float | None
    passes: bool | None

    def as_json(self) -> PlainData:
        """Plain data."""
        return {("pass" if n == "passes" else n): v for n, v in asdict(self).items()}


class Verdict(list[Judged]):
    """A device on every line of a requirement.

    Args:
        lines: In the order of the requirement.
        device: Name of the device.
        requirement: Name of the requirement.
    """

    def __init__(self, lines: Iterable[Judged], device: str = "", requirement: str = "") -> None:
        super().__init__(lines)
        self.device, self.requirement = device, requirement

    @property
    def passes(self) -> bool | None:
        """Whether all lines pass; None where none fails and some are not known."""
        outcomes = [line.passes for line in self]
        return False if False in outcomes else None if None in outcomes else True

    def __repr__(self) -> str:
        fails, unknown = ([line.line for line in self if line.passes is wanted] for wanted in (False, None))
        parts = [f"fails {', '.join(fails)}" if fails else "passes what is known" if unknown else "passes"]
        parts += [f"not known {', '.join(unknown)}"] if unknown else []
        return f"Verdict({self.device} against {self.requirement}: {'; '.join(parts)})"

    def _repr_html_(self) -> str:
        """The lines as a table, for notebooks; those that fail in bold."""
        title = f"{self.device} against {self.requirement}"
        fails = [k for k, line in enumerate(self) if line.passes is False]
        return html_parts.card(title, html_parts.table(COLUMNS, map(row, self), marked=fails))


COLUMNS = ("line", "asked", "has", "margin", "verdict")  # of a table of a verdict


def row(line: Judged) -> tuple[str, str, str, str, str]:
    """The cells of one line of a verdict."""
    margin = "-" if line.margin is None else "any" if line.margin == float("inf") else f"{line.margin:.2g} x"
    word = {True: "passes", False: "FAILS", None: "not known"}[line.passes]
    return line.line, line.limit, value_text(line.value, line.unit), margin, word


class Requirement(Listed):
    """What a device must be, line by line.

    Example:
        >>> verdict = Requirement.named("rpu").verdict(Device.named("rpu"))
        >>> [line.line for line in verdict if not line.passes]
        ['on/off ratio', 'change at half the voltage']
    """

    listed_in: ClassVar[Path] = Path(__file__).parent / "requirements"

    name: str
    description: str = ""
    source: str
    lines: tuple[Line, ...] = Field(strict=False)

    def verdict(self, device: Device) -> Verdict:
        """The device on every line; nothing is said of numbers that its datasheet assumes or does not have."""
        judged = (_judge(line, _QUANTITIES[line.quantity](device)) for line in self.lines)
        return Verdict(judged, device.name, self.name)


def _judge(line: Line, value: float | None) -> Judged:
    if value is None:
        return Judged(line.name, line.limit, None, line.unit, None, None)
    worse, better = (line.at_least, value) if line.at_least is not None else (value, line.at_most or 0.0)
    margin = better / worse if worse > 0 else float("inf")
    return Judged(line.name, line.limit, value, line.unit, margin, margin >= 1)
