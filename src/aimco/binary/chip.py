"""Binary layers in arrays of devices: written with trained weights, and read by sense amplifiers or ADCs as the chip reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from aimco.arrays.spec import ArraySpec, Blueprint
from aimco.binary.layers import sign
from aimco.binary.plan import Placement
from aimco.ledger import Counts, counts_of, tensors_of
from aimco.mapping import AnalogMatrix
from aimco.nn.layers import Arrays
from aimco.periphery import Adc


class BinaryArrays(Arrays):
    """+-1 weights of one layer in arrays, one matrix for each group of inputs (abstract).

    A sense amplifier compares a current with a reference current of its own, which is exact but for the amplifier's zero point. Its
    comparison is simulated as an exact reading of the current, counted as a bit.

    Args:
        design: Device, cell, array and periphery.
        place: Groups and sizes.
        name: Of the layer, for its random streams.
        seed: Of devices, amplifiers and noise.
        full_scale: Input that the full read voltage stands for, > 0.
    """

    def __init__(self, design: Blueprint, place: Placement, name: str, seed: int, full_scale: float = 1.0) -> None:
        super().__init__()
        self.design, self.place, self.name, self.seed, self.full_scale = design, place, name, seed, full_scale
        self.rule_state = {}
        self._past, self._at_write = Counts(), Counts()
        self._fabricate()

    def _fabricate(self) -> None:
        """Arrays as they come from the factory: the same for the same seed."""
        d, p = self.design, self.place
        periphery = d.periphery
        if p.sensed:  # thresholds are fixed currents, so that inputs are not scaled vector by vector
            assert periphery.sense is not None
            adc = Adc(offset_A=float(np.mean(periphery.sense.offset_A)))
            changed = {"sense": None, "adc": adc, "noise_management": "none", "bound_management": "none"}
            periphery = periphery.model_copy(update=changed)
        spec = replace(ArraySpec.of(d), periphery=periphery)
        self.matrices = {
            f"group {k}": AnalogMatrix(spec, p.rows, p.outputs, seeds=(self.seed,), names=(self.name, f"group {k}"))
            for k in range(p.groups)
        }

    def write(self, weight: torch.Tensor) -> None:
        """Write and verify weights (groups, rows, outputs) into new arrays; then time passes, as long as the network says.

        The ledger is that of the reads of all arrays so far, and of the writing of these alone: a chip is written once.
        """
        self._past = self._past + (self._here() - self._at_write)
        self._fabricate()
        messages = []
        for one, matrix in zip(weight[:, None], self.matrices.values(), strict=True):
            matrix.program(one)
            messages += matrix.missed(one)
        self.written = ([next(filter(None, messages), "")],)
        if self.design.network.read_after_s:
            self.elapse(self.design.network.read_after_s)
        self._at_write = self._here()

    def calibrated(self, x: torch.Tensor) -> torch.Tensor:
        """Take the ranges of the ADCs from vectors (B, inputs), as part of the writing; returns the outputs for them."""
        for part, matrix in zip(self._groups(x), self.matrices.values(), strict=True):
            matrix.calibrate(part)
        outputs = self(x)
        self._at_write = self._here()
        return outputs

    def sums(self, x: torch.Tensor) -> torch.Tensor:
        """Sums of each group as they are read, (B, groups, outputs), of inputs (B, inputs)."""
        read = [matrix.read("mvm", part)[0] for part, matrix in zip(self._groups(x), self.matrices.values(), strict=True)]
        sums = torch.stack(read, 1)
        return sums if self.full_scale == 1 else sums * self.full_scale

    def _groups(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What is on the rows of each group, (1, B, rows)."""
        scaled = x if self.full_scale == 1 else x / self.full_scale
        return [part[None].contiguous() for part in scaled.split(self.place.rows, 1)]

    def _digital(self, vectors: int) -> None:
        self.matrices["group 0"].digital(vectors * self.place.digital)

    # ledgers: those of the groups are one

    def _here(self) -> Counts:
        """What these arrays did."""
        done = Counts.total(matrix.counts for matrix in self.matrices.values())
        return Counts({("sensed" if n == "adc" and self.place.sensed else n): amount for n, amount in done.items()})

    @property
    def counts(self):
        return {"W": self._past + self._here()}

    @property
    def timed(self):
        done = Counts.total(matrix.timed for matrix in self.matrices.values())
        return {"W": done | ({"adc": 0} if self.place.sensed else {})}

    @property
    def shapes(self):
        p = self.place
        return {"W": (p.rows, p.outputs) if p.groups == 1 else (p.rows, p.outputs, p.groups)}

    def get_extra_state(self):
        ledgers = {"past": tensors_of(self._past), "at_write": tensors_of(self._at_write)}
        return super().get_extra_state() | ledgers | {"written": [list(messages) for messages in self.written]}

    def set_extra_state(self, state):
        super().set_extra_state(state)
        self._past, self._at_write = counts_of(state["past"]), counts_of(state["at_write"])
        self.written = tuple(state["written"])


class BitLayer(BinaryArrays):
    """A hidden layer: one bit of each group and output, and their majority, a tie +1: (B, inputs) -> (B, outputs), all +-1.

    Where ADCs read it there is one group, whose sum is compared digitally. Arguments of `BinaryArrays`.

    Source: Kim 2018 (arXiv 1811.02187).
    """

    threshold: torch.Tensor
    up: torch.Tensor

    def __init__(self, design: Blueprint, place: Placement, name: str, seed: int, full_scale: float = 1.0) -> None:
        super().__init__(design, place, name, seed, full_scale)
        self.register_buffer("threshold", torch.zeros(place.groups, place.outputs))
        self.register_buffer("up", torch.ones(place.groups, place.outputs))

    def compare_with(self, threshold: torch.Tensor, up: torch.Tensor) -> None:
        """Set what sums are compared with, (groups, outputs), and where a bit is +1: above it (up = 1) or below (-1)."""
        self.threshold.copy_(threshold)
        self.up.copy_(up)

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        votes = sign((self.sums(x) - self.threshold) * self.up).sum(1)
        self._digital(len(x))
        return sign(votes)


class SumLayer(BinaryArrays):
    """The last layer: the sum of each output, (B, inputs) -> (B, outputs), converted and added over groups.

    Sense amplifiers find a sum bit by bit, from the largest (successive approximation): each bit is a read of the array against a
    reference current half-way through the range that is left. A group of n rows has n + 1 sums from -n to n, two apart. Arguments of
    `BinaryArrays`.
    """

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums = self._by_bits(x) if self.place.sensed else self.sums(x)
        self._digital(len(x))
        return sums.sum(1)

    def _by_bits(self, x: torch.Tensor) -> torch.Tensor:
        n, reads = self.place.rows, self.place.reads
        step, code = 2 * max(1.0, (n + 1) / 2**reads), torch.zeros(len(x), self.place.groups, self.place.outputs)
        for k in reversed(range(reads)):
            trial = code + 2**k
            code = torch.where(self.sums(x) >= step * trial - n - 1, trial, code)
        return step * (code + 0.5) - n - 1
