"""The datasheet of a device: its nominal numbers, how far they may go, and what follows from them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from math import inf, sqrt
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator, model_validator

from aimco.device.noises import NoiseSource
from aimco.device.programming import Programming
from aimco.device.response import Response
from aimco.device.retention import Drift
from aimco.errors import did_you_mean, field_error
from aimco.record import Listed, quantity
from aimco.units import S, s

_NOISIEST = 1000.0  # ranges, that noise of a device may have: reads then tell nothing, and beyond it 32 bits overflow


class Datasheet(Listed):
    """The fields of `Device`, and what follows from them without a device being drawn."""

    moved: ClassVar[dict[str, str]] = {"flicker": "noise.flicker", "telegraph": "noise.telegraph"}

    name: str = "device"
    description: str = ""
    g_min: float = quantity(S, ge=0, doc="smallest conductance")
    g_max: float = quantity(S, gt=0, doc="largest conductance")
    response: Response
    spread: dict[str, float] = Field(default={}, description="device-to-device spread by parameter")
    spread_law: Literal["normal", "lognormal"] = "normal"
    cycle_noise: float = Field(default=0.0, ge=0, le=100, description="cycle-to-cycle noise relative to the step")
    cycle_noise_additive: float = Field(default=0.0, ge=0, le=100, description="cycle-to-cycle noise relative to the mid-range step")
    cycle_noise_range: float = Field(default=0.0, ge=0, le=1, description="cycle-to-cycle noise relative to the range")
    read_noise: float = quantity(S, 0.0, ge=0, doc="standard deviation of one read")
    noise: tuple[NoiseSource, ...] = Field(default=(), strict=False, description="what fluctuates between reads")
    programming_noise: tuple[float, float, float] | None = Field(
        default=None, strict=False, description="standard deviation of a write with verify, S: polynomial in g/g_max"
    )
    programming: Programming | None = None
    half_select: float | None = Field(default=None, ge=0, le=1, description="change by a pulse on its row or column alone, in steps")
    reset_noise: float = quantity(S, 0.0, ge=0, lt=inf, doc="standard deviation of the conductance after a reset")
    retention_s: float = quantity(s, inf, gt=0, doc="relaxation time to the resting point")
    resting_g: float | None = quantity(S, None, ge=0, doc="conductance at rest; mid-range when absent")
    reset_g: float | None = quantity(S, None, ge=0, doc="conductance after a reset; g_min when absent")
    drift: Drift | None = None
    endurance: float | None = Field(default=None, gt=0, description="pulses that a device survives; not known when absent")
    sources: dict[str, str] = Field(default={}, description="where each number comes from")

    @model_validator(mode="before")
    @classmethod
    def _moved_noise(cls, data: object) -> object:
        """Tables of noise as they were called before: each becomes a source of the kind that it was named by."""
        if not isinstance(data, Mapping) or not cls.moved.keys() & data.keys():
            return data
        data = dict(data)
        tables = {kind: data.pop(kind) for kind in cls.moved if kind in data}
        warnings.warn(f"{' and '.join(tables)} of a device: write noise = [{{ kind = ... }}]", DeprecationWarning, stacklevel=2)
        tables = {kind: table for kind, table in tables.items() if table not in (None, "none")}
        for kind, table in tables.items():
            if not isinstance(table, Mapping | NoiseSource):
                raise field_error(kind, f"must be a table, got {table!r}")
        sources = [{"kind": kind} | dict(table) if isinstance(table, Mapping) else table for kind, table in tables.items()]
        return data | {"noise": [*data.get("noise", ()), *sources]}

    @field_validator("spread")
    @classmethod
    def _spread_in_range(cls, spread: dict[str, float]) -> dict[str, float]:
        for name, value in spread.items():
            if not 0 <= value <= 10:
                raise field_error(name, f"must be in 0..10, got {value:g}")
        return spread

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.g_max > self.g_min:
            raise field_error("g_max", f"must be greater than g_min = {self.g_min:g} S, got {self.g_max:g}")
        if not math.isfinite(self.g_max):
            raise field_error("g_max", f"must be finite, got {self.g_max}")
        if not all(math.isfinite(c) for c in self.programming_noise or ()):
            raise field_error("programming_noise", f"must hold three finite numbers, got {list(self.programming_noise or ())}")
        if self.programming is not None and self.programming.method == "as-cited" and self.programming_noise is None:
            raise field_error("programming_noise", "must be given for programming.method = 'as-cited': it is the law that is cited")
        for name in ("resting_g", "reset_g"):
            value = getattr(self, name)
            if value is not None and not self.g_min <= value <= self.g_max:
                raise field_error(name, f"must be in g_min..g_max = {self.g_min:g}..{self.g_max:g} S, got {value:g}")
        span = self.g_max - self.g_min
        for name in ("step_up", "step_down"):  # the largest steps of measured devices are a quarter of their range
            if getattr(self.response, name) > span * (1 + 1e-9):
                raise field_error(f"response.{name}", f"must be at most g_max - g_min = {span:g} S, got {getattr(self.response, name):g}")
        for name in ("read_noise", "reset_noise"):
            if getattr(self, name) > _NOISIEST * span:
                raise field_error(
                    name, f"must be at most {_NOISIEST:g} (g_max - g_min) = {_NOISIEST * span:g} S, got {getattr(self, name):g}"
                )
        known = ["step", "asymmetry", "g_min", "g_max", "resting_g", "retention_s", *self.response_numbers]
        for name in self.spread:
            if name not in known:
                raise field_error(
                    f"spread.{name}", f"is not a parameter of this device{did_you_mean(name, known)}; the parameters are {', '.join(known)}"
                )
        return self

    @property
    def response_numbers(self) -> list[str]:
        """Fields of the response that are one number."""
        return [n for n, f in type(self.response).model_fields.items() if f.annotation is float]

    @property
    def half_range(self) -> np.ndarray:
        """Half the nominal range, S: the unit of the state inside kernels; (E,) in an ensemble."""
        return (np.asarray(self.g_max) - np.asarray(self.g_min)) / 2

    @property
    def mid_range(self) -> np.ndarray:
        """Middle of the nominal range, S."""
        return (np.asarray(self.g_max) + np.asarray(self.g_min)) / 2

    @property
    def step(self) -> np.ndarray:
        """Mean of the up and down steps at mid-range, S; the up step of a one-sided device."""
        if self.response.one_sided:
            return np.asarray(self.response.step_up)
        return (np.asarray(self.response.step_up) + np.asarray(self.response.step_down)) / 2

    @property
    def states(self) -> float:
        """Number of states: range over mean step at mid-range."""
        return float(np.mean(2 * self.half_range / self.step))

    @property
    def asymmetry(self) -> float:
        """Difference of the mean up and down steps at mid-range over their mean, >= 0."""
        return float(np.mean(np.abs(np.asarray(self.response.step_up) - np.asarray(self.response.step_down)) / self.step))

    @property
    def writes(self) -> Programming:
        """How a write with verify is done."""
        if self.programming is not None:
            return self.programming
        return Programming(method="iterative" if self.programming_noise is None else "as-cited")

    @property
    def cut(self) -> np.ndarray:
        """Share of the devices whose lower bound would lie below 0 S by its spread, and is put at 0 S instead, (E,) or a number."""
        spread = np.asarray(self.spread.get("g_min", 0.0), np.float64)
        away = (np.asarray(self.mid_range) / np.asarray(self.half_range) - 1) / np.maximum(spread, 1e-300)
        return np.where(spread > 0, np.vectorize(math.erfc)(away / sqrt(2)) / 2, 0.0)

    @property
    def leaks(self) -> bool:
        """Whether what is read changes with time."""
        return bool(self.noise) or self.drift is not None or bool(np.any(np.isfinite(self.retention_s)))

    def normalised(self, g: npt.ArrayLike) -> np.ndarray:
        """State in units of half the range from a conductance in S."""
        return (np.asarray(g) - self.mid_range) / self.half_range

    def conductance(self, state: torch.Tensor, member: int = 0) -> torch.Tensor:
        """Conductance in S, float64, from the state of one member."""
        half, mid = (np.broadcast_to(v, (member + 1,))[member] for v in (self.half_range, self.mid_range))
        return state.double() * half + mid
