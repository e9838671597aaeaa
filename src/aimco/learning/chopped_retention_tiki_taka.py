"""Chopped retention-centric Tiki-Taka: what does not change its sign with the choppers drops out of the reads of a leaky array."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aimco.learning.agad import Agad


class ChoppedRetentionTikiTaka(Agad):
    """Retention-centric Tiki-Taka on devices whose up and down steps differ, with choppers c_i = +-1 on the rows of A.

    Steps (1 + r) up and (1 - r) down add r E|x d| a sample to A under pulses: as large beside the gradient E[x d] as in plain descent,
    and no wait shows it, for at rest it is gone. It keeps its sign where the gradient changes with c, so that the difference of two reads
    under opposite signs is free of it:

    1. A rests at the point that it leaks to, and is read against it
    2. A += lr_fast (c x) d^T, by pulses; the leak forgets what was gathered under the other sign
    3. every n_s samples: v = row k of A; h_k += gain c_k (v - v'_k), v'_k the read of the row at which c_k last changed; c_k changes its
       sign with probability `flip`; then as Tiki-Taka v2

    Source: the resting point of Won 2023 (Advanced Science 10, 2303018) with the choppers of Rasch 2024 (Nat. Commun. 15:7133): AGAD of
    memory 1 that starts from the resting point. Digital work and memory: those of AGAD.
    """

    reference: Literal["symmetry-point", "resting-point", "none"] = "resting-point"
    flip: float = Field(default=0.3, ge=0, le=1, description="probability of a change of sign after a read")
    memory: float = Field(default=1.0, gt=0, le=1, description="share of a read in the running mean of A")
