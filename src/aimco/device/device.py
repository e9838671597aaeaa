"""Device: one resistive element under pulses, reads and time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from math import inf, sqrt
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from aimco import rng, user_code
from aimco.device import display
from aimco.device.noises import NoiseSource
from aimco.device.programming import Programming
from aimco.device.response import Response
from aimco.device.retention import Drift
from aimco.device.sampled import CYCLE_NOISES, REST, Sampled
from aimco.ensemble import per_member
from aimco.errors import InputError, did_you_mean, field_error
from aimco.record import Listed, quantity
from aimco.units import S, s

_CUT = 0.01  # of the devices cut at 0 S is said in notes
_NOISIEST = 1000.0  # ranges, that noise of a device may have: reads then tell nothing, and beyond it 32 bits overflow
_FLOOR = 0.01  # no sampled step or half range falls below this part of its nominal value


class Device(Listed):
    """A programmable conductance with its imperfections.

    Args:
        name: what tables call it. description: one line. sources: field -> where the number comes from, or "assumed".
        g_min, g_max: nominal range, S.
        response: mean response to one pulse (`aimco.device.families`).
        spread: device-to-device standard deviation of any parameter, relative to its nominal value; bounds relative
            to half the range; "step" moves both directions together, "asymmetry" apart (a+- = step (1 + e +- r));
            "resting_g" relative to half the range; "retention_s" lognormal, tau exp(s z).
        spread_law: law of the step's spread, "normal" (1 + s z) or "lognormal" exp(s z).
        cycle_noise: cycle-to-cycle standard deviation of a step, relative to the step.
        cycle_noise_additive: the same, independent of state, relative to the step at mid-range in the direction of the pulse.
        cycle_noise_range: the same, relative to g_max - g_min, for up and down pulses alike.
        read_noise: standard deviation of one read, S. noise: sources of the noise that goes on between reads (`aimco.device.noises`).
        programming_noise: c0, c1, c2 in S: standard deviation max(c0 + c1 r + c2 r^2, 0) of a write with verify, r = g/g_max.
        programming: how a write with verify is done; when absent as cited where there is a programming_noise, else iterative.
        half_select: change by a pulse on the row or the column alone, at half the voltage, relative to the step in that direction.
        reset_noise: standard deviation of the conductance after a reset, S. retention_s: relaxation time to the resting point, s.
        resting_g: conductance that the device relaxes to, S; mid-range when absent. drift: of phase-change memory, if any.
        reset_g: conductance after a reset, S; g_min when absent.

    Example:
        >>> device = Device.named("soft-bounds")
        >>> round(device.states)
        1200
    """

    listed_in: ClassVar[Path] = Path(__file__).parent / "catalogue"
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
    sources: dict[str, str] = Field(default={}, description="where each number comes from")

    @model_validator(mode="before")
    @classmethod
    def _moved_noise(cls, data: Any) -> Any:
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
        known = ["step", "asymmetry", "g_min", "g_max", "resting_g", "retention_s", *self._response_numbers()]
        for name in self.spread:
            if name not in known:
                raise field_error(
                    f"spread.{name}", f"is not a parameter of this device{did_you_mean(name, known)}; the parameters are {', '.join(known)}"
                )
        return self

    @model_validator(mode="after")
    def _own_noise_works(self) -> Self:
        for k, source in enumerate(self.noise):
            if user_code.is_own(type(source)):
                from aimco.device.noise_trial import check_noise

                try:
                    check_noise(source)
                except InputError as error:
                    raise field_error(f"noise.{k}", str(error)) from None
        return self

    @model_validator(mode="after")
    def _own_response_works(self) -> Self:
        if user_code.is_own(type(self.response)):
            from aimco.device.response_trial import check_response

            try:
                check_response(self)
            except InputError as error:
                raise field_error("response", str(error)) from None
        return self

    def _response_numbers(self) -> list[str]:
        return [n for n, f in type(self.response).model_fields.items() if f.annotation is float]

    def __repr__(self) -> str:
        return f"Device({', '.join(display.words(self))})"

    def _repr_html_(self) -> str:
        return display.html(self)

    @property
    def half_range(self) -> Any:
        """Half the nominal range, S: the unit of the state inside kernels; (E,) in an ensemble."""
        return (np.asarray(self.g_max) - np.asarray(self.g_min)) / 2

    @property
    def mid_range(self) -> Any:
        """Middle of the nominal range, S."""
        return (np.asarray(self.g_max) + np.asarray(self.g_min)) / 2

    @property
    def step(self) -> Any:
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

    def notes(self) -> list[str]:
        """What of its datasheet does not hold in the devices that are drawn, and what is odd about a user's own response."""
        share, odd = float(np.max(self.cut)), []
        if user_code.is_own(type(self.response)):
            from aimco.device.response_trial import response_notes

            odd = response_notes(self)
        if share <= _CUT:
            return odd
        note = f"{share:.0%} of the devices have their lower bound at 0 S: spread.g_min would take it below"
        return [f"{note}, and its mean and spread are less", *odd]

    @property
    def leaks(self) -> bool:
        """Whether what is read changes with time."""
        return bool(self.noise) or self.drift is not None or bool(np.any(np.isfinite(self.retention_s)))

    def normalised(self, g: Any) -> Any:
        """State in units of half the range from a conductance in S."""
        return (np.asarray(g) - self.mid_range) / self.half_range

    def conductance(self, state: torch.Tensor, member: int = 0) -> torch.Tensor:
        """Conductance in S, float64, from the state of one member."""
        half, mid = (np.broadcast_to(v, (member + 1,))[member] for v in (self.half_range, self.mid_range))
        return state.double() * half + mid

    def sample(self, shape: tuple[int, int], seeds: Sequence[int], *names: str) -> Sampled:
        """Draw the parameters of an array of devices.

        Args:
            shape: rows and columns. seeds: one for each ensemble member. names: which array this is.

        Returns:
            The parameters, each (E, R, C) where it varies from device to device, else (E,).
        """
        members = len(seeds)

        def draw(name: str) -> Any:
            sigma = per_member(self.spread.get(name, 0.0), members)
            if not sigma.any():
                return None
            z = rng.normal(rng.stream_keys(tuple(seeds), *names, "device", name), 0, shape)
            return sigma[:, None, None] * z.numpy()

        nothing = -per_member(self.mid_range, members) / per_member(self.half_range, members)  # the state of 0 S
        low = -_spread(np.ones(members), draw("g_min"))
        values = {"g_max": _spread(np.ones(members), draw("g_max"))}
        values["g_min"] = np.maximum(low, nothing if low.ndim == 1 else nothing[:, None, None])
        common, apart = draw("step"), draw("asymmetry")
        lognormal = self.spread_law == "lognormal"
        for name in self._response_numbers():
            nominal = self._scaled(name, members)
            if name in ("step_up", "step_down"):
                factor = 1.0 if common is None else np.exp(common) if lognormal else 1 + common
                factor = factor if apart is None else factor + (apart if name == "step_up" else -apart)
                deviation = draw(name)
                factor = factor if deviation is None else factor * (1 + deviation)
                values[name] = _times(nominal, factor, floor=_FLOOR)
            else:
                deviation = draw(name)
                values[name] = nominal if deviation is None else _times(nominal, 1 + deviation, floor=-inf)
        scale = dict.fromkeys(CYCLE_NOISES, 1.0) | {"cycle_noise_range": 2.0}  # the unit of the state is half the range
        values |= {n: per_member(getattr(self, n), members) * factor for n, factor in scale.items()}
        values |= {n: sigma for n in REST if (sigma := draw(n)) is not None}
        tensors = {n: torch.as_tensor(np.asarray(v, np.float32)) for n, v in values.items()}
        shaped = {n: t[:, None, None] if t.ndim == 1 else t for n, t in tensors.items()}
        tensors |= {n: t.flatten() if t.numel() == members else t for n, t in self.response.derive(shaped).items()}
        return Sampled(self, tensors, (members, *shape))

    def _scaled(self, name: str, members: int) -> np.ndarray:
        """A parameter of the response in the units of the kernel."""
        value = per_member(getattr(self.response, name), members)
        extra = type(self.response).model_fields[name].json_schema_extra
        if not isinstance(extra, dict) or extra.get("unit") != "S":
            return value
        half, mid = per_member(self.half_range, members), per_member(self.mid_range, members)
        return (value - mid) / half if extra.get("absolute") else value / half


def catalogue() -> list[str]:
    """Names of the devices that come with aimco."""
    return Device.names()


def _spread(nominal: np.ndarray, relative: np.ndarray | None) -> np.ndarray:
    return nominal if relative is None else np.maximum(nominal[:, None, None] + relative, _FLOOR)


def _times(nominal: np.ndarray, factor: Any, floor: float) -> np.ndarray:
    return nominal * factor if np.ndim(factor) == 0 else nominal[:, None, None] * np.maximum(factor, floor)
