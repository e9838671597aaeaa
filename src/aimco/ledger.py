"""Counts: the ledger of every operation an array was asked to do; what energy and time are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

FIELDS = {
    "mvm": "input vectors multiplied (repeats by bound management included)",
    "mvm_t": "vectors multiplied by the transposed array",
    "dac": "values converted to read voltages",
    "adc": "currents converted to numbers",
    "integrations": "outputs integrated once more, where bits are weighed by repetition",
    "moved": "values between a buffer and arrays",
    "sensed": "currents compared with 0 A by sense amplifiers, one bit each",
    "cell_reads": "devices read, one per device and vector",
    "row_reads": "single rows read out",
    "updates": "rank-1 updates (samples)",
    "row_updates": "single rows pulsed",
    "slots": "pulse slots that updates took, both polarities",
    "row_pulses": "pulses sent on rows, to step up and to step down",
    "column_pulses": "pulses sent on columns, to step up and to step down",
    "coincidences": "devices stepped by coinciding pulses",
    "programmed": "devices written with verify",
    "program_pulses": "pulses of write-and-verify",
    "program_rounds": "rounds of write-and-verify, all rows",
    "resets": "devices reset",
    "hold_s": "seconds that passed",
    "settles": "operating points that a circuit settled to",
    "settle_s": "seconds in which it did",
    "dissipated_W": "power that conductances and diodes took, summed over the operating points",
    "amplified": "amplifiers at work, one per amplifier and operating point",
    "source_drives": "voltages that sources were set to",
    "lif_spikes": "spikes of forward neurons",
    "blif_spikes": "spikes of backward neurons",
    "synaptic_ops": "weights read by spikes, one per spike and neuron that it reaches",
    "walk_steps": "steps of random-walk circuits",
    "spiking_s": "seconds in which spiking neurons ran",
    "digital_ops": "additions and multiplications outside the arrays",
}


@dataclass(frozen=True)
class Work:
    """What one training sample does to an array beside reading the weights, for predictions: amounts, which may be parts of one.

    Args:
        updates: of all rows, by trains. row_updates: of one row, by trains. rows_pulsed: of one row, each column its own number of pulses.
        all_pulsed: the same of all rows, one after the other, as one update. rows_read: single rows read.
        digital: operations beside the arrays.
    """

    updates: float = 0.0
    row_updates: float = 0.0
    rows_pulsed: float = 0.0
    all_pulsed: float = 0.0
    rows_read: float = 0.0
    digital: float = 0.0


_REAL = ("hold_s", "settle_s", "dissipated_W", "spiking_s")  # the others are whole numbers

Amount = float | np.ndarray  # a number, or one for each ensemble member, (E,)


class Counts(dict[str, Amount]):
    """Amounts by operation; a number, or one for each ensemble member, (E,).

    Example:
        >>> total = Counts(mvm=2) + Counts(mvm=1, adc=512)
        >>> total["mvm"], total["adc"]
        (3, 512)
    """

    def add(self, **amounts: Amount) -> None:
        """Add amounts in place."""
        for name, amount in amounts.items():
            if name not in FIELDS:
                raise KeyError(f"{name} is not a count; the counts are {', '.join(FIELDS)}")
            self[name] = self.get(name, 0) + amount

    def __add__(self, other: Mapping[str, Amount]) -> Counts:
        total = Counts(self)
        total.add(**other)
        return total

    def __sub__(self, other: Mapping[str, Amount]) -> Counts:
        return self + {name: -np.asarray(amount) for name, amount in other.items()}

    def member(self, e: int) -> Counts:
        """The counts of one ensemble member as plain numbers."""
        values = {n: (v if np.ndim(v) == 0 else np.asarray(v)[e]) for n, v in self.items()}
        return Counts({n: float(v) if n in _REAL else int(v) for n, v in values.items()})

    @classmethod
    def total(cls, parts: Iterable[Mapping[str, Amount]]) -> Counts:
        """Sum of ledgers."""
        sum_ = cls()
        for part in parts:
            sum_.add(**part)
        return sum_


Ledgers = Mapping[str, Mapping[str, Counts]]  # layer -> array -> counts


def tensors_of(counts: Counts) -> dict[str, torch.Tensor]:
    """Counts as tensors, for checkpoints."""
    return {name: torch.as_tensor(np.array(amount)) for name, amount in counts.items()}


def counts_of(tensors: Mapping[str, torch.Tensor]) -> Counts:
    """Counts from a checkpoint."""
    return Counts({name: t.numpy().copy() if t.ndim else t.item() for name, t in tensors.items()})
