"""One record in, one row out."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import aimco as ai
from aimco.arrays.doors import NotFinite
from aimco.cost.price import price
from aimco.device.device import Device
from aimco.divergence import Diverged
from aimco.tasks import load

LIMIT, LEARNED = 300, 0.5  # samples with which the design is far above the tenth that is chance


def design(**parts) -> ai.Design:
    training = {"epochs": 4, "batch": 5}
    return ai.Design.of({"device": "rpu", "network": {"hidden": [16]}, "rule": {"kind": "sgd", "lr": 0.3}, "training": training} | parts)


def test_the_same_seed_gives_the_same_row():
    first, second, other = (ai.evaluate(design(), limit=LIMIT, seed=seed) for seed in (1, 1, 2))
    assert min(first.accuracy, other.accuracy) > LEARNED
    assert first.curves == second.curves
    assert first.counts == second.counts
    assert first.curves != other.curves
    assert json.loads(json.dumps(first.as_json()))["design_hash"] == design().hash()


def test_every_result_has_energy_time_and_area():
    """Two layers, four epochs of 100 samples and 360 tests: parts of the energy add up, and so do phases, of energy and of time."""
    result = ai.evaluate(design(), limit=100)
    phases = {"write", "train", "infer", "training_sample", "inference_sample", "total"}
    parts = {name: joules for name, joules in result.energy_J.items() if name not in phases}
    assert sum(parts.values()) == pytest.approx(result.energy_J["total"])
    assert min(parts[name] for name in ("read", "update", "adc", "dac")) > 0
    for amount in (result.energy_J, result.latency_s):
        assert amount["write"] > 0
        assert 400 * amount["training_sample"] == pytest.approx(amount["train"])
        assert 4 * 360 * amount["inference_sample"] == pytest.approx(amount["infer"])
        assert amount["write"] + amount["train"] + amount["infer"] == pytest.approx(amount["total"])
    assert result.area_m2 > 0
    assert result.counts["updates"] == 2 * 4 * 100


def test_an_ensemble_gives_the_rows_of_solo_runs():
    rates = (0.05, 0.3)  # the first is too low for so few samples, the second learns
    designs = [design().replace("rule.lr", lr) for lr in rates]
    slow, fast = together = ai.evaluate_many(designs, "digits", seeds=[0, 0], limit=LIMIT)
    assert fast.accuracy > LEARNED > slow.accuracy + 0.2
    for one, row in zip(designs, together, strict=True):
        solo = ai.evaluate(one, limit=LIMIT)
        assert abs(solo.accuracy - row.accuracy) < 0.02
        assert solo.counts["updates"] == row.counts["updates"]


NUMBERS = {
    "rule.gamma": (0.0, 0.5),
    "rule.transfer_lr": (0.5, 1.0),
    "rule.lr_fast": (0.01, 0.1),
    "training.decay": (0.5, 0.9),
    "periphery.read_s": (80e-9, 100e-9),
    "periphery.output_noise": (0.0, 1e-9),
    "cell.weight_max": (1.0, 2.0),
    "device.retention_s": (1e-3, 1e-2),
}


# An ensemble reads the fast arrays of all members where one has a gamma, and writes with verify until the last is there.
SHARED = ("rule.gamma", "cell.weight_max")


@pytest.mark.parametrize("path", NUMBERS)
def test_designs_that_differ_in_any_number_train_together_as_alone(path):
    """Losses and times as alone; and each number changes one of them, by more than rounding."""
    parts = {"device": "asymmetric-soft-bounds", "rule": {"kind": "tiki-taka"}, "network": {"hidden": [8]}}
    base = ai.Design.of(parts | {"training": {"epochs": 2, "batch": 20, "decay_every": 1}})
    designs = [base.replace(path, value) for value in NUMBERS[path]]
    together = ai.evaluate_many(designs, seeds=[0, 0], limit=100)
    for one, row in zip(designs, together, strict=True):
        solo = ai.evaluate(one, limit=100)
        assert row.curves["train_loss"] == pytest.approx(solo.curves["train_loss"], abs=1e-5)
        if path not in SHARED:
            assert row.latency_s["total"] == pytest.approx(solo.latency_s["total"], rel=1e-6)
    losses, seconds = zip(*((row.curves["train_loss"][-1], row.latency_s["total"]) for row in together), strict=True)
    assert abs(losses[1] - losses[0]) > 1e-4 or abs(seconds[1] / seconds[0] - 1) > 0.01


def test_saturation_of_one_member_does_not_touch_the_others():
    tight = {"output_noise": 5.8e-11, "adc": {"bits": 9.0, "range_A": 5.8e-9}}
    designs = [design(periphery=tight)] * 2
    for seed, row in zip((1, 2), ai.evaluate_many(designs, seeds=[1, 2], limit=LIMIT), strict=True):
        solo = ai.evaluate(designs[0], seed=seed, limit=LIMIT)
        assert solo.accuracy > LEARNED
        assert row.curves["train_loss"] == pytest.approx(solo.curves["train_loss"], abs=1e-5)
        assert row.counts["mvm"] == solo.counts["mvm"] > 1.2 * 2 * 4 * (LIMIT + 360)  # many of an epoch and its test are read again
        assert row.counts["adc"] == solo.counts["adc"]


def test_members_end_within_the_spread_of_seeds_of_their_solo_runs():
    """Digits, five epochs: each of four seeds trained together is as accurate as alone, to the standard deviation over seeds."""
    one, seeds = design(training={"epochs": 5, "batch": 10}, network={"hidden": [32]}), [0, 1, 2, 3]
    together = [row.accuracy for row in ai.evaluate_many([one] * 4, seeds=seeds)]
    alone = [ai.evaluate(one, seed=seed).accuracy for seed in seeds]
    assert min(alone) > 0.8
    spread = max(float(torch.tensor(alone).std()), 1 / 360)
    assert max(abs(a - b) for a, b in zip(together, alone, strict=True)) <= spread


def test_program_reaches_the_target():
    programmed = ai.evaluate(
        design(cell={"kind": "reference", "weight_max": 2.0}, rule={"kind": "sgd"}, training={"epochs": 2, "batch": 2}),
        "program",
        limit=3000,
    )
    assert programmed.metrics["weight_error"] < 0.03  # the error of the weights, of which the target's spread is 0.3


def test_a_leaking_device_forgets():
    """Of 300 samples of 1 us: what is kept for ten of them is lost, what is kept for 10,000 is not."""
    slow, lost = (design().replace("device.retention_s", tau).replace("training.sample_s", 1e-6) for tau in (1e-2, 1e-5))
    assert ai.evaluate(lost, limit=LIMIT).accuracy < 0.2
    assert ai.evaluate(slow, limit=LIMIT).accuracy > LEARNED


@pytest.mark.parametrize("rule", ["sgd", "tiki-taka", "digital"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, rule):
    parts = {"rule": {"kind": rule}, "training": {"epochs": 4, "batch": 20}, "network": {"hidden": [8], "output_scale": "learned"}}
    whole, file = ai.evaluate(design(**parts), limit=100), str(tmp_path / "run.pt")

    def stop(epoch: int, epochs: int, accuracy: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ai.evaluate(design(**parts), limit=100, checkpoint=file, on_epoch=stop)
    resumed = ai.evaluate(design(**parts), limit=100, checkpoint=file)
    assert resumed.curves == whole.curves
    assert resumed.counts == whole.counts
    with pytest.raises(ai.InputError, match="the same seed"):
        ai.evaluate(design(**parts), limit=100, checkpoint=file, seed=5)
    (tmp_path / "run.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ai.InputError, match="must be a file that aimco wrote"):
        ai.evaluate(design(**parts), limit=100, checkpoint=file)


def test_reads_do_not_depend_on_the_batch_split():
    periphery = ai.Periphery.of({"output_noise": 1e-9, "adc": {"bits": 9.0, "range_A": 2e-7}, "dac": {"bits": 7.0}})
    x = torch.rand(1, 10, 6, generator=torch.Generator().manual_seed(0))
    whole, split = (ai.AnalogMatrix(ai.ArraySpec(ai.Device.named("rpu"), periphery=periphery), 6, 5) for _ in range(2))
    parts = [split.mvm(x[:, part].contiguous()) for part in (slice(0, 3), slice(3, 4), slice(4, 10))]
    assert torch.equal(whole.mvm(x), torch.cat(parts, 1))


def test_progress_is_told_within_an_epoch():
    progress: list[float] = []
    ai.evaluate(design(training={"epochs": 3, "batch": 1}), limit=1000, on_progress=progress.append)
    assert progress == sorted(progress)
    assert 0 <= progress[0] <= progress[-1] < 1
    assert any(0.02 < 3 * done % 1 < 0.98 for done in progress)


def lenet(**parts) -> ai.Design:
    network = {"kind": "lenet", "channels": [4, 6], "kernel_size": 3, "pool": 1, "hidden": [32]}
    return ai.Design.of({"device": "soft-bounds", "network": network, "training": {"epochs": 8, "batch": 10}} | parts)


@pytest.mark.parametrize("rule", ["sgd", "digital"])
def test_a_convolutional_network_learns_alone_and_in_an_ensemble(rule):
    """Digits: half are known after few images, where a tenth is chance; members as their solo runs to float32 rounding."""
    spec = lenet(rule={"kind": rule, "lr": 0.1})
    together = ai.evaluate_many([spec] * 2, seeds=[1, 2], limit=500)
    assert all(row.accuracy > 0.5 for row in together)
    solo = ai.evaluate(spec.replace("training.epochs", 1), seed=2, limit=100)
    beside = ai.evaluate_many([spec.replace("training.epochs", 1)] * 2, seeds=[1, 2], limit=100)[1]
    assert beside.curves["train_loss"] == pytest.approx(solo.curves["train_loss"], abs=1e-5)


def test_a_convolutional_network_has_the_published_defaults():
    network = ai.Network.of({"kind": "lenet"})
    assert (network.channels, network.kernel_size, network.pool, network.hidden, network.activation) == ((16, 32), 5, 2, (128,), "tanh")
    assert ai.Network.of(network.as_dict()) == network


@pytest.mark.parametrize(("kernel", "pool"), [(9, 1), (5, 2), (3, 4)])
def test_images_too_small_for_a_convolution_are_refused(kernel, pool):
    spec = lenet().replace("network.kernel_size", kernel).replace("network.pool", pool)
    with pytest.raises(ai.InputError, match=r"network\.kernel_size must leave pixels of the images of digits"):
        ai.evaluate(spec)


def test_time_passes_for_a_slow_array_that_alone_leaks():
    shape = {"g_min": 0.0, "g_max": 2e-6, "response": {"kind": "soft-bounds", "step_up": 1e-8, "step_down": 1e-8}}
    rule = {"kind": "tiki-taka-v2", "slow_device": shape | {"retention_s": 100.0}}
    training = {"epochs": 1, "batch": 50, "sample_s": 1.0}
    design = ai.Design.of({"device": shape, "rule": rule, "network": {"hidden": [8]}, "training": training})
    assert ai.evaluate(design, "digits", limit=100).counts["hold_s"] == 2 * 2 * 100  # two arrays in each of two layers


def small(**fields: Any) -> ai.Design:
    spec = design(network={"hidden": [6]}, training={"epochs": 2, "batch": 5})
    for path, value in fields.items():
        spec = spec.replace(path.replace("__", "."), value)
    return spec


def test_notes_are_about_all_devices_of_the_cells_and_of_the_arrays_of_a_rule():
    """The pair of a 3T-1C + 2 PCM cell, and the gradient arrays of a rule that has them of a device of their own."""
    pcm = Device.named("pcm").replace("half_select", 0.1)
    quiet = small(cell={"kind": "capacitor-pcm", "pcm": pcm.as_dict()})
    assert quiet.device.half_select is None
    ran = ai.evaluate(quiet.replace("training.epochs", 1), limit=20)
    assert any("half-selected devices move by their mean steps" in note for note in ran.notes)
    assert not any("one-sided" in note for note in ran.notes)  # pulses of updates raise and lower the capacitor
    alone = ai.evaluate(small().replace("device", pcm.as_dict()).replace("training.epochs", 1), limit=20)
    assert any("one-sided" in note for note in alone.notes)
    rule = {"kind": "tiki-taka-v2", "slow_device": small().device.replace("half_select", 0.1).as_dict()}
    slow = ai.evaluate(small().replace("rule", rule).replace("training.epochs", 1), limit=20)
    assert any("half-selected devices" in note for note in slow.notes)


def numbers(value, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number in plain data, with its place."""
    if isinstance(value, int | float):
        yield name, value
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from numbers(part, f"{name}.{key}")


