"""The coincidences of a sample in one step are as good as one by one: the same mean and spread, for any response, device and start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aimco.arrays.crossbar import Crossbar
from aimco.arrays.pulses import Pulses
from aimco.arrays.spec import ArraySpec
from aimco.device.device import Device, catalogue
from aimco.kernels.trains import MAY_AGGREGATE
from aimco.periphery import Periphery

SIZE = 200  # rows of an array whose devices are the draws: 40,000 of them
STARTS = (-1.0, -0.9, -0.5, 0.0, 0.3, 0.8, 0.97, 1.0)
WAVY = """
from math import exp

from aimco.device.response import Response


class Wavy(Response):
    @staticmethod
    def step(g, up, p):
        return p.step_up * (1 - 0.8 * exp(-g * g / 0.02)) if up else -p.step_down * (1 + 0.5 * g)
"""
RESPONSES = {
    "exponential": {"kind": "exponential"},
    "power": {"kind": "power", "gamma_up": 5.0, "gamma_down": 5.0},
    "soft-bounds": {"kind": "soft-bounds"},
    "linear-step": {"kind": "linear-step", "gamma_up": 2.0, "gamma_down": 0.5},
    "constant-step": {"kind": "constant-step"},
    "own": {"kind": "Wavy"},
}
NOISES = ({"cycle_noise": 0.3}, {"cycle_noise_additive": 0.6})
AGGREGATING = [  # of the catalogue, by trains of 31 slots
    "asymmetric-soft-bounds",
    "capacitor-cmos",
    "ecram",
    "ideal",
    "igzo-6t1c",
    "igzo-6t1c-200ns",
    "rpu",
    "rpu-10000-states",
    "rram-gong2018-soft-bounds",
    "rram-hfs2",
    "soft-bounds",
]


def device(response: dict, states: float, folder, **also) -> Device:
    """A device of a range of 2 S around 1 S with so many states; the user's own response from a file."""
    if response["kind"] == "Wavy":
        (folder / "wavy.py").write_text(WAVY)
        response = {"kind": f"{folder / 'wavy.py'}:Wavy"}
    return Device.of({"g_min": 0.0, "g_max": 2.0, "response": {"step_up": 2 / states, "step_down": 2 / states} | response} | also)


def full_scale(array: Crossbar, start: float, up: bool) -> torch.Tensor:
    """Changes of the states by one sample whose rows and columns fire in every slot."""
    low, high = array.sampled.bounds()
    array.state.copy_(torch.minimum(torch.maximum(torch.full(array.shape, start), low), high))
    before, slots = array.state.clone(), array.pulses.length
    x, d = torch.ones(1, 1, array.shape[1]), torch.full((1, 1, array.shape[2]), 1.0 if up else -1.0)
    array.pulse(x, d, slots * array.step)
    return (array.state - before).double()


def array_of(sample: Device, slots: int, mode: str) -> Crossbar:
    """An array whose trains have all their slots."""
    fixed = Pulses(length=slots, update_management=False, update_bl_management=False)
    return Crossbar(ArraySpec(sample, periphery=Periphery(pulses=fixed.replace("mode", mode))), SIZE, SIZE, names=("law",))


def aggregates(array: Crossbar) -> bool:
    """Whether coincidences may be taken in one step; else trains are pulse by pulse in any mode."""
    return bool(array.pulse_generator.options[0, MAY_AGGREGATE])


def check(sample: Device, slots: int) -> None:
    """Compare the changes by whole trains with those pulse by pulse.

    Means are within 0.5 % (of a fiftieth of what pulses do at mid-range, at least) beyond what draws differ by, which is 6 standard errors;
    spreads within 3 % and a hundredth of a step, draws included: two spreads of 40,000 draws differ by 0.5 %.
    """
    arrays = [array_of(sample, slots, mode) for mode in ("exact", "auto")]
    assert aggregates(arrays[1])
    step = float(arrays[0].step[0])
    for up in (True, False):
        for start in STARTS:
            one_by_one, at_once = (full_scale(array, start, up) for array in arrays)
            where = f"{sample.response.kind}, {slots} slots, from {start:g}, {'up' if up else 'down'}"
            mean, spread = one_by_one.mean().item(), one_by_one.std().item()
            tolerance = 0.005 * max(abs(mean), 0.02 * slots * step) + 6 * spread / SIZE
            assert at_once.mean().item() == pytest.approx(mean, abs=tolerance), where
            assert at_once.std().item() == pytest.approx(spread, rel=0.03, abs=0.01 * step), where


@pytest.mark.parametrize(("name", "noise"), [("exponential", 0), ("power", 0), ("soft-bounds", 1), ("own", 1)])
def test_a_train_in_one_step_has_the_moments_of_pulse_by_pulse(name, noise, tmp_path):
    """250 and 1200 states, 7 and 31 coincidences."""
    for states in (250, 1200):
        for slots in (7, 31):
            check(device(RESPONSES[name], states, tmp_path, **NOISES[noise]), slots)


@pytest.mark.slow  # for the compilation of as many kernels
@pytest.mark.parametrize("noise", NOISES, ids=lambda n: next(iter(n)))
@pytest.mark.parametrize("name", RESPONSES)
def test_any_response_with_any_noise_has_trains_like_pulse_by_pulse(name, noise, tmp_path):
    for states in (250, 1200):
        for slots in (7, 31):
            check(device(RESPONSES[name], states, tmp_path, **noise), slots)


