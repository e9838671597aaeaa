"""Device: one resistive element under pulses, reads and time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator

from aimco import user_code
from aimco.device import display
from aimco.device.datasheet import Datasheet
from aimco.device.sampled import Sampled, draw_devices
from aimco.errors import InputError, field_error

_CUT = 0.01  # of the devices cut at 0 S is said in notes


class Device(Datasheet):
    """A programmable conductance with its imperfections.

    Args:
        name: what tables call it. description: one line. sources: field -> where the number comes from, or "assumed".
        g_min, g_max: nominal range, S.
        response: mean response to one pulse (`aimco.device.families`).
        spread: device-to-device standard deviation of any parameter, relative to its nominal value; bounds relative
            to half the range; "step" moves both directions together, "asymmetry" apart (a+- = step (1 + e +- r));
            "resting_g" relative to half the range; "retention_s" lognormal, tau exp(s z).
        spread_law: law of the step's spread, "normal" (1 + s z) or "lognormal" exp(s z).
        cycle_noise: cycle-to-cycle standard deviation of a step, relative to the step.
        cycle_noise_additive: the same, independent of state, relative to the step at mid-range in the direction of the pulse.
        cycle_noise_range: the same, relative to g_max - g_min, for up and down pulses alike.
        read_noise: standard deviation of one read, S. noise: sources of the noise that goes on between reads (`aimco.device.noises`).
        programming_noise: c0, c1, c2 in S: standard deviation max(c0 + c1 r + c2 r^2, 0) of a write with verify, r = g/g_max.
        programming: how a write with verify is done; when absent as cited where there is a programming_noise, else iterative.
        half_select: change by a pulse on the row or the column alone, at half the voltage, relative to the step in that direction.
        reset_noise: standard deviation of the conductance after a reset, S. retention_s: relaxation time to the resting point, s.
        resting_g: conductance that the device relaxes to, S; mid-range when absent. drift: of phase-change memory, if any.
        reset_g: conductance after a reset, S; g_min when absent.
        endurance: pulses that a device survives; not known when absent. Nothing fails in a run: what training takes is held against it.

    Example:
        >>> device = Device.named("soft-bounds")
        >>> round(device.states)
        1200
    """

    listed_in: ClassVar[Path] = Path(__file__).parent / "catalogue"

    @model_validator(mode="after")
    def _own_noise_works(self) -> Self:
        for k, source in enumerate(self.noise):
            if user_code.is_own(type(source)):
                from aimco.device.noise_trial import check_noise

                try:
                    check_noise(source)
                except InputError as error:
                    raise field_error(f"noise.{k}", str(error)) from None
        return self

    @model_validator(mode="after")
    def _own_response_works(self) -> Self:
        if user_code.is_own(type(self.response)):
            from aimco.device.response_trial import check_response

            try:
                check_response(self)
            except InputError as error:
                raise field_error("response", str(error)) from None
        return self

    def __repr__(self) -> str:
        return f"Device({', '.join(display.words(self))})"

    def _repr_html_(self) -> str:
        return display.html(self, self.notes())

    def notes(self) -> list[str]:
        """What of its datasheet does not hold in the devices that are drawn, and what is odd about a user's own response."""
        share, odd = float(np.max(self.cut)), []
        if user_code.is_own(type(self.response)):
            from aimco.device.response_trial import response_notes

            odd = response_notes(self)
        if share <= _CUT:
            return odd
        note = f"{share:.0%} of the devices have their lower bound at 0 S: spread.g_min would take it below"
        return [f"{note}, and its mean and spread are less", *odd]

    def sample(self, shape: tuple[int, int], seeds: Sequence[int], *names: str) -> Sampled:
        """Draw the parameters of an array of devices.

        Args:
            shape: rows and columns. seeds: one for each ensemble member. names: which array this is.

        Returns:
            The parameters, each (E, R, C) where it varies from device to device, else (E,).
        """
        return draw_devices(self, shape, seeds, *names)


def catalogue() -> list[str]:
    """Names of the devices that come with aimco."""
    return Device.names()
