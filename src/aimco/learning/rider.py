"""RIDER: residual learning whose reference follows the fast array while it trains."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field

from aimco.arrays.spec import ArraySpec
from aimco.ensemble import per_member
from aimco.learning.chopped_tiki_taka_v2 import ChoppedTikiTakaV2


class Rider(ChoppedTikiTakaV2):
    """The fast array is a part of the weights, and what it is read against is its own slow mean: W_bar = W + gamma c (A - Q).

    1. y = x W_bar, z = d W_bar^T: two arrays read, the rows of A with their choppers c, against reference devices that hold Q
    2. A += lr_fast (c x) d^T, by pulses
    3. every n_s samples: v = row k of A - Q; c_k v enters the filter H, whose whole parts W gets as pulses, as in Tiki-Taka v2;
       q_k = (1 - eta) q_k + eta v, digitally; where c_k changes its sign the reference devices of the row are written to q_k

    A that gets as many pulses up as down drifts to its symmetry points, so that its mean finds them, wherever they are, without any
    pulse of calibration; and what A has not yet given to W already counts in the product, which devices of few states need most.
    Without choppers (flip = 0, RIDER) the reference devices are written at every read.
    Source: Xiao 2026 (arXiv 2602.21321), where W takes c_k v by stochastic pulses, without a filter. Digital work per transfer: 5
    operations for each column; memory: H and q, two numbers per weight, and one bit per row.

    Args:
        gamma: Share of A in the weights.
        memory: eta, share of a read in the running mean of A.
        reference: Where Q starts.
    """

    digital_per_read: ClassVar[int] = 3

    reference: Literal["symmetry-point", "resting-point", "none"] = "none"
    gamma: float = Field(default=0.1, ge=0, le=100, description="share of the fast array in the weights")
    memory: float = Field(default=0.001, gt=0, le=1, description="share of a read in the running mean of A")
    flip: float = Field(default=0.0, ge=0, le=1, description="probability of a change of sign after a read")

    @property
    def against(self):
        known = super().against
        return ArraySpec(reference="measured") if known.reference == "mid-range" else known

    def coefficients(self):
        return {"W": 1.0, "A": self.gamma}

    def signs(self, state, name):
        return state["chopper"] if name == "A" else None

    def start(self, arrays):
        state = super().start(arrays)
        return state | {"q": torch.zeros_like(state["h"])}

    def gradient(self, arrays, state, rows, v, signs, flips):
        a, cache, q, k = arrays["A"], arrays["A"].cache, state["q"], torch.from_numpy(rows)
        if "eta" not in cache:
            cache["eta"] = torch.from_numpy(per_member(self.memory, len(v))).float()[:, None, None]
            cache["unchopped"] = torch.from_numpy(per_member(self.flip, len(v)) == 0)[:, None]
        q[:, k] = q[:, k].lerp_(v, cache["eta"])
        assert flips is not None
        written = torch.from_numpy(flips) | cache["unchopped"]
        for t, row in enumerate(rows.tolist()):  # write q_k, which is relative to the reference devices, into these
            if written[:, t].any():
                a.set_reference(q[:, row], row, written[:, t])
                q[written[:, t], row] = 0.0
        return super().gradient(arrays, state, rows, v, signs, flips)

    def notes(self):
        return [*super().notes(), "reference devices hold what is written into them exactly"]
