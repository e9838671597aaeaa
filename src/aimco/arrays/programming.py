"""Programming: how a crossbar writes devices to target states, one by one and as differential pairs.

All functions take the operations and the ledger of `Crossbar`, and write where a mask says. Draws are numbered by the round, so that a
member of an ensemble has the draws of its solo run however many rounds the others need.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from aimco import rng
from aimco.device.noise import programming_sigma
from aimco.device.sampled import row_parts
from aimco.ensemble import PerMember, per_member

if TYPE_CHECKING:
    from aimco.arrays.devices import Devices
    from aimco.arrays.pulse_generator import PulseGenerator

_MOST = 1000  # pulses on a device between two verify reads
_CAUTION = 10  # a one-sided device is taken to step this much more than at mid-range until it was seen to step less


def _each(array: Devices, value: PerMember) -> torch.Tensor:
    """A number, or one for each member, as (E, 1, 1) float64."""
    return torch.from_numpy(per_member(value, array.shape[0]))[:, None, None]


def window(array: Devices) -> torch.Tensor:
    """Largest error of a write that is accepted, (E, 1, 1), in half ranges."""
    given = array.device.writes.window_S
    half_step = torch.from_numpy(array.step)[:, None, None] / 2
    return (half_step if given is None else _each(array, given) / _each(array, array.device.half_range)).float()


def as_cited(array: Devices, target: torch.Tensor, only: torch.Tensor) -> None:
    """Put devices at their targets plus the residue that their datasheet cites, cut to their bounds."""
    half, mid = (_each(array, v) for v in (array.device.half_range, array.device.mid_range))
    low, high = array.limits()
    origin = array.origin.expand(array.shape)
    for part in row_parts(*array.shape):
        aim = target[:, part]
        missed = _residue(array, (aim + origin[:, part]) * half + mid, part)
        _place(array, torch.minimum(torch.maximum(aim + missed, low[:, part]), high[:, part]), only, part)
    array.done["programs"] += 1
    _count_cited(array, only)


def pair_as_cited(plus: Devices, minus: Devices, difference: torch.Tensor, only: torch.Tensor) -> None:
    """RESET two devices and write their difference, plus the residue cited for a conductance of that size.

    The device that the sign asks for is written to the level of the other, known by verify, plus the difference. Where that lies
    below the device's range, the other carries the remainder: the difference misses by the residue and nothing else.
    """
    for array in (plus, minus):
        array.reset(only)
    wanted, up = torch.empty(plus.shape), difference >= 0
    for part in row_parts(*plus.shape):
        aim = difference[:, part]
        wanted[:, part] = aim + _residue(plus, aim.abs() * _each(plus, plus.device.half_range), part)
    plus.done["programs"] += 1
    for written, other, mask, amount in ((plus, minus, only & up, wanted), (minus, plus, only & ~up, -wanted)):
        (low, high), (_, other_high) = written.limits(), other.limits()
        level = other.state + amount
        held = torch.minimum(torch.maximum(level, low), high)
        _place(other, torch.minimum(other.state + (held - level).clamp(min=0), other_high), mask)
        _place(written, held, mask)
    _count_cited(plus, only)


def _residue(array: Devices, g: torch.Tensor, part: slice) -> torch.Tensor:
    """Draws of what a write as cited misses conductances of g, S, of some rows, by, in half ranges."""
    law = array.device.programming_noise
    assert law is not None
    z = rng.normal(array.keys["programs"], array.done["programs"], array.shape[1:], part)
    sigma = programming_sigma(law, g / _each(array, array.device.g_max)) / _each(array, array.device.half_range)
    return sigma.float() * z


def _place(array: Devices, states: torch.Tensor, only: torch.Tensor, part: slice = slice(None)) -> None:
    state = array.state[:, part]
    state.copy_(torch.where(only[:, part], states.float(), state))


def _count_cited(array: Devices, only: torch.Tensor) -> None:
    written, pulses = only.sum((1, 2)).numpy(), array.device.writes.cited_pulses
    array.note(program_pulses=written * pulses, program_rounds=(written > 0) * pulses)


def both_ways(array: Devices, target: torch.Tensor, only: torch.Tensor, limit: torch.Tensor, rounds: int) -> None:
    """Pulse every device up or down by its error, read, repeat."""
    generator, first, step = array.pulse_generator, array.done["applied"], array.step.astype(np.float32)
    asked = (generator.laid(target), generator.laid(only), _of_members(limit, array), step)
    for some in _rounds(rounds, array):
        tally, given = _tally(generator), _given(array, generator)
        generator.write(first, *asked, some, _MOST, tally, given)
        if _book(array, some, tally, given):
            break
    array.done["applied"] = first + rounds


def pair_both_ways(plus: Devices, minus: Devices, difference: torch.Tensor, only: torch.Tensor) -> None:
    """RESET two devices and write the one that the sign asks for; what lies below its range is written into the other."""
    limit, rounds, up = window(plus), plus.device.writes.rounds, difference >= 0
    for array in (plus, minus):
        array.reset(only)
    for written, other, mask, amount in ((plus, minus, only & up, difference), (minus, plus, only & ~up, -difference)):
        low, high = written.limits()
        level = other.state + amount
        both_ways(written, torch.minimum(torch.maximum(level, low), high), mask, limit, rounds)
        both_ways(other, written.state - amount, mask & (level < low), limit, rounds)


def upwards(array: Devices, target: torch.Tensor, only: torch.Tensor, limit: torch.Tensor, rounds: int, retry: bool) -> None:
    """SET one-sided devices towards their targets, read, repeat; with `retry` those that overshoot are RESET and tried again."""
    generator, back, caution = array.pulse_generator, _Back(array), _caution(array)
    asked = (generator.laid(target), generator.laid(only), _of_members(limit, array), caution, _spread(caution, generator))
    for some in _rounds(rounds, array):
        tally, given = _tally(generator), _given(array, generator)
        options = (some, rounds, _MOST, retry, array.on_its_side)
        generator.kernel.raise_one(generator.taken(back.applied), back.arrays, *asked, *options, tally, given)
        if _book(array, some, tally, given):
            break
    back.done(rounds)


def pair_upwards(plus: Devices, minus: Devices, difference: torch.Tensor, only: torch.Tensor) -> None:
    """RESET two one-sided devices, and SET the one that the sign of the error asks for, read, repeat."""
    pair, rounds = (plus, minus), plus.device.writes.rounds
    for array in pair:
        array.reset(only)
    generators, backs = [array.pulse_generator for array in pair], [_Back(array) for array in pair]
    generator, cautions = generators[0], np.stack([_caution(array) for array in pair])
    rates = np.stack([_spread(caution, generator) for caution in cautions])
    asked = (
        generator.laid(difference),
        generator.laid(only),
        _of_members(window(plus), plus),
        cautions,
        rates,
        np.zeros(rates.shape, np.bool_),
    )
    for some in _rounds(rounds, *pair):
        tallies, given = np.stack([_tally(generator)] * 2), np.stack([_given(array, generator) for array in pair])
        taken = (source.taken(back.applied) for source, back in zip(generators, backs, strict=True))
        options = (some, rounds, _MOST, plus.on_its_side)
        generator.kernel.raise_pair(*taken, tuple(back.arrays for back in backs), *asked, *options, tallies, given)
        if all([_book(array, some, tally, pulses) for array, tally, pulses in zip(pair, tallies, given, strict=True)]):
            break
    for back in backs:
        back.done(rounds)


def _of_members(value: torch.Tensor, array: Devices) -> np.ndarray:
    """A number, or one for each member (E, 1, 1), as (E,) float32."""
    return np.ascontiguousarray(np.broadcast_to(value.numpy().reshape(-1), array.shape[0]), np.float32)


def _caution(array: Devices) -> np.ndarray:
    """What a step is taken to be at most before it was seen, (E,) float32."""
    return (_CAUTION * array.step).astype(np.float32)


def _spread(each: np.ndarray, generator: PulseGenerator) -> np.ndarray:
    """A number of each member (E,) for all its devices, as they lie in memory."""
    return np.ascontiguousarray(np.broadcast_to(each[:, None, None], generator.arrays[0].shape))


def _rounds(rounds: int, *arrays: Devices) -> Iterator[tuple[int, int]]:
    """Rounds that are done without a look at other devices: all, or where pulses disturb other devices, one after the other."""
    at_once = 1 if any(array.disturbs for array in arrays) else max(rounds, 1)
    for first in range(0, rounds, at_once):
        yield first, first + at_once


def _tally(generator: PulseGenerator) -> np.ndarray:
    """Pulses, rounds and RESETs by row, (3, E, lines)."""
    return np.zeros((3, *generator.hits.shape), np.int64)


def _given(array: Devices, generator: PulseGenerator) -> np.ndarray:
    """Room for the pulses that each device gets, where somebody asks."""
    return np.zeros(generator.arrays[0].shape if array.disturbs else (array.shape[0], 0, 0), np.int32)


def _book(array: Devices, rounds: tuple[int, int], tally: np.ndarray, given: np.ndarray) -> bool:
    """Put what a kernel did into the ledger; whether no device is off any more."""
    if array.disturbs:
        pulses = torch.from_numpy(given)
        array.disturb(pulses.transpose(1, 2) if array.on_its_side else pulses)
    sent, needed, resets = tally[0].sum(1), np.maximum(tally[1].max(1) - rounds[0], 0), tally[2].sum(1)
    array.note(program_pulses=sent, program_rounds=needed, **({"resets": resets} if resets.any() else {}))
    return not needed.any()


class _Back:
    """What a RESET leaves, as kernels take it, and the numbers of the draws of the rounds."""

    def __init__(self, array: Devices) -> None:
        self.array, self.applied, self.noisy = array, array.done["applied"], bool(np.any(array.device.reset_noise))
        states = (array.pulse_generator.laid(t) for t in (array.sampled.reset_point() - array.origin, *array.limits()))
        sigma = per_member(np.asarray(array.device.reset_noise) / array.device.half_range, array.shape[0])
        self.arrays = (array.keys["resets"], array.done["resets"], *states, sigma.astype(np.float32))

    def done(self, rounds: int) -> None:
        """The rounds are over: later draws are numbered from here."""
        self.array.done["applied"] = self.applied + rounds
        if self.noisy:  # else a RESET draws nothing
            self.array.done["resets"] = self.arrays[1] + rounds
