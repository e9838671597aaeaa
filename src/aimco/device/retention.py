"""What time does to a conductance besides a relaxation: the drift of phase-change memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field

from aimco.record import Record, quantity
from aimco.units import s


class Drift(Record):
    """Structural relaxation after programming: g(t) = g(t_0) (t/t_0)^-nu.

    The exponent of a device depends on the conductance g_0 that was programmed, with r = ln(g_0/g_max):
    nu = mean + z std, mean = slope r + nu within nu_min..nu_max, std = spread_slope r + spread within spread_min..spread_max,
    z a standard normal number of the device. nu is never negative.

    Args:
        t_0: time after programming at which g_0 is defined, s. The others: see the equations.

    Source: Joshi 2020, Nandakumar 2019; the defaults are those published for a mushroom cell of doped GST.
    """

    t_0: float = quantity(s, 20.0, gt=0, doc="time after programming at which the conductance is defined")
    nu: float = Field(default=0.0244, ge=-1, le=1, description="mean exponent at g_max, before its limits")
    slope: float = Field(default=-0.0155, ge=-1, le=1, description="change of the mean with ln(g/g_max)")
    nu_min: float = Field(default=0.049, ge=0, le=1, description="smallest mean")
    nu_max: float = Field(default=0.1, ge=0, le=1, description="largest mean")
    spread: float = Field(default=-0.0059, ge=-1, le=1, description="standard deviation at g_max, before its limits")
    spread_slope: float = Field(default=-0.0125, ge=-1, le=1, description="its change with ln(g/g_max)")
    spread_min: float = Field(default=0.008, ge=0, le=1, description="smallest standard deviation")
    spread_max: float = Field(default=0.045, ge=0, le=1, description="largest standard deviation")

    def exponent(self, ratio: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """nu of devices programmed to g_0 = ratio g_max; z as wide as ratio."""
        r = torch.log(ratio.clamp(1e-6, 1.0))
        mean = (self.slope * r + self.nu).clamp(self.nu_min, max(self.nu_max, self.nu_min))
        spread = (self.spread_slope * r + self.spread).clamp(self.spread_min, max(self.spread_max, self.spread_min))
        return (mean + z * spread).clamp(min=0.0)


class Drifting:
    """Drift of one array by physical time: when each device was last programmed, and to what.

    A device whose state is not what the last `elapse` left it at has been programmed since: its clock starts again at t_0.

    Args:
        law: the drift. z: one standard normal number for each device, (E, R, C).
    """

    def __init__(self, law: Drift, z: torch.Tensor) -> None:
        self.law, self.z = law, z
        self.left_at = torch.full(z.shape, torch.nan)
        self.since = torch.full(z.shape, law.t_0, dtype=torch.float64)
        self.nu = torch.zeros(z.shape)

    def factor(self, state: torch.Tensor, ratio: Callable[[], torch.Tensor], seconds: torch.Tensor) -> torch.Tensor:
        """What a conductance is multiplied by in the next `seconds` (E, 1, 1): ((t + dt)/t)^-nu. ratio: gives g/g_max now."""
        fresh = state != self.left_at
        if fresh.any():
            self.nu = torch.where(fresh, self.law.exponent(ratio(), self.z), self.nu)
            self.since = torch.where(fresh, torch.full((), self.law.t_0, dtype=torch.float64), self.since)
        later = self.since + seconds
        grown, self.since = later / self.since, later
        return grown.log_().mul_(self.nu).neg_().exp_()
