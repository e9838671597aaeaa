"""Device: one resistive element under pulses, reads and time."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from aimco import rng, user_code
from aimco.device.noise import Flicker, Telegraph
from aimco.device.programming import Programming
from aimco.device.response import AFFINE_TRAIN, STIRRED, Kernels, Response, scalar_functions
from aimco.device.retention import Drift
from aimco.ensemble import per_member
from aimco.errors import InputError, at, did_you_mean
from aimco.record import Listed, quantity
from aimco.units import S, s

_REST = ("resting_g", "retention_s")  # what only time needs to know, kept as deviations: no parameters of pulses
_CYCLE_NOISES = ("cycle_noise", "cycle_noise_additive", "cycle_noise_range")
_SMALL = 1 / 3  # of a step: noise of a standard deviation below it practically never turns a step round
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
        read_noise: standard deviation of one read, S. flicker, telegraph: noise that goes on between reads, if any.
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
    flicker: Flicker | None = None
    telegraph: Telegraph | None = None
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

    @field_validator("spread")
    @classmethod
    def _spread_in_range(cls, spread: dict[str, float]) -> dict[str, float]:
        for name, value in spread.items():
            if not 0 <= value <= 10:
                raise at(name, f"must be in 0..10, got {value:g}")
        return spread

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.g_max > self.g_min:
            raise at("g_max", f"must be greater than g_min = {self.g_min:g} S, got {self.g_max:g}")
        if not math.isfinite(self.g_max):
            raise at("g_max", f"must be finite, got {self.g_max}")
        if not all(math.isfinite(c) for c in self.programming_noise or ()):
            raise at("programming_noise", f"must hold three finite numbers, got {list(self.programming_noise or ())}")
        if self.programming is not None and self.programming.method == "as-cited" and self.programming_noise is None:
            raise at("programming_noise", "must be given for programming.method = 'as-cited': it is the law that is cited")
        for name in ("resting_g", "reset_g"):
            value = getattr(self, name)
            if value is not None and not self.g_min <= value <= self.g_max:
                raise at(name, f"must be in g_min..g_max = {self.g_min:g}..{self.g_max:g} S, got {value:g}")
        span = self.g_max - self.g_min
        for name in ("step_up", "step_down"):  # the largest steps of measured devices are a quarter of their range
            if getattr(self.response, name) > span * (1 + 1e-9):
                raise at(f"response.{name}", f"must be at most g_max - g_min = {span:g} S, got {getattr(self.response, name):g}")
        for name in ("read_noise", "reset_noise"):
            if getattr(self, name) > _NOISIEST * span:
                raise at(name, f"must be at most {_NOISIEST:g} (g_max - g_min) = {_NOISIEST * span:g} S, got {getattr(self, name):g}")
        known = ["step", "asymmetry", "g_min", "g_max", "resting_g", "retention_s", *self._response_numbers()]
        for name in self.spread:
            if name not in known:
                raise at(
                    f"spread.{name}", f"is not a parameter of this device{did_you_mean(name, known)}; the parameters are {', '.join(known)}"
                )
        return self

    @model_validator(mode="after")
    def _own_response_works(self) -> Self:
        if user_code.is_own(type(self.response)):
            from aimco.device.response_trial import check_response

            try:
                check_response(self)
            except InputError as error:
                raise at("response", str(error)) from None
        return self

    def _response_numbers(self) -> list[str]:
        return [n for n, f in type(self.response).model_fields.items() if f.annotation is float]

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
        said = f"{share:.0%} of the devices have their lower bound at 0 S: spread.g_min would take it below"
        return [f"{said}, and its mean and spread are less", *odd]

    @property
    def leaks(self) -> bool:
        """Whether what is read changes with time."""
        fluctuates = self.flicker is not None or self.telegraph is not None
        return fluctuates or self.drift is not None or bool(np.any(np.isfinite(self.retention_s)))

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
                own = draw(name)
                factor = factor if own is None else factor * (1 + own)
                values[name] = _times(nominal, factor, floor=_FLOOR)
            else:
                own = draw(name)
                values[name] = nominal if own is None else _times(nominal, 1 + own, floor=-inf)
        scale = dict.fromkeys(_CYCLE_NOISES, 1.0) | {"cycle_noise_range": 2.0}  # the unit of the state is half the range
        values |= {n: per_member(getattr(self, n), members) * factor for n, factor in scale.items()}
        values |= {n: sigma for n in _REST if (sigma := draw(n)) is not None}
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
        return (value - mid) / half if extra.get("level") else value / half


@dataclass(frozen=True)
class Sampled:
    """Parameters of the devices of one array, in the units of the kernels: what fabrication fixed."""

    device: Device
    values: dict[str, torch.Tensor]
    shape: tuple[int, int, int]

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the parameters that differ from device to device."""
        return tuple(sorted(n for n, t in self.values.items() if t.ndim == 3 and n not in _REST))

    @property
    def shared(self) -> tuple[str, ...]:
        """Names of the parameters that are equal within a member."""
        return tuple(sorted(n for n, t in self.values.items() if t.ndim == 1))

    @property
    def noisy(self) -> bool:
        """Whether a pulse has cycle-to-cycle noise; a user's own `pulse` function is assumed to."""
        whole = hasattr(type(self.device.response), "pulse")
        return whole or any(bool(self.values[n].any()) for n in _CYCLE_NOISES)

    def packed(self, on_its_side: bool = False) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """(a, m) as the kernels take them: a row by row (E, R, K, C) and device by device (E, R, C, K), m (E, M).

        For an array that lies on its side rows and columns change places.
        """
        members, rows, columns = self.shape
        a = torch.stack([self.values[n] for n in self.own], 2) if self.own else torch.zeros(members, rows, 1, columns)
        a = a.transpose(1, 3) if on_its_side else a
        m = torch.stack([self.values[n] for n in self.shared], 1) if self.shared else torch.zeros(members, 1)
        return (a.contiguous().numpy(), a.transpose(2, 3).contiguous().numpy()), m.numpy()

    @property
    def _functions(self) -> Kernels:
        """The scalar functions of the response, with the noise that there is."""
        relative, fixed, even = (bool(self.values[n].any()) for n in _CYCLE_NOISES)
        return scalar_functions(self.device.response, relative=relative, fixed=fixed, even=even)

    @property
    def _tables(self) -> Any:
        """The tables of the response, as kernels take them."""
        tables = self.device.response.tables().items()
        return tuple((name, np.asarray(v).shape, np.asarray(v, np.float32).tobytes()) for name, v in tables)

    def kernel(self, referenced: bool = False) -> Any:
        """Compiled kernels of these devices."""
        from aimco.kernels.build import kernel

        functions, reverses = self._functions, bool(self.reverses.any())
        given = {"noisy": self.noisy, "affine": self.device.response.affine, "reverses": reverses, "referenced": referenced}
        given["tables"] = self._tables
        return kernel(functions.pulse, functions.train, self.own, self.shared, **given)

    @functools.cached_property
    def reverses(self) -> np.ndarray:
        """Whether noise may turn a step round, which matters where a device is at a bound: it is not small beside every step; (E,)."""
        relative, *free = (self._shaped(self.values[n]) for n in _CYCLE_NOISES)
        if not any(bool(t.any()) for t in free):
            return (relative > _SMALL).flatten(1).any(1).numpy()
        (low, high), known = self.bounds(), self.step_parameters()
        smallest = torch.stack([s.abs() for g in (low, (low + high) / 2, high) for s in self.steps(g, known)]).amin(0)
        up, down = (self._shaped(self.values[n]) for n in ("step_up", "step_down"))
        largest = torch.maximum(up, down) * free[0] + free[1] + smallest * relative
        return (largest > _SMALL * smallest).flatten(1).any(1).numpy()

    def trusted(self) -> torch.Tensor:
        """How many pulses at once are as good as one by one at any state, (E, R, C); infinite where kernels look at the state."""
        if not self.device.response.affine:
            return torch.full(self.shape, inf)
        at, next_to = (self.steps(torch.full(self.shape, g)) for g in (0.0, 1.0))
        slope = torch.maximum(*((b - a).abs() for a, b in zip(at, next_to, strict=True)))
        stirred = STIRRED / (slope * self._shaped(self.values["cycle_noise"])).square().clamp(min=1e-30)
        return 1 + torch.minimum(AFFINE_TRAIN / slope.clamp(min=1e-30), stirred)

    def _shaped(self, t: torch.Tensor) -> torch.Tensor:
        return (t[:, None, None] if t.ndim == 1 else t).expand(self.shape)

    def bounds(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(lowest, highest) state of each device, (E, R, C)."""
        low, high = (self.values[n] for n in ("g_min", "g_max"))
        return self._shaped(low), self._shaped(high)

    def restored(self) -> None:
        """The deviations are those of a checkpoint."""
        self.__dict__.pop("reverses", None)

    def _mean_step(self) -> tuple[Any, tuple[str, ...]]:
        """The compiled mean step of the response in double precision, and the names of the parameters that it reads."""
        from aimco.kernels.build import mean_step

        functions = self._functions
        return mean_step(functions.step or functions.pulse, self._tables)

    def step_parameters(self) -> np.ndarray:
        """The parameters that mean steps read, (devices, K) float64."""
        return torch.stack([self._shaped(self.values[n]).reshape(-1) for n in self._mean_step()[1]], 1).double().numpy()

    def steps(self, state: torch.Tensor, parameters: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean change by one up and one down pulse at a state (E, R, C); `parameters`: those of `step_parameters`, where at hand."""
        module, g = self._mean_step()[0], state.double().reshape(-1).numpy()
        a = self.step_parameters() if parameters is None else parameters
        found = []
        for up in (True, False):
            out = np.empty(g.size)
            module.steps(g, np.broadcast_to(up, g.shape), a, out)
            found.append(torch.from_numpy(out).float().reshape(self.shape))
        return found[0], found[1]

    def symmetry_point(self) -> torch.Tensor:
        """State at which an up and a down pulse cancel, (E, R, C), for any response.

        Where they cancel over a part of the range it is the state of that part nearest to mid-range: mid-range itself for a device
        whose steps are equal everywhere. A device whose steps never balance drifts to a bound, which is then returned.
        """
        a = self.step_parameters()
        out = np.empty(len(a))
        self._mean_step()[0].balance(a, out)
        return torch.from_numpy(out).float().reshape(self.shape)

    def resting_point(self) -> torch.Tensor:
        """State that the device relaxes to when left alone, (E, R, C)."""
        device = self.device
        rest = device.mid_range if device.resting_g is None else device.resting_g
        return self._level(rest, self.values.get("resting_g"))

    def reset_point(self) -> torch.Tensor:
        """State after a reset, (E, R, C)."""
        return self.bounds()[0] if self.device.reset_g is None else self._level(self.device.reset_g)

    def _level(self, g: Any, apart: torch.Tensor | None = None) -> torch.Tensor:
        level = torch.as_tensor(per_member(self.device.normalised(g), self.shape[0]).astype(np.float32))[:, None, None]
        low, high = self.bounds()
        return torch.minimum(torch.maximum((level if apart is None else level + apart).expand(self.shape), low), high)


def catalogue() -> list[str]:
    """Names of the devices that come with aimco."""
    return Device.names()


def _spread(nominal: np.ndarray, relative: np.ndarray | None) -> np.ndarray:
    return nominal if relative is None else np.maximum(nominal[:, None, None] + relative, _FLOOR)


def _times(nominal: np.ndarray, factor: Any, floor: float) -> np.ndarray:
    return nominal * factor if np.ndim(factor) == 0 else nominal[:, None, None] * np.maximum(factor, floor)
