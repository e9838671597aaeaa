"""1/f noise of a conductance."""

from __future__ import annotations

import functools
from math import inf
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from aimco import rng
from aimco.device.noises import NoiseSource
from aimco.ensemble import per_member
from aimco.record import field_error, quantity
from aimco.units import Hz

_Number = float | tuple[float, ...]  # of a field: one, or those that an ensemble lays side by side
_SPACING = 1.2  # of the logarithms of the rates: the spectrum then ripples by 4 exp(-pi^2/1.2) = 0.1 %


class Flicker(NoiseSource):
    """1/f noise of a conductance: relaxing charges and atoms whose rates are spread evenly over the decades.

    dg = g min(q (g/g_max)^-p, limit) sum_k x_k, each x_k an Ornstein-Uhlenbeck process of rate lambda_k = 2 pi f_k, the f_k evenly
    spaced in ln f over the band. It steps exactly in any time, x <- x exp(-lambda t) + sqrt(1 - exp(-2 lambda t)) z. In the band the
    one-sided spectrum is S(f) = sigma^2/f, with sigma = q g for p = 0, and the variance is sigma^2 ln(f_high/f_low).

    Measured from the programming of the device (x_k = 0 then), the variance grows as sigma^2 (ln(2 lambda_max t) + 0.5772) for
    1/lambda_max << t << 1/lambda_min. The law ln((t + t_r)/(2 t_r)) of a read that takes t_r is that of lambda_max =
    exp(-0.5772)/(4 t_r), thus f_high = 0.02234/t_r.

    Args:
        amplitude: q, standard deviation per unit of ln f, relative to g.
        power: p.
        limit: On that number.
        f_low: Lower end of the band, Hz.
        f_high: Upper end of the band, Hz.
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
            raise field_error("f_high", f"must be greater than f_low = {self.f_low:g} Hz, got {self.f_high:g}")
        return self

    @property
    def restarts(self) -> bool:
        return self.starts == "programmed"

    def processes(self, members: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rates (E, K) in 1/s, rising, 0 beyond a member's own; how many each has, (E,); standard deviation of one over q g, (E,)."""
        return _processes(self.f_low, self.f_high, members)

    def start(self, draws, devices):
        """All processes are known by their sum at first, of variance K; those measured from programming find their devices programmed."""
        members = len(draws.seeds)
        rates, counts, _ = self.processes(members)
        count = torch.from_numpy(counts)
        z = rng.normal(draws.keys, -1, (devices,))
        total = torch.round(torch.sqrt(count)[:, None].float() * z * 2**16) / 2**16
        x = torch.zeros(members, rates.shape[1], devices)
        x[torch.arange(members), count - 1] = total
        ages = torch.zeros(members, devices if self.restarts else 0, dtype=torch.float64)
        waited = torch.zeros(rates.shape, dtype=torch.float64)
        return {"total": total, "x": x, "together": count.clone(), "waited": waited, "ages": ages}

    def advance(self, tensors, seconds, draws, number):
        from aimco.kernels.flicker import advance

        rates, counts, _ = self.processes(len(seconds))
        x, total, ages, waited, together = (tensors[n].numpy() for n in ("x", "total", "ages", "waited", "together"))
        passed = seconds.numpy()
        ages += passed
        waited += passed
        advance(x, total, ages, waited, together, rates, counts, draws.keys, number)

    def relative(self, tensors, ratio):
        from aimco.kernels.flicker import relative

        law, out = _law(self.amplitude, self.power, self.limit, self.f_low, self.f_high, len(ratio)), np.empty(ratio.shape)
        relative(tensors["total"].numpy(), ratio.numpy(), law, out)
        return torch.from_numpy(out)

    def programmed(self, tensors, written):
        for name in ("total", "ages"):
            tensors[name].masked_fill_(written, 0)


@functools.lru_cache(maxsize=64)
def _processes(f_low: _Number, f_high: _Number, members: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = per_member(f_low, members), per_member(f_high, members)
    width = np.log(high / low)
    count = np.ceil(width / _SPACING).astype(np.int64)
    spacing = width / count
    k = np.arange(count.max())
    rates = 2 * np.pi * low[:, None] * np.exp((k + 0.5) * spacing[:, None])
    return np.where(k < count[:, None], rates, 0.0), count, np.sqrt(spacing)


@functools.lru_cache(maxsize=64)
def _law(amplitude: _Number, power: _Number, limit: _Number, f_low: _Number, f_high: _Number, members: int) -> np.ndarray:
    """Amplitude of one process, power, and limit of one process, (E, 3) float32."""
    width = _processes(f_low, f_high, members)[2]
    return np.stack([per_member(v, members) * k for v, k in ((amplitude, width), (power, 1), (limit, width))], 1).astype(np.float32)
