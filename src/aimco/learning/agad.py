"""AGAD: analog gradient accumulation with a dynamic reference."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from aimco.ensemble import per_member
from aimco.kernels import filters
from aimco.learning.chopped_tiki_taka_v2 import ChoppedTikiTakaV2


class Agad(ChoppedTikiTakaV2):
    """Chopped Tiki-Taka v2 whose reference is the recent mean of A itself, kept digitally: no reference device at all.

    A read v of row k enters the filter as c_k (v - p_ref,k); p_k = (1 - beta) p_k + beta v; where c_k changes its sign,
    p_ref,k = p_k. Source: Rasch 2024 (Nat. Commun. 15:7133), AGAD. Digital work per transfer: 6 operations for each column;
    memory: H, p and p_ref, three numbers per weight.

    Args:
        memory: beta, share of a read in the running mean.
    """

    digital_per_read: ClassVar[int] = 4

    reference: Literal["symmetry-point", "resting-point", "none"] = "none"
    memory: float = Field(default=0.5, gt=0, le=1, description="share of a read in the running mean of A")

    def start(self, arrays):
        state = super().start(arrays)
        return state | {"p": torch.zeros_like(state["h"]), "p_ref": torch.zeros_like(state["h"])}

    def gradient(self, arrays, state, rows, v, signs, flips):
        cache, p, p_ref = arrays["A"].cache, state["p"], state["p_ref"]
        if "beta" not in cache:
            cache["beta"] = per_member(self.memory, len(v)).astype(np.float32)
        filters.refer_to_mean(v.numpy(), rows, flips, cache["beta"], p.numpy(), p_ref.numpy())
        return super().gradient(arrays, state, rows, v, signs, flips)
