"""The parameters of the devices of one array, and what follows from them: kernels, mean steps, bounds and points of balance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from aimco import rng
from aimco.device.response import AFFINE_TRAIN, STIRRED, Kernels, scalar_functions
from aimco.ensemble import PerMember, per_member

if TYPE_CHECKING:
    from aimco.device.datasheet import Datasheet

REST = ("resting_g", "retention_s")  # what only time needs to know, kept as deviations: no parameters of pulses
CYCLE_NOISES = ("cycle_noise", "cycle_noise_additive", "cycle_noise_range")
_FLOOR = 0.01  # no sampled step or half range falls below this part of its nominal value
_AT_ONCE = 2**16  # devices of an array that are worked on at once, in the cache of a core
_SMALL = 1 / 3  # of a step: noise of a standard deviation below it practically never turns a step round


def row_parts(members: int, rows: int, columns: int) -> list[slice]:
    """Rows of an array that are worked on together, so that what is worked out of them stays in the cache of a core."""
    at_once = max(1, _AT_ONCE // (members * columns))
    return [slice(first, min(first + at_once, rows)) for first in range(0, rows, at_once)]


def _on_all_threads(work: Callable[[slice], object], parts: Sequence[slice]) -> None:
    """Work on parts of an array that do not depend on each other; most of it is in compiled code, which lets other threads run."""
    threads = min(torch.get_num_threads(), len(parts))
    if threads < 2:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, parts):
            pass


@dataclass(frozen=True)
class Sampled:
    """Parameters of the devices of one array, in the units of the kernels: what fabrication fixed.

    Those that pulses need and that differ from device to device are views of one tensor, `together`, (E, R, K, C) as kernels of rows take
    it, or (E, C, K, R) for an array that lies on its side. Copies are without it until they are packed.
    """

    device: Datasheet
    values: dict[str, torch.Tensor]
    shape: tuple[int, int, int]
    together: torch.Tensor | None = None

    def of_rows(self, part: slice) -> Sampled:
        """Some rows of the array."""
        values = {n: t if t.ndim == 1 else t[:, part] for n, t in self.values.items()}
        return Sampled(self.device, values, (self.shape[0], part.stop - part.start, self.shape[2]))

    def _by_rows(self, work: Callable[[Sampled], torch.Tensor]) -> torch.Tensor:
        """What is worked out of each device, (E, R, C) float32."""
        whole = torch.empty(self.shape)

        def fill(part: slice) -> None:
            whole[:, part] = work(self.of_rows(part))

        _on_all_threads(fill, row_parts(*self.shape))
        return whole

    def __getstate__(self) -> dict[str, object]:
        """Each of the views would bring the whole tensor along."""
        return {**self.__dict__, "together": None, "values": {n: t.contiguous() for n, t in self.values.items()}}

    @property
    def per_device(self) -> tuple[str, ...]:
        """Names of the parameters that differ from device to device."""
        return tuple(sorted(n for n, t in self.values.items() if t.ndim == 3 and n not in REST))

    @property
    def shared(self) -> tuple[str, ...]:
        """Names of the parameters that are equal within a member."""
        return tuple(sorted(n for n, t in self.values.items() if t.ndim == 1))

    @property
    def noisy(self) -> bool:
        """Whether a pulse has cycle-to-cycle noise; a user's own `pulse` function is assumed to."""
        whole = hasattr(type(self.device.response), "pulse")
        return whole or any(bool(self.values[n].any()) for n in CYCLE_NOISES)

    def packed(self, on_its_side: bool = False) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """(a, m) as the kernels take them: a row by row (E, R, K, C) and device by device (E, R, C, K), m (E, M).

        For an array that lies on its side rows and columns change places.
        """
        members, rows, columns = self.shape
        a = self.together
        if a is None or on_its_side != lies_on_its_side(rows, columns):
            a = torch.stack([self.values[n] for n in self.per_device], 2) if self.per_device else torch.zeros(members, rows, 1, columns)
            a = (a.transpose(1, 3) if on_its_side else a).contiguous()
        m = torch.stack([self.values[n] for n in self.shared], 1) if self.shared else torch.zeros(members, 1)
        return (a.numpy(), a.transpose(2, 3).contiguous().numpy()), m.numpy()

    @property
    def _functions(self) -> Kernels:
        """The scalar functions of the response, with the noise that there is."""
        relative, fixed, even = (bool(self.values[n].any()) for n in CYCLE_NOISES)
        return scalar_functions(self.device.response, relative=relative, fixed=fixed, even=even)

    @property
    def _tables(self) -> tuple[tuple[str, tuple[int, ...], bytes], ...]:
        """The tables of the response, as kernels take them."""
        tables = self.device.response.tables().items()
        return tuple((name, np.asarray(v).shape, np.asarray(v, np.float32).tobytes()) for name, v in tables)

    def kernel(self, referenced: bool = False) -> ModuleType:
        """Compiled kernels of these devices."""
        from aimco.kernels.build import kernel

        functions, reverses = self._functions, bool(self.reverses.any())
        return kernel(
            functions.pulse,
            functions.train,
            self.per_device,
            self.shared,
            noisy=self.noisy,
            affine=self.device.response.affine,
            reverses=reverses,
            referenced=referenced,
            tables=self._tables,
        )

    @functools.cached_property
    def reverses(self) -> np.ndarray:
        """Whether noise may turn a step round, which matters where a device is at a bound: it is not small beside every step; (E,)."""
        reversing = np.zeros(self.shape[0], np.bool_)

        def look(part: slice) -> None:
            np.logical_or(reversing, self.of_rows(part)._reversing(), out=reversing)

        _on_all_threads(look, row_parts(*self.shape))
        return reversing

    def _reversing(self) -> np.ndarray:
        relative, *free = (self._shaped(self.values[n]) for n in CYCLE_NOISES)
        if not any(bool(t.any()) for t in free):
            return (relative > _SMALL).flatten(1).any(1).numpy()
        (low, high), known = self.bounds(), self.step_parameters()
        smallest = torch.stack([s.abs() for g in (low, (low + high) / 2, high) for s in self.steps(g, known)]).amin(0)
        up, down = (self._shaped(self.values[n]) for n in ("step_up", "step_down"))
        largest = torch.maximum(up, down) * free[0] + free[1] + smallest * relative
        return (largest > _SMALL * smallest).flatten(1).any(1).numpy()

    def trusted(self) -> torch.Tensor:
        """How many pulses at once are as good as one by one at any state, (E, R, C); infinite where kernels look at the state."""
        return self._by_rows(Sampled._trusted) if self.device.response.affine else torch.full(self.shape, inf)

    def _trusted(self) -> torch.Tensor:
        known = self.step_parameters()
        at, next_to = (self.steps(torch.full(self.shape, g), known) for g in (0.0, 1.0))
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

    def _mean_step(self) -> tuple[ModuleType, tuple[str, ...]]:
        """The compiled mean step of the response in double precision, and the names of the parameters that it reads."""
        from aimco.kernels.build import mean_step

        functions = self._functions
        return mean_step(functions.step or functions.pulse, self._tables)

    def step_parameters(self) -> np.ndarray:
        """The parameters that mean steps read, (devices, K) float64."""
        names = self._mean_step()[1]
        known = np.empty((*self.shape, len(names)))
        for k, name in enumerate(names):
            known[..., k] = self._shaped(self.values[name]).numpy()
        return known.reshape(-1, len(names))

    def steps(self, state: torch.Tensor, parameters: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean change by one up and one down pulse at a state (E, R, C); `parameters`: those of `step_parameters`, where at hand."""
        module, g = self._mean_step()[0], state.double().reshape(-1).numpy()
        a = self.step_parameters() if parameters is None else parameters
        changes = []
        for up in (True, False):
            out = np.empty(g.size)
            module.steps(g, np.broadcast_to(up, g.shape), a, out)
            changes.append(torch.from_numpy(out).float().reshape(self.shape))
        return changes[0], changes[1]

    def symmetry_point(self) -> torch.Tensor:
        """State at which an up and a down pulse cancel, (E, R, C), for any response.

        Where they cancel over a part of the range it is the state of that part nearest to mid-range: mid-range itself for a device
        whose steps are equal everywhere. A device whose steps never balance drifts to a bound, which is then returned.
        """
        return self._by_rows(Sampled._balance)

    def _balance(self) -> torch.Tensor:
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

    def _level(self, g: npt.ArrayLike, apart: torch.Tensor | None = None) -> torch.Tensor:
        level = torch.as_tensor(per_member(self.device.normalised(g), self.shape[0]).astype(np.float32))[:, None, None]
        low, high = self.bounds()
        return torch.minimum(torch.maximum((level if apart is None else level + apart).expand(self.shape), low), high)


def lies_on_its_side(rows: int, columns: int) -> bool:
    """Whether the columns of an array come first in memory, so that the inner loops of the kernels are the long ones."""
    return rows > columns


def draw_devices(device: Datasheet, shape: tuple[int, int], seeds: Sequence[int], *names: str) -> Sampled:
    """The parameters of an array of devices; see `Device.sample`."""
    members = len(seeds)
    first, *others = row_parts(members, *shape)
    drawn = _draw_rows(device, shape, first, seeds, names)
    values, together = _room(drawn, (members, *shape))

    def fill(part: slice) -> None:
        for name, t in (drawn if part is first else _draw_rows(device, shape, part, seeds, names)).items():
            if t.ndim == 3:
                values[name][:, part] = t

    _on_all_threads(fill, [first, *others])
    return Sampled(device, values, (members, *shape), together)


def _room(drawn: dict[str, torch.Tensor], shape: tuple[int, int, int]) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """Tensors for all devices, not yet filled, of names as some rows have them; and the one that those of pulses are views of."""
    members, rows, columns = shape
    side = lies_on_its_side(rows, columns)
    lines, width = (columns, rows) if side else (rows, columns)
    names = sorted(n for n, t in drawn.items() if t.ndim == 3 and n not in REST)
    together = torch.empty(members, lines, len(names), width) if names else None
    views = {} if together is None else {n: together[:, :, k].transpose(1, 2) if side else together[:, :, k] for k, n in enumerate(names)}
    return {n: t if t.ndim == 1 else views[n] if n in views else torch.empty(shape) for n, t in drawn.items()}, together


def _draw_rows(
    device: Datasheet, shape: tuple[int, int], part: slice, seeds: Sequence[int], names: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    """The parameters of some rows of devices, (E,) or (E, rows of the part, C)."""
    members = len(seeds)

    def draw(name: str) -> np.ndarray | None:
        sigma = per_member(device.spread.get(name, 0.0), members)
        if not sigma.any():
            return None
        z = rng.normal(rng.stream_keys(tuple(seeds), *names, "device", name), 0, shape, part)
        return sigma[:, None, None] * z.numpy()

    nothing = -per_member(device.mid_range, members) / per_member(device.half_range, members)  # the state of 0 S
    low = -_spread(np.ones(members), draw("g_min"))
    values = {"g_max": _spread(np.ones(members), draw("g_max"))}
    values["g_min"] = np.maximum(low, nothing if low.ndim == 1 else nothing[:, None, None])
    common, apart = draw("step"), draw("asymmetry")
    lognormal = device.spread_law == "lognormal"
    for name in device.response_numbers:
        nominal = _scaled(device, name, members)
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
    values |= {n: per_member(getattr(device, n), members) * factor for n, factor in scale.items()}
    values |= {n: sigma for n in REST if (sigma := draw(n)) is not None}
    tensors = {n: torch.as_tensor(np.asarray(v, np.float32)) for n, v in values.items()}
    shaped = {n: t[:, None, None] if t.ndim == 1 else t for n, t in tensors.items()}
    return tensors | {n: t.flatten() if t.numel() == members else t for n, t in device.response.derive(shaped).items()}


def _scaled(device: Datasheet, name: str, members: int) -> np.ndarray:
    """A parameter of the response in the units of the kernel."""
    value = per_member(getattr(device.response, name), members)
    extra = type(device.response).model_fields[name].json_schema_extra
    if not isinstance(extra, dict) or extra.get("unit") != "S":
        return value
    half, mid = per_member(device.half_range, members), per_member(device.mid_range, members)
    return (value - mid) / half if extra.get("absolute") else value / half


def _spread(nominal: np.ndarray, relative: np.ndarray | None) -> np.ndarray:
    return nominal if relative is None else np.maximum(nominal[:, None, None] + relative, _FLOOR)


def _times(nominal: np.ndarray, factor: PerMember, floor: float) -> np.ndarray:
    return nominal * factor if np.ndim(factor) == 0 else nominal[:, None, None] * np.maximum(factor, floor)