def assert_sound(result: ai.Result) -> None:
    """Every number is finite, and what is spent is not negative."""
    for name, value in numbers(result.as_json()):
        assert math.isfinite(value), name
        assert value >= 0 or not name.startswith((".energy_J", ".latency_s", ".counts", ".area")), name


def test_training_that_diverges_is_refused_with_the_epoch_and_the_likely_fields():
    with pytest.raises(ai.InputError) as refused:
        ai.evaluate(small(periphery__read_voltage=1e-15, periphery__output_noise=1e6), limit=20)
    message = str(refused.value)
    assert message.startswith(
        "training diverged in epoch 1: the loss must be finite, got nan; lower periphery.output_noise = 1e+06 or rule.lr"
    )
    assert "\n" not in message


def test_a_member_that_diverges_leaves_the_others_their_results_and_is_told_of():
    """Noise beyond what 32 bits hold: chance from that epoch on; the other member's row is that of its own run."""
    designs = [small(), small(periphery__read_voltage=1e-15, periphery__output_noise=1e6)]
    sound, diverged = ai.evaluate_many(designs, seeds=[0, 0], limit=60)
    assert sound.accuracy == ai.evaluate(designs[0], limit=60).accuracy
    assert not any("diverged" in note for note in sound.notes)
    assert diverged.notes[-1] == "training diverged in epoch 1: the loss must be finite, got nan"
    assert diverged.curves == {"test_accuracy": [0.1, 0.1], "train_loss": [pytest.approx(math.log(10))] * 2}
    assert_sound(diverged)


