"""Training that diverges: when a loss stops being a number, and what is told of it."""

from __future__ import annotations

from aimco.arrays.doors import NotFinite
from aimco.design import Design
from aimco.record import InputError


class Diverged(InputError):
    """The loss of a run, its outputs, or what it does to arrays is not finite any more.

    Args:
        epoch: From 1.
        error: Of the operation that found it.
        design: Of the run, for the fields that it may come from.
        phase: In which it was found, of `aimco.phases`.
        samples: Of this phase in this epoch up to then.
    """

    def __init__(self, epoch: int, error: NotFinite, design: Design, phase: str, samples: int) -> None:
        super().__init__(epoch, error, design, phase, samples)
        self.note = f"training diverged in epoch {epoch}: {error.what}"
        self.epoch, self.design, self.phase, self.samples = epoch, design, phase, samples

    def __str__(self) -> str:
        return f"{self.note}; lower {' or '.join(_suspects(self.design))}"


def _suspects(design: Design) -> list[str]:
    """The fields that are the likeliest cause, with their values: the largest noise, the learning rate and the range of the weights."""
    device, periphery = design.device, design.periphery
    span, volts = device.g_max - device.g_min, periphery.read_voltage
    noises = {  # in ranges of a device
        "device.read_noise": (device.read_noise, device.read_noise / span),
        "periphery.output_noise": (periphery.output_noise, periphery.output_noise / span / volts),
        "periphery.adc.noise_A": (periphery.adc.noise_A, periphery.adc.noise_A / span / volts),
        "periphery.adc.offset_A": (periphery.adc.offset_A, periphery.adc.offset_A / span / volts),
        "device.cycle_noise": (device.cycle_noise, device.cycle_noise * float(device.step) / span),
    }
    name, (value, part) = max(noises.items(), key=lambda noise: noise[1][1])
    suspects = {name: value} if part > 0 else {}
    lr = getattr(design.rule, "lr", None)
    suspects |= {} if lr is None else {"rule.lr": lr}
    return [f"{n} = {v:g}" for n, v in (suspects | {"cell.weight_max": design.cell.weight_max}).items()]
