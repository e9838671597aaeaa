"""Chopped Tiki-Taka v2: the sign of the fast array's inputs changes at random, and offsets of its reference average out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field

from aimco import rng
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

    def chopped(self, state, x):
        return x * state["chopper"][:, None]

    def gradient(self, arrays, state, k, v):
        return state["chopper"][:, k, None] * v

    def after_read(self, arrays, state, k, read):
        flips = self._flips(arrays["A"], read)
        if flips is not None:
            state["chopper"][flips, k] *= -1
            self.flipped(arrays, state, k, flips)

    def flipped(self, arrays: Mapping[str, AnalogMatrix], state: dict[str, torch.Tensor], k: int, members: torch.Tensor) -> None:
        """What follows a change of the sign of row k in some members, (E,) bool."""

    def _flips(self, a: AnalogMatrix, read: int) -> torch.Tensor | None:
        """In which members the sign changes after a read, (E,) bool; None where in none."""
        block, place = divmod(read, _BLOCK)
        if a.kept.get("flips", (None,))[0] != block:
            draws = rng.uniform(rng.stream_keys(a.seeds, *a.names, "chopper"), block, _BLOCK)
            flips = np.less(draws, np.asarray(self.flip).reshape(-1, 1))
            a.kept["flips"] = (block, np.any(flips, axis=0, keepdims=True)[0], torch.from_numpy(flips))
        _, anywhere, flips = a.kept["flips"]
        return flips[:, place] if anywhere[place] else None