@pytest.fixture
def fragile(tmp_path):
    """A network of one layer whose outputs are no numbers where they are large, as of a sample of 1e6."""
    (tmp_path / "fragile.py").write_text(
        "import torch\n\n\n"
        "class Fragile(torch.nn.Module):\n    def forward(self, x):\n        return torch.where(x.abs() > 1e3, torch.nan, x)\n\n\n"
        "def net(inputs, outputs):\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(inputs, outputs), Fragile())\n"
    )
    return small().replace("network", {"kind": f"{tmp_path / 'fragile.py'}:net"})


def test_what_a_sample_of_a_diverged_run_takes_is_of_those_that_ran(fragile):
    """One sample of the first epoch's 100 makes the loss nan: nothing after its batch of 10 was read."""
    task = load("digits", limit=100)
    broken = task.train_x.clone()
    broken[57] = 1e6
    (row,) = ai.evaluate_many([fragile], replace(task, train_x=broken), seeds=[0])
    read = row.counts_by_phase["train"]["mvm"]
    assert read < 100 and read % fragile.training.batch == 0
    assert row.energy_J["training_sample"] == pytest.approx(row.energy_J["train"] / read)
    assert row.latency_s["training_sample"] == pytest.approx(row.latency_s["train"] / read)
    assert row.energy_J["infer"] == row.energy_J["inference_sample"] == 0
    assert_sound(row)


