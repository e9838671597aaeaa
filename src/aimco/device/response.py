"""The pulse response: how far one voltage pulse moves the conductance, as one scalar function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import sqrt
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch

from aimco.record import Kinded, quantity
from aimco.units import S

AFFINE_TRAIN = 0.3  # change of an affine response's step over a train, relative to it, up to which three terms are enough
STIRRED = 0.03  # variance of a train's change of the step, by noise, relative to the step squared, up to which deviations add up


class Parameters(Protocol):
    """What a scalar function reads of its device as p.NAME: a number, or what `Response.tables` names so."""

    def __getattribute__(self, name: str, /) -> Any: ...


Step = Callable[[float, bool, Parameters], float]
Slopes = Callable[[float, bool, Parameters], tuple[float, float, float]]
Pulse = Callable[[float, float, bool, Parameters, float], float]
Train = Callable[[float, float, bool, Parameters], tuple[float, float, bool]]
Free = Callable[[bool, Parameters], float]


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
    affine: ClassVar[bool] = False  # whether a step is a linear function of the state, at all states
    soft: ClassVar[bool] = False  # whether steps vanish at the device's own bounds, so that a fit finds the bounds by them
    fit_rank: ClassVar[int | None] = None  # a fit tries families by rank, the simplest first; None: only when asked for
    fit_starts: ClassVar[tuple[dict[str, float], ...]] = ()  # values of the fields from which a fit sets out; their defaults when none

    step_up: float = quantity(S, gt=0, doc="change by one up pulse at mid-range")
    step_down: float = quantity(S, gt=0, doc="change by one down pulse at mid-range, positive")

    @property
    def by_pulse(self) -> bool:
        """Whether pulses are always taken one by one, as of a family that defines `pulse` itself."""
        return hasattr(type(self), "pulse")

    @staticmethod
    def step(g: float, up: bool, p: Parameters) -> float:
        """Signed mean change of g by one pulse (abstract). Source: the family's."""
        raise NotImplementedError

    @staticmethod
    def slopes(g: float, up: bool, p: Parameters) -> tuple[float, float, float]:
        """The step, its slope and its curvature in g; a family that leaves this out has them from three steps."""
        raise NotImplementedError

    def tables(self) -> dict[str, float | np.ndarray]:
        """Numbers and arrays that a family's own `pulse` reads as `p.name` and that no device has of its own; none by default."""
        return {}

    def own_noise(self) -> float:
        """Cycle-to-cycle noise that is in the response itself, relative to the step at mid-range; none by default."""
        return 0.0

    @staticmethod
    def derive(p: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Further parameters that `step` reads, computed once per device from the sampled ones."""
        return {}


class Kernels(NamedTuple):
    """The scalar functions of a response that kernels compile.

    Args:
        pulse: `pulse(g, n, up, p, noise) -> g`, one pulse (n is 1), noise a standard normal number.
        train: `train(g, n, up, p) -> (change, deviation, good)`, n pulses at once, and whether that is as good as one by one.
        step: `step(g, up, p) -> dg`, the mean of one pulse.

    The last two are None for a response that is known by its `pulse` alone, and always taken pulse by pulse.
    """

    pulse: Pulse
    train: Train | None = None
    step: Step | None = None


def scalar_functions(response: Response, *, relative: bool = True, fixed: bool = True, even: bool = False) -> Kernels:
    """The functions of one pulse and of a train of pulses that follow from a response.

    A family that defines `pulse` itself is taken at its word, pulse by pulse. From a family that defines `step`, one pulse is
    g + f + s z with f = step(g) and s^2 = (p.cycle_noise f)^2 + (p.cycle_noise_additive step at mid-range)^2 + p.cycle_noise_range^2.

    n = 1 + t pulses at once are the series of n such steps, with the slope r and the curvature c of the step where it begins,
        change = n f (1 + t r/2 + t (t - 1) r^2/6 + t (t - 1) (t - 2) r^3/24 + t (2 n - 1) f c/12) + n t s^2 c/4,
    the last term as noise moves a device to where steps are others; what a pulse adds at random, the later ones scale by 1 + r each.
    It is good, within 0.5 % in the mean and 3 % in the deviation, where |t r| < 0.6, the terms of c and the next one, f^2 c^2 t^3/r, are
    small, and noise does not change the steps themselves much, t (p.cycle_noise r)^2 < 0.03. For a response that is
    affine, where c = 0 and r is the same at all states, the terms up to r^2 are taken, and `Sampled.trusted` says beforehand for how many
    pulses they are good, |t r| < 0.3.

    Args:
        response: the family. relative, fixed, even: whether the first, second and third term of the noise are there.
    """
    family = type(response)
    whole = getattr(family, "pulse", None)
    if whole:
        return Kernels(whole)
    return _composed(family.step, family.slopes, family.affine, (relative, fixed, even))


@functools.cache
def _composed(step: Step, slopes: Slopes, affine: bool, noises: tuple[bool, bool, bool]) -> Kernels:
    relative, alone = float(noises[0]), float(noises[1] or noises[2])
    free = _free(float(noises[2]))
    known = float(slopes is not Response.slopes)
    train = _train(step, slopes, free, relative, alone, known, float(affine))
    return Kernels(_pulse(step, free, relative, alone), train, step)


# The functions that these return are compiled from their text: what they read is a number or another such function.


def _free(even: float) -> Free:
    def free(up, p):
        """Variance of one pulse that does not depend on the state."""
        sigma = p.cycle_noise_additive * (p.step_up if up else p.step_down)
        return sigma * sigma + p.cycle_noise_range * p.cycle_noise_range if even > 0 else sigma * sigma

    return free


def _pulse(step: Step, free: Free, relative: float, alone: float) -> Pulse:
    def pulse(g, n, up, p, noise):
        f = step(g, up, p)
        if alone == 0:
            return g + f + noise * (p.cycle_noise * f)
        each = free(up, p)
        if relative > 0:
            each += p.cycle_noise * f * p.cycle_noise * f
        return g + f + noise * sqrt(each)

    return pulse


def _train(
    step: Step,
    slopes: Slopes,
    free: Free,
    relative: float,
    alone: float,
    known: float,
    straight: float,
) -> Train:
    half, third, fourth, sixth, near = 1 / 2, 2 / 3, 1 / 4, 1 / 6, 1 / 64
    bent, curved, beyond, stirred, least = AFFINE_TRAIN if straight else 0.6, 0.2, 0.05, 0.05, 0.1

    def train(g, n, up, p):
        t = n - 1
        if known > 0:
            f, r, c = slopes(g, up, p)
        elif straight > 0:
            f, r, c = step(g, up, p), step(1, up, p) - step(0, up, p), 0.0
        else:
            f = step(g, up, p)
            way = max(half * t * abs(f), near)
            above, below = step(g + way, up, p), step(g - way, up, p)
            r, c = half * (above - below) / way, (above - 2 * f + below) / (way * way)
        u, curve = t * r, t * f * c
        square = u * (u - r)
        cube = 0.0 if straight > 0 else square * (u - 2 * r)
        change = f * (1 + half * u + sixth * square + fourth * sixth * cube + half * sixth * curve * (2 * n - 1))
        last = f * (1 + u + half * square + sixth * cube + half * curve * t)
        good = (abs(u) < bent) & (abs(curve * t) < curved) & (abs(curve * t * c * t * f) <= beyond * abs(r))
        if relative + alone == 0:
            return n * change, 0.0, good
        each, lift = 0.0, fourth * t * c
        if alone > 0:
            each = free(up, p)
            change += lift * each
            good = good & (abs(lift * each) < stirred * max(abs(f), least * (p.step_up if up else p.step_down)))
            each *= 1 + u + third * u * u * (1 + half * u)
        if relative > 0:
            change += lift * (p.cycle_noise * f) * (p.cycle_noise * f)
            good = good & (abs(lift * f) * (p.cycle_noise * p.cycle_noise) < stirred) & (p.cycle_noise * r * p.cycle_noise * u < STIRRED)
            if alone == 0:
                return n * change, p.cycle_noise * last * sqrt(n), good
            each += p.cycle_noise * last * p.cycle_noise * last
        return n * change, sqrt(max(n * each, 0)), good

    return train
