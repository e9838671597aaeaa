"""Laws of fits: devices whose numbers are known are found again, noise of reading is told from noise of writing, intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from aimco.device.fit import fit
from pulses import device, measure, truth

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


def test_a_read_is_told_from_a_write():
    """Noise of reading of three steps, and of writing of .5 of a step: each within 15 %, and the range within 2 %."""
    made = device("linear-step", 400, step=0.0, bounds=0.0, cycles=0.5)
    step = float(made.step)
    _, (measured,) = measure(made, [3], devices=4, cycles=6, read_noise=3 * step)
    found = fit(measured)
    assert found.estimates["read_noise"].value == pytest.approx(3 * step, rel=0.05)
    noise = found.estimates.get("cycle_noise", found.estimates.get("cycle_noise_additive"))
    assert noise.value == pytest.approx(0.5, rel=0.15)
    assert found.estimates["g_max"].value == pytest.approx(3e-6, rel=0.02)
    assert found.estimates["step_up"].value == pytest.approx(made.response.step_up, rel=0.05)


def test_one_device_has_intervals_and_no_spread():
    """Intervals of a single device come from its own data; nothing is said of others."""
    array, drawn = measure(device("soft-bounds", 50), range(12), devices=1)
    hits = []
    for e, measured in enumerate(drawn):
        found = fit(measured, family="soft-bounds")
        true = truth(array, e, (found.population.low + found.population.high) / 2)
        intervals = (found.estimates[name] for name in ("step_up", "step_down", "g_min", "g_max"))
        hits += [i.low < true[name] < i.high for i, name in zip(intervals, ("step_up", "step_down", "g_min", "g_max"), strict=True)]
    assert np.mean(hits) > 0.85  # 48 intervals of 95 %: three standard deviations below
    assert np.isnan(found.estimates["spread.step"].value)
    assert "one device" in " ".join(found.notes)
    assert not found.device.spread


def test_a_users_own_response_is_fitted(tmp_path):
    """A family of one's own, from one's own file, like those that come with aimco."""
    (tmp_path / "mine.py").write_text(
        "from math import cos\n\nfrom aimco import Response\n\n\nclass Mine(Response):\n    width: float = 0.5\n\n    @staticmethod\n"
        "    def step(g, up, p):\n        return p.step_up * cos(p.width * g) if up else -p.step_down * cos(p.width * g)\n"
    )
    kind = f"{tmp_path / 'mine.py'}:Mine"
    made = device("constant-step", 100).replace("response", {"kind": kind, "step_up": 2e-8, "step_down": 2e-8, "width": 1.0})
    _, (measured,) = measure(made, [1])
    found = fit(measured, family=kind)
    e = found.estimates["width"]
    assert e.low < 1.0 < e.high
    assert found.device.response.kind == kind


def test_the_datasheet_runs():
    """What is fitted can be simulated: the device is plain data, and learns."""
    import aimco as ai

    _, (measured,) = measure(device("linear-step", 600), [1], devices=4, cycles=2)
    made = ai.Device.of(fit(measured).device.as_dict())
    assert all(made.sources.values())
    design = ai.Design(device=made, network={"hidden": [16]}, rule={"kind": "sgd", "lr": 0.1}, training={"epochs": 6, "batch": 10})
    assert ai.evaluate(design, "digits").accuracy > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("states", [20, 100, 1000])
@pytest.mark.parametrize("kind", FAMILIES)
def test_the_right_family_is_chosen_in_nine_draws_of_ten(kind, states):
    _, drawn = measure(device(kind, states), range(10))
    assert sum(fit(measured).device.response.kind == kind for measured in drawn) >= 9


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_intervals_cover_the_truth_in_nine_draws_of_ten(kind):
    """200 draws of ten devices; every number of the datasheet, at a nominal 95 %."""
    made = device(kind, 100)
    _, drawn = measure(made, range(200))
    covered: dict[str, list[bool]] = {}
    for measured in drawn:
        for name, e in fit(measured, family=kind).estimates.items():
            true = nominal(made, name)
            if true is not None:
                covered.setdefault(name, []).append(e.low <= true <= e.high)
    shares = {name: float(np.mean(hits)) for name, hits in covered.items()}
    assert len(shares) >= 7
    assert min(shares.values()) >= 0.9, shares


def nominal(made, name: str) -> float | None:
    """What the datasheet of the devices says of a number; None for those it has no word for."""
    if name in ("g_min", "g_max", "cycle_noise"):
        return getattr(made, name)
    if name in ("spread.step", "spread.g_min", "spread.g_max"):
        return made.spread[name.removeprefix("spread.")]
    return getattr(made.response, name, None)
