"""How devices are written to a target: as a publication says that they end up, or by pulses and verify reads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aimco.record import Record, quantity
from aimco.units import S


class Programming(Record):
    """What a write with verify does to a device, or to the two of a differential pair.

    "as-cited": the target plus the residue that the datasheet cites (`Device.programming_noise`), which already is what iterative
    programming leaves. The pulses are not simulated; each device written counts as `cited_pulses` pulses and verify reads.

    "iterative": pulses of the device's own response with a verify read after each round, until the error is within the window and no
    further pulse would be expected to lower it, or until the rounds are used up. The residue, its mean and its cost then come out.
    A device with steps both ways is pulsed up and down. A one-sided device (phase change) is SET towards the target; where it
    overshoots it is RESET and tried again. Of a pair the error decides which device is SET, so that either corrects the overshoot of
    the other; where that device is full, both are RESET and tried again.

    Args:
        method: Which of the two.
        window_S: Largest error that is accepted, S; half a step at mid-range when absent.
        rounds: Rounds of pulses and verify reads before giving up.
        cited_pulses: Pulses and verify reads that a write as cited counts as, for each device written.

    Source: Joshi 2020 (Nat. Commun. 11:2473) for iterative programming and its residue; the number of cited pulses is assumed.
    """

    method: Literal["as-cited", "iterative"] = "iterative"
    window_S: float | None = quantity(S, None, gt=0, doc="largest error that is accepted; half a step when absent")
    rounds: int = Field(default=60, ge=1, le=10_000, description="rounds of pulses and verify reads before giving up")
    cited_pulses: int = Field(default=20, ge=0, le=10_000, description="pulses and verify reads of a write as cited; assumed")
