"""Laws of fits: devices whose numbers are known are found again, noise of reading is told from noise of writing, intervals hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import aimco as ai
from aimco.arrays.crossbar import Crossbar
from aimco.device.device import Device
from aimco.device.fit import fit
from aimco.device.fit.files import characterise
from aimco.device.fit.retention import fit_retention
from aimco.device.fit.tables import fit_tables, tables_of
from aimco.device.measurement import Retention
from pulses import device, measure, truth

FAMILIES = ["constant-step", "linear-step", "soft-bounds", "power", "exponential", "pcm"]


def assert_found(numbers, array, member):
    """Steps, asymmetry and bounds within 5 %, noise and spread within 20 %, beside what the drawn devices are."""
    middle = (numbers.population.low + numbers.population.high) / 2
    true = truth(array, member, middle)
    one_sided = array.device.response.one_sided
    value = {name: e.value for name, e in numbers.estimates.items()}
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


def rounds() -> list[Any]:
    """Every family at 20, 100 and 1000 states; of the last, which take long, one is fast."""
    cases = [(kind, states) for kind in FAMILIES for states in (20, 100, 1000)]
    return [pytest.param(*case, marks=() if case[1] < 1000 or case[0] == "soft-bounds" else pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(("kind", "states"), rounds())
def test_a_device_is_found_again(kind, states):
    """10 devices, 10 full cycles, 30 % from device to device and from cycle to cycle."""
    array, (measured,) = measure(device(kind, states), [1])
    result = fit(measured)
    assert result.device.response.kind == kind
    assert_found(result, array, 0)


def test_a_read_is_told_from_a_write():
    """Noise of reading of three steps, and of writing of 0.5 of a step: each within 15 %, and the range within 2 %."""
    sample = device("linear-step", 400, step=0.0, bounds=0.0, cycles=0.5)
    step = float(sample.step)
    _, (measured,) = measure(sample, [3], devices=4, cycles=6, read_noise=3 * step)
    result = fit(measured)
    assert result.estimates["read_noise"].value == pytest.approx(3 * step, rel=0.05)
    noise = result.estimates.get("cycle_noise", result.estimates.get("cycle_noise_additive"))
    assert noise.value == pytest.approx(0.5, rel=0.15)
    assert result.estimates["g_max"].value == pytest.approx(3e-6, rel=0.02)
    assert result.estimates["step_up"].value == pytest.approx(sample.response.step_up, rel=0.05)


def test_one_device_has_intervals_and_no_spread():
    """Intervals of a single device come from its own data; nothing is said of others."""
    array, drawn = measure(device("soft-bounds", 50), range(12), devices=1)
    hits = []
    for e, measured in enumerate(drawn):
        result = fit(measured, family="soft-bounds")
        true = truth(array, e, (result.population.low + result.population.high) / 2)
        intervals = (result.estimates[name] for name in ("step_up", "step_down", "g_min", "g_max"))
        hits += [i.low < true[name] < i.high for i, name in zip(intervals, ("step_up", "step_down", "g_min", "g_max"), strict=True)]
    assert np.mean(hits) > 0.85  # 48 intervals of 95 %: three standard deviations below
    assert np.isnan(result.estimates["spread.step"].value)
    assert "one device" in " ".join(result.notes)
    assert not result.device.spread


def test_a_users_own_response_is_fitted(tmp_path):
    """A family of one's own, from one's own file, like those that come with aimco."""
    (tmp_path / "mine.py").write_text(
        "from math import cos\n\nfrom aimco import Response\n\n\nclass Mine(Response):\n    width: float = 0.5\n\n    @staticmethod\n"
        "    def step(g, up, p):\n        return p.step_up * cos(p.width * g) if up else -p.step_down * cos(p.width * g)\n"
    )
    kind = f"{tmp_path / 'mine.py'}:Mine"
    sample = device("constant-step", 100).replace("response", {"kind": kind, "step_up": 2e-8, "step_down": 2e-8, "width": 1.0})
    _, (measured,) = measure(sample, [1])
    result = fit(measured, family=kind)
    e = result.estimates["width"]
    assert e.low < 1.0 < e.high
    assert result.device.response.kind == kind


def test_the_datasheet_runs():
    """What is fitted can be simulated: the device is plain data, and learns."""
    _, (measured,) = measure(device("linear-step", 600), [1], devices=4, cycles=2)
    sample = ai.Device.of(fit(measured).device.as_dict())
    assert all(sample.sources.values())
    design = ai.Design(device=sample, network={"hidden": [16]}, rule={"kind": "sgd", "lr": 0.1}, training={"epochs": 6, "batch": 10})
    assert ai.evaluate(design, "digits").accuracy > 0.8


def test_the_measured_capacitor_cell_is_what_was_published(measured):
    """Read noise of 1.7 to 1.9 counts in every sheet; steps proportional to the pulses' width; tau of 775 +- 25 min, with warnings."""
    sheets = {}
    for name in ("linear_symmetric_6000pulses", "pw100ns_2000pulses", "pw200ns_2000pulses"):
        sheets[name] = result = characterise([str(measured / "igzo-6t1c" / f"{name}.csv")])
        noise = result.estimates["read_noise"]
        assert noise.low < 1.9
        assert noise.high > 1.7
        write = result.estimates.get("cycle_noise", result.estimates.get("cycle_noise_additive"))
        assert write.value * result.estimates["step_up"].value < 0.8  # counts per square root of pulses
    for step in ("step_up", "step_down"):
        ratio = sheets["pw200ns_2000pulses"].estimates[step].value / sheets["pw100ns_2000pulses"].estimates[step].value
        assert ratio == pytest.approx(2.0, rel=0.1)
    retention = characterise([str(measured / "igzo-6t1c" / "retention.csv")])
    tau = retention.estimates["retention_s"]
    assert tau.value / 60 == pytest.approx(775.1, abs=0.5)
    assert (tau.high - tau.low) / 2 / 1.96 / 60 == pytest.approx(20.9, abs=0.5)
    assert "straight line fits as well" in " ".join(retention.notes)
    assert "0.85 tau" in " ".join(retention.notes)