def test_outputs_of_test_samples_that_are_no_numbers_are_divergence(fragile):
    """The largest of outputs that are nan is some class, which says nothing."""
    task = load("digits", limit=100)
    broken = task.test_x.clone()
    broken[7] = 1e6
    with pytest.raises(ai.InputError, match=r"^training diverged in epoch 1: the outputs of test samples must be finite, got nan; lower"):
        ai.evaluate(fragile, replace(task, test_x=broken))
    (row,) = ai.evaluate_many([fragile], replace(task, test_x=broken), seeds=[0])
    sound = ai.evaluate(fragile.replace("training.epochs", 1), task)
    for name in ("training_sample", "inference_sample", "train", "infer"):
        assert row.energy_J[name] == pytest.approx(sound.energy_J[name])


def test_the_reason_of_a_divergence_is_told_without_the_operation_that_found_it():
    error = NotFinite("Crossbar.pulse", "x must be finite, got nan")
    assert str(error) == "Crossbar.pulse: x must be finite, got nan"
    diverged = Diverged(2, error, small(), "train", 10)
    assert diverged.note == "training diverged in epoch 2: x must be finite, got nan"
    assert [str(pickle.loads(pickle.dumps(e))) for e in (error, diverged)] == [str(error), str(diverged)]
    assert str(diverged).startswith(f"{diverged.note}; lower rule.lr")


