"""Reads of an array that is not ideal: the states of its cells against a reference array of the same kind.

A state is a difference of two conductances, g = g_ref + half_range x state. The chip has two arrays of the same size, kind and wires,
driven together: one holds the g, the other at each crossing the g_ref of that device (mid-range, or what the device's reference was set
to). The column currents are subtracted at the sense amplifiers. Each array drops voltage by its own conductances, so a state of 0 reads as
0 only where the two arrays agree in all other cells as well. In a pair the two reference arrays cancel.
"""

from __future__ import annotations

import math

import torch

from aimco.arrays.kinds import Array, ProgrammedArray
from aimco.ensemble import PerMember, member, per_member


class DifferentialRead:
    """Reads for E ensemble members; programmed arrays are kept until the conductances change.

    Args:
        array: What the arrays are like.
        half_range: Half the nominal range of the devices, S, a number or (E,).
        mid_range: Middle of that range, S, a number or (E,).
        read_V: Full-scale read voltage, V, a number or (E,).
        members: E.
    """

    def __init__(self, array: Array, half_range: PerMember, mid_range: PerMember, read_V: PerMember, members: int) -> None:
        ranges = zip(*(per_member(v, members) for v in (half_range, mid_range, read_V)), strict=True)
        self.members = [_Member(member(array, e), *scales) for e, scales in enumerate(ranges)]

    def read(self, voltages: torch.Tensor, state: torch.Tensor, origin: torch.Tensor, transposed: bool) -> torch.Tensor:
        """Currents in units of half_range x full voltage.

        Args:
            voltages: Relative to the read voltage, (E, B, rows), or (E, B, columns) of a transposed read.
            state: Of the devices, (E, rows, columns).
            origin: What it is read against, which broadcasts to it.
            transposed: Whether the columns are driven.

        Returns:
            (E, B, columns), or (E, B, rows).
        """
        origin, read, before = origin.expand(state.shape), [], self.members[0]
        for reader, v, s, o in zip(self.members, voltages, state, origin, strict=True):
            read.append(reader.read(v, s, o, transposed, before))
            before = reader
        return torch.stack(read).to(voltages.dtype)

    def compensated(self, target: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """States to write so that reads find the target, (E, rows, columns), as far as the nominal range lets them."""
        states = [m.compensated(t, o) for m, t, o in zip(self.members, target, origin.expand(target.shape), strict=True)]
        return torch.stack(states).to(target.dtype)

    @property
    def counts(self) -> torch.Tensor:
        """Vectors read since the conductances last changed, (E,): how the next are read may depend on it."""
        return torch.tensor([m.cells.reads for m in self.members])

    def restore(self, counts: torch.Tensor) -> None:
        """Go on from a checkpoint: nothing is kept but what decides how the next vectors are read."""
        for m, count in zip(self.members, counts.tolist(), strict=True):
            m.cells = _Held(count)


class _Held:
    """One array and what it holds; programmed anew when that changes."""

    def __init__(self, reads: int = 0) -> None:
        self.reads = reads
        self.g: torch.Tensor | None = None
        self.programmed: ProgrammedArray | None = None

    def show(self, g: torch.Tensor) -> None:
        """The conductances that there are now, (rows, columns) float64."""
        if self.g is not None and torch.equal(self.g, g):
            return
        self.reads = self.reads if self.g is None else 0
        self.g, self.programmed = g, None

    def read(self, v: torch.Tensor, array: Array, transposed: bool, stays: bool = False) -> torch.Tensor:
        assert self.g is not None
        self.reads += len(v)
        self.programmed = self.programmed or array.program(self.g)
        self.programmed.reads = math.inf if stays else self.reads
        return self.programmed.read(v, transposed)


class _Member:
    """One member: an array of cells, one of references."""

    def __init__(self, array: Array, half: float, mid: float, read_V: float) -> None:
        self.array, self.half, self.mid = array, float(half), float(mid)
        self.volt = 1.0 if array.linear else float(read_V)  # what a voltage of 1 is
        self.cells, self.reference = _Held(), _Held()

    def read(self, v: torch.Tensor, state: torch.Tensor, origin: torch.Tensor, transposed: bool, like: _Member) -> torch.Tensor:
        v, reference = v.double() if self.volt == 1 else v.double() * self.volt, self._siemens(origin.double())
        self.cells.show(self._siemens(state.double() + origin))
        if self.array == like.array and like.reference.g is not None and torch.equal(like.reference.g, reference):
            self.reference = like.reference
        self.reference.show(reference)
        current = self.cells.read(v, self.array, transposed)
        return (current - self.reference.read(v, self.array, transposed, stays=True)) / (self.half * self.volt)

    def compensated(self, target: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        rows = torch.eye(len(target), dtype=torch.float64)
        self.reference.show(self._siemens(origin.double()))
        wanted = self.reference.read(rows, self.array, False, stays=True) + self.half * target.double()
        g = self.array.compensated(wanted.clamp(min=0), max(self.mid - self.half, 0.0), self.mid + self.half)
        return (g - self.mid) / self.half - origin.double()

    def _siemens(self, state: torch.Tensor) -> torch.Tensor:
        """Conductances, S: noise takes none below 0."""
        return (state * self.half + self.mid).clamp(min=0)
