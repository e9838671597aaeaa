"""Programming: how a crossbar writes devices to target states, one by one and as differential pairs.

All functions take the operations and the ledger of `Crossbar`, and write where a mask says. Draws are numbered by the round, so that a
member of an ensemble has the draws of its solo run however many rounds the others need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from aimco import rng
from aimco.device.noise import programming_sigma
from aimco.ensemble import per_member

if TYPE_CHECKING:
    from aimco.arrays.crossbar import Crossbar

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
    """Pulse every device up or down by its error, read, repeat."""
    step = torch.as_tensor(array.step.astype(np.float32))[:, None, None]
    count = _Rounds(rounds, array)
    for _ in count:
        error = target - array.state
        off = (error.abs() > limit) & only
        if not count.needed(off):
            break
        pulses = torch.round(error / step + torch.sign(error) * 1e-3)
        array.apply(torch.where(off, pulses.clamp(-1000, 1000), torch.zeros(())))


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
    caution, short_of = _caution(array), target - array.sampled.reset_point() + array.origin
    rate, count = caution, _Rounds(rounds, array)
    for number in count:
        error, last = target - array.state, number + 1 == rounds
        short = only & (error > torch.minimum(limit, rate / 2))
        beyond = only & (error < (torch.minimum(-limit, -short_of) if last else -limit)) if retry else torch.zeros_like(only)
        if not count.needed(short | beyond):
            break
        if beyond.any():
            array.reset(beyond)
            rate = torch.where(beyond, caution, rate)
        if not (last and retry):
            rate = _set(array, error, short, rate)


def pair_upwards(plus: Crossbar, minus: Crossbar, difference: torch.Tensor, only: torch.Tensor) -> None:
    """RESET two one-sided devices, and SET the one that the sign of the error asks for, read, repeat."""
    limit, total = window(plus), plus.device.writes.rounds
    pair, cautions = (plus, minus), (_caution(plus), _caution(minus))
    for array in pair:
        array.reset(only)
    rates, raised = list(cautions), [torch.zeros_like(only), torch.zeros_like(only)]
    tops, count = [array.limits()[1] - 1e-6 for array in pair], _Rounds(total, plus, minus)
    for number in count:
        error = difference - (plus.state - minus.state)
        up = error > 0
        off = only & (error.abs() > torch.minimum(limit, torch.where(up, *rates) / 2))
        full = off & torch.where(up, plus.state >= tops[0], minus.state >= tops[1])
        again = full & torch.where(up, raised[1], raised[0]) if 2 * number < total else torch.zeros_like(full)
        off = off & ~full
        if not count.needed(off | again):
            break
        if again.any():
            for k, array in enumerate(pair):
                array.reset(again)
                rates[k], raised[k] = torch.where(again, cautions[k], rates[k]), raised[k] & ~again
        for k, (array, side) in enumerate(zip(pair, (off & up, off & ~up), strict=True)):
            rates[k], raised[k] = _set(array, error.abs(), side, rates[k]), raised[k] | side


def _caution(array: Crossbar) -> torch.Tensor:
    step = torch.as_tensor(array.step.astype(np.float32))[:, None, None]
    return _CAUTION * step.expand(array.shape)


def _set(array: Crossbar, error: torch.Tensor, mask: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """SET pulses for an error, given that steps are at most `rate` on average; what the next are taken to be.

    No step after it is larger on average, as steps fall with conductance; one train that hardly moved does not make the next long.
    """
    pulses = torch.where(mask, torch.floor(error / rate).clamp(1, 1000), torch.zeros(()))
    before = array.state.clone()
    array.apply(pulses)
    moved = (array.state - before) / pulses.clamp(min=1)
    return torch.where(mask, torch.minimum(torch.maximum(moved, rate / 2), rate), rate)


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

    def needed(self, off: torch.Tensor) -> bool:
        """Whether any device is still off; the round is counted for its members, and the numbers set to the end where none is."""
        active = off.flatten(1).any(1)
        self.arrays[0].note(program_rounds=active.numpy().astype(np.int64))
        if not active.any():
            self._number(self.total)
        return bool(active.any())
