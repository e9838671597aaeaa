"""Laws of fits: devices whose numbers are known are found again, noise of reading is told from noise of writing, intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from pulses import device, measure, truth

from aimco.device.fit import fit
from aimco.device.response import Response

FAMILIES = ["constant-step", "linear-step", "soft-bounds", "power", "exponential", "pcm"]


def assert_found(found, array, member):
    """Steps, asymmetry and bounds within 5 %, noise and spread within 20 %, beside what the drawn devices are."""
    middle = (found.population.low + found.population.high) / 2
    true = truth(array, member, middle)
    one_sided = array.device.response.one_sided
    value = {name: e.value for name, e in found.estimates.items()}
    half = float(array.device.half_range)
    for name in ("step_up",) if one_sided else ("step_up", "step_down"):
        assert value[name] == pytest.approx(true[name], rel=0.05)
    for name in ("g_min", "g_max"):
        assert abs(value[name] - true[name]) < 0.05 * half
    if not one_sided:
        step = (true["step_up"] + true["step_down"]) / 2
        assert abs(value["asymmetry"] - (true["step_up"] - true["step_down"]) / step) < 0.05
    assert value["spread.step"] == pytest.approx(true["spread.step"], rel=0.2)
    noise = "cycle_noise" if "cycle_noise" in value else "cycle_noise_additive"
    assert value[noise] == pytest.approx(true["cycle_noise"], rel=0.2)


@pytest.mark.parametrize("states", [20, 100, 1000])
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_device_is_found_again(kind, states):
    """10 devices, 10 full cycles, 30 % from device to device and from cycle to cycle."""
    array, (measured,) = measure(device(kind, states), [1])
    found = fit(measured)
    assert found.device.response.kind == kind
    assert_found(found, array, 0)
