"""The pulse response: how far one voltage pulse moves the conductance, as one scalar function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import sqrt
from typing import Any, ClassVar

import torch

from aimco.record import Kinded, quantity
from aimco.units import S


class Response(Kinded):
    """Mean response of a device to one pulse, a function of its state.

    A family is a subclass with one static method `step`; its own fields are parameters that `step` reads as `p.name`.
    Inside, the state g is in units of half the nominal range, 0 at mid-range and -1, +1 at the nominal bounds;
    fields in siemens are scaled likewise; `p.g_min`, `p.g_max` are the bounds of the device itself.
    The noise of the pulses, the spread between devices and the bounds are added by `Device`.

    Args:
        step_up, step_down: conductance change of one up or down pulse at mid-range, S, > 0.

    Example:
        >>> from aimco.device.families.soft_bounds import SoftBounds
        >>> SoftBounds(step_up=5e-8, step_down=5e-8).kind
        'soft-bounds'
    """

    kinds_in: ClassVar[str] = "aimco.device.families"
    one_sided: ClassVar[bool] = False  # whether down pulses do nothing
    soft: ClassVar[bool] = False  # whether steps vanish at the device's own bounds, so that a fit finds the bounds by them
    fit_rank: ClassVar[int | None] = None  # a fit tries families by rank, the simplest first; None: only when asked for
    fit_starts: ClassVar[tuple[dict[str, float], ...]] = ()  # values of the fields from which a fit sets out; their defaults when none

    step_up: float = quantity(S, gt=0, doc="change by one up pulse at mid-range")
    step_down: float = quantity(S, gt=0, doc="change by one down pulse at mid-range, positive")

    @staticmethod
    def step(g: float, up: bool, p: Any) -> float:
        """Signed mean change of g by one pulse (abstract). Source: the family's."""
        raise NotImplementedError

    def tables(self) -> dict[str, Any]:
        """Numbers and arrays that a family's own `pulse` reads as `p.name` and that no device has of its own; none by default."""
        return {}

    def own_noise(self) -> float:
        """Cycle-to-cycle noise that is in the response itself, relative to the step at mid-range; none by default."""
        return 0.0

    @staticmethod
    def derive(p: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Further parameters that `step` reads, computed once per device from the sampled ones."""
        return {}


def scalar_pulse(response: Response, *, relative: bool = True, fixed: bool = True, even: bool = False) -> Callable[..., Any]:
    """The scalar function `pulse(g, n, up, p, noise) -> g` of a response: n pulses, noise a standard normal number.

    A family that defines `pulse` itself is taken at its word (it must return g for n = 0); from a family that
    defines `step` it is composed: n pulses move g by n times the step at the half-way state (midpoint rule, error
    third order in n step/range), with noise sqrt(n) times that of one pulse:
    sigma^2 = (p.cycle_noise * step(g))^2 + (p.cycle_noise_additive * step at mid-range)^2 + p.cycle_noise_range^2.

    Args:
        response: the family. relative, fixed, even: whether the first, second and third term of the noise are there.
    """
    family = type(response)
    whole = getattr(family, "pulse", None)
    return whole or _composed(family.step, relative, fixed, even)


@functools.cache
def _composed(step: Callable[..., Any], relative: bool, fixed: bool, even: bool) -> Callable[..., Any]:
    def half_way(g, n, up, p):
        return step(g + 0.5 * (n - 1) * step(g, up, p), up, p)

    def pulse_both(g, n, up, p, noise):
        dg = half_way(g, n, up, p)
        state_free = p.cycle_noise_additive * (p.step_up if up else p.step_down)
        scaled = p.cycle_noise * dg
        return g + n * dg + noise * sqrt(n * (scaled * scaled + state_free * state_free))

    def pulse_relative(g, n, up, p, noise):
        return g + half_way(g, n, up, p) * (n + noise * sqrt(n) * p.cycle_noise)

    def pulse_fixed(g, n, up, p, noise):
        state_free = p.cycle_noise_additive * (p.step_up if up else p.step_down)
        return g + n * half_way(g, n, up, p) + noise * sqrt(n) * state_free

    def pulse_even(g, n, up, p, noise):
        return g + n * half_way(g, n, up, p) + noise * sqrt(n) * p.cycle_noise_range

    def pulse_all(g, n, up, p, noise):
        dg = half_way(g, n, up, p)
        state_free = p.cycle_noise_additive * (p.step_up if up else p.step_down)
        scaled = p.cycle_noise * dg
        return g + n * dg + noise * sqrt(n * (scaled * scaled + state_free * state_free + p.cycle_noise_range * p.cycle_noise_range))

    if even:
        return pulse_all if relative or fixed else pulse_even
    return pulse_both if relative and fixed else pulse_fixed if fixed else pulse_relative
