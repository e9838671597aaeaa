"""What an array reads when its wires drop voltage: the states of its cells against a reference array with wires of its own.

A state is a difference of two conductances, g = g_ref + half_range x state. The chip has two arrays of the same size and the same
wires, driven together: one holds the g, the other at each crossing the g_ref of that device (mid-range, or what the device's reference
was set to). The column currents are subtracted at the sense amplifiers. Each array drops voltage by its own conductances, so a state of
0 reads as 0 only where the two arrays agree in all other cells as well. In a pair the two reference arrays cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from aimco.arrays.wires import Wires
from aimco.ensemble import per_member

if TYPE_CHECKING:
    from aimco.arrays.wired import Wired


class Readout:
    """Reads through wires, for E ensemble members; factored states and effective matrices are kept until the conductances change.

    Args:
        wires: of the array. half_range, mid_range: S, numbers or (E,). members: E.
    """

    def __init__(self, wires: Wires, half_range: Any, mid_range: Any, members: int) -> None:
        ranges = zip(per_member(half_range, members), per_member(mid_range, members), strict=True)
        self.members = [_Member(wires.of_member(e), *own) for e, own in enumerate(ranges)]

    def read(self, voltages: torch.Tensor, state: torch.Tensor, origin: torch.Tensor, transposed: bool) -> torch.Tensor:
        """Currents in units of half_range x full voltage: (E, B, rows) -> (E, B, columns), or transposed.

        Args:
            state: (E, rows, columns), read against origin, which broadcasts to it.
        """
        origin, read, before = origin.expand(state.shape), [], self.members[0]
        for own, v, s, o in zip(self.members, voltages, state, origin, strict=True):
            read.append(own.read(v, s, o, transposed, before))
            before = own
        return torch.stack(read).to(voltages.dtype)

    @property
    def counts(self) -> torch.Tensor:
        """Vectors read since the conductances last changed, (E,): how the next are read depends on it."""
        return torch.tensor([m.cells.count for m in self.members])

    def restore(self, counts: torch.Tensor) -> None:
        """Go on from a checkpoint: nothing is kept but what decides how the next vectors are read."""
        for m, count in zip(self.members, counts.tolist(), strict=True):
            m.cells = _Kept(count)


class _Kept:
    """One array: solved vector by vector as long as its effective matrix would cost more solutions than were asked for."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.g: torch.Tensor | None = None
        self.wired: Wired | None = None
        self.matrix: torch.Tensor | None = None

    def show(self, g: torch.Tensor) -> None:
        """The conductances that there are now, (rows, columns) float64."""
        if self.g is not None and torch.equal(self.g, g):
            return
        self.count = self.count if self.g is None else 0
        self.g, self.wired, self.matrix = g, None, None

    def read(self, v: torch.Tensor, wires: Wires, transposed: bool, always: bool = False) -> torch.Tensor:
        assert self.g is not None
        self.count += len(v)
        matrix = self.matrix
        if matrix is None:
            from aimco.arrays.wired import Wired

            self.wired = self.wired or Wired(self.g, wires)
            if wires.method == "first-order":
                matrix = self.matrix = self.wired.first_order()[0]
            elif always or self.count >= min(self.g.shape):
                matrix = self.matrix = self.wired.matrix()
            else:
                return self.wired.solve(v, transposed)[0]
        return v @ (matrix.T if transposed else matrix)


class _Member:
    def __init__(self, wires: Wires, half: float, mid: float) -> None:
        self.wires, self.half, self.mid = wires, float(half), float(mid)
        self.cells, self.reference = _Kept(), _Kept()

    def read(self, v: torch.Tensor, state: torch.Tensor, origin: torch.Tensor, transposed: bool, like: _Member) -> torch.Tensor:
        v, reference = v.double(), self._siemens(origin.double())
        self.cells.show(self._siemens(state.double() + origin))
        if self.wires == like.wires and like.reference.g is not None and torch.equal(like.reference.g, reference):
            self.reference = like.reference
        self.reference.show(reference)
        own = self.cells.read(v, self.wires, transposed)
        return (own - self.reference.read(v, self.wires, transposed, always=True)) / self.half

    def _siemens(self, state: torch.Tensor) -> torch.Tensor:
        """Conductances, S: noise takes none below 0."""
        return (state * self.half + self.mid).clamp(min=0)
