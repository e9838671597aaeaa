"""How updates are sent as pulses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aimco.record import Record


class Pulses(Record):
    """How updates are sent as pulses.

    Args:
        length: longest pulse train BL, 1..31 slots.
        update_management: balance the two sides by sqrt(max|d| / max|x|).
        update_bl_management: shorten the train to ceil(lr max|x| max|d| / dw_min).
        mode: "exact" steps every coincidence; "aggregated" takes all of a sample's coincidences in one step where they are
            many; "auto" aggregates when a whole train moves a device by less than a quarter of half its range.
    """

    length: int = Field(default=31, ge=1, le=31, description="slots of the longest pulse train")
    update_management: bool = True
    update_bl_management: bool = True
    mode: Literal["auto", "exact", "aggregated"] = "auto"
