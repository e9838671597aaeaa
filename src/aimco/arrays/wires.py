"""The record of wires that drop voltage; `aimco.arrays.wired` solves the circuit that they make."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from aimco.record import Record, quantity
from aimco.units import Ohm


class Wires(Record):
    """Resistances of the lines of an array.

    Args:
        word_ohm: Of one segment of word line, Ohm; 0 is ideal, as everywhere here.
        bit_ohm: Of one segment of bit line, Ohm.
        driver_ohm: Of each driver, Ohm; when columns are driven, of what senses the rows.
        sense_ohm: Of each sense amplifier, Ohm; when columns are driven, of what drives them.
        both_sides: Whether word lines are driven from both ends.
        method: "exact", or "first-order": cells weighed by the drops that the ideal currents would make (see `WiredArray.first_order`).
        tolerance: Largest error of every current, relative to the largest of its vector.
    """

    word_ohm: float = quantity(Ohm, 0.0, ge=0, doc="of one segment of word line")
    bit_ohm: float = quantity(Ohm, 0.0, ge=0, doc="of one segment of bit line")
    driver_ohm: float = quantity(Ohm, 0.0, ge=0, doc="of a driver")
    sense_ohm: float = quantity(Ohm, 0.0, ge=0, doc="of a sense amplifier")
    both_sides: bool = Field(default=False, description="word lines are driven from both ends")
    method: Literal["exact", "first-order"] = "exact"
    tolerance: float = Field(default=1e-9, ge=1e-13, le=1e-2, description="of a current, relative to the largest")

    @property
    def ideal(self) -> bool:
        """Whether nothing drops any voltage."""
        return not any(np.any(ohm) for ohm in (self.word_ohm, self.bit_ohm, self.driver_ohm, self.sense_ohm))
