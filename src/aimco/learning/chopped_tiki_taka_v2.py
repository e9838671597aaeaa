"""Chopped Tiki-Taka v2: the sign of the fast array's inputs changes at random, and offsets of its reference average out."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from aimco import rng
from aimco.kernels import filters
from aimco.learning.tiki_taka_v2 import TikiTakaV2
from aimco.mapping import AnalogMatrix

_BLOCK = 1024  # draws made in one go


class ChoppedTikiTakaV2(TikiTakaV2):
    """Tiki-Taka v2 with choppers c_i = +-1 on the rows of A.

    A += lr_fast (c x) d^T; a read v of row k enters the filter as c_k v; then c_k changes its sign with probability `flip`.
    Source: Rasch 2024 (Nat. Commun. 15:7133), c-TTv2. Digital work and memory: those of Tiki-Taka v2, and one bit per row.

    Args:
        flip: rho, the probability of a change of sign after a read.
    """

    flip: float = Field(default=0.1, ge=0, le=1, description="probability of a change of sign after a read")

    def start(self, arrays):
        return super().start(arrays) | {"chopper": torch.ones(arrays["A"].shape[:2])}

    def chopped(self, state, a, x, after, rows, reads):
        flips, out, signs = self._flips(a, reads), torch.empty_like(x), torch.empty(x.shape[0], len(rows))
        filters.chop(x.numpy(), after, rows, flips, state["chopper"].numpy(), out.numpy(), signs.numpy())
        return out, signs[:, :, None], flips

    def gradient(self, arrays, state, rows, v, signs, flips):
        return v.mul_(signs)

    def _flips(self, a: AnalogMatrix, reads: np.ndarray) -> np.ndarray:
        """In which members the sign of the row read changes after each of these reads, (E, T) bool."""
        flips, first = np.zeros((a.shape[0], len(reads)), np.bool_), 0
        while first < len(reads):
            block, place = divmod(int(reads[first]), _BLOCK)
            if a.kept.get("flips", (None,))[0] != block:
                draws = rng.uniform(rng.stream_keys(a.seeds, *a.names, "chopper"), block, _BLOCK)
                a.kept["flips"] = (block, np.less(draws, np.asarray(self.flip).reshape(-1, 1)))
            some = a.kept["flips"][1][:, place : place + len(reads) - first]
            flips[:, first : first + some.shape[1]] = some
            first += some.shape[1]
        return flips
