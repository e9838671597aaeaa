"""Random telegraph noise of a conductance."""

from __future__ import annotations

from math import inf

import numpy as np
import torch
from pydantic import Field

from aimco import rng
from aimco.device.noises import Draws, NoiseSource
from aimco.ensemble import per_member
from aimco.record import quantity
from aimco.units import one, s


class Telegraph(NoiseSource):
    """Random telegraph noise: traps beside the conducting path, each empty or filled, each lowering g by `amplitude` while filled.

    An empty trap captures at the rate 1/tau_c, a filled one emits at 1/tau_e: it is filled for P = tau_e/(tau_c + tau_e) of the time,
    p(filled after t) = P + (now - P) exp(-t (1/tau_c + 1/tau_e)), and the spectrum is a Lorentzian whose corner lies at
    (1/tau_c + 1/tau_e)/(2 pi). The conductance that was programmed is the mean: dg = g amplitude sum over traps of (P - filled).

    Args:
        amplitude: Change of g by one trap, relative to g.
        capture_s: tau_c, s.
        emission_s: tau_e, s.
        traps: Of a device.
        fraction: Of the devices that have them.
        spread: Of either time between traps, lognormal, tau exp(s z).

    Source: Machlup 1954; Kirton & Uren 1989.
    """

    amplitude: float = Field(ge=0, le=1, description="change of the conductance by one trap, relative to it")
    capture_s: float = quantity(s, gt=0, lt=inf, doc="mean time until an empty trap is filled")
    emission_s: float = quantity(s, gt=0, lt=inf, doc="mean time until a filled trap is empty")
    traps: int = Field(default=1, ge=1, le=64, description="traps of a device")
    fraction: float = quantity(one, 1.0, ge=0, le=1, doc="fraction of the devices that have traps")
    spread: float = Field(default=0.0, ge=0, le=10, description="lognormal spread of either time between traps")

    def sample(self, draws: Draws, devices: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rates 1/tau_c + 1/tau_e in 1/s and shares P of the traps, (E, T, devices); 0 where a device has none."""
        members, shape = len(draws.seeds), (self.traps, devices)

        def times(name: str) -> np.ndarray:
            z = draws.normal(name, 0, shape).numpy()
            spread, tau = (per_member(v, members)[:, None, None] for v in (self.spread, getattr(self, name)))
            return tau * np.exp(spread * z)

        capture, emission = times("capture_s"), times("emission_s")
        drawn = draws.uniform("fraction", 0, (devices,)).numpy()
        present = (drawn < per_member(self.fraction, members)[:, None])[:, None]
        values = np.where(present, 1 / capture + 1 / emission, 0), np.where(present, emission / (capture + emission), 0)
        return tuple(torch.from_numpy(v.astype(np.float32)) for v in values)  # type: ignore[return-value]

    def start(self, draws, devices):
        rates, share = self.sample(draws, devices)
        drawn = rng.uniform(draws.keys, -1, share[0].numel()).reshape(share.shape)
        filled = (torch.from_numpy(drawn) < share).float()
        size = torch.from_numpy(per_member(self.amplitude, len(share)))
        traps = ((share - filled).sum(1) * size[:, None]).float()
        return {"traps": traps, "rates": rates, "share": share, "filled": filled}

    def advance(self, tensors, seconds, draws, number):
        from aimco.kernels.flicker import flip

        filled, rates, share, traps = (tensors[n].numpy() for n in ("filled", "rates", "share", "traps"))
        size = per_member(self.amplitude, len(seconds))
        flip(filled, rates, share, traps, seconds.numpy().reshape(-1), size, draws.keys, number)

    def relative(self, tensors, ratio):
        return tensors["traps"]
