"""What a conductance does by itself while time passes: 1/f noise and random telegraph noise. And what writing it adds."""

from __future__ import annotations

from math import inf
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from aimco import rng
from aimco.ensemble import per_member
from aimco.record import Record, at, quantity
from aimco.units import Hz, one, s

_SPACING = 1.2  # of the logarithms of the rates: the spectrum then ripples by 4 exp(-pi^2/1.2) = 0.1 %


class Flicker(Record):
    """1/f noise of a conductance: relaxing charges and atoms whose rates are spread evenly over the decades.

    dg = g min(q (g/g_max)^-p, limit) sum_k x_k, each x_k an Ornstein-Uhlenbeck process of rate lambda_k = 2 pi f_k, the f_k evenly
    spaced in ln f over the band. It steps exactly in any time, x <- x exp(-lambda t) + sqrt(1 - exp(-2 lambda t)) z. In the band the
    one-sided spectrum is S(f) = sigma^2/f, with sigma = q g for p = 0, and the variance is sigma^2 ln(f_high/f_low).

    Measured from the programming of the device (x_k = 0 then), the variance grows as sigma^2 (ln(2 lambda_max t) + 0.5772) for
    1/lambda_max << t << 1/lambda_min. The law ln((t + t_r)/(2 t_r)) of a read that takes t_r is that of lambda_max =
    exp(-0.5772)/(4 t_r), thus f_high = 0.02234/t_r.

    Args:
        amplitude: q, standard deviation per unit of ln f, relative to g. power: p. limit: on that number.
        f_low, f_high: the band, Hz.
        starts: "settled" has always fluctuated; "programmed" counts from the last programming of each device.

    g is the conductance now, where the published law takes its power from the conductance that was programmed.

    Source: superposition of relaxations, McWhorter 1957, Dutta & Horn 1981; growth in time as Nandakumar 2019, Joshi 2020 (PCM).
    """

    amplitude: float = Field(ge=0, le=10, description="standard deviation per unit of ln f, relative to g, at g_max")
    power: float = Field(default=0.0, ge=0, le=2, description="its fall with g/g_max")
    limit: float = Field(default=inf, gt=0, description="largest such standard deviation")
    f_low: float = quantity(Hz, ge=1e-15, le=1e12, doc="lower end of the band")
    f_high: float = quantity(Hz, ge=1e-15, le=1e12, doc="upper end of the band")
    starts: Literal["settled", "programmed"] = "settled"

    @model_validator(mode="after")
    def _band(self) -> Self:
        if not self.f_high > self.f_low:
            raise at("f_high", f"must be greater than f_low = {self.f_low:g} Hz, got {self.f_high:g}")
        return self

    def processes(self, members: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rates (E, K) in 1/s, rising, 0 beyond a member's own; how many each has, (E,); standard deviation of one over q g, (E,)."""
        low, high = per_member(self.f_low, members), per_member(self.f_high, members)
        width = np.log(high / low)
        count = np.ceil(width / _SPACING).astype(np.int64)
        spacing = width / count
        k = np.arange(count.max())
        rates = 2 * np.pi * low[:, None] * np.exp((k + 0.5) * spacing[:, None])
        return np.where(k < count[:, None], rates, 0.0), count, np.sqrt(spacing)


class Telegraph(Record):
    """Random telegraph noise: traps beside the conducting path, each empty or filled, each lowering g by `amplitude` while filled.

    An empty trap captures at the rate 1/tau_c, a filled one emits at 1/tau_e: it is filled for P = tau_e/(tau_c + tau_e) of the time,
    p(filled after t) = P + (now - P) exp(-t (1/tau_c + 1/tau_e)), and the spectrum is a Lorentzian whose corner lies at
    (1/tau_c + 1/tau_e)/(2 pi). The conductance that was programmed is the mean: dg = g amplitude sum over traps of (P - filled).

    Args:
        amplitude: change of g by one trap, relative to g. capture_s, emission_s: tau_c, tau_e, s.
        traps: of a device. fraction: of the devices that have them. spread: of either time between traps, lognormal, tau exp(s z).

    Source: Machlup 1954; Kirton & Uren 1989.
    """

    amplitude: float = Field(ge=0, le=1, description="change of the conductance by one trap, relative to it")
    capture_s: float = quantity(s, gt=0, lt=inf, doc="mean time until an empty trap is filled")
    emission_s: float = quantity(s, gt=0, lt=inf, doc="mean time until a filled trap is empty")
    traps: int = Field(default=1, ge=1, le=64, description="traps of a device")
    fraction: float = quantity(one, 1.0, ge=0, le=1, doc="fraction of the devices that have traps")
    spread: float = Field(default=0.0, ge=0, le=10, description="lognormal spread of either time between traps")

    def sample(self, seeds: tuple[int, ...], names: tuple[str, ...], devices: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rates 1/tau_c + 1/tau_e in 1/s and shares P of the traps, (E, T, devices); 0 where a device has none."""
        members, shape = len(seeds), (self.traps, devices)

        def times(name: str) -> np.ndarray:
            z = rng.normal(rng.stream_keys(seeds, *names, "telegraph", name), 0, shape).numpy()
            spread, tau = (per_member(v, members)[:, None, None] for v in (self.spread, getattr(self, name)))
            return tau * np.exp(spread * z)

        capture, emission = times("capture_s"), times("emission_s")
        drawn = rng.uniform(rng.stream_keys(seeds, *names, "telegraph", "fraction"), 0, devices)
        present = (drawn < per_member(self.fraction, members)[:, None])[:, None]
        values = np.where(present, 1 / capture + 1 / emission, 0), np.where(present, emission / (capture + emission), 0)
        return tuple(torch.from_numpy(v.astype(np.float32)) for v in values)  # type: ignore[return-value]


class Fluctuations:
    """1/f and telegraph noise of one array by physical time: `noise`, in units of half the range, stands still between two holds.

    Devices are flat, (E, devices), in the order they lie in memory. As with drift, a device whose state is not what was last seen has
    been programmed since. What an array is read against (mid-range, symmetry points) is without noise.

    Args:
        device: whose noise. seeds, names: of the array. devices: how many it has.
    """

    def __init__(self, device: Any, seeds: tuple[int, ...], names: tuple[str, ...], devices: int) -> None:
        self.flicker, self.telegraph = device.flicker, device.telegraph
        members = len(seeds)
        self.keys = {n: rng.stream_keys(seeds, *names, n) for n in ("flicker", "telegraph")}
        half, mid, top = (per_member(v, members) for v in (device.half_range, device.mid_range, device.g_max))
        law = [mid / half, half / top, np.zeros(members), np.zeros(members), np.full(members, inf)]
        flat = (members, devices)
        self.tensors = {n: torch.zeros(flat) for n in ("noise", "total", "traps")}
        if self.flicker is not None:
            self.rates, self.counts, width = self.flicker.processes(members)
            law[2:] = [per_member(getattr(self.flicker, n), members) * k for n, k in (("amplitude", width), ("power", 1), ("limit", width))]
            self._start_flicker(members, devices)
        if self.telegraph is not None:
            self.size = per_member(self.telegraph.amplitude, members)
            self._start_telegraph(seeds, names, devices)
        self.law = np.stack(law, 1).astype(np.float32)

    @classmethod
    def of(cls, device: Any, seeds: tuple[int, ...], names: tuple[str, ...], devices: int) -> Self | None:
        """The fluctuations of an array, None where its devices have none."""
        return None if device.flicker is None and device.telegraph is None else cls(device, seeds, names, devices)

    @property
    def _programmed(self) -> bool:
        return self.flicker is not None and self.flicker.starts == "programmed"

    def _start_flicker(self, members: int, devices: int) -> None:
        """All processes are known by their sum at first, of variance K; those measured from programming find their devices programmed."""
        count = torch.from_numpy(self.counts)
        x = torch.zeros(members, self.rates.shape[1], devices)
        z = rng.normal(self.keys["flicker"], -1, (devices,))
        self.tensors["total"].copy_(torch.round(torch.sqrt(count)[:, None].float() * z * 2**16) / 2**16)
        x[torch.arange(members), count - 1] = self.tensors["total"]
        self.tensors |= {"x": x, "together": count.clone(), "waited": torch.zeros(self.rates.shape, dtype=torch.float64)}
        self.tensors["ages"] = torch.zeros(members, devices if self._programmed else 0, dtype=torch.float64)
        self.tensors["seen"] = torch.full(self.tensors["ages"].shape, torch.nan)

    def _start_telegraph(self, seeds: tuple[int, ...], names: tuple[str, ...], devices: int) -> None:
        rates, share = self.telegraph.sample(seeds, names, devices)
        drawn = rng.uniform(self.keys["telegraph"], -1, share[0].numel()).reshape(share.shape)
        filled = (torch.from_numpy(drawn) < share).float()
        self.tensors |= {"trap_rates": rates, "trap_share": share, "filled": filled}
        self.tensors["traps"].copy_((share - filled).sum(1) * torch.from_numpy(self.size)[:, None])

    def find_programmed(self, state: torch.Tensor) -> None:
        """Noise measured from programming starts again in the devices whose state is not what was seen last."""
        if not self._programmed:
            return
        fresh = state != self.tensors["seen"]
        self.tensors["total"].masked_fill_(fresh, 0)
        self.tensors["ages"].masked_fill_(fresh, 0)
        self.tensors["seen"].copy_(state)

    def rebase(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """States are measured against something else: those that were seen as `before` are now `after`."""
        if self._programmed:
            seen = self.tensors["seen"]
            seen.copy_(torch.where(seen == before, after, seen))

    def advance(self, seconds: Any, number: int) -> None:
        """Let time pass, s or (E,); `number` of this step, for its draws."""
        from aimco.kernels.flicker import advance, flip

        arrays, times = {n: t.numpy() for n, t in self.tensors.items()}, per_member(seconds, len(self.law))
        if self.flicker is not None:
            arrays["ages"] += times[:, None]
            arrays["waited"] += times[:, None]
            x, total, ages, waited, together = (arrays[n] for n in ("x", "total", "ages", "waited", "together"))
            advance(x, total, ages, waited, together, self.rates, self.counts, self.keys["flicker"], number)
        if self.telegraph is not None:
            filled, rates, share = (arrays[n] for n in ("filled", "trap_rates", "trap_share"))
            flip(filled, rates, share, arrays["traps"], times, self.size, self.keys["telegraph"], number)

    def show(self, state: torch.Tensor, absolute: torch.Tensor) -> None:
        """Set `noise` for these states; `absolute`: measured from mid-range."""
        from aimco.kernels.flicker import show

        total, traps, noise = (self.tensors[n].numpy() for n in ("total", "traps", "noise"))
        show(total, traps, absolute.numpy(), self.law, noise)
        if self._programmed:
            self.tensors["seen"].copy_(state)


def programming_sigma(coefficients: tuple[float, float, float], ratio: torch.Tensor) -> torch.Tensor:
    """Standard deviation of a conductance written with verify, S: max(c0 + c1 r + c2 r^2, 0) with r = g/g_max.

    Source: Joshi 2020, Nandakumar 2019: the spread about the target of phase-change devices after iterative programming.
    """
    c0, c1, c2 = coefficients
    return (c0 + (c1 + c2 * ratio) * ratio).clamp(min=0.0)
