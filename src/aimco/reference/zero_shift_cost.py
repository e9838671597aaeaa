"""What zero-shifting leaves and what it costs, against closed forms of soft bounds (Kim et al. 2019)."""

from __future__ import annotations

import math

import numpy as np

from aimco.arrays.spec import ArraySpec
from aimco.design import Design
from aimco.mapping import AnalogMatrix
from aimco.reference import Row, Settings
from aimco.zero_shift import zero_shift

SOURCE = (
    "Kim et al., arXiv 1907.10228 (2019): the cost of zero-shifting grows as 1 / dw_min; expected: closed forms of soft bounds with steps "
    "d = 2 / states of half the range"
)
NEEDS = None

STATES = (20, 200, 2000)
_CYCLE_NOISE = 0.3
_SIZE = 60


def matrix(states: float, cycle_noise: float, size: int = _SIZE) -> AnalogMatrix:
    """size x size devices with soft bounds at mid-range, whose symmetry points differ."""
    step = 2.0 / states
    device = {"g_min": 0.0, "g_max": 2.0, "response": {"kind": "soft-bounds", "step_up": step, "step_down": step}}
    design = Design.of({"device": device | {"spread": {"asymmetry": 0.1}, "cycle_noise_additive": cycle_noise}})
    return AnalogMatrix(ArraySpec.of(design, "measured"), size, size)


def left_over(states: float) -> tuple[float, float]:
    """(standard deviation of the devices around their symmetry points, mean distance of the reference from them), half ranges.

    After 6 / d pulses, e^-6 of the way: devices are as they then stand, the reference is the mean of the last two readings.
    """
    array = matrix(states, _CYCLE_NOISE)
    point = array.tiles[0][0].crossbar.sampled.symmetry_point()
    zero_shift(array, 2 * round(3 * states / 2))
    origin = array.tiles[0][0].crossbar.origin
    return float((array.weights + origin - point).std()), float((origin - point).mean())


def last_pulse(states: float) -> float:
    """Mean distance of devices from their symmetry points after a pulse down, half ranges."""
    array = matrix(states, 0.0)
    array.pulse_up_down(2 * round(3 * states / 2))
    return float((array.weights - array.tiles[0][0].crossbar.sampled.symmetry_point()).mean())


def pulses_to(share: float, states: float) -> int:
    """Pulses until this share of the first distance is left, of the mean of two readings from where it settles."""
    array = matrix(states, 0.0, size=8)
    array.pulse_up_down(2 * round(10 * states / 2))
    settled = array.weights.clone()
    array.pulse_up_down(1)
    settled = (settled + array.weights) / 2
    array.tiles[0][0].crossbar.state.copy_(settled + 0.5)
    sent, low = 0, array.weights.clone()
    while True:
        array.pulse_up_down(1, up=sent % 2 == 0)
        sent, high = sent + 1, array.weights.clone()
        if float(((low + high) / 2 - settled).abs().mean()) < share * 0.5:
            return sent
        low = high


def run(settings: Settings) -> list[Row]:
    """Spread, bias and pulses for 20, 200 and 2000 states, and the slope of the cost."""
    rows, cost = [], []
    for k, n in enumerate(STATES):
        if settings.on_step:
            settings.on_step(f"{n} states", k / len(STATES))
        d, (spread, bias) = 2 / n, left_over(n)
        wanted = math.sqrt(d / 2) * _CYCLE_NOISE
        cost.append(pulses_to(0.01, n))
        cells = {
            "spread around the symmetry point": (wanted, spread, 0.05 * wanted, "half ranges"),
            "bias after a pulse down": (-d / 2, last_pulse(n), 0.1 * d / 2, "half ranges"),
            "bias of the mean of two readings": (0.0, bias, 0.1 * d / 2 + 3 * wanted / _SIZE, "half ranges"),
            "pulses to 1 % of the way": (math.log(100) / d, cost[-1], 0.05 * math.log(100) / d + 1, ""),
        }
        rows += [Row(f"{n} states, {name}", None, ours, within, unit, expected=e) for name, (e, ours, within, unit) in cells.items()]
    slope = float(np.polyfit(np.log([2 / n for n in STATES]), np.log(cost), 1)[0])
    return [*rows, Row("slope of log pulses against log dw_min", -1.0, slope, 0.15, "")]
