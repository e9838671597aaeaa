"""Seconds that counted operations take: the one definition, of prices after a run and of the clock during it.

Counts and numbers of the periphery are numbers, or one for each ensemble member, (E,).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil
from typing import Self

import numpy as np

from aimco.cost import converters
from aimco.cost.technology import Technology
from aimco.design import Design
from aimco.ensemble import PerMember

TIMED = ("mvm", "mvm_t", "adc", "integrations", "slots", "program_rounds", "digital_ops", "moved", "settle_s", "spiking_s")
_TINY = 1e-300  # what nothing is divided by


@dataclass(frozen=True)
class Cut:
    """A matrix over down x across arrays, each of rows x columns (on average); or several such matrices that work at once."""

    rows: float
    columns: float
    down: int
    across: int
    groups: int = 1

    @functools.cached_property
    def arrays(self) -> int:
        return self.down * self.across * self.groups

    @classmethod
    def of(cls, design: Design, rows: int, columns: int, groups: int = 1) -> Cut:
        """Of one matrix of a layer, or of those of its groups, which are alike."""
        down, across = (max(ceil(n / most), 1) for n, most in ((rows, design.array.rows), (columns, design.array.cols)))
        return cls(rows / down, columns / across, down, across, groups)


@dataclass(frozen=True)
class Pace:
    """How long the periphery of a design takes for one of each operation, s; numbers, or one for each ensemble member.

    Args:
        array_s: reads of the array for one vector. read_s: one read of the array. round_s: conversions of all its outputs.
        pulse_s: one pulse slot. write_s: one row in one round of write-and-verify. digital_s: one digital operation.
        pulses: of one input value. adds_free: whether additions behind an ADC take no time of their own.
        moved_s: one value between buffer and arrays, and 0 where the technology has no rate for it.
        pipelined: whether converters work while the array reads on.
    """

    array_s: PerMember
    read_s: PerMember
    round_s: PerMember
    pulse_s: PerMember
    write_s: PerMember
    digital_s: PerMember
    pulses: PerMember
    adds_free: bool
    moved_s: float
    pipelined: bool = True

    @classmethod
    def of(cls, design: Design, technology: Technology, *, pipelined: bool = True) -> Self:
        """Of one design."""
        p, t = design.periphery, technology
        return cls(
            array_s=converters.array_reads(p) * p.read_s,
            read_s=p.read_s,
            round_s=p.dac.shared_by * p.adc.shared_by * converters.conversion_s(p, t),
            pulse_s=p.pulse_s,
            write_s=p.pulse_s + p.read_s,
            digital_s=1 / t.digital_per_s,
            pulses=p.dac.pulses,
            adds_free=t.accumulate_J is not None,
            moved_s=1 / t.moved_per_s if t.moved_per_s else 0.0,
            pipelined=pipelined,
        )

    @classmethod
    def of_all(cls, designs: Sequence[Design]) -> Self:
        """Of the members of an ensemble: one number where they agree, (E,) where they do not."""
        each = [cls.of(design, Technology.named(design.technology)) for design in designs]
        columns = {field.name: [getattr(one, field.name) for one in each] for field in fields(cls)}
        return replace(each[0], **{name: np.array(v) for name, v in columns.items() if any(one != v[0] for one in v)})

    def seconds(self, cut: Cut, counts: Mapping[str, PerMember]) -> dict[str, PerMember]:
        """Seconds by what takes them: read, slots, write, digital, moved, settle and spike.

        read = max(array, convert) or their sum, each over the arrays of the matrix, which work at once:
            array = (mvm + mvm_t) array_s + integrations / columns read_s
            convert = round_s times rounds; one ends when every output has been converted, adc (mvm + mvm_t) / (mvm columns + mvm_t rows)
        slots = slots pulse_s / arrays; write = program_rounds rows (pulse_s + read_s) / arrays; digital = digital_ops digital_s;
        moved = values moved_s; settle and spike as counted.

        Args:
            counts: by name, those of `TIMED`; what is absent is 0.
        """
        n, arrays = counts.get, cut.arrays
        added = partial_sums(cut, counts, self.pulses) if self.adds_free else 0
        return {
            "read": self._read_s(cut, counts) / arrays,
            "slots": n("slots", 0) * self.pulse_s / arrays,
            "write": n("program_rounds", 0) * cut.rows * self.write_s / arrays,
            "digital": (n("digital_ops", 0) - added) * self.digital_s,
            "moved": moved(cut, counts) * self.moved_s if self.moved_s else 0.0,
            "settle": n("settle_s", 0.0),
            "spike": n("spiking_s", 0.0),
        }

    def _read_s(self, cut: Cut, counts: Mapping[str, PerMember]) -> PerMember:
        """Seconds of all reads, their conversions beside or after them, before they are shared out among arrays."""
        forward, back = counts.get("mvm", 0), counts.get("mvm_t", 0)
        vectors = forward + back
        array, rounds = vectors * self.array_s, vectors
        if cut.columns and "integrations" in counts:
            array += counts["integrations"] / cut.columns * self.read_s
        if isinstance(self.round_s, float) and not self.round_s:
            return array
        if cut.columns:
            rounds = counts.get("adc", 0) * vectors / _larger(forward * cut.columns + back * cut.rows, _TINY)
        convert = rounds * self.round_s
        return _larger(array, convert) if self.pipelined else array + convert


def partial_sums(cut: Cut, counts: Mapping[str, PerMember], pulses: PerMember) -> PerMember:
    """Those of digital_ops that add what was converted: two for each further pulse of a value, one for each further array of a line."""
    forward, back = counts.get("mvm", 0) * (cut.columns or 1), counts.get("mvm_t", 0) * (cut.rows or 1)
    share = back / _larger(forward + back, _TINY)
    added = (1 - share) * (cut.down - 1) / cut.down + share * (cut.across - 1) / cut.across
    most = counts.get("adc", 0) / pulses * (2 * (pulses - 1) + added)
    return _smaller(most, counts.get("digital_ops", 0))


def moved(cut: Cut, counts: Mapping[str, PerMember]) -> PerMember:
    """Values that come from a buffer, once for all arrays that take them, or go to one: those of every vector where not counted."""
    if "moved" in counts:
        return counts["moved"]
    vectors = (counts.get("mvm", 0) + counts.get("mvm_t", 0)) / (cut.down * cut.across)
    return vectors * (cut.rows * cut.down + cut.columns * cut.across)


def _larger(a: PerMember, b: PerMember) -> PerMember:
    """The larger of two numbers, or of each pair."""
    return np.maximum(a, b) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else max(a, b)


def _smaller(a: PerMember, b: PerMember) -> PerMember:
    """The smaller of two numbers, or of each pair."""
    return np.minimum(a, b) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else min(a, b)