def test_a_price_that_is_no_number_is_refused_with_its_part():
    for conversions in (-5, math.nan, math.inf):
        with pytest.raises(ai.InputError, match=r"the energy of adc, J, must be finite and at least 0 to be priced, got"):
            price(small(), {"layer": {"W": {"adc": conversions}}})


def test_a_schedule_that_is_hardly_meant_is_noted():
    idle = ai.evaluate(small(rule__lr=0.0).replace("training.batch", 1000), limit=100)
    assert "rule.lr is 0: nothing is learned" in idle.notes
    assert "training.batch 1000 is larger than the 100 training samples: one step per epoch" in idle.notes
    assert idle.counts["slots"] == 0
    meant = ai.evaluate(small(), limit=100)
    assert not any("rule.lr" in note or "training.batch" in note for note in meant.notes)


EXTREMES = {  # allowed, however little sense they make
    "device.read_noise": st.floats(0, 6e-5),
    "device.cycle_noise": st.floats(0, 100),
    "device.response.step_up": st.floats(1e-20, 6.4e-8),
    "device.response.step_down": st.floats(1e-20, 6.4e-8),
    "device.retention_s": st.floats(1e-15, allow_infinity=True),
    "cell.weight_max": st.floats(1e-6, 1e6),
    "periphery.output_noise": st.floats(0, 1e300),
    "periphery.adc.noise_A": st.floats(0, 1e300),
    "periphery.adc.range_A": st.floats(1e-20, allow_infinity=True),
    "periphery.read_voltage": st.floats(1e-6, 1000),
    "periphery.read_s": st.floats(1e-15, 1e6),
    "periphery.pulse_s": st.floats(1e-15, 1e6),
    "periphery.update_voltage": st.floats(1e-6, 1000),
    "rule.lr": st.floats(0, 1),
    "training.sample_s": st.floats(1e-15, 1e30),
}


@settings(max_examples=15, report_multiple_bugs=False)
@given(st.fixed_dictionaries({}, optional=EXTREMES))
def test_extreme_numbers_are_refused_or_give_results_that_are_numbers(fields):
    try:
        spec = small()
        for path, value in fields.items():
            spec = spec.replace(path, value)
        result = ai.evaluate(spec, limit=10)
    except ai.InputError as refused:
        assert "\n" not in str(refused)
    else:
        assert_sound(result)
