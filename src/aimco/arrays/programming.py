"""Programming: how a crossbar writes devices to target states, one by one and as differential pairs.

All functions take the operations and the ledger of `Crossbar`, and write where a mask says. Draws are numbered by the round, so that a
member of an ensemble has the draws of its solo run however many rounds the others need.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from aimco import rng
from aimco.device.noise import programming_sigma
from aimco.ensemble import per_member

if TYPE_CHECKING:
    from aimco.arrays.crossbar import Crossbar

MOST = 1000  # pulses on a device between two verify reads
_CAUTION = 10  # a one-sided device is taken to step this much more than at mid-range until it was seen to step less


def _each(array: Crossbar, value: Any) -> torch.Tensor:
    """A number, or one for each member, as (E, 1, 1) float64."""
    return torch.from_numpy(per_member(value, array.shape[0]))[:, None, None]


def window(array: Crossbar) -> torch.Tensor:
    """Largest error of a write that is accepted, (E, 1, 1), in half ranges."""
    given = array.device.writes.window_S
    half_step = torch.from_numpy(array.step)[:, None, None] / 2
    return (half_step if given is None else _each(array, given) / _each(array, array.device.half_range)).float()


def as_cited(array: Crossbar, target: torch.Tensor, only: torch.Tensor) -> None:
    """Put devices at their targets plus the residue that their datasheet cites, cut to their bounds."""
    device = array.device
    half, mid = (_each(array, v) for v in (device.half_range, device.mid_range))
    low, high = array.limits()
    missed = _residue(array, (target + array.origin) * half + mid)
    _place(array, torch.minimum(torch.maximum(target + missed, low), high), only)
    _count_cited(array, only)


def pair_as_cited(plus: Crossbar, minus: Crossbar, difference: torch.Tensor, only: torch.Tensor) -> None:
    """RESET two devices and write their difference, plus the residue cited for a conductance of that size.

    The device that the sign asks for is written to the level of the other, known by verify, plus the difference. Where that lies
    below the device's range, the other carries the remainder: the difference misses by the residue and nothing else.
    """
    for array in (plus, minus):
        array.reset(only)
    wanted = difference + _residue(plus, difference.abs() * _each(plus, plus.device.half_range))
    up = difference >= 0
    for written, other, mask, amount in ((plus, minus, only & up, wanted), (minus, plus, only & ~up, -wanted)):
        (low, high), (_, other_high) = written.limits(), other.limits()
        level = other.state + amount
        held = torch.minimum(torch.maximum(level, low), high)
        _place(other, torch.minimum(other.state + (held - level).clamp(min=0), other_high), mask)
        _place(written, held, mask)
    _count_cited(plus, only)


def _residue(array: Crossbar, g: torch.Tensor) -> torch.Tensor:
    """Draws of what a write as cited misses conductances of g, S, by, in half ranges."""
    law = array.device.programming_noise
    assert law is not None
    z = rng.normal(array.keys["programs"], array.done["programs"], array.shape[1:])
    array.done["programs"] += 1
    sigma = programming_sigma(law, g / _each(array, array.device.g_max)) / _each(array, array.device.half_range)
    return sigma.float() * z


def _place(array: Crossbar, states: torch.Tensor, only: torch.Tensor) -> None:
    array.state.copy_(torch.where(only, states.float(), array.state))


def _count_cited(array: Crossbar, only: torch.Tensor) -> None:
    written, pulses = only.sum((1, 2)).numpy(), array.device.writes.cited_pulses
    array.note(program_pulses=written * pulses, program_rounds=(written > 0) * pulses)


def both_ways(array: Crossbar, target: torch.Tensor, only: torch.Tensor, limit: torch.Tensor, rounds: int) -> None:
    """Pulse every device up or down by its error, read, repeat; one round for all at a time where pulses disturb other devices."""
    first, at_once = array.done["applied"], 1 if array.device.half_select is not None else max(rounds, 1)
    for number in range(0, rounds, at_once):
        array.done["applied"] = first + number
        if not array.approach(target, only, limit, at_once, MOST):
            break
    array.done["applied"] = first + rounds


def pair_both_ways(plus: Crossbar, minus: Crossbar, difference: torch.Tensor, only: torch.Tensor) -> None:
    """RESET two devices and write the one that the sign asks for; what lies below its range is written into the other."""
    limit, rounds, up = window(plus), plus.device.writes.rounds, difference >= 0
    for array in (plus, minus):
        array.reset(only)
    for written, other, mask, amount in ((plus, minus, only & up, difference), (minus, plus, only & ~up, -difference)):
        low, high = written.limits()
        level = other.state + amount
        both_ways(written, torch.minimum(torch.maximum(level, low), high), mask, limit, rounds)
        both_ways(other, written.state - amount, mask & (level < low), limit, rounds)


def upwards(array: Crossbar, target: torch.Tensor, only: torch.Tensor, limit: torch.Tensor, rounds: int, retry: bool) -> None:
    """SET one-sided devices towards their targets, read, repeat; with `retry` those that overshoot are RESET and tried again.

    In the last round, after which none is tried again, those are RESET that this brings nearer.
    """
    left, count = _Places(array, only), _Rounds(rounds, array)
    caution, limit = left.of(_CAUTION * _step(array)), left.of(limit)
    short_of, rate = left.of(target - array.sampled.reset_point() + array.origin), caution
    target = left.of(target)
    for number in count:
        error, last = target - left.of(array.state), number + 1 == rounds
        short = error > torch.minimum(limit, rate / 2)
        beyond = error < (torch.minimum(-limit, -short_of) if last else -limit) if retry else torch.zeros_like(short)
        if not count.needed(left, short | beyond):
            break
        left, caution, limit, short_of, rate, target, error, short, beyond = left.those(
            left.still(short | beyond), caution, limit, short_of, rate, target, error, short, beyond
        )
        if beyond.any():
            array.reset(left.mask(beyond))
            rate = torch.where(beyond, caution, rate)
        if not (last and retry):
            rate = _set(array, left, error, short, rate)


def pair_upwards(plus: Crossbar, minus: Crossbar, difference: torch.Tensor, only: torch.Tensor) -> None:
    """RESET two one-sided devices, and SET the one that the sign of the error asks for, read, repeat."""
    pair, total = (plus, minus), plus.device.writes.rounds
    for array in pair:
        array.reset(only)
    left, count = _Places(plus, only), _Rounds(total, plus, minus)
    limit, difference = left.of(window(plus)), left.of(difference)
    cautions = [left.of(_CAUTION * _step(array)) for array in pair]
    tops, rates = [left.of(array.limits()[1]) - 1e-6 for array in pair], list(cautions)
    raised = [torch.zeros_like(limit, dtype=torch.bool) for _ in pair]
    for number in count:
        states = [left.of(array.state) for array in pair]
        error = difference - (states[0] - states[1])
        up = error > 0
        off = error.abs() > torch.minimum(limit, torch.where(up, *rates) / 2)
        full = off & torch.where(up, states[0] >= tops[0], states[1] >= tops[1])
        again = full & torch.where(up, raised[1], raised[0]) if 2 * number < total else torch.zeros_like(full)
        off = off & ~full
        if not count.needed(left, off | again):
            break
        known = (off, again, up, error, limit, difference, *cautions, *tops, *rates, *raised)
        left, off, again, up, error, limit, difference, *rest = left.those(left.still(off | again), *known)
        cautions, tops, rates, raised = (rest[k : k + 2] for k in range(0, 8, 2))
        if again.any():
            for k, array in enumerate(pair):
                array.reset(left.mask(again))
                rates[k], raised[k] = torch.where(again, cautions[k], rates[k]), raised[k] & ~again
        for k, (array, side) in enumerate(zip(pair, (off & up, off & ~up), strict=True)):
            rates[k], raised[k] = _set(array, left, error.abs(), side, rates[k]), raised[k] | side


def _step(array: Crossbar) -> torch.Tensor:
    """Mean step at mid-range, (E, 1, 1)."""
    return torch.from_numpy(array.step.astype(np.float32))[:, None, None]


def _set(array: Crossbar, left: _Places, error: torch.Tensor, mask: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """SET pulses for an error, given that steps are at most `rate` on average; what the next are taken to be.

    No step after it is larger on average, as steps fall with conductance; one train that hardly moved does not make the next long.
    """
    some, wanted, most = left.those(mask, error, rate)
    pulses = torch.floor(wanted / most).clamp(1, MOST)
    before = some.of(array.state)
    array.apply_at(some.places, pulses.int())
    moved = (some.of(array.state) - before) / pulses
    rate = rate.clone()
    rate[mask] = torch.minimum(torch.maximum(moved, most / 2), most)
    return rate


class _Places:
    """The devices that are still to be written: those of a mask (E, R, C), and fewer from round to round.

    A device that is written is not looked at again, so that the rounds that a few need cost what a few cost.
    """

    def __init__(self, array: Crossbar, only: torch.Tensor) -> None:
        self.shape, self.places = array.shape, only.nonzero().T.contiguous()
        self.disturbed = array.device.half_select is not None

    def still(self, off: torch.Tensor) -> torch.Tensor:
        """Which to look at again, (N,): those that are off, and where pulses on some disturb others, all."""
        return torch.ones_like(off) if self.disturbed else off

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Their values of a tensor that expands to (E, R, C), (N,)."""
        return values.expand(self.shape)[tuple(self.places)]

    def those(self, some: torch.Tensor, *values: torch.Tensor) -> tuple[Any, ...]:
        """Those of a mask (N,), and their values."""
        fewer = copy.copy(self)
        fewer.places = self.places[:, some].contiguous()
        return fewer, *(v[some] for v in values)

    def mask(self, some: torch.Tensor) -> torch.Tensor:
        """Those of a mask (N,) as a mask (E, R, C)."""
        found = torch.zeros(self.shape, dtype=torch.bool)
        found[tuple(self.places[:, some])] = True
        return found


class _Rounds:
    """Rounds of programming: number the draws by the round, and count for each member the rounds that it needed."""

    def __init__(self, total: int, *arrays: Any) -> None:
        self.total, self.arrays = total, arrays
        self.first = [(array.done["applied"], array.done["resets"]) for array in arrays]

    def __iter__(self):
        for number in range(self.total):
            self._number(number)
            yield number
        self._number(self.total)

    def _number(self, number: int) -> None:
        for array, (applied, resets) in zip(self.arrays, self.first, strict=True):
            array.done["applied"] = applied + number
            if np.any(array.device.reset_noise):  # else a RESET draws nothing
                array.done["resets"] = resets + number

    def needed(self, left: _Places, off: torch.Tensor) -> bool:
        """Whether any device is still off; the round is counted for its members, and the numbers set to the end where none is."""
        active = np.bincount(left.places[0, off].numpy(), minlength=left.shape[0]) > 0
        self.arrays[0].note(program_rounds=active.astype(np.int64))
        if not active.any():
            self._number(self.total)
        return bool(active.any())
