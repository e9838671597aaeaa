"""E-RIDER: RIDER with choppers, so that reference devices are written seldom."""

from __future__ import annotations

from pydantic import Field

from aimco.learning.rider import Rider


class ERider(Rider):
    """RIDER with choppers on the rows of A: the sign of a row changes with probability `flip` after a read of it.

    Offsets of the reference change their sign with the row and average out in H, and reference devices are written only then.
    Source: Xiao 2026 (arXiv 2602.21321), E-RIDER. Digital work and memory: those of RIDER.
    """

    memory: float = Field(default=0.5, gt=0, le=1, description="share of a read in the running mean of A")
    flip: float = Field(default=0.1, ge=0, le=1, description="probability of a change of sign after a read")
