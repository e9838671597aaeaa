"""Elements of resistive networks: pairs of antiparallel diodes that hold a node between two voltages.

A pair is what its current is, I(u) in A at the voltage u of the node, and its slope. Physics is written once here, for any tensor and
either precision; values may be one number or one for each node, which is how spread from device to device comes in.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch

from aimco.record import InputError

Value: TypeAlias = "float | torch.Tensor"  # a number for all nodes, or one for each; quoted: a design is priced without torch
BOLTZMANN, CHARGE = 1.38064852e-23, 1.6021766208e-19  # J/K, C: the values that ngspice uses
_CONDUCTING = 1e30  # slope of an ideal diode that conducts, S
_STEPS = 60  # of a scalar Newton iteration: 4 to 6 are usual


@dataclass(frozen=True)
class DiodePair:
    """Two diodes from a node, one to a source at `high`, one from a source at `low` (abstract).

    Args:
        low: Voltage of the lower source, V, a number or (nodes,); at most `high`.
        high: Voltage of the upper source, V, a number or (nodes,).
    """

    smooth: ClassVar[bool] = True  # whether the current is a function of the voltage, which Newton's method needs

    low: Value = -0.3
    high: Value = 0.3

    def __post_init__(self) -> None:
        if bool(torch.as_tensor(torch.as_tensor(self.low) > torch.as_tensor(self.high)).any()):
            raise InputError(f"diodes.low must be at most diodes.high, got {_format(self.low)} and {_format(self.high)} V")

    def current(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Current out of the node, A, and its slope, S."""
        raise NotImplementedError

    def solve(self, a: torch.Tensor, b: torch.Tensor, start: torch.Tensor | None, tolerance: float) -> torch.Tensor:
        """The voltage u with a u + I(u) = b, to a voltage tolerance: a > 0 in S, (nodes,); b in A, (B, nodes)."""
        raise NotImplementedError

    def conductance(self, u: torch.Tensor) -> torch.Tensor:
        """Slope of the current at the voltage u, S, as the adjoint takes it."""
        return self.current(u)[1]

    def unbalanced(self, u: torch.Tensor, inflow: torch.Tensor) -> torch.Tensor:
        """The part of the current into a node, A, that the diodes do not carry away."""
        return inflow - self.current(u)[0]

    def limited(self, u: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """A Newton step kept so short that the exponential does not overflow."""
        return step


@dataclass(frozen=True)
class Shockley(DiodePair):
    """Exponential diodes, I(u) = I_s (exp((u - high)/(n V_t)) - exp((low - u)/(n V_t))).

    Args:
        saturation: I_s, A. The default diode is the 1N4148 (Kendall 2020, arXiv 2006.01981).
        ideality: n.
        kelvin: Temperature, K.
        as_ngspice: The reverse current of each diode is that of ngspice, -I_s (1 + (3 n V_t/(e v))^3) for v < -3 n V_t, in place of
            -I_s (1 - exp(v/(n V_t))): to compare with it.
    """

    saturation: Value = 2.52e-9
    ideality: Value = 1.752
    kelvin: float = 300.15
    as_ngspice: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("saturation", "ideality", "kelvin"):
            _positive(f"diodes.{name}", getattr(self, name))

    @property
    def thermal(self) -> Value:
        """n V_t, V."""
        return self.ideality * (BOLTZMANN * self.kelvin / CHARGE)

    def current(self, u):
        if self.as_ngspice:
            (up, up_slope), (down, down_slope) = self._one(u - self.high), self._one(self.low - u)
            return up - down, up_slope + down_slope
        up, down = torch.exp((u - self.high) / self.thermal), torch.exp((self.low - u) / self.thermal)
        return self.saturation * (up - down), self.saturation / self.thermal * (up + down)

    def _one(self, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One diode at its voltage v, as ngspice computes it."""
        reverse, forward = v < -3 * self.thermal, torch.exp(torch.clamp(v / self.thermal, max=700))
        cubed = (3 * self.thermal / (torch.where(reverse, v, -1.0) * math.e)) ** 3
        slope = torch.where(reverse, self.saturation * 3 * cubed / torch.where(reverse, v, 1.0), self.saturation / self.thermal * forward)
        return torch.where(reverse, -self.saturation * (1 + cubed), self.saturation * (forward - 1)), slope

    def _within(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Bounds of the solution of a u + I(u) = b: a diode cannot carry more than what the resistors bring to its source."""
        most = 1.0 / self.saturation
        top = self.high + self.thermal * torch.log1p(torch.clamp(b - a * self.high, min=0) * most + 1)
        bottom = self.low - self.thermal * torch.log1p(torch.clamp(a * self.low - b, min=0) * most + 1)
        return bottom, top

    def solve(self, a, b, start, tolerance):
        low, high = self._within(a, b)
        u = torch.minimum(torch.maximum(b / a if start is None else start, low), high)
        for _ in range(_STEPS):
            current, slope = self.current(u)
            new = torch.minimum(torch.maximum(u - (a * u + current - b) / (a + slope), low), high)
            moved = float((new - u).abs().max())
            u = new
            if moved <= tolerance:
                break
        return u

    def limited(self, u, step):
        most = 3 * self.thermal
        into = ((u + step > self.high) & (step > most)) | ((u + step < self.low) & (step < -most))
        return torch.where(into, torch.sign(step) * most * (1 + torch.log(torch.clamp(step.abs() / most, min=1.0))), step)


@dataclass(frozen=True)
class Ideal(DiodePair):
    """Diodes that carry any current without a drop, and none in reverse: low <= u <= high. Source: Scellier 2024 (arXiv 2402.11674)."""

    smooth = False

    def current(self, u):
        raise InputError("ideal diodes have no current law; solve by descent, or use shockley diodes")

    def solve(self, a, b, start, tolerance):
        return torch.clamp(b / a, min=_like(self.low, b), max=_like(self.high, b))

    def conductance(self, u):
        return torch.where(self.free(u), 0.0, _CONDUCTING).to(u.dtype)

    def unbalanced(self, u, inflow):
        return inflow * self.free(u)  # a node that a diode holds has no current left over

    def free(self, u: torch.Tensor) -> torch.Tensor:
        """Where neither diode conducts."""
        return (u > _like(self.low, u)) & (u < _like(self.high, u))


@dataclass(frozen=True)
class PiecewiseLinear(DiodePair):
    """A measured diode: straight lines between points (v, i), the ends prolonged; the same one both ways.

    Args:
        volts: Voltages of the points, V, rising.
        amperes: Currents of the points, A, rising; below the first voltage the first slope goes on.
    """

    volts: tuple[float, ...] = (0.0, 0.6, 0.7)
    amperes: tuple[float, ...] = (0.0, 1e-6, 1e-3)

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs = zip((self.volts, self.amperes), ("volts", "amperes"), strict=True)
        for values, name in pairs:
            if len(values) < 2 or len(values) != len(self.volts) or any(b < a for a, b in itertools.pairwise(values)):
                raise InputError(f"diodes.{name} must be at least two rising numbers, as many as the other, got {len(values)}")
        if any(b == a for a, b in itertools.pairwise(self.volts)):
            raise InputError("diodes.volts must rise from point to point; remove points at the same voltage")

    def _one(self, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        volts, amperes = (torch.tensor(t, dtype=v.dtype, device=v.device) for t in (self.volts, self.amperes))
        slopes = torch.diff(amperes) / torch.diff(volts)
        k = torch.clamp(torch.searchsorted(volts, v.contiguous()) - 1, 0, len(slopes) - 1)
        return amperes[k] + slopes[k] * (v - volts[k]), slopes[k]

    def current(self, u):
        (up, up_slope), (down, down_slope) = self._one(u - self.high), self._one(self.low - u)
        return up - down, up_slope + down_slope

    def solve(self, a, b, start, tolerance):
        """Newton from either side is exact once both diodes are on the right piece; bisection guards against turning between two."""
        u = b / a if start is None else start
        low, high = torch.full_like(u, -torch.inf), torch.full_like(u, torch.inf)
        for _ in range(_STEPS):
            current, slope = self.current(u)
            excess = a * u + current - b
            low, high = torch.where(excess < 0, u, low), torch.where(excess > 0, u, high)
            new = u - excess / (a + slope)
            new = torch.where((new < low) | (new > high), (low + high) / 2, new)
            moved = float((new - u).abs().max())
            u = new
            if moved <= tolerance:
                break
        return u


def _like(value: Value, tensor: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(value, dtype=tensor.dtype, device=tensor.device)


def _positive(name: str, value: Value) -> None:
    if not bool((torch.as_tensor(value) > 0).all()):
        raise InputError(f"{name} must be above 0, got {_format(value)}")


def _format(value: Value) -> str:
    return f"{float(torch.as_tensor(value).min()):g}"
