"""The ledger of a resistive network: operating points, their power and their time."""

from __future__ import annotations

import math

import torch

from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.settling import slowest
from aimco.ledger import Counts

_SETTLED = math.log(1000)  # time constants until 0.1 % of the way is left
_EVERY = 1000  # operating points between two measurements of the slowest mode
_COUNTED = ("settles", "source_drives", "dissipated_W", "settle_s")
_TIMING = ("point_s", "found_at")  # time of one operating point, s, and how many there had been when it was measured


class Meter:
    """Counts the operating points of a circuit, their power, and their time.

    Args:
        node_F: Capacitance that each device adds to the two lines it is on, F.
        settle_s: Time of one operating point, s; from the slowest mode of the circuit when absent.
    """

    def __init__(self, node_F: float, settle_s: float | None = None) -> None:
        self.node_F, self._settle_s = node_F, settle_s
        self.totals = {name: torch.zeros((), dtype=torch.float64) for name in (*_COUNTED, *_TIMING)}

    def settle_s(self, circuit: ResistiveCircuit) -> float:
        """Time of one operating point, s: as told, or until the slowest mode of the circuit has 0.1 % of its way left."""
        return self._settle_s or _SETTLED * slowest(circuit, self.node_F)

    def watch(self, circuit: ResistiveCircuit) -> None:
        """Measure the time of an operating point now and then: it moves little while conductances do."""
        totals = self.totals
        if not totals["point_s"] or float(totals["settles"] - totals["found_at"]) >= _EVERY:
            totals["point_s"].fill_(self.settle_s(circuit))
            totals["found_at"].copy_(totals["settles"])

    def add(self, points: int, lines: int, power: float) -> None:
        """Add operating points, of so many lines driven by sources, and their power, W."""
        amounts = (points, points * lines, power, points * self.totals["point_s"])
        for name, amount in zip(_COUNTED, amounts, strict=True):
            self.totals[name] += amount

    def counts(self, amplifiers: int) -> Counts:
        """The ledger of a circuit with so many amplifiers."""
        settles, drives, watts, seconds = (float(self.totals[name]) for name in _COUNTED)
        counts = Counts(settles=int(settles), source_drives=int(drives), dissipated_W=watts, settle_s=seconds)
        counts.add(amplified=int(settles) * amplifiers)
        return counts

    def restore(self, totals: dict[str, torch.Tensor]) -> None:
        """Set the totals of a checkpoint."""
        for name, total in self.totals.items():
            total.copy_(totals[name])