def test_the_catalogue_cell_is_the_measured_one(measured):
    """igzo-6t1c at 100 and 200 ns against fits of the files: steps within 10 % in counts, tau within a percent."""
    for name, file in (("igzo-6t1c", "pw100ns_2000pulses.csv"), ("igzo-6t1c-200ns", "pw200ns_2000pulses.csv")):
        listed = Device.named(name)
        count = (listed.g_max - listed.g_min) / 1340
        result = characterise([str(measured / "igzo-6t1c" / file), str(measured / "igzo-6t1c" / "retention.csv")], family="linear-step")
        for step in ("step_up", "step_down"):
            assert getattr(listed.response, step) / count == pytest.approx(result.estimates[step].value, rel=0.1)
        assert listed.retention_s == pytest.approx(result.device.retention_s, rel=0.01)


@pytest.mark.parametrize("files", ["rram-gong/gong_et_al.csv", "taox/TaOx_1.npz", "enode/dG_increasing.txt enode/dG_decreasing.txt"])
def test_measured_files_become_devices_that_train(measured, files):
    result = characterise([str(measured / f) for f in files.split()])
    assert result.device is not None
    rule = {"kind": "tiki-taka", "lr": 0.1, "lr_fast": 0.1, "transfer_lr": 1.0, "reference": "symmetry-point"}
    design = ai.Design(device=result.device, network={"hidden": [16]}, rule=rule, training={"epochs": 6, "batch": 10})
    accuracy = ai.evaluate(design, "digits").accuracy
    if "taox" in files:  # one pulse crosses more than half the range: it cannot learn
        assert result.device.states < 4
        assert accuracy < 0.3
    else:
        assert accuracy > 0.5


def test_a_jump_table_steps_as_it_was_measured(measured):
    """Quantiles of the change at three states, against the file: within 3 % of the range of changes."""
    result = characterise([str(measured / "enode")])
    array = Crossbar(result.device, 60, 60)
    states, probability, change = result.pulses.measured.up
    half, mid = float(result.device.half_range), float(result.device.mid_range)
    for state in (-0.5, 0.0, 0.4):
        array.state.fill_(state)
        array.pulse_rows(torch.ones(array.shape, dtype=torch.int32))
        moved = (array.state - state).double().numpy().ravel() * half
        column = [np.interp(state * half + mid, states, row) for row in change]
        wanted = np.interp([0.05, 0.25, 0.5, 0.75, 0.95], probability, column)
        assert np.abs(np.quantile(moved, [0.05, 0.25, 0.5, 0.75, 0.95]) - wanted).max() < 0.5e-6  # readings are whole microsiemens


def test_pulses_can_be_taken_as_a_table():
    sample = device("soft-bounds", 50)
    _, (seen,) = measure(sample, [2], devices=4, cycles=4)
    tables = fit_tables(tables_of(seen))
    assert tables.device.response.kind == "jump-table"
    assert tables.device.states == pytest.approx(50, rel=0.25)
    assert 0.3 < tables.estimates["cycle_noise"].value < 1.15 * np.hypot(0.3, 0.3)  # spread among devices is in it too
    _, (alike,) = measure(device("soft-bounds", 50, step=0.0, bounds=0.0), [2], devices=4, cycles=4)
    assert fit_tables(tables_of(alike)).estimates["cycle_noise"].value == pytest.approx(0.3, rel=0.1)


def test_retention_is_fitted_by_its_law():
    """tau within its interval; the exponent of a drift within 2 %; five devices give the spread of tau."""
    time, noise = np.linspace(0, 3000, 40), np.random.default_rng(0)
    taus = 1000 * np.exp(0.2 * noise.standard_normal(5))
    devices = [(str(k), time, np.exp(-time / tau) + 0.002 * noise.standard_normal(40)) for k, tau in enumerate(taus)]
    result = fit_retention(Retention(devices, "V", "made.csv", []))
    assert result.chosen == "exponential"
    assert result.estimates["retention_s"].value == pytest.approx(taus.mean(), rel=0.02)
    assert result.estimates["spread.retention_s"].value == pytest.approx(np.log(taus).std(ddof=1), rel=0.05)
    late = np.geomspace(20, 20e4, 30)
    drifts = fit_retention(Retention([("1", late, 1e-6 * (late / 20) ** -0.06)], "S", "made.csv", []))
    assert drifts.chosen == "power of time"
    assert drifts.estimates["drift.nu"].value == pytest.approx(0.06, rel=0.02)


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
    sample = device(kind, 100)
    _, drawn = measure(sample, range(200))
    covered: dict[str, list[bool]] = {}
    for measured in drawn:
        for name, e in fit(measured, family=kind).estimates.items():
            true = nominal(sample, name)
            if true is not None:
                covered.setdefault(name, []).append(e.low <= true <= e.high)
    shares = {name: float(np.mean(hits)) for name, hits in covered.items()}
    assert len(shares) >= 7
    assert min(shares.values()) >= 0.9, shares


def nominal(design, name: str) -> float | None:
    """What the datasheet of the devices says of a number; None for those it has no word for."""
    if name in ("g_min", "g_max", "cycle_noise"):
        return getattr(design, name)
    if name in ("spread.step", "spread.g_min", "spread.g_max"):
        return design.spread[name.removeprefix("spread.")]
    return getattr(design.response, name, None)
