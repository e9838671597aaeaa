"""How updates are sent as pulses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aimco.record import Record


class Pulses(Record):
    """How updates are sent as pulses.

    Args:
        length: Longest pulse train BL, 1..31 slots.
        update_management: Balance the two sides by sqrt(max|d| / max|x|).
        update_bl_management: Shorten the train to ceil(lr max|x| max|d| / dw_min).
        mode: "exact" steps every coincidence. "auto" takes the coincidences of a sample together where they are many: as many in one step
            as are as good as pulse by pulse, by the slope and the curvature of the response over the whole range (mean within 0.5 %,
            standard deviation within 3 %), and pulse by pulse where that is fewer than six, where a device is steeper than the others, or
            where noise may take it to a bound. "aggregated" does so even where it is fewer than six.
    """

    length: int = Field(default=31, ge=1, le=31, description="slots of the longest pulse train")
    update_management: bool = True
    update_bl_management: bool = True
    mode: Literal["auto", "exact", "aggregated"] = "auto"
