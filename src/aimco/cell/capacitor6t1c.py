"""A capacitor, two transistors that charge and discharge it, and one whose current is read, with access transistors: 6T-1C."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from aimco.cell import Cell
from aimco.record import PathError


class Capacitor6t1c(Cell):
    """6T-1C cell of oxide transistors: w = weight_max (g - g_zero)/(half range), the difference of two read currents.

    Each cell has a zero of its own: the state in which many up and down pulses leave it. It is found by such pulses once,
    read, and kept as its digital reference; what the reading of it was wrong by stays in the weight.
    Source: Won 2023 (Adv. Sci.), and the control program of the 5 x 5 array: zeroing by 10 x (3000 up + 3000 down) pulses.

    Args:
        zero: Where the weight is zero: "symmetry-point", as zeroing finds it; "resting-point", where the charge leaks to; "mid-range".
        zero_error: Standard deviation of the reference, in units of half the range, >= 0.
    """

    transistors: ClassVar[int] = 6
    capacitive: ClassVar[bool] = True

    zero: Literal["symmetry-point", "resting-point", "mid-range"] = "symmetry-point"
    zero_error: float = Field(default=0.0, ge=0, le=1, description="standard deviation of the digital reference, in half ranges")

    @model_validator(mode="after")
    def _known(self):
        if self.zero == "mid-range" and self.zero_error:
            raise PathError("zero_error", f"must be 0 where zero is mid-range, which is known exactly, got {self.zero_error:g}")
        return self

    @property
    def reference_error(self):
        return self.zero_error

    def reference(self, asked):
        return self.zero if asked == "mid-range" else asked
