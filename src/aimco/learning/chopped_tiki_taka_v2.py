"""Chopped Tiki-Taka v2: the sign of the fast array's inputs changes at random, and offsets of its reference average out."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from aimco import rng
from aimco.ensemble import per_member
from aimco.kernels import filters
from aimco.learning.tiki_taka_v2 import TikiTakaV2
from aimco.mapping import AnalogMatrix

_BLOCK = 1024  # draws made in one go


class ChoppedTikiTakaV2(TikiTakaV2):
    """Tiki-Taka v2 with choppers c_i = +-1 on the rows of A.

    A += lr_fast (c x) d^T; a read v of row k enters the filter as c_k v; then c_k changes its sign with probability `flip`.
    Source: Rasch 2024 (Nat. Commun. 15:7133), c-TTv2. Digital work and memory: those of Tiki-Taka v2, and one bit per row.

    An offset r of the reference adds c_k r to the filter at each read. Over a period of regular changes that sums to nothing, so that W
    gets no pulse of it while 1/flip reads of it stay below the threshold; under random changes it is a random walk, which sends W
    pulses at any offset.

    Args:
        flip: rho, the probability of a change of sign after a read.
        flips: "random", or "regular": every row changes its sign at each ceil(1/flip)-th read of it, at least the second.
    """

    chops: ClassVar[bool] = True

    flip: float = Field(default=0.1, ge=0, le=1, description="probability of a change of sign after a read")
    flips: Literal["random", "regular"] = "random"

    def start(self, arrays):
        return super().start(arrays) | {"chopper": torch.ones(arrays["A"].shape[:2])}

    def chopped(self, state, a, x, after, rows, reads):
        flips, out, signs = self._flips(a, reads), torch.empty_like(x), torch.empty(x.shape[0], len(rows))
        filters.chop(x.numpy(), after, rows, flips, state["chopper"].numpy(), out.numpy(), signs.numpy())
        return out, signs[:, :, None], flips

    def gradient(self, arrays, state, rows, v, signs, flips):
        assert signs is not None
        return v.mul_(signs)

    def _flips(self, a: AnalogMatrix, reads: np.ndarray) -> np.ndarray:
        """In which members the sign of the row read changes after each of these reads, (E, T) bool."""
        if self.flips == "regular":
            return self._regular(a, reads)
        flips, first = np.zeros((a.shape[0], len(reads)), np.bool_), 0
        while first < len(reads):
            block, place = divmod(int(reads[first]), _BLOCK)
            if a.cache.get("flips", (None,))[0] != block:
                draws = rng.uniform(rng.stream_keys(a.seeds, *a.names, "chopper"), block, _BLOCK)
                a.cache["flips"] = (block, np.less(draws, np.asarray(self.flip).reshape(-1, 1)))
            some = a.cache["flips"][1][:, place : place + len(reads) - first]
            flips[:, first : first + some.shape[1]] = some
            first += some.shape[1]
        return flips

    def _regular(self, a: AnalogMatrix, reads: np.ndarray) -> np.ndarray:
        """The same where each row changes its sign after a fixed number of reads of it; never where flip is 0."""
        flip = per_member(self.flip, a.shape[0])[:, None]
        period = np.maximum(np.ceil(1 / np.where(flip > 0, flip, 1)), 2)
        return (flip > 0) & ((reads // a.rows + 1) % period == 0)
