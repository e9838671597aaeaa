"""Measurements made by devices whose numbers are known: what fits are tested on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from aimco.arrays.crossbar import Crossbar
from aimco.device.device import Device
from aimco.device.measurement import Measurement, Trace

SHAPES = {
    "exponential": {"a_up": float(np.exp(-3)), "gamma_up": 3.0, "a_down": float(np.exp(-3)), "gamma_down": 3.0},
}


def device(kind: str, states: float, *, step: float = 0.3, bounds: float = 0.1, cycles: float = 0.3) -> Device:
    """A device with so many states between 1 and 3 uS, steps up a tenth larger than steps down."""
    size = 2e-6 / states
    response = {"kind": kind, "step_up": 1.05 * size, "step_down": 0.95 * size} | SHAPES.get(kind, {})
    spread = {"step": step, "g_max": bounds, "g_min": bounds}
    return Device.of({"g_min": 1e-6, "g_max": 3e-6, "response": response, "spread": spread, "cycle_noise": cycles, "reset_g": 1e-6})


def measure(
    sample: Device, seeds: Sequence[int], *, devices: int = 10, cycles: int = 10, read_noise: float = 0.0
) -> tuple[Crossbar, list[Measurement]]:
    """Full cycles of single pulses on some devices, one measurement for each seed; and the array, which knows the truth."""
    array = Crossbar(sample, 1, devices, seeds=seeds, names=("measured",))
    one_sided = sample.response.one_sided
    array.state.copy_(array.sampled.bounds()[0])
    slowest = min(max(float(array.sampled.values["step_up"].min()) * sample.states / 2, 0.2), 1.0)
    ramp = int(3 * sample.states / slowest)
    cycle = [1] * ramp + ([2] if one_sided else [-1] * ramp)
    levels = [array.state.clone()]
    for polarity in cycle * cycles:
        if polarity == 2:
            array.reset(torch.ones(array.shape, dtype=torch.bool))
        else:
            array.pulse_rows(torch.full(array.shape, polarity, dtype=torch.int32))
        levels.append(array.state.clone())
    polarity = np.array([0, *cycle * cycles], np.int8)
    number = np.concatenate([[0], np.repeat(np.arange(cycles), len(cycle))])
    level = torch.stack(levels)[:, :, 0].double().numpy() * float(sample.half_range) + float(sample.mid_range)
    level = level + read_noise * np.random.default_rng(0).standard_normal(level.shape)
    pulses = (polarity != 0).astype(np.int64)
    return array, [
        Measurement(
            [Trace(str(d), number, level[:, e, d], polarity, pulses, None) for d in range(devices)], "S", "made.csv", [], None, None
        )
        for e in range(len(seeds))
    ]


def truth(array: Crossbar, member: int, middle: float) -> dict[str, float]:
    """What the drawn devices are, S: mean steps at a conductance `middle`, mean bounds, relative spreads."""
    sample = array.device
    state = torch.full(array.shape, float(sample.normalised(middle)))
    half = float(sample.half_range)
    up, down = (steps[member, 0].abs().double().numpy() * half for steps in array.sampled.steps(state))
    low, high = (b[member, 0].double().numpy() * half + float(sample.mid_range) for b in array.sampled.bounds())
    values = {"step_up": up.mean(), "step_down": down.mean(), "g_min": low.mean(), "g_max": high.mean()}
    relative = (up / up.mean() + down / down.mean()) / 2 if down.mean() else up / up.mean()
    values["spread.step"] = relative.std(ddof=1) if relative.size > 1 else 0.0
    return {name: float(value) for name, value in values.items()} | {"cycle_noise": sample.cycle_noise}
