"""Residual learning: several arrays of few states each, every one of which learns what the coarser ones leave over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from aimco.arrays.spec import ArraySpec
from aimco.learning import Referenced, Unit, per_sample, split_at_transfers, transfer_counter
from aimco.ledger import Work
from aimco.mapping import AnalogMatrix
from aimco.periphery import broadcast_members


class Residual(Referenced):
    """Weights are a sum over arrays of falling significance, W = sum_n gamma^n W_n.

    1. the finest array takes the gradient by pulses: W_N += lr x d^T
    2. every `transfer_every` samples the finest array, and every `slower` times as many each next coarser one, carries over:
       v = row k of W_n against its reference; row k of W_(n-1) gets the whole part of transfer_lr gamma v / dw_min as pulses;
       k = k + 1 mod rows

    What is less than a step of the coarser array stays in the finer one, so that none follows the noise of another; and an array
    carries over seldom enough that the finer ones have settled. Source: Wu 2025 (arXiv 2502.06309) for two arrays, Li 2025
    (arXiv 2510.02516) for more, where the transfer is by stochastic pulses. Digital work: none, the rate is the gain of the
    converter; memory: none.

    Args:
        lr: Learning rate of the finest array, which counts in the weights by gamma^N: 1 is 0.1/gamma^N of the default gamma and arrays,
            as measured on three devices.
        num_arrays: Number of arrays, N + 1.
        gamma: Significance of an array over that of the next coarser one.
        transfer_unit: What transfer_every counts, see `Unit`.
        transfer_every: Samples between two reads of the finest array.
        slower: The same of each coarser one over that of the next finer.
        transfer_lr: Share of what the finer array holds that is carried over at once.
        max_pulses: Most pulses on one weight by one transfer.
    """

    moved: ClassVar[Mapping[str, str]] = {"arrays_used": "num_arrays", "most_pulses": "max_pulses"}

    lr: float = Field(default=1.0, ge=0, le=1000, description="learning rate of the finest array")
    num_arrays: int = Field(default=3, ge=2, le=16, description="number of arrays")
    gamma: float = Field(default=0.3, gt=0, le=1, description="significance of an array over that of the next coarser")
    transfer_every: int = Field(default=2, ge=1, le=1_000_000, description="samples between reads of the finest array")
    transfer_unit: Unit = "sample"
    slower: int = Field(default=3, ge=1, le=1_000_000, description="transfers of an array for one of the next coarser")
    transfer_lr: float = Field(default=1.0, gt=0, le=1e6, description="share of what the finer array holds that is carried over")
    max_pulses: int = Field(default=31, ge=1, le=1000, description="most pulses on a weight by one transfer")

    def arrays(self):
        return {"W": ArraySpec()} | {f"W{n}": self.against for n in range(1, self.num_arrays)}

    def coefficients(self):
        gamma = np.asarray(self.gamma)
        return {name: 1.0 if n == 0 else gamma**n for n, name in enumerate(self.arrays())}

    def start(self, arrays):
        self.find(*list(arrays.values())[1:])
        return transfer_counter()

    def work(self, rows, columns, vectors, batch):
        each = per_sample(self.transfer_every, vectors, batch, unit=self.transfer_unit)
        read = [each / self.slower**k for k in range(self.num_arrays - 1)][::-1]  # of the arrays finer than W, coarse to fine
        names = list(self.arrays())
        passed = {
            name: Work(rows_pulsed=given, rows_read=taken) for name, given, taken in zip(names, read, [0.0, *read[:-1]], strict=False)
        }
        return passed | {names[-1]: Work(updates=vectors, rows_read=each)}

    def update(self, arrays, state, x, d, lr):
        coarse_to_fine = list(arrays.values())
        for read, xs, ds in split_at_transfers(self.transfer_every, state, x, d, unit=self.transfer_unit):
            coarse_to_fine[-1].send(xs, ds, lr)
            if read is None:
                continue
            for fine, coarse in zip(coarse_to_fine[:0:-1], coarse_to_fine[-2::-1], strict=True):
                k = read % coarse.rows
                coarse.pulse_row(k, self._pulses(fine, coarse, k))
                read, rest = divmod(read, self.slower)
                if rest:
                    break

    def _pulses(self, fine: AnalogMatrix, coarse: AnalogMatrix, k: int) -> torch.Tensor:
        """Pulses for row k of the coarser array, (E, columns) int32."""
        if "gain" not in coarse.cache:
            gain = broadcast_members(np.asarray(self.transfer_lr) * np.asarray(self.gamma) / coarse.step, coarse.shape[0])
            coarse.cache["gain"] = gain[:, 0] if isinstance(gain, torch.Tensor) else gain
        pulses = torch.trunc(fine.read_row(k) * coarse.cache["gain"])
        return pulses.clamp_(-self.max_pulses, self.max_pulses).int()
