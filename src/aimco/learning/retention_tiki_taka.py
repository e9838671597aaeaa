"""Retention-centric Tiki-Taka: a fast array of capacitors that leak is read against the point that they leak to."""

from __future__ import annotations

from typing import Literal

from aimco.learning.tiki_taka_v2 import TikiTakaV2


class RetentionTikiTaka(TikiTakaV2):
    """Tiki-Taka v2 whose reference is the resting point of each device of A in place of its symmetry point.

    1. A is left alone until it rests, is read, and R = what was read
    2. then as Tiki-Taka v2: A += lr_fast x d^T by pulses; H gathers A - R row by row; W gets what is whole of H

    The leak pulls A to R, and so to zero gradient, where against the symmetry point it would pull A to an error for ever. The
    resting point moves with nothing that the array does, and can be read again at any time by waiting.
    Source: the modified Tiki-Taka for capacitor synapses of Won 2023 (Advanced Science 10, 2303018). Digital work and memory:
    those of Tiki-Taka v2, and one read of all rows at the start.
    """

    reference: Literal["symmetry-point", "resting-point", "none"] = "resting-point"