@pytest.mark.parametrize("name", ["rpu", "soft-bounds"])
def test_a_train_on_a_device_has_the_moments_of_pulse_by_pulse(name):
    check(Device.named(name), 31)


def test_the_steepest_devices_of_an_array_move_as_pulse_by_pulse(tmp_path):
    """Bounds that vary by 25 % leave some devices so near to theirs that a train changes their step too much: fewer than one in twenty."""
    sample = device(RESPONSES["soft-bounds"], 400, tmp_path, spread={"g_max": 0.25, "g_min": 0.25})
    arrays = [array_of(sample, 31, mode) for mode in ("exact", "auto")]
    assert aggregates(arrays[1])
    for up in (True, False):
        one_by_one, at_once = (full_scale(array, 0.0, up) for array in arrays)
        assert torch.allclose(at_once, one_by_one, rtol=0.005, atol=1e-4)
    assert 0 < len(arrays[1].pulse_generator.arrays[2][5]) < 0.05 * SIZE**2


def test_the_steepest_devices_of_a_row_that_is_read_first_end_where_all_do(tmp_path, monkeypatch):
    """Rows that are read are pulsed ahead of the others, device by device; to the bit."""
    monkeypatch.setattr("aimco.arrays.pulse_generator._FAR", 0)
    sample = device(RESPONSES["soft-bounds"], 400, tmp_path, spread={"g_max": 0.25, "g_min": 0.25})
    at_once, waiting = (array_of(sample, 31, "auto") for _ in range(2))
    steep, draws = at_once.pulse_generator.arrays[2][4][0], torch.Generator().manual_seed(0)
    rows = np.flatnonzero(np.diff(steep))[:50]
    assert len(rows) and aggregates(at_once)
    x, d = (2 * torch.rand(1, 3, SIZE, generator=draws) - 1 for _ in range(2))
    rate = np.full((1, 3), 31 * float(at_once.step[0]))
    seen = waiting.pulse_and_read(x, d, rate, np.full(len(rows), 2), rows)
    at_once.pulse(x, d, rate)
    assert torch.equal(seen[0], at_once.state[0, rows])
    assert torch.equal(waiting.state, at_once.state)


def test_devices_of_large_or_noisy_steps_are_taken_pulse_by_pulse():
    """The others have small affine steps, or steps of which 31 make less than an eighth of the range, with noise below a step."""
    assert [name for name in catalogue() if aggregates(array_of(Device.named(name), 31, "auto"))] == AGGREGATING


@pytest.mark.slow  # for the compilation of as many kernels
@pytest.mark.parametrize("name", catalogue())
def test_a_train_on_any_device_of_the_catalogue_has_the_moments_of_pulse_by_pulse(name):
    if name not in AGGREGATING:
        pytest.skip("its trains are taken pulse by pulse in any mode")
    check(Device.named(name), 31)


def test_a_train_that_meets_a_steep_part_is_not_taken_for_none(tmp_path):
    """250 states, one sample at full scale: the exponential step falls to zero on the way; the steps of a power are large at the start."""
    exponential, power = (device(RESPONSES[name], 250, tmp_path, cycle_noise=0.01) for name in ("exponential", "power"))
    moved = {}
    for name, design, start, up in (("exponential", exponential, 0.0, False), ("power", power, -0.9, True)):
        fixed = Pulses(update_management=False, update_bl_management=False)
        moved[name] = full_scale(Crossbar(ArraySpec(design, periphery=Periphery(pulses=fixed)), 4, 4), start, up).mean().item() * 125
    assert moved["exponential"] == pytest.approx(-9.69, abs=0.05)
    assert moved["power"] == pytest.approx(116.2, abs=0.6)


def test_slopes_of_families_are_those_of_their_steps():
    """What a family says of slope and curvature, against differences of its steps in double precision."""
    from types import SimpleNamespace

    from aimco.device.response import Response

    families = 0
    for kind in Response.kinds():
        family = type(Response.of({"kind": kind, "step_up": 1.0, "step_down": 1.0}))
        if family.slopes is Response.slopes:
            continue
        families += 1
        names = {n: f.default for n, f in family.model_fields.items() if isinstance(f.default, float)}
        values = names | {"step_up": 0.01, "step_down": 0.012, "g_max": 0.9, "g_min": -1.1}
        derived = family.derive({n: torch.tensor(v, dtype=torch.float64) for n, v in values.items()})
        p = SimpleNamespace(**values | {n: t.item() for n, t in derived.items()})
        for up in (True, False):
            for g in np.linspace(-0.7, 0.7, 15):
                h = 1e-4
                low, at, high = (family.step(g + k * h, up, p) for k in (-1, 0, 1))
                step, slope, curve = family.slopes(g, up, p)
                assert step == pytest.approx(at, rel=1e-9, abs=1e-12)
                if low and high and at:
                    assert slope == pytest.approx((high - low) / (2 * h), rel=1e-4, abs=1e-8)
                    assert curve == pytest.approx((high - 2 * at + low) / h**2, rel=1e-3, abs=1e-5)
    assert families >= 6
